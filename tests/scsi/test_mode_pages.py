"""Mode pages: their code, their length, and the bits that mean something."""

import pytest

from sbtk.scsi import mode_pages


@pytest.mark.parametrize(
    ("page", "raw"),
    [
        (mode_pages.CachingPage(write_cache=True), "08 12 04" + "00" * 17),
        (mode_pages.CachingPage(read_cache_disabled=True), "08 12 01" + "00" * 17),
        (mode_pages.ControlPage(descriptor_sense=True), "0a 0a 04" + "00" * 9),
        (
            mode_pages.ControlPage(
                unrestricted_reordering=True, software_write_protect=True, busy_timeout=0x1234
            ),
            "0a 0a 00 10 08 00 00 00 12 34 00 00",
        ),
        (mode_pages.DataCompressionPage(capable=True), "0f 0e 40" + "00" * 13),
        (
            mode_pages.DeviceConfigurationPage(early_warning_synchronizes=True),
            "10 0e" + "00" * 8 + "08" + "00" * 5,
        ),
    ],
)
def test_pages_byte_for_byte(page, raw):
    encoded = page.encode()
    assert encoded == bytes.fromhex(raw)
    assert encoded[1] == len(encoded) - 2
    assert type(page).decode(encoded) == page
