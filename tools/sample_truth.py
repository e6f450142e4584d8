"""What other tools say of an NTFS volume: ntfsinfo attributes and runs, a mount the content."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import subprocess
from pathlib import Path
from typing import Any

Json = dict[str, Any]

_ATTRIBUTE = re.compile(r"Dumping attribute (\S+) \(0x([0-9a-f]+)\) from mft record (\d+)")
_FIELD = re.compile(
    r"^\t([A-Z][\w .]*?):? *\t+ ?(.*?) *$", re.MULTILINE
)  # "Lowest VCN" has no colon
_RUN = re.compile(r"\t\t\t0x([0-9a-f]+)\t\t(<HOLE>|0x[0-9a-f]+)\t\t0x([0-9a-f]+)")
_NUMBERS = {
    "Data size": "data_bytes",
    "Allocated size": "allocated_bytes",
    "Initialized size": "initialized_bytes",
    "Attribute instance": "instance",
    "Lowest VCN": "lowest_vcn",
}


def truth_of(image: Path, mountpoint: Path) -> Json:
    """Everything about a volume that our tables and our reading are compared with."""
    return {
        "volume": volume_facts(image),
        "records": map_records(image),
        "paths": [path_facts(mountpoint, path) for path in walk(mountpoint)],
    }


def ntfsinfo(image: Path, *options: str) -> tuple[int, str]:
    done = subprocess.run(
        ["ntfsinfo", "-f", *options, str(image)], capture_output=True, check=False
    )
    return done.returncode, done.stdout.decode(errors="surrogateescape")


def volume_facts(image: Path) -> Json:
    """Geometry and free clusters, from ntfsinfo -m."""
    _, text = ntfsinfo(image, "-m")
    facts = {key.strip(): value.strip() for key, _, value in (
        line.partition(":") for line in text.splitlines()
    )}  # fmt: skip
    return {
        "label": facts["Volume Name"],
        "version": facts["Volume Version"],
        "sector_bytes": int(facts["Sector Size"]),
        "cluster_bytes": int(facts["Cluster Size"]),
        "record_bytes": int(facts["MFT Record Size"]),
        "total_clusters": int(facts["Volume Size in Clusters"]),
        "free_clusters": int(facts["Free Clusters"].split()[0]),
        "bytes_of_image": image.stat().st_size,
    }


def map_records(image: Path) -> list[Json]:
    """Every in-use base record with its attributes, from ntfsinfo -v -i N."""
    _, text = ntfsinfo(image, "-v", "-i", "0")
    mft = next(item for item in parse_attributes(text) if item["type"] == 0x80)
    record_bytes = volume_facts(image)["record_bytes"]
    records = []
    for number in range(mft["data_bytes"] // record_bytes):
        code, text = ntfsinfo(image, "-v", "-i", str(number))
        if code == 0 and re.search(r"MFT Record Flags:.*\bIN_USE\b", text):
            records.append({"attributes": parse_attributes(text), "record": number})
    return records


def parse_attributes(text: str) -> list[Json]:
    """The attributes of one dump; the pieces of one attribute are put together."""
    found: list[Json] = []
    for block in re.split(r"(?=^Dumping attribute )", text, flags=re.MULTILINE)[1:]:
        head = _ATTRIBUTE.match(block)
        if head is None:
            raise ValueError(f"ntfsinfo said {block.splitlines()[0]!r}")
        item: Json = {"type": int(head[2], 16), "name": "", "resident": True, "runs": []}
        for label, value in _FIELD.findall(block):
            if label in _NUMBERS and _NUMBERS[label] not in item:
                item[_NUMBERS[label]] = int(value.split()[0])
            elif label == "Attribute name":
                item["name"] = value.strip("'")
            elif label == "Resident":
                item["resident"] = value == "Yes"
            elif label == "Attribute flags":
                item["flags"] = int(value, 16)
        item["runs"] = [
            [int(vcn, 16), -1 if lcn == "<HOLE>" else int(lcn, 16), int(clusters, 16)]
            for vcn, lcn, clusters in _RUN.findall(block)
        ]
        _add(found, item)
    return found


def _add(found: list[Json], item: Json) -> None:
    """Add an attribute, or the runs of a further piece to the attribute that it continues."""
    if not item["resident"] and item.pop("lowest_vcn"):
        whole = next(
            one
            for one in found
            if (one["type"], one["name"], one["resident"]) == (item["type"], item["name"], False)
        )
        whole["runs"] += item["runs"]
        return
    item.pop("instance", None)
    found.append(item)


def walk(mountpoint: Path) -> list[Path]:
    return sorted(mountpoint.rglob("*"))


def path_facts(mountpoint: Path, path: Path) -> Json:
    """One path as the mount shows it: record, size, digest, named streams."""
    status = path.lstat()
    facts: Json = {
        "path": path.relative_to(mountpoint).as_posix(),
        "record": status.st_ino,
        "is_directory": stat.S_ISDIR(status.st_mode),
        "streams": {
            name.removeprefix("user."): digest(os.getxattr(path, name))
            for name in sorted(os.listxattr(path))
            if name.startswith("user.")
        },
    }
    if stat.S_ISREG(status.st_mode):
        try:
            facts |= {"size_bytes": status.st_size, "sha256": digest(path.read_bytes())}
        except OSError:  # $Extend/$ObjId and its like have no unnamed $DATA
            facts["size_bytes"] = 0
    return facts


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
