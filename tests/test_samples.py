"""The samples: small, unpacked once, and what their script says they are."""

import json
import lzma
import subprocess
import sys

import pytest

from sbtk import samples
from sbtk.errors import LocationNotFoundError


def test_all_samples_together_are_small():
    names = samples.names()
    assert names == ["array.gpt", "camera.mbr", "office.ntfs"]
    files = [path for path in samples.FOLDER.iterdir() if path.suffix in {".xz", ".json"}]
    assert len(files) == 2 * len(names)
    assert sum(path.stat().st_size for path in files) < 3_000_000


@pytest.fixture
def folder(tmp_path):
    """A folder with one tiny sample."""
    (tmp_path / "tiny.img.xz").write_bytes(lzma.compress(b"first" * 1000))
    return tmp_path


def test_unpacked_once_and_again_when_the_archive_is_newer(folder):
    image = samples.unpack("tiny", folder)
    assert image.read_bytes() == b"first" * 1000
    written = image.stat().st_mtime_ns
    assert samples.unpack("tiny", folder).stat().st_mtime_ns == written
    packed = folder / "tiny.img.xz"
    packed.write_bytes(lzma.compress(b"second"))
    import os

    os.utime(packed, ns=(written + 10**9, written + 10**9))
    assert samples.unpack("tiny", folder).read_bytes() == b"second"
    assert sorted(path.name for path in folder.iterdir()) == ["tiny.img", "tiny.img.xz"]


def test_a_damaged_archive_leaves_nothing_behind(folder):
    (folder / "tiny.img.xz").write_bytes(b"no xz at all")
    with pytest.raises(lzma.LZMAError):
        samples.unpack("tiny", folder)
    assert [path.name for path in folder.iterdir()] == ["tiny.img.xz"]


def test_an_unknown_name_lists_the_known_ones(folder):
    with pytest.raises(LocationNotFoundError) as caught:
        samples.unpack("nothing", folder)
    assert caught.value.hint == "There are: tiny"


def test_the_module_unpacks_a_folder(folder):
    ended = subprocess.run(
        [sys.executable, "-m", "sbtk.samples", str(folder)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ended.stdout == f"{folder / 'tiny.img'}\n"


@pytest.mark.parametrize("name", samples.names())
def test_every_truth_file_tells_all_that_tests_compare(name):
    truth = json.loads((samples.FOLDER / f"{name}.truth.json").read_text())
    assert truth["records"]
    assert truth["paths"]
    kinds = {
        (item["resident"], bool(item["runs"]))
        for record in truth["records"]
        for item in record["attributes"]
    }
    assert kinds >= {(True, False), (False, True)}
