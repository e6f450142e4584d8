"""The ``sbtk`` command: finds the verb's module, turns errors into one line and an exit code.

Only the verb that is called is imported, so that ``sbtk --help`` stays quick.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import errno
import gc
import importlib
import io
import os
import sys
from typing import Any, NoReturn

from sbtk import __version__
from sbtk.cli.output import printable
from sbtk.errors import CancelledError, DeviceWriteError, SbtkError, UsageError

# verb -> what it does, in the order of `sbtk --help`. Each is a module of sbtk.cli with an `app`
# (from sbtk.cli.options.verb_app); a verb's name is its module's.
VERBS: dict[str, str] = {
    "scan": "read a volume's tables: what it is, how healthy, what is on it",
    "files": "list files with size, extents, flags and time",
    "extents": "list where a file's clusters lie",
    "owner": "tell which file owns clusters, blocks or bytes",
    "frag": "show how fragmented files and free space are",
    "check": "check extents against $Bitmap, each other and sizes",
    "diff": "list what changed between two scans of a volume",
    "limits": "show what a copy manager can do",
    "plan": "show what a backup would copy, in which commands, and what it costs",
    "backup": "back up a volume to a tape or a disk, without its data passing this host",
    "resume": "go on with a backup or restore that was killed",
    "restore": "restore a set to a LUN: whole, chosen files, or in place",
    "extract": "bring files of a set to a local folder, through this host",
    "verify": "hold a set against its digests, or a LUN against a set",
    "quiet": "wait until a source is quiet, try a snapshot",
    "sets": "list the sets of the catalog, or those on a medium",
    "catalog": "make the catalog again from a medium alone",
    "report": "list the runs, or write one of them as a page",
    "snapshot": "list and clean snapshots that killed runs left behind",
    "san": "make a SAN of files, say who may use it, serve it over iSCSI",
    "tape": "make cartridges, list what is on them, stream a tape file",
    "runbook": "list, show, run and schedule notebooks that run unattended",
    "lab": "start JupyterLab on the notebooks",
    "demo": "tell the whole story on a sample volume",
}

_INTERRUPTED = 130  # what Typer makes of Ctrl-C; no verb returns it

_USAGE = """\
Usage: sbtk VERB [ARGUMENTS] [OPTIONS]

Serverless backup of NTFS volumes on a storage network.

SRC and LOC are image files, block devices, tape:PATH, /dev/sgN or iscsi://host/iqn/lun.

Verbs:
{verbs}

`sbtk VERB --help` tells what a verb takes; docs/exit-codes.md what sbtk returns.
"""


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and leave the process with its exit code (docs/exit-codes.md)."""
    words = sys.argv[1:] if arguments is None else arguments
    if sys.stdout is None or sys.stderr is None:  # closed by the caller, who wants the exit code
        nowhere = open(os.devnull, "w")  # noqa: SIM115 - until the process ends
        sys.stdout, sys.stderr = sys.stdout or nowhere, sys.stderr or nowhere
    if not words or words[0] in ("-h", "--help"):
        width = max(map(len, VERBS), default=0)
        verbs = "\n".join(f"  {verb:<{width}}  {text}" for verb, text in VERBS.items())
        sys.stdout.write(_USAGE.format(verbs=verbs))
        sys.exit(0 if words else 2)
    if words[0] == "--version":
        sys.stdout.write(f"sbtk {__version__}\n")
        sys.exit(0)
    if words[0] not in VERBS:
        sys.stderr.write(f"sbtk: {words[0]!r} is no verb. `sbtk --help` lists them\n")
        sys.exit(2)
    # A path may hold what the output's encoding cannot: shown as an escape, never a traceback.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    _run_verb(words[0], words[1:])


def _give_memory_back() -> None:
    """Have what is freed go back to the system: large arrays are mapped one by one.

    By default glibc's threshold for that grows to 32 MiB with what is freed, and Arrow's own pool
    keeps what it had: a scan of a million files ended with 400 MB that it no longer used. Smaller
    blocks, as an encoder takes and frees by the thousand, are kept up to 32 MiB: the system clears
    every page that it hands out. mallopt(3): M_MMAP_THRESHOLD is -3, M_TRIM_THRESHOLD -1.
    """
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    with contextlib.suppress(OSError, AttributeError):  # another C library
        libc = ctypes.CDLL(None)
        libc.mallopt(-3, 4 << 20)
        libc.mallopt(-1, 32 << 20)


def _collect_rarely() -> None:
    """Have the search for cycles of garbage wait until it may find some.

    Imports make half a million objects and no garbage: searching them again and again, and all
    of them once more at exit, is a third of a short verb's time.
    """
    gc.set_threshold(100_000, 50, 50)
    atexit.register(gc.freeze)


def _run_verb(verb: str, words: list[str]) -> NoReturn:
    _collect_rarely()
    _give_memory_back()

    import typer  # `sbtk --help` does not need it

    # Typer carries a click of its own since 0.25: this is the base of its errors in either case.
    click_exception: type[Exception] = typer.BadParameter.__mro__[2]
    app = importlib.import_module(f"sbtk.cli.{verb}").app
    try:
        code = app(words, prog_name=f"sbtk {verb}", standalone_mode=False)
        sys.stdout.flush()
        if code == _INTERRUPTED:
            raise KeyboardInterrupt
        sys.exit(code if isinstance(code, int) else 0)
    except (typer.Abort, KeyboardInterrupt):
        _fail(CancelledError("cancelled"), words)
    except click_exception as error:
        _fail(_usage_error(error, verb), words)
    except SbtkError as error:
        _fail(error, words)
    except UnicodeEncodeError as error:  # a word of the command line that tables cannot hold
        what = f"{error.object!r} holds bytes that are no UTF-8"
        _fail(
            UsageError(what, hint="Names in tables are text: use another name, or ? in a GLOB"),
            words,
        )
    except BrokenPipeError:
        _leave_quietly()
    except OSError as error:
        _fail(_system_error(error), words)
    except SystemExit as stop:
        # Click sees some broken pipes first, and would end with the code of findings.
        if not isinstance(stop.__context__, BrokenPipeError):
            raise
        _leave_quietly()


def _leave_quietly() -> NoReturn:
    """The reader (head, less) has left: that ends the output and is no error of ours."""
    _drop_output()
    sys.exit(0)


def _drop_output() -> None:
    """The interpreter must not try to flush what is left at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _system_error(error: OSError) -> SbtkError:
    """What the system refused, as a line like all others."""
    if error.filename is None and error.errno in (errno.ENOSPC, errno.EIO):
        _drop_output()  # most likely; the system does not tell which file it was
        return DeviceWriteError(
            f"standard output, or a file of sbtk's own, cannot be written: {error.strerror}",
            hint="Make room where it goes; --debug shows what was being done",
        )
    where = f"{error.filename}: " if error.filename else ""
    return SbtkError(
        f"{where}{error.strerror or error}",
        hint="Check room and rights there; --debug shows what was being done",
    )


def _usage_error(error: Any, verb: str) -> UsageError:
    """What Click says about the words, as a line like all others."""
    command = error.ctx.command_path if getattr(error, "ctx", None) else f"sbtk {verb}"
    return UsageError(
        error.format_message().rstrip("."), hint=f"`{command} --help` tells what it takes"
    )


def _fail(error: SbtkError, words: list[str]) -> NoReturn:
    if "--debug" in words:
        raise error
    # The message may quote a name, and a name may hold what steers the terminal or ends the line.
    sys.stderr.write(f"sbtk: {printable(error.line)}\n")
    sys.exit(error.exit_code)
