"""Columns between NumPy and Arrow without a copy, and without pandas.

``pyarrow.array`` and ``to_numpy`` import pandas, which takes longer than decoding a million
records; the buffers below are all that is needed. Importing ``pyarrow.compute`` makes a documented
Python function of each of Arrow's: what it calls them by is enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

try:
    from pyarrow._compute import call_function
except ImportError:  # another version of Arrow
    from pyarrow.compute import call_function


def arrow_array(values: npt.NDArray[Any], kind: pa.DataType | None = None) -> pa.Array:
    """Arrow's view of ``values``, (n,) of a plain type; ``kind`` if it is not the type's own."""
    buffer: npt.NDArray[Any]
    if values.dtype == np.bool_:
        buffer, own = np.packbits(values, bitorder="little"), pa.bool_()
    else:
        buffer, own = np.ascontiguousarray(values), pa.from_numpy_dtype(values.dtype)
    return pa.Array.from_buffers(kind or own, len(values), [None, pa.py_buffer(buffer)])


def arrow_table(
    columns: list[npt.NDArray[Any] | pa.Array | pa.ChunkedArray], schema: pa.Schema
) -> pa.Table:
    """A table of NumPy and Arrow columns; each NumPy column has the type of its field."""
    arrays = []
    for values, field in zip(columns, schema, strict=True):
        if isinstance(values, np.ndarray):
            own = values.astype(numpy_dtype(field.type), copy=False)
            arrays.append(arrow_array(own, field.type))
        else:
            arrays.append(values)
    return pa.Table.from_arrays(arrays, schema=schema)


def numpy_dtype(kind: pa.DataType) -> np.dtype[Any]:
    """The NumPy type with the same bytes."""
    return np.dtype(np.int64 if pa.types.is_timestamp(kind) else kind.to_pandas_dtype())


def numpy_values(column: pa.Array | pa.ChunkedArray) -> npt.NDArray[Any]:
    """The values of a column of a plain type without nulls, (n,); a copy only of booleans.

    A column of several chunks is joined.
    """
    if isinstance(column, pa.ChunkedArray):
        if column.num_chunks != 1:
            parts = [numpy_values(chunk) for chunk in column.chunks]
            empty = np.empty(
                0, np.bool_ if pa.types.is_boolean(column.type) else numpy_dtype(column.type)
            )
            return np.concatenate(parts) if parts else empty
        column = column.chunk(0)
    first, count = column.offset, len(column)
    data = column.buffers()[1]
    if pa.types.is_boolean(column.type):
        if data is None:
            return np.zeros(0, np.bool_)
        bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
        return bits[first : first + count].view(np.bool_)
    dtype = numpy_dtype(column.type)
    return (
        np.frombuffer(data, dtype, count, first * dtype.itemsize) if count else np.empty(0, dtype)
    )


def numpy_truth(column: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    """Where a column of booleans is true, (n,); nulls are not."""
    found: npt.NDArray[np.bool_] = numpy_values(column) & numpy_values(column.is_valid())
    return found


def text_array(offsets: npt.NDArray[np.int64], blob: npt.NDArray[np.uint8]) -> pa.LargeStringArray:
    """Arrow text over these buffers, without a copy: (n + 1,) int64 offsets into UTF-8."""
    return pa.LargeStringArray.from_buffers(
        len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(blob)
    )


def text_buffers(text: pa.LargeStringArray) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    """The offsets, (n + 1,) int64, and the UTF-8 bytes below an array of text, without a copy."""
    _, offsets, blob = text.buffers()
    first = text.offset
    numbers = np.frombuffer(offsets, np.int64)[first : first + len(text) + 1]
    return numbers, np.frombuffer(blob or b"", np.uint8)


def compute(function: str, *arguments: pa.Array | pa.ChunkedArray | pa.Scalar) -> Any:
    """What one of Arrow's functions, by its name there and without options, makes of these."""
    return call_function(function, list(arguments))


def take(values: pa.Array, rows: npt.NDArray[Any]) -> pa.Array:
    """The values at ``rows``, (n,) row numbers."""
    return compute("take", values, arrow_array(rows))


def encode_text(text: pa.LargeStringArray) -> pa.DictionaryArray:
    """``text``, most of it empty, as int32 numbers of different texts; the first one is empty."""
    named = np.flatnonzero(np.diff(text_buffers(text)[0]))
    found = compute("dictionary_encode", take(text, named))
    numbers = np.zeros(len(text), np.int32)
    numbers[named] = numpy_values(found.indices) + 1
    different = pa.concat_arrays([text_of([""]), found.dictionary])
    return pa.DictionaryArray.from_arrays(arrow_array(numbers), different)


def text_of(strings: Sequence[str]) -> pa.LargeStringArray:
    """A few strings of Python as Arrow text."""
    offsets, blob = _encoded(strings)
    return text_array(offsets, blob)


def short_text(strings: Sequence[str]) -> pa.StringArray:
    """Strings of Python, less than 2 GiB together, as Arrow text with 32-bit offsets."""
    offsets, blob = _encoded(strings)
    return pa.StringArray.from_buffers(
        len(strings), pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(blob)
    )


def _encoded(strings: Sequence[str]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    encoded = [item.encode() for item in strings]
    offsets = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum([len(item) for item in encoded], out=offsets[1:])
    return offsets, np.frombuffer(b"".join(encoded), np.uint8)
