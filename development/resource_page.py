"""`docs/reference/resources.md`: every field of the custom resources, generated from the definitions in `crds/`.

python -m development.resource_page [--check]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from development.generated_file import write_or_check
from development.markdown import cell, paragraphs
from failed_execution_cleanup.resources import identifiers
from failed_execution_cleanup.resources.reasons import ConditionType

ROOT: Final = Path(__file__).resolve().parent.parent
DEFINITIONS: Final = (
    "failover.ossea.io_failedexecutioncleanups.yaml",
    "failover.ossea.io_appliances.yaml",
)
PAGE: Final[Path] = ROOT / "docs" / "reference" / "resources.md"

_INTRODUCTION: Final = """\
# Resources

Generated from `crds/` by `make generate`; `kubectl explain fec.spec --recursive` and `kubectl explain appliance.spec --recursive` tell the
same. Group `{group}`, version `{version}`. How versions change is told in [versions](../versions.md).

In paths `[]` stands for each item of a list. A field in **bold** is required.
"""
_ANNOTATIONS: Final = {
    identifiers.REQUESTED_AT_ANNOTATION: "any new value asks for one more run of a finished or refused cleanup; echoed in"
    " `status.lastHandledRequest`",
    identifiers.APPROVED_PLAN_ANNOTATION: "the `status.planHash` that a person approved: exactly that is done",
    identifiers.SUSPENDED_ANNOTATION: '`"true"` suspends like `spec.suspend`, without a difference between cluster and Git',
    identifiers.CLEANUPS_CREATED_ANNOTATION: "written by the operator on an Appliance: cleanups its scan created, none of which is"
    " created a second time",
}
_CONDITIONS: Final = {
    ConditionType.READY: "the verdict; its reason is one of [the reasons](../reasons/README.md)",
    ConditionType.VOLUMES_ATTACHED: "every volume is on the appliance, with mapping and export",
    ConditionType.SNAPSHOTS_REMOVED: "no snapshot of the failed job is left but those under `status.leftovers`",
    ConditionType.TEST_VM_REMOVED: "the VMs that the failed job created are gone",
    ConditionType.CONTEXT_READY: "rows are closed and the context is `ready_for_failover`",
    ConditionType.DATABASE_REACHABLE: "of an Appliance: the database answers",
    ConditionType.VOLUME_DAEMON_REACHABLE: "of an Appliance: the Volume Daemon answers",
    ConditionType.OSSEA_REACHABLE: "of an Appliance: the cloud answers and accepts the keys",
    ConditionType.SCANNED: "of an Appliance: the last scan was complete",
    ConditionType.RECONCILING: "only while True: at work, or waiting for what ends by itself",
    ConditionType.STALLED: "only while True: only a person can help",
    ConditionType.SUSPENDED: "only while True: held by `spec.suspend` or the annotation",
    ConditionType.PLANNED: "only while True: there is a plan that was not carried out",
    ConditionType.DRIFTED: "only while True: a goal that was reached holds no longer",
    ConditionType.DATA_SUSPECT: "only while True: nobody can vouch for the content of a volume",
}


def page() -> str:
    """The whole page.

    Raises:
        ValueError: a field has no description.
    """
    introduction = _INTRODUCTION.format(group=identifiers.GROUP, version=identifiers.VERSION)
    kinds = [yaml.safe_load((ROOT / "crds" / name).read_text(encoding="utf-8")) for name in DEFINITIONS]
    return "".join(
        (
            introduction,
            *(line for definition in kinds for line in _kind(definition["spec"])),
            "\n## Conditions\n\n| type | True means |\n|---|---|\n",
            *(f"| `{condition}` | {_CONDITIONS[condition]} |\n" for condition in ConditionType),
            "\n## Annotations\n\n| annotation | |\n|---|---|\n",
            *(f"| `{name}` | {meaning} |\n" for name, meaning in _ANNOTATIONS.items()),
            f"\nThe finalizer `{identifiers.FINALIZER}` is on a cleanup while a claim is held for it, and on an Appliance while a cleanup"
            " on it holds one.\n",
        )
    )


def _kind(spec: Mapping[str, Any]) -> Iterator[str]:
    (version,) = spec["versions"]
    schema = version["schema"]["openAPIV3Schema"]
    names = spec["names"]
    short = "".join(f", short name `{name}`" for name in names.get("shortNames", ()))
    yield f"\n## {names['kind']}\n\n{paragraphs(schema['description'])}\n"
    yield f"\n{spec['scope']}; `{names['plural']}`{short}, category {', '.join(f'`{name}`' for name in names['categories'])}.\n"
    for part in ("spec", "status"):
        yield f"\n### {names['kind']} {part}\n\n{paragraphs(schema['properties'][part]['description'])}\n"
        yield "\n| field | value | meaning |\n|---|---|---|\n"
        yield from _fields(schema["properties"][part], part)
        rules = list(_rules(schema["properties"][part], part))
        if rules:
            yield "\nThe API server refuses what breaks one of these rules:\n\n"
            yield from (f"- `{path}`: {message}.\n" for path, message in rules)
    yield f"\n### {names['kind']} columns\n\n| column | shows |\n|---|---|\n"
    for column in version["additionalPrinterColumns"]:
        wide = " (`-o wide`)" if column.get("priority") else ""
        yield f"| {column['name']} | {column['description']}{wide} |\n"


def _fields(schema: Mapping[str, Any], path: str) -> Iterator[str]:
    for name, field in schema.get("properties", {}).items():
        here = f"{path}.{name}"
        if "description" not in field:
            raise ValueError(f"{here} has no description")
        shown = f"**`{here}`**" if name in schema.get("required", ()) else f"`{here}`"
        yield f"| {shown} | {_value(field)} | {cell(field['description'])} |\n"
        yield from _fields(field, here)
        yield from _fields(field.get("items", {}), f"{here}[]")


def _value(field: Mapping[str, Any]) -> str:
    kind = field.get("format", field["type"])
    if kind == "array":
        item = field["items"]
        longest = f"list of at most {field['maxItems']}" if "maxItems" in field else "list"
        return f"{longest}: {_value(item)}" if item["type"] != "object" else f"{longest} objects"
    parts = [", ".join(f"`{choice}`" for choice in field["enum"]) if "enum" in field else kind]
    for bound, words in (("minimum", "at least"), ("maximum", "at most")):
        # The largest number of the format itself is no bound that anybody has to know.
        if bound in field and abs(field[bound]) < 2**31:
            parts.append(f"{words} {field[bound]}")
    if field["type"] == "string" and field.get("maxLength", 0) > 0 and "enum" not in field:
        parts.append(f"at most {field['maxLength']} characters")
    if "default" in field and field["default"] != {}:
        parts.append(f"default `{json.dumps(field['default'])}`")
    return ", ".join(parts)


def _rules(schema: Mapping[str, Any], path: str) -> Iterator[tuple[str, str]]:
    for rule in schema.get("x-kubernetes-validations", ()):
        yield f"{path}{rule.get('fieldPath', '')}", rule["message"]
    for name, field in schema.get("properties", {}).items():
        yield from _rules(field, f"{path}.{name}")
        yield from _rules(field.get("items", {}), f"{path}.{name}[]")


def main() -> int:
    """Write the page, or with `--check` tell whether it is up to date (exit code 1: not)."""
    return write_or_check(PAGE, page())


if __name__ == "__main__":
    sys.exit(main())
