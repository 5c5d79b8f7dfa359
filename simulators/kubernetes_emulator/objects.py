"""What the API server does with an object between a request and the store."""

from __future__ import annotations

import re
import secrets
import uuid
from collections.abc import Mapping
from typing import Any, Final

from kubernetes_emulator import failures
from kubernetes_emulator.kinds import BUILT_IN, DEFINITIONS, NAMESPACES, Body, Kind, custom_kind, timestamp
from kubernetes_emulator.patches import patched
from kubernetes_emulator.store import Key, Store

_SYSTEM_FIELDS: Final[tuple[str, ...]] = (
    "uid", "resourceVersion", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds"
)  # fmt: skip
"""Fields of metadata that are the server's to set."""
_MODIFIED: Final = "the object has been modified; please apply your changes to the latest version and try again"
_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_NAME_SUFFIX: Final = "bcdfghjklmnpqrstvwxz2456789"


class Objects:
    """Creates, changes and deletes objects. All methods raise `ApiError` for what the API server would refuse.

    `namespace` is None for objects of cluster-scoped kinds.

    Attributes:
        store: the objects.
        kinds: what is served, by group and plural.
    """

    def __init__(self, store: Store) -> None:
        """Serve the built-in kinds, with the namespace `default`."""
        self.store = store
        self.kinds: dict[tuple[str, str], Kind] = {}
        for kind in BUILT_IN:
            self._serve(kind)
        self.create(NAMESPACES, None, {"metadata": {"name": "default"}})

    def get(self, kind: Kind, namespace: str | None, name: str) -> Body:
        """Return an object."""
        body = self.store.get(kind, (namespace or "", name))
        if body is None:
            raise failures.not_found(kind, name)
        return body

    def create(self, kind: Kind, namespace: str | None, body: Mapping[str, Any]) -> Body:
        """Create an object; its status is left out where that is apart."""
        given: dict[str, Any] = dict(body.get("metadata") or {})
        name: str = given.get("name") or ""
        if not name and given.get("generateName"):
            name = given["generateName"] + "".join(secrets.choice(_NAME_SUFFIX) for _ in range(5))
        self._check_type(kind, name, body)
        if not _NAME.fullmatch(name):
            raise failures.invalid(
                kind, name, "metadata.name", f'Invalid value: "{name}": not a lowercase RFC 1123 subdomain'
            )
        if namespace is not None:
            if given.get("namespace", namespace) != namespace:
                raise failures.bad_request(
                    "the namespace of the provided object does not match the namespace sent on the request"
                )
            self.get(NAMESPACES, None, namespace)
        key: Key = (namespace or "", name)
        if self.store.get(kind, key) is not None:
            raise failures.already_exists(kind, name)
        metadata = {
            **{field: value for field, value in given.items() if field not in _SYSTEM_FIELDS},
            "name": name,
            **({} if namespace is None else {"namespace": namespace}),
            "uid": str(uuid.uuid4()),
            "creationTimestamp": timestamp(),
            **({"generation": 1} if kind.has_generation else {}),
        }
        content = {field: value for field, value in body.items() if not (kind.status_subresource and field == "status")}
        return self._put(kind, key, self._complete(kind, content, metadata))

    def replace(
        self, kind: Kind, namespace: str | None, name: str, body: Mapping[str, Any], *, status: bool = False
    ) -> tuple[Body, bool]:
        """Replace an object, or only its status; return it and whether it was created."""
        before = self.store.get(kind, (namespace or "", name))
        if before is None and kind.create_on_update and not status:
            return self.create(kind, namespace, body), True
        before = self.get(kind, namespace, name)
        return self._update(kind, before, dict(body), status=status, conditional=not kind.unconditional_update), False

    def patch(
        self, kind: Kind, namespace: str | None, name: str, patch: Any, content_type: str, *, status: bool = False
    ) -> Body:
        """Change an object, or only its status."""
        before = self.get(kind, namespace, name)
        return self._update(kind, before, patched(before, patch, content_type), status=status)

    def delete(self, kind: Kind, namespace: str | None, name: str, options: Mapping[str, Any]) -> Body:
        """Delete an object, or mark it if finalizers hold it; return it then, else a `Status`."""
        before = self.get(kind, namespace, name)
        metadata = before["metadata"]
        preconditions: Mapping[str, str] = options.get("preconditions") or {}
        for field, label in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
            wanted, found = preconditions.get(field, metadata[field]), metadata[field]
            if wanted != found:
                explanation = (
                    f"the {label} in the precondition ({wanted}) does not match the {label} in record ({found})"
                )
                raise failures.conflict(kind, name, explanation)
        key: Key = (namespace or "", name)
        if not metadata.get("finalizers"):
            self.store.remove(kind, key)
            details = {**failures.details_of(kind, name), "uid": metadata["uid"]}
            return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
        if "deletionTimestamp" in metadata:
            return before
        marked = {**metadata, "deletionTimestamp": timestamp(), "deletionGracePeriodSeconds": 0}
        if kind.has_generation:
            marked["generation"] += 1
        return self._put(kind, key, {**before, "metadata": marked})

    def _update(self, kind: Kind, before: Body, wanted: Body, *, status: bool, conditional: bool = False) -> Body:
        old: dict[str, Any] = before["metadata"]
        name: str = old["name"]
        given: dict[str, Any] = dict(wanted.get("metadata") or {})
        self._check_type(kind, name, wanted)
        if given.get("name", name) != name:
            raise failures.bad_request(
                f"the name of the object ({given['name']}) does not match the name on the URL ({name})"
            )
        version = given.get("resourceVersion")
        if conditional and not version:
            explanation = "Invalid value: 0: must be specified for an update"
            raise failures.invalid(kind, name, "metadata.resourceVersion", explanation)
        if version and version != old["resourceVersion"]:
            raise failures.conflict(kind, name, _MODIFIED)
        if given.get("uid", old["uid"]) != old["uid"]:
            raise failures.invalid(kind, name, "metadata.uid", f'Invalid value: "{given["uid"]}": field is immutable')
        if status:
            after = self._complete(kind, _with_status_of(before, wanted), old)
        else:
            fixed = {field: old[field] for field in ("name", "namespace", *_SYSTEM_FIELDS) if field in old}
            kept = {field: value for field, value in given.items() if field not in _SYSTEM_FIELDS}
            content = _with_status_of(wanted, before) if kind.status_subresource else wanted
            after = self._complete(kind, content, {**kept, **fixed})
        return self._put_changed(kind, before, after)

    def _put_changed(self, kind: Kind, before: Body, after: Body) -> Body:
        """Store what differs; an object that is being deleted goes with its last finalizer."""
        old, new = before["metadata"], after["metadata"]
        key: Key = (old.get("namespace", ""), old["name"])
        if "deletionTimestamp" in old:
            added = set(new.get("finalizers", ())) - set(old["finalizers"])
            if added:
                explanation = "Forbidden: no new finalizers can be added if the object is being deleted"
                raise failures.invalid(
                    kind, old["name"], "metadata.finalizers", f"{explanation}, found {sorted(added)}"
                )
            if not new.get("finalizers"):
                self.store.remove(kind, key)
                return after
        if after == before:
            return before
        apart = {"metadata", "status"} if kind.status_subresource else {"metadata"}
        if kind.has_generation and any(
            before.get(field) != after.get(field) for field in (before.keys() | after.keys()) - apart
        ):
            after = {**after, "metadata": {**new, "generation": old["generation"] + 1}}
        return self._put(kind, key, after)

    def _put(self, kind: Kind, key: Key, body: Body) -> Body:
        stored = self.store.put(kind, key, body)
        if kind is DEFINITIONS:
            self._serve(custom_kind(stored))
        return stored

    def _serve(self, kind: Kind) -> None:
        self.kinds[kind.group, kind.plural] = kind
        self.store.open(kind)

    @staticmethod
    def _complete(kind: Kind, content: Mapping[str, Any], metadata: Mapping[str, Any]) -> Body:
        head = {"apiVersion": kind.api_version, "kind": kind.kind}
        kept = {field: value for field, value in metadata.items() if value not in (None, {}, [], "")}
        return kind.normalise({**content, **head, "metadata": kept})

    @staticmethod
    def _check_type(kind: Kind, name: str, body: Mapping[str, Any]) -> None:
        for field, served in (("apiVersion", kind.api_version), ("kind", kind.kind)):
            if body.get(field, served) != served:
                raise failures.invalid(kind, name, field, f'Invalid value: "{body[field]}": must be {served}')


def _with_status_of(body: Mapping[str, Any], other: Mapping[str, Any]) -> Body:
    """Return an object with the status of another one, which may have none."""
    content = {field: value for field, value in body.items() if field != "status"}
    return {**content, "status": other["status"]} if other.get("status") is not None else content
