"""What is pinned, what conda gets and what pyproject.toml asks for are one list."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]


def name_of(requirement: str) -> str:
    name = re.split(r"[<>=!~\[; ]", requirement, maxsplit=1)[0]
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def pinned(file_name: str) -> dict[str, str]:
    lines = (ROOT / file_name).read_text().splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {name_of(name): version.split(" ")[0] for name, version in pairs}


def test_conda_environment_equals_pyproject(project):
    document = yaml.safe_load((ROOT / "environment.yml").read_text())
    conda = {item for item in document["dependencies"] if isinstance(item, str)}
    expected = {*project["dependencies"], f"python{project['requires-python']}", "pip"}
    assert conda == expected


@pytest.mark.parametrize("file_name", ["requirements.lock", "requirements-dev.lock"])
def test_lock_pins_every_dependency_and_names_no_index(project, file_name):
    text = (ROOT / file_name).read_text()
    assert not re.search(r"://|^\s*-", text, re.MULTILINE)
    wanted = list(project["dependencies"])
    if "dev" in file_name:
        wanted += project["optional-dependencies"]["dev"]
    assert {name_of(item) for item in wanted} <= set(pinned(file_name))


def test_both_locks_pin_the_same_versions():
    run, dev = pinned("requirements.lock"), pinned("requirements-dev.lock")
    assert run.items() <= dev.items()
