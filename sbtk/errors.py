"""The one tree of errors: each class has an exit code and each message says what to do next.

Codes 0-3 are the command line's own (done, findings, usage, cancelled); from 10 on there is one
code a class, listed in docs/exit-codes.md (a test compares the two). Where a standard-library
exception says the same thing, the class is that one too, so that callers may catch either.
"""

from __future__ import annotations


class SbtkError(Exception):
    """Base of everything that sbtk raises on purpose.

    Attributes:
        exit_code: what the command line returns when this ends it.
        hint: what to do next, one sentence, shown after the message; may be empty.
    """

    exit_code = 10

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    @property
    def line(self) -> str:
        """Message and hint as the one line that a person is shown."""
        message = str(self.args[0]) if self.args else type(self).__name__
        return f"{message}. {self.hint}" if self.hint else message


class UsageError(SbtkError, ValueError):
    """The call is wrong: an argument that does not parse, options that exclude each other."""

    exit_code = 2


class CancelledError(SbtkError):
    """The user stopped the work; everything that was begun has been cleaned up."""

    exit_code = 3


# -- locations and devices ------------------------------------------------------------------


class LocationError(SbtkError):
    """A location cannot be opened: it does not exist, or is nothing that sbtk can read."""

    exit_code = 11


class LocationNotFoundError(LocationError, FileNotFoundError):
    """Nothing is at this location."""

    exit_code = 12


class LocationPermissionError(LocationError, PermissionError):
    """The location exists and this user may not open it."""

    exit_code = 13


class DeviceReadError(SbtkError, OSError):
    """Bytes that should exist could not be read (I/O error, or the device ends early)."""

    exit_code = 14


class DeviceWriteError(SbtkError, OSError):
    """Bytes could not be written to a target."""

    exit_code = 15


# -- NTFS ------------------------------------------------------------------------------------


class NotNtfsError(SbtkError):
    """The bytes are something other than a readable NTFS volume; the message names what."""

    exit_code = 20


class PartitionError(SbtkError):
    """The partition table is damaged, or several NTFS partitions need ``LOCATION#N``."""

    exit_code = 21


class VolumeDamagedError(SbtkError):
    """The volume is NTFS and its $MFT cannot be found, or the volume is cut off."""

    exit_code = 22


class StreamNotFoundError(SbtkError, FileNotFoundError):
    """No such path, record or stream on the volume."""

    exit_code = 23


class StreamUnreadableError(SbtkError):
    """The stream exists and its content is not plain data (EFS, WOF, damaged compression)."""

    exit_code = 24


class TableError(SbtkError):
    """Saved tables are missing, damaged or of another version."""

    exit_code = 25


# -- SCSI, transports and the mover ----------------------------------------------------------


class ScsiError(SbtkError):
    """Base of what goes wrong between an initiator and a logical unit."""

    exit_code = 30


class LocalScsiError(ScsiError, ValueError):
    """We were asked to encode something that its layout cannot hold."""

    exit_code = 31


class RemoteScsiError(ScsiError):
    """The other side sent bytes that are not what its layout says.

    Attributes:
        byte_offset: the first byte of the field in error, counted from the start of what was
            received; None where no single field is meant.
        code: (ASC, ASCQ) that a device server should answer with, None where it has none.
    """

    exit_code = 32

    def __init__(
        self,
        message: str,
        *,
        byte_offset: int | None = None,
        code: tuple[int, int] | None = None,
        hint: str = "",
    ) -> None:
        super().__init__(message, hint=hint)
        self.byte_offset = byte_offset
        self.code = code


class CheckConditionError(ScsiError):
    """A command ended with CHECK CONDITION; ``sense`` holds the raw sense data."""

    exit_code = 33

    def __init__(
        self, message: str, *, sense: bytes = b"", status: int = 2, hint: str = ""
    ) -> None:
        super().__init__(message, hint=hint)
        self.sense = sense
        self.status = status


class TransportError(ScsiError, ConnectionError):
    """The command could not be carried: no connection, time-out, login refused."""

    exit_code = 34


class DigestError(RemoteScsiError):
    """A digest of an iSCSI PDU does not match: the bytes were changed on the way."""

    exit_code = 36


class CartridgeError(SbtkError):
    """A cartridge file is no cartridge, or is damaged."""

    exit_code = 35


# -- quiet window and snapshots --------------------------------------------------------------


class QuietTimeoutError(SbtkError, TimeoutError):
    """The volume did not fall quiet in time; nothing was written."""

    exit_code = 40


class ActivitySourceError(SbtkError):
    """A write counter cannot be read, or another device is in its place."""

    exit_code = 41


class IllegalTransitionError(SbtkError, RuntimeError):
    """A state machine was fed an event that its state does not allow; its state is unchanged."""

    exit_code = 42


class SnapshotError(SbtkError):
    """A snapshot could not be made or removed."""

    exit_code = 43


class SnapshotFullError(SnapshotError):
    """The snapshot's store is full; the snapshot is lost and the writers go on."""

    exit_code = 44


class NoStaticViewError(SnapshotError):
    """No provider can freeze this source; ``--snapshot none`` accepts that, and watches it."""

    exit_code = 45


class SourceChangedError(SbtkError):
    """The source was written to while it had to stand still; what was copied is not a set."""

    exit_code = 46


class FreezeError(SnapshotError):
    """A file system could not be frozen, or its watchdog did not start."""

    exit_code = 47


# -- plans, sets and jobs --------------------------------------------------------------------


class PlanError(SbtkError):
    """A plan cannot be made under these limits, or does not cover its selection."""

    exit_code = 50


class ArchiveError(SbtkError):
    """A set on a medium is damaged or is not ours."""

    exit_code = 51


class CatalogError(SbtkError):
    """The catalog does not know this set, or cannot be read."""

    exit_code = 52


class TargetError(SbtkError):
    """A target cannot take what is to be written: too small, or it holds something else."""

    exit_code = 53


class MediumFullError(TargetError):
    """The target filled up in the middle of a job."""

    exit_code = 54


class JobError(SbtkError):
    """A job failed or cannot be resumed; its journal says how far it came."""

    exit_code = 55


class VolumeUnfitError(SbtkError):
    """The source is dirty, hibernated or its mirror differs, and the policy is to stop."""

    exit_code = 56


class CopyFailedError(CheckConditionError):
    """A copy stopped before its end, for a reason that has no class of its own.

    Attributes:
        segments_done: whole segments that were copied before it stopped.
    """

    exit_code = 57

    def __init__(
        self, message: str, *, sense: bytes = b"", segments_done: int = 0, hint: str = ""
    ) -> None:
        super().__init__(message, sense=sense, hint=hint)
        self.segments_done = segments_done


class NotConfirmedError(TargetError):
    """What a job would overwrite holds something, and its name was not given."""

    exit_code = 58


# -- runbooks ---------------------------------------------------------------------------------


class RunbookError(SbtkError):
    """A cell of a runbook failed with something that is no error of sbtk; the notebook shows it."""

    exit_code = 60


class VolumeBusyError(SbtkError):
    """Another runbook is working on the same volume or medium."""

    exit_code = 61


class KernelDiedError(SbtkError):
    """The process that ran a runbook's cells died (killed, out of memory)."""

    exit_code = 62


def error_classes() -> list[type[SbtkError]]:
    """Every error class of the tree, the base first, in the order of their exit codes."""
    found: list[type[SbtkError]] = []
    pending: list[type[SbtkError]] = [SbtkError]
    while pending:
        cls = pending.pop()
        found.append(cls)
        pending.extend(cls.__subclasses__())
    return sorted(set(found), key=lambda cls: (cls.exit_code, cls.__name__))
