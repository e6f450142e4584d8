"""LUNs as eight bytes, and REPORT LUNS data (SAM-5 4.7; SPC-4 6.33)."""

from __future__ import annotations

from collections.abc import Iterable

from sbtk.errors import LocalScsiError, RemoteScsiError
from sbtk.scsi.layout import ByteView

_PERIPHERAL, _FLAT = 0b00, 0b01
MAX_LUN = 0x3FFF  # flat space addressing, SAM-5 4.7.5.1


def encode_lun(lun: int) -> bytes:
    """A LUN number as single-level LUN structure: peripheral up to 255, flat space above.

    Raises:
        LocalScsiError: larger than 16383.
    """
    if not 0 <= lun <= MAX_LUN:
        raise LocalScsiError(f"LUN {lun} does not exist, 0 to {MAX_LUN} do")
    word = lun if lun < 256 else _FLAT << 14 | lun
    return word.to_bytes(2, "big") + bytes(6)


def decode_lun(data: ByteView) -> int:
    """The number of a single-level LUN.

    Raises:
        RemoteScsiError: not 8 bytes, several levels, or a bus other than 0.
    """
    word = int.from_bytes(data[:2], "big")
    method, number = word >> 14, word & 0x3FFF
    single = len(data) == 8 and not any(data[2:])
    if single and (method == _FLAT or (method == _PERIPHERAL and number < 256)):
        return number
    raise RemoteScsiError(f"LUN {bytes(data).hex()} is not a single-level one", byte_offset=0)


def encode_report(luns: Iterable[int]) -> bytes:
    """REPORT LUNS parameter data (SPC-4 6.33 table 290), sorted."""
    body = b"".join(encode_lun(lun) for lun in sorted(luns))
    return len(body).to_bytes(4, "big") + bytes(4) + body


def decode_report(data: ByteView) -> tuple[int, ...]:
    """The LUNs of REPORT LUNS data, as many as came whole.

    Raises:
        RemoteScsiError: no header, or a LUN that is not single-level.
    """
    if len(data) < 8:
        raise RemoteScsiError(f"REPORT LUNS data of {len(data)} bytes", byte_offset=len(data))
    end = min(len(data), 8 + int.from_bytes(data[:4], "big"))
    return tuple(decode_lun(data[at : at + 8]) for at in range(8, end - 7, 8))
