"""The compiled kernels and their NumPy twin give the same tables, with any number of threads."""

from __future__ import annotations

from dataclasses import asdict
from unittest import mock

import numpy as np
import pytest

from sbtk.device.file import FileDevice
from sbtk.ntfs import kernels
from sbtk.ntfs.scan import scan
from tests.oracles.views import tables

TABLES = ("files", "names", "streams", "extents", "findings")


@pytest.mark.parametrize(("name", "threads"), [("numpy", 1), ("numba", 1), ("numba", 3)])
def test_same_tables(corpus_volume, name, threads):
    source = str(corpus_volume.image)
    with (
        mock.patch("sbtk.ntfs.scan.load", return_value=kernels.load(name)) as used,
        FileDevice(source) as device,
    ):
        found = scan(device, source=source, threads=threads)
    assert used.called
    assert kernels.load(name).name == name
    expected = tables(corpus_volume.name)
    for table in TABLES:
        assert getattr(found, table).equals(getattr(expected, table)), table
    assert asdict(found.volume) == asdict(expected.volume)
    assert np.array_equal(found.bitmap, expected.bitmap)
