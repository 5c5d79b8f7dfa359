"""The kinds of objects: those that are built in, and those that custom resource definitions add."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, TypeAlias

Body: TypeAlias = dict[str, Any]
"""An object. One that is stored is never changed, only replaced: lists and watches share it."""


def _as_it_is(body: Body) -> Body:
    return body


@dataclass(frozen=True, slots=True)
class Kind:
    """How objects of one kind are addressed and treated.

    Attributes:
        custom: defined by a custom resource definition.
        status_subresource: status is written through `/status` only.
        has_generation: metadata.generation counts changes outside metadata and, if apart, status.
        create_on_update: PUT creates what is missing.
        unconditional_update: PUT may leave out the resourceVersion.
        deletable: DELETE is served.
        normalise: completes an object before it is stored; returns a new one, and the same one when applied again.
    """

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool
    singular: str = ""
    list_kind: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    custom: bool = False
    status_subresource: bool = False
    has_generation: bool = False
    create_on_update: bool = False
    unconditional_update: bool = False
    deletable: bool = True
    normalise: Callable[[Body], Body] = field(default=_as_it_is, compare=False)

    @property
    def api_version(self) -> str:
        """`group/version`, or the version alone in the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def resource(self) -> str:
        """`plural.group`, as messages and definitions name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def verbs(self) -> list[str]:
        """What discovery says can be done."""
        verbs = ["create", "get", "list", "patch", "update", "watch"]
        return sorted([*verbs, "delete"]) if self.deletable else verbs


def timestamp() -> str:
    """The time as Kubernetes writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def custom_kind(definition: Mapping[str, Any]) -> Kind:
    """The kind that a custom resource definition defines; of several versions, the one that is stored."""
    spec = definition["spec"]
    names = spec["names"]
    version = next(version for version in spec["versions"] if version["storage"])
    return Kind(
        group=spec["group"],
        version=version["name"],
        plural=names["plural"],
        kind=names["kind"],
        namespaced=spec["scope"] == "Namespaced",
        singular=names.get("singular") or names["kind"].lower(),
        list_kind=names.get("listKind") or f"{names['kind']}List",
        short_names=tuple(names.get("shortNames", ())),
        categories=tuple(names.get("categories", ())),
        custom=True,
        status_subresource="status" in version.get("subresources", {}),
        has_generation=True,
        normalise=partial(with_defaults, version["schema"]["openAPIV3Schema"]),
    )


def with_defaults(schema: Mapping[str, Any], value: Any) -> Any:
    """Return a value with the defaults of a structural schema filled in, for missing keys and for unwanted nulls."""
    if isinstance(value, list) and "items" in schema:
        return [with_defaults(schema["items"], item) for item in value]
    if not isinstance(value, Mapping):
        return value
    properties: Mapping[str, Mapping[str, Any]] = schema.get("properties", {})
    filled = dict(value)
    for key, inner in properties.items():
        if filled.get(key) is None and "default" in inner and not (key in filled and inner.get("nullable")):
            filled[key] = inner["default"]
    others: Mapping[str, Any] | bool = schema.get("additionalProperties", {})
    rest = others if isinstance(others, Mapping) else {}
    return {key: with_defaults(properties.get(key, rest), inner) for key, inner in filled.items()}


def _namespace(body: Body) -> Body:
    metadata = body["metadata"]
    labels = {**metadata.get("labels", {}), "kubernetes.io/metadata.name": metadata["name"]}
    return {
        **body,
        "metadata": {**metadata, "labels": labels},
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    }


def _secret(body: Body) -> Body:
    plain: Mapping[str, str] = body.get("stringData") or {}
    data = {
        **(body.get("data") or {}),
        **{key: base64.b64encode(text.encode()).decode() for key, text in plain.items()},
    }
    kept = {key: value for key, value in body.items() if key not in ("stringData", "data")}
    return {"type": "Opaque", **kept, **({"data": data} if data else {})}


def _definition(body: Body) -> Body:
    if "status" in body:
        return body
    condition = {"status": "True", "lastTransitionTime": timestamp()}
    conditions = [
        {"type": "NamesAccepted", "reason": "NoConflicts", "message": "no conflicts found", **condition},
        {
            "type": "Established",
            "reason": "InitialNamesAccepted",
            "message": "the names have been accepted",
            **condition,
        },
    ]
    stored = [version["name"] for version in body["spec"]["versions"] if version["storage"]]
    return {
        **body,
        "status": {"conditions": conditions, "acceptedNames": body["spec"]["names"], "storedVersions": stored},
    }


NAMESPACES: Final = Kind(
    "", "v1", "namespaces", "Namespace", False, "namespace", "NamespaceList", ("ns",),
    deletable=False, normalise=_namespace,
)  # fmt: skip
SECRETS: Final = Kind(
    "", "v1", "secrets", "Secret", True, "secret", "SecretList", unconditional_update=True, normalise=_secret
)
LEASES: Final = Kind(
    "coordination.k8s.io", "v1", "leases", "Lease", True, "lease", "LeaseList", create_on_update=True
)  # fmt: skip
EVENTS: Final = Kind(
    "events.k8s.io", "v1", "events", "Event", True, "event", "EventList", ("ev",),
    create_on_update=True, unconditional_update=True,
)  # fmt: skip
DEFINITIONS: Final = Kind(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", False,
    "customresourcedefinition", "CustomResourceDefinitionList", ("crd", "crds"), ("api-extensions",),
    status_subresource=True, has_generation=True, deletable=False, normalise=_definition,
)  # fmt: skip
BUILT_IN: Final = (NAMESPACES, SECRETS, LEASES, EVENTS, DEFINITIONS)
