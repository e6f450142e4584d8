"""Runs a notebook as production does: by papermill, in a folder of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat
import papermill

ROOT = Path(__file__).resolve().parents[2] / "notebooks"
ALL = sorted(path.relative_to(ROOT).with_suffix("").as_posix() for path in ROOT.rglob("*.ipynb")
             if ".ipynb_checkpoints" not in path.parts)  # fmt: skip
MOST_BYTES = 2 << 20  # of a saved, executed notebook


def execute(name: str, folder: Path, **parameters: Any) -> tuple[dict[str, Any], Path]:
    """Run a notebook; its RESULT and the executed notebook."""
    out = folder / f"{Path(name).name}.ipynb"
    papermill.execute_notebook(
        str(ROOT / f"{name}.ipynb"), str(out), parameters=parameters, cwd=str(folder),
        progress_bar=False,
    )  # fmt: skip
    assert out.stat().st_size < MOST_BYTES
    notebook = nbformat.read(out, 4)
    last = notebook.cells[-1].outputs
    lines = "".join(item.text for item in last if item.output_type == "stream").splitlines()
    results = [line for line in lines if line.startswith("RESULT ")]
    assert len(results) == 1
    return json.loads(results[0].removeprefix("RESULT ")), out
