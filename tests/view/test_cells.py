"""The disk map's numbers against one look-up a cluster."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sbtk.errors import UsageError
from sbtk.view.cells import MODES, CellMap, choose_grid
from sbtk.view.source import Source, open_source
from tests.corpus import volume


@pytest.fixture(scope="module")
def zoo() -> Source:
    return open_source(str(volume("zoo").image))


def by_cluster(source: Source, weight_of_stream: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whether each cluster is owned, and the weight of its owner: one look-up each."""
    every = np.arange(source.tables.volume.total_clusters)
    row = source.extents.owner_rows(every)
    owned = row >= 0
    weight = np.where(owned, weight_of_stream[source.extents.stream[np.maximum(row, 0)]], 0.0)
    return owned, weight


def fragments_by_measure(source: Source) -> np.ndarray:
    """Fragments of every stream as ``fragmentation()`` counts them, by sorting each file's runs."""
    extents = source.extents
    runs: dict[int, list[tuple[int, int, int]]] = {}
    rows = zip(extents.stream, extents.vcn, extents.lcn, extents.clusters, strict=True)
    for stream, vcn, lcn, clusters in rows:
        if lcn >= 0:
            runs.setdefault(int(stream), []).append((int(vcn), int(lcn), int(clusters)))
    found = np.ones(len(extents.owners))
    for stream, pieces in runs.items():
        pieces.sort()
        jumps = (new[1] != old[1] + old[2] for old, new in pairwise(pieces))
        found[stream] = 1 + sum(jumps)
    return found


@pytest.mark.parametrize("name", ["office", "zoo"])
@pytest.mark.parametrize("first_share", [0.0, 0.3])
def test_cells_equal_one_look_up_a_cluster(request, name, first_share):
    source = request.getfixturevalue(name)
    total = source.tables.volume.total_clusters
    first, last = int(total * first_share), total - 1 - int(total * first_share / 2)
    fragments = fragments_by_measure(source)
    owned, weight = by_cluster(source, fragments)
    frame = CellMap(source.extents).frame(first, last, "fragmentation")
    assert frame.grid.cells == frame.shade.size == frame.used_clusters.size
    for cell in range(0, frame.grid.cells, 7):
        low, high = frame.bounds_lcn[cell : cell + 2]
        used = int(owned[low:high].sum())
        assert frame.used_clusters[cell] == used
        assert (frame.shade[cell] == 0) == (used == 0)
        if used:
            assert frame.value[cell] == pytest.approx(weight[low:high].sum() / used, rel=1e-5)


def test_every_mode_agrees_on_what_is_free_and_covers_the_volume(office):
    cells = CellMap(office.extents)
    frames = [cells.frame(0, cells.total_clusters - 1, mode) for mode in MODES]
    owned = office.extents.owned.total_clusters
    assert {int(frame.used_clusters.sum()) for frame in frames} == {owned}
    assert len({(frame.shade == 0).tobytes() for frame in frames}) == 1
    assert frames[0].value.max() == 100.0


def test_the_newest_file_is_the_lightest(office):
    cells = CellMap(office.extents)
    owners = office.extents.owners
    days = cells._age_days
    modified = owners.table["modified"].to_pylist()
    known = [stamp for stamp in modified if stamp is not None]
    assert days.min() == 0.0
    assert modified[int(days.argmin())] == max(known)


@given(clusters=st.integers(1, 10**12), width=st.integers(240, 4000), height=st.integers(100, 1000))
@settings(max_examples=100, deadline=None)
def test_a_grid_fits_its_room_and_no_cell_is_empty(clusters, width, height):
    grid = choose_grid(clusters, width, height)
    assert grid.columns * grid.cell_px <= max(width, grid.cell_px)
    assert grid.rows * grid.cell_px <= max(height, grid.cell_px)
    assert 1 <= grid.cells <= clusters
    assert (grid.rows - 1) * grid.columns < grid.cells <= grid.rows * grid.columns


@pytest.mark.parametrize(("first", "last"), [(-1, 5), (5, 4), (0, 10**9)])
def test_a_range_outside_the_volume_is_refused(office, first, last):
    with pytest.raises(UsageError, match="no range of this volume"):
        CellMap(office.extents).frame(first, last, "occupancy")
