"""Globs of paths in one line of text: what a field and a parameter can hold."""

from __future__ import annotations

import shlex

from sbtk.errors import UsageError


def globs(text: str) -> tuple[str, ...]:
    """``'*.tmp "Archive 2019/*"'`` -> two globs: spaces between, double quotes around spaces.

    Nothing else is special: an apostrophe may be part of a name, a double quote may not.

    Raises:
        UsageError: a quote is not closed.
    """
    words = shlex.shlex(text, posix=True)
    words.whitespace_split = True
    words.quotes, words.escape, words.commenters = '"', "", ""
    try:
        return tuple(words)
    except ValueError as error:
        raise UsageError(
            f"{text!r} has a quote that is not closed", hint='Write "a b/*" around spaces'
        ) from error


def text_of(found: tuple[str, ...]) -> str:
    """The line that ``globs`` reads back."""
    return " ".join(
        f'"{item}"' if not item or set(item) & set(" \t\r\n") else item for item in found
    )
