"""Reference pages and configuration files tell what the product reads."""

from __future__ import annotations

import re
from types import ModuleType
from typing import Any

import pytest
import yaml
from pydantic_settings import BaseSettings, SettingsConfigDict

from development import environment_files, resource_page, rest_page, settings_page
from failed_execution_cleanup.access.claim_settings import ClaimSettings
from failed_execution_cleanup.console.settings import ConsoleSettings
from failed_execution_cleanup.controller.settings import OperatorSettings
from tests.docs.pages import ROOT

SETTINGS = [ClaimSettings, OperatorSettings, ConsoleSettings]


@pytest.mark.parametrize(
    "module", [settings_page, resource_page, rest_page, environment_files], ids=lambda module: module.__name__
)
def test_what_is_in_the_repository_is_what_would_be_made(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["page", "--check"])
    assert module.main() == 0, capsys.readouterr().err


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: settings.__name__)
def test_every_variable_on_the_page_is_read(settings: type[BaseSettings], monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, field in settings_page.variables(settings).items():
        assert f"| `{variable}` |" in settings_page.page()
        if isinstance(field.default, int | float) and not isinstance(field.default, bool):
            monkeypatch.setenv(variable, str(field.default + 1))
            name = next(name for name, each in settings.model_fields.items() if each is field)
            assert getattr(settings(), name) == field.default + 1, variable
            monkeypatch.delenv(variable)


def test_a_setting_without_description_is_refused() -> None:
    class Undescribed(BaseSettings):
        model_config = SettingsConfigDict(env_prefix="FEC_")
        number: int = 1

    with pytest.raises(ValueError, match="FEC_NUMBER has no description"):
        list(settings_page._rows(Undescribed))


@pytest.mark.parametrize(
    ("file", "settings"),
    [("operator.env", [OperatorSettings]), ("console.env", [ConsoleSettings, ClaimSettings])],
)
def test_an_environment_file_taken_as_it_is_changes_nothing(
    file: str, settings: list[type[BaseSettings]], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / "systemd" / file).read_text(encoding="utf-8")
    given = dict(re.findall(r"^#(FEC_\w+)=(.*)$", text, re.MULTILINE))
    known = {variable for each in settings for variable in settings_page.variables(each)}
    assert known - given.keys() <= {"FEC_KUBECONFIG", "FEC_IDENTITY"}
    before = [each().model_dump(exclude={"identity"}) for each in settings]
    for variable, value in given.items():
        if value:
            monkeypatch.setenv(variable, value.strip("'"))
    assert [each().model_dump(exclude={"identity"}) for each in settings] == before


def fields(schema: dict[str, Any], path: str) -> list[str]:
    """Paths of all fields of a schema."""
    found = []
    for name, field in schema.get("properties", {}).items():
        found += [
            f"{path}.{name}",
            *fields(field, f"{path}.{name}"),
            *fields(field.get("items", {}), f"{path}.{name}[]"),
        ]
    return found


def test_every_field_and_rule_of_the_resources_is_on_the_page() -> None:
    page = resource_page.page()
    for file in resource_page.DEFINITIONS:
        text = (ROOT / "crds" / file).read_text(encoding="utf-8")
        (version,) = yaml.safe_load(text)["spec"]["versions"]
        for part in ("spec", "status"):
            for path in fields(version["schema"]["openAPIV3Schema"]["properties"][part], part):
                assert f"`{path}`" in page
    assert page.count("The API server refuses") == len(resource_page.DEFINITIONS)
