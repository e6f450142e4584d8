"""LZNT1: what we read is what dissect reads; damage is refused by both implementations alike."""

import numpy as np
import pytest
from dissect.util.compression import lznt1 as dissect_lznt1
from hypothesis import given, settings
from hypothesis import strategies as st

from sbtk import settings as sbtk_settings
from sbtk.ntfs import lznt1
from sbtk.ntfs.kernels_lznt1 import decompress_compiled
from tests.ntfs.lznt1_writer import compress

UNIT_BYTES = 65536
BOTH = pytest.mark.parametrize("way", [decompress_compiled, lznt1.decompress_plainly])

words = st.lists(
    st.one_of(
        st.sampled_from([b"the quick ", b"brown fox ", b"0123456789" * 5, b"\0" * 70]),
        st.binary(max_size=60),
        st.builds(bytes.__mul__, st.binary(min_size=1, max_size=3), st.integers(1, 2000)),
    ),
    max_size=60,
)


def both(data: bytes, plain_bytes: int) -> tuple[tuple[int, int], bytes]:
    """What both implementations say, once it is known to be the same."""
    results = []
    for way in (decompress_compiled, lznt1.decompress_plainly):
        guard = np.full(plain_bytes + 64, 0, np.uint8)
        status = way(np.frombuffer(data, np.uint8).copy(), guard[:plain_bytes])
        assert not guard[plain_bytes:].any(), "written behind the result"
        results.append((tuple(map(int, status)), guard[:plain_bytes].tobytes()))
    (first, plain), (second, other) = results
    assert first[0] == second[0]
    if first[0] == lznt1.OK:
        assert first == second
        assert plain == other
    return first, plain


@settings(max_examples=150, deadline=None)
@given(words)
def test_what_was_compressed_comes_back_and_dissect_agrees(parts):
    data = b"".join(parts)[:UNIT_BYTES]
    packed = compress(data)
    status, plain = both(packed + b"\0\0" + b"\xaa" * 9, UNIT_BYTES)
    assert status == (lznt1.OK, len(packed))
    assert plain == data.ljust(UNIT_BYTES, b"\0")
    assert dissect_lznt1.decompress(packed) == data


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=300), st.integers(0, 9000))
def test_any_bytes_end_and_stay_inside(data, plain_bytes):
    both(data, plain_bytes)


@settings(max_examples=300, deadline=None)
@given(words, st.data())
def test_damaged_units_end_alike(parts, data):
    packed = bytearray(compress(b"".join(parts)[:12_000] + b"x"))
    for _ in range(data.draw(st.integers(1, 3))):
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    both(bytes(packed), 12_288)


def chunk(*body: int, size: int | None = None, flags: int = 0xB000) -> bytes:
    length = len(body) - 1 if size is None else size
    return (flags | length).to_bytes(2, "little") + bytes(body)


@BOTH
@pytest.mark.parametrize(
    ("data", "status"),
    [
        (chunk(0x00, 65, flags=0x8000), lznt1.BAD_SIGNATURE),
        (chunk(0x00, 65, size=9), lznt1.CUT_CHUNK),
        (chunk(0x01, 0x00, 0x00), lznt1.BAD_REFERENCE),  # nothing lies before it
        (chunk(0x02, 65, 0x00, 0x10), lznt1.BAD_REFERENCE),  # two back, one byte there
        (chunk(0x02, 65, 0x00), lznt1.CUT_REFERENCE),
        (chunk(0x06, 65, 0xFF, 0x0F, 0x00, 0x00), lznt1.TOO_LONG),  # 1 + 4098 bytes
        (compress(bytes(4096)) + chunk(0x00, 65), lznt1.OK),  # the unit is full by then
    ],
)
def test_each_damage_has_its_name(way, data, status):
    plain = np.zeros(4096, np.uint8)
    found, _ = way(np.frombuffer(data, np.uint8).copy(), plain)
    assert found == status


@pytest.mark.parametrize("kernels", ["numba", "numpy"])
def test_the_setting_chooses_and_the_error_says_where(monkeypatch, kernels):
    monkeypatch.setenv("SBTK_KERNELS", kernels)
    sbtk_settings.settings.cache_clear()
    try:
        packed = np.frombuffer(compress(b"abc" * 3000), np.uint8)
        assert lznt1.decompress(packed, 9000).tobytes() == b"abc" * 3000
        broken = packed.copy()
        broken[1] = 0x80
        with pytest.raises(lznt1.Lznt1Error, match="signature, at byte 0") as caught:
            lznt1.decompress(broken, 9000)
        assert caught.value.offset_bytes == 0
    finally:
        sbtk_settings.settings.cache_clear()
