"""``sbtk san``: make a SAN of files, say who may use it, serve it over iSCSI."""

from __future__ import annotations

import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from sbtk.cli.options import DebugOption, JsonOption, print_json, verb_app
from sbtk.errors import LocationError, UsageError
from sbtk.mover.portal import DEFAULT_PORT
from sbtk.mover.san import CONFIG, DEFAULT_IQN, MAKERS, Kind, San, check_name, write_secret
from sbtk.units import format_bytes, parse_bytes, plural

app = verb_app("SANs: disks and tapes of files, served over iSCSI with a copy manager.")

FolderArgument = Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the SAN lives.")]
SecretOption = Annotated[
    Path | None,
    typer.Option(help="File with that user's secret; a random secret if none is named."),
]
_SECRETS = "secrets"


@app.command()
def create(
    folder: FolderArgument,
    disk: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[=SIZE]", help="A disk; with a size it is made. Repeat."),
    ] = None,
    tape: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[=SIZE]", help="A cartridge in a drive; the same. Repeat."),
    ] = None,
    remote: Annotated[
        list[str] | None,
        typer.Option(metavar="LOC", help="A LUN of another target, or /dev/sgN. Repeat."),
    ] = None,
    iqn: Annotated[str, typer.Option(help="Name of the SAN's target.")] = DEFAULT_IQN,
    user: Annotated[
        str, typer.Option(help="CHAP user that the SAN proves to be where it is asked.")
    ] = "",
    secret_file: SecretOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Make a SAN, or give more units to the one that is there."""
    del debug
    _require_user(user, secret_file)
    folder.mkdir(parents=True, exist_ok=True)
    san = San.load(folder) if (folder / CONFIG).exists() else San(folder, check_name(iqn))
    for kind, words in (("disk", disk), ("tape", tape)):
        for word in words or ():
            san = _with_file(san, "disk" if kind == "disk" else "tape", word)
    for location in remote or ():
        san = san.with_lun("remote", location)
    if user:
        place = _keep_secret(folder, "target", secret_file)
        san = replace(san, user=user, secret_file=place)
    san.save()
    _show(san, as_json=as_json)
    _tell_secret(folder, user, san.secret_file, as_json=as_json)


@app.command()
def grant(
    folder: FolderArgument,
    initiator: Annotated[str, typer.Argument(help="The initiator's iSCSI name.")],
    lun: Annotated[
        list[int] | None, typer.Option(help="A LUN it may use. Repeat; all if none is named.")
    ] = None,
    user: Annotated[str, typer.Option(help="CHAP user it has to prove to be.")] = "",
    secret_file: SecretOption = None,
    revoke: Annotated[bool, typer.Option("--revoke", help="Let it in no more.")] = False,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Let an initiator use LUNs, and no others; a SAN in service takes it up when served anew."""
    del debug
    san = San.load(folder)
    luns = tuple(lun) if lun else tuple(item.lun for item in san.luns)
    _require_user(user, secret_file)
    chap = ("", "")
    if user and not revoke:
        name = check_name(initiator).replace(":", "_")
        chap = (user, _keep_secret(folder, name, secret_file))
    san = san.granted(check_name(initiator), () if revoke else luns, chap)
    san.save()
    _show(san, as_json=as_json)
    _tell_secret(folder, user, chap[1], as_json=as_json)


@app.command()
def serve(
    folder: FolderArgument,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="TCP port; 0 takes a free one.")] = DEFAULT_PORT,
    profile: Annotated[str, typer.Option(help="Limits of the copy manager: see sbtk limits.")] = "",
    snapshots: Annotated[
        Path | None,
        typer.Option(help="Where snapshots of its disks lie; in FOLDER/snapshots otherwise."),
    ] = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Serve the SAN until Ctrl-C or SIGTERM; what was written is flushed at the end."""
    del debug
    from sbtk.scsi.limits import limits

    san = San.load(folder)
    if not san.luns:
        raise UsageError(f"{folder} has no units", hint=f"sbtk san create {folder} --disk a=1GiB")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    target = san.open_target(limits(profile) if profile else None, snapshots=snapshots)
    try:
        with san.portal(target, host=host, port=port) as portal:
            places = [f"iscsi://{portal.address}/{san.iqn}/{item.lun}" for item in san.luns]
            if as_json:
                print_json({"address": portal.address, "iqn": san.iqn, "locations": places})
            else:
                _tell(san, portal.address, places)
            sys.stdout.flush()
            stop.wait()
    finally:
        target.close()
    if not as_json:
        sys.stdout.write("Stopped; everything that was written is on its medium\n")


def _with_file(san: San, kind: Kind, word: str) -> San:
    name, _, size = word.partition("=")
    path = san.folder / name
    if size:
        MAKERS[kind](path, parse_bytes(size))
    elif not path.exists():
        raise LocationError(f"there is no {path}", hint=f"--{kind} {name}=SIZE makes it")
    return san.with_lun(kind, name)


def _require_user(user: str, secret_file: Path | None) -> None:
    if secret_file is not None and not user:
        raise UsageError("a secret without its user", hint="Name both: --user and --secret-file")


def _keep_secret(folder: Path, name: str, secret_file: Path | None) -> str:
    """Write a secret into the SAN's folder, a random one if none is given; its place there."""
    place = f"{_SECRETS}/{name}"
    write_secret(folder / place, _secret_in(secret_file) if secret_file else "")
    return place


def _tell_secret(folder: Path, user: str, place: str, *, as_json: bool) -> None:
    if user and place and not as_json:
        sys.stdout.write(f"The secret of {user} is in {folder / place}\n")


def _secret_in(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise LocationError(f"{path} cannot be read as a secret: {error}") from error


def _show(san: San, *, as_json: bool) -> None:
    """What the SAN has and who may use it; secrets stay in their files."""
    if as_json:
        print_json(
            {
                "folder": str(san.folder),
                "iqn": san.iqn,
                "luns": [vars(item) | {"size_bytes": _size(san, item.place)} for item in san.luns],
                "grants": [
                    {"initiator": item.initiator, "luns": item.luns, "chap": bool(item.user)}
                    for item in san.grants
                ],
            }
        )
        return
    lines = [f"{san.iqn} in {san.folder}: {plural(len(san.luns), 'LUN')}"]
    for unit in san.luns:
        size_bytes = _size(san, unit.place)
        size = f"  {format_bytes(size_bytes)}" if size_bytes is not None else ""
        lines.append(f"  LUN {unit.lun}  {unit.kind:<6}  {unit.place}{size}")
    for item in san.grants:
        proof = f"CHAP as {item.user}" if item.user else "no proof asked"
        lines.append(f"  {item.initiator}: LUNs {', '.join(map(str, item.luns))}, {proof}")
    if not san.grants:
        lines.append("  nobody may use it yet: sbtk san grant")
    sys.stdout.write("\n".join(lines) + "\n")


def _size(san: San, place: str) -> int | None:
    path = san.folder / place
    return path.stat().st_size if path.is_file() else None


def _tell(san: San, address: str, places: list[str]) -> None:
    sys.stdout.write(f"Serving {san.iqn} on {address}\n")
    for place in places:
        sys.stdout.write(f"  {place}\n")
    if not san.grants:
        sys.stdout.write("  nobody may use it yet: sbtk san grant\n")
    sys.stdout.write("Ctrl-C ends it\n")
