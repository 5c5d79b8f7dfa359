"""What must hold over a whole run, whoever was killed in it.

Judged from the raw row of the claim and from the simulator's journal, not with the product's code.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Entry = Mapping[str, Any]


@dataclass(frozen=True)
class ClaimRow:
    """A claim as its `job_tracking` row shows it.

    Attributes:
        number: how often it was taken.
        owner: who holds it; None when released.
        requests: written ahead, in order; keys as in the row.
    """

    number: int
    owner: str | None
    finished: bool
    requests: tuple[Mapping[str, Any], ...]

    def of(self, kind: str) -> list[Mapping[str, Any]]:
        """Requests of one kind."""
        return [request for request in self.requests if request["kind"] == kind]


OPERATION = "failed-execution-cleanup"
"""`job_tracking.operation` of a claim."""

CLAIM = "failover.ossea.io/claim"
"""Key of a claim in `job_tracking.metadata`."""

CLAIMS = f"SELECT metadata FROM job_tracking WHERE operation = '{OPERATION}'"  # noqa: S608
"""Statement that reads the claims of an appliance."""


def claim_row(stored: str | Mapping[str, Any]) -> ClaimRow:
    """Read `job_tracking.metadata` of a claim, as text or parsed."""
    metadata = json.loads(stored) if isinstance(stored, str) else stored
    held = metadata[CLAIM]
    return ClaimRow(
        held["number"], held["owner"], held["finished"], tuple(metadata.get("memory", {}).get("requests", ()))
    )


def assert_one_revert_per_volume_and_claim(claim: ClaimRow) -> None:
    """A revert that worked is not repeated while nobody else took the claim."""
    worked = Counter((r["volume_id"], r["number"]) for r in claim.of("revert") if r.get("outcome") == "effect")
    assert all(count == 1 for count in worked.values()), worked


def assert_deleted_only_after_revert(claim: ClaimRow, entries: Sequence[Entry]) -> None:
    """Rule 12: each delete was asked for under a claim number under which the volume had been reverted with success."""
    reverted = {(r["volume_id"], r["number"]): r["settled_at"] for r in claim.of("revert") if r["outcome"] == "effect"}
    for delete in claim.of("delete-snapshot"):
        key = (delete["volume_id"], delete["number"])
        assert key in reverted, f"{key} was not reverted; reverted were {sorted(reverted)}"
        assert reverted[key] <= delete["sent_at"]
    whole: set[str] = set()
    for entry in entries:
        if entry["entry"] != "effect":
            continue
        if entry["kind"] == "reverted":
            whole.add(entry["object_id"])
        elif entry["kind"] == "snapshot-deleted":
            assert entry["details"]["volumeid"] in whole, f"{entry} without a revert before it"


def assert_no_two_live_detaches(entries: Sequence[Entry]) -> None:
    """Between a detach that reached the daemon and its effect nobody asks for another one of that volume."""
    live: set[str] = set()
    for entry in entries:
        if entry["entry"] == "request" and entry["command"] == "detach" and entry["executed"]:
            volume = entry["object_ids"][0]
            assert volume not in live, f"two live detach requests of volume {volume}"
            live.add(volume)
        elif entry["entry"] == "effect" and entry["kind"] == "detached":
            live.discard(entry["object_id"])
