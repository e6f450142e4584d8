"""Short reads through the portal: answered where they come in if nothing has to be waited for."""

import random
import socket
import threading

import pytest

from sbtk.device.file import FileDevice
from sbtk.mover.portal_session import Session
from sbtk.mover.target import Target
from sbtk.scsi import cdb, iscsi
from sbtk.scsi.iscsi_text import Parameters
from sbtk.transport.iscsi_connection import Connection
from tests.mover.rig import ME, file_disk

BLOCKS = 4096
DATA = random.Random(5).randbytes(BLOCKS * 512)


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("digest", [True, False])
def test_a_hundred_reads_in_one_piece(tmp_path, monkeypatch, cached, digest):
    """Every answer once, with its bytes; status numbers without a gap, in the order of sending."""
    if not cached:
        monkeypatch.setattr(FileDevice, "is_cached", lambda *_: False)
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
    lengths = [1, 8, 9, 16, 3]  # blocks; the widest answers take several PDUs
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


def test_what_waits_is_not_quick(tmp_path):
    """A read that is long, that the cache does not hold, that is none; a unit that is not there."""
    target = Target(open_access=True)
    disk = file_disk(tmp_path / "a", DATA)
    target.add(0, disk)
    short = cdb.Read16(lba=8, blocks=8).encode()
    try:
        disk.read_blocks(0, memoryview(bytearray(len(DATA))))
        assert target.is_quick(0, short)
        assert not target.is_quick(1, short)
        assert not target.is_quick(0, b"")
        assert not target.is_quick(0, cdb.Read16(lba=8, blocks=129).encode())
        for lba in (BLOCKS - 1, BLOCKS, 1 << 54, (1 << 64) - 1):
            assert not target.is_quick(0, cdb.Read16(lba=lba, blocks=8).encode())
        assert not target.is_quick(0, cdb.Write16(lba=8, blocks=8).encode())
        assert not target.is_quick(0, cdb.SynchronizeCache10().encode())
    finally:
        target.close()
