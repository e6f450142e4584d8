"""Cartridges: what is appended is there, whatever happens to the last write or to the index."""

import contextlib
import os
import random
import resource
import signal
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sbtk.errors import (
    CartridgeError,
    DeviceReadError,
    LocationError,
    LocationNotFoundError,
    MediumFullError,
    SbtkError,
    UsageError,
)
from sbtk.mover import cartridge as cartridge_module
from sbtk.mover.cartridge import Cartridge, create_cartridge
from sbtk.mover.cartridge_index import index_path
from sbtk.mover.medium import (
    FIRST_OBJECT_OFFSET_BYTES,
    HEADER_BYTES,
    decode_header,
    decode_memory,
)
from tests.oracles.commands import output_of

GIB = 1 << 30
MARK = b""  # a filemark, in lists of what is on a cartridge


def new(path: Path, *, capacity_bytes: int = GIB, objects: list[bytes] | None = None) -> Path:
    """A cartridge that holds these records (and filemarks, where one is empty)."""
    create_cartridge(path, capacity_bytes=capacity_bytes)
    with Cartridge(path) as cartridge:
        for data in objects or []:
            append(cartridge, data)
    return path


def append(cartridge: Cartridge, data: bytes) -> None:
    if data:
        cartridge.append_record(data)
    else:
        cartridge.append_filemark()


def content(path: Path, *, writable: bool = False, listener=lambda event: None) -> list[bytes]:
    """All objects, read through the cartridge."""
    with Cartridge(path, writable=writable, listener=listener) as cartridge:
        return [read(cartridge, number) for number in range(len(cartridge))]


def read(cartridge: Cartridge, number: int) -> bytes:
    if cartridge.index.is_filemark(number):
        return MARK
    buffer = bytearray(cartridge.index.data_bytes(number))
    assert cartridge.read_record(number, memoryview(buffer)) == len(buffer)
    return bytes(buffer)


# -- the container, beside the tool that defines it ----------------------------------------------


def test_empty_cartridge_is_laid_out_as_tgtimg_does(tmp_path):
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    output_of(
        *("tgtimg", "--op", "new", "--device-type", "tape", "--barcode", "LTO001"),
        *("--size", "100", "--type", "data", "--file", theirs),
    )
    create_cartridge(ours, capacity_bytes=100 << 20, barcode="LTO001")
    left, right = theirs.read_bytes(), ours.read_bytes()
    assert len(left) == len(right) == FIRST_OBJECT_OFFSET_BYTES + HEADER_BYTES
    assert left[:HEADER_BYTES] == right[:HEADER_BYTES]
    assert left[FIRST_OBJECT_OFFSET_BYTES:] == right[FIRST_OBJECT_OFFSET_BYTES:]
    memories = [decode_memory(raw[HEADER_BYTES:FIRST_OBJECT_OFFSET_BYTES]) for raw in (left, right)]
    assert memories[0].barcode == memories[1].barcode == "LTO001"
    assert memories[0].capacity_bytes == memories[1].capacity_bytes == 100 << 20
    assert memories[0].serial_number.startswith("LTO001_")


@settings(max_examples=40, deadline=None)
@given(
    steps=st.lists(
        st.one_of(
            st.binary(min_size=1, max_size=200),
            st.just(MARK),
            st.integers(0, 30),  # cut the tape there
            st.just("reopen"),
        ),
        max_size=25,
    )
)
def test_any_order_of_appends_cuts_and_reopenings(tmp_path_factory, steps):
    path = tmp_path_factory.mktemp("any") / "tape"
    create_cartridge(path, capacity_bytes=GIB)
    cartridge, model = Cartridge(path), []
    for step in steps:
        if step == "reopen":
            cartridge.close()
            cartridge = Cartridge(path)
        elif isinstance(step, int):
            cartridge.truncate(step)
            del model[step:]
        else:
            append(cartridge, step)
            model.append(step)
        assert len(cartridge) == len(model)
    assert [read(cartridge, number) for number in range(len(cartridge))] == model
    cartridge.close()
    assert content(path) == model
    index_path(path).unlink(missing_ok=True)
    assert content(path) == model


def test_a_system_that_writes_and_reads_a_little_at_a_time(tmp_path, monkeypatch):
    path = new(tmp_path / "tape")
    some = iter([1, 50, 3, 1000, 7] * 1000)
    plain_write, plain_read = os.pwrite, os.pread

    def write(fd, parts, offset):
        whole = parts if isinstance(parts, memoryview) else b"".join(parts)
        return plain_write(fd, whole[: next(some)], offset)

    def read_some(fd, buffers, offset):
        whole = plain_read(fd, min(sum(map(len, buffers)), next(some) + HEADER_BYTES), offset)
        done = 0
        for buffer in buffers:
            piece = whole[done : done + len(buffer)]
            memoryview(buffer)[: len(piece)] = piece
            done += len(piece)
        return done

    monkeypatch.setattr(os, "pwritev", write)
    monkeypatch.setattr(os, "pwrite", write)
    monkeypatch.setattr(os, "preadv", read_some)
    objects = [*BEFORE, os.urandom(5000)]
    with Cartridge(path) as cartridge:
        for data in objects:
            append(cartridge, data)
    assert content(path) == objects


def test_the_longest_record_and_no_longer_one(tmp_path):
    longest = os.urandom(0xFFFFFF)
    path = new(tmp_path / "tape", objects=[longest])
    assert content(path) == [longest]
    with Cartridge(path) as cartridge:
        for data in (b"", bytes(0x1000000)):
            with pytest.raises(UsageError):
                cartridge.append_record(data)
        assert len(cartridge) == 1


# -- crashes -------------------------------------------------------------------------------------

BEFORE = [b"a" * 100, b"b" * 33, MARK, b"c" * 7]
LAST = bytes(range(256)) + b"end"


@pytest.fixture(scope="module")
def last_append(tmp_path_factory):
    """(file before, file after) the append of LAST, without side files."""
    path = new(tmp_path_factory.mktemp("append") / "tape", objects=BEFORE)
    before = path.read_bytes()
    with Cartridge(path) as cartridge:
        cartridge.append_record(LAST)
    return before, path.read_bytes()


def reopened(path: Path, raw: bytes) -> list[bytes]:
    """What a cartridge of these bytes holds: read-only first, then mended, then by tgtimg."""
    path.write_bytes(raw)
    seen = content(path)
    assert path.read_bytes() == raw, "opened read-only and changed"
    assert content(path, writable=True) == seen
    assert listed(path) == [len(data) for data in seen]
    index_path(path).unlink(missing_ok=True)
    return seen


def test_cut_off_at_every_byte_of_the_last_append(tmp_path, last_append):
    before, after = last_append
    end = len(before) - HEADER_BYTES
    whole = len(after) - HEADER_BYTES
    for cut in range(end, len(after) + 1):
        want = [*BEFORE, LAST] if cut >= whole else BEFORE
        assert reopened(tmp_path / "tape", after[:cut]) == want, cut


def test_stopped_at_every_byte_of_the_first_step(tmp_path, last_append):
    """Data and the new end of data are written in part; the old end of data still stands."""
    before, after = last_append
    for reached in range(len(before), len(after) + 1):
        raw = before + after[len(before) : reached]
        assert reopened(tmp_path / "tape", raw) == BEFORE, reached


def test_stopped_at_every_byte_of_the_second_step(tmp_path, last_append):
    """The old end of data is overwritten in part: what frames it says what it must be."""
    before, after = last_append
    end = len(before) - HEADER_BYTES
    for reached in range(1, HEADER_BYTES + 1):
        raw = after[: end + reached] + before[end + reached :] + after[len(before) :]
        assert reopened(tmp_path / "tape", raw) == [*BEFORE, LAST], reached


def test_one_wrong_byte_in_any_header_loses_nothing(tmp_path, last_append):
    _, after = last_append
    offsets, place = [], FIRST_OBJECT_OFFSET_BYTES
    for data in [*BEFORE, LAST, MARK]:
        offsets.append(place)
        place += HEADER_BYTES + len(data)
    for offset in offsets:
        for byte in range(HEADER_BYTES):
            raw = bytearray(after)
            raw[offset + byte] ^= 0x41
            found = []
            path = tmp_path / "tape"
            path.write_bytes(raw)
            assert content(path, listener=found.append) == [*BEFORE, LAST], (offset, byte)
            assert [event.severity for event in found] == ["warning"]
            assert not index_path(path).exists()
    assert reopened(path, bytes(raw)) == [*BEFORE, LAST]
    assert path.read_bytes()[FIRST_OBJECT_OFFSET_BYTES:] == after[FIRST_OBJECT_OFFSET_BYTES:]


def test_two_broken_headers_in_a_row_are_refused_and_nothing_is_cut(tmp_path, last_append):
    _, after = last_append
    raw = bytearray(after)
    second = FIRST_OBJECT_OFFSET_BYTES + HEADER_BYTES + len(BEFORE[0])
    raw[FIRST_OBJECT_OFFSET_BYTES] ^= 1
    raw[second] ^= 1
    path = tmp_path / "tape"
    path.write_bytes(raw)
    for writable in (False, True):
        with pytest.raises(CartridgeError, match=r"several headers in a row.*object 0"):
            Cartridge(path, writable=writable)
    assert path.read_bytes() == raw


def listed(path: Path) -> list[int]:
    """Sizes of all objects, as tgtimg walks the file; it must come to an end of data."""
    shown = output_of("tgtimg", "--op", "show", "--device-type", "tape", "--file", path)
    lines = [line for line in shown.splitlines() if "Blk No." in line]
    assert "rror" not in shown
    assert lines[-1].lstrip().startswith("End of Data")
    return [int(line.rpartition("sz ")[2]) for line in lines[1:-1]]


@pytest.mark.parametrize("at", [len(BEFORE), 2, 0])
def test_the_file_is_a_whole_cartridge_after_every_system_call(tmp_path, monkeypatch, at):
    """Appended at the end, or written over from the middle: never a state that needs mending."""
    path = new(tmp_path / "tape", objects=BEFORE)
    moments = []

    def watched(call):
        def watching(*arguments):
            result = call(*arguments)
            moments.append(path.read_bytes())
            return result

        return watching

    with Cartridge(path) as cartridge, monkeypatch.context() as patch:
        for name in ("pwrite", "pwritev", "ftruncate"):
            patch.setattr(os, name, watched(getattr(os, name)))
        cartridge.truncate(at)
        cartridge.append_record(LAST)
        cartridge.append_filemark()
    assert len(moments) == 4 + 2 * (at < len(BEFORE))
    sizes = [len(data) for data in BEFORE]
    allowed = [sizes[:at], [*sizes[:at], len(LAST)], [*sizes[:at], len(LAST), 0]]
    for moment in moments:
        path.write_bytes(moment)
        found = listed(path)
        assert found in allowed
        del allowed[: allowed.index(found)]
    assert len(allowed) == 1


def test_records_written_at_once_are_all_there_or_none(tmp_path, monkeypatch):
    """Their one write is cut after every part, as by a signal in the middle of it."""
    path = new(tmp_path / "tape", objects=BEFORE)
    blank = path.read_bytes()
    together = [b"a" * 700, b"b", b"c" * 300]
    calls = []
    real = os.pwritev

    def watching(fd, parts, offset):
        calls.append((b"".join(parts), offset))
        return real(fd, parts, offset)

    with Cartridge(path) as cartridge, monkeypatch.context() as patch:
        patch.setattr(os, "pwritev", watching)
        cartridge.append_records(together)
    before, after = [len(data) for data in BEFORE], [len(data) for data in BEFORE + together]
    assert content(path) == [*BEFORE, *together]
    (body, at), (header, start) = calls[:2]
    assert (len(header), start + len(header)) == (48, at)
    for length in [0, 1, 699, 700, 701, 748, 749, 797, len(body) - 48, len(body)]:
        path.write_bytes(blank[:at] + body[:length])
        assert listed(path) == before
        assert content(path, writable=True) == BEFORE
    path.write_bytes(blank[:start] + header + body)
    assert listed(path) == after


def record_of(seed: int, number: int) -> bytes:
    return random.Random(f"{seed} {number}").randbytes(1 + (seed * 7 + number * 131) % 60_000)


def write_until_killed(path: Path, seed: int, done: int) -> None:
    """Append for ever, telling each record that is done; ends by a signal."""
    cartridge, number = Cartridge(path), 0
    while True:
        cartridge.append_record(record_of(seed, number))
        os.write(done, struct.pack("<I", number))
        number += 1


def test_killed_while_writing_keeps_every_record_that_was_acknowledged(tmp_path):
    chance = random.Random(4)
    for seed in range(25):
        path = new(tmp_path / f"tape{seed}")
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            try:
                os.close(reader)
                write_until_killed(path, seed, writer)
            finally:
                os._exit(1)
        os.close(writer)
        acknowledged = chance.randrange(1, 60)
        for _ in range(acknowledged):
            assert len(os.read(reader, 4)) == 4
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        while chunk := os.read(reader, 4096):
            acknowledged = struct.unpack("<I", chunk[-4:])[0] + 1
        os.close(reader)
        found = content(path, writable=True)
        assert len(found) >= acknowledged
        assert found == [record_of(seed, number) for number in range(len(found))]


# -- a full cartridge ----------------------------------------------------------------------------


def test_a_full_cartridge_takes_nothing_more_and_keeps_what_it_has(tmp_path):
    path = new(tmp_path / "tape", capacity_bytes=1 << 20)
    with Cartridge(path) as cartridge:
        for _ in range(15):
            cartridge.append_record(b"x" * (64 << 10))
        with pytest.raises(MediumFullError, match="is full"):
            cartridge.append_record(b"y" * (64 << 10))
        cartridge.append_record(b"z")
        assert len(cartridge) == 16
    assert content(path)[-1] == b"z"


def test_a_full_file_system_loses_the_write_and_no_other(tmp_path):
    path = new(tmp_path / "tape", objects=[b"kept"])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Cartridge(path) as cartridge:
        size_bytes = path.stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes + 1000, hard))
        try:
            with pytest.raises(MediumFullError, match=str(path)):
                cartridge.append_record(b"x" * 5000)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert path.stat().st_size == size_bytes
        cartridge.append_record(b"after")
    assert content(path) == [b"kept", b"after"]


# -- the index -----------------------------------------------------------------------------------


def test_the_index_saves_the_walk_and_is_not_needed(tmp_path, monkeypatch):
    path = new(tmp_path / "tape", objects=BEFORE)

    def walked(*arguments):
        raise AssertionError("the cartridge was walked")

    with monkeypatch.context() as patch:
        patch.setattr(cartridge_module, "scan", walked)
        assert content(path) == BEFORE
        os.utime(path)  # somebody else wrote to it, for all that we know
        with pytest.raises(AssertionError, match="walked"):
            content(path)
    assert content(path) == BEFORE
    index_path(path).unlink()
    assert content(path) == BEFORE
    assert index_path(path).exists()


def test_a_damaged_index_is_as_good_as_none(tmp_path):
    path = new(tmp_path / "tape", objects=BEFORE)
    side = index_path(path)
    raw = side.read_bytes()
    for place in range(len(raw)):
        side.write_bytes(raw[:place] + bytes([raw[place] ^ 0x10]) + raw[place + 1 :])
        assert content(path) == BEFORE, place
        side.write_bytes(raw[:place])
        assert content(path) == BEFORE, place


def test_an_index_of_the_tape_before_it_was_written_over_is_stale(tmp_path):
    path = new(tmp_path / "tape", objects=[b"1" * 50, b"2" * 50])
    stale = index_path(path).read_bytes()
    with Cartridge(path) as cartridge:
        cartridge.truncate(0)
        for data in (b"3" * 20, b"4" * 80):
            cartridge.append_record(data)
    index_path(path).write_bytes(stale)
    assert content(path) == [b"3" * 20, b"4" * 80]


def test_a_folder_that_takes_no_index_only_costs_the_walk(tmp_path):
    path = new(tmp_path / "tape", objects=BEFORE)
    index_path(path).unlink()
    index_path(path).mkdir()  # nothing can be put there, not even by root
    assert content(path) == BEFORE
    assert not [name for name in os.listdir(tmp_path) if name.startswith("tape.idx.")]


# -- hostile files -------------------------------------------------------------------------------


def forged(raw: bytes, offset: int, **changes: int) -> bytes:
    """A cartridge with one header changed, and its checksum right again."""
    header = decode_header(raw[offset : offset + HEADER_BYTES])
    fields = {name: getattr(header, name) for name in header.__slots__} | changes
    return raw[:offset] + type(header)(**fields).encode() + raw[offset + HEADER_BYTES :]


@pytest.mark.parametrize(
    "changes",
    [
        {"next_offset_bytes": FIRST_OBJECT_OFFSET_BYTES},  # a loop
        {"next_offset_bytes": 0},
        {"data_bytes": 0xFFFFFFFF, "next_offset_bytes": FIRST_OBJECT_OFFSET_BYTES + 0x10000002F},
        {"data_bytes": 0x2000000, "next_offset_bytes": FIRST_OBJECT_OFFSET_BYTES + 0x2000030},
        {"previous_offset_bytes": 1 << 63},
        {"number": 1 << 63},
        {"offset_bytes": 0},
        {"kind": 0x99},
        {"kind": 0x10},
    ],
)
def test_headers_that_lie_are_told_from_their_neighbours(tmp_path, last_append, changes):
    _, after = last_append
    path = tmp_path / "tape"
    path.write_bytes(forged(after, FIRST_OBJECT_OFFSET_BYTES, **changes))
    assert content(path) == [*BEFORE, LAST]


def test_an_end_of_data_in_the_middle_is_the_end(tmp_path, last_append):
    _, after = last_append
    second = FIRST_OBJECT_OFFSET_BYTES + HEADER_BYTES + len(BEFORE[0])
    changes = {"kind": 0x20, "data_bytes": 0, "next_offset_bytes": second}
    assert reopened(tmp_path / "tape", forged(after, second, **changes)) == BEFORE[:1]


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_mutation_ends_in_anything_but_an_error_of_ours(tmp_path_factory, last_append, data):
    raw = bytearray(last_append[1])
    for _ in range(data.draw(st.integers(1, 12))):
        place = data.draw(st.integers(0, len(raw) - 1))
        raw[place] = data.draw(st.integers(0, 255))
    del raw[data.draw(st.integers(len(raw) // 2, len(raw))) :]
    path = tmp_path_factory.mktemp("mutated") / "tape"
    path.write_bytes(raw)
    for writable in (False, True):
        with contextlib.suppress(SbtkError):
            assert len(content(path, writable=writable)) <= len(raw) // HEADER_BYTES


@pytest.mark.parametrize("raw", [b"", b"short", bytes(4096), os.urandom(4096)])
def test_what_is_no_cartridge_is_said_to_be_none(tmp_path, raw):
    path = tmp_path / "file"
    path.write_bytes(raw)
    with pytest.raises(CartridgeError, match="is no cartridge"):
        Cartridge(path)
    assert path.read_bytes() == raw


def test_a_data_record_that_lies_in_a_cartridge_on_a_cartridge(tmp_path):
    """Headers inside of records are data, also when the real header before them is damaged."""
    inner = new(tmp_path / "inner", objects=BEFORE).read_bytes()
    path = new(tmp_path / "outer", objects=[inner, b"next"])
    raw = bytearray(path.read_bytes())
    raw[FIRST_OBJECT_OFFSET_BYTES + 5] ^= 0xFF
    path.write_bytes(raw)
    assert content(path) == [inner, b"next"]


def test_a_file_that_cannot_be_read_is_said_so(tmp_path, monkeypatch):
    path = new(tmp_path / "tape", objects=BEFORE)

    def fail(*arguments):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", fail)
        with pytest.raises(DeviceReadError, match="tape: Input/output error"):
            Cartridge(path)
    with Cartridge(path) as cartridge:
        monkeypatch.setattr(os, "preadv", fail)
        with pytest.raises(DeviceReadError, match="Input/output error at byte 1152"):
            read(cartridge, 0)


# -- who may open --------------------------------------------------------------------------------


def test_one_writer_at_a_time_and_readers_beside_it(tmp_path):
    path = new(tmp_path / "tape", objects=BEFORE)
    with Cartridge(path) as writer:
        with pytest.raises(CartridgeError, match="being written by another"):
            Cartridge(path)
        assert content(path) == BEFORE
        writer.append_record(b"more")
        assert content(path) == [*BEFORE, b"more"]


def test_a_cleaning_cartridge_is_not_written(tmp_path):
    path = tmp_path / "clean"
    output_of(
        *("tgtimg", "--op", "new", "--device-type", "tape", "--barcode", "CLN"),
        *("--size", "100", "--type", "clean", "--file", path),
    )
    with Cartridge(path) as cartridge:
        assert not cartridge.writable


def test_names_and_sizes_that_cannot_be(tmp_path):
    path = tmp_path / "tape"
    for wrong in ({"capacity_bytes": 1000}, {"capacity_bytes": 1 << 60}):
        with pytest.raises(UsageError, match="between"):
            create_cartridge(path, **wrong)
    for barcode in ("ä", "x" * 21, "a\nb"):
        with pytest.raises(UsageError, match="no barcode"):
            create_cartridge(path, capacity_bytes=GIB, barcode=barcode)
    assert not path.exists()
    with pytest.raises(LocationNotFoundError):
        Cartridge(path)
    new(path)
    with pytest.raises(LocationError, match="exists"):
        create_cartridge(path, capacity_bytes=GIB)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for wrong in (tmp_path, pipe):
        for writable in (False, True):
            with pytest.raises(LocationError):
                Cartridge(wrong, writable=writable)
