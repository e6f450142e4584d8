"""Short reads through the portal: answered where they come in if nothing has to be waited for."""

import random
import socket
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sbtk.device.file import FileDevice
from sbtk.mover.portal_session import Session
from sbtk.mover.portal_task import Task, answers
from sbtk.mover.target import Target
from sbtk.scsi import cdb, iscsi
from sbtk.scsi import sense_codes as codes
from sbtk.scsi.iscsi_reads import PlainRead, decode_plain_read, encode_whole_answer
from sbtk.scsi.iscsi_text import Parameters
from sbtk.transport.base import Response
from sbtk.transport.iscsi_connection import Connection
from tests.mover.rig import ME, file_disk

BLOCKS = 4096
DATA = random.Random(5).randbytes(BLOCKS * 512)


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("digest", [True, False])
def test_a_hundred_reads_in_one_piece(tmp_path, monkeypatch, cached, digest):
    """Every answer once, with its bytes; status numbers without a gap, in the order of sending."""
    if not cached:
        monkeypatch.setattr(FileDevice, "read_cached", lambda *_: False)
    target = Target(open_access=True)
    target.add(0, file_disk(tmp_path / "a", DATA))
    near, far = socket.socketpair()
    agreed = Parameters(header_digest=digest, data_digest=digest)
    session = Session(
        Connection(far, agreed), target, nexus=f"{ME},i,0x1",
        first_command_sn=1, first_status_sn=7, listing=list,
    )  # fmt: skip
    serving = threading.Thread(target=session.run)
    serving.start()
    wanted, client = {}, Connection(near, agreed)
    lengths = [1, 8, 90, 16, 300]  # blocks; the widest answers take several PDUs
    with client.send_lock:
        for tag in range(100):
            blocks = lengths[tag % len(lengths)]
            lba = random.Random(tag).randrange(BLOCKS - blocks)
            wanted[tag] = DATA[lba * 512 : (lba + blocks) * 512]
            read = (
                cdb.Read16(lba=lba, blocks=blocks)
                if tag % 2
                else cdb.Read10(lba=lba, blocks=blocks)
            )
            client.queue_locked(
                iscsi.ScsiCommand(
                    initiator_task_tag=tag, read=True, command_sn=tag + 1, cdb=read.encode(),
                    expected_transfer_bytes=len(wanted[tag]),
                )
            )  # fmt: skip
    client.flush()
    got = dict.fromkeys(wanted, b"")
    numbers = []
    while len(numbers) < len(wanted):
        pdu = client.receive_header()
        assert isinstance(pdu, iscsi.DataIn)
        assert pdu.buffer_offset_bytes == len(got[pdu.initiator_task_tag])
        got[pdu.initiator_task_tag] += client.receive_data(pdu)
        if pdu.has_status:
            numbers.append(pdu.status_sn)
    assert got == wanted
    assert numbers == list(range(7, 107))
    client.close()
    serving.join()
    target.close()


def test_what_waits_is_not_quick(tmp_path, monkeypatch):
    """A read that is long, that the cache does not hold, that is none; a unit that is not there."""
    target = Target()
    disk = file_disk(tmp_path / "a", DATA)
    target.add(0, disk)
    target.grant(ME, 0)
    nexus = f"{ME},i,0x1"
    try:
        disk.read_blocks(0, memoryview(bytearray(len(DATA))))
        assert target.read_now(nexus, 0, 8, 8) == DATA[8 * 512 : 16 * 512]
        assert target.read_now(nexus, 1, 8, 8) is None
        assert target.read_now("iqn.2026-11.test:other,i,0x1", 0, 8, 8) is None
        assert target.read_now(nexus, 0, 8, 2048) == DATA[8 * 512 : 2056 * 512]
        assert target.read_now(nexus, 0, 8, 2049) is None
        for lba in (BLOCKS - 1, BLOCKS, 1 << 54, (1 << 64) - 1):
            assert target.read_now(nexus, 0, lba, 8) is None
        disk.reservations.active = True
        assert target.read_now(nexus, 0, 8, 8) is None
        disk.reservations.active = False
        disk._commands.attentions.tell(nexus, codes.RESERVATIONS_PREEMPTED)
        assert target.read_now(nexus, 0, 8, 8) is None
        assert disk._commands.attentions.take(nexus) == codes.RESERVATIONS_PREEMPTED
        assert target.read_now(nexus, 0, 8, 8) is not None
        monkeypatch.setattr(FileDevice, "read_cached", lambda *_: False)
        assert target.read_now(nexus, 0, 8, 8) is None
    finally:
        target.close()


READS = [
    cdb.Read10(lba=7, blocks=3), cdb.Read16(lba=1 << 40, blocks=1 << 31), cdb.Read10(protect=1),
    cdb.Read16(protect=7, lba=1), cdb.Read6(transfer=8), cdb.Read12(lba=5, blocks=8),
    cdb.Write10(lba=7, blocks=3), cdb.Inquiry(), cdb.Read10(lba=1, blocks=1, fua=True),
]  # fmt: skip


@settings(max_examples=300)
@given(
    command=st.sampled_from(READS),
    flags=st.fixed_dictionaries(
        {name: st.booleans() for name in ("immediate", "final", "read", "write")}
    ),
    words=st.sampled_from([0, 0, 1]),
    data_bytes=st.sampled_from([0, 0, 512]),
    lun=st.sampled_from([0, 1, 255, 256, 1000]),
    numbers=st.tuples(*[st.integers(0, 0xFFFFFFFF)] * 4),
)
def test_plain_reads_are_what_the_codec_of_all_pdus_says(
    command, flags, words, data_bytes, lun, numbers
):
    tag, expected_bytes, command_sn, status_sn = numbers
    pdu = iscsi.ScsiCommand(
        **flags, ahs_words=words, data_bytes=data_bytes, initiator_task_tag=tag,
        expected_transfer_bytes=expected_bytes, command_sn=command_sn, cdb=command.encode(),
        expected_status_sn=status_sn, lun=iscsi.encode_lun(lun),
    )  # fmt: skip
    # By exact type: a WRITE is a READ's layout with another operation code.
    plain = (
        type(command) in (cdb.Read10, cdb.Read16) and not command.protect and lun < 256
        and flags == {"immediate": False, "final": True, "read": True, "write": False}
        and not words and not data_bytes
    )  # fmt: skip
    found = decode_plain_read(pdu.encode())
    if not plain:
        assert found is None
        return
    assert found == (lun, tag, expected_bytes, command_sn, command.lba, command.blocks)


@given(
    length=st.integers(1, 1 << 17).map(lambda blocks: blocks * 8),
    most=st.integers(512, 1 << 20),
    burst=st.integers(512, (1 << 24) - 1),
    numbers=st.tuples(*[st.integers(0, 0xFFFFFFFF)] * 4),
)
def test_answers_to_plain_reads_are_what_the_codec_of_all_pdus_says(length, most, burst, numbers):
    """The same PDUs as those of a read that was executed, but for the data between them."""
    tag, status_sn, expected_sn, max_sn = numbers
    agreed = Parameters(max_send_bytes=most, max_burst_bytes=burst)
    if length // min(most, burst) > 2000:
        length = 2000 * min(most, burst) // 8 * 8
    command = iscsi.ScsiCommand(read=True, initiator_task_tag=tag, expected_transfer_bytes=length)
    numbers_of = {
        "status_sn": status_sn, "expected_command_sn": expected_sn, "max_command_sn": max_sn
    }  # fmt: skip
    wanted = [
        (pdu.changed(data_bytes=len(data), **numbers_of), pdu.buffer_offset_bytes, len(data))
        for pdu, data in answers(Task(command, 0), Response(data_in=bytes(length)), agreed)
    ]
    read = PlainRead(0, tag, length, 1, 0, length // 512)
    found = [
        (iscsi.decode(header), start, end - start)
        for header, start, end in encode_whole_answer(read, agreed, **numbers_of)
    ]
    assert found == wanted


@pytest.mark.parametrize("opcode", sorted(set(iscsi._KNOWN) - {iscsi.ScsiCommand.OPCODE}))
def test_no_other_pdu_is_a_plain_read(opcode):
    header = iscsi.ScsiCommand(read=True, cdb=cdb.Read10(blocks=8).encode()).encode()
    assert decode_plain_read(header) is not None
    assert decode_plain_read(bytes((opcode,)) + header[1:]) is None
