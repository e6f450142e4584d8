"""How a runbook is scheduled: a cron line, a systemd timer, an Airflow operator."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

from sbtk.errors import UsageError

_TIME = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")


def command(name: str, given: Mapping[str, str]) -> str:
    """The command line of a run."""
    words = ["sbtk", "runbook", "run", name]
    for key, value in given.items():
        words += ["-p", f"{key}={value}"]
    return shlex.join(words)


def schedule(name: str, given: Mapping[str, str], at: str) -> dict[str, str]:
    """Ways to run a runbook every day.

    Args:
        name: of the runbook.
        given: its parameters, checked already.
        at: ``HH:MM``, local time.

    Returns:
        ``cron``, ``systemd`` and ``airflow``: text to put in place.

    Raises:
        UsageError: no time of day.
    """
    match = _TIME.fullmatch(at)
    if match is None:
        raise UsageError(f"{at!r} is no time of day", hint="Write for example 01:30")
    hour, minute = int(match[1]), int(match[2])
    line = command(name, given)
    unit = f"sbtk-{name.replace('_', '-')}"
    percent = line.replace("%", "%%")  # systemd's own signs
    return {
        # cron takes a bare % for the end of the line.
        "cron": f"{minute} {hour} * * *  {line.replace('%', chr(92) + '%')}",
        "systemd": (
            f"# /etc/systemd/system/{unit}.service\n[Unit]\nDescription=sbtk runbook {name}\n\n"
            f"[Service]\nType=oneshot\nEnvironmentFile=-/etc/sbtk.env\n"
            f"ExecStart=/usr/bin/env {percent}\nKillSignal=SIGINT\nTimeoutStopSec=120\n\n"
            f"# /etc/systemd/system/{unit}.timer\n[Timer]\n"
            f"OnCalendar=*-*-* {hour:02}:{minute:02}:00\nPersistent=true\n\n"
            "[Install]\nWantedBy=timers.target\n"
        ),
        "airflow": (
            "from airflow.providers.standard.operators.bash import BashOperator\n\n"
            "# exit codes: docs/exit-codes.md; 61 (busy) is worth another try\n"
            f"{name} = BashOperator(\n    task_id={name!r},\n    bash_command={line!r},\n"
            "    do_xcom_push=True,  # the last line: RESULT {json}\n    retries=0,\n)\n"
        ),
    }
