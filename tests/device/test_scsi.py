"""LUNs as devices: through our own mover, through tgtd over iSCSI, and through one that lies."""

import hashlib
import os
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sbtk
from sbtk import samples
from sbtk.device.file import FileDevice
from sbtk.device.location import open_device, open_ntfs
from sbtk.device.scsi import ScsiDevice
from sbtk.errors import DeviceReadError, LocationError, SbtkError, TransportError
from sbtk.mover.block_lun import ReadOnlyLun
from sbtk.mover.target import Target
from sbtk.scsi import sense
from sbtk.scsi.inquiry import StandardInquiry
from sbtk.scsi.sbc import Capacity10, Capacity16
from sbtk.transport.base import CHECK_CONDITION, Response
from sbtk.transport.loopback import Loopback
from tests.oracles import tgtd

CONTENT = os.urandom(3 << 20)


def loopback(path, **options) -> Loopback:
    target = Target(open_access=True)
    target.add(0, ReadOnlyLun(FileDevice(path), **options))
    return Loopback(target, 0, "iqn.2026-11.test:tests", name=f"loopback:{path}")


@pytest.fixture(scope="module", params=[512, 4096])
def device(tmp_path_factory, request):
    path = tmp_path_factory.mktemp("scsi") / "lun.img"
    path.write_bytes(CONTENT)
    with ScsiDevice(loopback(path, block_bytes=request.param)) as opened:
        assert (opened.size_bytes, opened.block_bytes) == (len(CONTENT), request.param)
        yield opened


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(CONTENT)), st.integers(0, (1 << 20) + 5000))
def test_any_range_reads_as_the_file(device, offset_bytes, length_bytes):
    if offset_bytes + length_bytes > len(CONTENT):
        with pytest.raises(DeviceReadError, match="ends at byte"):
            device.read(offset_bytes, length_bytes)
    else:
        expected = CONTENT[offset_bytes : offset_bytes + length_bytes]
        assert device.read(offset_bytes, length_bytes) == expected


def test_a_volume_is_read_over_iscsi_from_tgtd():
    image = samples.unpack("array.gpt")
    with tgtd.serve(image, device_type="disk", store="rdwr") as served:
        location = f"iscsi://{served.portal}/{served.target}/1"
        with open_device(location) as device:
            assert (device.size_bytes, device.block_bytes) == (image.stat().st_size, 512)
        with sbtk.open_volume(location) as volume, sbtk.open_volume(image) as local:
            assert volume.location == f"{location}#1"
            assert volume.info.partition_start_lba == 2048
            assert volume.files.equals(local.files)
            with volume.open("p00.bin") as over_iscsi, local.open("p00.bin") as plain:
                assert hashlib.sha256(over_iscsi.read()).digest() == (
                    hashlib.sha256(plain.read()).digest()
                )
        with pytest.raises(SbtkError) as caught:
            open_ntfs(f"iscsi://{served.portal}/{served.target}/7")
        assert caught.value.hint or "LUN" in caught.value.line


def test_a_portal_that_is_not_there_is_a_transport_error():
    with pytest.raises(TransportError):
        open_device(f"iscsi://127.0.0.1:{tgtd.free_port()}/iqn.2026-11.test:none/0")


@dataclass
class Scripted:
    """Answers by operation code; each answer is used once, the last one for ever."""

    answers: dict[int, list[Response]]
    name: str = "scripted"
    sent: list[bytes] = field(default_factory=list)
    closed: int = 0

    def execute(self, cdb, *, data_out=b"", data_in_bytes=0, timeout_s=60.0):
        self.sent.append(bytes(cdb))
        answers = self.answers[cdb[0]]
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def close(self):
        self.closed += 1


def check(*code: int) -> Response:
    return Response(status=CHECK_CONDITION, sense=sense.fixed(*code))


INQUIRY, CAPACITY10, CAPACITY16, READ16 = 0x12, 0x25, 0x9E, 0x88
DISK = Response(data_in=StandardInquiry(device_type=0).encode())
CAPACITY = Response(data_in=Capacity16(last_lba=99, block_bytes=512).encode())
ATTENTION = check(0x6, 0x29, 0x00)


def test_unit_attentions_are_passed_over():
    unit = Scripted(
        {INQUIRY: [DISK], CAPACITY16: [ATTENTION, ATTENTION, CAPACITY],
         READ16: [ATTENTION, Response(data_in=b"x" * 512)]}
    )  # fmt: skip
    with ScsiDevice(unit) as device:
        assert device.read(512, 512) == b"x" * 512
    assert unit.closed == 1
    assert unit.sent.count(unit.sent[-1]) == 2


def test_endless_unit_attention_ends():
    unit = Scripted({INQUIRY: [DISK], CAPACITY16: [ATTENTION]})
    with pytest.raises(DeviceReadError, match=r"READ CAPACITY\(16\) failed"):
        ScsiDevice(unit)
    assert len(unit.sent) < 10


def test_an_old_disk_is_asked_the_short_way():
    old = Response(data_in=Capacity10(last_lba=9, block_bytes=512).encode())
    unit = Scripted({INQUIRY: [DISK], CAPACITY16: [check(0x5, 0x20, 0)], CAPACITY10: [old]})
    assert ScsiDevice(unit).size_bytes == 5120


@pytest.mark.parametrize(
    ("answers", "error", "said"),
    [
        ({INQUIRY: [Response(data_in=StandardInquiry(device_type=1).encode())]},
         LocationError, "no disk .*01h"),
        ({INQUIRY: [Response(data_in=b"")]}, SbtkError, ""),
        ({INQUIRY: [check(0x5, 0x25, 0)]}, DeviceReadError, "LOGICAL UNIT NOT SUPPORTED"),
        ({INQUIRY: [DISK], CAPACITY16: [Response(data_in=b"short")]}, SbtkError, ""),
        ({INQUIRY: [DISK], CAPACITY16: [Response(
            data_in=Capacity16(last_lba=9, block_bytes=520).encode())]}, DeviceReadError, "520"),
        ({INQUIRY: [DISK], CAPACITY16: [Response(status=0x18)]}, DeviceReadError, "status 18h"),
    ],
)  # fmt: skip
def test_a_unit_that_is_no_disk_or_lies_is_refused(answers, error, said):
    with pytest.raises(error, match=f"(?i){said}"):
        ScsiDevice(Scripted(answers))


@pytest.mark.parametrize(
    ("answer", "said"),
    [(check(0x3, 0x11, 0x00), "UNRECOVERED READ ERROR"), (Response(data_in=b"x"), "1 of 512")],
)
def test_a_failed_read_names_the_unit_and_the_reason(answer, said):
    device = ScsiDevice(Scripted({INQUIRY: [DISK], CAPACITY16: [CAPACITY], READ16: [answer]}))
    with pytest.raises(DeviceReadError, match=f"(?i)scripted: .*{said}"):
        device.read(0, 512)
