"""Ways to find what is meant among rendered objects."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

from development.chart.rendering import Object

Identity: TypeAlias = tuple[str, str, str]
"""Kind, namespace (empty where there is none) and name."""


def identity(found: Object) -> Identity:
    return found["kind"], found["metadata"].get("namespace", ""), found["metadata"]["name"]


def by_identity(objects: Iterable[Object]) -> dict[Identity, Object]:
    listed = [*objects]
    found = {identity(each): each for each in listed}
    assert len(found) == len(listed), "two objects have the same name"
    return found


def of_kind(objects: Iterable[Object], kind: str, name: str | None = None) -> list[Object]:
    return [each for each in objects if each["kind"] == kind and name in (None, each["metadata"]["name"])]


def one(objects: Iterable[Object], kind: str, name: str | None = None) -> Object:
    (found,) = of_kind(objects, kind, name)
    return found


def deployment(objects: Iterable[Object], part: str = "operator") -> Object:
    label = "app.kubernetes.io/component"
    (found,) = (each for each in of_kind(objects, "Deployment") if each["metadata"]["labels"][label] == part)
    return found


def pod(objects: Iterable[Object], part: str = "operator") -> dict[str, Any]:
    """The pod's spec of a Deployment."""
    spec: dict[str, Any] = deployment(objects, part)["spec"]["template"]["spec"]
    return spec


def container(objects: Iterable[Object], part: str = "operator") -> dict[str, Any]:
    (found,) = pod(objects, part)["containers"]
    return dict(found)


def environment(objects: Iterable[Object], part: str = "operator") -> dict[str, str]:
    """Environment variables of a container that are texts."""
    return {each["name"]: each["value"] for each in container(objects, part)["env"] if "value" in each}


def pods(objects: Iterable[Object]) -> list[Object]:
    """Pods, and a pod of each Deployment as its controller would make it."""
    found = []
    for each in objects:
        if each["kind"] == "Pod":
            found.append(each)
        elif each["kind"] == "Deployment":
            template = each["spec"]["template"]
            metadata = {
                **template["metadata"],
                "name": f"{each['metadata']['name']}-0",
                "namespace": each["metadata"]["namespace"],
            }
            found.append({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]})
    return found
