"""Short views of tables, for assertions that read like the volume."""

from __future__ import annotations

from typing import Any

from sbtk.ntfs.tables import Tables


def paths(tables: Tables) -> dict[int, str]:
    """Record -> path, without the volume's own records."""
    rows = zip(tables.files["record"].to_pylist(), tables.files["path"].to_pylist(), strict=True)
    return {record: path for record, path in rows if record >= 24 or record == 5}


def findings(tables: Tables) -> list[tuple[str, int]]:
    """(code, record) of every finding, in order."""
    rows = tables.findings.to_pylist()
    return [(row["code"], row["record"]) for row in rows]


def file(tables: Tables, record: int) -> dict[str, Any]:
    """The row of one file."""
    rows = [row for row in tables.files.to_pylist() if row["record"] == record]
    assert len(rows) == 1, f"record {record}: {len(rows)} rows"
    return rows[0]


def runs(tables: Tables, record: int, kind: int = 0x80, name: str = "") -> list[tuple[int, ...]]:
    """(vcn, lcn, clusters) of one stream, by VCN."""
    return sorted(
        (row["vcn"], row["lcn"], row["clusters"])
        for row in tables.extents.to_pylist()
        if (row["record"], row["attribute_type"], row["attribute_name"]) == (record, kind, name)
    )


def streams(tables: Tables, record: int) -> list[dict[str, Any]]:
    """Stream rows of one record."""
    return [row for row in tables.streams.to_pylist() if row["record"] == record]
