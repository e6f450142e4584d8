"""docs/events.md lists every event with its fields, and every event is one line of JSON."""

import dataclasses
import importlib
import json
import pkgutil
import re
from pathlib import Path

import pytest

import sbtk
from sbtk.events import Event, event_classes

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "events.md").read_text()


def classes() -> list[type[Event]]:
    for module in pkgutil.walk_packages(sbtk.__path__, "sbtk."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    return [cls for cls in event_classes() if cls.__module__.startswith("sbtk.")]


def test_the_page_has_every_kind_and_no_other():
    kinds = [cls.kind for cls in classes()]
    assert len(kinds) == len(set(kinds))
    assert re.findall(r"^## (\S+)$", PAGE, re.MULTILINE) == sorted(kinds)


@pytest.mark.parametrize("cls", classes(), ids=lambda cls: cls.kind)
def test_the_page_has_every_field(cls):
    section = re.search(rf"^## {cls.kind}$(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    words = set(re.findall(r"`(\w+)`", section.group(1)))
    fields = {field.name for field in dataclasses.fields(cls)} - {"time_s"}
    assert fields <= words, f"not documented: {sorted(fields - words)}"


@pytest.mark.parametrize("cls", classes(), ids=lambda cls: cls.kind)
def test_every_event_is_one_line_of_json(cls):
    samples = {"str": "two\nlines", "int": 1, "float": 0.5, "bool": True}
    values = {
        field.name: samples.get(str(field.type).split("[")[0], ())
        for field in dataclasses.fields(cls)
        if field.name != "time_s"
    }
    line = cls(**values).to_json()
    assert "\n" not in line
    assert json.loads(line)["event"] == cls.kind
