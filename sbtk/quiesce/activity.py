"""Activity sources: where a write counter comes from, how fine it is and what it cannot see."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from typing import Protocol

from sbtk.errors import ActivitySourceError, LocationNotFoundError, UsageError


@dataclass(frozen=True)
class Reading:
    """A write counter as it stands.

    Attributes:
        counter: opaque numbers; two readings that differ mean that something was written between.
        in_flight: writes begun and not ended; 0 where the source cannot know.
    """

    counter: tuple[int, ...]
    in_flight: int = 0


class ActivitySource(Protocol):
    """Something that knows whether a source is being written to."""

    @property
    def name(self) -> str:
        """What is watched and how, for people: ``"change time of /srv/a.img"``."""

    @property
    def granularity(self) -> str:
        """The smallest write that it shows, and when."""

    @property
    def blind_to(self) -> str:
        """What it cannot see; shown in the set's quiet report."""

    def read(self) -> Reading:
        """The counter now.

        Raises:
            ActivitySourceError: it cannot be read, or another device is in its place.
        """

    def close(self) -> None:
        """Release what it holds; safe to call twice."""


_TGT = re.compile(r"(\d{1,9})/(\d{1,5})(?::(\d{1,5}))?")


def activity_named(text: str) -> ActivitySource:
    """The source that a user names: ``lio:HBA/DEVICE``, ``tgt:TID/LUN[:CONTROL-PORT]``, or a path.

    Raises:
        UsageError: the text names none.
        LocationNotFoundError: nothing is at the path.
        ActivitySourceError: what is there has no write counter.
    """
    from sbtk.quiesce.target_stats import LioSource, TgtSource

    kind, _, rest = text.partition(":")
    if kind == "lio" and rest:
        return LioSource(rest)
    if kind == "tgt":
        match = _TGT.fullmatch(rest)
        if match is None:
            raise UsageError(f"{text!r} names no LUN of tgt", hint="Write tgt:TID/LUN, as tgt:1/1")
        return TgtSource(int(match[1]), int(match[2]), control_port=int(match[3] or 0))
    return activity_of(text)


def activity_of(path: str) -> ActivitySource:
    """The source that fits a path: block counters for a device, the change time for a file.

    Raises:
        LocationNotFoundError: nothing is there.
        ActivitySourceError: it is neither a block device nor a regular file.
    """
    from sbtk.quiesce.block_stat import BlockStatSource
    from sbtk.quiesce.file_time import FileTimeSource

    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError as error:
        raise LocationNotFoundError(f"{path} does not exist", hint="Check the path") from error
    except OSError as error:
        raise ActivitySourceError(f"{path} cannot be looked at: {error.strerror}") from error
    if stat.S_ISBLK(mode):
        return BlockStatSource(path)
    if stat.S_ISREG(mode):
        return FileTimeSource(path)
    raise ActivitySourceError(
        f"{path} has no write counter: it is neither a block device nor a file",
        hint="Name an image file, a block device, or pass an activity source",
    )
