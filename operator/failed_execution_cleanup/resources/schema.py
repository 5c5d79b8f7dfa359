"""CustomResourceDefinitions made from the models, so that the API server and the operator agree on every field.

Pydantic speaks JSON Schema 2020-12; the API server wants a *structural* OpenAPI v3 schema. The difference is closed
here: references are inlined, "or null" becomes optional, titles go, nested defaults are left to the API server. What
the translation does not know is refused with its path instead of being passed on, because the API server would drop
or reject it much later.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from failed_execution_cleanup.resources.appliance import Appliance
from failed_execution_cleanup.resources.cleanup import FailedExecutionCleanup
from failed_execution_cleanup.resources.identifiers import (
    APPLIANCE_KIND,
    APPLIANCE_PLURAL,
    CLEANUP_KIND,
    CLEANUP_PLURAL,
    GROUP,
    VERSION,
)
from failed_execution_cleanup.resources.kubernetes_model import KubernetesModel

Document = dict[str, Any]
"""A Kubernetes object or a part of one, ready for YAML or JSON."""

_KEYWORDS: Final = (
    "description",
    "type",
    "format",
    "enum",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "default",
    "required",
    "properties",
    "items",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-validations",
)
"""All keywords a structural schema of ours may hold, in the order in which they are written."""

_IMPLIED_DEFAULTS: Final[tuple[object, ...]] = (None, [])
"""Defaults that say no more than the absence of the field."""


class UnstructuralSchemaError(ValueError):
    """A model uses something that has no place in a structural schema; the message names the field and the remedy."""


def crd_documents() -> list[Document]:
    """Return the two CustomResourceDefinitions.

    Raises:
        UnstructuralSchemaError: If a model cannot be expressed; a mistake in the model.
    """
    return [
        _definition(
            FailedExecutionCleanup,
            kind=CLEANUP_KIND,
            plural=CLEANUP_PLURAL,
            short_names=["fec"],
            scope="Namespaced",
            columns=[
                _column("VM", ".spec.vmName", "Name of the VM"),
                _column("Appliance", ".spec.applianceRef.name", "Appliance that replicates the VM"),
                _column("Job", ".status.failedJob.id", "Failover job the cleanup is bound to"),
                *_ready_columns(),
                _column("Phases", ".status.phaseSummary", "Phases completed or skipped of all"),
                _age_column(),
                _column("Message", _of_ready("message"), "What a person should know", priority=1),
            ],
            selectable_fields=[".spec.vmName", ".spec.applianceRef.name", ".spec.failoverJobID"],
        ),
        _definition(
            Appliance,
            kind=APPLIANCE_KIND,
            plural=APPLIANCE_PLURAL,
            short_names=[],
            scope="Cluster",
            columns=[
                *_ready_columns(),
                _column("Stuck", ".status.stuckVMs", "VMs with a stuck failover", type_="integer"),
                _column("OSSEA", ".status.osseaURL", "Address of the cloud in use"),
                _age_column(),
                _column("Message", _of_ready("message"), "What a person should know", priority=1),
            ],
            selectable_fields=[],
        ),
    ]


def structural_schema(model: type[KubernetesModel]) -> Document:
    """Return the structural OpenAPI v3 schema of a custom resource's model.

    Defaults are kept in ``spec`` only. ``status`` gets the one default ``observedGeneration: -1``, so that a new object
    does not count as reconciled before the operator has seen it (kstatus reads an absent status as current).

    Args:
        model: A model with the fields ``metadata``, ``spec`` and ``status``.

    Raises:
        UnstructuralSchemaError: If the model cannot be expressed.
    """
    source = model.model_json_schema(by_alias=True)
    definitions: Mapping[str, Document] = source["$defs"]
    fields = source["properties"]
    spec = _structural(fields["spec"], definitions, path="spec")
    status = _structural(_without_defaults(fields["status"]), _without_defaults(definitions), path="status")
    return {
        "description": _paragraphs(source["description"]),
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {
                "description": f"Version of the API: {GROUP}/{VERSION}.",
                "type": "string",
            },
            "kind": {"description": "Kind of the object.", "type": "string"},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": _ordered(status | {"default": {"observedGeneration": -1}}),
        },
    }


def _structural(
    source: Mapping[str, Any], definitions: Mapping[str, Document], *, path: str, in_list: bool = False
) -> Document:
    schema = _inlined(source, definitions, path=path)
    unknown = schema.keys() - set(_KEYWORDS)
    if unknown:
        raise UnstructuralSchemaError(
            f"{path}: {', '.join(sorted(unknown))} has no place in a structural schema; declare the field with a plain "
            "type and inclusive bounds"
        )
    if "description" in schema:
        schema["description"] = _paragraphs(schema["description"])
    if "default" in schema:
        if schema["default"] in _IMPLIED_DEFAULTS:
            del schema["default"]
        elif in_list:
            raise UnstructuralSchemaError(
                f"{path}: server-side apply cannot own a default inside a list; make it required"
            )
        elif schema["type"] == "object":
            # The fields inside have their own defaults, and the API server fills them in.
            schema["default"] = {}
    match schema.get("type"):
        case "object":
            schema["properties"] = {
                name: _structural(field, definitions, path=f"{path}.{name}", in_list=in_list)
                for name, field in schema["properties"].items()
            }
        case "array":
            if "x-kubernetes-list-type" not in schema:
                raise UnstructuralSchemaError(
                    f"{path}: a list must say how it is merged; add SET_SCHEMA or map_schema()"
                )
            schema["items"] = _structural(schema["items"], definitions, path=f"{path}[]", in_list=True)
        case "integer":
            schema["format"] = "int64"
        case "string" | "boolean":
            pass
        case other:
            raise UnstructuralSchemaError(f"{path}: type {other} is not used in our resources")
    return _ordered(schema)


def _inlined(source: Mapping[str, Any], definitions: Mapping[str, Document], *, path: str) -> Document:
    """Return ``source`` with its reference and its "or null" resolved; what stands beside a reference wins over it."""
    schema = {key: value for key, value in source.items() if key != "title"}
    if "anyOf" in schema:
        choices = [choice for choice in schema.pop("anyOf") if choice != {"type": "null"}]
        if len(choices) != 1:
            raise UnstructuralSchemaError(f"{path}: a field has one type; split it into several fields")
        return _inlined({**choices[0], **schema}, definitions, path=path)
    if "$ref" in schema:
        name = schema.pop("$ref").removeprefix("#/$defs/")
        return _inlined({**definitions[name], **schema}, definitions, path=path)
    return schema


def _without_defaults(node: Any) -> Any:
    if isinstance(node, Mapping):
        return {key: _without_defaults(value) for key, value in node.items() if key != "default"}
    if isinstance(node, list):
        return [_without_defaults(value) for value in node]
    return node


def _ordered(schema: Mapping[str, Any]) -> Document:
    return {keyword: schema[keyword] for keyword in _KEYWORDS if keyword in schema}


def _paragraphs(text: str) -> str:
    """Undo the line breaks of the source: `kubectl explain` wraps lines itself."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


def _definition(
    model: type[KubernetesModel],
    *,
    kind: str,
    plural: str,
    short_names: Sequence[str],
    scope: str,
    columns: Sequence[Document],
    selectable_fields: Sequence[str],
) -> Document:
    names: Document = {
        "kind": kind,
        "listKind": f"{kind}List",
        "plural": plural,
        "singular": kind.lower(),
        "categories": ["dr"],
    }
    if short_names:
        names["shortNames"] = list(short_names)
    version: Document = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": list(columns),
        "schema": {"openAPIV3Schema": structural_schema(model)},
    }
    if selectable_fields:
        version["selectableFields"] = [{"jsonPath": path} for path in selectable_fields]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {"group": GROUP, "names": names, "scope": scope, "versions": [version]},
    }


def _of_ready(field: str) -> str:
    # By filter, not by index: the order of conditions is nobody's promise.
    return f'.status.conditions[?(@.type=="Ready")].{field}'


def _column(name: str, path: str, description: str, *, type_: str = "string", priority: int = 0) -> Document:
    column: Document = {"name": name, "type": type_, "description": description, "jsonPath": path}
    return column | {"priority": priority} if priority else column


def _ready_columns() -> list[Document]:
    return [
        _column(
            "Ready", _of_ready("status"), "True when finished, False when a person is needed, Unknown while working"
        ),
        _column("Reason", _of_ready("reason"), "Why it is or is not ready"),
    ]


def _age_column() -> Document:
    return {
        "name": "Age",
        "type": "date",
        "description": "Time since creation",
        "jsonPath": ".metadata.creationTimestamp",
    }
