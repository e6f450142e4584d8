"""The page of a run: whole, safe whatever a file is called, and says what the events say."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sbtk.errors import JobError
from sbtk.events import Finding, QuietSample, SnapshotStep
from sbtk.report import run_log
from sbtk.report.build import write_report
from sbtk.report.page import render
from sbtk.report.pictures import _rates
from sbtk.report.run_log import Lists, from_lines
from sbtk.report.svg import fitted, ticks
from tests.report import runs

VOID = {"meta", "br", "img", "link", "input", "hr", "wbr"}
MANIFEST = {
    "volume": {"label": "Büro & Co", "serial": "0123456789ABCDEF", "version": "3.1",
               "cluster_bytes": 4096},
    "quiet": {"granularity": "one write", "blind_to": "writes past the mover"},
    "not_plain": [{"path": "a.bin", "stream": "s", "why": "compressed", "member": "x"}],
}  # fmt: skip


class Page(HTMLParser):
    """Tags that open and close each other, what is shown, and what points elsewhere."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open, self.shown, self.outside, self.tags = [], [], [], []
        self.feed(html)
        self.close()
        assert self.open == []
        self.text = " ".join(" ".join(self.shown).split())

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.outside += [v for k, v in attributes if k in ("src", "href", "xlink:href", "action")]
        self.outside += [k for k, _ in attributes if k.startswith("on")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "title"):
            self.shown.append(data)


def page_of(events, manifest=None) -> Page:
    html = render(from_lines(event.to_json() for event in events), manifest)
    return Page(html)


def section(page: Page, head: str, behind: str) -> str:
    return page.text.partition(head)[2].partition(behind)[0]


def test_a_backup_is_told_whole():
    page = page_of(runs.backup(), MANIFEST)
    for words in (
        "✓ Done", "tape:/tapes/a.tape", "“Büro & Co”, serial 0123456789ABCDEF", "46,033",
        "2.05 GiB in 3,447 runs", "40 command lists of 3,448 segments", "set-1",
        "No file data went through this server",
        "Moved by the data mover 2.05 GiB 2,206,000,000 97.89 %",
        "Metadata read by this server 45.1 MiB 47,300,000 2.10 %",
        "File data through this server 0 B 0 0.00 %",
        "Nothing was written for 3 s", "Torn before it, and dropped: 1 snapshot",
        "quiet: 3 s without a write", "fails after 80 s", "6.6 s of 80 s allowed",
        "writes past the mover", "The copy took 4.2 s; the plan predicted 5.0 s (0.84 times",
        "40 command lists carried", "mean 398 MiB/s", "warning path-orphan 3",
        "sbtk verify set-1 does", "Quiet is not consistent",
    ):  # fmt: skip
        assert words in page.text, words
    assert page.tags.count("svg") == 4


def test_what_was_left_out_is_said():
    options = {"include": ["Documents/**"], "exclude": ["*.tmp", "<b>"], "paging_files": False}
    events = [dataclasses.replace(runs.start(), options=options), runs.plan(), runs.stop()]
    text = page_of(events).text
    assert "Only Documents/**" in text
    assert "Left out data of paging files, *.tmp, <b>" in text
    options = {"include": [], "exclude": [], "paging_files": True}
    events[0] = dataclasses.replace(runs.start(), options=options)
    assert "Left out" not in page_of(events).text


def test_every_picture_is_well_formed_and_has_text_in_its_place():
    html = render(from_lines(event.to_json() for event in runs.backup()))
    pictures = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    assert len(pictures) == 4
    for text in pictures:
        element = ElementTree.fromstring(text)
        assert len(element.get("aria-label")) > 20
        assert element.get("role") == "img"
        _, _, width, height = map(float, element.get("viewBox").split())
        for part in element.iter("text"):
            assert 0 <= float(part.get("x")) <= width
            assert 0 <= float(part.get("y")) <= height


def test_nothing_is_fetched_and_no_script_runs():
    page = page_of(runs.backup(), MANIFEST)
    assert page.outside == []
    assert not {"script", "link", "img", "iframe", "object", "base"} & set(page.tags)
    html = render(from_lines(event.to_json() for event in runs.backup()))
    assert "default-src 'none'" in html.replace("&#x27;", "'")
    assert not re.search(r"https?:|url\(|@import", html)


def test_names_are_shown_and_not_obeyed():
    page = page_of(runs.backup())
    assert "/luns/office <b>&amp;</b>.img" in page.text
    assert "<script>alert(1)</script>" in page.text
    assert "script" not in page.tags


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(name=st.text(), run=st.text(min_size=1))
def test_any_name_makes_a_page(name, run):
    """Paths of damaged volumes hold control characters, surrogates, markup, right-to-left marks."""
    events = [
        dataclasses.replace(runs.start(source=name, target=name), run_id=run),
        Finding(severity="error", code="x", message=name),
        dataclasses.replace(runs.checks(1), files=(name,)),
        dataclasses.replace(runs.stop(), message=name, set_id=name),
    ]
    html = render(from_lines(event.to_json() for event in events))
    html.encode("utf-8")
    page = Page(html)
    assert page.outside == []
    assert "script" not in page.tags
    assert not re.search("[\0-\x08\x0e-\x1f\x7f\u202a-\u202e\u2066-\u2069]", html)


@pytest.mark.parametrize("name", ["<script>x</script>", '" onload="x', "{source.__class__}"])
def test_a_journal_of_others_writes_no_markup(name):
    """Every text of every event is someone else's: verbs, stages, outcomes too."""
    lines = [json.loads(event.to_json()) for event in runs.backup()]
    for line in lines:
        line.update({k: name for k, v in line.items() if isinstance(v, str) and k != "event"})
    page = Page(render(from_lines(json.dumps(line) for line in lines), MANIFEST))
    assert "script" not in page.tags
    assert page.outside == []
    assert "class str" not in page.text


def test_a_verify_says_what_differs_and_what_was_not_looked_at():
    events = [runs.start("verify", "set-1", ""), runs.checks(3), runs.stop("verify", "flawed")]
    page = page_of(events)
    assert "! Ended, with findings" in page.text
    checked = section(page, "What was checked", "What was not checked")
    assert "The set, read by the data mover, 2.05 GiB in 3,448 pieces" in checked
    assert "every segment of the set against its digest" in checked
    assert "✗ 3 pieces differ" in checked
    assert "7 files hit: Documents/a.docx Mail/<i>.pst and 5 more" in checked
    assert "the label file" in section(page, "What was not checked", "Findings")
    sound = page_of([events[0], runs.checks(), runs.stop("verify")])
    assert "✓ No difference found" in sound.text


def test_file_data_through_the_host_is_not_hidden():
    stop = runs.stop("extract", moved_bytes=0, host_data_bytes=5_000_000)
    page = page_of([runs.start("extract", "set-1", "/tmp/out"), stop])
    assert "4.77 MiB of file data went through this server" in page.text
    assert "No file data" not in page.text
    assert "file data through this server: 0 B" not in page.text


@pytest.mark.parametrize(
    ("status", "words"),
    [("failed", "✗ Failed: the tape <is> full"), ("cancelled", "✗ Cancelled: the tape <is> full")],
)
def test_a_run_that_failed_proves_nothing(status, words):
    stop = runs.stop(status=status, exit_code=54, message="the tape <is> full")
    page = page_of([runs.start(), runs.plan(), stop])
    assert words in page.text
    assert "nothing is proved by it" in section(page, "What was not checked", "Findings")
    assert "was not read back" not in page.text


def test_a_run_that_moved_nothing_has_no_picture_of_it():
    figures = ("moved_bytes", "metadata_bytes", "command_bytes", "inline_bytes")
    stop = runs.stop("restore", "failed", message="no", **dict.fromkeys(figures, 0))
    page = page_of([runs.start("restore", "set-1", "/luns/a.img"), stop])
    assert "No bytes were moved, read or sent" in page.text
    assert page.tags.count("svg") == 0


def test_no_snapshot_is_not_called_one():
    events = [
        dataclasses.replace(event, provider="none") if isinstance(event, SnapshotStep) else event
        for event in runs.wait(torn=False)
    ]
    page = page_of([runs.start(), *events, runs.stop()])
    assert "There is no snapshot: the source itself was copied, and watched to the end" in page.text
    assert "watched from here" in page.text
    assert "snapshot was taken" not in page.text


def test_a_wait_that_failed_says_so():
    page = page_of([runs.start(), *runs.wait(90.0, torn=False)[:-2], runs.stop(status="failed")])
    assert "It did not fall quiet within 80 s" in page.text
    assert "Nothing was written" not in page.text


def test_a_killed_run_has_a_page():
    lines = [event.to_json() for event in runs.backup()[:-1]]
    lines[-1] = lines[-1][:20]  # the line that was being written
    page = Page(render(from_lines(lines)))
    assert "Did not end" in page.text
    assert "nothing is proved by it" in page.text


def test_a_resumed_run_counts_both_parts():
    events = [*runs.backup()[:-1], runs.start(), *runs.lists(5, begin_s=60), runs.stop()]
    log = from_lines(event.to_json() for event in events)
    assert len(log.lists) == 45
    assert "begun 2 times" in Page(render(log)).text
    log = from_lines(event.to_json() for event in [*runs.backup(), runs.start()])
    assert log.stop is None  # it was begun again, and did not end


def test_many_findings_are_counted_and_some_are_shown():
    events = [runs.start(), *runs.findings(5000), runs.stop()]
    log = from_lines(event.to_json() for event in events)
    assert len(log.findings) == run_log.MOST_FINDINGS
    page = Page(render(log))
    assert "warning path-orphan 5,000" in page.text
    assert "200 findings of 5,000, one by one" in page.text


def test_a_million_lists_make_a_page_of_bounded_size():
    log = from_lines(event.to_json() for event in [runs.start(), *runs.lists(10), runs.stop()])
    row = runs.lists(1)[0].to_dict()
    for index in range(100_000):
        log.lists.add({**row, "time_s": runs.ZERO_S + index / 1e4})
    log.quiet = [event.to_dict() for event in runs.wait() if isinstance(event, QuietSample)]
    assert len(render(log)) < 60_000


@settings(deadline=None, max_examples=100)
@given(
    st.lists(
        st.tuples(st.floats(0, 1e4), st.floats(1e-6, 1e4), st.integers(1, 1 << 40)), min_size=1
    )
)
def test_the_throughput_picture_shows_every_byte(rows):
    """What the columns hold, added up, is what the lists carried."""
    lists = Lists()
    for end_s, took_s, carried in rows:
        lists.add({"time_s": end_s, "took_s": took_s, "moved_bytes": carried, "inline_bytes": 0})
    begin_s = min(end - took for end, took, _ in rows)
    span_s = max(end for end, _, _ in rows) - begin_s
    if span_s > 0:
        rates = _rates(lists, begin_s, span_s)
        shown = sum(rates) * span_s / len(rates)
        assert shown == pytest.approx(sum(carried for _, _, carried in rows), rel=1e-3)


@given(st.floats(1e-9, 1e15), st.integers(3, 8))
def test_ticks_are_few_round_and_reach_the_end(top, most):
    values = ticks(top, most)
    assert values[0] == 0
    assert values[-1] <= top * (1 + 1e-6)
    assert 2 <= len(values) <= most + 1
    step = values[1]
    assert values[-1] + step > top * (1 - 1e-6)
    assert f"{step:.0e}"[0] in "125"


def test_long_locations_keep_both_ends():
    text = fitted("iscsi://array.example.org/iqn.2026-01.org.example:array/4", 160)
    assert text.startswith("iscsi://")
    assert text.endswith("array/4")
    assert len(text) * 6.6 <= 160
    assert fitted("/a", 160) == "/a"


@pytest.mark.parametrize(
    "content",
    ["", "nonsense", '{"event":"quiet"}\n', '{"a":1}\n{"b":2}\n', "{}x\n{}\n", "[]\n"],
)
def test_what_is_no_run_is_said_in_a_line(tmp_path, content):
    (tmp_path / "events.jsonl").write_text(content)
    with pytest.raises(JobError, match="events of this version"):
        run_log.read_run(tmp_path)
    with pytest.raises(JobError, match="is no folder of a run"):
        run_log.read_run(tmp_path / "nowhere")


@pytest.mark.parametrize("field", ["moved_bytes", "status", "took_s"])
def test_an_event_without_a_field_is_said_in_a_line(tmp_path, field):
    lines = [json.loads(event.to_json()) for event in runs.backup()]
    del lines[-1][field]
    (tmp_path / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(JobError, match=f"events of this version.*{field}"):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


BROWSER = (
    "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


PROBE = """<script>addEventListener("load", () => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  const look = (selector, name) => getComputedStyle(all(selector)[0])[name];
  document.title = JSON.stringify({
    ink: look("body", "color"), ground: look("body", "backgroundColor"),
    mover: look(".mover-line", "stroke"), host: look(".host-line", "stroke"),
    wide: document.documentElement.scrollWidth, view: innerWidth,
    boxes: all("svg").map((picture) => picture.getBoundingClientRect().width),
  });
});</script>"""


def test_a_browser_shows_it_in_light_and_dark(tmp_path):
    """Chromium, offline: what it lays out, and the colours that it gives text and ground."""
    html = render(from_lines(event.to_json() for event in runs.backup()), MANIFEST)
    (tmp_path / "page.html").write_text(re.sub(r"<meta http-equiv.*?>", "", html) + PROBE)
    seen = {}
    for name, scheme in (("light", 1), ("dark", 0)):
        done = subprocess.run(
            [*BROWSER, f"--user-data-dir={tmp_path / name}", "--window-size=700,900",
             f"--blink-settings=preferredColorScheme={scheme}", "--dump-dom",
             (tmp_path / "page.html").as_uri()],
            capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip
        title = re.search(r"<title>(.*?)</title>", done.stdout)[1]
        seen[name] = json.loads(title.replace("&quot;", '"'))
    for look in seen.values():
        assert look["wide"] <= look["view"]  # nothing makes the page scroll sideways
        assert all(width > 300 for width in look["boxes"])
        ground = luminance(look["ground"])
        assert contrast(luminance(look["ink"]), ground) >= 7
        for line in ("mover", "host"):
            assert contrast(luminance(look[line]), ground) >= 3  # WCAG 2.2, 1.4.11
    assert luminance(seen["light"]["ground"]) > 0.9
    assert luminance(seen["dark"]["ground"]) < 0.05


def luminance(colour: str) -> float:
    """WCAG 2.2: relative luminance of ``rgb(r, g, b)``."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: float, other: float) -> float:
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)
