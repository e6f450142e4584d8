"""$ATTRIBUTE_LIST: where the attributes of a record that outgrew itself lie."""

from __future__ import annotations

from dataclasses import dataclass

from sbtk.ntfs.layout import LIST_ENTRY, LIST_ENTRY_MIN_BYTES, REFERENCE_MASK


@dataclass(frozen=True)
class ListEntry:
    """One attribute, or one piece of a non-resident one.

    Attributes:
        attribute_type: its type code.
        name: its name in UTF-16 little-endian, as it stands on the disk.
        lowest_vcn: VCN at which the piece starts.
        record: record that holds it.
        sequence: sequence number that record must have.
        instance: its instance number there.
    """

    attribute_type: int
    name: bytes
    lowest_vcn: int
    record: int
    sequence: int
    instance: int


def parse(data: bytes | memoryview) -> tuple[list[ListEntry], str]:
    """Read the entries of one list, in its order.

    Returns:
        The entries before any damage, at most ``len(data) / 26``, and what the damage is; an empty
        string if there is none.
    """
    entries: list[ListEntry] = []
    position = 0
    while position + LIST_ENTRY_MIN_BYTES <= len(data):
        (kind, entry_bytes, name_chars, name_offset, lowest_vcn, reference, instance) = (
            LIST_ENTRY.unpack_from(data, position)
        )
        if kind == 0 and entry_bytes == 0 and not any(data[position:]):
            return entries, ""  # slack behind the last entry
        name_end = name_offset + 2 * name_chars if name_chars else 0
        if entry_bytes < LIST_ENTRY_MIN_BYTES or position + entry_bytes > len(data):
            return entries, f"an attribute list entry of {entry_bytes} bytes"
        if name_end > entry_bytes:
            return entries, "an attribute list entry whose name leaves it"
        name = bytes(data[position + name_offset : position + name_end]) if name_chars else b""
        entries.append(
            ListEntry(kind, name, lowest_vcn, reference & REFERENCE_MASK, reference >> 48, instance)
        )
        position += entry_bytes
    return entries, "" if position == len(data) else "an attribute list that ends in an entry"
