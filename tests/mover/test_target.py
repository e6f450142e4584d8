"""The copy manager: list ids, copies in the background, status, abort, results, profiles."""

import random
import threading

import pytest

from sbtk.scsi import cdb, inquiry, sense
from sbtk.scsi import cdb_copy as c
from sbtk.scsi import copy_results as results
from sbtk.scsi import segments as seg
from sbtk.scsi import sense_codes as codes
from sbtk.scsi.copy_vpd import ThirdPartyCopyPage
from sbtk.scsi.limits import PROFILES, Limits, limits
from sbtk.scsi.xcopy import ParameterList
from sbtk.transport.base import CHECK_CONDITION, GOOD
from tests.mover.rig import ME, Rig, file_disk, file_tape, named

DATA = random.Random(4).randbytes(1 << 20)
STEPS = tuple(
    seg.BlockToBlock(
        2, source=0, destination=1, blocks=64, source_lba=64 * n, destination_lba=64 * n
    )
    for n in range(4)
)
SLOW_S = 20.0


class Gate:
    """A disk whose third read waits until it is let go."""

    def __init__(self, unit):
        self.unit = unit
        self.reached, self.open = threading.Event(), threading.Event()
        self.reads = 0

    def __getattr__(self, name):
        return getattr(self.unit, name)

    def read_blocks(self, lba, buffer):
        self.reads += 1
        if self.reads == 3:
            self.reached.set()
            assert self.open.wait(SLOW_S)
        self.unit.read_blocks(lba, buffer)


@pytest.fixture
def gate(tmp_path):
    return Gate(file_disk(tmp_path / "a", DATA))


@pytest.fixture
def rig(gate, tmp_path):
    with Rig(gate, file_disk(tmp_path / "b", bytes(1 << 20))) as made:
        yield made
        gate.open.set()


def a_list(rig, *steps, **fields):
    fields.setdefault("list_id", 1)
    return ParameterList(tuple(map(named, rig.units)), steps or STEPS, **fields)


def refused(response) -> tuple:
    told = sense.decode(response.sense)
    assert response.status == CHECK_CONDITION
    return told.key, told.code, told.field_pointer


NO_SUCH_ID = (5, codes.INVALID_FIELD_IN_CDB, 2)


def status4(rig, list_id, **options) -> results.StatusLid4:
    answer = rig.ask(c.ReceiveCopyStatusLid4(list_id, 4096), **options)
    assert answer.status == GOOD, sense.describe(answer.sense)
    return results.StatusLid4.decode(answer.data_in)


def asked_to_stop(rig) -> bool:
    return rig.target._manager._operations[ME, 1].cancel.wait(SLOW_S)


def until_done(rig, list_id) -> results.StatusLid4:
    for _ in range(4000):
        status = status4(rig, list_id)
        if status.status not in results.LID4_RUNNING:
            return status
        threading.Event().wait(0.005)
    pytest.fail("the copy does not end")


# -- in the background ---------------------------------------------------------------------------


def test_a_background_copy_can_be_watched(rig, gate, tmp_path):
    assert rig.send(a_list(rig, lid4=True, immediate=True, list_id=0xDEADBEEF)).status == GOOD
    assert gate.reached.wait(SLOW_S)
    running = status4(rig, 0xDEADBEEF)
    assert running.status == results.LID4_BACKGROUND
    assert (running.segments_processed, running.transferred_bytes) == (3, 2 * 64 * 512)
    assert running.update_delay_ms < 10_000
    gate.open.set()
    done = until_done(rig, 0xDEADBEEF)
    assert (done.status, done.completion_status, done.sense) == (results.LID4_DONE, GOOD, b"")
    assert (done.segments_processed, done.transferred_bytes) == (4, 4 * 64 * 512)
    assert done.update_delay_ms == results.DELAY_FINISHED
    assert (tmp_path / "b").read_bytes()[: 256 * 512] == DATA[: 256 * 512]
    assert status4(rig, 0xDEADBEEF) == done  # LID4 results stay


def test_a_background_copy_that_fails_tells_it_in_its_status(rig, gate):
    gate.open.set()
    bad = seg.BlockToBlock(2, source=0, destination=7, blocks=1)
    assert rig.send(a_list(rig, *STEPS, bad, lid4=True, immediate=True)).status == GOOD
    failed = until_done(rig, 1)
    assert (failed.status, failed.completion_status) == (results.LID4_ERROR, CHECK_CONDITION)
    told = sense.decode(failed.sense)
    assert (told.code, told.segment_number) == (codes.UNREACHABLE_COPY_TARGET, 4)
    assert refused(rig.send(bytes(48), lid4=True))[0] == 5  # and no deferred error follows


def test_a_background_copy_is_aborted(rig, gate, tmp_path):
    assert rig.send(a_list(rig, lid4=True, immediate=True)).status == GOOD
    assert gate.reached.wait(SLOW_S)
    answers = []
    abort = threading.Thread(target=lambda: answers.append(rig.ask(c.CopyOperationAbort(1))))
    abort.start()
    assert asked_to_stop(rig)
    assert not answers, "it must wait for the command under way"
    gate.open.set()
    abort.join(SLOW_S)
    assert answers[0].status == GOOD
    ended = status4(rig, 1)
    assert (ended.status, ended.completion_status) == (results.LID4_TERMINATED, 0x40)
    assert ended.sense == b""
    assert gate.reads <= 4
    assert (tmp_path / "b").read_bytes()[3 * 64 * 512 :] == bytes((1 << 20) - 3 * 64 * 512)


@pytest.mark.parametrize("how", ["abort command", "task management", "reset"])
def test_a_foreground_copy_is_aborted_from_another_thread(rig, gate, how):
    answers = []
    copy = threading.Thread(target=lambda: answers.append(rig.send(a_list(rig))))
    copy.start()
    assert gate.reached.wait(SLOW_S)
    assert refused(rig.ask(c.ReceiveCopyDataLid1(1, 100))) == NO_SUCH_ID  # not while it runs
    assert refused(rig.ask(c.ReceiveCopyFailureDetailsLid1(1, 100))) == NO_SUCH_ID
    running = rig.status()
    assert (running.status, running.segments_processed) == (results.LID1_IN_PROGRESS, 3)
    assert status4(rig, 1).status == results.LID4_FOREGROUND
    stop = {
        "abort command": lambda: rig.ask(c.CopyOperationAbort(1)),
        "task management": lambda: rig.target.abort(ME, 0),
        "reset": lambda: rig.target.reset(ME, 0),
    }[how]
    stopper = threading.Thread(target=stop)
    stopper.start()
    assert asked_to_stop(rig)
    gate.open.set()
    stopper.join(SLOW_S)
    copy.join(SLOW_S)
    told = sense.decode(answers[0].sense)
    assert (told.key, told.code) == (0x0A, codes.COMMANDS_CLEARED_BY_DEVICE_SERVER)
    assert told.segment_number in (2, 3)
    assert rig.status().status == results.LID1_ERROR


def test_task_management_leaves_other_copies_alone(rig, gate):
    assert rig.send(a_list(rig, lid4=True, immediate=True)).status == GOOD
    assert gate.reached.wait(SLOW_S)
    rig.target.abort(ME, 0)  # background: only COPY OPERATION ABORT and resets end it
    rig.target.abort("iqn.2026-11.test:other", 0)
    rig.target.reset(ME, 1)  # another unit
    rig.target.nexus_lost(ME)  # drops results, ends nothing
    gate.open.set()
    assert refused(rig.ask(c.ReceiveCopyStatusLid4(1, 100))) == NO_SUCH_ID
    for _ in range(4000):
        if gate.unit.counters.read_commands == 4:
            break
        threading.Event().wait(0.005)
    assert gate.unit.counters.read_commands == 4


def test_an_id_in_use_and_too_many_copies(gate, tmp_path):
    few = limits("spc", max_concurrent=1, total_concurrent=2)
    with Rig(gate, file_disk(tmp_path / "b", bytes(1 << 20)), profile=few) as rig:
        assert rig.send(a_list(rig, lid4=True, immediate=True)).status == GOOD
        assert gate.reached.wait(SLOW_S)
        quick = seg.VerifyDevice(0x07, 1)
        assert refused(rig.send(a_list(rig, quick)))[:2] == (5, codes.OPERATION_IN_PROGRESS)
        assert refused(rig.send(a_list(rig, quick, list_id=2)))[:2] == (
            5,
            codes.INSUFFICIENT_RESOURCES,
        )
        assert rig.send(a_list(rig, quick, list_id=0, usage=0b11)).status == GOOD  # without an id
        gate.open.set()
        assert until_done(rig, 1).status == results.LID4_DONE
        assert rig.send(a_list(rig, quick)).status == GOOD  # the id is free, its results are gone
        assert status4(rig, 1).segments_processed == 1


def test_ids_of_both_commands_are_the_same_numbers(rig, gate):
    gate.open.set()
    assert rig.send(a_list(rig, list_id=0xFD)).status == GOOD
    assert status4(rig, 0xFD).response_to == 0
    assert refused(rig.ask(c.ReceiveCopyStatusLid4(0x1FD, 100))) == NO_SUCH_ID


# -- results -------------------------------------------------------------------------------------


def test_each_result_is_told_once(tmp_path):
    disk, tape = file_disk(tmp_path / "a", DATA), file_tape(tmp_path / "t")
    hold = seg.BlockToStream(0x0B, True, 0, 1, 512, 2, 0)
    bad = seg.BlockToBlock(2, source=0, destination=9, blocks=1)
    with Rig(disk, tape) as rig:
        response = rig.send(a_list(rig, hold, bad))
        details = rig.ask(c.ReceiveCopyFailureDetailsLid1(1, 500)).data_in
        found = results.FailureDetails.decode(details)
        assert found == results.FailureDetails(CHECK_CONDITION, response.sense)
        assert int.from_bytes(details[:4], "big") == 56 + len(response.sense)
        assert refused(rig.ask(c.ReceiveCopyFailureDetailsLid1(1, 500))) == NO_SUCH_ID
        # A part of the held data leaves it there; all of it, or length 0, discards it.
        part = rig.ask(c.ReceiveCopyDataLid1(1, 10)).data_in
        assert part == (1024).to_bytes(4, "big") + DATA[:6]
        assert rig.held() == DATA[:1024]
        assert refused(rig.ask(c.ReceiveCopyDataLid1(1, 5000))) == NO_SUCH_ID
        assert rig.status().status == results.LID1_ERROR
        assert refused(rig.ask(c.ReceiveCopyStatusLid1(1, 12))) == NO_SUCH_ID
        assert rig.send(a_list(rig, hold)).status == GOOD
        assert rig.ask(c.ReceiveCopyDataLid1(1, 0)).data_in == b""
        assert refused(rig.ask(c.ReceiveCopyDataLid1(1, 5000))) == NO_SUCH_ID
        assert (
            results.FailureDetails.decode(rig.ask(c.ReceiveCopyFailureDetailsLid1(1, 99)).data_in)
            is None
        )


def test_held_data_of_lid4(tmp_path):
    disk, tape = file_disk(tmp_path / "a", DATA), file_tape(tmp_path / "t")
    with Rig(disk, tape, profile=limits("spc", held_data_bytes=700)) as rig:
        hold = seg.BlockToStream(0x0B, True, 0, 1, 512, 2, 0)
        assert rig.send(a_list(rig, hold, lid4=True)).status == GOOD
        for _ in range(2):
            status, held = results.decode_held_lid4(rig.ask(c.ReceiveCopyDataLid4(1, 4096)).data_in)
            assert held == DATA[1024 - 700 : 1024]
            assert status.held_data_discarded
        assert not status4(rig, 1).held_data_discarded


def test_residual_data_at_the_end_is_told(tmp_path):
    disk, tape = file_disk(tmp_path / "a", DATA), file_tape(tmp_path / "t")
    with Rig(disk, tape) as rig:
        step = seg.BlockToStream(0x00, True, 0, 1, 1000, 2, 0)
        assert rig.send(a_list(rig, step, lid4=True)).status == GOOD
        assert status4(rig, 1).status == results.LID4_DONE_WITH_RESIDUAL


def test_good_sense_counts_the_segments(rig, gate):
    gate.open.set()
    response = rig.send(a_list(rig, lid4=True, good_sense=True))
    told = sense.decode(response.sense)
    assert (response.status, told.key, told.code) == (GOOD, 0x0F, (0x00, 0x20))
    assert told.command_specific == 4


def test_old_results_make_room(tmp_path):
    with Rig(file_disk(tmp_path / "a", DATA)) as rig:
        step = seg.VerifyDevice(0x07, 0)
        for list_id in range(200):
            assert rig.send(a_list(rig, step, list_id=list_id)).status == GOOD
        assert rig.status(199).status == results.LID1_DONE
        assert refused(rig.ask(c.ReceiveCopyStatusLid1(0, 12))) == NO_SUCH_ID


def test_an_empty_list_does_nothing(rig):
    for command in (c.ExtendedCopyLid1(0), c.ExtendedCopyLid4(0)):
        assert rig.path.execute(command.encode()).status == GOOD
    assert refused(rig.ask(c.ReceiveCopyStatusLid1(0, 12))) == NO_SUCH_ID
    assert rig.send(a_list(rig).__class__((), (), list_id=5)).status == GOOD
    assert rig.status(5).segments_processed == 0


def test_the_receiving_unit_is_ffff(tmp_path):
    disk, other = file_disk(tmp_path / "a", DATA), file_disk(tmp_path / "b", bytes(1 << 20))
    with Rig(disk, other) as rig:
        step = seg.BlockToBlock(2, source=0xFFFF, destination=1, blocks=8)
        assert rig.send(a_list(rig, step), rig.to(0)).status == GOOD
        assert (tmp_path / "b").read_bytes()[:4096] == DATA[:4096]


# -- what it says about itself, and profiles -------------------------------------------------------


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_a_profile_is_announced_and_obeyed(tmp_path, name):
    disks = file_disk(tmp_path / "a", DATA), file_disk(tmp_path / "b", bytes(1 << 20))
    profile = PROFILES[name]
    with Rig(*disks, profile=profile) as rig:
        answer = rig.ask(c.ReceiveCopyOperatingParameters(4096)).data_in
        parameters = results.OperatingParameters.decode(answer)
        page = rig.ask(cdb.Inquiry(True, inquiry.THIRD_PARTY_COPY)).data_in
        told = Limits.from_device(name, parameters, ThirdPartyCopyPage.decode(page))
        assert (told.max_segments, told.types, told.commands) == (
            profile.max_segments, profile.types, profile.commands,
        )  # fmt: skip
        usage = profile.usages[-1]
        fields = {"usage": usage, "list_id": 0 if usage == 0b11 else 1}
        large = seg.BlockToBlock(2, source=0, destination=1, blocks=128)
        assert rig.send(a_list(rig, large, **fields)).status == GOOD
        assert (tmp_path / "b").read_bytes()[:65536] == DATA[:65536]
        many = [large] * (profile.max_segments + 1)
        if len(many) * 28 + 64 < profile.max_list_bytes:
            assert (
                refused(rig.send(a_list(rig, *many, **fields)))[1]
                == codes.TOO_MANY_SEGMENT_DESCRIPTORS
            )
        for command in cdb.COMMANDS.values():
            if command.OPCODE in (0x83, 0x84) and not profile.has(command):
                assert refused(rig.ask(command())) == (5, codes.INVALID_FIELD_IN_CDB, 1)
        if 0b00 not in profile.usages:
            assert refused(rig.send(a_list(rig, large)))[1:] == (
                codes.INVALID_FIELD_IN_PARAMETER_LIST,
                1,
            )


def test_answers_are_cut_to_what_was_asked_for(rig):
    whole = rig.ask(c.ReceiveCopyOperatingParameters(4096)).data_in
    assert rig.ask(c.ReceiveCopyOperatingParameters(20)).data_in == whole[:20]
    assert rig.ask(c.ReceiveCopyOperatingParameters(4096), data_in_bytes=7).data_in == whole[:7]
    assert int.from_bytes(whole[:4], "big") == len(whole) - 4
