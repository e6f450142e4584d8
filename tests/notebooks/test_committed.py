"""What is committed: typed parameters, a head that says what and whether it writes, no outputs."""

import ast
import json

import nbformat
import papermill
import pytest

from tests.notebooks.running import ALL, ROOT


@pytest.fixture(params=ALL)
def notebook(request):
    return nbformat.read(ROOT / f"{request.param}.ipynb", 4)


def test_all_that_the_design_names_are_there():
    assert {
        "00_tour", "10_volume", "20_fragmentation", "30_plan", "40_backup", "50_restore_verify",
        "60_audit", "runbooks/nightly_backup", "runbooks/restore_drill", "runbooks/verify_sample",
        "runbooks/volume_survey",
    } == set(ALL)  # fmt: skip


def test_no_outputs_and_no_counts(notebook):
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


def test_papermill_finds_a_kernel(notebook):
    assert notebook.metadata.kernelspec.name == "python3"
    assert notebook.metadata.kernelspec.language == "python"


def test_the_head_says_whether_it_writes(notebook):
    head = notebook.cells[0]
    assert head.cell_type == "markdown"
    assert head.source.startswith("# ")
    assert "**Reads only" in head.source or "**WRITES**" in head.source


@pytest.mark.parametrize("name", ALL)
def test_every_parameter_has_type_default_and_help(name):
    found = papermill.inspect_notebook(str(ROOT / f"{name}.ipynb"))
    assert "out_dir" in found
    for item in found.values():
        assert item["inferred_type_name"] in {"int", "float", "str", "bool"}, item
        assert isinstance(ast.literal_eval(item["default"]), (int, float, str, bool))
        assert len(item["help"]) > 10, item


def test_cells_hold_no_logic(notebook):
    for cell in notebook.cells:
        if cell.cell_type == "code":
            for node in ast.walk(ast.parse(cell.source)):
                assert not isinstance(
                    node, (ast.For, ast.While, ast.If, ast.FunctionDef, ast.Try, ast.ClassDef)
                ), cell.source


def test_the_last_cell_gives_the_result(notebook):
    assert notebook.cells[-1].source.strip().startswith("result.result(")


def test_files_end_alike():
    for name in ALL:
        text = (ROOT / f"{name}.ipynb").read_text()
        assert text.endswith("}\n")
        assert json.loads(text)["nbformat"] == 4
