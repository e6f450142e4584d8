from __future__ import annotations

import re
from pathlib import Path

from sbtk.events import Event, Finding
from sbtk.ntfs import scan as scan_module
from sbtk.ntfs.chunk import FAULT_TEXT, Fault
from sbtk.ntfs.findings import FindingList

SOURCES = Path(scan_module.__file__).parent
DOCS = SOURCES.parents[1] / "docs" / "tables.md"


def test_every_code_is_documented_and_no_other() -> None:
    table = DOCS.read_text().split("## Findings")[1].split("## How fast")[0]
    documented = {
        code
        for line in table.splitlines()
        if line.startswith("| `")
        for code in re.findall(r"`([a-z0-9-]+)`", line.split("|")[1])
    }
    used = {fault.code for fault in Fault if fault is not Fault.NONE}
    for module in SOURCES.glob("*.py"):
        text = module.read_text()
        used |= set(re.findall(r'"(?:info|warning|error)",\s*"([a-z0-9-]+)"', text))
        used |= set(re.findall(r'"(path-[a-z-]+)"', text))
    used -= {"error", "warning", "info"}
    assert used == documented


def test_every_fault_has_its_sentence() -> None:
    assert set(FAULT_TEXT) == set(Fault) - {Fault.NONE}


def test_a_flood_is_kept_and_not_told() -> None:
    told: list[Event] = []
    findings = FindingList(told.append)
    for number in range(5000):
        findings.add("error", "run-list", "x", record=number)
    assert findings.table().num_rows == len(findings) == 5000
    assert len(told) == FindingList.MAX_EMITTED
    assert isinstance(told[0], Finding)
    assert findings.has_record(4999)
    assert not findings.has_record(5000)
