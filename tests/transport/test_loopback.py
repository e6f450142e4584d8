"""The loopback and the counting transport, and limits asked through them."""

import pytest

from sbtk.errors import CheckConditionError, TransportError
from sbtk.scsi import cdb
from sbtk.scsi import cdb_copy as c
from sbtk.scsi import segments as seg
from sbtk.scsi.limits import PROFILES
from sbtk.scsi.xcopy import ParameterList
from sbtk.transport.ask_limits import ask_limits
from sbtk.transport.base import CHECK_CONDITION, GOOD, Response
from sbtk.transport.counters import CommandCount, CountingTransport
from tests.mover.rig import Rig, file_disk, named


@pytest.fixture
def rig(tmp_path):
    with Rig(
        file_disk(tmp_path / "a", b"a" * 8192), file_disk(tmp_path / "b", bytes(8192))
    ) as made:
        yield made


def test_commands_and_bytes_by_kind(rig):
    path = CountingTransport(rig.path)
    assert path.name == "LUN 0"
    step = seg.BlockToBlock(2, source=0, destination=1, blocks=16)
    wire = ParameterList(tuple(map(named, rig.units)), (step,), list_id=1).encode()
    for _ in range(3):
        assert path.execute(c.ExtendedCopyLid1(len(wire)).encode(), data_out=wire).status == GOOD
    path.execute(c.ReceiveCopyStatusLid1(1, 12).encode(), data_in_bytes=12)
    path.execute(cdb.Read10(lba=0, blocks=2).encode(), data_in_bytes=1024)
    path.execute(cdb.Write10(lba=0, blocks=1).encode(), data_out=bytes(512))
    failed = path.execute(cdb.Read10(lba=99, blocks=2).encode(), data_in_bytes=1024)
    assert failed.status == CHECK_CONDITION
    assert path.counts == {
        (0x83, 0): CommandCount(3, 0, 3 * len(wire), 0),
        (0x84, 0): CommandCount(1, 0, 0, 12),
        (0x28, None): CommandCount(2, 1, 0, 1024),
        (0x2A, None): CommandCount(1, 0, 512, 0),
    }
    assert path.copy_commands == CommandCount(4, 0, 3 * len(wire), 12)
    assert path.total == CommandCount(7, 1, 3 * len(wire) + 512, 1036)
    # What the mover moved did not pass here.
    assert rig.units[1].counters.write_bytes == 3 * 8192


def test_a_closed_path_carries_nothing_and_counts_as_failed(rig):
    path = CountingTransport(rig.path)
    path.close()
    path.close()
    with pytest.raises(TransportError, match="LUN 0 is closed"):
        path.execute(cdb.TestUnitReady().encode())
    assert path.total == CommandCount(1, 1, 0, 0)


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_limits_are_asked(tmp_path, name):
    with Rig(file_disk(tmp_path / "a", bytes(4096)), profile=PROFILES[name]) as rig:
        told = ask_limits(rig.path)
    assert (told.name, told.types, told.max_list_bytes, told.lid4) == (
        "LUN 0", PROFILES[name].types, PROFILES[name].max_list_bytes, PROFILES[name].lid4,
    )  # fmt: skip


class Old:
    """A unit that knows some commands only."""

    name = "old"

    def __init__(self, inner, *known):
        self.inner, self.known = inner, known

    def execute(self, raw, **options):
        if raw[:1] not in self.known:
            return Response(
                CHECK_CONDITION, b"", bytes.fromhex("70000500000000 0a 00000000 2000 00000000")
            )
        return self.inner.execute(raw, **options)


def test_a_manager_without_the_page_and_a_unit_without_a_manager(rig):
    told = ask_limits(Old(rig.path, b"\x84"))
    assert (told.max_segments, told.lid4) == (4096, False)
    with pytest.raises(CheckConditionError, match="old has no copy manager") as caught:
        ask_limits(Old(rig.path))
    assert "sbtk san" in caught.value.line
