"""Make data/samples/: three NTFS volumes with the truth about them, both from other people's tools.

usage, as root, from the repository: python -m tools.make_samples [NAME...]

mkntfs, ntfslabel, ntfs-3g, ntfsfallocate and sfdisk make each image; ntfsinfo and a read-only
ntfs-3g mount tell what is in it (tools/sample_truth.py). Names, content and most times of files are
the same in every run, times of record changes are not: the committed files change only when someone
runs this.
"""

from __future__ import annotations

import json
import lzma
import os
import random
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.corpus.build import READ_ONLY, WRITABLE, mounted, run
from tools.sample_truth import truth_of

SAMPLES = Path(__file__).resolve().parents[1] / "data" / "samples"
MIB = 1 << 20
PARTITION_LBA = 2048
NTFS_TIMES = "system.ntfs_times"  # created, modified, accessed, changed: 100 ns since 1601
COMPRESSED_FOLDER = ("system.ntfs_attrib_be", struct.pack(">I", 0x0810))
FIRST_TIME = 134_200_000_000_000_000  # in spring 2026

WORDS = """
agreed array backup budget cartridge cluster contract copy customer delivery disk draft extent
finance invoice journal letter meeting minutes notes offer office order plan quarter quote report
restore review schedule server share snapshot status storage tape team volume
"""


class Tree:
    """A folder that is being filled, with random content that is the same in every run."""

    def __init__(self, root: Path, seed: int) -> None:
        self.root = root
        self.random = random.Random(seed)

    def text(self, size_bytes: int) -> bytes:
        """Lines of words, which compress as letters do."""
        lines: list[str] = []
        size = 0
        while size < size_bytes:
            words = self.random.choices(WORDS.split(), k=self.random.randrange(6, 14))
            lines.append(" ".join(words).capitalize() + ".\n")
            size += len(lines[-1])
        return "".join(lines).encode()[:size_bytes]

    def packed(self, size_bytes: int) -> bytes:
        """Bytes without a pattern, as in a picture or a zipped document."""
        return self.random.randbytes(size_bytes)

    def put(self, name: str, data: bytes) -> Path:
        """Write a file, and the folders above it."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def append(self, name: str, data: bytes) -> None:
        """Open a file once more and write at its end."""
        with (self.root / name).open("ab") as file:
            file.write(data)

    def stream(self, name: str, stream: str, data: bytes) -> None:
        """Write a named stream."""
        os.setxattr(self.root / name, f"user.{stream}", data)


def fill_office(tree: Tree) -> None:
    """A small office: documents, mail, pictures, a compressed archive, logs that grew in turns."""
    tree.put("README.txt", b"Office share. Ask Anna before you delete anything.\r\n")
    for year in (2024, 2025, 2026):
        for quarter in range(1, 5):
            name = f"Documents/Reports/{year} Q{quarter} report.docx"
            tree.put(name, tree.packed(tree.random.randrange(6_000, 22_000)))
    for number in range(1, 25):
        tree.put(f"Documents/Letters/letter {number:03d}.txt", tree.text(160 + 90 * number))
    tree.put("Documents/Größe und Maße.txt", "Maße in Zentimetern\n".encode())
    tree.put("Documents/資料/予算 2026.csv", "部門,予算\n総務,1200\n".encode())
    tree.put("Documents/party 🎉.txt", b"Friday at five\n")
    tree.put("Documents/" + "a name of 255 characters ".ljust(251, "x") + ".txt", b"long\n")
    tree.put("Downloads/setup.exe", b"MZ" + tree.packed(48_000))
    tree.stream("Downloads/setup.exe", "Zone.Identifier", b"[ZoneTransfer]\r\nZoneId=3\r\n")
    tree.stream("Downloads/setup.exe", "scan.report", tree.text(20_000))
    tree.stream("Downloads", "view.settings", b"columns=name,size")
    for number in range(1, 6):
        tree.put(f"Pictures/IMG_{number:04d}.JPG", b"\xff\xd8\xff" + tree.packed(40_000))
    (tree.root / "Shared").mkdir()
    for name in ("contract (signed).pdf", "contract for print.pdf"):
        source = tree.root / "Documents/contract.pdf"
        if not source.exists():
            tree.put("Documents/contract.pdf", b"%PDF-1.7\n" + tree.packed(30_000))
        os.link(source, tree.root / "Shared" / name)
    fill_office_specials(tree)
    interleave(tree, ["Logs/server.log", "Logs/mail.log", "Logs/backup.log"], rounds=60)
    for number in range(40):
        tree.put(f"Temp/~tmp{number:03d}.tmp", tree.packed(4_000 if number % 2 else 300))
    for number in range(0, 40, 3):
        (tree.root / f"Temp/~tmp{number:03d}.tmp").unlink()


def fill_office_specials(tree: Tree) -> None:
    """The compressed folder, the sparse files, and what a backup leaves out."""
    archive = tree.root / "Archive 2019 (compressed)"
    archive.mkdir()
    os.setxattr(archive, *COMPRESSED_FOLDER)
    tree.put(f"{archive.name}/mails.mbox", tree.text(600_000))
    tree.put(f"{archive.name}/scans.tif", tree.packed(90_000) + bytes(200_000) + tree.text(40_000))
    tree.put(f"{archive.name}/zeros.dat", bytes(300_000))
    tree.put(f"{archive.name}/note.txt", b"resident although compressed\n")
    with tree.put("Databases/ledger.mdb", tree.packed(9_000)).open("r+b") as file:
        for position in (1_000_000, 2_500_000, 7_777_777):
            file.seek(position)
            file.write(tree.text(5_000))
    with tree.put("Databases/reserve.dat", b"").open("r+b") as file:
        file.truncate(5_000_000)
    tree.put("Databases/journal.db", tree.text(4_500))  # grown behind its content: ``lengthen``
    tree.put("pagefile.sys", tree.text(3_000) * 350)


def fill_array(tree: Tree) -> None:
    """A project share on an array's LUN: many small files, a database, links."""
    for project in range(12):
        for number in range(25):
            name = f"projects/p{project:02d}/src/module_{number:02d}.c"
            tree.put(name, tree.text(tree.random.randrange(100, 3_000)))
        tree.put(f"projects/p{project:02d}/build.bin", tree.packed(12_000))
        os.link(tree.root / f"projects/p{project:02d}/build.bin", tree.root / f"p{project:02d}.bin")
    interleave(tree, [f"db/table{number}.dat" for number in range(4)], rounds=30)


def fill_camera(tree: Tree) -> None:
    """A camera's store with clusters of 64 KiB: few large files, and small ones beside them."""
    for number in range(1, 7):
        tree.put(f"DCIM/100MEDIA/DSC{number:05d}.JPG", b"\xff\xd8\xff" + tree.packed(90_000))
        tree.put(f"DCIM/100MEDIA/DSC{number:05d}.XMP", tree.text(400))
    tree.put("DCIM/100MEDIA/CLIP0001.MP4", (b"\0\0\0\x20ftypmp42" + tree.packed(4_000)) * 700)
    (tree.root / "DCIM/100MEDIA/DSC00004.JPG").unlink()
    tree.put("DCIM/100MEDIA/CLIP0002.MP4", tree.packed(150_000))
    tree.put("PRIVATE/INDEX.BDM", bytes(70_000))


def interleave(tree: Tree, names: list[str], rounds: int) -> None:
    """Let files grow in turns: ntfs-3g keeps an open file in one piece, a reopened one not."""
    for name in names:
        tree.put(name, tree.text(5_000))
    for _ in range(rounds):
        for name in names:
            tree.append(name, tree.text(tree.random.randrange(1_000, 6_000)))


def lengthen(image: Path) -> None:
    """Give one file a data size behind its initialised size, as a database does."""
    run("ntfsfallocate", "-f", "-q", "-l", "150000", image, "Databases/journal.db")


@dataclass(frozen=True)
class Sample:
    """One sample: its volume, what fills it, and the partition table around it."""

    volume_mib: int
    cluster_bytes: int
    serial: str  # 16 hexadecimal digits; mkntfs -T would give all volumes the same one
    fill: Callable[[Tree], None]
    table: str = ""  # sfdisk script; empty for a volume without a partition table
    disk_mib: int = 0
    after: Callable[[Path], None] | None = None


GPT = """\
label: gpt
label-id: 5B745B6B-0001-4000-8000-000000000001
first-lba: 2048
start=2048, size={sectors}, type=EBD0A0A2-B9E5-4433-87C0-68B6B72699C7, \
uuid=5B745B6B-0002-4000-8000-000000000002, name="array data"
"""
MBR = "label: dos\nlabel-id: 0x5b745b6b\nstart=2048, size={sectors}, type=7\n"

RECIPES = {
    "office.ntfs": Sample(24, 4096, "5B746B0FF1CE0001", fill_office, after=lengthen),
    "array.gpt": Sample(16, 4096, "5B746BA88A100002", fill_array, table=GPT, disk_mib=18),
    "camera.mbr": Sample(30, 65536, "5B746BCA3E8A0003", fill_camera, table=MBR, disk_mib=32),
}


def set_times(root: Path) -> None:
    """Give every file and folder the same times in every run."""
    for number, path in enumerate(sorted(root.rglob("*"), reverse=True)):
        modified = FIRST_TIME + number * 600_000_000
        times = (FIRST_TIME, modified, modified + 10, modified + 1)
        os.setxattr(path, NTFS_TIMES, struct.pack("<4Q", *times))


def make_volume(name: str, sample: Sample, image: Path) -> None:
    size_bytes = sample.volume_mib * MIB
    with image.open("wb") as file:
        file.truncate(size_bytes)
    start = PARTITION_LBA if sample.table else 0
    geometry = ("-c", str(sample.cluster_bytes), "-s", "512", "-p", str(start), "-H", "255")
    label = ("-q", "-f", "-F", "-T", "-L", name.partition(".")[0])
    run("mkntfs", *label, *geometry, "-S", "63", image, str(size_bytes // 512))
    run("ntfslabel", "-f", f"--new-serial={sample.serial}", image)
    with mounted(image, WRITABLE) as folder:
        sample.fill(Tree(folder, seed=len(name)))
        set_times(folder)
    if sample.after:
        sample.after(image)


def make_disk(sample: Sample, volume: Path, disk: Path) -> dict[str, int | str]:
    """Put the volume into a partition; what sfdisk says of it."""
    sectors = volume.stat().st_size // 512
    with disk.open("wb") as file:
        file.truncate(sample.disk_mib * MIB)
    script = sample.table.format(sectors=sectors)
    subprocess.run(["sfdisk", "-q", str(disk)], input=script, text=True, check=True)
    table = json.loads(run("sfdisk", "-J", disk))["partitiontable"]
    with disk.open("r+b") as file:
        file.seek(PARTITION_LBA * 512)
        file.write(volume.read_bytes())
    entry = table["partitions"][0]
    return {
        "scheme": "gpt" if table["label"] == "gpt" else "mbr",
        "number": 1,
        "first_lba": entry["start"],
        "blocks": entry["size"],
    }


def make(name: str) -> None:
    sample = RECIPES[name]
    with tempfile.TemporaryDirectory(prefix="sbtk-samples-") as scratch:
        volume = Path(scratch) / "volume.img"
        make_volume(name, sample, volume)
        with mounted(volume, READ_ONLY) as folder:
            truth = truth_of(volume, folder)
        image = volume
        truth["volume"]["serial"] = sample.serial
        truth["partition"] = None
        if sample.table:
            image = Path(scratch) / "disk.img"
            truth["partition"] = make_disk(sample, volume, image)
        packed = lzma.compress(image.read_bytes(), preset=9 | lzma.PRESET_EXTREME)
    (SAMPLES / f"{name}.img.xz").write_bytes(packed)
    text = json.dumps(truth, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    (SAMPLES / f"{name}.truth.json").write_text(
        text.replace('{"attributes"', '\n{"attributes"') + "\n"
    )
    print(f"{name}: {len(packed)} bytes, {len(truth['records'])} records")


if __name__ == "__main__":
    SAMPLES.mkdir(parents=True, exist_ok=True)
    for wanted in sys.argv[1:] or RECIPES:
        make(wanted)
