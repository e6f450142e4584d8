"""The two byte queues in plain Python, written from the text (xcopy.md 4.3), slow and simple.

A disk is a bytearray, a tape a list of records (bytes) and filemarks (None). ``run`` does to them
what a list of segments says, or stops with the code of xcopy.md 5.
"""

from dataclasses import dataclass, field

from blake3 import blake3

from sbtk.scsi import segments as seg

EXACT, BYTES_IN = (0x01, 0x0C, 0x09, 0x0A), (0x08, 0x0A)
HOLDS = (0x0B, 0x0C, 0x0D, 0x0F)

INEXACT, FAILED, OUTSIDE, INLINE, WRONG_KIND = (
    (0x26, 0x0A), (0x0D, 0x01), (0x0D, 0x02), (0x26, 0x0B), (0x26, 0x0C),
)  # fmt: skip


class Stop(Exception):  # noqa: N818 - an outcome
    pass


@dataclass
class Disk:
    data: bytearray
    block: int


@dataclass
class Tape:
    objects: list
    position: int = 0

    def read(self, length: int) -> bytes:
        """One record of exactly this length; anything else ends the copy, and is passed."""
        if self.position == len(self.objects):
            raise Stop(FAILED)
        found = self.objects[self.position]
        self.position += 1
        if found is None or len(found) != length:
            raise Stop(FAILED)
        return found

    def write(self, item) -> None:
        self.objects[self.position :] = [item]
        self.position += 1


@dataclass
class Slot:
    device: Disk | Tape | None
    pad: bool
    fixed: bool = False
    record: int = 0


@dataclass
class Model:
    slots: dict
    inline: bytes = b""
    S: bytes = b""
    D: bytes = b""
    held: bytes = b""
    moved: bytes = field(default=b"", init=False)

    def run(self, segments) -> tuple | None:
        """(code, segment number), None where everything went well."""
        for number, segment in enumerate(segments):
            try:
                self.step(segment)
            except Stop as stopped:
                return stopped.args[0], number
        return None

    def step(self, one) -> None:
        kind = seg.base_type(one.type_code)
        if kind == 0x10:
            for _ in range(one.count):
                self.slots[one.destination].device.write(None)
        elif kind == 0x12:
            tape = self.slots[one.destination].device
            if one.logical_object > len(tape.objects):
                tape.position = len(tape.objects)
                raise Stop(FAILED)
            tape.position = one.logical_object
        elif kind != 0x07:
            self.data(one, kind)

    def data(self, one, kind) -> None:
        src = self.slots[one.source] if hasattr(one, "source") else None
        dst = self.slots[one.destination] if hasattr(one, "destination") else None
        exact = kind in EXACT or getattr(one, "destination_count", False)
        need, at, unit, limit = self.amounts(one, kind, src, dst, exact)
        self.check_ranges(one, kind, src, dst, need, at, unit, limit)
        if kind in (0x04, 0x05):
            new, stopped = self.given(one, kind), None
            self.D += new
        else:
            new, stopped = self.process(one, kind, src, need)
            if dst is not None:
                self.D += new
        if kind in HOLDS:
            self.held += new
        if dst is not None:
            at = self.write(dst, at, unit, limit)
        if stopped:
            raise stopped
        self.end(one, src, dst, at, unit, exact)
        if seg.is_digest(one.type_code):
            self.held += blake3(new).digest()

    def amounts(self, one, kind, src, dst, exact):
        """Bytes to process, first byte written, bytes of one whole write, most that is written."""
        at = unit = limit = None
        if dst is not None and seg.SEGMENTS[kind].DESTINATION_KIND == seg.BLOCK:
            block = dst.device.block if dst.device else src.device.block
            lba = one.lba if hasattr(one, "lba") else one.destination_lba
            skip = getattr(one, "destination_offset_bytes", getattr(one, "offset_bytes", 0))
            at = lba * block + skip
            unit = 1 if kind in (0x09, 0x0A) or dst.device is None else block
            if exact:
                limit = one.count_bytes if kind in (0x09, 0x0A) else one.blocks * block
        elif dst is not None:
            unit = one.stream_transfer * (dst.record if dst.fixed else 1) if dst.device else 1
        if exact and kind != 0x0A:  # 0Ah: byte range in, byte range out
            return max(0, limit - len(self.D)), at, unit, limit
        if hasattr(one, "count_bytes"):
            return one.count_bytes, at, unit, limit
        return one.blocks * src.device.block, at, unit, limit

    def check_ranges(self, one, kind, src, dst, need, at, unit, limit) -> None:
        if kind == 0x04 and one.inline_offset_bytes + need > len(self.inline):
            raise Stop(INLINE)
        unread = max(0, need - len(self.S))
        from_disk = seg.SEGMENTS[kind].SOURCE_KIND == seg.BLOCK and unread
        if from_disk and self.first(one, src) + unread > len(src.device.data):
            raise Stop(OUTSIDE)
        if at is not None and dst.device is not None:
            total = len(self.D) + need
            planned = limit if limit is not None else total // unit * unit
            if limit is None and total % unit and dst.pad and not one.cat:
                planned += unit
            if planned and at + planned > len(dst.device.data):
                raise Stop(OUTSIDE)

    @staticmethod
    def first(one, src) -> int:
        lba = one.lba if hasattr(one, "lba") else one.source_lba
        skip = getattr(one, "source_offset_bytes", getattr(one, "offset_bytes", 0))
        return lba * src.device.block + skip

    def given(self, one, kind) -> bytes:
        if kind == 0x05:
            return one.data
        return self.inline[one.inline_offset_bytes :][: one.count_bytes]

    def process(self, one, kind, src, need):
        """Read just enough whole units; what was read before a failure is processed."""
        stopped = None
        position = None
        while len(self.S) < need:
            if isinstance(src.device, Disk):
                position = self.first(one, src) if position is None else position
                step = 1 if kind in BYTES_IN else src.device.block
                self.S += bytes(src.device.data[position : position + step])
                position += step
                continue
            try:
                if src.fixed:
                    for _ in range(one.stream_transfer):
                        self.S += src.device.read(src.record)
                else:
                    self.S += src.device.read(one.stream_transfer)
            except Stop as error:
                stopped = error
                break
        new, self.S = self.S[:need], self.S[need:]
        return new, stopped

    def write(self, dst, at, unit, limit):
        written = 0
        while len(self.D) >= unit and (limit is None or written < limit):
            self.put(dst, at, self.D[:unit])
            self.D = self.D[unit:]
            written += unit
            at = None if at is None else at + unit
        return at

    @staticmethod
    def put(dst, at, data) -> None:
        if isinstance(dst.device, Disk):
            dst.device.data[at : at + len(data)] = data
        elif dst.device is not None:
            step = dst.record if dst.fixed else len(data)
            for start in range(0, len(data), step):
                dst.device.write(data[start : start + step])

    def end(self, one, src, dst, at, unit, exact) -> None:
        """The table of CAT and PAD, row by row."""
        if one.cat:
            return
        source_pad, target_pad = bool(src and src.pad), bool(dst and dst.pad)
        if (source_pad, target_pad) in ((True, True), (False, True)):
            if source_pad and not self.D:
                self.S = b""
            if self.D:
                if exact:
                    raise Stop(INEXACT)
                self.put(dst, at, self.D + bytes(-len(self.D) % unit))
                self.D = b""
            if source_pad:
                self.S = b""
        elif source_pad:
            self.S = self.D = b""
        elif self.S or self.D:
            raise Stop(INEXACT)
