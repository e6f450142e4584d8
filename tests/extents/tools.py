"""What other tools say of whole volumes: owners of all clusters, free clusters, fragments."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path

import numpy as np

from sbtk.extents.map import ExtentMap
from sbtk.ntfs.tables import Tables
from sbtk.volume import read_tables
from tests.corpus import volume
from tests.oracles.commands import ENVIRONMENT, output_of
from tests.oracles.ntfsinfo import MARK, dump

_RUN = re.compile(r"\t\t(\d+)\t(\d+)-(\d+) \((\d+)\)")
_TOTAL = re.compile(r"^Total runs: (\d+) \(fragments: (\d+)\)", re.MULTILINE)


@cache
def scanned(name: str) -> tuple[Tables, ExtentMap]:
    """A volume of the corpus, scanned once."""
    tables = read_tables(volume(name).image)
    return tables, ExtentMap.from_tables(tables)


class ClusterTable:
    """``ntfscluster -f -v -c 0-LAST``: for every cluster its record, attribute type and VCN.

    Attributes:
        record, attribute_type, vcn: (clusters,) int64, -1 where the tool names no owner.
        paths: record -> paths that the tool names it by.
    """

    def __init__(self, image: Path, total_clusters: int) -> None:
        command = ["ntfscluster", "-f", "-v", "-c", f"0-{total_clusters - 1}", str(image)]
        done = subprocess.run(command, capture_output=True, env=ENVIRONMENT, check=False)
        pairs = re.findall(rb"Inode (\d+) is an extent of inode (\d+)\.", done.stderr)
        base = {int(extension): int(record) for extension, record in pairs}
        self.record, self.attribute_type, self.vcn = (
            np.full(total_clusters, -1, np.int64) for _ in range(3)
        )
        self.paths: dict[int, set[str]] = {}
        record = attribute_type = -1
        for line in done.stdout.decode("utf-8", "surrogateescape").split("\n"):
            if line.startswith("Inode: "):
                record = base.get(int(line[7:]), int(line[7:]))
            elif line.startswith("\t[0x"):
                attribute_type = int(line[2:].partition("]")[0], 16)
            elif run := _RUN.fullmatch(line):
                vcn, first, last, clusters = map(int, run.groups())
                assert last - first + 1 == clusters
                self.record[first : last + 1] = record
                self.attribute_type[first : last + 1] = attribute_type
                self.vcn[first : last + 1] = np.arange(vcn, vcn + clusters)
            elif line.startswith("Inode "):
                path = line.partition(" /")[2].rpartition("/$")[0]
                self.paths.setdefault(record, set()).add(path)


def bitmap_by_ntfscat(image: Path, total_clusters: int) -> np.ndarray:
    """(clusters,) bool: the bits of $Bitmap as ntfs-3g reads them."""
    command = ["ntfscat", "-f", "-i", "6", str(image)]
    octets = subprocess.run(command, capture_output=True, env=ENVIRONMENT, check=True).stdout
    bits = np.unpackbits(np.frombuffer(octets, np.uint8), bitorder="little")
    return bits[:total_clusters].astype(bool)


def free_by_blkls(image: Path) -> np.ndarray:
    """Free clusters as The Sleuth Kit lists them."""
    lines = output_of("blkls", "-f", "ntfs", "-l", image).split("\n")[3:]
    return np.array([int(line[:-2]) for line in lines if line.endswith("|f")], np.int64)


def totals_by_ntfsinfo(image: Path, records: list[int]) -> dict[int, tuple[int, int]]:
    """Record -> (runs with holes, fragments) of all its attributes."""
    totals = {}
    for section in dump(image, records).split(MARK)[1:]:
        number, _, body = section.partition("\n")
        if found := _TOTAL.search(body):
            totals[int(number)] = int(found[1]), int(found[2])
    return totals
