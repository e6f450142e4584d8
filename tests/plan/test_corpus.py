"""Plans of real volumes, run by the plain simulator; GNU tar, bsdtar and ntfs-3g judge."""

import json
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from sbtk.archive import manifest as names
from sbtk.archive import reader
from sbtk.archive.closing import closing_bytes
from sbtk.archive.manifest import Manifest, NotPlain
from sbtk.plan import archive_check, setmap
from sbtk.plan.check import check_plan
from sbtk.plan.files_layout import too_long
from sbtk.plan.model import Target
from sbtk.plan.restore import plan_restore
from tests.corpus import manifest as walker
from tests.corpus import volume
from tests.oracles.mount import mounted
from tests.plan.simulate import Disk, run_backup, run_restore
from tests.plan.volumes import TAPE, corpus_plan, lun_bytes, opened

DISK = Target("disk", 512)
DISK_4K = Target("disk", 4096, 0, 8192)
UNIX = {"LC_ALL": "C.UTF-8", "PATH": os.environ["PATH"]}


def checked(plan):
    check_plan(plan)
    assert archive_check.find_archive_faults(plan) == []
    return plan


def archive_of(plan, lun: bytes) -> tuple[bytes, object]:
    archive, run = run_backup(plan, lun)
    if plan.layout == "mirror":
        return archive, run
    content = setmap.to_parquet(setmap.map_of(plan))
    unit, at = plan.target.record_bytes, 0
    if not unit:
        unit, at = 4096, plan.archive_bytes
    closing = closing_bytes(content, unit_bytes=unit, at_bytes=at)
    return archive[: plan.archive_bytes] + closing, run


def extract(tool: str, archive: bytes, folder: Path) -> Path:
    """What GNU tar or bsdtar makes of an archive; neither may complain."""
    source, target = folder / f"{tool}.tar", folder / tool
    source.write_bytes(archive)
    target.mkdir()
    run = subprocess.run(
        [tool, "-x", "-f", source, "-C", target],
        capture_output=True,
        text=True,
        env=UNIX,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")
    source.unlink()
    return target


def assert_same_volume(image: Path, name: str) -> None:
    """Every path, hash, stream, time and attribute as in the corpus's own manifest."""
    with mounted(image) as root:
        rows = json.loads(json.dumps(walker.walk(str(root))))
    assert [placeless(row) for row in rows] == [placeless(row) for row in volume(name).manifest]


def placeless(row: dict) -> dict:
    """Without what depends on where the volume is mounted: absolute targets of links."""
    if not row.get("target", "").startswith("/"):
        return row
    return {key: value for key, value in row.items() if key not in ("target", "size")}


def assert_selected_equal(plan, image: bytes, lun: bytes) -> None:
    for start, length in zip(
        plan.selected.start_bytes.tolist(), plan.selected.length_bytes.tolist(), strict=True
    ):
        assert image[start : start + length] == lun[start : start + length]


@pytest.mark.root
def test_every_volume_as_image_on_tape_mounts_with_equal_content(corpus_volume, tmp_path):
    plan = checked(corpus_plan(corpus_volume.name, TAPE, "spc", "image"))
    lun = lun_bytes(corpus_volume.image)
    archive, _ = archive_of(plan, lun)
    folder = extract("tar", archive, tmp_path)
    image = folder / names.IMAGE_NAME
    assert_selected_equal(plan, image.read_bytes(), lun)
    assert_same_volume(image, corpus_volume.name)


@pytest.mark.parametrize("target", [TAPE, DISK, DISK_4K], ids=["tape", "disk", "disk4k"])
@pytest.mark.parametrize("profile", ["spc", "lio", "scst", "ctl"])
def test_image_under_the_limits_of_real_managers(profile, target, tmp_path):
    plan = checked(corpus_plan("zoo", target, profile, "image"))
    lun = lun_bytes(volume("zoo").image)
    archive, run = archive_of(plan, lun)
    for tool in ("tar", "bsdtar"):
        image = (extract(tool, archive, tmp_path) / names.IMAGE_NAME).read_bytes()
        assert_selected_equal(plan, image, lun)
    restored = Disk(len(lun))
    back = checked(
        plan_restore(setmap.map_of(plan), plan.geometry, plan.target, plan.limits, layout="image")
    )
    run_restore(back, run.archive, restored)
    assert_selected_equal(plan, restored, lun)


@pytest.mark.root
@pytest.mark.parametrize("profile", ["spc", "scst"])
def test_mirror_mounts_with_equal_content(profile, tmp_path):
    plan = checked(corpus_plan("zoo_c512", DISK, profile, "mirror"))
    lun = lun_bytes(volume("zoo_c512").image)
    mirrored, _ = archive_of(plan, lun)
    image = tmp_path / "mirror.img"
    image.write_bytes(mirrored + bytes(len(lun) - len(mirrored)))
    assert_selected_equal(plan, image.read_bytes(), lun)
    assert_same_volume(image, "zoo_c512")


def compare_files(root: Path, name: str, listed: list[NotPlain]) -> int:
    """Every plain file and stream of the corpus's manifest is in ``root``, hashes equal."""
    members = {(item.path, item.stream): item for item in listed}
    found = 0
    for row in volume(name).manifest:
        path = row["path"]
        if path.startswith("$"):
            continue
        wanted = {"": row["sha256"]} if "sha256" in row else {}
        for stream, digest in (wanted | row.get("streams", {})).items():
            member = f"{names.COMPANIONS}/{path}:{stream}" if stream else path
            item = members.get((path, stream))
            if item is not None:
                if item.why != "name-too-long":
                    continue
                member = item.member
            assert walker.sha256_of(str(root / member)) == digest, (path, stream)
            found += 1
    return found


@pytest.mark.root
@pytest.mark.parametrize(
    ("name", "target", "profile", "block_bytes"),
    [
        ("zoo", TAPE, "spc", 0),
        ("zoo", TAPE, "lio", 0),
        ("zoo", DISK, "lio", 0),
        ("zoo", TAPE, "scst", 0),
        ("zoo_s4096", TAPE, "spc", 4096),
        ("zoo_s4096", DISK_4K, "spc", 4096),
        ("zoo_s4096", DISK_4K, "ctl", 4096),
        ("zoo_c65536", DISK_4K, "spc", 0),
    ],
)
def test_files_layout(name, target, profile, block_bytes, tmp_path):
    plan = checked(corpus_plan(name, target, profile, "files", block_bytes=block_bytes))
    lun = lun_bytes(volume(name).image)
    archive, run = archive_of(plan, lun)
    listed = Manifest.from_bytes(plan.manifest).not_plain
    assert {item.why for item in listed} <= {"compressed", "wof", "reparse", "name-too-long"}
    for tool in ("tar", "bsdtar"):
        root = extract(tool, archive, tmp_path)
        assert compare_files(root, name, listed) > 1500
        for item in listed:
            assert (root / item.member).exists()
    restored = Disk(len(lun))
    back = checked(
        plan_restore(setmap.map_of(plan), plan.geometry, plan.target, plan.limits, layout="files")
    )
    run_restore(back, run.archive, restored)
    assert_selected_equal(plan, restored, lun)
    if profile == "spc":
        image = tmp_path / "restored.img"
        image.write_bytes(restored)
        assert_same_volume(image, name)
        assert plan.fetches.total_bytes == 0


def test_links_times_and_holes_of_the_files_layout(tmp_path):
    plan = checked(corpus_plan("zoo", TAPE, "spc", "files"))
    archive, _ = archive_of(plan, lun_bytes(volume("zoo").image))
    root = extract("tar", archive, tmp_path)
    by_record: dict[int, set[str]] = {}
    for row in volume("zoo").manifest:
        if row["path"].startswith("$") or too_long(row["path"]):
            continue
        path = root / row["path"]
        if "sha256" in row and path.exists():
            by_record.setdefault(row["ino"], set()).add(row["path"])
            assert path.stat().st_mtime_ns == row["mtime_ns"]
    several = [paths for paths in by_record.values() if len(paths) > 1]
    assert several
    for paths in several:
        assert len({(root / path).stat().st_ino for path in paths}) == 1
    sparse = root / "sparse/head.bin"
    assert sparse.stat().st_blocks * 512 < sparse.stat().st_size


def test_slack_is_left_out_on_request():
    with_slack = corpus_plan("zoo", TAPE, "spc", "files")
    without = checked(corpus_plan("zoo", TAPE, "spc", "files", slack=False))
    assert without.selected.total_bytes < with_slack.selected.total_bytes
    assert len(without.segments) < len(with_slack.segments)


def test_the_remainder_is_a_scannable_volume(tmp_path):
    """Without a single file's member, the metadata of the whole volume is there."""
    plan = checked(corpus_plan("zoo", TAPE, "spc", "files"))
    archive, _ = archive_of(plan, lun_bytes(volume("zoo").image))
    read_at = lambda at, size: archive[at : at + size]  # noqa: E731
    found, _ = reader.read_manifest(read_at)
    assert found.set_id == "test"
    members = {item.name: item for item in reader.iterate_members(read_at)}
    image = tmp_path / "remainder.img"
    image.write_bytes(bytes(found.geometry.volume_bytes))
    with image.open("r+b") as file:
        for start, at, size in zip(
            *map(list, reader.read_map(read_at, members[names.REMAINDER_NAME])), strict=True
        ):
            file.seek(start)
            file.write(archive[at : at + size])
    from sbtk.volume import read_tables

    assert read_tables(image).files["path"].to_pylist() == opened("zoo").files["path"].to_pylist()


def test_python_reads_it_too():
    plan = corpus_plan("zoo", TAPE, "ctl", "files")
    archive, _ = archive_of(plan, lun_bytes(volume("zoo").image))
    import io

    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        listed = tar.getnames()
    assert len(listed) == plan.notes["members"] + 1
    assert listed[0] == names.MANIFEST_NAME
    assert listed[-1] == names.DIGESTS_NAME


def test_several_archives_behind_one_another_are_listed_from_a_disk(tmp_path):
    lun = lun_bytes(volume("zoo").image)
    disk = Disk()
    start, expected = 0, []
    for layout in ("image", "files", "image"):
        plan = checked(corpus_plan("zoo", Target("disk", 512, 0, start), "spc", layout))
        archive, _ = archive_of(plan, lun)
        disk.put(start, archive)
        assert len(disk) % 4096 == 0
        start = len(disk) + 8192  # a gap of zeros
        expected.append(plan.notes["members"] + 1)
    path = tmp_path / "disk.img"
    path.write_bytes(disk)
    for tool in ("tar", "bsdtar"):
        ignore = ["-i"] if tool == "tar" else ["--options", "read_concatenated_archives"]
        run = subprocess.run(
            [tool, "-t", *ignore, "-f", path], capture_output=True, text=True, env=UNIX, check=False
        )
        assert (run.returncode, run.stderr) == (0, "")
        assert len(run.stdout.splitlines()) == sum(expected)
