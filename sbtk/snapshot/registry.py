"""Finds providers by name, chooses one for a source, and cleans up what killed runs left."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import stat
from collections.abc import Iterable

from sbtk.device.location import parse
from sbtk.errors import (
    LocationNotFoundError,
    NoStaticViewError,
    SnapshotError,
    UsageError,
)
from sbtk.snapshot import records
from sbtk.snapshot.base import SnapshotProvider, SnapshotRequest
from sbtk.snapshot.commands import Runner, run_command
from sbtk.snapshot.records import Record

ENTRY_POINT_GROUP = "sbtk.snapshot_providers"

_BUILT_IN = {
    "overlay": "sbtk.snapshot.overlay:OverlayProvider",
    "reflink": "sbtk.snapshot.reflink:ReflinkProvider",
    "lvm": "sbtk.snapshot.lvm:LvmProvider",
    "command": "sbtk.snapshot.command:CommandProvider",
    "vss": "sbtk.snapshot.vss:VssProvider",
    "none": "sbtk.snapshot.static:NoSnapshot",
    "san": "sbtk.snapshot.san:SanProvider",
}
AUTO = "auto"


def provider_names() -> list[str]:
    """Every provider's name: the built-in ones, then those of installed packages."""
    return list(dict.fromkeys([*_BUILT_IN, *(entry.name for entry in _entries())]))


def provider_class(name: str) -> type[SnapshotProvider]:
    """The provider of that name; a built-in one cannot be replaced.

    Raises:
        UsageError: there is none.
        SnapshotError: an installed package's provider cannot be loaded.
    """
    if name in _BUILT_IN:
        module, _, attribute = _BUILT_IN[name].partition(":")
        found = getattr(importlib.import_module(module), attribute)
    else:
        entry = next((entry for entry in _entries() if entry.name == name), None)
        if entry is None:
            raise UsageError(
                f"{name!r} is no snapshot provider", hint=f"There are {', '.join(provider_names())}"
            )
        try:
            found = entry.load()
        except Exception as error:
            raise SnapshotError(f"snapshot provider {name} cannot be loaded: {error}") from error
    if not (isinstance(found, type) and issubclass(found, SnapshotProvider)):
        raise SnapshotError(f"snapshot provider {name} is no SnapshotProvider but {found!r}")
    return found


def choose(request: SnapshotRequest, name: str = AUTO) -> SnapshotProvider:
    """The provider of that name, or the one that fits; checked, so that the wait is not in vain.

    ``auto``: overlay where the writers come through a LUN of this process, san where they come
    through one of another mover, reflink for an image file, lvm for a logical volume.

    Raises:
        NoStaticViewError: none can make a static view of this source.
    """
    provider = provider_class(_fitting(request) if name == AUTO else name)(request)
    provider.check()
    return provider


def _fitting(request: SnapshotRequest) -> str:
    if request.unit is not None:
        return "overlay"
    if parse(request.source).kind == "iscsi":
        return "san"
    try:
        mode = os.stat(request.path).st_mode if request.path else 0
    except FileNotFoundError as error:
        raise LocationNotFoundError(
            f"{request.path} does not exist", hint="Check the path"
        ) from error
    except OSError as error:
        raise SnapshotError(f"{request.path} cannot be looked at: {error.strerror}") from error
    if stat.S_ISREG(mode):
        return "reflink"
    if stat.S_ISBLK(mode):
        return "lvm"
    raise NoStaticViewError(
        f"there is no static view of {request.source} to be had from here",
        hint="Let its array make one (--snapshot command), or stop its writers and pass "
        "--snapshot none",
    )


def left_overs() -> list[Record]:
    """Snapshots on record whose run is gone."""
    return [record for record in records.records() if record.is_left_over]


def clean(chosen: Iterable[Record], run: Runner = run_command) -> None:
    """Remove snapshots that killed runs left, and their records.

    Raises:
        SnapshotError: one is in use, was made on another machine, or cannot be removed.
    """
    for record in chosen:
        if not record.is_left_over:
            where = "in use" if record.is_here else f"one of machine {record.host}"
            raise SnapshotError(f"snapshot {record.id} is {where} and is not removed")
        provider_class(record.provider).remove(record, run)
        records.forget(record)


def _entries() -> list[importlib.metadata.EntryPoint]:
    return list(importlib.metadata.entry_points(group=ENTRY_POINT_GROUP))
