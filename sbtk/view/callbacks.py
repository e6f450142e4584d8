"""What every widget callback is wrapped in: an error is shown where the user looks, never lost.

ipywidgets swallows what a callback raises (ipywidgets#2949). Here it goes into the panel's message
line, and on to whoever tests the panel.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any, Protocol

from sbtk.errors import SbtkError
from sbtk.report.svg import safe

RERAISE = "SBTK_RERAISE_CALLBACKS"
"""Environment variable that makes callbacks raise what they have shown: set by tests."""


class Panel(Protocol):
    """What can show a message: ``say`` from ``MessageLine``."""

    def say(self, text: str, kind: str = "info") -> None:
        """Show a message."""


def message_html(text: str, kind: str) -> str:
    """A message as HTML: a word says what the colour says."""
    if not text:
        return ""
    word = {"error": "Error", "warning": "Attention", "done": "Done"}.get(kind, "")
    head = f"<b>{word}:</b> " if word else ""
    return f'<div class="sbtk-message sbtk-{kind}" role="status">{head}{safe(text)}</div>'


def error_text(error: BaseException) -> str:
    """One line for people: message and hint of our own errors, type and text of all others."""
    if isinstance(error, SbtkError):
        return error.line
    return f"{type(error).__name__}: {error}"


def guarded(method: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a panel's method that widgets call: its errors go to ``self.say(..., "error")``."""

    @functools.wraps(method)
    def call(self: Panel, *arguments: Any, **named: Any) -> Any:
        try:
            return method(self, *arguments, **named)
        except Exception as error:
            self.say(error_text(error), "error")
            if os.environ.get(RERAISE):
                raise
            return None

    return call
