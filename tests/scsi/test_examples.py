"""The six examples of the reference, and its one example of sense data, byte for byte."""

import pytest

from sbtk.scsi import segments as seg
from sbtk.scsi import sense
from sbtk.scsi.cdb import decode
from sbtk.scsi.cdb_copy import ExtendedCopyLid1, ExtendedCopyLid4
from sbtk.scsi.copy_results import OperatingParameters
from sbtk.scsi.copy_vpd import GeneralCopy, ParameterData, ThirdPartyCopyPage
from sbtk.scsi.cscd import IdentificationCscd
from sbtk.scsi.xcopy import ParameterList
from tests.scsi import examples


def disk(last: int, *, device_type: int = 0, pad: bool = False, block_bytes: int = 512):
    name = bytes.fromhex("60014050000000000000000000000000")[:15] + bytes([last])
    return IdentificationCscd(
        device_type=device_type,
        pad=pad,
        block_bytes=block_bytes,
        designator_padded=name.ljust(20, b"\0"),
    )


LISTS = {
    "sg_xcopy": (
        examples.SG_XCOPY,
        ParameterList(
            (disk(1), disk(2)),
            (
                seg.BlockToBlock(
                    source=0, destination=1, blocks=1000, source_lba=16, destination_lba=32
                ),
            ),
            list_id=1,
            usage=0b10,
            priority=1,
        ),
        ExtendedCopyLid1(0x6C),
    ),
    "iscsi-test-cu": (
        examples.TEST_CU_LARGE,
        ParameterList(
            (disk(1),),
            (seg.BlockBytesToBlockBytes(count_bytes=256 << 20, destination_lba=0x80000),),
            list_id=1,
            usage=0b10,
        ),
        ExtendedCopyLid1(0x50),
    ),
    "disk to tape": (
        examples.DISK_TO_TAPE,
        ParameterList(
            (disk(1), disk(9, device_type=1, pad=True, block_bytes=0)),
            (
                seg.BlockToStream(0, True, 0, 1, 65536, 1000, 0x123456),
                seg.BlockToStream(0, False, 0, 1, 65536, 24, 0x200000),
            ),
            list_id=7,
            priority=1,
        ),
        ExtendedCopyLid1(0x80),
    ),
    "LID4": (
        examples.LID4_IMMEDIATE,
        ParameterList(
            (disk(1), disk(2)),
            (seg.BlockToBlock(2, False, False, False, 0, 1, 2048, 0x1000, 0x2000),),
            list_id=0xDEADBEEF,
            priority=1,
            lid4=True,
            immediate=True,
        ),
        ExtendedCopyLid4(0x8C),
    ),
}
CDBS = {
    "sg_xcopy": "83 00 00 00 00 00 00 00 00 00 00 00 00 6c 00 00",
    "iscsi-test-cu": "83 00 00 00 00 00 00 00 00 00 00 00 00 50 00 00",
    "disk to tape": "83 00 00 00 00 00 00 00 00 00 00 00 00 80 00 00",
    "LID4": "83 01 00 00 00 00 00 00 00 00 00 00 00 8c 00 00",
}


@pytest.mark.parametrize("name", LISTS)
def test_parameter_lists(name):
    wire, value, command = LISTS[name]
    assert ParameterList.decode(wire, lid4=value.lid4) == value
    assert value.encode() == wire
    assert command.encode() == bytes.fromhex(CDBS[name])
    assert decode(bytes.fromhex(CDBS[name])) == command
    assert command.parameter_list_bytes == len(wire)


def test_operating_parameters():
    value = OperatingParameters(
        supports_no_list_id=True,
        max_cscds=8,
        max_segments=64,
        max_list_bytes=8192,
        max_segment_bytes=256 << 20,
        total_concurrent=16,
        max_concurrent=16,
        data_granularity=9,
        types=(0x02, 0x07, 0x0A, 0xE4),
    )
    assert OperatingParameters.decode(examples.OPERATING_PARAMETERS) == value
    assert value.encode() == examples.OPERATING_PARAMETERS


def test_third_party_copy_page():
    actions = [(0x83, 0x00), (0x83, 0x01), (0x83, 0x1C)] + [(0x84, n) for n in (0, 3, 4, 5)]
    value = ThirdPartyCopyPage(
        commands=tuple(actions),
        descriptors=(0x02, 0x07, 0x0A, 0xE4),
        cscd_ids=(0xFFFF,),
        parameters=ParameterData(8, 64, 8192, 0),
        general=GeneralCopy(16, 16, 256 << 20, 9, 0),
    )
    assert ThirdPartyCopyPage.decode(examples.VPD_8F) == value
    assert value.encode() == examples.VPD_8F


def test_sense_of_an_unreachable_device():
    pointer = sense.KeySpecific(16)
    value = sense.SenseData(0xA, 0x0D, 0x02, segment_number=0, key_specific=pointer)
    assert sense.decode(examples.SENSE_UNREACHABLE) == value
    assert sense.encode(value) == examples.SENSE_UNREACHABLE
    assert value.text == (
        "COPY ABORTED: copy target device not reachable (0Ah/0D02h, segment 0, byte 16)"
    )
