"""The end of a backup: closing member, end of the set on its medium, entry in the catalog."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sbtk.archive.closing import closing_bytes
from sbtk.archive.manifest import Manifest
from sbtk.errors import CatalogError, CheckConditionError, MediumFullError
from sbtk.jobs.failures import reason_of
from sbtk.jobs.medium import ALIGN_BYTES, SET_ID_FACT, Place
from sbtk.jobs.units import Disk, Tape
from sbtk.ntfs.tables import VolumeInfo
from sbtk.plan.model import Plan
from sbtk.plan.setmap import SetMap, map_of, to_parquet

if TYPE_CHECKING:
    from sbtk.jobs.run import Run
    from sbtk.jobs.work import Done
    from sbtk.ntfs.tables import Tables


@dataclass(frozen=True)
class Facts:
    """What the catalog is told beside the plan.

    Attributes:
        set_id: name of the set.
        source: location that was copied.
        location: of the medium.
        label_id: of the cartridge.
        place: of the set on it.
        info: of the volume.
    """

    set_id: str
    source: str
    location: str
    label_id: str
    place: Place
    info: VolumeInfo


def finish(run: Run, archive: Disk | Tape, done: Done, facts: Facts, tables: Tables | None) -> None:
    """Write the closing member, so that the set is one, and put it into the catalog.

    Raises:
        MediumFullError: there is no room for the closing member: there is no set.
        CatalogError: the set is whole and is not in the catalog.
    """
    plan = done.plan
    made = done.runner.has_digest
    rows = map_of(plan, {int(row): bytes(done.runner.digests[row]) for row in made.nonzero()[0]})
    content = to_parquet(
        rows,
        {
            SET_ID_FACT: facts.set_id,
            "run_id": run.run_id,
            "ended_s": f"{time.time():.3f}",
            "unreadable": json.dumps(done.flaws),
        },
    )
    with run.stage("closing"):
        try:
            run.figures.inline_bytes += _close(archive, plan, content)
        except CheckConditionError as error:
            reason = reason_of(error.sense)
            if reason is not None and reason.full:
                raise MediumFullError(
                    f"{archive.name} is full before the set's last member: it is no set",
                    hint="Use a larger medium",
                ) from error
            raise
    with run.stage("catalog"):
        try:
            _record(run, plan, facts, rows, content, tables, flawed=bool(done.flaws))
        except CatalogError as error:
            raise _not_in_catalog(plan, facts, error) from error


def _not_in_catalog(plan: Plan, facts: Facts, error: CatalogError) -> CatalogError:
    if plan.layout == "mirror":
        hint = "Mirror it again: only the catalog knows a mirror's digests"
    else:
        hint = f"When that is mended: sbtk catalog rebuild {facts.location}"
    return CatalogError(
        f"set {facts.set_id} is whole on {facts.location} and not in the catalog: {error}",
        hint=hint,
    )


def _close(archive: Disk | Tape, plan: Plan, content: bytes) -> int:
    taken_ns = Manifest.from_bytes(plan.manifest).created_ns if plan.manifest else 0
    if isinstance(archive, Tape):
        record = plan.target.record_bytes
        closing = closing_bytes(content, unit_bytes=record, mtime_ns=taken_ns)
        for start in range(0, len(closing), record):
            archive.write_record(closing[start : start + record])
        archive.write_filemark()
        return len(closing)
    archive.flush()  # the data are there before what says so
    if plan.layout == "mirror":
        return 0
    closing = closing_bytes(
        content, unit_bytes=ALIGN_BYTES, at_bytes=plan.archive_bytes, mtime_ns=taken_ns
    )
    at = plan.target.start_bytes + plan.archive_bytes
    archive.patch(at, closing)
    behind = at + len(closing)
    if behind + ALIGN_BYTES <= archive.size_bytes:
        archive.patch(behind, bytes(ALIGN_BYTES))  # what lies there is no next set
    archive.flush()
    return len(closing)


def _record(
    run: Run,
    plan: Plan,
    facts: Facts,
    rows: SetMap,
    content: bytes,
    tables: Tables | None,
    *,
    flawed: bool,
) -> None:
    from sbtk.catalog.store import Catalog, SetRecord

    manifest = plan.manifest or mirror_manifest(run, plan, facts)
    record = SetRecord(
        set_id=facts.set_id,
        run_id=run.run_id,
        created=json.loads(manifest)["created"],
        status="flawed" if flawed else "complete",
        source=facts.source,
        layout=plan.layout,
        volume_serial=facts.info.serial,
        volume_label=facts.info.label,
        medium=plan.target.medium,
        location=facts.location,
        medium_label=facts.label_id,
        start_bytes=facts.place.start_bytes,
        first_object=facts.place.first_object,
        file_number=facts.place.file_number,
        archive_bytes=plan.archive_bytes,
        moved_bytes=run.figures.moved_bytes,
        has_digests=bool(rows.has_digest is not None and rows.has_digest.any()),
        manifest=manifest,
    )
    with Catalog.open() as catalog:
        catalog.record_set(record, content, tables)


def mirror_manifest(run: Run, plan: Plan, facts: Facts) -> bytes:
    """What a set says of itself, for a mirror, which has no place for it on its medium."""
    import dataclasses

    import sbtk

    created = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(run.started_s))
    return Manifest(
        set_id=facts.set_id,
        created=created,
        sbtk_version=sbtk.__version__,
        layout=plan.layout,
        geometry=plan.geometry,
        volume=dataclasses.asdict(facts.info),
        limits=plan.limits.to_dict(),
        medium={"medium": "disk", "block_bytes": plan.target.block_bytes, "record_bytes": 0},
        notes={"source": facts.source, "run_id": run.run_id},
    ).to_bytes()
