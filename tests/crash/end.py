"""The end a cleanup comes to, in words that are the same in every run, and the rules that held on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias

from tests.crash import rules
from tests.matrix.expected import End as Expected
from tests.matrix.invariants import target
from tests.matrix.stage import Found, Stage

Words: TypeAlias = dict[str, Any]

COMPARED: Final[Mapping[str, tuple[str, ...]]] = {
    "vm_replication_contexts": ("current_status", "current_job_id"),
    "failover_jobs": ("status", "destination_vm_id", "error_message", "completed_at"),
    "replication_jobs": ("status", "completed_at"),
    "job_tracking": ("operation", "status", "error_message", "completed_at", "canceled_at"),
    "job_steps": ("name", "status", "error_message", "completed_at"),
    "ossea_volumes": ("volume_id", "status", "device_path", "snapshot_id", "snapshot_status", "snapshot_created_at"),
    "device_mappings": (
        "volume_uuid",
        "vm_id",
        "operation_mode",
        "device_path",
        "ossea_snapshot_id",
        "snapshot_status",
    ),
    "nbd_exports": ("volume_id", "device_path"),
}
"""Columns that must be equal. What is left out is an id, a time, or told otherwise: the steps of our own job are those of each attempt."""

ONCE: Final = frozenset({"detached", "attached", "snapshot-deleted", "vm-stopped", "vm-destroyed", "vm-expunged"})
"""Effects that a VM's objects may have once, whoever was killed."""


@dataclass(frozen=True, slots=True)
class End:
    """What is compared between a run that was cut off and one that was not.

    Attributes:
        resource: conditions, phases and finalizers of the cleanup.
        cloud: holders and contents of the disks, their snapshots, the test VM.
        rows: rows of the VM, by table.
        claim: whether the claim is finished and held.
    """

    resource: Words
    cloud: Words
    rows: Words
    claim: Words


def end_of(stage: Stage, after: Found, cleanup: Mapping[str, Any]) -> End:
    """The end, with ids replaced by what they name."""
    names = _names(stage)
    claim = claim_of(stage, after)
    return End(
        resource=_resource(cleanup),
        cloud={
            "holders": [_named(after.holders[volume], names) for volume in stage.volume_ids],
            "contents": [after.contents[volume] for volume in stage.volume_ids],
            "snapshots": sorted(
                f"{names[snapshot['volume_id']]} {names.get(snapshot_id, snapshot['name'])} {snapshot['state']}"
                for snapshot_id, snapshot in after.cloud.items()
                if snapshot.get("volume_id") in stage.volume_ids and snapshot["state"] != "Destroyed"
            ),
            "test VM": after.cloud.get(stage.built.destination_vm_id or "", {}).get("state"),
        },
        rows={table: list(_rows(stage, after, table, names)) for table in COMPARED},
        claim={"finished": claim.finished, "owner": claim.owner},
    )


def unexpected(end: End, expected: Expected) -> Iterator[str]:
    """What of an end is not as it was written down by hand for the recovery matrix."""
    reasons = [condition for condition in end.resource["conditions"] if condition.startswith("Ready ")]
    for what, actual, wanted in (
        ("Ready", reasons, [f"Ready True {expected.reason}"]),
        ("holders", {*end.cloud["holders"]}, {*expected.holders}),
        ("contents", {content.partition(":")[0] for content in end.cloud["contents"]}, {*expected.contents}),
        ("context", end.rows["vm_replication_contexts"][0][0], expected.context),
        ("leftovers", end.resource["leftovers"], expected.leftovers),
    ):
        if actual != wanted:
            yield f"{what} is {actual}, not {wanted}"


def differences(reference: End, end: End) -> Iterator[str]:
    """What differs, part by part."""
    for part, wanted in asdict(reference).items():
        for key, value in getattr(end, part).items():
            if value != wanted.get(key):
                yield f"{part}: {key} is {value}, without a crash {wanted.get(key)}"


def broken_rules(stage: Stage, after: Found, violated: list[str]) -> Iterator[str]:
    """Rules broken on the way, by the journal, the claim's row and every row and object there is.

    Args:
        stage: where.
        after: how everything is now.
        violated: what `invariants.violations` found.
    """
    yield from violated
    yield from target(stage, after)
    entries = stage.appliance.journal.as_json()["entries"][stage.found.entries :]
    claim = claim_of(stage, after)
    for assert_rule, about in (
        (rules.assert_one_revert_per_volume_and_claim, (claim,)),
        (rules.assert_deleted_only_after_revert, (claim, entries)),
        (rules.assert_no_two_live_detaches, (entries,)),
    ):
        try:
            assert_rule(*about)
        except AssertionError as error:
            yield f"rule broken: {error}"
    yield from _repeated(entries, claim.number)


def _repeated(entries: list[Words], claims: int) -> Iterator[str]:
    """What happened more often than it may: a revert once per claim, everything else once."""
    effects = Counter((e["kind"], e["object_id"]) for e in entries if e["entry"] == "effect")
    for (kind, about), count in effects.items():
        allowed = 1 if kind in ONCE else claims if kind == "reverted" else None
        if allowed is not None and count > allowed:
            yield f"{about} was {kind} {count} times"
    executed = [e for e in entries if e["entry"] == "request" and e["caller"] == "client" and e["executed"]]
    ids = Counter(e["parameters"]["customjobid"] for e in executed if "customjobid" in e["parameters"])
    yield from (f"job id {job_id} was executed {count} times" for job_id, count in ids.items() if count > 1)
    asked = Counter((e["command"], e["object_ids"][0]) for e in executed)
    for (command, about), count in asked.items():
        if count > (claims if command == "revertSnapshot" else 1):
            yield f"{command} of {about} was executed {count} times"


def claim_of(stage: Stage, after: Found) -> rules.ClaimRow:
    """The one claim in the database.

    Raises:
        AssertionError: there is none, or more than one.
    """
    # The product's own cleanups have the same operation, and nothing of ours in their metadata.
    stored = [row["metadata"] for row in after.rows["job_tracking"].values() if row["operation"] == rules.OPERATION]
    claims = [metadata for metadata in stored if metadata is not None and rules.CLAIM in metadata]
    assert len(claims) == 1, f"{len(claims)} claims"
    return rules.claim_row(claims[0])


def _resource(cleanup: Mapping[str, Any]) -> Words:
    status = cleanup.get("status", {})
    return {
        "conditions": sorted(f"{c['type']} {c['status']} {c['reason']}" for c in status.get("conditions", [])),
        "phases": [f"{phase['name']} {phase['state']}" for phase in status.get("phases", [])],
        "leftovers": len(status.get("leftovers", [])),
        "finalizers": cleanup["metadata"].get("finalizers", []),
    }


def _rows(stage: Stage, after: Found, table: str, names: Mapping[str, str]) -> Iterator[list[str]]:
    context = stage.built.vm.context_id
    jobs = {key[0]: row for key, row in after.rows["job_tracking"].items() if row["context_id"] == context}
    shown = []
    for row in after.rows[table].values():
        if table == "job_steps" and jobs.get(row["job_id"], {}).get("operation") == rules.OPERATION:
            continue
        about = (row.get(key) for key in ("vm_context_id", "context_id", "volume_uuid", "volume_id"))
        if {*about} & {context, *stage.volume_ids} or row.get("job_id") in jobs:
            shown.append([_word(row[column], names) for column in COMPARED[table]])
    yield from sorted(shown)


def _names(stage: Stage) -> dict[str, str]:
    """What the ids of this run name."""
    names = {volume: f"disk {number}" for number, volume in enumerate(stage.volume_ids)}
    names |= {snapshot: f"snapshot of {names[volume]}" for volume, snapshot in stage.built.snapshot_ids.items()}
    names[stage.appliance.oma_vm_id] = "OMA"
    for value, name in ((stage.built.destination_vm_id, "test VM"), (stage.built.failover_job_id, "failover")):
        if value is not None:
            names[value] = name
    return names


def _named(value: str | None, names: Mapping[str, str]) -> str | None:
    return None if value is None else names.get(value, value)


def _word(value: Any, names: Mapping[str, str]) -> str:
    if isinstance(value, datetime):
        return "a time"
    text = str(value)
    for known, name in names.items():
        # By-id paths hold the first twenty characters of a volume's id without its dashes.
        text = text.replace(known, name).replace(known.replace("-", "")[:20], name)
    return text
