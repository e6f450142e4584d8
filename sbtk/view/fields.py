"""Where each field of a structure lies, for a hex view; decoded by the real codecs."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_type_hints

from sbtk.extents.owners import attribute_type_name
from sbtk.ntfs import layout as ntfs
from sbtk.ntfs import runlist
from sbtk.ntfs.record import RecordError, parse_record
from sbtk.scsi import xcopy
from sbtk.scsi.layout import Bits, Flag, Layout, Raw, UInt
from sbtk.scsi.segment_base import split_list, type_name
from sbtk.units import plural


@dataclass(frozen=True)
class Field:
    """A field and its bytes.

    Attributes:
        name: what it is.
        start: first byte.
        width_bytes: bytes.
        value: decoded, as text.
    """

    name: str
    start: int
    width_bytes: int
    value: str


_RECORD_NAMES = (
    "signature", "update sequence at", "update sequence entries", "$LogFile sequence number",
    "sequence", "hard links", "first attribute at", "flags (1 in use, 2 directory)", "bytes used",
    "bytes allocated", "base record", "next instance",
)  # fmt: skip
_ATTRIBUTE_NAMES = (
    "attribute type", "attribute bytes", "non-resident", "name characters", "name at", "flags",
    "instance",
)  # fmt: skip
_RESIDENT_NAMES = ("value bytes", "value at", "indexed")
_NONRESIDENT_NAMES = (
    "lowest VCN", "highest VCN", "run list at", "compression unit", "allocated bytes",
    "data bytes", "initialised bytes",
)  # fmt: skip


def record_fields(raw: bytes) -> list[Field]:
    """Header and attribute headers of a FILE record."""
    found = list(_struct(ntfs.RECORD_HEADER, _RECORD_NAMES, raw, 0))
    position = int.from_bytes(raw[0x14:0x16], "little")
    while position + ntfs.ATTRIBUTE_MIN_BYTES <= len(raw):
        kind, size = struct.unpack_from("<II", raw, position)
        if kind == ntfs.AttributeType.END or size < ntfs.ATTRIBUTE_MIN_BYTES:
            break
        prefix = f"{attribute_type_name(kind)} "
        found += _struct(ntfs.ATTRIBUTE_HEADER, _ATTRIBUTE_NAMES, raw, position, prefix)
        if raw[position + 8] == 0:
            found += _struct(ntfs.RESIDENT_PART, _RESIDENT_NAMES, raw, position + 16, prefix)
            length, offset = struct.unpack_from("<IH", raw, position + 16)
            name, value = f"{prefix}value", plural(length, "byte")
            found.append(Field(name, position + offset, length, value))
        elif position + ntfs.NONRESIDENT_MIN_BYTES <= len(raw):
            found += _struct(ntfs.NONRESIDENT_PART, _NONRESIDENT_NAMES, raw, position + 16, prefix)
            offset = int.from_bytes(raw[position + 32 : position + 34], "little")
            found.append(Field(f"{prefix}run list", position + offset, max(size - offset, 0), ""))
        position += size
    return [item for item in found if item.start + item.width_bytes <= len(raw)]


def record_meaning(raw: bytes) -> list[tuple[str, str]]:
    """What the record says, by the parser that reads volumes."""
    try:
        record = parse_record(raw, 0)
    except RecordError as error:
        return [("Damaged", str(error))]
    rows = [
        ("Record", "in use" if record.in_use else "free"),
        ("Kind", "directory" if record.is_directory else "file"),
        ("Sequence", f"{record.sequence}, {plural(record.hard_links, 'hard link')}"),
    ]
    for item in record.attributes:
        where = "resident" if item.resident else plural(len(item.runs), "run")
        if item.run_error:
            where = f"run list damaged: {item.run_error}"
        name = f" {item.name!r}" if item.name else ""
        rows.append(
            (attribute_type_name(item.attribute_type) + name, f"{item.data_bytes:,} B, {where}")
        )
    if record.damage:
        rows.append(("Damaged", record.damage))
    return rows


def run_list_fields(data: bytes) -> list[Field]:
    """Header, length and offset of each run; as far as they can be followed."""
    found: list[Field] = []
    position = number = 0
    while position < len(data) and data[position]:
        length, offset = data[position] & 15, data[position] >> 4
        if position + 1 + length + offset > len(data):
            break
        text = f"{length} length, {offset} offset bytes"
        found.append(Field(f"run {number}: header", position, 1, text))
        at = position + 1
        clusters = int.from_bytes(data[at : at + length], "little", signed=True)
        found.append(Field(f"run {number}: length", at, length, plural(clusters, "cluster")))
        step = int.from_bytes(data[at + length : at + length + offset], "little", signed=True)
        if offset:
            words = f"{step:+,} clusters from the run before"
            found.append(Field(f"run {number}: offset", at + length, offset, words))
        position, number = at + length + offset, number + 1
    if position < len(data):
        found.append(Field("end mark", position, 1, "0"))
    return found


def run_list_meaning(data: bytes) -> list[tuple[str, str]]:
    """The runs, by the decoder that opens files."""
    try:
        found = runlist.decode(data)
    except runlist.RunListError as error:
        return [("Damaged", str(error))]
    return [
        (
            f"VCN {run.vcn:,}",
            plural(run.clusters, "cluster")
            + (" of hole" if run.lcn == runlist.HOLE else f" at LCN {run.lcn:,}"),
        )
        for run in found
    ]


def list_fields(data: bytes) -> list[Field]:
    """Header, CSCD descriptors and segment descriptors of an EXTENDED COPY (LID1) list."""
    header = xcopy.decode_header(data, lid4=False)
    parts = xcopy.split(data, header)
    found = list(_layout(type(header), data, 0, "header: "))
    for number, start in enumerate(range(0, len(parts.cscds), 32)):
        name = f"CSCD {number}: identification descriptor"
        found.append(Field(name, parts.cscd_start + start, 32, f"type {parts.cscds[start]:02X}h"))
    for number, (start, end) in enumerate(split_list(parts.segments, parts.segment_start)):
        kind = parts.segments[start]
        name = f"segment {number} ({type_name(kind)})"
        found += _layout(
            segment_layout(kind), bytes(data), parts.segment_start + start, f"{name}: ", end - start
        )
    return found


def segment_layout(kind: int) -> type[Layout]:
    """The layout of a segment type."""
    from sbtk.scsi.segments import SEGMENTS

    return SEGMENTS[kind]


def list_meaning(data: bytes) -> list[tuple[str, str]]:
    """What the list asks for, by the codec of jobs and mover."""
    from sbtk.errors import RemoteScsiError

    try:
        found = xcopy.ParameterList.decode(data)
    except RemoteScsiError as error:
        return [("Refused", str(error.args[0]))]
    rows = [("List", f"id {found.list_id}, {plural(len(found.cscds), 'device')}")]
    for number, item in enumerate(found.segments):
        rows.append((f"Segment {number}", f"{type_name(data_type(item))}: {_segment_text(item)}"))
    return rows


def _segment_text(item: Any) -> str:
    """What a segment moves, as far as its type has it."""
    words = {
        "source": "from device {}", "destination": "to device {}", "blocks": "{:,} blocks",
        "lba": "from LBA {:,}", "stream_transfer": "tape records of {:,} bytes",
    }  # fmt: skip
    said = [text.format(getattr(item, name)) for name, text in words.items() if hasattr(item, name)]
    return ", ".join([*said, "keep the rest (CAT)"] if getattr(item, "cat", False) else said)


def data_type(item: Any) -> int:
    """The type code of a segment."""
    return int(item.type_code)


def _struct(
    form: struct.Struct, names: tuple[str, ...], raw: bytes, start: int, prefix: str = ""
) -> Iterator[Field]:
    """The members of a ``struct.Struct``, whose format has one letter (or ``4s``) a member."""
    at = start
    letters = form.format.lstrip("<").replace("4s", "S")
    named = iter(names)
    number = ""
    for letter in letters:
        if letter.isdigit():
            number += letter
            continue
        width = (
            int(number or 1) if letter == "x" else 4 if letter == "S" else struct.calcsize(letter)
        )
        number = ""
        if letter != "x":
            part = raw[at : at + width]
            value = repr(part.decode("latin-1")) if letter == "S" else _number(part)
            yield Field(prefix + next(named), at, width, value)
        at += width


def _number(part: bytes) -> str:
    value = int.from_bytes(part, "little")
    return f"{value:,} ({value:X}h)" if value > 9 else str(value)


def _layout(
    cls: type[Layout], data: bytes, start: int, prefix: str, size_bytes: int = 0
) -> Iterator[Field]:
    value = cls.decode(data[start : start + (size_bytes or cls.SIZE_BYTES)], start)
    for name, hint in get_type_hints(cls, include_extras=True).items():
        for place in getattr(hint, "__metadata__", ()):
            if isinstance(place, (UInt, Raw)):
                yield Field(prefix + name, start + place.byte, place.width, _text(value, name))
            elif isinstance(place, (Bits, Flag)):
                yield Field(prefix + name, start + place.byte, 1, _text(value, name))


def _text(value: Layout, name: str) -> str:
    found = getattr(value, name)
    return found.hex(" ") if isinstance(found, bytes) else str(found)
