"""`values.schema.json`: Helm refuses what it does not name."""

from __future__ import annotations

from typing import Any, Final

from pydantic.alias_generators import to_camel
from pydantic_settings import BaseSettings

from development.chart.values import CHART_SETS, SHARED_SETTINGS, Values
from failed_execution_cleanup.console.settings import ConsoleSettings
from failed_execution_cleanup.controller.settings import OperatorSettings

Schema = dict[str, Any]

_SHARED_DEFAULTS: Final = {"logFormat": "json"}
"""Where the chart's default is not that of the process."""


def values_schema() -> Schema:
    """The JSON schema of the values, without references, so that a reader finds each value where it is written."""
    whole = Values.model_json_schema()
    definitions = whole.pop("$defs")
    schema = _plain(whole, definitions)
    properties = schema["properties"]
    # Helm hands these to every chart, and a chart that has this one as a dependency uses them.
    properties["global"] = {"type": "object", "description": "Values that a parent chart shares; not used here."}
    properties["settings"] |= _settings(OperatorSettings, shared=True)
    properties["settings"]["default"] = _SHARED_DEFAULTS
    properties["operator"]["properties"]["settings"] |= _settings(OperatorSettings)
    properties["console"]["properties"]["settings"] |= _settings(ConsoleSettings)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Values", **schema}


def _settings(settings: type[BaseSettings], *, shared: bool = False) -> Schema:
    """Settings of a process that are values: those it shares with the other one, or those of its own."""
    whole = settings.model_json_schema(by_alias=False)
    owned = CHART_SETS[settings]
    return {
        "additionalProperties": False,
        "properties": {
            to_camel(name): _plain(field, whole.get("$defs", {}))
            for name, field in whole["properties"].items()
            if name not in owned and (name in SHARED_SETTINGS) == shared
        },
    }


def _plain(node: Any, definitions: Schema) -> Any:
    """Without titles, and with references replaced by what they refer to."""
    if isinstance(node, list):
        return [_plain(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        referred = definitions[node["$ref"].rpartition("/")[2]]
        node = {**referred, **{key: value for key, value in node.items() if key != "$ref"}}
    return {
        # What turns the rest on comes first.
        key: {name: _plain(value[name], definitions) for name in sorted(value, key="enabled".__ne__)}
        if key == "properties"
        else _plain(value, definitions)
        for key, value in node.items()
        if key != "title"
    }
