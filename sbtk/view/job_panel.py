"""Panels that start jobs: a thread each, buttons to pause and cancel, events drawn as they come."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from sbtk.errors import CancelledError, NotConfirmedError, SbtkError
from sbtk.events import Listener
from sbtk.jobs.control import Control, interrupts_cancel
from sbtk.jobs.results import JobResult
from sbtk.view.callbacks import error_text, guarded
from sbtk.view.live import LiveLine
from sbtk.view.panels import Shown, show_html
from sbtk.view.run_view import RunView

Job = Callable[[Control, Listener], JobResult]


def line(widget: Any, name: str, css_class: str) -> Any:
    """A form row: a widget with its name before it, read aloud with it; tests find it by class."""
    widget.add_class(css_class)
    if isinstance(widget, widgets.Checkbox):  # its own words stand behind the box
        widget.layout.width = "520px"
        return widgets.HBox([widgets.Label(name, layout=widgets.Layout(width="130px")), widget])
    widget.description = name
    widget.style.description_width = "130px"
    widget.layout.width = "650px"
    if isinstance(widget, widgets.ToggleButtons):  # its name would stand above it
        widget.layout.display, widget.layout.flex_flow = "flex", "row nowrap"
        widget.style.description_width, widget.style.button_width = "138px", "166px"
    return widget


class JobPanel(Shown):
    """Start, pause, cancel; the state of the job beneath, and its end for the RESULT cell.

    Attributes:
        result: of the last job that went to its end; None before.
        status: ``"not started"``, ``"running"``, ``"done"``, ``"failed"`` or ``"cancelled"``.
        error: its message, if it failed.
    """

    def __init__(self, css_class: str, *, confirm: bool) -> None:
        """Make the buttons; ``confirm`` adds the field for the name of what is overwritten."""
        super().__init__(css_class)
        self.result: JobResult | None = None
        self.status = "not started"
        self.error = ""
        self._control = Control()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self.view = RunView()
        self.picture = widgets.HTML()
        self.picture.add_class("sbtk-job-picture")
        self.confirm = widgets.Text(placeholder="empty, unless something is to be overwritten")
        self.pause = self._button("Pause", "pause", self._pause)
        self.cancel = self._button("Cancel", "cancel", self._cancel, "danger")
        self.starters: list[Any] = []
        self._confirm_rows = [line(self.confirm, "Overwrite (name)", "sbtk-job-confirm")]
        if not confirm:
            self._confirm_rows = []

    def starter(self, text: str, css_name: str, action: Callable[[], Job]) -> Any:
        """A button that starts what ``action`` makes of the form."""

        def clicked(_: Any) -> None:
            self._begin(action)

        button = self._button(text, css_name, clicked, "primary")
        button.disabled = False
        self.starters.append(button)
        return button

    def lay_out(self, form: list[Any]) -> None:
        """Put the form, the buttons and the pictures together."""
        buttons = widgets.HBox([*self.starters, self.pause, self.cancel])
        self.widget.children = [*form, *self._confirm_rows, buttons, self.message, self.picture]

    def start(self, job: Job) -> None:
        """Run a job in a thread of its own; refused while one is running."""
        if self._thread is not None and self._thread.is_alive():
            self.say("A job is running: wait for its end, or cancel it", "warning")
            return
        self._control = Control()
        self.view = RunView(self._draw)
        self.result, self.error, self.status = None, "", "running"
        self._buttons(running=True)
        self.say("Running")
        self._thread = threading.Thread(target=self._run, args=(job,), daemon=True)
        self._thread.start()

    def wait(self, timeout_s: float | None = None) -> None:
        """Wait for the job that is running."""
        if self._thread is not None:
            self._thread.join(timeout_s)

    @property
    def control(self) -> Control:
        """Pauses and cancels the job that is running."""
        return self._control

    @guarded
    def _begin(self, action: Callable[[], Job]) -> None:
        self.start(action())

    def _run(self, job: Job) -> None:
        try:
            self.result = job(self._control, self.view)
            self.status = self.result.stop.status
        except CancelledError:
            self.status = "cancelled"
        except Exception as error:  # shown where the user looks, whatever it is
            self.status, self.error = "failed", error_text(error)
            self._explain(error)
        finally:
            self._draw()
            self._buttons(running=False)
            self._close()

    def _explain(self, error: Exception) -> None:
        if isinstance(error, NotConfirmedError):
            hint = "Type its name into “Overwrite (name)” and start again"
            self.error = SbtkError(str(error.args[0]), hint=hint).line

    def _close(self) -> None:
        if self.status == "failed":
            self.say(self.error, "error")
        elif self.status == "cancelled":
            self.say("Cancelled; what was begun has been cleaned up", "warning")
        elif self.status == "flawed":
            self.say("Ended with findings: see below", "warning")
        else:
            self.say("Ended well", "done")

    @guarded
    def _draw(self) -> None:
        with self._lock:
            show_html(self.picture, self.view.draw())

    def _buttons(self, *, running: bool) -> None:
        for button in self.starters:
            button.disabled = running
        self.pause.disabled = self.cancel.disabled = not running
        self.pause.description = "Pause"

    def _button(
        self, text: str, css_name: str, action: Callable[[Any], None], style: str = ""
    ) -> Any:
        button = widgets.Button(description=text, button_style=style, disabled=True)
        button.add_class(f"sbtk-job-{css_name}")
        button.on_click(action)
        return button

    @guarded
    def _pause(self, _: Any) -> None:
        if self._control.paused:
            self._control.go_on()
            self.pause.description = "Pause"
            self.say("Running")
        else:
            self._control.pause()
            self.pause.description = "Go on"
            self.say("Paused: it holds before the next command list", "warning")

    @guarded
    def _cancel(self, _: Any) -> None:
        self._control.cancel()
        self.say("Cancelling: copies that are under way are aborted", "warning")


def run_now(job: Job) -> tuple[JobResult, RunView]:
    """Run a job here, with a line of progress; its result and its events.

    Raises:
        SbtkError: as the job.
    """
    view = RunView()
    control = Control()
    with LiveLine(view) as emit, interrupts_cancel(control):
        result = job(control, emit)
    return result, view
