"""The runbooks: one for each alert, and every command in them works."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import typer.main
import yaml
from typer.core import TyperGroup

from development.control_plane import ControlPlane
from development.control_plane.binaries import find_binaries
from development.monitoring.alerts import ROOT, RUNBOOKS, Alert, alerts
from failed_execution_cleanup.cli import app
from failed_execution_cleanup.resources.reasons import ConditionType, Reason

INDEX = RUNBOOKS / "README.md"
PAGES = sorted(set(RUNBOOKS.glob("*.md")) - {INDEX})
SECTIONS = ["Meaning", "Impact", "How to look", "How to clear", "When to escalate"]
EVERY_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
EVERY_ALERT = pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert.name)

PLACEHOLDERS: Final = {"<name>": "pgtest1", "<namespace>": "dr", "<appliance>": "default", "<vm>": "pgtest1"}
"""What the placeholders of commands stand for: the shipped samples."""

OUTSIDE: Final = {"cmk recover virtualmachine id=<vm>": "recoverVirtualMachine"}
"""Commands of CloudStack's own command line, and the API command that each sends."""


def commands(page: Path) -> Iterator[str]:
    """Lines of the shell blocks of a page."""
    for block in re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        yield from (line.strip() for line in block.splitlines() if line.strip())


def filled(command: str) -> list[str]:
    """The words of a command, with the samples in place of what people have to fill in."""
    return shlex.split(re.sub("|".join(PLACEHOLDERS), lambda found: PLACEHOLDERS[found[0]], command))


ALL_COMMANDS = [pytest.param(line, id=f"{page.stem}: {line}") for page in PAGES for line in commands(page)]


def test_every_alert_has_a_page_and_every_page_an_alert() -> None:
    assert {page.stem for page in PAGES} == {alert.name for alert in alerts()}


@EVERY_PAGE
def test_a_page_says_what_it_means_what_to_look_at_and_what_to_do(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert re.findall(r"^# (.+)$", text, re.MULTILINE) == [page.stem]
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == SECTIONS


@EVERY_ALERT
def test_a_page_tells_severity_and_wait_of_its_alert(alert: Alert) -> None:
    when = f"fires after {alert.wait}" if alert.wait else "fires at once"
    assert f"\nSeverity {alert.severity}, {when}.\n" in (RUNBOOKS / f"{alert.name}.md").read_text(encoding="utf-8")


@EVERY_ALERT
def test_the_index_lists_every_alert_with_its_severity(alert: Alert) -> None:
    short = alert.name.removeprefix("FailedExecutionCleanup")
    assert f"| [{short}]({alert.name}.md) | {alert.severity} |" in INDEX.read_text(encoding="utf-8")


@pytest.mark.parametrize("page", [*PAGES, INDEX], ids=lambda page: page.stem)
def test_links_lead_to_files_that_exist(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).is_file(), target


@EVERY_PAGE
def test_reasons_in_tables_exist(page: Path) -> None:
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", page.read_text(encoding="utf-8"), re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert named <= {reason.value for reason in Reason} | {condition.value for condition in ConditionType}


@pytest.mark.parametrize("command", ALL_COMMANDS)
def test_a_command_is_of_a_program_that_people_have(command: str) -> None:
    program, verb, *arguments = filled(command)
    match program:
        case "kubectl":
            return  # carried out below
        case "fec":
            fec = typer.main.get_command(app)
            assert isinstance(fec, TyperGroup)
            found = fec.get_command(typer.Context(fec), verb)
            assert found is not None
            found.make_context(verb, arguments)  # refuses what it does not know
        case _:
            assert command in OUTSIDE
            simulated = (ROOT / "simulators/appliance_simulator/ossea_api.py").read_text(encoding="utf-8")
            assert f'"{OUTSIDE[command]}"' in simulated


@pytest.mark.timeout(300)
def test_kubectl_carries_out_every_command(control_plane: ControlPlane) -> None:
    kubectl = control_plane.kubectl
    kubectl("apply", "--server-side", "--force-conflicts", "-f", ROOT / "crds")
    kubectl("wait", "--for=condition=Established", "--timeout=20s", "-f", ROOT / "crds")
    kubectl("apply", "-k", ROOT / "manifests/base")
    kubectl("create", "namespace", "dr")
    for sample in ("appliance", "cleanup"):
        kubectl("apply", "-f", ROOT / f"manifests/samples/{sample}.yaml")
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "failed-execution-cleanup", "namespace": "failed-execution-cleanup"},
    }
    kubectl("apply", "-f", "-", input=yaml.safe_dump(lease))
    failed = {}
    for line in sorted({line for page in PAGES for line in commands(page) if line.startswith("kubectl ")}):
        arguments = [word.replace("manifests/", f"{ROOT}/manifests/") for word in filled(line)[1:]]
        done = kubectl(*arguments, check=False)
        if done.returncode != 0:
            failed[line] = done.stderr
    assert not failed


def test_the_overlay_of_the_index_makes_every_link_absolute(tmp_path: Path) -> None:
    (overlay,) = re.findall(r"```yaml\n(.*?)```", INDEX.read_text(encoding="utf-8"), re.DOTALL)
    shutil.copytree(ROOT / "manifests", tmp_path / "manifests")
    directory = tmp_path / "manifests/overlays/ours"
    directory.mkdir(parents=True)
    (directory / "kustomization.yaml").write_text(overlay, encoding="utf-8")
    command = [str(find_binaries().kubectl), "kustomize", str(directory)]
    built: list[dict[str, Any]] = list(yaml.safe_load_all(subprocess.check_output(command, text=True)))
    (rule,) = (document for document in built if document["kind"] == "PrometheusRule")
    urls = [entry["annotations"]["runbook_url"] for group in rule["spec"]["groups"] for entry in group["rules"]]
    base = "https://git.example.com/dr/failed-execution-cleanup/blob/main"
    assert urls == [f"{base}/docs/runbooks/{alert.name}.md" for alert in alerts()]
    assert {"PodMonitor", "ServiceAccount"} <= {document["kind"] for document in built}
    (shown,) = (document for document in built if document["kind"] == "ConfigMap")
    assert set(shown["data"]) == {"failed-execution-cleanup.json"}
