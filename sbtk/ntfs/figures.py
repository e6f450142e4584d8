"""What a summary needs of tables that a scan lets go of: worked out while they are in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sbtk.ntfs.columns import numpy_values, text_buffers
from sbtk.ntfs.layout import AttributeType, Namespace

FIGURE_COLUMNS: dict[str, tuple[str, ...]] = {
    "streams": ("record", "attribute_type", "attribute_name"),
    "names": ("record", "namespace"),
    "extents": ("lcn",),
}
"""Table -> the columns that its figure is worked out from."""


def figure_of(name: str, table: pa.Table) -> npt.NDArray[Any]:
    """The figure of one table, from ``FIGURE_COLUMNS`` of it.

    Returns:
        Of ``streams`` the record of every named $DATA, (n,) uint64; of ``names`` the records with
        more names than one, DOS names not counted, (n,) uint64; of ``extents`` how many are no
        holes, () int64.
    """
    if name == "streams":
        return _named_data(table)
    if name == "names":
        return _linked(table)
    return np.asarray(np.count_nonzero(numpy_values(table["lcn"]) >= 0))


def _named_data(streams: pa.Table) -> npt.NDArray[np.uint64]:
    data = np.flatnonzero(numpy_values(streams["attribute_type"]) == int(AttributeType.DATA))
    texts = streams["attribute_name"].chunks
    name_bytes = [np.empty(0, np.int64), *(np.diff(text_buffers(text)[0]) for text in texts)]
    named = data[np.concatenate(name_bytes)[data] > 0]
    return np.asarray(numpy_values(streams["record"])[named], np.uint64)


def _linked(names: pa.Table) -> npt.NDArray[np.uint64]:
    """The rows of ``names`` are sorted by record."""
    proper = numpy_values(names["record"])[numpy_values(names["namespace"]) != int(Namespace.DOS)]
    again = proper[1:][proper[1:] == proper[:-1]]
    return np.asarray(again[np.flatnonzero(np.diff(again, prepend=again[:1] + 1))], np.uint64)
