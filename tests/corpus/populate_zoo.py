"""Fill a mounted ntfs-3g volume with one of everything; prints what the tools refused as JSON.

usage: python populate_zoo.py MOUNTPOINT [--compressed] [--no-frag]
       python populate_zoo.py MOUNTPOINT --again

Every byte of content comes from one seeded generator, so two builds differ in serial number and
times only.
"""

from __future__ import annotations

import json
import os
import random
import struct
import sys
from collections.abc import Callable
from pathlib import Path

SEED = 1
SIZES = (1, 100, 400, 600, 690, 700, 720, 800, 1023, 1024, 1025, 4095, 4096, 4097, 65536, 300_000)
ATTRIBUTE_COMPRESSED_ARCHIVE = 0x820
BIG_FOLDER_FILES = 1500
FILLERS_AT_MOST = 4000
RECORD_BYTES_AT_MOST = 4096
LARGE_VOLUME_BYTES = 128 << 20
TAG_MOUNT_POINT = 0xA0000003
TAG_WOF = 0x80000017


class Zoo:
    """One volume being filled: where it is mounted, its random bytes, and what was refused."""

    def __init__(self, mountpoint: str) -> None:
        self.root = Path(mountpoint)
        self.random = random.Random(SEED)
        self.notes: dict[str, str | int] = {}

    def blob(self, count: int) -> bytes:
        return self.random.randbytes(count)

    def put(self, path: str, data: bytes) -> Path:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        return target

    def attempt(self, what: str, act: Callable[[], object]) -> None:
        """Do what some volumes cannot; a refusal is a note that the corpus tests look at."""
        try:
            act()
        except OSError as error:
            self.notes[what] = str(error.strerror)


def plain(zoo: Zoo) -> None:
    zoo.put("plain/empty.txt", b"")
    for count in SIZES:
        zoo.put(f"plain/size_{count}.bin", zoo.blob(count))
    times = zoo.put("plain/times.txt", b"t")
    os.utime(times, ns=(1_234_567_890_123_456_700, 987_654_321_987_654_300))
    oid = zoo.put("plain/with_object_id.txt", b"oid")
    zoo.attempt("oid", lambda: os.setxattr(oid, "system.ntfs_object_id", zoo.blob(16)))
    with_ea = zoo.put("plain/with_ea.txt", b"ea")
    entry = struct.pack("<IBBH", 0, 0, 3, 5) + b"FOO\0" + b"hello"
    entry += bytes(-len(entry) % 4)
    value = struct.pack("<I", len(entry)) + entry[4:]
    zoo.attempt("ea", lambda: os.setxattr(with_ea, "system.ntfs_ea", value))


def hard_links(zoo: Zoo) -> None:
    """Three names in two folders; and sixty on one file, so that names move to extensions."""
    first = zoo.put("links/a.txt", b"three names" * 10)
    (zoo.root / "links/sub").mkdir()
    os.link(first, zoo.root / "links/b.txt")
    os.link(first, zoo.root / "links/sub/c.txt")
    many = zoo.put("links/many_000.dat", zoo.blob(9000))
    for i in range(1, 60):
        os.link(many, zoo.root / f"links/many_{i:03d}_a_rather_long_hard_link_name.dat")
    # What is left in a small record takes the attribute list, which stays resident, but not the
    # second name: that goes to an extension. (In a record of 4096 bytes there is room for both.)
    for count in (200, 300, 380):
        crowded = zoo.put(f"links/resident_list_{count}.bin", zoo.blob(count))
        os.link(crowded, zoo.root / ("links/" + "L" * 200 + f"_{count}"))


def named_streams(zoo: Zoo) -> None:
    host = zoo.put("ads/host.txt", b"host body")
    os.setxattr(host, "user.small", b"resident stream")
    os.setxattr(host, "user.Zone.Identifier", b"[ZoneTransfer]\r\nZoneId=3\r\n")
    os.setxattr(host, "user.big", zoo.blob(40_000))
    os.setxattr(host, "user.\U0001f600 strøm", b"a name outside the BMP")
    folder = zoo.root / "ads/dir_with_stream"
    folder.mkdir()
    os.setxattr(folder, "user.ondir", b"stream on a directory")
    many = zoo.put("ads/many.txt", b"x")
    crowded = zoo.root / "ads/dir_with_many_streams"
    crowded.mkdir()
    for i in range(40):
        os.setxattr(many, f"user.stream_number_{i:02d}", b"s%d" % i)
        os.setxattr(crowded, f"user.stream_number_{i:02d}", b"d%d" % i)
    zoo.put("ads/dir_with_many_streams/child.txt", b"found through an $INDEX_ROOT that moved")


def sparse(zoo: Zoo) -> None:
    folder = zoo.root / "sparse"
    folder.mkdir()
    with (folder / "head.bin").open("wb") as file:
        file.seek(3_000_000)
        file.write(b"tail after a 3 MB hole")
    with (folder / "swiss.bin").open("wb") as file:
        for k in range(40):
            file.seek(k * 300_000)
            file.write(zoo.blob(5000))
    with (folder / "all_hole.bin").open("wb") as file:
        file.truncate(5_000_000)
    room = os.statvfs(zoo.root)
    volume_bytes = room.f_blocks * room.f_frsize
    if volume_bytes < LARGE_VOLUME_BYTES:  # reading it all is what costs, in every test
        with (folder / "larger_than_volume.bin").open("wb") as file:
            file.truncate(volume_bytes + 1_000_000)


def compressed(zoo: Zoo) -> None:
    folder = zoo.root / "comp"
    folder.mkdir()
    os.setxattr(folder, "system.ntfs_attrib_be", struct.pack(">I", ATTRIBUTE_COMPRESSED_ARCHIVE))
    lines = (b"%08d the quick brown fox jumps over the lazy dog\n" % i for i in range(12_000))
    zoo.put("comp/text.log", b"".join(lines))
    zoo.put("comp/random.bin", zoo.blob(400_000))  # units that do not compress are stored raw
    zoo.put("comp/zeros.bin", bytes(1_000_000))  # units of zeros are holes
    mixed = (zoo.blob(70_000) if k % 2 else b"A" * 90_000 for k in range(12))
    zoo.put("comp/mixed.bin", b"".join(mixed))
    zoo.put("comp/tiny.txt", b"resident compressed")
    with (folder / "holey.bin").open("wb") as file:
        file.write(b"B" * 100_000)
        file.seek(1_500_000)
        file.write(b"C" * 100_000)


def names(zoo: Zoo) -> None:
    zoo.put("names/unicode/日本語ファイル名.txt", "日本".encode())
    zoo.put("names/unicode/emoji_\U0001f600_surrogate.txt", b"astral plane")
    zoo.put("names/unicode/e\u0301_decomposed.txt", b"nfd")
    zoo.put("names/unicode/\u00e9_composed.txt", b"nfc")
    zoo.put("names/unicode/Ünïcödé ČŽŠ ελληνικά.txt", b"mixed")
    zoo.put("names/" + "L" * 255, b"255 ascii")
    zoo.put(
        "names/" + "長" * 255, b"255 characters of three bytes: too long for other file systems"
    )
    zoo.put("names/" + "\U0001f600" * 127 + "x", b"255 units of UTF-16")
    zoo.put("names/case/File.txt", b"F")
    zoo.attempt("case", lambda: zoo.put("names/case/file.TXT", b"f"))
    for name in ("trailing dot.", "trailing space ", 'q?*<>|".txt', "CON", "back\\slash", "a:b"):
        zoo.attempt(f"name {name}", lambda n=name: zoo.put(f"names/posix_only/{n}", b"illegal"))
    for i in range(12):
        path = zoo.put(f"names/dos/A long file name number {i}.document", b"dos %d" % i)
        short = b"ALONGF~%d.DOC" % i if i < 10 else b"ALONG~%d.DOC" % i
        os.setxattr(path, "system.ntfs_dos_name", short)


def deep(zoo: Zoo) -> None:
    folders = "/".join(f"level_{i:02d}" for i in range(60))
    zoo.put(f"deep/{folders}/bottom.txt", b"the bottom")


def big_folder(zoo: Zoo) -> None:
    """A folder whose index has several levels."""
    for i in range(BIG_FOLDER_FILES):
        zoo.put(f"bigdir/entry_{i:05d}_{zoo.random.getrandbits(40):010x}.tmp", b"%d" % i)


def reparse_points(zoo: Zoo) -> None:
    folder = zoo.root / "reparse"
    folder.mkdir()
    (folder / "rel_link").symlink_to("../plain/size_100.bin")
    (folder / "dir_link").symlink_to("/plain")
    os.mkfifo(folder / "fifo")
    os.mknod(folder / "chardev", 0o20600, os.makedev(1, 3))
    (folder / "junction").mkdir()
    target, shown = "\\??\\C:\\plain".encode("utf-16le"), "C:\\plain".encode("utf-16le")
    places = struct.pack("<HHHH", 0, len(target), len(target) + 2, len(shown))
    body = places + target + b"\0\0" + shown + b"\0\0"
    set_reparse(zoo, folder / "junction", TAG_MOUNT_POINT, body)
    # A file as Windows keeps it after "compact /exe": its content is in another stream.
    wof = zoo.put("reparse/wof.bin", b"")
    os.truncate(wof, 12_288)
    os.setxattr(wof, "user.WofCompressedData", zoo.blob(3000))
    set_reparse(zoo, wof, TAG_WOF, struct.pack("<IIII", 1, 2, 1, 0))


def set_reparse(zoo: Zoo, path: Path, tag: int, body: bytes) -> None:
    value = struct.pack("<IHH", tag, len(body), 0) + body
    zoo.attempt(
        f"reparse {path.name}", lambda: os.setxattr(path, "system.ntfs_reparse_data", value)
    )


def deleted(zoo: Zoo) -> None:
    """Freed records keep names and run lists; ``again`` uses some of them again."""
    paths = [
        zoo.put(f"deleted/del_{i:02d}.bin", zoo.blob(100 if i % 2 else 20_000)) for i in range(50)
    ]
    for path in paths:
        path.unlink()
    zoo.put("deleted/survivor.txt", b"what is left of the folder")


def again(zoo: Zoo) -> None:
    """Takes freed records (sequence > 1), which ntfs-3g looks for after a new mount."""
    for i in range(20):
        zoo.put(f"deleted/again_{i:02d}.txt", b"I use a freed record")


def fragmented(zoo: Zoo) -> None:
    """Fill the volume with files of two clusters, take one from each, write a file into the holes.

    The allocator chooses where each filler goes; what it frees is single clusters all the same.
    """
    room = os.statvfs(zoo.root)
    cluster_bytes = room.f_frsize
    bytes_each = 2 * cluster_bytes + RECORD_BYTES_AT_MOST
    count = min(int(room.f_bavail * cluster_bytes * 0.8) // bytes_each, FILLERS_AT_MOST)
    fillers = [
        zoo.put(f"filler/f{i:05d}", bytes([i & 255]) * (2 * cluster_bytes)) for i in range(count)
    ]
    blocker = zoo.root / "filler/blocker"
    try:
        with blocker.open("wb", buffering=0) as file:
            while True:  # takes what is contiguous at the end
                file.write(b"Z" * 65536)
    except OSError as error:
        zoo.notes["fill"] = f"{count} files, then {error.strerror}"
    for path in fillers:
        os.truncate(path, cluster_bytes)
    spare = count // 20
    for path in fillers[:spare]:  # their records are what the big file extends into
        path.unlink()
    with (zoo.root / "fragmented.bin").open("wb", buffering=0) as file:
        for i in range(int(count * 0.9)):  # one by one: ntfs-3g finds no room for several at once
            file.write(struct.pack("<I", i) * (cluster_bytes // 4))
    for path in fillers[spare : count * 3 // 4]:
        path.unlink()
    blocker.unlink()


def main(mountpoint: str, *options: str) -> None:
    zoo = Zoo(mountpoint)
    if "--again" in options:
        again(zoo)
        return
    parts = [
        plain,
        hard_links,
        named_streams,
        sparse,
        names,
        deep,
        big_folder,
        reparse_points,
        deleted,
    ]
    if "--compressed" in options:
        parts.append(compressed)
    if "--no-frag" not in options:
        parts.append(fragmented)
    for part in parts:
        part(zoo)
    print(json.dumps(zoo.notes, indent=1))


if __name__ == "__main__":
    main(*sys.argv[1:])
