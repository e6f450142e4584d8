"""Limits: profiles, numbers, and what a device says about itself."""

import json

import pytest

import sbtk
from sbtk.errors import UsageError
from sbtk.scsi import cdb_copy as c
from sbtk.scsi.copy_results import OperatingParameters
from sbtk.scsi.copy_vpd import ThirdPartyCopyPage
from sbtk.scsi.limits import PROFILES, Limits
from tests.scsi.examples import OPERATING_PARAMETERS, VPD_8F


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_a_device_with_a_profile_tells_that_profile(name):
    mine = PROFILES[name]
    parameters = OperatingParameters.decode(mine.operating_parameters().encode())
    page = ThirdPartyCopyPage.decode(mine.vpd_page().encode())
    told = Limits.from_device(name, parameters, page)
    same = [
        field
        for field in vars(mine)
        if field not in ("usages", "total_concurrent", "max_concurrent")
    ]
    assert {field: getattr(told, field) for field in same} == {
        field: getattr(mine, field) for field in same
    }
    assert told.max_concurrent == min(mine.max_concurrent, 255)


def test_numbers_replace_those_of_a_profile():
    limits = sbtk.limits("lio", max_segments=3)
    assert (limits.max_segments, limits.max_cscds) == (3, 2)
    assert PROFILES["lio"].max_segments == 1
    assert sbtk.limits() == PROFILES["spc"]


@pytest.mark.parametrize(("profile", "numbers"), [("vmax", {}), ("lio", {"segments": 1})])
def test_unknown_names_are_told_with_the_known_ones(profile, numbers):
    with pytest.raises(UsageError) as caught:
        sbtk.limits(profile, **numbers)
    assert "lio" in caught.value.line or "max_segments" in caught.value.line


def test_a_device_without_the_page_is_taken_to_have_lid1_only():
    parameters = OperatingParameters.decode(OPERATING_PARAMETERS)
    limits = Limits.from_device("old", parameters, None)
    assert (limits.has(c.ExtendedCopyLid1), limits.lid4, limits.cscd_ids) == (True, False, ())
    whole = Limits.from_device("new", parameters, ThirdPartyCopyPage.decode(VPD_8F))
    assert (whole.lid4, whole.has(c.CopyOperationAbort), whole.cscd_ids) == (True, True, (0xFFFF,))
    assert whole.supports(0x0A)
    assert not whole.digests


def test_for_people_and_programs():
    spc = PROFILES["spc"]
    assert dict(spc.describe())["segments a list"] == "4,096"
    document = json.loads(json.dumps(spc.to_dict()))
    assert document["types"][-1] == "E4h"
    assert document["digests"] is True
    assert "83h/01h" in document["commands"]


def test_what_is_known_of_the_managers_in_the_field():
    assert [PROFILES[name].max_segments for name in ("lio", "tcmu", "ctl")] == [1, 1, 64]
    assert PROFILES["scst"].data_granularity == 16
    assert PROFILES["tcmu"].usages == (0b11,)
    assert not any(PROFILES[name].digests for name in PROFILES if name != "spc")
