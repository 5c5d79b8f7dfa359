"""`docs/reference/rest-api.md`: every route of the console's REST interface, generated from its OpenAPI document.

python -m development.rest_page [--check]
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI

from development.generated_file import write_or_check
from development.markdown import cell, paragraphs
from failed_execution_cleanup.console.application import API_ROUTERS

PAGE: Final[Path] = Path(__file__).resolve().parent.parent / "docs" / "reference" / "rest-api.md"

_INTRODUCTION: Final = """\
# REST routes

Generated from the OpenAPI document that `fec serve` gives at `/api/v1/openapi.json`, by `make generate`. Who may call them, and what
waiting means: [REST](rest.md). Names in **bold** must be given.
"""

_Schema = Mapping[str, Any]


def page() -> str:
    """The whole page.

    Raises:
        ValueError: a field has no description.
    """
    application = FastAPI()
    for router in API_ROUTERS:
        application.include_router(router)
    document = application.openapi()
    parts = [_INTRODUCTION]
    for path, methods in document["paths"].items():
        for method, route in methods.items():
            parts += _route(method.upper(), path, route)
    parts.append("\n## Bodies\n")
    for name, schema in sorted(document["components"]["schemas"].items()):
        parts += _body(name, schema)
    return "".join(parts)


def _route(method: str, path: str, route: _Schema) -> Iterator[str]:
    yield f"\n## {method} {path}\n\n{paragraphs(route['description'])}\n"
    parameters = [
        (each["name"], each["in"], each["schema"], each.get("required", False)) for each in route.get("parameters", ())
    ]
    if parameters:
        yield "\n| parameter | in | value | meaning |\n|---|---|---|---|\n"
        for name, place, schema, required in parameters:
            # What may be left out is never sent as null.
            given = [each for each in schema.get("anyOf", (schema,)) if each.get("type") != "null"]
            yield f"| {_name(name, required=required)} | {place} | {_value(given[0])} | {_meaning(schema)} |\n"
    if "requestBody" in route:
        wanted = route["requestBody"]
        optional = "" if wanted.get("required") else ", optional"
        yield f"\nBody{optional}: {_contents(wanted['content'])}\n"
    yield "\n| answer | body | when |\n|---|---|---|\n"
    for status, answer in sorted(route["responses"].items()):
        yield f"| {status} | {_contents(answer.get('content', {}))} | {_when(answer)} |\n"


def _body(name: str, schema: _Schema) -> Iterator[str]:
    yield f"\n### {name}\n\n{paragraphs(schema.get('description'))}\n"
    if "enum" in schema:
        yield f"\n{_value(schema)}\n"
        return
    required = schema.get("required", ())
    yield "\n| field | value | meaning |\n|---|---|---|\n"
    for field, value in schema["properties"].items():
        if "description" not in value:
            raise ValueError(f"{name}.{field} has no description")
        yield f"| {_name(field, required=field in required)} | {_value(value)} | {_meaning(value)} |\n"


def _when(answer: _Schema) -> str:
    text = cell(answer["description"])
    return "as asked" if text == "Successful Response" else text


def _name(name: str, *, required: bool) -> str:
    return f"**`{name}`**" if required else f"`{name}`"


def _meaning(schema: _Schema) -> str:
    return cell(schema.get("description", ""))


def _contents(contents: _Schema) -> str:
    told = [
        _value(content["schema"]) if kind == "application/json" and content.get("schema") else f"`{kind}`"
        for kind, content in contents.items()
    ]
    return " or ".join(told)


def _value(schema: _Schema) -> str:
    """A value in words: a body's name, choices, or its kind with what bounds it."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join("`null`" if each.get("type") == "null" else _value(each) for each in schema["anyOf"])
    if "const" in schema:
        return f"`{str(schema['const']).lower()}`"
    if "enum" in schema:
        return ", ".join(f"`{choice}`" for choice in schema["enum"])
    kind = schema.get("type", "any")
    if kind == "array":
        return f"list of {_value(schema['items'])}{_bounds(schema)}"
    names = {"string": "text", "integer": "whole number", "boolean": "`true` or `false`", "object": "object"}
    named = {"date-time": "time"}.get(schema.get("format", ""), names.get(kind, kind))
    return f"{named}{_bounds(schema)}"


def _bounds(schema: _Schema) -> str:
    words = {
        "minimum": "at least {}",
        "maximum": "at most {}",
        "maxLength": "at most {} characters",
        "maxItems": "at most {}",
    }
    return "".join(f", {text.format(schema[name])}" for name, text in words.items() if name in schema)


def main() -> int:
    """Write the page, or with `--check` tell whether it is up to date (exit code 1: not)."""
    return write_or_check(PAGE, page())


if __name__ == "__main__":
    sys.exit(main())
