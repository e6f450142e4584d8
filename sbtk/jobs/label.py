"""The label file that every cartridge begins with: a tar of one record with one small member."""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import sbtk
from sbtk.archive import pax
from sbtk.archive.reader import iterate_members, read_data
from sbtk.errors import ArchiveError, TargetError
from sbtk.jobs.units import Tape

LABEL_NAME = "sbtk-label.json"
LABEL_RECORD_BYTES = 10240  # what tar reads without being told a blocking factor
MOST_RECORD_BYTES = (1 << 24) - 1  # of READ(6)


@dataclass(frozen=True)
class Label:
    """What a cartridge says of itself.

    Attributes:
        cartridge_id: unique name.
        created: when it was written, ISO 8601, UTC.
        sbtk_version: that wrote it.
    """

    cartridge_id: str
    created: str
    sbtk_version: str

    @classmethod
    def new(cls) -> Label:
        """A label with a new name."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return cls(str(uuid.uuid4()), now, sbtk.__version__)

    def to_record(self) -> bytes:
        """The whole label file."""
        content = json.dumps(asdict(self), indent=1).encode() + b"\n"
        head = pax.member_head(LABEL_NAME, len(content))
        whole = head + content + bytes(-len(content) % pax.BLOCK_BYTES) + pax.END_OF_ARCHIVE
        return whole + bytes(LABEL_RECORD_BYTES - len(whole))

    @classmethod
    def from_record(cls, record: bytes) -> Label:
        """Read a label file.

        Raises:
            ArchiveError: it is none.
        """

        def read_at(offset_bytes: int, length_bytes: int) -> bytes:
            return record[offset_bytes : offset_bytes + length_bytes]

        member = next(iterate_members(read_at, limit_bytes=len(record)), None)
        if member is None or member.name != LABEL_NAME:
            raise ArchiveError("no label of sbtk")
        try:
            values = json.loads(read_data(read_at, member, limit_bytes=LABEL_RECORD_BYTES))
            names = ("cartridge_id", "created", "sbtk_version")
            return cls(*(str(values[name]) for name in names))
        except (ValueError, KeyError, TypeError) as error:
            raise ArchiveError(f"the cartridge's label is damaged: {error}") from error


def read_label(tape: Tape) -> Label | None:
    """The label at the beginning of a tape; None where the tape is blank.

    Raises:
        TargetError: something else is on it.
    """
    tape.rewind()
    record = tape.read_record(MOST_RECORD_BYTES)
    if record is None and not tape.position().logical_object:
        return None
    try:
        return Label.from_record(record or b"")
    except ArchiveError as error:
        raise TargetError(
            f"{tape.name} holds something that sbtk did not write",
            hint="Take another cartridge; sbtk tape create makes one",
        ) from error


def write_label(tape: Tape) -> Label:
    """Write a new label at the beginning of a blank tape, and its filemark."""
    tape.rewind()
    label = Label.new()
    tape.write_record(label.to_record())
    tape.write_filemark()
    return label
