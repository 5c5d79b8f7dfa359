"""The Kubernetes API of the demo: yours, the real one if it is built already, or the emulator.

Yours is named by `DEMO_KUBECONFIG`; it should be one for trying things. The demo makes namespaces and an Appliance with
names of its own there and removes them again, and the custom resource definitions too if it brought them.
"""

from __future__ import annotations

import json
import os
import sys
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from kubernetes import client, config
from kubernetes.client import ApiException
from kubernetes.utils import FailToCreateError, create_from_dict
from urllib3.exceptions import HTTPError

from development.control_plane import ControlPlane
from development.control_plane.binaries import find_binaries
from development.demo import samples
from development.demo.samples import Document, Names
from development.processes import MissingProgramError, Process
from development.stand import ROOT

OWN_CLUSTER: Final = "DEMO_KUBECONFIG"
_GROUP: Final = "failover.ossea.io"
_VERSION: Final = "v1alpha1"
_PLURALS: Final = {"Appliance": "appliances", "FailedExecutionCleanup": "failedexecutioncleanups"}
_READY_SECONDS: Final = 30.0
_SERVED_SECONDS: Final = 20.0
_POLL_SECONDS: Final = 0.1
_CONFLICT: Final = 409


class ClusterError(RuntimeError):
    """The cluster refused something; the message says what."""


class Cluster:
    """A Kubernetes API with our custom resources.

    Attributes:
        what: which one it is, for the title.
        names: what the demo's things are called there.
        operator_kubeconfig: credentials for the operator.
    """

    def __init__(self, what: str, kubeconfig: Path, names: Names) -> None:
        """Connect.

        Args:
            what: which one it is, for the title.
            kubeconfig: of somebody who may do everything.
            names: what the demo's things are called there.

        Raises:
            ClusterError: the kubeconfig cannot be used.
        """
        self.what = what
        self.names = names
        self.operator_kubeconfig = kubeconfig
        try:
            self._api = config.new_client_from_config(config_file=str(kubeconfig), persist_config=False)
        except config.ConfigException as error:
            raise ClusterError(f"{kubeconfig} cannot be used: {error}") from None
        self._custom = client.CustomObjectsApi(self._api)

    def close(self) -> None:
        """Close the connections."""
        self._api.close()

    def create(self, documents: Iterable[Document]) -> None:
        """Create what is built into Kubernetes, and definitions.

        Raises:
            ClusterError: something exists already or was refused.
        """
        for document in documents:
            try:
                create_from_dict(self._api, document)
            except FailToCreateError as error:
                reasons = "; ".join(failed.body or failed.reason for failed in error.api_exceptions)
                raise ClusterError(f"{_named(document)} was not created: {reasons}") from None

    def define(self) -> list[str]:
        """Create our definitions where they do not exist, wait until they are served, and return which ones were new.

        Raises:
            ClusterError: the cluster does not answer, or refuses them.
        """
        extensions = client.ApiextensionsV1Api(self._api)
        new = []
        for definition in samples.definitions():
            try:
                extensions.create_custom_resource_definition(definition)
            except ApiException as error:
                if error.status != _CONFLICT:
                    raise ClusterError(f"{_named(definition)} was not created: {error.body or error.reason}") from None
            except HTTPError as error:
                raise ClusterError(f"{self.what} does not answer: {error}") from None
            else:
                new.append(definition["metadata"]["name"])
        deadline = time.monotonic() + _SERVED_SECONDS
        for plural in _PLURALS.values():
            while not self._is_served(plural):
                if time.monotonic() > deadline:
                    raise ClusterError(f"{plural}.{_GROUP} is not served after {_SERVED_SECONDS:g} s")
                time.sleep(_POLL_SECONDS)
        return new

    def apply(self, document: Document) -> None:
        """Create an Appliance or a cleanup.

        Raises:
            ClusterError: it exists already or was refused.
        """
        plural, namespace = _PLURALS[document["kind"]], document["metadata"].get("namespace")
        try:
            if namespace is None:
                self._custom.create_cluster_custom_object(_GROUP, _VERSION, plural, document)
            else:
                self._custom.create_namespaced_custom_object(_GROUP, _VERSION, namespace, plural, document)
        except ApiException as error:
            raise ClusterError(f"{_named(document)} was not created: {error.body or error.reason}") from None

    def cleanups(self) -> dict[str, dict[str, Any]]:
        """All cleanups of the demo, by name."""
        namespace, plural = self.names.namespace, _PLURALS["FailedExecutionCleanup"]
        answer = self._custom.list_namespaced_custom_object(_GROUP, _VERSION, namespace, plural)
        return {item["metadata"]["name"]: item for item in answer["items"]}

    def remove_everything(self, definitions: Iterable[str]) -> None:
        """Remove what the demo made in a cluster that lives on; nobody is left to take finalizers off.

        Args:
            definitions: names of the definitions to remove as well.
        """
        core, extensions = client.CoreV1Api(self._api), client.ApiextensionsV1Api(self._api)
        plural = _PLURALS["FailedExecutionCleanup"]
        with suppress(ApiException, HTTPError):
            for name in self.cleanups():
                where = (_GROUP, _VERSION, self.names.namespace, plural, name)
                self._custom.patch_namespaced_custom_object(*where, {"metadata": {"finalizers": None}})
                self._custom.delete_namespaced_custom_object(*where)
        with suppress(ApiException, HTTPError):
            appliance = (_GROUP, _VERSION, _PLURALS["Appliance"], self.names.appliance)
            self._custom.patch_cluster_custom_object(*appliance, {"metadata": {"finalizers": None}})
            self._custom.delete_cluster_custom_object(*appliance)
        for namespace in (self.names.namespace, self.names.operator_namespace):
            with suppress(ApiException, HTTPError):
                core.delete_namespace(namespace)
        for definition in definitions:
            with suppress(ApiException, HTTPError):
                extensions.delete_custom_resource_definition(definition)

    def _is_served(self, plural: str) -> bool:
        try:
            self._custom.list_cluster_custom_object(_GROUP, _VERSION, plural)
        except ApiException:
            return False
        return True


def running_cluster(directory: Path) -> AbstractContextManager[Cluster]:
    """Choose a cluster and prepare it: definitions, namespaces, and roles where there are any.

    Args:
        directory: for logs and files.

    Raises:
        ClusterError: it cannot be used.
        ProcessError: it did not start.
    """
    if kubeconfig := os.environ.get(OWN_CLUSTER):
        return _own(Path(kubeconfig))
    try:
        find_binaries()
    except MissingProgramError:
        return _emulator(directory)
    return _control_plane()


@contextmanager
def _own(kubeconfig: Path) -> Iterator[Cluster]:
    if not kubeconfig.is_file():
        raise ClusterError(f"{OWN_CLUSTER} names {kubeconfig}, which is no file")
    suffix = uuid.uuid4().hex[:8]
    names = Names(f"dr-demo-{suffix}", f"fec-demo-{suffix}", f"demo-{suffix}")
    with ExitStack() as stack:
        cluster = Cluster(f"your cluster ({OWN_CLUSTER}), namespace {names.namespace}", kubeconfig, names)
        stack.callback(cluster.close)
        new: list[str] = []
        stack.callback(cluster.remove_everything, new)
        new.extend(cluster.define())
        cluster.create(samples.namespaces(names))
        yield cluster


@contextmanager
def _control_plane() -> Iterator[Cluster]:
    names = Names()
    with ExitStack() as stack:
        server = stack.enter_context(ControlPlane())
        cluster = Cluster("a real kube-apiserver with RBAC", server.admin_kubeconfig, names)
        stack.callback(cluster.close)
        cluster.define()
        cluster.create([*samples.namespaces(names), *samples.roles()])
        cluster.operator_kubeconfig = server.service_account_kubeconfig(
            names.operator_namespace, names.operator_namespace
        )
        yield cluster


@contextmanager
def _emulator(directory: Path) -> Iterator[Cluster]:
    ready = directory / "emulator.json"
    process = Process.start(
        "emulator",
        [
            *(sys.executable, "-m", "kubernetes_emulator"),
            *("--crds", ROOT / "crds", "--ready-file", ready),
        ],
        log=directory / "emulator.log",
        env={**os.environ, "PYTHONPATH": str(ROOT / "simulators")},
    )
    with ExitStack() as stack:
        stack.callback(process.kill)
        process.wait_until(ready.exists, seconds=_READY_SECONDS)
        kubeconfig = Path(json.loads(ready.read_text(encoding="utf-8"))["kubeconfig"])
        what = "a small emulator of the Kubernetes API (`make control-plane` builds the real one)"
        cluster = Cluster(what, kubeconfig, Names())
        stack.callback(cluster.close)
        cluster.create(samples.namespaces(cluster.names))
        yield cluster


def _named(document: Document) -> str:
    return f"{document['kind']} {document['metadata']['name']}"
