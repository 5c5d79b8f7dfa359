"""Every value is described, checked, and has an effect."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from pydantic_settings import BaseSettings

from development.chart import __main__ as generation
from development.chart.rendering import Helm, HelmError, Object, rendered
from development.chart.schema import values_schema
from development.chart.sources import CHART, COPIES
from development.chart.values import CHART_SETS
from failed_execution_cleanup.access.claim_settings import ClaimSettings
from failed_execution_cleanup.console.settings import ConsoleSettings
from failed_execution_cleanup.controller.settings import OperatorSettings
from tests.package.objects import by_identity, environment

SCHEMA: Final = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))


def leaves(schema: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every value that is no group of values, with its path."""
    for name, field in schema["properties"].items():
        if "properties" in field:
            yield from leaves(field, f"{path}{name}.")
        else:
            yield f"{path}{name}", field


VALUES: Final = {path: field for path, field in leaves(SCHEMA) if path != "global"}

OTHER: Final[Mapping[str, Any]] = {
    "nameOverride": "mine",
    "fullnameOverride": "mine",
    "commonLabels": {"team": "dr"},
    "commonAnnotations": {"contact": "dr-team"},
    "image.repository": "registry.example.com/fec",
    "image.tag": "edge",
    "image.digest": f"sha256:{'0' * 64}",
    "image.pullPolicy": "Always",
    "imagePullSecrets": [{"name": "registry"}],
    "watchNamespaces": ["dr"],
    "appliances": [{"name": "default", "spec": {"omaVMID": "x"}}],
    "listenOn": "::",
    "podSecurityContext": {"runAsUser": 10001},
    "securityContext": {"runAsUser": 10001},
    "console.enabled": False,
    "console.tls.secretName": "certificate",
    "console.service.type": "NodePort",
    "console.service.port": 8443,
    "console.service.annotations": {"a": "b"},
    "console.ingress.enabled": False,
    "console.ingress.className": "nginx",
    "console.ingress.host": "elsewhere.example.com",
    "console.ingress.path": "/fec",
    "console.ingress.tlsSecretName": "host",
    "console.ingress.annotations": {"a": "b"},
    "networkPolicy.kubernetesApi.cidrs": ["10.0.0.1/32"],
    "networkPolicy.kubernetesApi.ports": [16443],
    "networkPolicy.appliances.cidrs": ["192.0.2.0/24"],
    "networkPolicy.appliances.ports": [3307],
    "networkPolicy.metricsFrom": [{"podSelector": {}}],
    "networkPolicy.consoleFrom": [{"podSelector": {}}],
    "monitoring.scrape": "ServiceMonitor",
    "monitoring.interval": "1m",
    "monitoring.labels": {"release": "prometheus"},
    "monitoring.rules.runbookPrefix": "https://git.example.com/",
    "monitoring.dashboard.labels": {"dashboards": "mine"},
    "monitoring.dashboard.annotations": {"folder": "DR"},
    "settings.logLevel": "DEBUG",
    "settings.logFormat": "human",
    "settings.docsUrl": "https://git.example.com/docs/reasons/",
    "operator.settings.appliances": ["default"],
    "console.settings.trustedProxies": ["10.0.0.0/8"],
    **{
        f"{part}.{name}": value
        for part in ("operator", "console")
        for name, value in {
            "resources": {"limits": {"memory": "1Gi"}},
            "podLabels": {"a": "b"},
            "podAnnotations": {"a": "b"},
            "nodeSelector": {"a": "b"},
            "tolerations": [{"operator": "Exists"}],
            "affinity": {"podAntiAffinity": {}},
            "topologySpreadConstraints": [],
            "priorityClassName": "high",
            "extraEnv": [{"name": "A", "value": "b"}],
            "extraVolumes": [{"name": "a", "emptyDir": {}}],
            "extraVolumeMounts": [{"name": "a", "mountPath": "/a"}],
            "serviceAccount.name": "mine",
            "serviceAccount.annotations": {"a": "b"},
        }.items()
    },
}
"""Another value than the one of `EVERYTHING_ON`, for those whose type alone does not give one."""

EVERYTHING_ON: Final[Mapping[str, Any]] = {
    "console": {"enabled": True, "ingress": {"enabled": True, "host": "fec.example.com"}},
    "monitoring": {"scrape": "PodMonitor", "rules": {"enabled": True}, "dashboard": {"enabled": True}},
}


def other(path: str, field: Mapping[str, Any]) -> Any:
    """Some other value than the present one."""
    if path in OTHER:
        return OTHER[path]
    present = lookup(EVERYTHING_ON, path, field.get("default"))
    if isinstance(present, bool):
        return not present
    assert isinstance(present, int | float), f"OTHER needs a row for {path}"
    return present + 1 if present + 1 <= field.get("maximum", present + 1) else present - 1


def lookup(values: Mapping[str, Any], path: str, default: Any) -> Any:
    found: Any = values
    for name in path.split("."):
        if name not in found:
            return default
        found = found[name]
    return found


def nested(path: str, value: Any) -> dict[str, Any]:
    *groups, name = path.split(".")
    found = {name: value}
    for group in reversed(groups):
        found = {group: found}
    return found


def merged(values: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """Values with others over them, as Helm merges files."""
    return {**values} | {
        name: merged(values[name], value)
        if isinstance(value, Mapping) and isinstance(values.get(name), Mapping)
        else value
        for name, value in others.items()
    }


@pytest.fixture(scope="module")
def everything() -> list[Object]:
    return rendered(EVERYTHING_ON)


@pytest.mark.parametrize("path", VALUES)
def test_a_value_changes_what_is_rendered(path: str, everything: list[Object]) -> None:
    changed = rendered(merged(EVERYTHING_ON, nested(path, other(path, VALUES[path]))))
    assert by_identity(changed) != by_identity(everything)


@pytest.mark.parametrize("path", VALUES)
def test_a_value_is_described(path: str) -> None:
    description = VALUES[path].get("description", "")
    assert description.endswith("."), description
    # One and the same sentence for all: somebody forgot to write one.
    assert description != "Part of a Kubernetes object, handed through as it is; the API server judges it."


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"replicas": 2}, "replicas"),
        ({"operator": {"replica": 3}}, "operator"),
        ({"operator": {"settings": {"workerz": 3}}}, "operator/settings"),
        ({"console": {"ingress": {"hosts": []}}}, "console/ingress"),
        ({"operator": {"settings": {"workers": 0}}}, "operator/settings/workers"),
        ({"operator": {"replicas": "two"}}, "operator/replicas"),
        ({"operator": {"terminationGracePeriodSeconds": 30}}, "operator/terminationGracePeriodSeconds"),
        ({"settings": {"logLevel": "LOUD"}}, "settings/logLevel"),
        ({"listenOn": "127.0.0.1"}, "listenOn"),
        ({"operator": {"extraEnv": [{"name": "FEC_WORKERS", "value": "3"}]}}, "operator/extraEnv/0/name"),
        ({"console": {"extraEnv": [{"value": "3"}]}}, "console/extraEnv/0"),
        ({"image": {"digest": "latest"}}, "image/digest"),
        ({"image": {"pullPolicy": "Sometimes"}}, "image/pullPolicy"),
        ({"watchNamespaces": ["Not A Name"]}, "watchNamespaces/0"),
        ({"appliances": [{"spec": {}}]}, "appliances/0"),
        ({"networkPolicy": {"appliances": {"ports": []}}}, "networkPolicy/appliances/ports"),
        ({"monitoring": {"scrape": "Everything"}}, "monitoring/scrape"),
    ],
)
def test_a_wrong_or_unknown_value_is_refused_with_its_place(values: Mapping[str, Any], place: str) -> None:
    with pytest.raises(HelmError, match="values don't meet the specifications") as refused:
        rendered(values)
    assert place in str(refused.value)


def test_the_values_file_says_what_the_schema_says() -> None:
    """Whoever copies the file and changes nothing gets the defaults."""
    assert by_identity(rendered(yaml.safe_load((CHART / "values.yaml").read_text()))) == by_identity(rendered())


def test_the_values_file_names_every_value() -> None:
    text = (CHART / "values.yaml").read_text(encoding="utf-8")
    for path in VALUES:
        name = path.rpartition(".")[2]
        assert f"{name}:" in text, path


# --- settings of the processes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("part", "settings"), [("operator", OperatorSettings), ("console", ConsoleSettings)])
def test_a_process_understands_every_setting_of_the_chart(
    part: str, settings: type[BaseSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is rendered is read back by the settings class itself: right name, right form."""
    groups = {"settings": ("settings",), f"{part}.settings": (part, "settings")}
    wanted = {path: other(path, field) for path, field in VALUES.items() if path.rpartition(".")[0] in groups}
    values: dict[str, Any] = {"console": {"enabled": True}}
    for path, value in wanted.items():
        values = merged(values, nested(path, value))
    for name, text in environment(rendered(values), part).items():
        monkeypatch.setenv(name, text)
    read = settings()
    claims = ClaimSettings()
    for path, value in wanted.items():
        field = snake(path.rpartition(".")[2])
        found = getattr(claims if field in ClaimSettings.model_fields else read, field)
        assert (list(found) if isinstance(found, tuple) else found) == value, path


@pytest.mark.parametrize("settings", [OperatorSettings, ConsoleSettings])
def test_what_the_chart_sets_itself_are_settings(settings: type[BaseSettings]) -> None:
    assert CHART_SETS[settings].keys() <= settings.model_fields.keys()


def snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def test_the_defaults_are_those_of_the_processes() -> None:
    defaults = {
        **OperatorSettings().model_dump(mode="json"),
        **{f"console.{name}": value for name, value in ConsoleSettings().model_dump(mode="json").items()},
    }
    for path, field in VALUES.items():
        group, _, name = path.rpartition(".")
        if group.endswith("settings"):
            prefix = "console." if group.startswith("console") else ""
            assert field["default"] == defaults[f"{prefix}{snake(name)}"], path


# --- generated files -----------------------------------------------------------------------------------------------


def test_what_is_generated_of_the_chart_is_up_to_date(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["chart", "--check"])
    assert generation.main() == 0, capsys.readouterr().err


def test_an_outdated_copy_is_told_with_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    source = tmp_path / "rbac.yaml"
    source.write_text("kind: Role\n")
    monkeypatch.setattr(generation, "COPIES", {**COPIES, next(iter(COPIES)): source})
    monkeypatch.setattr("sys.argv", ["chart", "--check"])
    assert generation.main() == 1
    assert "run make generate" in capsys.readouterr().err


def test_a_page_without_a_place_for_the_table_is_refused() -> None:
    with pytest.raises(ValueError, match="no place for the table"):
        generation.page("# Install\n", "")


def test_the_schema_has_no_references() -> None:
    assert "$ref" not in json.dumps(values_schema())


def test_the_chart_is_without_fault(offline: Helm) -> None:
    assert "0 chart(s) failed" in offline.run("lint", "--strict", CHART)
