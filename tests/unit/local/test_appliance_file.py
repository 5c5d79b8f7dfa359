"""An Appliance from a file: what the API server would refuse is refused, and no message repeats what stands in the file."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
import yaml

from failed_execution_cleanup.local.appliance_file import UnusableFileError, read_appliance_file

PASSWORD = "hunter2-7Qv0Zx"
SPEC: dict[str, Any] = {
    "database": {"urlSecretRef": {"name": "oma-database", "key": "url"}},
    "volumeDaemon": {"url": "http://oma.example.com:8090"},
}
APPLIANCE: dict[str, Any] = {
    "apiVersion": "failover.ossea.io/v1alpha1",
    "kind": "Appliance",
    "metadata": {"name": "default", "managedFields": [{"manager": "kubectl"}]},
    "spec": SPEC,
    "status": {"stuckVMs": 3},
}


def secret(**parts: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "oma-database"}, **parts}


def written(tmp_path: Path, *documents: Any) -> Path:
    path = tmp_path / "appliance.yaml"
    path.write_text(yaml.safe_dump_all(documents))
    return path


def test_an_appliance_as_kubectl_prints_it_is_read_without_its_status(tmp_path: Path) -> None:
    read = read_appliance_file(written(tmp_path, APPLIANCE))
    assert read.appliance.metadata.name == "default"
    assert read.appliance.spec.volume_daemon.url == "http://oma.example.com:8090"
    assert read.appliance.status.stuck_vms is None


@pytest.mark.parametrize("listed", [False, True], ids=["documents", "a list"])
def test_secrets_stand_beside_it(tmp_path: Path, listed: bool) -> None:
    encoded = base64.b64encode(b"from data").decode()
    beside = secret(data={"url": encoded, "key": encoded}, stringData={"url": PASSWORD})
    documents = [{"kind": "List", "items": [APPLIANCE, beside]}] if listed else [APPLIANCE, None, beside]
    read = read_appliance_file(written(tmp_path, *documents))
    values = {key: value.get_secret_value() for key, value in read.secrets["oma-database"].items()}
    assert values == {"url": PASSWORD.encode(), "key": b"from data"}, "stringData goes before data, as in Kubernetes"
    assert PASSWORD not in repr(read)


@pytest.mark.parametrize(
    ("documents", "named"),
    [
        ([], ["0 objects"]),
        ([APPLIANCE, APPLIANCE], ["2 objects"]),
        ([{**APPLIANCE, "apiVersion": "v1"}], ["apiVersion"]),
        ([{**APPLIANCE, "metadata": {}}], ["metadata.name"]),
        ([{**APPLIANCE, "spec": PASSWORD}], ["spec"]),
        ([{**APPLIANCE, "spec": {**SPEC, "waiverz": [PASSWORD]}}], ["spec.waiverz", "not permitted"]),
        ([{**APPLIANCE, "spec": {**SPEC, "waivers": [PASSWORD]}}], ["spec.waivers.0", "RunningTestVM"]),
        (
            [{**APPLIANCE, "spec": {**SPEC, "volumeDaemon": {"url": f"http://u:{PASSWORD}@oma"}}}],
            ["spec.volumeDaemon.url"],
        ),
        ([APPLIANCE, secret(data={"url": f"{PASSWORD}!"})], ["oma-database", "'url'", "base64", "stringData"]),
        ([APPLIANCE, secret(stringData={"url": 4711})], ["oma-database", "stringData", "quote"]),
        ([APPLIANCE, {"kind": "Secret", "stringData": {"url": PASSWORD}}], ["Secret", "metadata.name"]),
    ],
    ids=[
        "nothing", "two", "another version", "no name", "no spec", "misspelt field", "unknown waiver",
        "password in an address", "no base64", "a number", "a Secret without a name",
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_named_and_not_shown(tmp_path: Path, documents: list[Any], named: list[str]) -> None:
    with pytest.raises(UnusableFileError) as told:
        read_appliance_file(written(tmp_path, *documents))
    assert [word for word in named if word not in str(told.value)] == []
    assert PASSWORD not in str(told.value)
    assert told.value.__suppress_context__ or told.value.__context__ is None


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (f"kind: Secret\nstringData:\n  url: {PASSWORD}: x: [", "line 3"),
        (f"url: *{PASSWORD}", "line 1"),
        ("url: \x07", "no YAML"),
    ],
)
def test_what_is_no_yaml_is_told_by_its_place(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "appliance.yaml"
    path.write_text(text)
    with pytest.raises(UnusableFileError, match=named) as told:
        read_appliance_file(path)
    assert PASSWORD not in str(told.value)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(UnusableFileError, match="cannot be read: No such file"):
        read_appliance_file(tmp_path / "nowhere.yaml")
