"""What holds in every run, whatever its end: read off the appliance's journal, its jobs and its rows."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence

from appliance_simulator.journal import Effect, Request
from tests.matrix.expected import ORDER
from tests.matrix.stage import Found, Rows, Stage, torn_snapshot_rows

OVERLAP_TOLERANCE = 0.001
UNSEEN_SECONDS = 1.0
"""An effect that nobody has asked for, this long before a request, cannot have been seen by who sent it."""
GROWING = frozenset({"job_tracking", "job_steps", "log_events", "volume_operations"})
COMING_AND_GOING = frozenset({"device_mappings", "nbd_exports"})


async def violations(stage: Stage, after: Found) -> list[str]:
    """Every rule that was broken since the first run began; empty when all is well."""
    found = [*_order(stage), *_overlaps(stage), *_foreign_objects(stage, after), *_rows(stage, after)]
    found += [
        f"{volume}: a row with snapshot_id and without status or time"
        for volume in await torn_snapshot_rows(stage.appliance)
    ]
    return found


def _order(stage: Stage) -> Iterator[str]:
    """Rules 10, 12 and 14, effect by effect."""
    oma = stage.appliance.oma_vm_id
    holders = dict(stage.found.holders)
    reverted: set[str] = set()
    late: dict[str, float] = {}
    points = {v: stage.built.snapshot_ids.get(v) for v in stage.volume_ids}
    for entry in stage.appliance.journal.entries[stage.found.entries :]:
        if isinstance(entry, Request):
            if entry.command in ("destroyVirtualMachine", "expungeVirtualMachine"):
                away = [v for v, vm in holders.items() if vm != oma and entry.time > late.get(v, 0) + UNSEEN_SECONDS]
                if away:
                    yield f"{entry.command} while {', '.join(away)} is not on the OMA"
            continue
        match entry:
            case Effect(kind="attached", object_id=volume) if volume in holders:
                holders[volume] = entry.details["virtualmachineid"]
                if holders[volume] != oma:
                    yield f"{volume} was attached to {holders[volume]}"
            case Effect(kind="detached", object_id=volume) if volume in holders:
                holders[volume] = None
                if "late" in entry.details:
                    late[volume] = entry.time
            case Effect(kind="reverted", object_id=volume):
                if holders.get(volume, oma) is not None:
                    yield f"{volume} was reverted while attached"
                if entry.details["snapshotid"] != points.get(volume):
                    yield f"{volume} was reverted to {entry.details['snapshotid']}, which is not its restore point"
                reverted.add(volume)
            case Effect(kind="snapshot-deleted", object_id=snapshot):
                volume = entry.details["volumeid"]
                backed_up = stage.found.cloud[snapshot]["state"] == "BackedUp"
                if backed_up and volume not in reverted:
                    yield f"BackedUp snapshot {snapshot} was deleted without a revert of {volume}"
            case Effect(kind="volume-destroyed", object_id=volume) if volume in holders:
                yield f"{volume} was destroyed"


def _overlaps(stage: Stage) -> Iterator[str]:
    """Never two requests on one volume at once, from the moment one arrives until its work is over."""
    appliance = stage.appliance
    spans: dict[str, list[tuple[float, float, str]]] = defaultdict(list)
    for entry in appliance.journal.entries[stage.found.entries :]:
        if not isinstance(entry, Request) or not entry.executed or entry.job_id is None:
            continue
        volume = stage.snapshots.get(entry.object_ids[0], entry.object_ids[0])
        job = appliance.jobs.jobs.get(entry.job_id)
        if volume not in stage.volume_ids or job is None:
            continue
        spans[volume].append((entry.time, job.completed or float("inf"), entry.command))
    for volume, known in spans.items():
        known.sort()
        for (_, end, earlier), (start, _, later) in itertools.pairwise(known):
            if start < end - OVERLAP_TOLERANCE:
                yield f"{later} of {volume} was sent while its {earlier} was running"


def _foreign_objects(stage: Stage, after: Found) -> Iterator[str]:
    """Every VM, volume and snapshot that is not of the incident is what it was, field by field."""
    ours = {*stage.volume_ids, *stage.built.snapshot_ids.values()}
    if stage.built.destination_vm_id is not None:
        ours.add(stage.built.destination_vm_id)
        ours |= {
            object_id
            for object_id, thing in stage.found.cloud.items()
            if thing.get("virtualmachineid") == stage.built.destination_vm_id
        }
    for object_id, before in stage.found.cloud.items():
        if object_id not in ours and after.cloud[object_id] != before:
            yield f"foreign object changed: {before} became {after.cloud[object_id]}"
    for object_id in after.cloud.keys() - stage.found.cloud.keys():
        yield f"object appeared: {after.cloud[object_id]}"


def _rows(stage: Stage, after: Found) -> Iterator[str]:
    """No foreign row differs by a byte, and no row goes but mappings and exports of our volumes (rule 16)."""
    context = stage.built.vm.context_id
    jobs = {
        key[0]
        for rows in (stage.found.rows, after.rows)
        for key, row in rows["job_tracking"].items()
        if row["context_id"] == context or _names_our_vm(rows, key[0], stage.case.vm_name)
    }
    for table, before in stage.found.rows.items():
        now = after.rows[table]
        for key, row in before.items():
            ours = (
                row.get("vm_context_id") == context
                or row.get("context_id") == context
                or row.get("job_id") in jobs
                or (table == "job_tracking" and key[0] in jobs)
                or row.get("volume_id") in stage.volume_ids
                or row.get("volume_uuid") in stage.volume_ids
            )
            if key not in now:
                if table not in COMING_AND_GOING or not ours:
                    yield f"row {key} of {table} was deleted"
            elif now[key] != row and not ours:
                yield f"foreign row {key} of {table} changed"
        if table not in GROWING | COMING_AND_GOING and now.keys() - before.keys():
            yield f"rows appeared in {table}: {sorted(now.keys() - before.keys())}"


def _names_our_vm(rows: Rows, job_id: str, vm_name: str) -> bool:
    """Whether the log of a job of the product that names no context says that it is about our VM."""
    if rows["job_tracking"][(job_id,)]["context_id"] is not None:
        return False
    logged = (row["attrs"] for row in rows["log_events"].values() if row["job_id"] == job_id)
    return any(isinstance(attrs, dict) and attrs.get("vm_name") == vm_name for attrs in logged)


def target(stage: Stage, after: Found) -> list[str]:
    """What differs from a recovered VM as the product wants to find it (appliance facts 10.2)."""
    found: list[str] = []

    def expect(what: str, actual: object, wanted: object) -> None:
        if actual != wanted:
            found.append(f"{what} is {actual!r}, not {wanted!r}")

    rows, context, oma = after.rows, stage.built.vm.context_id, stage.appliance.oma_vm_id
    expect("current_job_id", rows["vm_replication_contexts"][(context,)]["current_job_id"], None)
    mappings = {row["volume_uuid"]: row for row in rows["device_mappings"].values()}
    exports = {row["volume_id"] for row in rows["nbd_exports"].values()}
    for volume in stage.volume_ids:
        mapping = mappings.get(volume, {})
        path = f"/dev/disk/by-id/virtio-{volume.replace('-', '')[:20]}"
        expect(f"mapping of {volume}", (mapping.get("vm_id"), mapping.get("operation_mode")), (oma, "oma"))
        expect(f"path of {volume}", mapping.get("device_path"), path)
        expect(f"export of {volume}", volume in exports, True)
        row = next(r for r in rows["ossea_volumes"].values() if r["volume_id"] == volume)
        expect(f"ossea_volumes.status of {volume}", row["status"], "attached")
        expect(f"ossea_volumes.device_path of {volume}", row["device_path"], path)
        snapshot = (row["snapshot_id"] or None, row["snapshot_created_at"], row["snapshot_status"])
        expect(f"recorded snapshot of {volume}", snapshot, (None, None, "none"))
    for (row_id,), row in rows["job_tracking"].items():
        if row["context_id"] != context and not _names_our_vm(rows, row_id, stage.case.vm_name):
            continue
        expect(f"job_tracking {row_id} is open", row["status"] in ("pending", "running"), False)
        expect(f"job_tracking {row_id} has an end", row["completed_at"] is not None, True)
    jobs = {
        key[0]
        for key, row in rows["job_tracking"].items()
        if row["context_id"] == context or _names_our_vm(rows, key[0], stage.case.vm_name)
    }
    for (step_id,), row in rows["job_steps"].items():
        if row["job_id"] in jobs:
            expect(f"job_steps {step_id} is running", row["status"] == "running", False)
    for key, row in rows["failover_jobs"].items():
        if row["vm_context_id"] == context and row["status"] != stage.found.rows["failover_jobs"][key]["status"]:
            closed = (row["status"], row["completed_at"] is not None, bool(row["error_message"]))
            expect(f"failover_jobs {key[0]} with end and text", closed, ("failed", True, True))
    return found


def out_of_order(stage: Stage, sent: Sequence[Request]) -> Iterator[str]:
    """Requests of one run that came before what must come first (`expected.ORDER`)."""
    about: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for place, request in enumerate(sent):
        about[request.command].append((place, stage.snapshots.get(request.object_ids[0], request.object_ids[0])))
    for before, after in ORDER:
        for volume in stage.volume_ids:
            first = [place for place, of in about[before] if of in (volume, stage.built.destination_vm_id)]
            then = [place for place, of in about[after] if of in (volume, stage.built.destination_vm_id)]
            if len(first) == 1 and then and then[0] < first[0]:
                yield f"{after} came before {before} ({volume})"
