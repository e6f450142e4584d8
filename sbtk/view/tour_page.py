"""What 00_tour shows: the structures beneath a backup, on a volume that may be spoilt."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

import ipywidgets as widgets

from sbtk.errors import UsageError
from sbtk.mover.copy_abort import CopyAbort
from sbtk.mover.queues import Queues
from sbtk.ntfs import layout as ntfs
from sbtk.scsi.cscd import IdentificationCscd
from sbtk.scsi.designator import Designator, naa6
from sbtk.scsi.segments import BlockToStream
from sbtk.scsi.xcopy import ParameterList
from sbtk.transport.base import ByteView
from sbtk.units import plural
from sbtk.view import fields, html
from sbtk.view.callbacks import guarded
from sbtk.view.fields import Field
from sbtk.view.html import Html
from sbtk.view.job_panel import line
from sbtk.view.panels import Shown, show_html
from sbtk.view.source import Source

_ROW_BYTES = 32
_SHOWN_BYTES = 512
_HEX_STYLE = """<style>
.sbtk .hex { font: 12px/1.7 var(--jp-code-font-family, monospace); white-space: pre;
  overflow-x: auto; }
.sbtk .hex .odd { background: #56b4e955; } .sbtk .hex .even { background: #e69f0044; }
.sbtk .hex .lit { background: #d55e00; color: #fff; font-weight: 700; }
.sbtk .hex .at { color: var(--jp-ui-font-color2, #767676); }
</style>"""

Fields = Callable[[bytes], list[Field]]
Meaning = Callable[[bytes], list[tuple[str, str]]]


def hex_view(data: bytes, found: list[Field], lit: Field | None) -> Html:
    """The bytes in rows, fields in alternating colours, one of them lit."""
    owner: dict[int, str] = {}
    for number, item in enumerate(found):
        for at in range(item.start, item.start + item.width_bytes):
            owner.setdefault(at, "odd" if number % 2 else "even")
    if lit is not None:
        owner.update(dict.fromkeys(range(lit.start, lit.start + lit.width_bytes), "lit"))
    rows, lines = [], []
    for start in range(0, min(len(data), _SHOWN_BYTES), _ROW_BYTES):
        part = data[start : start + _ROW_BYTES]
        cells = [
            f'<span class="{owner.get(start + at, "")}">{octet:02x}</span>'
            for at, octet in enumerate(part)
        ]
        text = "".join(chr(octet) if 32 <= octet < 127 else "·" for octet in part)
        rows.append(f'<span class="at">{start:04x}</span>  {" ".join(cells)}  {escape(text)}')
        lines.append(f"{start:04x}  {part.hex(' ')}  {text}")
    more = len(data) - _SHOWN_BYTES
    if more > 0:
        rows.append(f'<span class="at">… {plural(more, "byte")} more</span>')
    return Html(f'{_HEX_STYLE}<div class="hex">{"<br>".join(rows)}</div>', "\n".join(lines))


class HexPanel(Shown):
    """Bytes with their fields: choose one to light it, change it and see what the bytes mean now.

    Attributes:
        data: the bytes as they stand; changes never leave the notebook.
    """

    def __init__(self, name: str, data: bytes, find: Fields, mean: Meaning) -> None:
        """Show ``data``; ``find`` lists its fields, ``mean`` says what it means."""
        super().__init__(f"sbtk-hex-{name}")
        self._original, self._find, self._mean = data, find, mean
        self.data = data
        self.field = widgets.Dropdown(options=[])
        self.value = widgets.Text(placeholder="new bytes in hex", continuous_update=False)
        self.reset = widgets.Button(description="As it was")
        self.bytes = widgets.HTML()
        self.meaning = widgets.HTML()
        self.bytes.add_class("sbtk-hex-bytes")
        self.meaning.add_class("sbtk-hex-meaning")
        self.reset.add_class("sbtk-hex-reset")
        self.widget.children = [
            line(self.field, "Field", "sbtk-hex-field"),
            widgets.HBox([line(self.value, "Its bytes", "sbtk-hex-value"), self.reset]),
            self.message, self.bytes, self.meaning,
        ]  # fmt: skip
        self._fields: list[Field] = []
        self._loading = False
        self._load(0)
        self.field.observe(self._chosen, "value")
        self.value.observe(self._changed, "value")
        self.reset.on_click(self._reset)

    def change(self, number: int, octets: bytes) -> None:
        """Put other bytes into a field.

        Raises:
            UsageError: more or fewer bytes than the field has.
        """
        item = self._fields[number]
        if len(octets) != item.width_bytes:
            raise UsageError(
                f"{item.name} has {plural(item.width_bytes, 'byte')}, not {len(octets)}",
                hint="Give two hexadecimal digits a byte",
            )
        head, tail = self.data[: item.start], self.data[item.start + item.width_bytes :]
        self.data = head + octets + tail
        self._load(number)

    def _load(self, number: int) -> None:
        self._fields = self._find(self.data)
        names = [
            (f"{item.name} = {item.value}" if item.value else item.name, at)
            for at, item in enumerate(self._fields)
        ]
        self._loading = True  # what is set here was not done by the user
        self.field.options = names
        self.field.value = min(number, len(names) - 1) if names else None
        self._loading = False
        self._light()

    def _light(self) -> None:
        number = self.field.value
        lit = self._fields[number] if number is not None else None
        if lit is not None:
            self._loading = True
            self.value.value = self.data[lit.start : lit.start + lit.width_bytes].hex(" ")
            self._loading = False
        show_html(self.bytes, hex_view(self.data, self._fields, lit))
        show_html(self.meaning, html.facts(self._mean(self.data), "What it means"))
        changed = sum(old != new for old, new in zip(self._original, self.data, strict=True))
        self.say(f"{plural(changed, 'byte')} changed" if changed else "", "warning")

    @guarded
    def _chosen(self, _: Any) -> None:
        if not self._loading:
            self._light()

    @guarded
    def _changed(self, change: dict[str, Any]) -> None:
        if self._loading:
            return
        try:
            octets = bytes.fromhex(change["new"])
        except ValueError as error:
            raise UsageError(
                f"{change['new']!r} is no hexadecimal", hint="Such as 0a ff"
            ) from error
        self.change(int(self.field.value), octets)

    @guarded
    def _reset(self, _: Any) -> None:
        self.data = self._original
        self._load(0)


def record_bytes(source: Source, path: str) -> bytes:
    """The FILE record of a path, as it lies on the disk.

    Raises:
        UsageError: the source is no volume, but its tables.
        StreamNotFoundError: there is no such path.
    """
    if source.volume is None:
        raise UsageError("the tour needs a volume", hint="Name a sample or a location as source")
    number = source.volume.find_record(path)
    size = source.tables.volume.record_bytes
    with source.volume.open(0) as mft:
        mft.seek(number * size)
        return mft.read(size)


def run_list_bytes(record: bytes) -> bytes:
    """The run list of the first non-resident $DATA in a record.

    Raises:
        UsageError: it has none.
    """
    for item in fields.record_fields(record):
        if item.name == "$DATA run list":
            return record[item.start : item.start + item.width_bytes].rstrip(b"\0") + b"\0"
    raise UsageError("this file is resident: it has no run list", hint="Choose a larger file")


def example_list() -> bytes:
    """An EXTENDED COPY list of two devices and two segments, disk to tape."""
    devices = tuple(
        IdentificationCscd.of(Designator(naa6(name)), device_type=kind)
        for name, kind in ((b"disk", 0x00), (b"tape", 0x01))
    )
    segments = (
        BlockToStream(
            cat=True, source=0, destination=1, stream_transfer=65536, blocks=100, lba=2048
        ),
        BlockToStream(source=0, destination=1, stream_transfer=65536, blocks=156, lba=8192),
    )
    return ParameterList(devices, segments, list_id=7).encode()


class _Tape:
    """What ``Queues`` writes to: counts records."""

    limit_bytes: int | None = None

    def __init__(self, record_bytes: int) -> None:
        self.transfer_bytes = record_bytes
        self.written_bytes = 0

    def write(self, data: memoryview, head: ByteView = b"") -> None:
        """See ``Sink.write``."""
        self.written_bytes += len(head) + len(data)


def queue_steps(record_bytes: int, segments: list[tuple[int, bool, bool]]) -> list[dict[str, Any]]:
    """Let the mover's own queues process segments of a disk-to-tape copy.

    Args:
        record_bytes: bytes a tape record.
        segments: (blocks of 512 bytes, CAT, PAD of the tape) of each.

    Returns:
        One dict a segment: segment, read_bytes, records (written by it), left_bytes, outcome.
    """
    queues, tape, found = Queues(), _Tape(record_bytes), []
    for number, (blocks, cat, pad) in enumerate(segments):
        before = tape.written_bytes
        outcome = "ended even"
        queues.feed(memoryview(bytes(blocks * 512)), tape)  # type: ignore[arg-type]
        held = len(queues.destination)
        try:
            queues.end_segment(cat=cat, source_pad=False, target_pad=pad, sink=tape)  # type: ignore[arg-type]
            if held:
                outcome = "kept for the next segment (CAT)" if cat else "filled up with zeros (PAD)"
        except CopyAbort as error:
            outcome = (
                f"the copy ends here: {error}" if str(error) else "the copy ends here: 26h/0Ah"
            )
        found.append(
            {
                "segment": number, "read_bytes": blocks * 512,
                "records": (tape.written_bytes - before) // record_bytes,
                "left_bytes": len(queues.destination), "outcome": outcome,
            }
        )  # fmt: skip
        if outcome.startswith("the copy ends"):
            break
    return found


class QueuePanel(Shown):
    """Residual queues: three segments to tape, and what each leaves behind."""

    def __init__(self) -> None:
        """Show sliders and the outcome, worked out by the mover's own code."""
        super().__init__("sbtk-queues")
        self.record = widgets.SelectionSlider(
            options=[(f"{n} KiB", n << 10) for n in (4, 16, 64, 256)], value=64 << 10,
            continuous_update=False,
        )  # fmt: skip
        self.blocks = [
            widgets.IntSlider(value=value, min=1, max=512, continuous_update=False)
            for value in (100, 156, 40)
        ]
        self.cats = [widgets.Checkbox(value=value, indent=False, description="CAT: keep the rest")
                     for value in (True, True, False)]  # fmt: skip
        self.pad = widgets.Checkbox(value=True, indent=False, description="PAD: fill the record up")
        self.shown = widgets.HTML()
        self.shown.add_class("sbtk-queues-shown")
        rows = [line(self.record, "Tape record", "sbtk-queues-record")]
        for number, (slider, cat) in enumerate(zip(self.blocks, self.cats, strict=True)):
            row = line(slider, f"Segment {number}: blocks", f"sbtk-queues-blocks{number}")
            cat.add_class(f"sbtk-queues-cat{number}")
            rows.append(widgets.HBox([row, cat]))
        rows.append(line(self.pad, "Tape", "sbtk-queues-pad"))
        self.widget.children = [*rows, self.message, self.shown]
        for widget in (self.record, *self.blocks, *self.cats, self.pad):
            widget.observe(self._changed, "value")
        self._changed(None)

    @guarded
    def _changed(self, _: Any) -> None:
        segments = [
            (slider.value, cat.value, self.pad.value)
            for slider, cat in zip(self.blocks, self.cats, strict=True)
        ]
        show_html(self.shown, queue_table(queue_steps(self.record.value, segments)))


def queue_table(steps: list[dict[str, Any]]) -> Html:
    """The outcome of ``queue_steps``."""
    import pandas as pd

    columns = {
        "segment": ("segment", "count"), "read_bytes": ("read", "bytes"),
        "records": ("records written", "count"), "left_bytes": ("left in the queue", "bytes"),
        "outcome": ("rest", "text"),
    }  # fmt: skip
    return html.table(pd.DataFrame(steps), columns)


def record_panel(source: Source, path: str, interactive: bool) -> HexPanel | Html:
    """A FILE record."""
    return _panel("record", record_bytes(source, path), fields.record_fields,
                  fields.record_meaning, interactive)  # fmt: skip


def run_list_panel(source: Source, path: str, interactive: bool) -> HexPanel | Html:
    """A run list."""
    data = run_list_bytes(record_bytes(source, path))
    return _panel("runs", data, fields.run_list_fields, fields.run_list_meaning, interactive)


def list_panel(interactive: bool) -> HexPanel | Html:
    """A descriptor list."""
    return _panel("list", example_list(), fields.list_fields, fields.list_meaning, interactive)


def queue_panel(interactive: bool) -> QueuePanel | Html:
    """Residual queues."""
    if interactive:
        return QueuePanel()
    return queue_table(
        queue_steps(65536, [(100, True, True), (156, True, True), (40, False, True)])
    )


def _panel(
    name: str, data: bytes, find: Fields, mean: Meaning, interactive: bool
) -> HexPanel | Html:
    if interactive:
        return HexPanel(name, data, find, mean)
    return hex_view(data, find(data), None) + html.facts(mean(data), "What it means")


def outcome(source: Source, path: str) -> dict[str, object]:
    """Facts of the structures that were shown."""
    raw = record_bytes(source, path)
    runs = fields.run_list_meaning(run_list_bytes(raw))
    used = int.from_bytes(raw[0x18:0x1C], "little")
    return {
        "file": path,
        "record_signature": raw[:4].decode("latin-1"),
        "record_used_bytes": used,
        "runs": len(runs),
        "in_use": bool(int.from_bytes(raw[0x16:0x18], "little") & ntfs.RECORD_IN_USE),
    }
