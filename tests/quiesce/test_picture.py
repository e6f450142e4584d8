"""The picture in the documentation is the table in the code."""

import subprocess
import sys
from pathlib import Path

from sbtk.quiesce.window import TRANSITIONS

ROOT = Path(__file__).resolve().parents[2]


def test_the_picture_is_up_to_date(tmp_path):
    script = ROOT / "tools" / "draw_quiet_window.py"
    code = f"import runpy; print(runpy.run_path({str(script)!r})['picture'](), end='')"
    drawn = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert drawn.stdout == (ROOT / "docs" / "img" / "quiet-window.svg").read_text()
    for old, signal in TRANSITIONS:
        assert signal.value in drawn.stdout
        assert f">{old.value}<" in drawn.stdout
