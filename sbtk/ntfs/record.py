"""Single FILE records and their attributes as typed values; no I/O.

The compiled kernels (``sbtk.ntfs.kernels``) do the same for whole tables; this is for one record:
to find $MFT, to open one stream, to look at a record in a notebook.
"""

from __future__ import annotations

from dataclasses import dataclass

from sbtk.ntfs import layout
from sbtk.ntfs.layout import AttributeType
from sbtk.ntfs.runlist import Run, RunListError, decode


class RecordError(ValueError):
    """A record is damaged; the message says how. It becomes one row in ``findings``."""


@dataclass(frozen=True)
class Attribute:
    """One attribute as its record holds it; of a non-resident one, one piece.

    Attributes:
        attribute_type: type code.
        name: as Python text; unpaired surrogates stay in it.
        instance: number within its record.
        flags: compressed 0001h, encrypted 4000h, sparse 8000h.
        resident: the value is in the record.
        value: of a resident attribute.
        lowest_vcn: VCN at which a non-resident piece starts.
        highest_vcn: its last VCN; -1 for none.
        compression_unit: log2 of clusters; 0 none.
        allocated_bytes: meaningful at ``lowest_vcn`` 0 only, as the next two.
        data_bytes: length of the stream.
        initialized_bytes: bytes behind it read as zero.
        runs: of a non-resident attribute.
        run_error: why ``runs`` is empty; an empty string if it could be read.
    """

    attribute_type: int
    name: str
    instance: int
    flags: int
    resident: bool
    value: bytes = b""
    lowest_vcn: int = 0
    highest_vcn: int = -1
    compression_unit: int = 0
    allocated_bytes: int = 0
    data_bytes: int = 0
    initialized_bytes: int = 0
    runs: tuple[Run, ...] = ()
    run_error: str = ""


@dataclass(frozen=True)
class Record:
    """One FILE record, fixed up.

    Attributes:
        number: its place in $MFT.
        sequence: how often the record was reused.
        hard_links: as the header counts them, DOS names included.
        in_use: the in-use flag.
        is_directory: the directory flag.
        base_record: record that this one extends; 0 if it is a base record itself.
        base_sequence: sequence number in that reference; 0 if it is a base record itself.
        lsn: $LogFile sequence number of its last change.
        attributes: in record order, up to any damage.
        damage: what ended the list early; an empty string if nothing did.
        raw: the record's bytes, fixed up.
    """

    number: int
    sequence: int
    hard_links: int
    in_use: bool
    is_directory: bool
    base_record: int
    base_sequence: int
    lsn: int
    attributes: tuple[Attribute, ...]
    damage: str
    raw: bytes

    @property
    def is_base(self) -> bool:
        """True unless the record holds attributes of another one."""
        return not (self.base_record or self.base_sequence)

    def find(self, attribute_type: int, name: str = "") -> Attribute | None:
        """The first attribute of this type and name that this record itself holds."""
        for attribute in self.attributes:
            if attribute.attribute_type == attribute_type and attribute.name == name:
                return attribute
        return None


def fix_up(raw: bytes) -> tuple[bytes, bool]:
    """Undo the update sequence of one record.

    Args:
        raw: one whole record as it lies on the disk.

    Returns:
        The record's true bytes, and whether ``raw`` held them already (a dump that was fixed up by
        the tool that made it).

    Raises:
        RecordError: no FILE record, its update sequence lies outside, or a sector's tail differs.
    """
    if raw[:4] != layout.RECORD_SIGNATURE:
        torn = raw[:4] == layout.RECORD_TORN_SIGNATURE
        raise RecordError("marked BAAD" if torn else f"signature {raw[:4].hex()}")
    start = int.from_bytes(raw[4:6], "little")
    entries = int.from_bytes(raw[6:8], "little")
    stride = layout.FIXUP_STRIDE_BYTES
    sectors = len(raw) // stride
    if (
        entries != sectors + 1
        or start % 2
        or not layout.RECORD_UPDATE_SEQUENCE_MIN_OFFSET <= start <= stride - 2 - 2 * entries
    ):
        raise RecordError(f"update sequence of {entries} entries at {start:X}h")
    saved = [raw[start + 2 * i : start + 2 * i + 2] for i in range(entries)]
    tails = [raw[stride * i - 2 : stride * i] for i in range(1, sectors + 1)]
    if all(tail == saved[0] for tail in tails):
        fixed = bytearray(raw)
        for i, true_bytes in enumerate(saved[1:], 1):
            fixed[stride * i - 2 : stride * i] = true_bytes
        return bytes(fixed), False
    if tails == saved[1:]:
        return raw, True
    raise RecordError("torn write: a sector's tail is not its update sequence number")


def parse_record(raw: bytes, number: int) -> Record:
    """Read one record (``raw`` as it lies on the disk) into values.

    Raises:
        RecordError: it is no FILE record or its fixups fail; damage behind the header is told in
            ``Record.damage`` instead.
    """
    fixed, _ = fix_up(raw)
    (_, _, _, lsn, sequence, hard_links, first_offset, flags, used_bytes, _, base, _) = (
        layout.RECORD_HEADER.unpack_from(fixed)
    )
    attributes, damage = _walk(fixed, first_offset, used_bytes)
    return Record(
        number=number,
        sequence=sequence,
        hard_links=hard_links,
        in_use=bool(flags & layout.RECORD_IN_USE),
        is_directory=bool(flags & layout.RECORD_IS_DIRECTORY),
        base_record=base & layout.REFERENCE_MASK,
        base_sequence=base >> 48,
        lsn=lsn,
        attributes=tuple(attributes),
        damage=damage,
        raw=fixed,
    )


def _walk(raw: bytes, first_offset: int, used_bytes: int) -> tuple[list[Attribute], str]:
    """Attributes of a fixed-up record until its end mark or the first damage."""
    attributes: list[Attribute] = []
    if used_bytes > len(raw):
        return attributes, f"{used_bytes} bytes used of {len(raw)}"
    if first_offset % 8 or first_offset < layout.RECORD_UPDATE_SEQUENCE_MIN_OFFSET:
        return attributes, f"first attribute at {first_offset:X}h"
    damage, position = "", first_offset
    while position + 4 <= used_bytes:
        kind = int.from_bytes(raw[position : position + 4], "little")
        if kind == AttributeType.END:
            return attributes, damage
        if position + layout.ATTRIBUTE_MIN_BYTES > used_bytes:
            break
        attribute_bytes = int.from_bytes(raw[position + 4 : position + 8], "little")
        if attribute_bytes < layout.ATTRIBUTE_MIN_BYTES or attribute_bytes % 8:
            return attributes, f"attribute of {attribute_bytes} bytes"
        if position + attribute_bytes > used_bytes:
            return attributes, f"attribute of {attribute_bytes} bytes leaves the record"
        try:
            attributes.append(parse_attribute(raw[position : position + attribute_bytes]))
        except RecordError as error:
            damage = damage or str(error)
        position += attribute_bytes
    return attributes, damage or "no end mark"


def parse_attribute(data: bytes) -> Attribute:
    """Read one attribute from exactly its bytes.

    Raises:
        RecordError: its name, value or run list lies outside it.
    """
    kind, _, nonresident, name_chars, name_offset, flags, instance = (
        layout.ATTRIBUTE_HEADER.unpack_from(data)
    )
    name_end = name_offset + 2 * name_chars
    if nonresident > 1 or (name_chars and name_end > len(data)):
        raise RecordError(f"attribute {kind:X}h: its name leaves it")
    name = data[name_offset:name_end].decode("utf-16-le", "surrogatepass") if name_chars else ""
    if not nonresident:
        value_bytes, value_offset, _ = layout.RESIDENT_PART.unpack_from(data, 0x10)
        inside = value_offset >= layout.ATTRIBUTE_MIN_BYTES or not value_bytes
        if not inside or value_offset + value_bytes > len(data):
            raise RecordError(f"attribute {kind:X}h: its value leaves it")
        value = data[value_offset : value_offset + value_bytes]
        return Attribute(
            kind, name, instance, flags, True, value,
            allocated_bytes=(value_bytes + 7) & ~7, data_bytes=value_bytes,
            initialized_bytes=value_bytes,
        )  # fmt: skip
    return _parse_nonresident(data, kind, name, instance, flags)


def _parse_nonresident(data: bytes, kind: int, name: str, instance: int, flags: int) -> Attribute:
    if len(data) < layout.NONRESIDENT_MIN_BYTES:
        raise RecordError(f"attribute {kind:X}h: {len(data)} bytes and not resident")
    lowest, highest, pairs_offset, unit, allocated, data_bytes, initialized = (
        layout.NONRESIDENT_PART.unpack_from(data, 0x10)
    )
    runs: list[Run] = []
    run_error = ""
    try:
        if not layout.NONRESIDENT_MIN_BYTES <= pairs_offset < len(data):
            raise RunListError(f"run list at {pairs_offset:X}h")
        if lowest >= 1 << 55:
            raise RunListError(f"lowest VCN {lowest}")
        runs = decode(data[pairs_offset:], lowest_vcn=lowest)
    except RunListError as error:
        run_error = str(error)
    return Attribute(
        kind, name, instance, flags, False, b"", lowest,
        highest if highest < 1 << 63 else highest - (1 << 64), unit, allocated, data_bytes,
        initialized, tuple(runs), run_error,
    )  # fmt: skip
