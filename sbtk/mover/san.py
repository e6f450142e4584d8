"""A SAN as a folder: ``san.json`` says which units it has and who may use them.

Paths in it are relative to the folder. CHAP secrets are in files of their own that only their
owner may read.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from sbtk.device.location import open_transport, parse
from sbtk.errors import LocationError, LocationNotFoundError, SbtkError, UsageError
from sbtk.events import Listener, ignore
from sbtk.mover.base import LogicalUnit
from sbtk.mover.block_lun import BlockLun
from sbtk.mover.cartridge import create_cartridge
from sbtk.mover.portal import Portal, PortalTarget
from sbtk.mover.remote_lun import open_remote
from sbtk.mover.tape_lun import TapeLun
from sbtk.mover.target import Target
from sbtk.scsi.iscsi_login import Access, Chap
from sbtk.scsi.limits import Limits
from sbtk.whole_file import write_whole

CONFIG = "san.json"
SNAPSHOTS = "snapshots"
VERSION = 1
DEFAULT_IQN = "iqn.2026-11.sbtk:san"
_IQN = re.compile(r"(iqn\.\d{4}-\d{2}\.|eui\.|naa\.)[a-z0-9.:-]{1,200}")
_SECRET_MODE = 0o600
_SECRET_BYTES = 12  # 16 letters: RFC 7143 12.1.3 wants 96 random bits

Kind = Literal["disk", "tape", "remote"]


@dataclass(frozen=True)
class Lun:
    """One unit of a SAN.

    Attributes:
        lun: its number.
        kind: disk or tape of a file, or a unit of another target.
        place: file below the folder (or an absolute path), or the location of a remote unit.
    """

    lun: int
    kind: Kind
    place: str


@dataclass(frozen=True)
class Grant:
    """Who may use what.

    Attributes:
        initiator: iSCSI name.
        luns: LUNs it sees.
        user: CHAP user it has to prove to be; empty for no proof.
        secret_file: where that user's secret is, below the folder.
    """

    initiator: str
    luns: tuple[int, ...] = ()
    user: str = ""
    secret_file: str = ""


@dataclass(frozen=True)
class San:
    """A SAN as it is written down.

    Attributes:
        folder: where it lives.
        iqn: its target's name.
        luns: its units.
        grants: who may use them; nobody else may.
        user: whom the target proves to be to initiators that ask (mutual CHAP); empty for nobody.
        secret_file: where that user's secret is, below the folder.
    """

    folder: Path
    iqn: str = DEFAULT_IQN
    luns: tuple[Lun, ...] = ()
    grants: tuple[Grant, ...] = field(default=())
    user: str = ""
    secret_file: str = ""

    # -- the file ---------------------------------------------------------------------------------

    @classmethod
    def load(cls, folder: Path) -> San:
        """Read ``san.json``.

        Raises:
            LocationNotFoundError: there is none.
            LocationError: it is not one.
        """
        path = folder / CONFIG
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise LocationNotFoundError(
                f"{folder} holds no SAN", hint=f"sbtk san create {folder} makes one"
            ) from error
        except (OSError, ValueError) as error:
            raise LocationError(f"{path} cannot be read: {error}") from error
        try:
            return cls._of(folder, document)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise LocationError(
                f"{path} is no description of a SAN ({error})", hint="See docs/san.md"
            ) from error

    @classmethod
    def _of(cls, folder: Path, document: dict[str, Any]) -> San:
        if document["version"] != VERSION:
            raise ValueError(f"version {document['version']!r}, {VERSION} is known")
        luns = tuple(Lun(int(i["lun"]), i["kind"], str(i["place"])) for i in document["luns"])
        if any(item.kind not in ("disk", "tape", "remote") for item in luns):
            raise ValueError("a unit that is neither disk, tape nor remote")
        grants = tuple(
            Grant(
                check_name(i["initiator"]), tuple(map(int, i["luns"])),
                str(i["user"]), str(i["secret_file"]),
            )
            for i in document["grants"]
        )  # fmt: skip
        user, secret_file = str(document.get("user", "")), str(document.get("secret_file", ""))
        return cls(folder, check_name(document["iqn"]), luns, grants, user, secret_file)

    def save(self) -> None:
        """Write ``san.json``: all of it or nothing.

        Raises:
            LocationError: the folder cannot be written.
        """
        document = {
            "version": VERSION,
            "iqn": self.iqn,
            "luns": [asdict(item) for item in self.luns],
            "grants": [asdict(item) for item in self.grants],
            "user": self.user,
            "secret_file": self.secret_file,
        }
        try:
            write_whole(self.folder / CONFIG, f"{json.dumps(document, indent=2)}\n".encode())
        except OSError as error:
            raise LocationError(f"{self.folder / CONFIG}: {error.strerror}") from error

    # -- changes ----------------------------------------------------------------------------------

    def with_lun(self, kind: Kind, place: str) -> San:
        """One more unit, at the next free number."""
        number = max((item.lun for item in self.luns), default=-1) + 1
        return replace(self, luns=(*self.luns, Lun(number, kind, place)))

    def granted(self, initiator: str, luns: tuple[int, ...], chap: tuple[str, str]) -> San:
        """The initiator may use these LUNs and no others; none of them takes its entry away.

        Args:
            initiator: iSCSI name.
            luns: what it may use from now on.
            chap: user and secret file; both empty for none.

        Raises:
            UsageError: no iSCSI name, or no such LUN.
        """
        check_name(initiator)
        unknown = set(luns) - {item.lun for item in self.luns}
        if unknown:
            known = ", ".join(str(item.lun) for item in self.luns)
            raise UsageError(f"there is no LUN {min(unknown)}", hint=f"The SAN has LUNs {known}")
        others = tuple(item for item in self.grants if item.initiator != initiator)
        if not luns:
            return replace(self, grants=others)
        return replace(self, grants=(*others, Grant(initiator, tuple(sorted(luns)), *chap)))

    # -- in service -------------------------------------------------------------------------------

    def access(self, initiator: str) -> Access | None:
        """What an initiator has to prove; None: it is not let in."""
        for item in self.grants:
            if item.initiator == initiator:
                if not item.user:
                    return Access()
                return Access(self._chap(item.user, item.secret_file), self._own_proof())
        return None

    def _own_proof(self) -> Chap | None:
        return self._chap(self.user, self.secret_file) if self.user else None

    def _chap(self, user: str, secret_file: str) -> Chap:
        return Chap(user, read_secret(self.folder / secret_file))

    def open_target(
        self,
        profile: Limits | None = None,
        emit: Listener = ignore,
        *,
        snapshots: Path | None = None,
    ) -> Target:
        """The mover with all units and grants; closing it closes them.

        Args:
            profile: the copy manager's limits; everything it can do if None.
            emit: told when a cartridge is mended.
            snapshots: folder for the snapshots that initiators ask for; below the SAN's if None.

        Raises:
            LocationError: a unit cannot be opened (or what else opening it raises).
            SnapshotError: the folder for snapshots cannot be made.
        """
        with ExitStack() as undo:
            target = Target(profile, snapshots=snapshots or self.folder / SNAPSHOTS)
            undo.callback(target.close)
            for item in self.luns:
                target.add(item.lun, self._open(item, emit))
            for grant in self.grants:
                for lun in grant.luns:
                    target.grant(grant.initiator, lun)
            undo.pop_all()
        return target

    def _open(self, item: Lun, emit: Listener) -> LogicalUnit:
        if item.kind == "remote":
            transport = open_transport(parse(item.place))
            try:
                return open_remote(transport)
            except BaseException:
                transport.close()
                raise
        path = self.folder / item.place
        return BlockLun(path) if item.kind == "disk" else TapeLun(path, listener=emit)

    def portal(self, target: Target, *, host: str, port: int) -> Portal:
        """The portal that serves ``target``.

        Raises:
            SbtkError: a secret cannot be read, or the address cannot be had.
        """
        for item in self.grants:  # a secret that is missing is told now, not at the first login
            self.access(item.initiator)
        return Portal({self.iqn: PortalTarget(target, self._safe_access)}, host=host, port=port)

    def _safe_access(self, initiator: str) -> Access | None:
        try:
            return self.access(initiator)
        except SbtkError:
            return None  # its secret has gone: nobody can prove to have it


def check_name(name: str) -> str:
    """An iSCSI name as it is compared: lower case (RFC 7143 4.2.7.1).

    Raises:
        UsageError: it is none.
    """
    if not _IQN.fullmatch(name.lower()):
        raise UsageError(f"{name!r} is no iSCSI name", hint="Write iqn.YYYY-MM.domain:name")
    return name.lower()


def create_disk(path: Path, size_bytes: int) -> None:
    """A new, sparse disk.

    Raises:
        LocationError: it is there already, or cannot be made.
    """
    try:
        with path.open("xb") as stream:
            stream.truncate(size_bytes)
    except FileExistsError as error:
        raise LocationError(f"{path} exists", hint="Name it without a size to use it") from error
    except OSError as error:
        raise LocationError(f"{path}: {error.strerror}") from error


MAKERS: dict[str, Callable[[Path, int], None]] = {
    "disk": create_disk,
    "tape": lambda path, size_bytes: create_cartridge(path, capacity_bytes=size_bytes),
}


def write_secret(path: Path, secret: str = "") -> None:
    """Keep a CHAP secret in a file that only its owner may read; a random one if none is given.

    Raises:
        UsageError: shorter than 12 letters (RFC 7143 12.1.3).
        LocationError: the file cannot be written.
    """
    secret = secret or secrets.token_urlsafe(_SECRET_BYTES)
    if not 12 <= len(secret) <= 255:
        raise UsageError(
            "a CHAP secret has 12 to 255 letters", hint="Leave it out for a random one"
        )
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _SECRET_MODE)
        with os.fdopen(descriptor, "w") as stream:
            os.fchmod(stream.fileno(), _SECRET_MODE)
            stream.write(secret + "\n")
    except OSError as error:
        raise LocationError(f"{path}: {error.strerror}") from error


def read_secret(path: Path) -> str:
    """The CHAP secret in a file.

    Raises:
        LocationError: it cannot be read, or others may read it too.
    """
    try:
        with path.open(encoding="utf-8") as stream:
            if os.fstat(stream.fileno()).st_mode & 0o077:
                raise LocationError(
                    f"{path} may be read by others", hint=f"chmod 600 {path}, and change the secret"
                )
            return stream.read().strip()
    except OSError as error:
        raise LocationError(f"{path}: {error.strerror}") from error
