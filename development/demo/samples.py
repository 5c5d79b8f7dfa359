"""The resources of the demo: the files of `manifests/samples`, with addresses and names of the demo filled in."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

from development.demo.scene import ProtectedVM
from development.stand import QUICK, ROOT

Document = dict[str, Any]

_MANIFESTS: Final = ROOT / "manifests"


@dataclass(frozen=True, slots=True)
class Names:
    """What the demo's things are called in the cluster; the defaults are those of the sample files.

    Attributes:
        namespace: of the cleanups.
        operator_namespace: of the operator, its Lease and the Secrets.
        appliance: name of the Appliance.
    """

    namespace: str = "dr"
    operator_namespace: str = "failed-execution-cleanup"
    appliance: str = "default"


def definitions() -> list[Document]:
    """The custom resource definitions."""
    return [document for path in sorted((ROOT / "crds").glob("*.yaml")) for document in _documents(path.read_text())]


def namespaces(names: Names) -> list[Document]:
    """Both namespaces."""
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        for name in (names.operator_namespace, names.namespace)
    ]


def roles() -> list[Document]:
    """The operator's service account and what it may do, in the namespace of the sample files."""
    return _documents((_MANIFESTS / "base/rbac.yaml").read_text())


def secrets(names: Names, address: Mapping[str, Any]) -> list[Document]:
    """Credentials for database and cloud.

    Args:
        names: what things are called.
        address: of the simulator.
    """
    values = {
        "oma-database": {"url": address["database_url"]},
        "ossea-credentials": {"apiKey": address["api_key"], "secretKey": address["secret_key"]},
    }
    documents = _sample("secrets.yaml")
    for document in documents:
        document["metadata"]["namespace"] = names.operator_namespace
        document["stringData"] = values[document["metadata"]["name"]]
    return documents


def appliance(names: Names, address: Mapping[str, Any]) -> Document:
    """The Appliance; what takes minutes in production takes seconds.

    Args:
        names: what things are called.
        address: of the simulator.
    """
    (document,) = _sample("appliance.yaml")
    document["metadata"]["name"] = names.appliance
    spec = document["spec"]
    spec["allowedNamespaces"] = [names.namespace]
    spec["volumeDaemon"]["url"] = address["daemon_url"]
    spec["ossea"]["url"] = address["ossea_url"]
    spec.update(copy.deepcopy(QUICK))
    return document


def cleanup(names: Names, vm: ProtectedVM) -> Document:
    """The cleanup of one VM, as a person would write it."""
    (document,) = _sample("cleanup.yaml")
    document["metadata"] |= {"name": vm.cleanup, "namespace": names.namespace}
    document["spec"] |= {"vmName": vm.vm_name, "applianceRef": {"name": names.appliance}}
    return document


def _sample(name: str) -> list[Document]:
    return _documents((_MANIFESTS / "samples" / name).read_text())


def _documents(text: str) -> list[Document]:
    return [document for document in yaml.safe_load_all(text) if document is not None]
