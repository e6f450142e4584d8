"""Data-out that is cut off, aborted, late, or of many commands at once: bytes never mix."""

import random
import socket
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sbtk.mover.portal_session import Session
from sbtk.mover.target import Target
from sbtk.scsi import cdb, iscsi
from sbtk.scsi.iscsi_text import Parameters
from sbtk.transport.iscsi_connection import Connection
from tests.mover.rig import ME, file_disk

KIB = 1 << 10
SLOT_BYTES = 2048 * KIB  # each command has a stretch of the disk of its own
LENGTHS = [4 * KIB, 64 * KIB, 200 * KIB, 512 * KIB, 1024 * KIB, 1536 * KIB]
AGREED = Parameters(
    max_receive_bytes=256 * KIB, max_send_bytes=256 * KIB, initial_r2t=False,
    max_burst_bytes=1 << 24, first_burst_bytes=64 * KIB,
)  # fmt: skip
SLOTS = 8


class Client:
    """An initiator that sends what it is told to, when it is told to, over a socket pair."""

    def __init__(self, target: Target, agreed: Parameters = AGREED) -> None:
        near, far = socket.socketpair()
        session = Session(
            Connection(far, agreed), target, nexus=f"{ME},i,0x1",
            first_command_sn=1, first_status_sn=1, listing=list,
        )  # fmt: skip
        self._serving = threading.Thread(target=session.run)
        self._serving.start()
        self.connection = Connection(near, agreed)
        self._command_sn = 1
        self.ended: set[int] = set()

    def begin(self, tag: int, data: bytes) -> None:
        """Announce a write to the tag's slot, with what may come at once."""
        at_once = data[: self.connection.parameters.first_burst_bytes]
        command = cdb.Write16(lba=tag * SLOT_BYTES // 512, blocks=len(data) // 512)
        self.connection.send(
            iscsi.ScsiCommand(
                initiator_task_tag=tag, write=True, command_sn=self._command_sn,
                expected_transfer_bytes=len(data), cdb=command.encode(),
            ),
            at_once,
        )  # fmt: skip
        self._command_sn += 1

    def read(self, tag: int, length_bytes: int, offset_bytes: int = 0) -> None:
        """Ask for a stretch of the disk."""
        command = cdb.Read16(lba=offset_bytes // 512, blocks=length_bytes // 512)
        self.connection.send(
            iscsi.ScsiCommand(
                initiator_task_tag=tag, read=True, command_sn=self._command_sn,
                expected_transfer_bytes=length_bytes, cdb=command.encode(),
            )
        )  # fmt: skip
        self._command_sn += 1

    def abort(self, tag: int) -> None:
        self.connection.send(
            iscsi.TaskManagementRequest(
                immediate=True, function=iscsi.ABORT_TASK, initiator_task_tag=1000 + tag,
                referenced_task_tag=tag, command_sn=self._command_sn,
            )
        )  # fmt: skip

    def receive(self) -> iscsi.Pdu:
        """The next PDU, which is no Data-In; what is answered is noted in ``ended``."""
        pdu = self.connection.receive_header()
        assert pdu is not None, "the session ended"
        self.connection.receive_data(pdu)
        if isinstance(pdu, iscsi.ScsiResponse):
            assert pdu.status == 0
        if not isinstance(pdu, iscsi.ReadyToTransfer):
            self.ended.add(pdu.initiator_task_tag)
        return pdu

    def end(self) -> None:
        self.connection.close()
        self._serving.join()


def pieces_of(data: bytes, asked: iscsi.ReadyToTransfer) -> list[tuple[iscsi.DataOut, bytes]]:
    """The Data-Out sequence that an R2T asks for."""
    start, end = asked.buffer_offset_bytes, asked.buffer_offset_bytes + asked.desired_bytes
    most = AGREED.max_send_bytes
    return [
        (
            iscsi.DataOut(
                initiator_task_tag=asked.initiator_task_tag, final=place + most >= end,
                target_transfer_tag=asked.target_transfer_tag, data_sn=number,
                buffer_offset_bytes=place,
            ),
            data[place : min(place + most, end)],
        )
        for number, place in enumerate(range(start, end, most))
    ]  # fmt: skip


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("portal")
    target = Target(open_access=True)
    disk = file_disk(folder / "disk", bytes(SLOTS * SLOT_BYTES))
    target.add(0, disk)
    yield target, disk
    target.close()


def begun(client: Client, datas: list[bytes]) -> list[list[tuple[iscsi.DataOut, bytes]]]:
    """Announce all writes at once; what the target asks for of each."""
    for tag, data in enumerate(datas):
        client.begin(tag, data)
    asked = [[] for _ in datas]
    waiting = {tag for tag, data in enumerate(datas) if len(data) > AGREED.first_burst_bytes}
    while waiting:
        pdu = client.receive()
        if isinstance(pdu, iscsi.ReadyToTransfer):
            tag = pdu.initiator_task_tag
            waiting.remove(tag)
            asked[tag] = pieces_of(datas[tag], pdu)
    return asked


@settings(max_examples=25, deadline=None)
@given(
    writes=st.lists(
        st.tuples(st.sampled_from(LENGTHS), st.sampled_from(["whole", "abort", "cut"])),
        min_size=2, max_size=SLOTS,
    ),
    seed=st.integers(0, 1 << 32),
)  # fmt: skip
def test_writes_side_by_side_of_which_some_never_end(served, writes, seed):
    """Pieces of several writes in any order between each other; some aborted, with data late.

    On the disk is each whole write and nothing of the others, and so it is read by the next
    session, whose buffers are those that this one used.
    """
    target, disk = served
    chosen = random.Random(seed)
    disk.zero_blocks(0, SLOTS * SLOT_BYTES // 512)
    datas = [chosen.randbytes(length) for length, _ in writes]
    client = Client(target)
    queues = begun(client, datas)
    whole, answers = set(), set()
    for tag, (_, fate) in enumerate(writes):
        if fate == "cut" and queues[tag]:
            queues[tag].pop()
        elif fate == "abort" and queues[tag]:
            client.abort(tag)
            answers.add(1000 + tag)
        else:
            whole.add(tag)
    while open_tags := [tag for tag, queue in enumerate(queues) if queue]:
        pdu, data = queues[chosen.choice(open_tags)].pop(0)
        client.connection.send(pdu, data)
    while client.ended < whole | answers:
        client.receive()
    client.end()
    assert client.ended == whole | answers
    found = bytearray(SLOT_BYTES)
    for tag, data in enumerate(datas):
        disk.read_blocks(tag * SLOT_BYTES // 512, memoryview(found))
        wanted = data if tag in whole else b""
        assert found == wanted.ljust(SLOT_BYTES, b"\0")
    check_reads(target, datas, whole)


def check_reads(target: Target, datas: list[bytes], whole: set[int]) -> None:
    """All slots read at once, by a session of its own."""
    client = Client(target)
    for tag in range(len(datas)):
        client.read(tag, SLOT_BYTES, tag * SLOT_BYTES)
    got = [b""] * len(datas)
    waiting = set(range(len(datas)))
    while waiting:
        pdu = client.connection.receive_header()
        assert isinstance(pdu, iscsi.DataIn)
        assert pdu.buffer_offset_bytes == len(got[pdu.initiator_task_tag])
        got[pdu.initiator_task_tag] += client.connection.receive_data(pdu)
        if pdu.has_status:
            waiting.remove(pdu.initiator_task_tag)
    client.end()
    for tag, data in enumerate(datas):
        assert got[tag] == (data if tag in whole else b"").ljust(SLOT_BYTES, b"\0")


def test_a_read_that_is_long_is_no_obstacle(served):
    """While 16 MiB wait for an initiator that does not take them, nothing of them is lost."""
    target, disk = served
    data = random.Random(1).randbytes(SLOTS * SLOT_BYTES)
    disk.write_blocks(0, memoryview(data))
    client = Client(target)
    for tag in range(3):
        client.read(tag, len(data))
    got, numbers = [bytearray() for _ in range(3)], []
    while len(numbers) < 3:
        pdu = client.connection.receive_header()
        assert isinstance(pdu, iscsi.DataIn)
        got[pdu.initiator_task_tag] += client.connection.receive_data(pdu)
        if pdu.has_status:
            numbers.append(pdu.status_sn)
    client.end()
    assert all(item == data for item in got)
    assert numbers == [1, 2, 3]


@pytest.mark.timeout(60)
def test_a_side_that_sends_all_before_it_receives_anything(served):
    """Long reads first, then long writes: who waits until his answers are taken takes no data."""
    target, disk = served
    data = random.Random(2).randbytes(SLOTS * SLOT_BYTES)
    disk.write_blocks(0, memoryview(data))
    mib = 1024 * KIB
    client = Client(
        target, Parameters(max_receive_bytes=mib, max_send_bytes=mib, first_burst_bytes=mib)
    )
    lengths = {tag: 4 * KIB if tag % 3 else mib for tag in range(20, 50)}
    for tag, length in lengths.items():
        client.read(tag, length)
    for tag in range(SLOTS):
        client.begin(tag, data[tag * mib : (tag + 1) * mib])  # slot 0 gets what it holds
    got = dict.fromkeys(lengths, b"")
    while len(client.ended) < SLOTS or any(len(got[tag]) < lengths[tag] for tag in got):
        pdu = client.connection.receive_header()
        found = client.connection.receive_data(pdu)
        if isinstance(pdu, iscsi.DataIn):
            got[pdu.initiator_task_tag] += found
        else:
            client.ended.add(pdu.initiator_task_tag)
    client.end()
    assert all(item == data[: len(item)] for item in got.values())
    for tag in range(SLOTS):
        disk.read_blocks(tag * SLOT_BYTES // 512, written := memoryview(bytearray(mib)))
        assert written == data[tag * mib : (tag + 1) * mib]
