"""A plan as bytes: a tar with ``plan.json`` and one Arrow file a table; nothing is left out."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pyarrow as pa

from sbtk.archive import pax, reader
from sbtk.archive.manifest import Geometry
from sbtk.errors import ArchiveError, PlanError
from sbtk.ntfs.columns import arrow_array, numpy_values
from sbtk.plan.model import Commands, Fetches, Owners, Pieces, Plan, Ranges, Segments, Target
from sbtk.scsi.limits import Limits

FORMAT_VERSION = 1
HEAD_NAME = "plan.json"

_TABLES: dict[str, type[Any]] = {
    "selected": Ranges,
    "pieces": Pieces,
    "segments": Segments,
    "fetches": Fetches,
    "owners": Owners,
}
_BYTE_COLUMNS = {"kind", "type_code"}
_MAX_HEAD_BYTES = 64 << 20


def to_bytes(plan: Plan) -> bytes:
    """The plan as one file (``.sbtkplan``); ``tar -t`` lists what is in it."""
    head = {
        "format": FORMAT_VERSION,
        "kind": plan.kind,
        "layout": plan.layout,
        "geometry": dataclasses.asdict(plan.geometry),
        "target": dataclasses.asdict(plan.target),
        "limits": dataclasses.asdict(plan.limits),
        "archive_bytes": plan.archive_bytes,
        "digests": plan.digests,
        "lid4": plan.lid4,
        "notes": plan.notes,
    }
    parts = [_member(HEAD_NAME, json.dumps(head, indent=1).encode())]
    for name in _TABLES:
        value = getattr(plan, name)
        if value is not None:
            columns = {item.name: getattr(value, item.name) for item in dataclasses.fields(value)}
            parts.append(_member(f"{name}.arrow", _arrow(columns)))
    parts.append(_member("commands.arrow", _arrow({"kind": plan.commands.kind})))
    offsets = {"first_segment": plan.commands.first_segment}
    parts.append(_member("command_offsets.arrow", _arrow(offsets)))
    parts.append(_member("inline.bin", plan.inline.tobytes()))
    parts.append(_member("manifest.json", plan.manifest))
    return b"".join([*parts, pax.END_OF_ARCHIVE])


def _member(name: str, data: bytes) -> bytes:
    return b"".join((pax.member_head(name, len(data)), data, bytes(-len(data) % pax.BLOCK_BYTES)))


def _arrow(columns: dict[str, Any]) -> bytes:
    arrays = [arrow_array(np.asarray(item)) for item in columns.values()]
    table = pa.Table.from_arrays(arrays, names=list(columns))
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.ipc.new_file(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def from_bytes(content: bytes) -> Plan:
    """Read a saved plan; ``check.check_plan`` tells whether it may be executed.

    Raises:
        PlanError: not a plan, damaged, or of another version.
    """
    view = memoryview(content)
    found: dict[str, bytes] = {}
    try:
        for member in reader.iterate_members(
            lambda at, size: bytes(view[at : at + size]), limit_bytes=len(content)
        ):
            found[member.name] = bytes(view[member.data_start_bytes :][: member.stored_bytes])
        head = json.loads(found[HEAD_NAME][:_MAX_HEAD_BYTES])
        if head["format"] != FORMAT_VERSION:
            raise PlanError(
                f"the plan has format {head['format']!r}, this version reads {FORMAT_VERSION}",
                hint="Make the plan again",
            )
        return _plan(head, found)
    except (
        ArchiveError, KeyError, ValueError, TypeError, AttributeError, OSError, pa.ArrowException,
        NotImplementedError, RecursionError,
    ) as error:  # fmt: skip
        if isinstance(error, PlanError):
            raise
        raise PlanError(
            f"this is no saved plan, or it is damaged: {error}", hint="Make the plan again"
        ) from error


def _plan(head: dict[str, Any], found: dict[str, bytes]) -> Plan:
    tables = {
        name: kind(**_columns(found[f"{name}.arrow"], kind))
        for name, kind in _TABLES.items()
        if f"{name}.arrow" in found
    }
    offsets = numpy_values(_read(found["command_offsets.arrow"]).column("first_segment"))
    kinds = numpy_values(_read(found["commands.arrow"]).column("kind"))
    limits = dict(head["limits"])
    for name in ("types", "usages", "cscd_ids"):
        limits[name] = tuple(int(item) for item in limits[name])
    limits["commands"] = tuple((int(code), int(action)) for code, action in limits["commands"])
    return Plan(
        kind=_one_of(head["kind"], ("backup", "restore", "verify")),
        layout=_one_of(head["layout"], ("image", "files", "mirror")),
        geometry=Geometry(**{key: int(value) for key, value in head["geometry"].items()}),
        target=Target(**head["target"]),
        limits=Limits(**limits),
        commands=Commands(offsets.astype(np.int64), kinds.astype(np.uint8)),
        inline=np.frombuffer(found["inline.bin"], np.uint8),
        archive_bytes=int(head["archive_bytes"]),
        digests=bool(head["digests"]),
        lid4=bool(head["lid4"]),
        manifest=found["manifest.json"],
        notes=dict(head["notes"]),
        **tables,
    )


def _one_of(value: Any, known: tuple[str, ...]) -> Any:
    if value not in known:
        raise PlanError(f"the plan says {value!r} where one of {', '.join(known)} stands")
    return value


def _columns(content: bytes, kind: type[Any]) -> dict[str, Any]:
    table = _read(content)
    columns = {}
    for item in dataclasses.fields(kind):
        values = numpy_values(table.column(item.name))
        wide = np.uint8 if item.name in _BYTE_COLUMNS else None
        columns[item.name] = values if wide is None else values.astype(wide)
    return columns


def _read(content: bytes) -> pa.Table:
    table = pa.ipc.open_file(pa.BufferReader(content)).read_all().combine_chunks()
    if any(column.null_count for column in table.columns):
        raise PlanError("the plan is damaged: a column has no value")
    return table
