"""Runs one runbook's cells with papermill: autosave, live output, redaction, interruption."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import papermill
from nbclient.exceptions import DeadKernelError
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines
from papermill.exceptions import PapermillExecutionError

from sbtk.runbook_cancel import Cancel
from sbtk.settings import Settings, settings

Log = Callable[[str], None]

AUTOSAVE_S = 15
MOST_LOG_LINES = 20_000
_ENGINE = "sbtk"
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_REDACTED = "(secret)"


def execute(
    notebook: Path, output: Path, page: Path, values: dict[str, Any], log: Log, cancel: Cancel
) -> tuple[str, str] | None:
    """Run a notebook; what it shows is kept, also where it fails.

    Args:
        notebook: with a cell tagged ``parameters``.
        output: the executed notebook; saved after every cell, and while one runs.
        page: the same as HTML that needs no network.
        values: of all parameters.
        log: takes every line that is printed, without secrets.
        cancel: ends it between two steps.

    Returns:
        Class and message of what ended it; None where every cell ended well.
    """
    papermill_engines.register(_ENGINE, _Engine)
    _Engine.log, _Engine.cancel = _bounded(log), cancel
    failure: tuple[str, str] | None = None
    try:
        cancel.check()
        papermill.execute_notebook(
            str(notebook), str(output), parameters=values, engine_name=_ENGINE,
            progress_bar=False, log_output=False, autosave_cell_every=AUTOSAVE_S,
            cwd=str(output.parent),
        )  # fmt: skip
    except PapermillExecutionError as error:
        failure = str(error.ename), _message(error)
    except DeadKernelError:
        message = "the kernel died: it was killed, or ran out of memory"
        failure = "KernelDiedError", message
    except KeyboardInterrupt:
        failure = "KeyboardInterrupt", "cancelled"
    if output.exists():
        write_page(output, page)
    return failure


def write_page(notebook: Path, page: Path) -> None:
    """An executed notebook as HTML; nothing in it is loaded from elsewhere."""
    from nbconvert import HTMLExporter

    exporter: Any = HTMLExporter(template_name="lab")  # type: ignore[no-untyped-call]  # nbconvert
    # Widgets and formulas would come from a network; runbooks use neither.
    for name in ("require_js_url", "jquery_url", "mathjax_url", "mermaid_js_url",
                 "jupyter_widgets_base_url", "widget_renderer_url"):  # fmt: skip
        if exporter.has_trait(name):
            setattr(exporter, name, "")
    body, _ = exporter.from_filename(str(notebook))
    unfinished = page.with_name(f".{page.name}.{os.getpid()}")
    try:
        unfinished.write_text(_without_loaders(body), encoding="utf-8")
        unfinished.replace(page)
    finally:
        unfinished.unlink(missing_ok=True)


def _without_loaders(body: str) -> str:
    """HTML without scripts and style sheets that name another place."""
    body = re.sub(r"<script[^>]*\bsrc=\"[^\"]*\"[^>]*>\s*</script>", "", body)
    body = re.sub(r"<script[^>]*>(?:(?!</script>).)*?https?://(?:(?!</script>).)*?</script>", "",
                  body, flags=re.DOTALL)  # fmt: skip
    return re.sub(r"<link[^>]*href=\"https?:[^>]*>", "", body)


def secrets(known: Settings) -> list[str]:
    """Values that must not be shown: every secret of the settings that is set."""
    found = [known.iscsi_secret.get_secret_value(), known.iscsi_mutual_secret.get_secret_value()]
    return [text for text in found if text]


def redacted(value: Any, hidden: list[str]) -> Any:
    """The same JSON value with every secret in its texts replaced."""
    if isinstance(value, str):
        for secret in hidden:
            value = value.replace(secret, _REDACTED)
        return value
    if isinstance(value, dict):
        return {key: redacted(item, hidden) for key, item in value.items()}
    if isinstance(value, list):
        return [redacted(item, hidden) for item in value]
    return value


class _Client(PapermillNotebookClient):
    """Shows what cells print as it comes, hides secrets before anything is kept, can be cancelled.

    Attributes:
        cancel: looked at before and after each cell.
    """

    cancel: Cancel

    def execute_cell(self, cell: Any, cell_index: int, **named: Any) -> Any:
        """Run a cell; what it raised comes before a cancellation that it did not mind.

        Raises:
            KeyboardInterrupt: the run was cancelled.
        """
        self.cancel.check()
        try:
            ended = super().execute_cell(cell, cell_index, **named)
        finally:
            self.cancel.kernel = None
        self.cancel.check()
        return ended

    def process_message(self, msg: dict[str, Any], cell: Any, cell_index: int) -> Any:
        """Take in one message of the kernel."""
        hidden = secrets(settings())
        if hidden:
            msg["content"] = redacted(msg["content"], hidden)
        content = msg.get("content", {})
        if msg.get("msg_type") == "execute_input":
            self.cancel.cell_runs(getattr(self.km.provisioner, "pid", None))
        if msg.get("msg_type") == "stream":
            for text in content["text"].splitlines():
                if content["name"] == "stdout":
                    _Engine.log(_COLOURS.sub("", text))
        return super().process_message(msg, cell, cell_index)


class _Engine(NBClientEngine):
    """papermill's own engine, with ``_Client`` and with signals handed to the kernel."""

    log: Callable[[str], None] = staticmethod(lambda _: None)
    cancel: Cancel

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **named: Any) -> Any:
        """Run the notebook that papermill manages."""
        del named  # what papermill's own engine takes beside these
        client = _Client(nb_man, kernel_name=kernel_name, startup_timeout=60, timeout=None)
        client.cancel = cls.cancel
        return client.execute()


def _message(error: PapermillExecutionError) -> str:
    """The message of what a cell raised, with its hint where it has one."""
    text = _COLOURS.sub("", str(error.evalue)).strip()
    return text or str(error.ename)


def _bounded(log: Log) -> Log:
    """``log`` for so many lines, then one that says that there are more."""
    told = 0

    def tell(text: str) -> None:
        nonlocal told
        told += 1
        if told <= MOST_LOG_LINES:
            log(text)
        elif told == MOST_LOG_LINES + 1:
            log("more is printed; the executed notebook has it")

    return tell
