"""The demo runs from a fresh checkout with nothing but Python and make, tells the truth, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from development.control_plane import ControlPlane
from development.stand import ROOT
from tests.demo.running import IN_PLACE, SECONDS, Place, descendants, new_place, still_alive, wait_for_output

pytestmark = pytest.mark.timeout(SECONDS + 60)

PROGRAMS = ("make", "setpriv", "sh", "touch")
"""All that PATH offers on a fresh machine, Python apart: make, a shell and what every Debian has."""


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, Path]:
    """A machine with an empty cache directory and no Go, and on it the checkout's files as a clone would bring them."""
    directory = tmp_path_factory.mktemp("fresh")
    programs = directory / "bin"
    programs.mkdir()
    for name in PROGRAMS:
        found = shutil.which(name)
        assert found is not None, f"{name} is needed: install Debian's make, util-linux and coreutils"
        (programs / name).symlink_to(found)
    checkout = directory / "checkout"
    listing = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0"):
        if (ROOT / name).is_file():
            (checkout / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, checkout / name)
    return new_place(directory, PATH=str(programs), PYTHON=os.path.realpath(sys.executable)), checkout


def test_make_demo_on_a_fresh_machine(fresh: tuple[Place, Path]) -> None:
    place, checkout = fresh

    ended = place.run(["make", "demo"], checkout)

    assert ended.returncode == 0, ended.stdout
    assert "Kubernetes API: a small emulator" in ended.stdout
    assert ended.stdout.count("ready_for_failover") == 5, ended.stdout
    assert "All five are ready for failover again, no replicated data lost." in ended.stdout
    assert place.left_behind() == []


def test_ctrl_c_of_make_demo_leaves_no_process_and_no_file(fresh: tuple[Place, Path]) -> None:
    place, checkout = fresh
    with place.started(["make", "demo"], checkout) as process:
        wait_for_output(process, "detach-volumes")
        started = descendants(process)
        assert len(started) == 4, "the demo, simulator, emulator and operator"

        os.killpg(process.pid, signal.SIGINT)
        output, _ = process.communicate(timeout=30)

        assert "Interrupted: everything is stopped and removed." in output
        assert process.returncode != 0
        assert still_alive(started) == []
    assert place.left_behind() == []


@pytest.mark.parametrize(
    ("number", "marker"),
    [(signal.SIGINT, "Kubernetes API:"), (signal.SIGTERM, "cleanup-snapshots"), (signal.SIGHUP, "reattach-volumes")],
)
def test_a_signal_at_any_time_leaves_no_process_and_no_file(place: Place, number: signal.Signals, marker: str) -> None:
    with place.started(IN_PLACE) as process:
        wait_for_output(process, marker)
        started = descendants(process)

        process.send_signal(number)
        process.send_signal(number)
        process.communicate(timeout=30)

        assert process.returncode == 128 + signal.SIGINT
        assert still_alive(started) == []
    assert place.left_behind() == []


def test_crash_kills_the_operator_and_all_five_are_cleaned_all_the_same(place: Place) -> None:
    ended = place.run([*IN_PLACE, "--crash"])

    assert ended.returncode == 0, ended.stdout
    assert "SIGKILL: operator" in ended.stdout
    assert "with the operator killed in the middle" in ended.stdout
    assert place.left_behind() == []


def test_refuse_shows_that_guarded_vms_are_not_touched(place: Place, tmp_path: Path) -> None:
    picture = tmp_path / "demo.svg"

    ended = place.run([*IN_PLACE, "--refuse", f"--record={picture}"])

    assert ended.returncode == 0, ended.stdout
    assert "NothingFailed" in ended.stdout
    assert "roll it back in the product" in " ".join(ended.stdout.split())
    assert "RunningTestVM" in ended.stdout
    assert "Both refused, nothing touched" in ended.stdout
    assert "RunningTestVM" in picture.read_text(encoding="utf-8")
    assert place.left_behind() == []


def test_your_own_cluster_is_left_as_it_was_even_after_ctrl_c(tmp_path: Path) -> None:
    with ControlPlane() as server:
        place = new_place(tmp_path, DEMO_KUBECONFIG=str(server.admin_kubeconfig))
        with place.started(IN_PLACE) as process:
            shown = wait_for_output(process, "detach-volumes")
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=30)

        assert "Kubernetes API: your cluster" in shown
        # Finalizers of cleanups that nobody works on any more would keep the definitions for ever.
        gone = "failedexecutioncleanups.failover.ossea.io", "appliances.failover.ossea.io"
        server.kubectl("wait", "--for=delete", "--timeout=20s", "crd", *gone)
        # Nothing ends the deletion of a namespace here: that is a controller's work.
        active = server.kubectl("get", "namespaces", "--field-selector=status.phase=Active", "--output=name").stdout
        assert "demo" not in active
    assert place.left_behind() == []


def test_a_proxy_for_the_world_outside_does_not_matter(tmp_path: Path) -> None:
    nobody = "http://127.0.0.1:9"
    place = new_place(tmp_path, HTTP_PROXY=nobody, http_proxy=nobody, NO_PROXY="", no_proxy="")

    ended = place.run([*IN_PLACE, "--refuse"])

    assert ended.returncode == 0, ended.stdout


def test_a_cluster_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    place = new_place(tmp_path, DEMO_KUBECONFIG=str(tmp_path / "missing"))

    ended = place.run(IN_PLACE)

    assert ended.returncode == 1
    assert "Traceback" not in ended.stdout
    assert f"DEMO_KUBECONFIG names {tmp_path / 'missing'}, which is no file" in ended.stdout
    assert place.left_behind() == []


def test_a_cluster_that_does_not_answer_is_named(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    context = {"name": "nobody", "context": {"cluster": "nobody", "user": "nobody"}}
    cluster = {"name": "nobody", "cluster": {"server": "http://127.0.0.1:9"}}
    user = {"name": "nobody", "user": {}}
    config = {"clusters": [cluster], "users": [user], "contexts": [context], "current-context": "nobody"}
    kubeconfig.write_text(json.dumps(config), encoding="utf-8")
    place = new_place(tmp_path, DEMO_KUBECONFIG=str(kubeconfig))

    ended = place.run(IN_PLACE)

    assert ended.returncode == 1
    assert "Traceback" not in ended.stdout
    assert "your cluster (DEMO_KUBECONFIG)" in ended.stdout
    assert "does not answer" in ended.stdout
    assert place.left_behind() == []
