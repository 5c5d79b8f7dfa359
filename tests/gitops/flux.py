"""Flux's health check expressions, evaluated by a CEL library (peers and conventions 2.2)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import celpy
import yaml
from celpy.adapter import json_to_cel

EXPRESSIONS: Final = Path(__file__).resolve().parents[2] / "gitops/flux/health-check-exprs.yaml"
_ORDER: Final = {"inProgress": "InProgress", "failed": "Failed", "current": "Current"}


def flux_health(body: Mapping[str, Any]) -> str:
    """`InProgress`, `Failed` or `Current`: the first expression that is true, in Flux's order; none: in progress.

    The top-level fields of the object are the variables, as in Flux.
    """
    (check,) = (
        entry
        for entry in yaml.safe_load(EXPRESSIONS.read_text(encoding="utf-8"))
        if (entry["apiVersion"], entry["kind"]) == (body["apiVersion"], body["kind"])
    )
    variables = {name: json_to_cel(value) for name, value in body.items()}
    for name, judgement in _ORDER.items():
        environment = celpy.Environment()
        if bool(environment.program(environment.compile(check[name])).evaluate(variables)):
            return judgement
    return "InProgress"
