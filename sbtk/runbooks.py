"""Runbooks: notebooks that run unattended, with strict parameters, locks, logs and exit codes.

papermill runs them; it only warns of a mistyped parameter and keeps no volume from being worked
on twice, so both are done here, before a kernel is started.
"""

from __future__ import annotations

import ast
import difflib
import fcntl
import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sbtk.errors import (
    LocationNotFoundError,
    RunbookError,
    UsageError,
    VolumeBusyError,
    error_classes,
)
from sbtk.runbook_cancel import Cancel, signals_cancel
from sbtk.settings import settings

FOLDER = Path(__file__).resolve().parents[1] / "notebooks" / "runbooks"
RESULT_NAME, NOTEBOOK_NAME, PAGE_NAME, LOG_NAME = "result.json", "run.ipynb", "run.html", "run.log"
OUT_DIR = "out_dir"
PLACES = ("source", "to", "scratch")
"""Parameters that name what a runbook works on alone; a comma separates several places."""

Log = Callable[[str], None]

_SECRET = re.compile(r"password|passwd|secret|token|credential", re.IGNORECASE)
_TYPES: dict[str, Callable[[str], Any]] = {"int": int, "float": float, "str": str}
_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True)
class Parameter:
    """One line of a ``parameters`` cell.

    Attributes:
        name: of the variable.
        kind: ``int``, ``float``, ``str`` or ``bool``.
        default: its value there.
        help: the comment behind it.
    """

    name: str
    kind: str
    default: Any
    help: str

    def parse(self, text: str) -> Any:
        """The value that a text stands for.

        Raises:
            UsageError: it is none of this type, or no UTF-8, which a notebook cannot keep.
        """
        if not text.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in text):
            raise UsageError(f"{self.name}: {text!r} is no UTF-8", hint="Use another name for it")
        if self.kind == "bool":
            if text.lower() in _WORDS:
                return _WORDS[text.lower()]
        else:
            try:
                return _TYPES[self.kind](text)
            except ValueError:
                pass
        raise UsageError(f"{self.name} is {self.kind}: {text!r} is none", hint=self.help)


@dataclass(frozen=True)
class Ended:
    """A runbook that ran.

    Attributes:
        name: of the runbook.
        exit_code: of its job (docs/exit-codes.md).
        message: why it is not 0; empty where it is.
        folder: with the executed notebook, its page, its log and ``result.json``.
        result: content of ``result.json``.
    """

    name: str
    exit_code: int
    message: str
    folder: Path
    result: dict[str, Any]


def names() -> list[str]:
    """The runbooks that there are."""
    return sorted(path.stem for path in FOLDER.glob("*.ipynb"))


def find(name: str) -> Path:
    """The notebook of a runbook: one of ours by its name, or any by its path.

    Raises:
        LocationNotFoundError: there is none.
    """
    path = Path(name) if name.endswith(".ipynb") else FOLDER / f"{name}.ipynb"
    if path.is_file():
        return path
    near = difflib.get_close_matches(name, names(), 1)
    hint = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(names())}"
    raise LocationNotFoundError(f"there is no runbook {name!r}", hint=hint)


def about(path: Path) -> str:
    """The first paragraph of a runbook: what it does, and whether it writes."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    text = "".join(cells[0]["source"])
    return " ".join(text.split("\n\n", 1)[-1].split())


def parameters(path: Path) -> list[Parameter]:
    """The typed parameters of a runbook.

    Raises:
        RunbookError: a parameter has no type or default, or is a secret.
    """
    from papermill import inspect_notebook

    found = []
    for item in inspect_notebook(str(path)).values():
        name, kind = item["name"], item["inferred_type_name"]
        if kind not in ("int", "float", "str", "bool"):
            raise RunbookError(
                f"{path.name}: parameter {name} has the type {kind}",
                hint="Write it as name: int = 0  # what it is",
            )
        if _SECRET.search(name):
            raise RunbookError(
                f"{path.name}: parameter {name} would be kept in the output",
                hint="Pass secrets in the environment (SBTK_ISCSI_SECRET)",
            )
        default = ast.literal_eval(item["default"])
        found.append(Parameter(name, kind, default, item["help"]))
    return found


def values(known: list[Parameter], given: Mapping[str, str]) -> dict[str, Any]:
    """All values of a run: what was given, strictly by name and type, and the defaults.

    Raises:
        UsageError: an unknown parameter, or a value of another type.
    """
    by_name = {item.name: item for item in known}
    for name in given:
        if name not in by_name:
            near = difflib.get_close_matches(name, by_name, 1)
            hint = f"Did you mean {near[0]}?" if near else f"It takes: {', '.join(by_name)}"
            raise UsageError(f"there is no parameter {name!r}", hint=hint)
    return {
        name: item.parse(given[name]) if name in given else item.default
        for name, item in by_name.items()
    }


def run(
    name: str, given: Mapping[str, str], *, folder: Path | None = None, log: Log = lambda _: None
) -> Ended:
    """Run a runbook to its end.

    Args:
        name: a runbook's name, or the path of a notebook.
        given: parameters as text.
        folder: where it writes; a new one in the state folder if None.
        log: takes each line that the cells print, as it comes.

    Raises:
        UsageError: a parameter that it does not have, or of another type. Nothing was started.
        VolumeBusyError: another runbook works on the same volume or medium. Nothing was started.
    """
    path = find(name)
    chosen = values(parameters(path), given)
    with ExitStack() as stack:
        cancel = stack.enter_context(signals_cancel())
        for place in places(chosen):
            stack.enter_context(lock(place, path.stem))
        out = folder if folder is not None else _new_folder(path.stem)
        out.mkdir(parents=True, exist_ok=True)
        (out / RESULT_NAME).unlink(missing_ok=True)
        if OUT_DIR in chosen:
            chosen[OUT_DIR] = str(out.resolve())
        with (out / LOG_NAME).open("w", encoding="utf-8") as stream:

            def tell(text: str) -> None:
                stream.write(f"{text}\n")
                stream.flush()
                log(text)

            from sbtk.runbook_engine import execute

            failure = execute(path, out / NOTEBOOK_NAME, out / PAGE_NAME, chosen, tell, cancel)
        return _ended(path.stem, out, failure, cancel)


def _ended(name: str, out: Path, failure: tuple[str, str] | None, cancel: Cancel) -> Ended:
    """What came out, from the notebook's own ``result.json`` or from what broke it off."""
    try:
        result = json.loads((out / RESULT_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        result = {}
    if failure is None and not cancel.came:
        code = int(result.get("exit_code", 0))
        return Ended(name, code, str(result.get("message", "")), out, result)
    # Cancelled behind the last cell: what the job did stands, and its facts with it.
    kind, message = failure or ("KeyboardInterrupt", "cancelled when its last cell had ended")
    code = exit_code_of(kind)
    status = "cancelled" if code == 3 else "failed"
    result = {"notebook": name} if failure else result
    result |= {"status": status, "exit_code": code, "message": message}
    (out / RESULT_NAME).write_text(json.dumps(result, ensure_ascii=False) + "\n", encoding="utf-8")
    return Ended(name, code, message, out, result)


def exit_code_of(error_name: str) -> int:
    """The exit code of an error that ended a cell, by the name of its class."""
    if error_name == "KeyboardInterrupt":
        return 3
    codes = {cls.__name__: cls.exit_code for cls in error_classes()}
    return codes.get(error_name, RunbookError.exit_code)


def places(chosen: Mapping[str, Any]) -> list[str]:
    """The locations that a run works on, each once, in an order that is the same for all runs."""
    found = set()
    for name in PLACES:
        for text in str(chosen.get(name) or "").split(","):
            place = text.strip().split("#")[0]
            if place:
                local = place.removeprefix("tape:")
                found.add(place if place.startswith("iscsi:") else os.path.realpath(local))
    return sorted(found)


@contextmanager
def lock(place: str, holder: str) -> Iterator[None]:
    """Work on a place alone, as far as runbooks go; released by the kernel if this process dies.

    Raises:
        VolumeBusyError: another one holds it.
    """
    folder = settings().state_dir / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{hashlib.sha256(place.encode()).hexdigest()[:24]}.lock"
    with path.open("a+", encoding="utf-8") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.seek(0)
            raise VolumeBusyError(
                f"{place} is busy: {stream.read().strip() or 'another runbook'} works on it",
                hint="Wait for its end, or stop it",
            ) from None
        stream.truncate(0)
        since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
        stream.write(f"{holder} (process {os.getpid()}, since {since})\n")
        stream.flush()
        yield


def _new_folder(name: str) -> Path:
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    return settings().state_dir / "runbooks" / f"{name}-{stamp}-{os.getpid()}"
