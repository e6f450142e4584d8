"""What 30_plan shows: limits and layout on one side, commands, seconds and batches on the other."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import ipywidgets as widgets
import numpy as np

from sbtk.errors import DeviceWriteError, UsageError
from sbtk.plan import summary
from sbtk.plan.api import plan_backup
from sbtk.plan.cost import Calibration, price, what_if
from sbtk.plan.model import Plan
from sbtk.plan.store import to_bytes
from sbtk.scsi.limits import PROFILES, limits
from sbtk.units import format_bytes, format_count, plural
from sbtk.view import html, result
from sbtk.view.callbacks import guarded
from sbtk.view.globs import globs, text_of
from sbtk.view.html import Html
from sbtk.view.job_panel import line
from sbtk.view.panels import Shown, show_html
from sbtk.view.source import Source

_MOST_BARS = 120


@dataclass(frozen=True)
class Wish:
    """What is planned.

    Attributes:
        to: target.
        profile: of the copy manager.
        layout: of the archive.
        max_segments: segments a list; 0 for what the profile says.
        max_segment_bytes: bytes a segment; 0 for what the profile says.
        record_bytes: bytes a tape record.
        exclude: globs whose data is left out.
    """

    to: str
    profile: str
    layout: str
    max_segments: int = 0
    max_segment_bytes: int = 0
    record_bytes: int = 256 << 10
    exclude: tuple[str, ...] = ()

    def plan(self, source: Source) -> Plan:
        """Plan it.

        Raises:
            PlanError: it cannot be planned under these limits.
            UsageError: no volume, but only the tables of one.
        """
        if source.volume is None:
            raise UsageError(
                "a plan needs the volume itself", hint="Set source to its location, not to tables"
            )
        changed = {
            name: value
            for name in ("max_segments", "max_segment_bytes")
            if (value := getattr(self, name))
        }
        return plan_backup(
            source.volume, to=self.to, limits=limits(self.profile, **changed), layout=self.layout,
            exclude=self.exclude, record_bytes=self.record_bytes,
        )  # fmt: skip


def facts(plan: Plan) -> Html:
    """What the plan carries and costs."""
    return html.facts(summary.rows(plan, price(plan)), "The plan")


def limits_cost(plan: Plan) -> Html:
    """What each limit costs: the same plan with one limit at a time at another value."""
    lines = summary.what_if_rows(price(plan), what_if(plan, Calibration()))
    items = "".join(f"<li>{escape(text)}</li>" for text in lines)
    body = f"<ul>{items}</ul>" if lines else "<div>No other limit would change anything.</div>"
    text = "\n".join(f"- {text}" for text in lines) or "No other limit would change anything."
    return html.title("What each limit costs") + Html(body, text)


def batches(plan: Plan) -> Html:
    """The command lists in their order: bytes of each as bars, segments in the text."""
    first = plan.commands.first_segment
    segments = np.diff(first)
    sums = np.concatenate([[0], np.cumsum(plan.segments.length_bytes)])
    carried = np.diff(sums[first])
    lists = int(segments.size)
    heading = html.title("Batching: bytes of each command list, in their order")
    if not lists:
        return heading + Html("<div>no command lists</div>", "no command lists")
    group = -(-lists // _MOST_BARS)
    edges = np.arange(0, lists, group)
    heights = np.maximum.reduceat(carried, edges)
    wide, high = 760, 110
    step = wide / edges.size
    top = max(int(heights.max()), 1)
    body = "".join(
        f'<rect x="{at * step:.1f}" y="{high - high * value / top:.1f}" '
        f'width="{max(step - 1, 0.8):.1f}" height="{high * value / top:.1f}" fill="#0072b2"/>'
        for at, value in enumerate(heights.tolist())
    )
    each = f"a bar is the largest of {group} lists" if group > 1 else "a bar a list"
    text = (
        f"{plural(lists, 'command list')} ({each}); the largest carries {format_bytes(top)}, the "
        f"median {format_bytes(float(np.median(carried)))}; up to "
        f"{plural(int(segments.max()), 'segment')} a list, "
        f"{format_count(int(segments.sum()))} in all"
    )
    svg = (
        f'<svg role="img" aria-label="{escape(text)}" width="{wide}" height="{high + 1}" '
        f'viewBox="0 0 {wide} {high + 1}">{body}'
        f'<path d="M0,{high + 0.5}H{wide}" stroke="#808080"/></svg>'
    )
    return heading + Html(f"{svg}<div>{escape(text)}</div>", text)


def save(plan: Plan, path: str) -> Path:
    """Save the plan for ``sbtk plan FILE``.

    Raises:
        DeviceWriteError: it cannot be written.
    """
    target = Path(path)
    result.folder(str(target.parent))
    try:
        target.write_bytes(to_bytes(plan))
    except OSError as error:
        raise DeviceWriteError(f"{target} cannot be written: {error.strerror or error}") from error
    return target


class PlanPanel(Shown):
    """Limits as a form; the plan is made again at every change.

    Attributes:
        plan: the plan that is shown; None where the last wish could not be planned.
    """

    def __init__(self, source: Source, wish: Wish, out: str) -> None:
        """Show the form, filled in from the parameters, and its plan."""
        super().__init__("sbtk-plan")
        self.source = source
        self.plan: Plan | None = None
        profile = limits(wish.profile)
        self.profile = widgets.Dropdown(options=sorted(PROFILES), value=wish.profile)
        self.layout = widgets.ToggleButtons(options=["image", "files", "mirror"], value=wish.layout)
        self.to = widgets.Text(value=wish.to, continuous_update=False)
        self.segments = widgets.SelectionSlider(
            options=[1, 2, 4, 8, 16, 64, 256, 1000, 4096], continuous_update=False,
            value=_nearest(wish.max_segments or profile.max_segments),
        )  # fmt: skip
        self.segment_mib = widgets.SelectionSlider(
            options=[("no limit", 0), *((f"{1 << n} MiB", 1 << (n + 20)) for n in range(11))],
            value=wish.max_segment_bytes, continuous_update=False,
        )  # fmt: skip
        self.record = widgets.SelectionSlider(
            options=[(f"{1 << n} KiB", 1 << (n + 10)) for n in range(5, 11)],
            value=wish.record_bytes, continuous_update=False,
        )  # fmt: skip
        self.exclude = widgets.Text(
            value=text_of(wish.exclude),
            placeholder='globs, spaces between; "quoted" if with spaces',
            continuous_update=False,
        )
        self.out = widgets.Text(value=out)
        self.shown = widgets.HTML()
        self.shown.add_class("sbtk-plan-shown")
        self.save_button = widgets.Button(description="Save the plan", button_style="primary")
        self.save_button.add_class("sbtk-plan-save")
        self.save_button.on_click(self._save)
        rows = {
            "profile": (self.profile, "Copy manager"), "layout": (self.layout, "Layout"),
            "to": (self.to, "To"), "segments": (self.segments, "Segments a list"),
            "segment": (self.segment_mib, "Bytes a segment"),
            "record": (self.record, "Tape record"), "exclude": (self.exclude, "Leave out"),
            "out": (self.out, "Save as"),
        }  # fmt: skip
        form = [line(item, name, f"sbtk-plan-{key}") for key, (item, name) in rows.items()]
        self.widget.children = [*form, self.save_button, self.message, self.shown]
        for item in (
            self.layout,
            self.to,
            self.segments,
            self.segment_mib,
            self.record,
            self.exclude,
        ):
            item.observe(self._changed, "value")
        self.profile.observe(self._profile_changed, "value")
        self._changed(None)

    def wish(self) -> Wish:
        """What the form says."""
        return Wish(
            self.to.value.strip(), self.profile.value, self.layout.value, self.segments.value,
            self.segment_mib.value, self.record.value, globs(self.exclude.value),
        )  # fmt: skip

    @guarded
    def _profile_changed(self, change: dict[str, Any]) -> None:
        value = _nearest(limits(change["new"]).max_segments)
        if value == self.segments.value:
            self._changed(None)
        else:
            self.segments.value = value

    @guarded
    def _changed(self, _: Any) -> None:
        self.plan = None
        self.plan = self.wish().plan(self.source)
        self.say("")
        show_html(self.shown, facts(self.plan) + batches(self.plan) + limits_cost(self.plan))

    @guarded
    def _save(self, _: Any) -> None:
        if self.plan is None:
            raise UsageError("there is no plan to save", hint="Choose limits that can be planned")
        path = save(self.plan, self.out.value.strip())
        self.say(f"Saved in {path}; sbtk plan {path} shows it again", "done")


class Planned:
    """A plan without a form.

    Attributes:
        plan: it.
    """

    def __init__(self, source: Source, wish: Wish, out: str) -> None:
        """Plan and save it; its errors end the cell."""
        self.plan: Plan | None = wish.plan(source)
        save(self.plan, out)
        self._shown = facts(self.plan) + batches(self.plan) + limits_cost(self.plan)

    def _repr_mimebundle_(self, **named: Any) -> dict[str, str]:
        return self._shown._repr_mimebundle_(**named)


def panel(source: Source, wish: Wish, out: str, interactive: bool) -> PlanPanel | Planned:
    """The form; without widgets, the plan of the parameters, saved."""
    return PlanPanel(source, wish, out) if interactive else Planned(source, wish, out)


def outcome(planned: PlanPanel | Planned) -> dict[str, object]:
    """The facts of ``RESULT``."""
    if planned.plan is None:
        return {"planned": False}
    cost = price(planned.plan)
    return {
        "planned": True,
        "layout": planned.plan.layout,
        "profile": planned.plan.limits.name,
        "commands": cost.commands,
        "segments": cost.segments,
        "moved_bytes": cost.moved_bytes,
        "inline_bytes": cost.inline_bytes,
        "archive_bytes": planned.plan.archive_bytes,
        "predicted_s": cost.seconds,
    }


def _nearest(value: int) -> int:
    """The step of the slider next to a number of segments."""
    return min((1, 2, 4, 8, 16, 64, 256, 1000, 4096), key=lambda step: abs(step - value))
