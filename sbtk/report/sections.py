"""What each part of a report says: sentences, tables and pictures from a run's events."""

from __future__ import annotations

import json
import time as clock
from collections.abc import Iterable
from typing import Any

from sbtk.report import pictures
from sbtk.report.paths_picture import Ends, bytes_by_path
from sbtk.report.paths_picture import rows as path_rows
from sbtk.report.run_log import Fields, RunLog
from sbtk.report.svg import safe
from sbtk.units import format_bytes, format_count, format_rate, format_seconds, plural

Parts = list[str]

_VERBS = {
    "backup": "Backup of {source} to {target}",
    "restore": "Restore of {source} to {target}",
    "extract": "Files out of {source} into {target}",
    "verify": "Verify of {source}",
}
_OUTCOMES = {
    "done": "✓ Done",
    "flawed": "! Ended, with findings",
    "failed": "✗ Failed",
    "cancelled": "✗ Cancelled",
    "open": "? Did not end: it still runs, or was killed",
}
_WHAT = {"set": "The set", "lun": "The LUN", "restored": "The restored volume"}
_MOST_NOT_PLAIN = 50


def title(log: RunLog) -> str:
    """What was done, in one line."""
    source, target = (safe(_short(log.start[name])) for name in ("source", "target"))
    if log.verb not in _VERBS:
        return f"{safe(log.verb.capitalize())} of {source}"
    return _VERBS[log.verb].format(source=source, target=target)


def _short(location: str) -> str:
    """The last part of a path; the whole stands in the table."""
    if location.startswith("iscsi:"):
        return location
    prefix = "tape:" if location.startswith("tape:") else ""
    return prefix + (location.removeprefix(prefix).rstrip("/").rpartition("/")[2] or location)


def outcome(log: RunLog) -> Parts:
    """How it ended, and when."""
    stop = log.stop
    status = stop["status"] if stop else "open"
    text = _OUTCOMES.get(status, safe(str(status)))
    style = status if status in _OUTCOMES else "open"
    if stop and stop["message"]:
        text += f": {safe(stop['message'])}"
    began, run_id = _moment(log.start["time_s"]), safe(log.start["run_id"])
    again = f", begun {log.starts} times" if log.starts > 1 else ""
    return [
        f'<p class="outcome {style}">{text}</p>',
        f'<p class="soft">Run <code>{run_id}</code>, {began}{again}</p>',
    ]


def figures(log: RunLog) -> Parts:
    """The four numbers that people look for first."""
    stop = log.stop
    if stop is None:
        return []
    tiles = [
        (
            format_bytes(stop["moved_bytes"]),
            f"{'read' if log.verb == 'verify' else 'moved'} by the data mover",
        ),
        (format_bytes(stop["host_data_bytes"]), "of file data through this server"),
        (format_bytes(stop["metadata_bytes"]), "of metadata read by this server"),
        (format_seconds(stop["took_s"]), "in all"),
    ]
    cells = "".join(f"<div><b>{value}</b><span>{name}</span></div>" for value, name in tiles)
    return [f'<div class="figures">{cells}</div>']


def what(log: RunLog, manifest: dict[str, Any]) -> Parts:
    """Source, target, set, volume, plan."""
    plan, stop = log.plan, log.stop
    volume = manifest.get("volume", {})
    source, set_id = log.start["source"], stop["set_id"] if stop else ""
    facts: list[tuple[str, str]] = [
        ("Source", _code(source) if source != set_id else ""),
        ("Target", _code(log.start["target"])),
        ("Set", _code(set_id)),
    ]
    facts.append(("Volume", _volume(volume)))
    if plan:
        facts += [
            ("Layout", safe(f"{plan['layout']}, {plan['medium']}")),
            ("Files scanned", format_count(plan["files"]) if plan["files"] else ""),
            ("Selected", _selected(plan)),
            ("Archive", format_bytes(plan["archive_bytes"]) if plan["archive_bytes"] else ""),
            ("Commands", f"{plural(plan['commands'], 'command list')} of "
             f"{plural(plan['segments'], 'segment')}, limits of {safe(plan['manager'])}"),
        ]  # fmt: skip
    if log.verb == "backup" and plan:
        facts.append(("Digests", "made by the data mover" if plan["digests"] else "none"))
        facts += _choice(log.start["options"])
    return [_facts(facts), *_not_plain(manifest.get("not_plain", []))]


def _choice(options: Fields) -> list[tuple[str, str]]:
    """What was chosen and what not, where that is less than everything."""
    left_out = [] if options.get("paging_files", True) else ["paging files"]
    left_out += options.get("exclude", [])
    return [
        ("Only", safe(", ".join(options.get("include", [])))),
        ("Left out", f"data of {safe(', '.join(left_out))}" if left_out else ""),
    ]


def _volume(volume: dict[str, Any]) -> str:
    words = [
        f"“{volume['label']}”" if volume.get("label") else "",
        f"serial {volume['serial']}" if volume.get("serial") else "",
        f"NTFS {volume['version']}" if volume.get("version") else "",
    ]
    cluster_bytes = volume.get("cluster_bytes")
    if isinstance(cluster_bytes, int):
        words.append(f"clusters of {format_bytes(cluster_bytes)}")
    return safe(", ".join(filter(None, words)))


def _selected(plan: Fields) -> str:
    if not plan["selected_bytes"]:
        return ""
    return f"{format_bytes(plan['selected_bytes'])} in {plural(plan['selected_runs'], 'run')}"


def _not_plain(items: list[Fields]) -> Parts:
    if not items:
        return []
    shown = [
        f"{_code(str(item['path']))}{':' if item['stream'] else ''}{safe(str(item['stream']))}: "
        f"{safe(str(item['why']))}"
        for item in items[:_MOST_NOT_PLAIN]
    ]
    head = f"{plural(len(items), 'stream')} that tar cannot show as plain files, restored by sbtk"
    return [f"<details><summary>{head}</summary>{_list(shown, len(items))}</details>"]


def paths(log: RunLog) -> Parts:
    """Picture and table of the bytes by path."""
    stop = log.stop
    if stop is None:
        return []
    rows = path_rows(stop)
    total = sum(count for _, count in rows)
    if not total:
        return ["<p>No bytes were moved, read or sent.</p>"]
    data = stop["host_data_bytes"]
    sentence = (
        f"{format_bytes(data)} of file data went through this server."
        if data
        else "No file data went through this server: it read metadata and sent commands."
    )
    cells = [
        (name, format_bytes(count), format_count(count), _share(count, total))
        for name, count in rows
    ]
    return [
        f"<p>{sentence}</p>",
        _picture(bytes_by_path(stop, _ends(log))),
        _table(("Path", "Amount", "Bytes", "Share"), cells, numbers=3),
    ]


def _share(count: int, total: int) -> str:
    share = count / max(total, 1)
    return "under 0.01 %" if 0 < share < 0.0001 else f"{share * 100:.2f} %"


def _ends(log: RunLog) -> Ends:
    start, medium = log.start, (log.plan or {}).get("medium", "")
    medium = {"tape": "Tape", "disk": "Disk"}.get(medium, "Medium")
    if log.verb == "backup":
        return Ends(("Source", start["source"]), (medium, start["target"]))
    target = {"restore": "Target", "extract": "Folder"}.get(log.verb)
    return Ends((medium, start["source"]), (target, start["target"]) if target else None)


def quiet(log: RunLog, manifest: dict[str, Any]) -> Parts:
    """The quiet window: picture, what was watched, what that cannot see."""
    if not log.quiet:
        return []
    last = log.quiet[-1]
    held = [item for item in log.snapshots if item["action"] == "held"]
    torn = sum(item["action"] == "torn" for item in log.snapshots)
    if held and held[-1]["provider"] == "none":
        sentence = (
            f"Nothing was written for {last['quiet_s']:g} s. There is no snapshot: the source "
            f"itself was copied, and watched to the end."
        )
    elif held:
        sentence = (
            f"Nothing was written for {last['quiet_s']:g} s; the snapshot was taken then, and the "
            f"counter had not moved when it was there."
        )
        sentence += f" Torn before it, and dropped: {plural(torn, 'snapshot')}." if torn else ""
    else:
        sentence = f"It did not fall quiet within {last['timeout_s']:g} s."
    report = manifest.get("quiet", {})
    facts = [
        ("Watched", safe(last["source"])),
        ("Snapshot", safe(held[-1]["provider"]) if held else ""),
        ("Waited", f"{format_seconds(last['waited_s'])} of {last['timeout_s']:g} s allowed"),
        ("Shows", safe(str(report.get("granularity", "")))),
        ("Cannot see", safe(str(report.get("blind_to", "")))),
        ("Flushed", _flushed(log)),
    ]
    return [f"<p>{sentence}</p>", _picture(pictures.quiet_window(log)), _facts(facts)]


def _flushed(log: RunLog) -> str:
    names = sorted({item["target"] for item in log.flushes})
    return f"{safe(', '.join(names))}, {plural(len(log.flushes), 'time')}" if names else ""


def time(log: RunLog) -> Parts:
    """Stages, and the copy beside what was predicted."""
    if not log.stages:
        return []
    predicted_s = log.plan["predicted_s"] if log.plan else 0.0
    cells = [
        (
            pictures.STAGE_NAMES.get(item["stage"], safe(item["stage"])),
            format_seconds(predicted_s) if item["stage"] == "copy" and predicted_s else "",
            format_seconds(item["took_s"]),
        )
        for item in log.stages
    ]
    return [
        *_predicted(log),
        _picture(pictures.stages(log)),
        _table(("Stage", "Predicted", "Time"), cells, numbers=2),
    ]


def _predicted(log: RunLog) -> Parts:
    stop = log.stop
    if stop is None or not stop["copied_s"] or not stop["predicted_s"]:
        return []
    return [
        f"<p>The copy took {format_seconds(stop['copied_s'])}; the plan predicted "
        f"{format_seconds(stop['predicted_s'])} "
        f"({stop['copied_s'] / stop['predicted_s']:.2f} times the prediction).</p>"
    ]


def throughput(log: RunLog) -> Parts:
    """Bytes a second, and the slowest list."""
    lists = log.lists
    if not len(lists) or not sum(lists.carried_bytes) or not any(lists.took_s):
        return []
    slowest = max(range(len(lists)), key=lists.took_s.__getitem__)
    rate = lists.carried_bytes[slowest] / max(lists.took_s[slowest], 1e-9)
    return [
        f"<p>{plural(len(lists), 'command list')} carried "
        f"{format_bytes(sum(lists.carried_bytes))}. The slowest took "
        f"{format_seconds(lists.took_s[slowest])}, at {format_rate(rate)}.</p>",
        _picture(pictures.throughput(lists)),
    ]


def checked(log: RunLog) -> Parts:
    """What was compared with what, by whom, and what differed."""
    parts: Parts = []
    for check in log.checks:
        name = _WHAT.get(check["what"], safe(check["what"]))
        who = "the data mover" if check["method"] == "mover" else "this server"
        amount = ""
        if check["checked_bytes"]:
            amount = (
                f", {format_bytes(check['checked_bytes'])} in "
                f"{plural(check['checked_pieces'], 'piece')}"
            )
        parts.append(f"<p>{name}, read by {who}{amount}:</p>")
        parts.append(_list([safe(text) for text in check["checked"]]))
        parts += _mismatches(check)
    return parts


def _mismatches(check: Fields) -> Parts:
    count = check["mismatches"]
    if not count:
        return ['<p class="good">✓ No difference found.</p>']
    differ = "piece differs" if count == 1 else "pieces differ"
    parts = [f'<p class="bad">✗ {format_count(count)} {differ}.</p>']
    if check["files_total"]:
        parts.append(f"<p>{plural(check['files_total'], 'file')} hit:</p>")
        parts.append(_list([_code(name) for name in check["files"]], check["files_total"]))
    return parts


def not_checked(log: RunLog, manifest: dict[str, Any]) -> Parts:
    """What this run proves nothing about."""
    said = [safe(text) for check in log.checks for text in check["not_checked"]]
    stop, plan = log.stop, log.plan or {}
    if log.verb == "backup" and stop and stop["status"] in ("done", "flawed"):
        if not any(check["what"] == "set" for check in log.checks):
            verify = f"<code>sbtk verify {safe(stop['set_id'])}</code>"
            said.append(f"The set was not read back after it was written: {verify} does.")
        if not plan.get("digests"):
            said.append("The set has no digests: a verify has to read it through this server.")
        blind_to = manifest.get("quiet", {}).get("blind_to")
        if blind_to:
            said.append(f"The wait for quiet cannot see {safe(str(blind_to))}.")
        if log.quiet:
            said.append("Quiet is not consistent: an application may pause in its work.")
    if log.verb == "restore" and stop and stop["status"] == "done" and not log.checks:
        said.append("The restored volume was not looked at.")
    if stop is None or stop["status"] in ("failed", "cancelled"):
        said.append("The run did not come to its end: nothing is proved by it.")
    return [_list(said)] if said else []


def findings(log: RunLog) -> Parts:
    """Counts by code, and the first ones in full."""
    total = log.finding_counts.total()
    if not total:
        return ["<p>None.</p>"]
    counts = [
        (safe(severity), safe(code), format_count(count))
        for (severity, code), count in sorted(log.finding_counts.items())
    ]
    rows = [
        (safe(item["severity"]), safe(item["code"]), _place(item), safe(item["message"]))
        for item in log.findings
    ]
    more = f" of {format_count(total)}" if total > len(rows) else ""
    return [
        _table(("Severity", "Code", "Number"), counts, numbers=1),
        f"<details><summary>{plural(len(rows), 'finding')}{more}, one by one</summary>",
        _table(("Severity", "Code", "Where", "What"), rows),
        "</details>",
    ]


def _place(item: Fields) -> str:
    record = f"record {item['record']}" if item["record"] >= 0 else ""
    lcn = f"LCN {item['lcn']}" if item["lcn"] >= 0 else ""
    return ", ".join(filter(None, (record, lcn)))


def options(log: RunLog) -> Parts:
    """The options of the run, as they were given or by default."""
    given = log.start["options"]
    facts = [
        (safe(str(name)), _code(value if isinstance(value, str) else json.dumps(value)))
        for name, value in given.items()
        if value not in ("", None, [], {})
    ]
    return [f"<details><summary>Options</summary>{_facts(facts)}</details>"] if facts else []


# -- pieces ------------------------------------------------------------------------------------


def _moment(time_s: float) -> str:
    return clock.strftime("%Y-%m-%d %H:%M:%S UTC", clock.gmtime(time_s))


def _code(text: str) -> str:
    return f"<code>{safe(text)}</code>" if text else ""


def _picture(svg: str) -> str:
    return f'<div class="scroll">{svg}</div>'


def _facts(facts: Iterable[tuple[str, str]]) -> str:
    """A table of names and values; empty values are left out."""
    rows = "".join(f"<tr><th>{name}</th><td>{value}</td></tr>" for name, value in facts if value)
    return f'<table class="facts">{rows}</table>'


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]], numbers: int = 0) -> str:
    """A table whose last ``numbers`` columns are numbers."""
    kinds = [""] * (len(heads) - numbers) + [' class="number"'] * numbers

    def cells(tag: str, values: tuple[str, ...]) -> str:
        pairs = zip(kinds, values, strict=True)
        return "".join(f"<{tag}{kind}>{value}</{tag}>" for kind, value in pairs)

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f"<table><thead><tr>{cells('th', heads)}</tr></thead><tbody>{body}</tbody></table>"


def _list(items: list[str], total: int = 0) -> str:
    """A list; where it is not the whole, it says so."""
    more = total - len(items)
    rows = [*items, f"and {format_count(more)} more"] if more > 0 else items
    return f"<ul>{''.join(f'<li>{row}</li>' for row in rows)}</ul>"
