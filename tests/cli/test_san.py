"""``sbtk san``: what it makes, whom it lets in, how it ends."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess

import pytest

from sbtk.errors import LocationError, LocationNotFoundError, TransportError, UsageError
from sbtk.mover.san import CONFIG, San, read_secret
from sbtk.scsi import cdb
from sbtk.scsi.iscsi_login import Chap
from sbtk.transport.iscsi import Endpoint, IscsiSession
from sbtk.transport.send import send
from tests.cli.running import SBTK, run
from tests.interop.sans import san_command, serving

ME, OTHER = "iqn.2026-11.test:me", "iqn.2026-11.test:other"


def session(san, name: str, chap: Chap | None = None) -> IscsiSession:
    return IscsiSession(Endpoint("127.0.0.1", san.port, san.iqn, name, chap=chap))


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "san"
    san_command("create", place, "--disk", "a=16MiB", "--disk", "b=16MiB", "--tape", "t=64MiB")
    return place


def test_a_san_is_a_folder(folder):
    assert (folder / "a").stat().st_size == 16 << 20
    document = json.loads((folder / CONFIG).read_text())
    assert [item["kind"] for item in document["luns"]] == ["disk", "disk", "tape"]
    assert San.load(folder).with_lun("disk", "c").luns[-1].lun == 3
    told = json.loads(san_command("create", folder, "--disk", "c=1MiB", "--json"))
    assert [item["lun"] for item in told["luns"]] == [0, 1, 2, 3]


def test_nobody_is_let_in_until_granted_and_then_to_its_luns_only(folder):
    san_command("grant", folder, ME, "--lun", 1)
    with serving(folder) as san:
        with pytest.raises(TransportError, match="refused"):
            session(san, OTHER)
        with session(san, ME) as mine:
            report = send(mine.lun(1), cdb.ReportLuns(), data_in_bytes=256)
            assert bytes(report[8:16]) == bytes.fromhex("0001000000000000")
            assert len(report) == 16
            seen = mine.lun(0).execute(cdb.TestUnitReady().encode())
            assert seen.status == 2


def test_the_san_proves_who_it_is(folder):
    """Mutual CHAP: to those that ask; it asks itself of those that have a user."""
    san_command("grant", folder, ME, "--user", "me")
    san_command("create", folder, "--user", "portal")
    mine = Chap("me", read_secret(San.load(folder).folder / San.load(folder).grants[0].secret_file))
    own = Chap("portal", read_secret(folder / San.load(folder).secret_file))
    assert own.secret not in (folder / CONFIG).read_text()
    with serving(folder) as san:
        for proof in (own, None):
            endpoint = Endpoint("127.0.0.1", san.port, san.iqn, ME, chap=mine, mutual=proof)
            with IscsiSession(endpoint) as session:
                send(session.lun(0), cdb.TestUnitReady())
        wrong = Chap("portal", "something quite else")
        endpoint = Endpoint("127.0.0.1", san.port, san.iqn, ME, chap=mine, mutual=wrong)
        with pytest.raises(TransportError):
            IscsiSession(endpoint)


def test_chap_and_its_secret(folder, tmp_path):
    out = san_command("grant", folder, ME, "--user", "me")
    secret_file = folder / "secrets" / ME.replace(":", "_")
    assert stat.S_IMODE(secret_file.stat().st_mode) == 0o600
    secret = read_secret(secret_file)
    assert len(secret) >= 12
    assert secret not in out + (folder / CONFIG).read_text()
    with serving(folder) as san:
        with session(san, ME, Chap("me", secret)) as mine:
            send(mine.lun(0), cdb.TestUnitReady())
        for chap in (None, Chap("me", secret + "x")):
            with pytest.raises(TransportError):
                session(san, ME, chap)
        environment = os.environ | {
            "SBTK_ISCSI_INITIATOR": ME, "SBTK_ISCSI_USER": "me",
            "SBTK_ISCSI_SECRET_FILE": str(secret_file),
        }  # fmt: skip
        limits = subprocess.run(
            [*SBTK, "limits", san.locations[0], "--json"],
            capture_output=True, text=True, env=environment, check=False,
        )  # fmt: skip
        assert limits.returncode == 0, limits.stderr
        assert secret not in limits.stdout + limits.stderr
    secret_file.chmod(0o644)
    with pytest.raises(LocationError, match="read by others"):
        read_secret(secret_file)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_cleanly_and_keeps_what_was_written(folder, number):
    san_command("grant", folder, ME)
    with serving(folder) as san, session(san, ME) as mine:
        send(mine.lun(0), cdb.Write16(lba=3, blocks=1), data_out=b"k" * 512)
        san.process.send_signal(number)
        _, said = san.process.communicate(timeout=20)
        assert (san.process.returncode, said) == (0, "")
    assert (folder / "a").read_bytes()[3 * 512 : 4 * 512] == b"k" * 512


def test_grants_are_taken_back(folder):
    san_command("grant", folder, ME, "--lun", 0, "--lun", 2)
    assert San.load(folder).grants[0].luns == (0, 2)
    san_command("grant", folder, ME, "--revoke")
    assert San.load(folder).grants == ()


def test_wrong_calls_are_one_line_with_what_to_do(folder, tmp_path, capsys):
    for words in (
        ("serve", tmp_path / "none"),
        ("grant", folder, "no name"),
        ("grant", folder, ME, "--lun", 9),
        ("grant", folder, ME, "--secret-file", folder / "x"),
        ("create", folder, "--disk", "a=1MiB"),
        ("create", folder, "--tape", "missing"),
    ):
        ended = run(capsys, "san", *words)
        assert ended.code >= 2
        assert ended.err.count("\n") == 1
        assert ended.err.startswith("sbtk: ")


def test_a_damaged_description_is_named(folder):
    for text in ("", "[]", '{"version": 2}', '{"version": 1, "iqn": 3, "luns": [], "grants": []}'):
        (folder / CONFIG).write_text(text)
        with pytest.raises(LocationError):
            San.load(folder)
    with pytest.raises(LocationNotFoundError):
        San.load(folder / "nowhere")
    with pytest.raises(UsageError):
        San(folder).granted(ME, (1,), ("", ""))
