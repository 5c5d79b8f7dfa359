"""The commands of docs/install.md and docs/upgrade.md, carried out as a person would: one after the other, in an empty cluster."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from development.chart.sources import ROOT
from development.control_plane import ControlPlane
from development.control_plane.binaries import find_binaries
from development.go_tools import find_tool

pytestmark = pytest.mark.timeout(300)

PAGES: Final = ("install.md", "upgrade.md")
NEEDS_NODES: Final = ("helm test", "rollout status", "wait --for=condition=Ready")
"""What only ends well where pods run."""

OTHER_WAY: Final = {
    "helm": ("kubectl apply -k", "-f crds/"),
    "kustomize": (
        "helm upgrade",
        "helm rollback",
        "kubectl create namespace failed-execution-cleanup",
        "kubectl label",
    ),
}
"""What somebody who installs in one way leaves out."""


@dataclass(frozen=True)
class Person:
    """Somebody at a shell in a checkout.

    Attributes:
        checkout: the files that the commands name, and those that the pages tell to write.
        environment: of the shell.
    """

    checkout: Path
    environment: dict[str, str]

    def run(self, command: str) -> str:
        done = subprocess.run(
            ["bash", "-euc", command],
            cwd=self.checkout,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        return done.stdout


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Person]:
    checkout, programs = tmp_path / "checkout", tmp_path / "bin"
    for folder in ("crds", "helm", "manifests"):
        shutil.copytree(ROOT / folder, checkout / folder)
    for page in PAGES:
        for name, text in files(page):
            (checkout / name).parent.mkdir(exist_ok=True)
            (checkout / name).write_text(text, encoding="utf-8")
    programs.mkdir()
    for name, program in (("helm", find_tool("helm")), ("kubectl", find_binaries().kubectl)):
        (programs / name).symlink_to(program)
    with ControlPlane() as plane:
        homes = {f"HELM_{kind}_HOME": str(tmp_path / kind) for kind in ("CACHE", "CONFIG", "DATA")}
        paths = {"PATH": f"{programs}:{os.environ['PATH']}", "KUBECONFIG": str(plane.admin_kubeconfig), **homes}
        yield Person(checkout, {**os.environ, **paths})


def files(page: str) -> list[tuple[str, str]]:
    """Files that a page tells to write: blocks whose first line is a comment with a name."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return re.findall(r"^ *```yaml\n# (\S+\.yaml)\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)


def commands(page: str) -> list[str]:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    return [line.strip() for block in blocks for line in block.splitlines() if line.strip()]


@pytest.mark.parametrize("way", OTHER_WAY)
def test_every_command_of_the_pages_works(person: Person, way: str) -> None:
    left_out = (*NEEDS_NODES, *OTHER_WAY[way])
    done = [command for page in PAGES for command in commands(page) if not any(part in command for part in left_out)]
    outputs = {command: person.run(command) for command in done}

    assert len(done) >= 10
    assert (
        outputs["kubectl auth can-i use appliances.failover.ossea.io/default --as=alice --as-group=dr-team"] == "yes\n"
    )
    deployments = person.run("kubectl --namespace failed-execution-cleanup get deployments -o wide")
    assert deployments.count("failed-execution-cleanup ") >= 1
    assert "default" in outputs["kubectl get appliances"]


def test_the_pages_name_both_ways_and_every_command_is_of_one_of_two_programs() -> None:
    every = [command for page in PAGES for command in commands(page)]
    assert {command.split()[0] for command in every} == {"helm", "kubectl"}
    for parts in OTHER_WAY.values():
        assert all(any(part in command for command in every) for part in parts)
