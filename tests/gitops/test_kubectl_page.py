"""docs/kubectl.md shows what kubectl prints: the columns are those of the definitions that are shipped."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from development.kubectl_pages import SHOWN, TARGET, columns_of
from development.stand import ROOT, Stand

pytestmark = pytest.mark.timeout(120)
PAGE = TARGET.read_text(encoding="utf-8")
WIDE = "kubectl get fec -o wide"


def definition() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "crds/failover.ossea.io_failedexecutioncleanups.yaml").read_text())
    return found


def columns(*, wide: bool) -> list[str]:
    (version,) = definition()["spec"]["versions"]
    shown = [c for c in version["additionalPrinterColumns"] if wide or not c.get("priority")]
    return ["NAME", *[column["name"].upper() for column in shown]]


@pytest.mark.parametrize(("command", "wide"), [("kubectl get fec", False), (WIDE, True)])
def test_the_columns_on_the_page_are_those_of_the_definition(command: str, wide: bool) -> None:
    assert columns_of(PAGE, command) == [word for name in columns(wide=wide) for word in name.split()]


@pytest.mark.parametrize("command", ["kubectl get fec", WIDE])
def test_kubectl_prints_these_columns(stand: Stand, command: str) -> None:
    name = f"columns-{len(command)}"
    stand.build("R12", name)
    stand.apply_cleanup(name, name)
    stand.wait_for(name, "Ready")
    printed = stand.kubectl(*command.split()[1:])
    assert printed.splitlines()[0].split() == columns_of(PAGE, command)


@pytest.mark.parametrize("path", ["spec", "status"])
def test_every_field_is_explained_on_the_page(path: str) -> None:
    (version,) = definition()["spec"]["versions"]
    fields = version["schema"]["openAPIV3Schema"]["properties"][path]["properties"]
    section = PAGE.split(f"$ kubectl explain fec.{path}\n")[1].split("\n```\n")[0]
    missing = [name for name in fields if f"\n  {name}\t" not in section]
    assert json.dumps(missing) == "[]"


@pytest.mark.parametrize("name", SHOWN)
def test_every_state_is_in_the_list(name: str) -> None:
    rows = PAGE.split("$ kubectl get fec\n")[1].split("\n```\n")[0].splitlines()[1:]
    assert name in {row.split()[0] for row in rows}
