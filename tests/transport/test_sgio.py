"""SG_IO where there is no SCSI device; the rest is shown in the guest (tests/interop)."""

from __future__ import annotations

import ctypes

import pytest

from sbtk.errors import LocationError, LocationNotFoundError
from sbtk.transport import sgio


def test_the_structure_is_the_kernels():
    """Sizes and places that a C compiler gives ``struct sg_io_hdr`` on 64-bit Linux."""
    header = sgio._SgIoHdr
    assert ctypes.sizeof(header) == 88
    places = {"dxfer_len": 12, "dxferp": 16, "cmdp": 24, "sbp": 32, "timeout": 40, "status": 64}
    assert {name: getattr(header, name).offset for name in places} == places
    assert (header.host_status.offset, header.resid.offset, header.info.offset) == (68, 72, 80)


def test_what_is_no_scsi_node_is_said(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    for path in (str(tmp_path / "file"), "/dev/null"):
        with pytest.raises(LocationError, match="takes no SCSI commands") as caught:
            sgio.SgTransport(path)
        assert caught.value.hint
    with pytest.raises(LocationNotFoundError):
        sgio.SgTransport(str(tmp_path / "none"))
