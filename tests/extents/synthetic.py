"""Tables of volumes that were never formatted: just the rows that a test is about."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from sbtk.ntfs.tables import EXTENTS, FILES, FINDINGS, NAMES, STREAMS, Tables, VolumeInfo

DATA = 0x80
CLUSTER_BYTES = 4096


class Volume:
    """Collects files; ``tables()`` gives what a scan of such a volume would."""

    def __init__(self, total_clusters=1000, *, bitmap=None, **info):
        geometry = {"sector_bytes": 512, "cluster_bytes": CLUSTER_BYTES, "partition_start_lba": 0}
        self.info = VolumeInfo(total_clusters=total_clusters, **{**geometry, **info})
        self.files, self.names, self.streams, self.extents = [], [], [], []
        self.findings = []
        self.bitmap = bitmap

    def add(self, record, path, runs, **changes):
        """A file with one stream; ``runs`` are (vcn, lcn, clusters)."""
        covered = max((vcn + clusters for vcn, _, clusters in runs), default=0) * CLUSTER_BYTES
        size = changes.pop("size_bytes", covered)
        file = {
            "record": record, "sequence": 1, "path": path, "is_directory": False,
            "size_bytes": size, "allocated_bytes": covered, "extents": len(runs),
            "resident": False, "compressed": False, "sparse": False, "encrypted": False,
            "hard_links": 1, "attributes": 0, "created": 0, "modified": 0, "changed": 0,
            "accessed": 0, "lsn": 0,
        }  # fmt: skip
        names = set(file) & set(changes)
        self.files.append(file | {name: changes.pop(name) for name in names})
        parent = changes.pop("parent", 5)
        name = path.rpartition("/")[2]
        self.names.append(
            {"record": record, "parent": parent, "namespace": 1, "name": name, "path": path}
        )
        return self.stream(record, runs, data_bytes=size, **changes)

    def stream(self, record, runs, attribute_type=DATA, attribute_name="", **changes):
        """A stream of a file; the sizes follow from the runs unless they are given."""
        covered = max((vcn + clusters for vcn, _, clusters in runs), default=0) * CLUSTER_BYTES
        number = len(self.streams)
        stream = {
            "stream": number, "record": record, "attribute_type": attribute_type,
            "attribute_name": attribute_name, "resident": False,
            "flags": 0x8000 if any(lcn < 0 for _, lcn, _ in runs) else 0,
            "data_bytes": covered, "allocated_bytes": covered, "compression_unit": 0,
        } | changes  # fmt: skip
        stream.setdefault("initialized_bytes", stream["data_bytes"])
        self.streams.append(stream)
        for vcn, lcn, clusters in runs:
            self.extents.append(
                {
                    "record": record,
                    "stream": number,
                    "attribute_type": attribute_type,
                    "attribute_name": attribute_name,
                    "vcn": vcn,
                    "lcn": lcn,
                    "clusters": clusters,
                }
            )
        return self

    def mark(self, *, but=(), also=()):
        """Set the bits of all clusters that files own, except ``but``, and ``also`` others."""
        used = {
            cluster
            for row in self.extents
            if row["lcn"] >= 0
            for cluster in range(row["lcn"], row["lcn"] + row["clusters"])
        }
        bits = np.zeros(-(-self.info.total_clusters // 64) * 64, np.uint8)
        bits[self.info.total_clusters :] = 1  # padding, as formatters write it
        chosen = [c for c in (used - set(but)) | set(also) if c < self.info.total_clusters]
        bits[chosen] = 1
        self.bitmap = np.packbits(bits, bitorder="little").tobytes()
        return self

    def tables(self):
        """The tables, in the orders that the schemas promise."""
        rows = sorted(self.extents, key=lambda row: (row["lcn"] < 0, row["lcn"]))
        return Tables(
            volume=self.info,
            files=pa.Table.from_pylist(sorted(self.files, key=lambda f: f["record"]), FILES),
            names=pa.Table.from_pylist(self.names, NAMES),
            streams=pa.Table.from_pylist(self.streams, STREAMS),
            extents=pa.Table.from_pylist(rows, EXTENTS),
            findings=pa.Table.from_pylist(self.findings, FINDINGS),
            bitmap=None if self.bitmap is None else np.frombuffer(self.bitmap, np.uint8),
        )


def from_arrays(lcn, clusters, vcn, stream, total_clusters):
    """Tables of many rows: ``stream`` k is unnamed $DATA of record k + 24, named ``dir/fK``."""
    streams = int(stream.max()) + 1
    record = np.arange(streams, dtype=np.uint64) + 24
    covered = np.zeros(streams, np.int64)
    np.maximum.at(covered, stream, vcn + clusters)
    covered *= CLUSTER_BYTES
    zeros = np.zeros(streams, np.int64)
    columns = {
        "record": record, "sequence": zeros + 1, "size_bytes": covered,
        "allocated_bytes": covered, "data_bytes": covered, "initialized_bytes": covered,
        "stream": np.arange(streams), "attribute_type": zeros + DATA, "hard_links": zeros + 1,
        "parent": zeros + 5, "path": [f"dir{n % 100}/f{n}" for n in range(streams)],
        "name": [f"f{n}" for n in range(streams)], "attribute_name": [""] * streams,
    }  # fmt: skip
    extents = {
        "record": record[stream], "stream": stream, "attribute_type": np.full(lcn.size, DATA),
        "attribute_name": pa.DictionaryArray.from_arrays(
            pa.array(np.zeros(lcn.size, np.int32)), pa.array([""], pa.large_string())
        ),
        "vcn": vcn, "lcn": lcn, "clusters": clusters,
    }  # fmt: skip
    info = VolumeInfo(total_clusters=total_clusters, sector_bytes=512, cluster_bytes=CLUSTER_BYTES)
    return Tables(
        volume=info,
        files=_table(FILES, columns, streams),
        names=_table(NAMES, columns, streams),
        streams=_table(STREAMS, columns, streams),
        extents=_table(EXTENTS, extents, lcn.size),
        findings=pa.Table.from_pylist([], FINDINGS),
        bitmap=None,
    )


def _table(schema, columns, rows):
    arrays = []
    for field in schema:
        values = columns.get(field.name)
        if values is None:
            values = pa.array(np.zeros(rows, np.int64)).cast(field.type)
        elif not isinstance(values, pa.Array):
            values = pa.array(values)
        arrays.append(values.cast(field.type))
    return pa.table(arrays, schema=schema)
