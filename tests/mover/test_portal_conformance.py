"""libiscsi's conformance suite on our portal, and on tgtd in the same run.

LIO passes 190 of 215 and 9 of 15 (``python -m tests.interop.conformance``, minutes); ours are held
to these numbers. docs/san.md lists what fails.
"""

from __future__ import annotations

import pytest

from tests.interop.conformance import conformance, our_portal, tgtd_portal

LIO_PASSES = {"SCSI": 190, "iSCSI": 9}
MOST_SKIPPED = {"SCSI": 41, "iSCSI": 0}  # GET LBA STATUS, READ DEFECT DATA, WRITE ATOMIC, ...
KNOWN_TO_FAIL = {"SCSI": set(), "iSCSI": {"iSCSIdatasn.iSCSIDataSnInvalid"}}


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    with our_portal(tmp_path_factory.mktemp("portal")) as location:
        yield location


@pytest.mark.parametrize("suite", ["SCSI.ExtendedCopy", "SCSI.ReceiveCopyResults"])
def test_every_copy_test_passes_and_none_is_skipped(url, suite):
    outcome = conformance(url, suite)
    assert outcome.passed == outcome.total >= 2
    assert not outcome.skipped


@pytest.mark.timeout(500)
@pytest.mark.parametrize("family", ["SCSI", "iSCSI"])
def test_no_fewer_passes_than_tgtd(url, family, tmp_path):
    ours = conformance(url, family)
    with tgtd_portal(tmp_path) as other:
        theirs = conformance(other, family)
    print(f"{family} of {ours.total}: ours {ours}; tgtd {theirs}")
    for test, why in {**ours.failed, **ours.skipped}.items():
        print(f"  {test}: {why}")
    assert ours.failed.keys() <= KNOWN_TO_FAIL[family]
    assert ours.total == theirs.total
    assert ours.passed >= max(theirs.passed, LIO_PASSES[family])
    # The suite counts what it skips as passed: without those it must hold too.
    assert ours.really_passed >= theirs.really_passed
    assert len(ours.skipped) <= MOST_SKIPPED[family]
