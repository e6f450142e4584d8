"""The loops over runs and look-ups, in plain Python as Numba compiles them.

Arguments are contiguous int64 arrays; results go into arrays that the caller made. Nothing here
is called directly: ``kernels`` has the face, ``kernels_numba`` the compiled form.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Int64Array = NDArray[np.int64]


def is_sorted(values: Int64Array) -> bool:
    """Whether the values ascend (equal ones allowed)."""
    for index in range(1, values.size):  # noqa: SIM110 - Numba compiles the loop
        if values[index] < values[index - 1]:
            return False
    return True


def find_sorted(
    lcn: Int64Array, clusters: Int64Array, query_lcn: Int64Array, found: Int64Array
) -> None:
    """Look up ascending queries: gallop from where the last one ended, then bisect."""
    rows = lcn.size
    row = 0  # first row that starts behind the query
    for index in range(query_lcn.size):
        query = query_lcn[index]
        step = 1
        low = row
        high = row
        while high < rows and lcn[high] <= query:
            low = high + 1
            high += step
            step *= 2
        high = min(high, rows)
        while low < high:
            middle = (low + high) >> 1
            if lcn[middle] <= query:
                low = middle + 1
            else:
                high = middle
        row = low
        hit = row - 1
        found[index] = hit if hit >= 0 and query - lcn[hit] < clusters[hit] else -1


def bucket_starts(lcn: Int64Array, first_lcn: int, shift: int, starts: Int64Array) -> None:
    """``starts[b]`` = first row that starts at or behind ``first_lcn + (b << shift)``."""
    bucket = 0
    for row in range(lcn.size):
        last = (lcn[row] - first_lcn) >> shift
        while bucket <= last:
            starts[bucket] = row
            bucket += 1
    while bucket < starts.size:
        starts[bucket] = lcn.size
        bucket += 1


def find_bucketed(
    lcn: Int64Array,
    clusters: Int64Array,
    first_lcn: int,
    shift: int,
    starts: Int64Array,
    query_lcn: Int64Array,
    found: Int64Array,
) -> None:
    """Look up queries in any order: the bucket's rows, then bisect among them."""
    last_bucket = starts.size - 2
    for index in range(query_lcn.size):
        query = query_lcn[index]
        if query < first_lcn:
            found[index] = -1
            continue
        bucket = min((query - first_lcn) >> shift, last_bucket)
        low = starts[bucket]
        high = starts[bucket + 1]
        while low < high:
            middle = (low + high) >> 1
            if lcn[middle] <= query:
                low = middle + 1
            else:
                high = middle
        hit = low - 1
        found[index] = hit if query - lcn[hit] < clusters[hit] else -1


def sweep(
    lcn: Int64Array,
    end_lcn: Int64Array,
    stack: Int64Array,
    piece_lcn: Int64Array,
    piece_end: Int64Array,
    piece_row: Int64Array,
) -> int:
    """Cut runs, ascending by start, into disjoint pieces; the run that starts last owns.

    ``stack`` (n,) holds the runs that were entered, the latest on top; ended ones are dropped
    when they come to the top. The piece arrays hold 2n. Returns the number of pieces.
    """
    count = 0
    depth = 0
    at_lcn = lcn[0]
    for row in range(lcn.size + 1):
        until_lcn = lcn[row] if row < lcn.size else np.iinfo(np.int64).max
        while depth > 0 and at_lcn < until_lcn:
            owner = stack[depth - 1]
            if end_lcn[owner] <= at_lcn:
                depth -= 1
                continue
            stop_lcn = min(end_lcn[owner], until_lcn)
            piece_lcn[count] = at_lcn
            piece_end[count] = stop_lcn
            piece_row[count] = owner
            count += 1
            at_lcn = stop_lcn
        if row < lcn.size:
            stack[depth] = row
            depth += 1
            at_lcn = until_lcn
    return count


def count_pieces(
    lcn: Int64Array, clusters: Int64Array, stream: Int64Array, vcn: Int64Array,
    pieces: NDArray[np.int32],
) -> None:  # fmt: skip
    """Add up each stream's runs; one that goes on where the run before it ends is no new piece."""
    for row in range(lcn.size):
        owner = stream[row]
        if (
            row > 0
            and owner == stream[row - 1]
            and lcn[row] == lcn[row - 1] + clusters[row - 1]
            and vcn[row] > vcn[row - 1]
        ):
            continue
        pieces[owner] += 1


def weigh_runs(
    clusters: Int64Array, stream: Int64Array, weight: NDArray[np.float32],
    before: NDArray[np.float64],
) -> None:  # fmt: skip
    """``before[row]`` = clusters times their stream's weight of all rows before it, added up."""
    total = 0.0
    before[0] = total
    for row in range(clusters.size):
        total += clusters[row] * weight[stream[row]]
        before[row + 1] = total
