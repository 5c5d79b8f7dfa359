"""The order of docs/uninstall.md leaves nothing behind, and the escape hatch loses nothing."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from development.control_plane import ControlPlane
from development.stand import ROOT, Stand
from failed_execution_cleanup.resources.identifiers import FINALIZER
from tests.cluster.observed import assert_replica, condition
from tests.crash.stages import QUICK_TAKEOVER
from tests.gitops.conftest import StartStand

pytestmark = pytest.mark.timeout(240)
PAGE = Path(ROOT / "docs/uninstall.md").read_text(encoding="utf-8")


def test_the_page_names_the_finalizer_and_the_order() -> None:
    assert FINALIZER in PAGE
    commands = re.findall(r"^ +kubectl delete (\S+)", PAGE, re.MULTILINE)
    assert commands == ["fec", "appliances", "-k", "-f"]


def test_in_the_order_of_the_page_everything_goes_and_every_volume_is_home() -> None:
    with ControlPlane() as control_plane, Stand(control_plane) as stand:
        operator = stand.start_operator()
        stand.latency(revertSnapshot=2.0)
        built = stand.build("F11", "working", disks=1)
        stand.build("F28", "stalled", disks=1)
        for name in ("working", "stalled"):
            stand.apply_cleanup(name, name)
        stand.wait_for("stalled", "Stalled")
        stand.wait_until(lambda: stand.requests("revertSnapshot", about=built), what="a revert is in flight")

        kubectl = control_plane.kubectl
        kubectl("delete", "fec", "--all", "--all-namespaces", "--timeout=25s")
        kubectl("delete", "appliances", "--all", "--timeout=25s")
        operator.stop(grace_seconds=20)
        kubectl("delete", "-f", str(ROOT / "crds"), "--timeout=25s")

        assert stand.holders(built) <= {stand.oma_vm_id}
        assert stand.state()["pending_jobs"] == []
        assert stand.rows("SELECT id FROM job_tracking WHERE owner <> 'system' AND owner IS NOT NULL") == []
        left = kubectl("get", "crds", "-o", "name").stdout
        assert "ossea.io" not in left


def test_without_an_operator_the_escape_hatch_frees_the_object_and_the_next_cleanup_goes_on(
    start_stand: StartStand,
) -> None:
    stand = start_stand()
    operator = stand.start_operator(**QUICK_TAKEOVER)
    built = stand.build("F11", "hatch1", disks=2)
    stand.latency(revertSnapshot=3.0)
    stand.apply_cleanup("hatch1", "hatch1")
    stand.wait_until(lambda: stand.requests("revertSnapshot", about=built), what="a revert is in flight")
    operator.kill()
    stand.kubectl("delete", "fec/hatch1", "--wait=false")
    assert stand.cleanup("hatch1")["metadata"]["finalizers"] == [FINALIZER]

    before = stand.requests(about=built)
    patch = json.dumps({"metadata": {"finalizers": None}})
    assert "finalizers" in PAGE
    stand.kubectl("patch", "fec/hatch1", "--type=merge", "-p", patch)
    stand.wait_until_gone("hatch1")
    assert stand.requests(about=built) == before

    stand.latency(revertSnapshot=0.0)
    stand.start_operator(**QUICK_TAKEOVER)
    stand.apply_cleanup("hatch2", "hatch1")
    assert condition(stand.wait_for("hatch2", "Ready"), "Ready") == ("True", "Cleaned")
    assert_replica(stand, built)
