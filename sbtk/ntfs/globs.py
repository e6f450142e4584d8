"""Globs over paths of the tables: one pattern against millions of paths, compiled by Arrow's RE2.

``*`` and ``?`` stay within one name, ``**`` crosses folders, ``[a-z]`` and ``[!a-z]`` are sets;
case does not matter, as on NTFS. A pattern without ``/`` is compared with the last name of each
path, one with ``/`` with the whole path.
"""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.compute as pc

from sbtk.errors import UsageError
from sbtk.ntfs.columns import text_of


def match(paths: pa.ChunkedArray, pattern: str) -> pa.ChunkedArray:
    """Which of ``paths`` a glob matches, as booleans.

    Raises:
        UsageError: the pattern is empty, or has a set that is not closed or runs backwards.
    """
    return pc.match_substring_regex(paths, to_regex(pattern), ignore_case=True)


def to_regex(pattern: str, *, below: bool = False) -> str:
    """The regular expression (RE2) that finds a match of the glob in a path.

    Args:
        pattern: the glob.
        below: a folder that it matches stands for all that is in it, too.

    Raises:
        UsageError: the pattern is empty, or has a set that is not closed or runs backwards.
    """
    plain = pattern.replace("\\", "/").removeprefix("./")
    whole = "/" in plain
    plain = plain.strip("/")
    if not plain:
        raise UsageError(
            f"{pattern!r} is no pattern", hint="Write for example '*.docx' or 'docs/**'"
        )
    parts = []
    at = 0
    while at < len(plain):
        part, at = _token(plain, at)
        parts.append(part)
    if below:
        parts.append("(?:/.*)?")
    expression = rf"{'^' if whole else '(?:^|/)'}(?s:{''.join(parts)})$"
    try:
        pc.match_substring_regex(text_of([""]), expression)
    except pa.ArrowInvalid as error:
        raise UsageError(
            f"{pattern!r} is no pattern", hint="A set runs upwards, as in [a-z]"
        ) from error
    return expression


def _token(plain: str, at: int) -> tuple[str, int]:
    """The expression for what stands at ``at``, and where the next token begins."""
    if plain.startswith("**/", at):
        return "(?:.*/)?", at + 3
    if plain.startswith("**", at):
        return ".*", at + 2
    if plain[at] == "*":
        return "[^/]*", at + 1
    if plain[at] == "?":
        return "[^/]", at + 1
    if plain[at] == "[":
        return _set(plain, at)
    return re.escape(plain[at]), at + 1


def _set(plain: str, at: int) -> tuple[str, int]:
    negated = plain[at + 1 : at + 2] in ("!", "^")
    start = at + 1 + negated
    end = plain.find("]", start + 1)
    if end < 0:
        raise UsageError(f"{plain!r} has a [ without ]", hint="Write [[] for the character itself")
    inside = plain[start:end].replace("[", r"\[").replace("]", r"\]").replace("^", r"\^")
    return f"[{'^/' if negated else ''}{inside}]", end + 1
