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
    assert findings.finish().num_rows == len(findings) == 5000
    assert len(told) == FindingList.MAX_EMITTED
    assert isinstance(told[0], Finding)


def rows_of(findings: FindingList) -> list[tuple[str, str, int, str]]:
    return [
        (row["severity"], row["code"], row["record"], row["message"])
        for row in findings.finish().to_pylist()
    ]


def test_what_is_wrong_with_a_record_is_one_row() -> None:
    findings = FindingList()
    findings.add("info", "name-text", "odd", record=30)
    findings.add("warning", "path-orphan", "lost", record=31)
    findings.add("error", "run-list", "torn", record=30, lcn=7)
    findings.add("error", "file-name", "cut", record=30)
    findings.add("error", "run-list", "torn", record=30)
    assert rows_of(findings) == [
        ("error", "run-list", 30, "torn; odd; cut"), ("warning", "path-orphan", 31, "lost"),
    ]  # fmt: skip
    assert findings.finish()["lcn"].to_pylist() == [7, -1]


def test_findings_about_no_record_and_states_of_the_volume_stand_alone() -> None:
    findings = FindingList()
    findings.add("error", "boot-damaged", "a")
    findings.add("error", "volume-truncated", "b")
    findings.add("error", "record-torn-write", "c", record=3)
    findings.add("warning", "volume-dirty", "d", record=3)
    codes = [code for _, code, _, _ in rows_of(findings)]
    assert codes == ["boot-damaged", "volume-truncated", "record-torn-write", "volume-dirty"]


def test_a_row_does_not_grow_without_end() -> None:
    findings = FindingList()
    for number in range(10_000):
        findings.add("error", "run-list", f"sentence {number}", record=30)
    ((_, _, _, message),) = rows_of(findings)
    assert len(message) < 500
    assert message.startswith("sentence 0; sentence 1; ")
    assert message.endswith("; and more")


def test_what_follows_is_left_out_where_its_cause_is_told() -> None:
    findings = FindingList()
    findings.add_effect("error", "stream-gap", "gap", record=40)
    findings.add_effect("error", "stream-gap", "gap", record=41)
    findings.add("error", "record-torn-write", "torn", record=50)
    findings.explain(40, by=50)
    assert findings.teller(40) == findings.teller(50) == 50
    assert findings.teller(41) is None
    assert [(code, record) for _, code, record, _ in rows_of(findings)] == [
        ("record-torn-write", 50), ("stream-gap", 41),
    ]  # fmt: skip


def test_what_is_told_is_what_the_table_holds() -> None:
    """About no record: at once. About a record: when all is known, one event a row."""
    told: list[Event] = []
    findings = FindingList(told.append)
    findings.add("error", "run-list", "a", record=30)
    findings.add("error", "boot-damaged", "b")
    assert [event.code for event in told if isinstance(event, Finding)] == ["boot-damaged"]
    findings.add("warning", "path-orphan", "c", record=30)
    table = findings.finish().to_pylist()
    kept = [
        {name: getattr(event, name) for name in table[0]}
        for event in told
        if isinstance(event, Finding)
    ]
    assert sorted(kept, key=lambda row: row["record"]) == sorted(
        table, key=lambda row: row["record"]
    )
