"""A Kubernetes control plane for tests: etcd and kube-apiserver as real processes, without nodes and controllers.

`binaries` finds the programs, `build` makes kube-apiserver and etcd from source, `server` runs them.

With no controller-manager, nothing happens that a controller would do: a new namespace has no `default` service
account, a deleted namespace stays `Terminating`, owner references collect no garbage, pods are never scheduled.
"""

from development.control_plane.server import ControlPlane, KubectlError, namespace_with_account

__all__ = ["ControlPlane", "KubectlError", "namespace_with_account"]
