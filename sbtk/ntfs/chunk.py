"""What decoding one chunk of $MFT yields: flat columns, and the codes that they hold.

Both implementations of the kernels fill the same ``Chunk``; nothing else depends on which one ran.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

U8 = npt.NDArray[np.uint8]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
Column = npt.NDArray[Any]

NO_TIME = np.iinfo(np.int64).min
"""A timestamp that nanoseconds in 64 bits cannot hold (1601 to 1677, after 2262): null in tables.

pandas' NaT has the same value.
"""

ESCAPE = "\ufffd"
"""Stands, with four hexadecimal digits, for a UTF-16 unit that has no place in a path: an unpaired
surrogate, "/", NUL, or the first dot of a name that is "." or ".."."""


class Status(IntEnum):
    """What a record is."""

    FREE = 0  # a FILE record that is not in use
    BASE = 1
    EXTENSION = 2
    BLANK = 3  # never formatted: no signature
    DAMAGED = 4  # nothing in it can be trusted


class Fault(IntEnum):
    """The first thing that is wrong with a record; the findings' codes are these names."""

    NONE = 0
    RECORD_TORN_MARK = 1
    RECORD_SIGNATURE = 2
    RECORD_UPDATE_SEQUENCE = 3
    RECORD_TORN_WRITE = 4
    RECORD_HEADER = 5
    ATTRIBUTE_LENGTH = 6
    ATTRIBUTE_END = 7
    ATTRIBUTE_NAME = 8
    ATTRIBUTE_VALUE = 9
    ATTRIBUTE_SIZES = 10
    RUN_LIST = 11
    RUN_LIST_COVERAGE = 12
    FILE_NAME = 13
    STANDARD_INFORMATION = 14
    NAME_TEXT = 15

    @property
    def code(self) -> str:
        """The finding's code, ``"run-list-coverage"``."""
        return self.name.lower().replace("_", "-")


FAULT_TEXT = {
    Fault.RECORD_TORN_MARK: "the record is marked BAAD: a write to it was torn",
    Fault.RECORD_SIGNATURE: "it does not start with FILE",
    Fault.RECORD_UPDATE_SEQUENCE: "its update sequence array lies outside its first sector",
    Fault.RECORD_TORN_WRITE: "a sector's tail is not its update sequence number: a torn write",
    Fault.RECORD_HEADER: "its header points outside the record",
    Fault.ATTRIBUTE_LENGTH: "an attribute's length is impossible; those behind it are lost",
    Fault.ATTRIBUTE_END: "its attributes have no end mark",
    Fault.ATTRIBUTE_NAME: "an attribute's name or form lies outside it",
    Fault.ATTRIBUTE_VALUE: "an attribute's value lies outside it or in its header",
    Fault.ATTRIBUTE_SIZES: "a non-resident attribute's header cannot be true",
    Fault.RUN_LIST: "a run list is damaged; its stream has no extents",
    Fault.RUN_LIST_COVERAGE: "a run list does not cover the clusters its header states",
    Fault.FILE_NAME: "a $FILE_NAME is cut off",
    Fault.STANDARD_INFORMATION: "its $STANDARD_INFORMATION is cut off",
    Fault.NAME_TEXT: "a name holds a character that no path can; it is shown escaped",
}


class Chunk(NamedTuple):
    """Rows of one chunk, in record order; arrays are valid until the same decoder runs again.

    Columns are (n,) integers, int64 where not narrower; unsigned 64-bit values keep their bits.

    ``*_index`` columns hold the record's place in the chunk; ``*_ends`` hold, for each row, where
    its text ends in the blob beside it (the first row's starts at 0).
    """

    # one row a record of the chunk
    status: U8
    fault: U8
    already_fixed: int  # records whose fixups had been undone before

    # one row an in-use record
    record_index: Column
    sequence: Column
    hard_links: Column
    flags: Column
    base: Column  # record number of the base record; -1 in a base record
    base_sequence: Column
    lsn: Column
    times: Column  # (n, 4): created, modified, changed, accessed; ns since 1970 or NO_TIME
    attributes: Column

    # one row a $FILE_NAME
    name_index: Column
    parent: Column
    parent_sequence: Column
    namespace: Column
    name_ends: Column
    name_blob: U8  # UTF-8

    # one row any other attribute, or a piece of one
    stream_index: Column
    attribute_type: Column
    resident: Column
    attribute_flags: Column
    data_bytes: Column
    allocated_bytes: Column
    initialized_bytes: Column
    compression_unit: Column
    lowest_vcn: Column
    runs: Column  # rows of the piece in the run columns below, which are in the same order
    stream_ends: Column
    stream_blob: U8  # attribute names, UTF-8

    # one row a run
    vcn: Column
    lcn: Column
    clusters: Column

    # one row a resident $ATTRIBUTE_LIST
    list_index: Column
    list_ends: Column
    list_blob: U8
