"""Draws docs/img/quiet-window.svg from the transition table of sbtk.quiesce.window.

``python tools/draw_quiet_window.py`` writes it; a test holds that it is up to date. Only the places
are chosen by hand: a state or a pair of states that the table has and this file has not fails.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "img" / "quiet-window.svg"

# Centre of each state, its second line and its fill.
STATES = {
    "new": (80, 110, "nothing known", "#eceff1"),
    "calm": (290, 110, "nothing written lately", "#e3f2fd"),
    "busy": (290, 320, "written to", "#ffe0b2"),
    "quiet": (560, 110, "calm for quiet_s", "#bbdefb"),
    "taken": (800, 110, "snapshot in hand", "#c8e6c9"),
    "held": (1030, 110, "snapshot good: copy it", "#81c784"),
    "timed_out": (560, 500, "timeout_s over: fail", "#ef9a9a"),
}
# Path of each arrow and where its label stands (x, y, anchor).
ARROWS = {
    ("new", "calm"): ("M150,110 L212,110", (181, 100, "middle")),
    ("calm", "calm"): ("M262,84 C240,30 340,30 318,82", (290, 34, "middle")),
    ("calm", "busy"): ("M270,137 L270,292", (262, 220, "end")),
    ("busy", "calm"): ("M310,293 L310,138", (318, 220, "start")),
    ("busy", "busy"): ("M262,346 C240,402 340,402 318,348", (290, 406, "middle")),
    ("calm", "quiet"): ("M368,110 L482,110", (425, 100, "middle")),
    ("calm", "timed_out"): ("M222,128 C70,220 90,500 480,500", (112, 330, "end")),
    ("busy", "quiet"): ("M358,304 L514,138", (424, 226, "end")),
    ("busy", "timed_out"): ("M350,346 L510,473", (446, 404, "start")),
    ("quiet", "quiet"): ("M532,84 C510,30 610,30 588,82", (560, 34, "middle")),
    ("quiet", "busy"): ("M540,138 L372,316", (486, 226, "start")),
    ("quiet", "timed_out"): ("M562,138 L562,472", (570, 330, "start")),
    ("quiet", "taken"): ("M638,110 L722,110", (680, 100, "middle")),
    ("taken", "held"): ("M878,110 L952,110", (915, 100, "middle")),
    ("taken", "busy"): ("M770,138 C700,300 520,326 371,326", (700, 284, "start")),
    ("taken", "timed_out"): ("M806,138 C800,330 740,460 641,490", (796, 330, "start")),
}

_HEAD = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1130 550" font-family="sans-serif">
<title>The quiet window: states and transitions</title>
<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7"
 orient="auto-start-reverse"><path d="M0,0 L10,5 L0,10 z" fill="#37474f"/></marker></defs>
<rect width="1130" height="550" fill="white"/>
"""


def picture() -> str:
    """The SVG, made of the table."""
    sys.path.insert(0, str(ROOT))
    from sbtk.quiesce.window import TRANSITIONS, State

    labels: dict[tuple[str, str], list[str]] = {}
    for (old, signal), new in TRANSITIONS.items():
        labels.setdefault((old.value, new.value), []).append(signal.value)
    if set(labels) != set(ARROWS) or set(STATES) != {state.value for state in State}:
        raise SystemExit("the table has states or arrows that this picture has no place for")
    parts = [_HEAD]
    for pair, (path, (x, y, anchor)) in ARROWS.items():
        parts.append(
            f'<path d="{path}" fill="none" stroke="#37474f" stroke-width="1.6" '
            'marker-end="url(#tip)"/>\n'
            f'<text x="{x}" y="{y}" text-anchor="{anchor}" font-size="14" fill="#263238" '
            'stroke="white" stroke-width="4" paint-order="stroke">'
            f"{', '.join(labels[pair])}</text>\n"
        )
    for name, (x, y, text, fill) in STATES.items():
        half = 70 if name == "new" else 78
        parts.append(
            f'<rect x="{x - half}" y="{y - 26}" width="{2 * half}" height="52" rx="12" '
            f'fill="{fill}" stroke="#37474f"/>\n'
            f'<text x="{x}" y="{y - 3}" text-anchor="middle" font-size="16" '
            f'font-weight="bold">{name}</text>\n'
            f'<text x="{x}" y="{y + 15}" text-anchor="middle" font-size="11.5">{text}</text>\n'
        )
    return "".join(parts) + "</svg>\n"


if __name__ == "__main__":
    PICTURE.write_text(picture())
