"""The Appliance as a file: the same YAML as the resource, with its Secrets beside it if they are not kept elsewhere.

Messages name a place in the file and never repeat what stands there: it may be a secret.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import SecretBytes, ValidationError

from failed_execution_cleanup.resources.appliance import Appliance, ApplianceSpec
from failed_execution_cleanup.resources.identifiers import API_VERSION, APPLIANCE_KIND

SecretValues = Mapping[str, SecretBytes]
"""Values of one Secret by key."""

_LARGEST: Final = 4 * 1024 * 1024


class UnusableFileError(ValueError):
    """The file cannot be read, or is no Appliance; the message says where."""


@dataclass(frozen=True, slots=True)
class ApplianceFile:
    """What a file holds.

    Attributes:
        path: where it was read from.
        appliance: the Appliance; its status is not taken over.
        secrets: the Secrets beside it, by name.
    """

    path: Path
    appliance: Appliance
    secrets: Mapping[str, SecretValues] = field(repr=False)


def read_appliance_file(path: Path) -> ApplianceFile:
    """Read one Appliance and any number of Secrets; documents of other kinds are left alone.

    What `kubectl get -o yaml` prints is understood too, lists included.

    Raises:
        UnusableFileError: it cannot be read, holds not exactly one Appliance, or one that the API server would not take.
    """
    objects = list(_objects(path))
    appliances = [body for body in objects if body.get("kind") == APPLIANCE_KIND]
    if len(appliances) != 1:
        raise UnusableFileError(
            f"{path} holds {len(appliances)} objects of kind {APPLIANCE_KIND} where exactly one is needed."
        )
    secrets = {name: values for body in objects if body.get("kind") == "Secret" for name, values in _secret(path, body)}
    return ApplianceFile(path, _appliance(path, appliances[0]), secrets)


def _objects(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST)
    except OSError as error:
        raise UnusableFileError(f"{path} cannot be read: {error.strerror}.") from None
    try:
        documents = list(yaml.safe_load_all(text))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark is not None else "an unknown place"
        raise UnusableFileError(f"{path} is no YAML: see {where}.") from None
    except (yaml.YAMLError, ValueError):
        raise UnusableFileError(f"{path} is no YAML.") from None
    for document in documents:
        items = document.get("items") if isinstance(document, dict) and document.get("kind") == "List" else [document]
        yield from (body for body in items or () if isinstance(body, dict))


def _appliance(path: Path, body: Mapping[str, Any]) -> Appliance:
    if body.get("apiVersion") != API_VERSION:
        raise UnusableFileError(f"{path}: the Appliance's apiVersion is not {API_VERSION}.")
    metadata = body.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if not isinstance(name, str) or not name:
        raise UnusableFileError(f"{path}: the Appliance has no metadata.name.")
    try:
        # A misspelt field must not be left out in silence: nobody else would say so here.
        spec = ApplianceSpec.model_validate(body.get("spec"), extra="forbid")
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        places = "; ".join(f"{'.'.join(('spec', *map(str, one['loc'])))}: {one['msg']}" for one in found)
        raise UnusableFileError(f"{path}: the Appliance is not valid: {places}.") from None
    return Appliance.model_validate({"metadata": {"name": name}, "spec": spec})


def _secret(path: Path, body: Mapping[str, Any]) -> Iterator[tuple[str, SecretValues]]:
    metadata = body.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if not isinstance(name, str) or not name:
        raise UnusableFileError(f"{path}: a Secret has no metadata.name.")
    values = {key: _decoded(path, name, key, value) for key, value in _texts(path, name, body, "data")}
    values |= {key: SecretBytes(value.encode()) for key, value in _texts(path, name, body, "stringData")}
    yield name, values


def _texts(path: Path, name: str, body: Mapping[str, Any], part: str) -> Iterator[tuple[str, str]]:
    found = body.get(part) or {}
    if not isinstance(found, dict) or not all(isinstance(text, str) for pair in found.items() for text in pair):
        raise UnusableFileError(f"{path}: {part} of Secret {name} is no list of names and texts: quote numbers.")
    yield from found.items()


def _decoded(path: Path, name: str, key: str, value: str) -> SecretBytes:
    try:
        return SecretBytes(base64.b64decode(value, validate=True))
    except (binascii.Error, ValueError):
        raise UnusableFileError(
            f"{path}: key {key!r} in data of Secret {name} is no base64; plain text belongs into stringData."
        ) from None
