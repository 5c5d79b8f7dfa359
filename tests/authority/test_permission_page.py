"""docs/permissions.md says what the manifests say, and its sample gives what it says."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Final

import pytest

from development import permission_page
from development.control_plane import ControlPlane
from tests.authority.people import JOB, WAIVER, Person, cleanup

pytestmark = pytest.mark.timeout(150)

TEAM: Final = "authority-team"
"""Stands for the namespace dr of the sample."""


def test_the_page_is_up_to_date(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["permission_page", "--check"])
    assert permission_page.main() == 0, capsys.readouterr().err


def test_an_outdated_page_is_told_with_the_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    page = tmp_path / "permissions.md"
    monkeypatch.setattr(permission_page, "PAGE", page)
    monkeypatch.setattr("sys.argv", ["permission_page", "--check"])
    assert permission_page.main() == 1
    assert "make generate" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", ["permission_page"])
    assert permission_page.main() == 0
    assert page.read_text(encoding="utf-8") == permission_page.page()


def test_a_rule_without_a_reason_is_refused(tmp_path: Path) -> None:
    manifests = tmp_path / "manifests"
    shutil.copytree(permission_page.MANIFESTS, manifests)
    roles = manifests / "base/roles.yaml"
    text, removed = re.subn(r"\n  # Checked by the admission policy for every waiver[^\n]*", "", roles.read_text())
    assert removed == 1
    roles.write_text(text)
    with pytest.raises(ValueError, match="ClusterRole fec-waiver: no reason"):
        permission_page.page(manifests)


def test_every_rule_and_validation_is_on_the_page() -> None:
    page = permission_page.page()
    for kind, path in (
        ("ClusterRole", ("rules",)),
        ("Role", ("rules",)),
        ("ValidatingAdmissionPolicy", ("spec", "validations")),
    ):
        for source in permission_page.sources(kind):
            assert f"`{source.document['metadata']['name']}`" in page
            for _, reason in source.items(*path):
                assert reason in page


def test_the_sample_on_the_page_gives_what_it_says(control_plane: ControlPlane, people: dict[str, Person]) -> None:
    (sample,) = re.findall(r"```yaml\n(.*?)```", permission_page.page(), flags=re.DOTALL)
    control_plane.create_namespace(TEAM)
    control_plane.kubectl("apply", "-f", "-", input=sample.replace("namespace: dr\n", f"namespace: {TEAM}\n"))
    members = [Person(name, control_plane.client_as(name, group="dr-team")) for name in ("alice", "bob")]
    answers = {}
    for person in members:
        plain = cleanup("pgtest1", applianceRef={"name": "default"})
        waived = cleanup("pgtest1", applianceRef={"name": "default"}, failoverJobID=JOB, waive=[WAIVER])
        other = cleanup("pgtest1", applianceRef={"name": "other"})
        for document in (plain, waived, other):
            document["metadata"]["namespace"] = TEAM
        answers[person.name] = [person.create(document) == "" for document in (plain, waived, other)]
        person.client.close()
    assert answers == {"alice": [True, True, False], "bob": [True, False, False]}
