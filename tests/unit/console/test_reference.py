"""docs/reference/rest.md names every route, setting and metric there is."""

from __future__ import annotations

import re
from typing import Final

from development.stand import ROOT
from failed_execution_cleanup.access.claim_settings import ClaimSettings
from failed_execution_cleanup.console.application import create_application
from failed_execution_cleanup.console.settings import ConsoleSettings
from tests.unit.console.cluster import ConsoleCluster, services

PAGE: Final = (ROOT / "docs" / "reference" / "rest.md").read_text(encoding="utf-8")
SHARED: Final = {"namespace", "kubeconfig", "docs_url", "log_format", "log_level"}


def test_every_route_is_named() -> None:
    paths = create_application(services(ConsoleCluster())).openapi()["paths"]
    documented = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    named = set(re.findall(r"(GET|POST) (/api/v1/[a-z{}_/-]+)", PAGE))
    assert named >= documented
    assert named - documented <= {("GET", "/api/v1/openapi")}


def test_every_setting_is_named_and_no_other() -> None:
    own = {f"FEC_CONSOLE_{name.upper()}" for name in ConsoleSettings.model_fields.keys() - SHARED - {"claims"}}
    shared = {f"FEC_{name.upper()}" for name in SHARED | set(ClaimSettings.model_fields)}
    assert set(re.findall(r"FEC_[A-Z_]+", PAGE)) == own | shared


def test_defaults_are_told_as_they_are() -> None:
    for name, field in ConsoleSettings.model_fields.items():
        if isinstance(field.default, int | float) and "port" not in name:
            (told,) = re.findall(rf"`FEC_CONSOLE_{name.upper()}` \| (\S+) \|", PAGE)
            assert float(told) == field.default, name


def test_every_metric_is_named() -> None:
    families = services(ConsoleCluster()).metrics.registry.collect()
    ours = {family.name for family in families if family.name.startswith("fec_")}
    named = {name.removesuffix("_total") for name in re.findall(r"`(fec_console_[a-z_]+)`", PAGE)}
    assert named == ours
