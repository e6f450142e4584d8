"""Numbers for people, and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbtk import units
from sbtk.errors import UsageError


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.00 KiB"),
        (1536, "1.50 KiB"),
        (10 * 1024, "10.0 KiB"),
        (999 * 1024, "999 KiB"),
        (1000 * 1024, "0.98 MiB"),
        (1 << 30, "1.00 GiB"),
        (-2048, "-2.00 KiB"),
    ],
)
def test_format_bytes(value, text):
    assert units.format_bytes(value) == text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("4096", 4096),
        ("64k", 65536),
        ("64KiB", 65536),
        ("1.5 GiB", 3 << 29),
        ("10MB", 10_000_000),
        ("0", 0),
    ],
)
def test_parse_bytes(text, value):
    assert units.parse_bytes(text) == value


@pytest.mark.parametrize(
    "text", ["", "x", "-1", "1.5", "12 parsecs", "1e3", "0.3 KiB", "9" * 5000, "9" * 400 + ".0"]
)
def test_parse_bytes_refuses(text):
    with pytest.raises(UsageError):
        units.parse_bytes(text)


@given(st.integers(0, 1 << 62))
def test_format_bytes_is_within_half_a_percent(value):
    number, unit = units.format_bytes(value).split()
    factor = 1024 ** ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB").index(unit)
    assert abs(float(number) * factor - value) <= max(0.0055 * value, 0.5)


@pytest.mark.parametrize(
    ("value_s", "text"),
    [
        (0.0012, "1.2 ms"),
        (0.5, "500 ms"),
        (3.04, "3.0 s"),
        (59.97, "1 min 00 s"),
        (75, "1 min 15 s"),
        (7322, "2 h 02 min"),
    ],
)
def test_format_seconds(value_s, text):
    assert units.format_seconds(value_s) == text


def test_plural():
    assert units.plural(1, "file") == "1 file"
    assert units.plural(2345, "file") == "2,345 files"
    assert units.plural(2, "entry", "entries") == "2 entries"
