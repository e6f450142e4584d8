"""Volumes of the corpus as plans need them, and made-up ones of any shape."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa

from sbtk.archive.manifest import Geometry
from sbtk.ntfs.tables import EXTENTS, FILES, Tables, VolumeInfo
from sbtk.plan import batch
from sbtk.plan.api import geometry_of, partition_table_of
from sbtk.plan.backup import Options, SetFacts, plan_tables
from sbtk.plan.model import NOTHING, Plan, Ranges, Target
from sbtk.scsi.limits import Limits, limits
from sbtk.volume import Volume, open_volume
from tests.corpus import volume

FACTS = SetFacts(set_id="test", created="2026-01-01T00:00:00Z", quiet={"quiet_s": 3.0})
TAPE = Target("tape", block_bytes=1)


@cache
def opened(name: str) -> Volume:
    found = open_volume(volume(name).image)
    assert found.tables.bitmap is not None
    return found


def corpus_plan(
    name: str, target: Target, profile: str, layout: str, *, block_bytes: int = 0, **options
) -> Plan:
    """A plan of a volume of the corpus; ``block_bytes`` serves it with other blocks."""
    own = opened(name)
    geometry = geometry_of(own.device, own.tables.volume)
    if block_bytes:
        geometry = replace(geometry, block_bytes=block_bytes)
    manager = limits(profile)
    return plan_tables(
        own.tables,
        own.tables.bitmap,
        geometry,
        target,
        batch.for_tape(manager) if target.medium == "tape" else manager,
        options=Options(layout=layout, **options),
        facts=FACTS,
        partition_table=partition_table_of(own.device),
        read_value=lambda row: own.read_value(row, 1 << 20),
    )


def lun_bytes(plan_of: Volume | Path) -> bytes:
    path = plan_of if isinstance(plan_of, Path) else Path(plan_of.device.disk.name)
    return path.read_bytes()


@dataclass(frozen=True)
class Shape:
    """A made-up volume: runs of clusters and the geometry around them."""

    lcn: np.ndarray
    clusters: np.ndarray
    geometry: Geometry
    partition_table: Ranges = NOTHING

    @property
    def tables(self) -> Tables:
        rows = self.lcn.size
        names = pa.DictionaryArray.from_arrays(
            pa.array(np.zeros(rows, np.int32)), pa.array([""], pa.large_string())
        )
        columns = [
            np.arange(rows, dtype=np.uint64) + 24, np.arange(rows), np.full(rows, 0x80, np.uint32),
            names, np.zeros(rows, np.int64), self.lcn, self.clusters,
        ]  # fmt: skip
        info = VolumeInfo(
            cluster_bytes=self.geometry.cluster_bytes,
            sector_bytes=self.geometry.sector_bytes,
            total_clusters=self.geometry.total_clusters,
        )
        files = pa.table({field.name: pa.nulls(0, field.type) for field in FILES}, schema=FILES)
        return Tables(
            volume=info, files=files, names=pa.table({}), streams=pa.table({}),
            extents=pa.table(columns, schema=EXTENTS), findings=pa.table({}),
        )  # fmt: skip

    @property
    def bitmap(self) -> np.ndarray:
        bits = np.zeros(self.geometry.total_clusters, np.uint8)
        for start, count in zip(self.lcn.tolist(), self.clusters.tolist(), strict=True):
            bits[start : start + count] = 1
        return np.packbits(bits, bitorder="little")

    def plan(
        self,
        target: Target,
        manager: Limits,
        *,
        tables: Tables | None = None,
        bitmap=None,
        **options,
    ) -> Plan:
        return plan_tables(
            tables or self.tables,
            self.bitmap if bitmap is None else bitmap,
            self.geometry,
            target,
            manager,
            options=Options(**options),
            facts=FACTS,
            partition_table=self.partition_table,
        )


def shape(
    gaps: list[tuple[int, int]],
    *,
    cluster_bytes: int = 4096,
    block_bytes: int = 512,
    start_bytes: int = 0,
    spare_bytes: int = 0,
    table: bool = False,
) -> Shape:
    """Runs from (gap, clusters) pairs, on a LUN with the volume at ``start_bytes``."""
    lcn, clusters, at = [], [], 0
    for gap, count in gaps:
        lcn.append(at + gap)
        clusters.append(count)
        at += gap + count
    total = at + 3
    sector = max(block_bytes, 512)
    volume_bytes = total * cluster_bytes + sector
    lun = start_bytes + volume_bytes + spare_bytes
    lun = -(-lun // block_bytes) * block_bytes
    geometry = Geometry(block_bytes, lun, start_bytes, volume_bytes, sector, cluster_bytes, total)
    rows = Ranges(
        np.array([0]), np.array([min(start_bytes, 34 * 512) // block_bytes * block_bytes])
    )
    own = rows if table and rows.length_bytes[0] else NOTHING
    return Shape(np.array(lcn, np.int64), np.array(clusters, np.int64), geometry, own)


def content(geometry: Geometry, seed: int = 1) -> bytes:
    """Bytes of a LUN in which every sector is another."""
    return np.random.default_rng(seed).bytes(geometry.lun_bytes)
