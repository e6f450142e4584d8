"""The pictures of a report, from a run's events: how long, and how fast."""

from __future__ import annotations

from itertools import pairwise

from sbtk.report.run_log import Fields, Lists, RunLog
from sbtk.report.svg import Scale, label, line, number, path, picture, polyline, rect, ticks
from sbtk.units import format_rate, format_seconds, plural

WIDTH = 760
_LEFT, _RIGHT = 64, 744
_BINS = 170  # columns of the throughput picture: four pixels each

STAGE_NAMES = {
    "view": "Quiet, snapshot",
    "scan": "Read metadata",
    "plan": "Plan",
    "copy": "Copy",
    "closing": "Close the set",
    "check": "Check",
    "catalog": "Catalog",
}


# -- the quiet window --------------------------------------------------------------------------


def quiet_window(log: RunLog) -> str:
    """How long nothing had been written at each look, the writes, and the time that was allowed."""
    looks = log.quiet
    quiet_s, timeout_s = looks[-1]["quiet_s"], looks[-1]["timeout_s"]
    waited_s = looks[-1]["waited_s"]
    x = Scale(max(waited_s, quiet_s) * 1.04, _LEFT, _RIGHT)
    y = Scale(max(quiet_s, *(look["calm_s"] for look in looks)) * 1.15, 162, 26)
    body = _axis_y(y, "s without a write")
    points = [(x(look["waited_s"]), y(look["calm_s"])) for look in looks]
    body.append(polyline(points, "calm"))
    body.append(line(_LEFT, y(quiet_s), _RIGHT, y(quiet_s), "limit"))
    body.append(label(_LEFT + 6, y(quiet_s) - 5, f"quiet: {quiet_s:g} s without a write", "strong"))
    body += _snapshot_marks(log, looks[0], x)
    written = _written(looks)
    body.append(rect(_LEFT, 178, _RIGHT - _LEFT, 22, "lane"))
    body += [line(x(at), 180, x(at), 198, "write") for at in written]
    body.append(label(_LEFT - 8, 193, "writes", "axis", "end"))
    body += _axis_x(x, 202, "s since the wait began")
    body += _allowed(waited_s, timeout_s)
    title = (
        f"The wait for quiet: {plural(len(looks), 'look')} in {format_seconds(waited_s)}, "
        f"writes seen at {len(written)} of them, of {timeout_s:g} s that were allowed"
    )
    return picture(WIDTH, 298, title, body)


def _written(looks: list[Fields]) -> list[float]:
    """When a look showed another counter than the one before it."""
    return [new["waited_s"] for old, new in pairwise(looks) if old["counter"] != new["counter"]]


def _snapshot_marks(log: RunLog, first: Fields, x: Scale) -> list[str]:
    """A line where each snapshot was taken, and what became of it."""
    zero_s = first["time_s"] - first["waited_s"]
    body: list[str] = []
    for made, fate in pairwise(log.snapshots):
        at_s = made["time_s"] - zero_s
        if made["action"] != "created" or not 0 <= at_s <= x.top:
            continue
        torn = fate["action"] == "torn"
        left = at_s < x.top / 2
        place = x(at_s) + (5 if left else -5)
        name = "watched from here" if made["provider"] == "none" else "snapshot"
        text = f"{name}: torn, dropped" if torn else name
        body.append(line(x(at_s), 26, x(at_s), 200, "mark bad" if torn else "mark"))
        body.append(label(place, 36, text, "strong", "start" if left else "end"))
    return body


def _allowed(waited_s: float, timeout_s: float) -> list[str]:
    """A strip with the whole time that the wait may take, and what of it was used."""
    x = Scale(max(timeout_s, waited_s), _LEFT, _RIGHT)
    return [
        rect(_LEFT, 256, _RIGHT - _LEFT, 12, "lane"),
        rect(_LEFT, 256, max(x(waited_s) - _LEFT, 2), 12, "calm-bar"),
        line(x(timeout_s), 250, x(timeout_s), 274, "limit"),
        label(_LEFT, 288, f"{format_seconds(waited_s)} waited", "strong"),
        label(x(timeout_s), 288, f"fails after {timeout_s:g} s", "strong", "end"),
    ]


# -- time --------------------------------------------------------------------------------------


def stages(log: RunLog) -> str:
    """When each stage ran; beside the copy, how long it should have taken."""
    zero_s = log.start["time_s"]
    predicted_s = log.plan["predicted_s"] if log.plan else 0.0
    rows = [
        (str(item["stage"]), max(item["time_s"] - item["took_s"] - zero_s, 0.0), item["took_s"])
        for item in log.stages
    ]
    end_s = max([begin + took for _, begin, took in rows] + [log.last_s - zero_s])
    end_s = max([end_s] + [begin + predicted_s for name, begin, _ in rows if name == "copy"])
    x = Scale(max(end_s, 0.001), 150, _RIGHT - 110)
    body: list[str] = []
    top = 10
    for name, begin, took in rows:
        style = f"stage stage-{name}" if name in STAGE_NAMES else "stage"
        body.append(label(140, top + 14, STAGE_NAMES.get(name, name), "strong", "end"))
        body.append(rect(x(begin), top + 2, max(x(took) - x(0), 1.5), 16, style))
        right = x(begin + took)
        text = format_seconds(took)
        if name == "copy" and predicted_s:
            length = x(predicted_s) - x(0)
            body.append(rect(x(begin), top + 21, max(length, 1.5), 8, "predicted"))
            predicted = f"predicted {format_seconds(predicted_s)}"
            body.append(label(x(begin + predicted_s) + 6, top + 29, predicted, "axis"))
            body.append(label(right + 6, top + 14, text))
            top += 14
        else:
            body.append(label(right + 6, top + 14, text))
        top += 24
    body += _axis_x(x, top + 4, "s since the run began")
    title = ", ".join(f"{STAGE_NAMES.get(name, name)} {format_seconds(s)}" for name, _, s in rows)
    return picture(WIDTH, top + 42, f"Time by stage: {title}", body)


# -- throughput --------------------------------------------------------------------------------


def throughput(lists: Lists) -> str:
    """Bytes a second over the time of the copy."""
    begin_s = min(end - took for end, took in zip(lists.end_s, lists.took_s, strict=True))
    span_s = max(max(lists.end_s) - begin_s, 1e-6)
    rates = _rates(lists, begin_s, span_s)
    mean = sum(lists.carried_bytes) / span_s
    unit, factor = ("GiB/s", 1 << 30) if max(rates) >= 1 << 30 else ("MiB/s", 1 << 20)
    x = Scale(span_s, _LEFT, _RIGHT)
    y = Scale(max(*rates, mean) / factor * 1.15, 162, 26)
    body = _axis_y(y, unit)
    steps = [f"M{number(x(0))},{number(y(0))}"]
    for index, rate in enumerate(rates):
        height = number(y(rate / factor))
        right = number(x(span_s * (index + 1) / _BINS))
        steps.append(f"V{height}H{right}")
    steps.append(f"V{number(y(0))}Z")
    body.append(path("".join(steps), "flow"))
    body.append(line(_LEFT, y(mean / factor), _RIGHT, y(mean / factor), "limit"))
    body.append(label(_RIGHT, y(mean / factor) - 5, f"mean {format_rate(mean)}", "strong", "end"))
    body += _axis_x(x, 162, "s since the copy began")
    title = f"Throughput of {plural(len(lists), 'command list')}: {format_rate(mean)} on average"
    return picture(WIDTH, 202, title, body)


def _rates(lists: Lists, begin_s: float, span_s: float) -> list[float]:
    """Bytes a second in each bin, a list's bytes spread evenly over its time."""
    width_s = span_s / _BINS
    total = [0.0] * _BINS
    for end_s, took_s, carried in zip(lists.end_s, lists.took_s, lists.carried_bytes, strict=True):
        first = (end_s - took_s - begin_s) / width_s
        last = (end_s - begin_s) / width_s
        share = carried / max(last - first, 1e-9)
        at = max(int(first), 0)
        while at < last and at < _BINS:
            total[at] += share * max(min(at + 1, last) - max(at, first), 0.0)
            at += 1
    return [value / width_s for value in total]


# -- axes --------------------------------------------------------------------------------------


def _axis_x(x: Scale, at_px: float, name: str) -> list[str]:
    body = [line(x.start_px, at_px, x.end_px, at_px, "axis")]
    for value in ticks(x.top):
        body.append(line(x(value), at_px, x(value), at_px + 4, "axis"))
        body.append(label(x(value), at_px + 17, f"{value:g}", "axis", "middle"))
    return [*body, label(x.end_px, at_px + 32, name, "axis", "end")]


def _axis_y(y: Scale, name: str) -> list[str]:
    body = []
    for value in ticks(y.top, 4):
        body.append(line(_LEFT, y(value), _RIGHT, y(value), "grid"))
        body.append(label(_LEFT - 8, y(value) + 4, f"{value:g}", "axis", "end"))
    return [*body, label(4, 14, name, "axis")]
