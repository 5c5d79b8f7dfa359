"""The operator writes status and its finalizer only, so that what Git says and what people do never fight."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from development.stand import Stand
from tests.cluster.observed import condition

pytestmark = pytest.mark.timeout(180)
SERVER_SIDE = ("--server-side", "--field-manager=argocd-controller")
WAYS: dict[str, tuple[str, ...]] = {"client-side": (), "server-side": SERVER_SIDE}


def apply(stand: Stand, document: dict[str, Any], *how: str) -> None:
    stand.control_plane.kubectl("apply", *how, "-f", "-", input=yaml.safe_dump(document))


def differs(stand: Stand, document: dict[str, Any], *how: str) -> str:
    """What `kubectl diff` prints; nothing when there is no difference."""
    done = stand.control_plane.kubectl("diff", *how, "-f", "-", input=yaml.safe_dump(document), check=False)
    assert done.returncode in {0, 1}, done.stderr
    return done.stdout


def settled(stand: Stand, name: str) -> dict[str, Any]:
    stand.wait_until(lambda: not stand.cleanup(name)["metadata"].get("finalizers"), what="the finalizer is gone")
    return stand.cleanup(name)


def owned(fields: dict[str, Any], prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Paths of the fields a manager owns, as far as the first two levels."""
    for key, below in fields.items():
        name = key.removeprefix("f:")
        if key == ".":
            continue
        if not below or len(prefix) == 1:
            yield (*prefix, name)
        else:
            yield from owned(below, (*prefix, name))


def full(name: str) -> dict[str, Any]:
    """Every field that Git may hold."""
    return {
        "mode": "Execute",
        "suspend": False,
        "driftPolicy": "Report",
        "waive": [],
        "deadlineSeconds": 3600,
        "note": f"ticket of {name}",
    }


@pytest.mark.parametrize("spec", [{}, full("a")], ids=["least", "most"])
@pytest.mark.parametrize("way", WAYS)
def test_applying_again_finds_no_difference_whatever_the_operator_wrote(
    stand: Stand, way: str, spec: dict[str, Any]
) -> None:
    name = f"apply-{way}-{'most' if spec else 'least'}"
    stand.build("F11", name, disks=1)
    document = stand.manifest(name, name, **spec)
    apply(stand, document, *WAYS[way])
    stand.wait_for(name, "Ready")
    before = settled(stand, name)
    for _ in range(2):
        assert differs(stand, document, *WAYS[way]) == ""
        apply(stand, document, *WAYS[way])
    after = stand.cleanup(name)
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    assert after["metadata"]["generation"] == 1


def test_the_operator_owns_status_and_its_finalizer_and_nothing_else(stand: Stand) -> None:
    stand.latency(revertSnapshot=3.0)
    try:
        built = stand.build("F11", "managed1", disks=1)
        apply(stand, stand.manifest("managed1", "managed1"), *SERVER_SIDE)
        stand.wait_until(lambda: stand.requests("revertSnapshot", about=built), what="a revert is in flight")
        text = stand.kubectl("get", "fec", "managed1", "-o", "json", "--show-managed-fields")
    finally:
        stand.latency(revertSnapshot=0.0)
    managers = json.loads(text)["metadata"]["managedFields"]
    ours = [entry for entry in managers if entry["manager"] != "argocd-controller"]
    paths = {path for entry in ours for path in owned(entry["fieldsV1"])}
    assert {path[0] for path in paths} == {"metadata", "status"}
    assert {path for path in paths if path[0] == "metadata"} == {("metadata", "finalizers")}
    assert all(entry.get("subresource") == "status" for entry in ours if "f:status" in entry["fieldsV1"])
    git = next(entry for entry in managers if entry["manager"] == "argocd-controller")
    assert {path[0] for path in owned(git["fieldsV1"])} == {"spec"}
    stand.wait_for("managed1", "Ready")


@pytest.mark.parametrize("way", WAYS)
def test_self_heal_does_not_undo_an_action_and_an_action_is_no_difference(stand: Stand, way: str) -> None:
    name = f"heal-{way}"
    stand.build("F11", name, disks=1)
    document = stand.manifest(name, name, mode="Plan")
    apply(stand, document, *WAYS[way])
    stand.wait_for(name, "Planned")
    stand.annotate(name, suspended="true")
    stand.wait_for(name, "Suspended")
    assert differs(stand, document, *WAYS[way]) == ""
    apply(stand, document, *WAYS[way])
    assert stand.cleanup(name)["metadata"]["annotations"]["failover.ossea.io/suspended"] == "true"

    digest = stand.cleanup(name)["status"]["planHash"]
    stand.annotate(name, approvedPlan=digest)
    stand.kubectl("annotate", f"fec/{name}", "failover.ossea.io/suspended-")
    apply(stand, document, *WAYS[way])
    assert condition(stand.wait_for(name, "Ready"), "Ready") == ("True", "Cleaned")
    assert differs(stand, document, *WAYS[way]) == ""
