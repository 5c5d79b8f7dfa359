"""The little of the Kubernetes API that Kopf, the operator's client and the demo use; in memory, on loopback.

    async with emulator(crds=Path("crds")) as api:
        ...  # HTTP on api.url, without credentials

Served: discovery, version and health; namespaces, secrets, Leases, events.k8s.io/v1 Events, custom resource definitions
and whatever these define. Objects have uid, creationTimestamp, generation and resourceVersion (one counter for all);
spec and status are apart where the definition says so; defaults of the definition are filled in; finalizers hold an
object that is being deleted; a write based on an old version is a conflict. Lists come in chunks of one snapshot;
watches continue from a version, send bookmarks, and end with 410 once that version is forgotten.

Not there: validation, pruning, admission and roles, selectors, dry run, server-side apply and strategic merge patch,
deletion of namespaces, definitions and collections, tables, OpenAPI. What would change the meaning of a request is
refused, not ignored. kubectl needs the real API server.

One suite, tests/contract, runs against this and against kube-apiserver; where they differ, this is wrong.
"""

from kubernetes_emulator.server import Emulator, emulator

__all__ = ["Emulator", "emulator"]
