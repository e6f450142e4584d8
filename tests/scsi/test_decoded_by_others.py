"""What sg3_utils reads in our bytes."""

import pytest

from sbtk.scsi import inquiry, log, sense
from sbtk.scsi import sense_codes as codes
from sbtk.scsi.designator import Designator, naa6
from sbtk.scsi.limits import PROFILES
from sbtk.scsi.sense import ForwardedSense, KeySpecific, Origin, SenseData
from tests.oracles.commands import output_of


def told(data: bytes) -> str:
    return output_of("sg_decode_sense", *[f"{byte:02x}" for byte in data])


def vpd(page: bytes, tmp_path, *options: str) -> str:
    (tmp_path / "page.hex").write_text(page.hex(" "))
    return output_of("sg_vpd", f"--inhex={tmp_path / 'page.hex'}", *options)


@pytest.mark.parametrize("descriptor_format", [False, True])
def test_copy_aborted(descriptor_format):
    inner = sense.fixed(codes.VOLUME_OVERFLOW, *codes.END_OF_MEDIUM, eom=True, information=5)
    text = told(
        sense.encode(
            SenseData(
                codes.COPY_ABORTED,
                *codes.THIRD_PARTY_DEVICE_FAILURE,
                information=77,
                segment_number=3,
                key_specific=KeySpecific(48),
                forwarded=(ForwardedSense(Origin.COPY_DESTINATION, 2, inner),),
                descriptor_format=descriptor_format,
            )
        )
    )
    assert "Copy Aborted" in text
    assert "Third party device failure" in text
    assert "Relative to start of parameter list, byte 48" in text
    if descriptor_format:
        assert "Command specific: 0x0000000300000000" in text
        assert "Information: 0x000000000000004d" in text
        assert "Forwarded status: Check Condition" in text
        assert "Volume Overflow" in text
    else:
        assert "[77]" in text


def test_pointer_into_a_segment():
    pointer = KeySpecific(14, flag=True, bit=7)
    text = told(sense.encode(SenseData(codes.COPY_ABORTED, 0x26, 0x0D, key_specific=pointer)))
    assert "Copy segment granularity violation" in text
    assert "Relative to start of segment descriptor, byte 14 bit 7" in text


def test_pointer_into_a_cdb():
    text = told(sense.invalid_field(codes.INVALID_FIELD_IN_CDB, 2, in_cdb=True))
    assert "Invalid field in cdb" in text
    assert "Error in Command: byte 2" in text


@pytest.mark.parametrize("code", sorted(codes.TEXT), ids=lambda pair: f"{pair[0]:02x}{pair[1]:02x}")
def test_texts_are_those_of_the_standard(code):
    said = told(sense.fixed(0xB, *code)).lower()
    words = [word for word in codes.TEXT[code].lower().replace(",", " ").split() if word != "or"]
    assert sum(word in said for word in words) >= (len(words) + 1) // 2, said


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_limits_of_every_profile(name, tmp_path):
    limits = PROFILES[name]
    text = vpd(limits.vpd_page().encode(), tmp_path, "--page=tpc")
    assert f"Maximum CSCD descriptor count: {limits.max_cscds}\n" in text
    assert f"Maximum segment descriptor count: {limits.max_segments}\n" in text
    assert f"Maximum descriptor list length: {limits.max_list_bytes}\n" in text
    assert f"Total concurrent copies: {limits.total_concurrent}\n" in text
    assert f"Maximum segment length: {limits.max_segment_bytes}\n" in text
    assert f"Data segment granularity: {1 << limits.data_granularity}\n" in text
    assert ("Maximum stream device transfer size" in text) == (name == "spc")
    assert "CSCD: Identification Descriptor [0xe4]" in text
    assert ("block<o> -> stream [0x8]" in text) == limits.supports(0x08)


def test_standard_inquiry(tmp_path):
    data = inquiry.StandardInquiry(
        device_type=inquiry.TAPE, removable=True, third_party_copy=True, vendor=b"SBTK",
        product=b"TAPE", revision=b"1", version_descriptor_1=0x0460,
    ).encode()  # fmt: skip
    (tmp_path / "inq.hex").write_text(data.hex(" "))
    text = output_of("sg_inq", f"--inhex={tmp_path / 'inq.hex'}")
    for words in ("PDT=1  RMB=1", "3PC=1", "CmdQue=1", "SPC-4", "Vendor identification: SBTK"):
        assert words in text


def test_device_identification(tmp_path):
    name = naa6(b"seed")
    text = vpd(inquiry.device_identification([Designator(name)]), tmp_path, "--page=di")
    assert f"0x{name.hex()}" in text.replace(" ", "")
    assert "Addressed logical unit" in text
    assert naa6(b"seed") == name != naa6(b"other")


def test_block_limits(tmp_path):
    page = inquiry.BlockLimits(maximum_transfer_blocks=2048, optimal_transfer_blocks=128)
    text = vpd(page.encode(), tmp_path, "--page=bl")
    assert "Maximum transfer length: 2048 blocks" in text
    assert "Optimal transfer length: 128 blocks" in text


def test_general_statistics(tmp_path):
    page = log.GeneralStatistics(read_commands=11, write_commands=12, blocks_received=13)
    (tmp_path / "log.hex").write_text(page.encode().hex(" "))
    text = output_of("sg_logs", "-vv", f"--in={tmp_path / 'log.hex'}", ok=(0,))
    assert "General Statistics and Performance" in text
    moved = log.GeneralStatistics.find(page.encode())
    assert (moved.read_commands, moved.write_commands, moved.blocks_received) == (11, 12, 13)
