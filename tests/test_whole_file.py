"""A file is replaced whole or not at all."""

import os
import resource
import subprocess
import sys

import pytest

from sbtk.whole_file import write_whole


def test_it_replaces_what_is_there_and_leaves_nothing_beside_it(tmp_path):
    target, link = tmp_path / "a", tmp_path / "link"
    target.write_bytes(b"old" * 100)
    link.symlink_to(target)
    write_whole(link, b"new")
    assert (link.is_symlink(), target.read_bytes()) == (True, b"new")
    assert sorted(os.listdir(tmp_path)) == ["a", "link"]


def test_what_is_no_file_stays_what_it_is(tmp_path):
    pipe, folder, link = tmp_path / "pipe", tmp_path / "folder", tmp_path / "null"
    os.mkfifo(pipe)
    folder.mkdir()
    link.symlink_to("/dev/null")
    for target in (pipe, folder, link):
        with pytest.raises(OSError, match="no file"):
            write_whole(target, b"x")
    assert pipe.is_fifo()
    assert os.path.realpath(link) == "/dev/null"
    assert sorted(os.listdir(tmp_path)) == ["folder", "null", "pipe"]


def test_a_failure_leaves_the_old_file(tmp_path):
    """The kernel refuses to let a file grow (EFBIG), as a full medium would."""
    target = tmp_path / "a"
    target.write_bytes(b"old")
    script = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from sbtk.whole_file import write_whole\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, (4096, {resource.RLIM_INFINITY}))\n"
        "write_whole(Path(sys.argv[1]), bytes(1 << 20))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, target], capture_output=True, text=True, check=False
    )
    assert "OSError: [Errno 27]" in ended.stderr
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]
