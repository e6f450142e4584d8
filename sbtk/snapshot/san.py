"""Provider ``san``: the mover that serves a LUN makes the overlay, in whatever process it runs.

The snapshot appears as a LUN of the same target, so the mover's copy manager copies from it and
nothing of it passes this host (``sbtk.mover.snapshot_luns``).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from typing import ClassVar

from sbtk.device.location import Location, parse
from sbtk.errors import (
    CheckConditionError,
    NoStaticViewError,
    SnapshotError,
    SnapshotFullError,
    TransportError,
)
from sbtk.mover.snapshot_client import SnapshotClient
from sbtk.snapshot.base import Snapshot, SnapshotProvider
from sbtk.snapshot.commands import Runner
from sbtk.snapshot.records import Record
from sbtk.units import format_bytes

_MIB = 1 << 20


class SanProvider(SnapshotProvider):
    """Asks the mover behind an ``iscsi://`` location for a snapshot of its LUN."""

    name: ClassVar[str] = "san"

    def check(self) -> None:
        """The LUN has to be a disk of `sbtk san serve`."""
        place, why = parse(self.request.source), "it is no disk of `sbtk san serve`"
        if place.kind == "iscsi":
            try:
                with closing(SnapshotClient(_whole(place))) as client:
                    if client.can():
                        return
            except TransportError as error:
                why = str(error)
        raise NoStaticViewError(
            f"there is no static view of {self.request.source} to be had from here: {why}",
            hint="Let its array make one (--snapshot command), or stop its writers and pass "
            "--snapshot none",
        )

    def plan(self, snapshot_id: str) -> dict[str, str | list[str]]:
        """The LUN, and a number for its snapshot."""
        del snapshot_id
        place = _whole(parse(self.request.source))
        return {"of": str(place), "number": secrets.token_hex(8)}

    def make(self, record: Record) -> Snapshot:
        """Have it made, and find out where it is."""
        place, number = parse(record.text("of")), _number(record)
        client = SnapshotClient(place)
        try:
            state = client.create(number, -(-self.request.cap_bytes // _MIB))
        except BaseException as error:
            client.close()
            if isinstance(error, CheckConditionError):
                raise SnapshotError(
                    f"the mover made no snapshot: {error}",
                    hint="Look whether the folder of its snapshots has space "
                    "(sbtk san serve --snapshots)",
                ) from error
            raise
        return _Held(self, record, str(replace(place, lun=state.lun)), client, number)

    @classmethod
    def adopt(cls, record: Record) -> Callable[[], None]:
        """Have the mover keep it for this process; that session ends with the process."""
        client, number = SnapshotClient(parse(record.text("of"))), _number(record)
        _check(client, number, record.source)
        return lambda: _check(client, number, record.source)

    @classmethod
    def remove(cls, record: Record, run: Runner) -> None:
        """Tell the mover; one that was started anew has forgotten it, and that is as well."""
        del run
        try:
            with closing(SnapshotClient(parse(record.text("of")))) as client:
                client.delete(_number(record))
        except (CheckConditionError, TransportError) as error:
            raise SnapshotError(
                f"the mover could not be told to end snapshot {record.id}: {error}",
                hint="It ends it by itself within minutes; then `sbtk snapshot clean --forget`",
            ) from error


class _Held(Snapshot):
    """A snapshot with the session that keeps it."""

    def __init__(
        self,
        provider: SnapshotProvider,
        record: Record,
        location: str,
        client: SnapshotClient,
        number: int,
    ) -> None:
        super().__init__(
            provider, record, location, check=lambda: _check(client, number, record.source)
        )
        self._client = client

    def drop(self) -> None:
        """See ``Snapshot.drop``."""
        try:
            super().drop()
        finally:
            self._client.close()


def _check(client: SnapshotClient, number: int, source: str) -> None:
    """Ask the mover whether the snapshot is whole; that also tells it that we are still here."""
    try:
        state = client.state(number)
    except CheckConditionError as error:
        raise SnapshotError(
            f"the snapshot of {source} is gone",
            hint="Its mover was started anew, or we were away too long: start again",
        ) from error
    if state.lost:
        raise SnapshotFullError(
            f"the snapshot of {source} is full: {format_bytes(state.cap_bytes)} were changed",
            hint="Give it more space (--cap), or back up when less is being written",
        )


def _number(record: Record) -> int:
    try:
        return int(record.text("number"), 16)
    except ValueError as error:
        raise SnapshotError(f"record {record.id} names no snapshot of a mover") from error


def _whole(place: Location) -> Location:
    return replace(place, partition=None)
