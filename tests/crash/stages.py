"""Moments of a cleanup of row F11: how to make one last, and how to see that it is reached.

F11 is a driver injection that hung: all volumes on the appliance, the OS disk modified, no test VM.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from development.stand import QUICK, Stand
from tests.crash import rules

HELD_SECONDS = 3.0
QUICK_TAKEOVER = {"FEC_LEASE_SECONDS": "6", "FEC_CLAIM_EXPIRY_SECONDS": "3", "FEC_HTTP_TIMEOUT_SECONDS": "3"}
"""Environment of operators that take over soon after another one was killed."""


@dataclass(frozen=True)
class Stage:
    """A moment that lasts.

    Attributes:
        reached: whether a cleanup is at it.
        latency: seconds by command that make it last.
        settings: fields of the Appliance's spec that make it last.
    """

    reached: Callable[[Stand], bool]
    latency: Mapping[str, float] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)


def claims(stand: Stand) -> list[rules.ClaimRow]:
    """The claims in the stand's database."""
    return [rules.claim_row(row["metadata"]) for row in stand.rows(rules.CLAIMS)]


def _claimed(stand: Stand) -> bool:
    return any(claim.owner for claim in claims(stand))


def _asked(command: str) -> Callable[[Stand], bool]:
    return lambda stand: any(entry["executed"] for entry in stand.requests(command))


def _deleting(stand: Stand) -> bool:
    reverted = {effect["object_id"] for effect in stand.effects("reverted")}
    return len(reverted) == 3 and _asked("deleteSnapshot")(stand)


STAGES: Mapping[str, Stage] = {
    # An observation takes some ten requests: at three a second the claim is held for seconds before anything is sent.
    "claimed": Stage(_claimed, settings={"limits": {"requestsPerSecond": 3}}),
    "detaching": Stage(_asked("detach"), {"detachVolume": HELD_SECONDS}),
    "reverting": Stage(_asked("revertSnapshot"), {"revertSnapshot": HELD_SECONDS}),
    "deleting": Stage(_deleting, {"deleteSnapshot": HELD_SECONDS}),
    "attaching": Stage(_asked("attach"), {"attachVolume": HELD_SECONDS}),
}


def hold(stand: Stand, stage: str, name: str) -> None:
    """Wait until a cleanup is at a stage.

    Args:
        stand: where; the stage's latencies are set before.
        stage: key of `STAGES`.
        name: for the message.
    """
    stand.wait_until(lambda: STAGES[stage].reached(stand), seconds=60, what=f"{name} is {stage}")


def release(stand: Stand, stage: str) -> None:
    """Let everything be quick again."""
    stand.latency(**dict.fromkeys(STAGES[stage].latency, 0.0))
    if STAGES[stage].settings:
        stand.apply_appliance(stand.appliance, **QUICK)


def assert_cleaned(stand: Stand, name: str, built: Mapping[str, Any]) -> rules.ClaimRow:
    """The end that every crash must come to; gives the cleanup's claim."""
    stand.wait_for(name, "Ready", seconds=120)
    assert stand.ready(name) == ("True", "Cleaned")
    stand.wait_until(
        lambda: not stand.cleanup(name)["metadata"].get("finalizers"), seconds=10, what="the finalizer is gone"
    )
    assert set(stand.contents(built).values()) == {"replica:1"}
    assert stand.holders(built) == {stand.oma_vm_id}
    assert stand.snapshots(built) == []
    (claim,) = claims(stand)
    assert claim.owner is None
    assert claim.finished
    assert_rules(stand, claim)
    return claim


def assert_rules(stand: Stand, claim: rules.ClaimRow) -> None:
    """The rules over the whole journal."""
    entries = stand.journal()
    rules.assert_one_revert_per_volume_and_claim(claim)
    rules.assert_deleted_only_after_revert(claim, entries)
    rules.assert_no_two_live_detaches(entries)
