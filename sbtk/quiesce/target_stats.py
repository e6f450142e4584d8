"""Write counters that software targets keep: LIO's configfs and tgt's ``tgtadm``."""

from __future__ import annotations

import subprocess
from pathlib import Path

from sbtk.errors import ActivitySourceError
from sbtk.quiesce.activity import Reading

_CONFIGFS = Path("/sys/kernel/config")
_TGTADM_TIMEOUT_S = 10.0


class LioSource:
    """Statistics of one LIO backstore: ``statistics/scsi_lu`` in configfs."""

    granularity = "one command of any kind, when it is queued"
    blind_to = (
        "nothing that comes through LIO, but commands that read count as activity as well; writes "
        "to the backing file or device past LIO; what initiators still hold in their caches"
    )

    def __init__(self, backstore: str, *, configfs: Path = _CONFIGFS) -> None:
        """Watch ``backstore``, as ``fileio_0/disk1`` below target/core."""
        self._backstore = backstore
        self._folder = configfs / "target" / "core" / backstore / "statistics" / "scsi_lu"

    @property
    def name(self) -> str:
        """What is watched and how."""
        return f"LIO statistics of {self._backstore}"

    def read(self) -> Reading:
        """Commands and MiB written: the second alone would hide writes of less than 1 MiB."""
        return Reading((self._number("num_cmds"), self._number("write_mbytes")))

    def _number(self, attribute: str) -> int:
        try:
            return int((self._folder / attribute).read_text())
        except (OSError, ValueError) as error:
            raise ActivitySourceError(
                f"LIO tells no {attribute} of {self._backstore}: {error}",
                hint="Name the backstore as HBA/DEVICE, and mount configfs",
            ) from error

    def close(self) -> None:
        """Nothing is held."""


# tgtadm --op stat, one line a nexus and LUN (tgt 1.0.85): tgt lun sid, then bytes and commands of
# rd_subm, rd_done, wr_subm, wr_done, then errs.
_COLUMNS = 12
_LUN, _SID, _SUBMITTED_BYTES, _SUBMITTED, _DONE = 1, 2, 7, 8, 10


class TgtSource:
    """Statistics of one logical unit of tgtd, over all its initiators."""

    granularity = "one WRITE command, when it is submitted; submitted and not done, it is in flight"
    blind_to = (
        "an initiator that logs in, writes and logs out between two looks; writes to the backing "
        "file past tgtd; what initiators still hold in their caches"
    )

    def __init__(self, tid: int, lun: int, *, control_port: int = 0, lld: str = "iscsi") -> None:
        self._tid = tid
        self._lun = lun
        self._command = [
            "tgtadm", "-C", str(control_port), "--lld", lld,
            "--mode", "target", "--op", "stat", "--tid", str(tid),
        ]  # fmt: skip

    @property
    def name(self) -> str:
        """What is watched and how."""
        return f"tgt statistics of target {self._tid} LUN {self._lun}"

    def read(self) -> Reading:
        """Nexus, bytes and commands of every nexus that has written, in the order of nexus."""
        rows = sorted(row for row in self._rows() if row[_LUN] == self._lun and row[_SUBMITTED])
        counter: list[int] = []
        for row in rows:
            counter += (row[_SID], row[_SUBMITTED_BYTES], row[_SUBMITTED])
        return Reading(tuple(counter), sum(row[_SUBMITTED] - row[_DONE] for row in rows))

    def _rows(self) -> list[list[int]]:
        try:
            run = subprocess.run(
                self._command, capture_output=True, text=True, timeout=_TGTADM_TIMEOUT_S, check=True
            )
            header, *lines = run.stdout.splitlines()
            rows = [[int(word) for word in line.split()] for line in lines]
            if "wr_subm(bytes,cmds)" not in header or any(len(row) != _COLUMNS for row in rows):
                raise ValueError("its statistics have other columns than tgt 1.0.85's")
        except subprocess.CalledProcessError as error:
            raise self._unreadable(error.stderr.strip()) from error
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            raise self._unreadable(str(error)) from error
        return rows

    def _unreadable(self, why: str) -> ActivitySourceError:
        return ActivitySourceError(
            f"tgtadm tells nothing of target {self._tid}: {why}",
            hint="Check the target's number and the control port of tgtd",
        )

    def close(self) -> None:
        """Nothing is held."""
