"""Run etcd and kube-apiserver on the loopback interface, in a temporary directory."""

from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import httpx
import yaml

from development.control_plane.binaries import find_binaries
from development.control_plane.certificates import CertificateAuthority, Credential, write_private_key
from development.processes import LOOPBACK, Process, free_port

if TYPE_CHECKING:
    from types import TracebackType

_READY_SECONDS = 45.0
_KUBECTL_SECONDS = 30.0
# Nothing here is worth a long goodbye: the data is thrown away.
_STOP_SECONDS = 5.0
# To collect garbage takes every core it can have, and took an eighth of their CPU; memory is not short.
_SPARING = {"GOGC": "400"}
# Several of them run side by side on few cores: to pass work between threads took another eighth.
_FRUGAL = {"GOMAXPROCS": "1"}
# Every five minutes the API server reads all there is to check its cache: eight seconds of a core beside ten thousand objects.
_UNCHECKED = "--feature-gates=DetectCacheInconsistency=false"
# Programs are watched, not people: tests compare what an operator asked for with what it may do.
_AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata", "userGroups": ["system:serviceaccounts"]}, {"level": "None"}],
}


class KubectlError(subprocess.CalledProcessError):
    """`kubectl` ended with an error; the message holds what it wrote to standard error."""

    def __str__(self) -> str:
        return f"{super().__str__()}\n{self.stderr}"


class ControlPlane:
    """etcd and kube-apiserver, with RBAC and validating admission policies on; a context manager.

        with ControlPlane() as control_plane:
            control_plane.kubectl("get", "namespaces")

    There are no nodes and no controllers; the package's documentation says what that means.

    Attributes:
        directory: Temporary directory with logs, keys, kubeconfigs and etcd's data; removed by `stop()`.
        url: Address of the API server, `https://127.0.0.1:<port>`.
        audit_log: What service accounts asked for and what they were answered, one audit.k8s.io/v1 Event a line.
        admin_kubeconfig: Kubeconfig of a member of `system:masters`, who may do everything.
        administrator: HTTP client of the same person.
    """

    def __init__(self, *, alone: bool = False) -> None:
        """Find the programs; nothing is started yet.

        Args:
            alone: Whether no other control plane runs beside it, so that its servers may use every core as they do by default,
                and that something is measured beside it, which its own upkeep would disturb.

        Raises:
            MissingProgramError: When one is missing; says how to get it.
        """
        self._binaries = find_binaries()
        self._environment = {**os.environ, **_SPARING, **({} if alone else _FRUGAL)}
        self._options = [_UNCHECKED] if alone else []
        self._processes: list[Process] = []
        self.directory = Path(tempfile.mkdtemp(prefix="control-plane-"))
        self.url = f"https://{LOOPBACK}:{free_port()}"
        self.audit_log = self.directory / "audit.log"
        self.admin_kubeconfig = self.directory / "admin.kubeconfig"
        self._authority = CertificateAuthority(self.directory)
        self._admin = self._authority.issue_client("admin", group="system:masters")
        self.administrator = self._https_client(self._admin)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of the servers, in the order they were started."""
        return tuple(process.pid for process in self._processes)

    def start(self) -> None:
        """Start both servers and wait until the API answers; call it from the main thread.

        Raises:
            ProcessError: When a server does not come up; shows the end of its log. Nothing is left running.
        """
        try:
            etcd_url = self._start_etcd()
            self._start_kube_apiserver(etcd_url)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End both servers and remove the temporary directory; may be called again."""
        self.administrator.close()
        for process in reversed(self._processes):
            process.stop(grace_seconds=_STOP_SECONDS)
        shutil.rmtree(self.directory, ignore_errors=True)

    def ensure_running(self) -> None:
        """Check that neither server has ended.

        Raises:
            ProcessError: When one has.
        """
        for process in self._processes:
            process.ensure_running()

    def kubectl(
        self,
        *arguments: str | Path,
        input: str | None = None,  # noqa: A002 - the name subprocess.run gives it
        kubeconfig: Path | None = None,
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Run `kubectl` and return its exit code, standard output and standard error as text.

        Args:
            arguments: Arguments of `kubectl`.
            input: Standard input, such as a manifest for `apply -f -`.
            kubeconfig: Whom to act as; the admin when omitted.
            check: Whether an exit code other than 0 is an error.

        Raises:
            KubectlError: With `check`, when `kubectl` fails.
        """
        command = [
            str(self._binaries.kubectl),
            f"--kubeconfig={kubeconfig or self.admin_kubeconfig}",
            # The user's own cache is keyed by address; a port used before would bring back another server's resources.
            f"--cache-dir={self.directory / 'kubectl-cache'}",
            *map(str, arguments),
        ]
        result = subprocess.run(
            command,
            # An empty text, not the terminal, so that a command that wants input fails instead of waiting.
            input=input or "",
            capture_output=True,
            text=True,
            timeout=_KUBECTL_SECONDS,
            check=False,
        )
        if check and result.returncode != 0:
            raise KubectlError(result.returncode, command, result.stdout, result.stderr)
        return result

    def create_namespace(self, name: str) -> None:
        """Create a namespace with its `default` service account, which no controller makes here.

        Raises:
            KubectlError: When it exists already.
        """
        self.kubectl("create", "-f", "-", input=yaml.safe_dump_all(namespace_with_account(name)))

    def service_account_kubeconfig(self, namespace: str, name: str) -> Path:
        """Return a new kubeconfig with a token of an existing service account, valid for a day.

        Raises:
            KubectlError: When there is no such service account.
        """
        token = self.kubectl("create", "token", name, f"--namespace={namespace}", "--duration=24h").stdout.strip()
        path = self.directory / f"{namespace}.{name}.kubeconfig"
        self._write_kubeconfig(path, {"token": token}, namespace=namespace)
        return path

    def client_as(self, user: str, *, group: str) -> httpx.Client:
        """Return an HTTP client with a client certificate of a person, who has no rights until they are bound.

        Args:
            user: Name of the user, not used before in this control plane.
            group: Group of the user.
        """
        return self._https_client(self._authority.issue_client(user, group=group))

    def _start_etcd(self) -> str:
        url = f"http://{LOOPBACK}:{free_port()}"
        etcd = Process.start(
            "etcd",
            [
                self._binaries.etcd,
                f"--data-dir={self.directory / 'etcd'}",
                f"--listen-client-urls={url}",
                f"--advertise-client-urls={url}",
                f"--listen-peer-urls=http://{LOOPBACK}:0",
                "--unsafe-no-fsync",
                "--log-level=warn",
            ],
            log=self.directory / "etcd.log",
            env=self._environment,
        )
        self._processes.append(etcd)
        return url

    def _start_kube_apiserver(self, etcd_url: str) -> None:
        service_address = "10.0.0.1"
        serving = self._authority.issue_server(
            "kube-apiserver",
            hosts=["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"],
            addresses=[LOOPBACK, service_address],
        )
        service_account_key = self.directory / "service-account.key"
        write_private_key(service_account_key)
        self._write_kubeconfig(
            self.admin_kubeconfig,
            {"client-certificate": str(self._admin.certificate), "client-key": str(self._admin.key)},
        )
        audit_policy = self.directory / "audit-policy.json"
        audit_policy.write_text(json.dumps(_AUDIT_POLICY))
        api = httpx.URL(self.url)
        apiserver = Process.start(
            "kube-apiserver",
            [
                self._binaries.kube_apiserver,
                f"--etcd-servers={etcd_url}",
                f"--bind-address={api.host}",
                f"--advertise-address={api.host}",
                f"--secure-port={api.port}",
                f"--cert-dir={self.directory}",
                f"--audit-policy-file={audit_policy}",
                f"--audit-log-path={self.audit_log}",
                f"--tls-cert-file={serving.certificate}",
                f"--tls-private-key-file={serving.key}",
                f"--client-ca-file={self._authority.certificate}",
                "--authorization-mode=RBAC",
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-key-file={service_account_key}",
                f"--service-account-signing-key-file={service_account_key}",
                f"--service-cluster-ip-range={service_address}/24",
                # The `kubernetes` service may not have a loopback address as its endpoint; nothing here uses it.
                "--endpoint-reconciler-type=none",
                *self._options,
            ],
            log=self.directory / "kube-apiserver.log",
            env=self._environment,
        )
        self._processes.append(apiserver)
        apiserver.wait_until(lambda: self._is_ready(self.administrator), seconds=_READY_SECONDS)

    def _https_client(self, credential: Credential) -> httpx.Client:
        context = ssl.create_default_context(cafile=str(self._authority.certificate))
        context.load_cert_chain(credential.certificate, credential.key)
        return httpx.Client(base_url=self.url, verify=context, trust_env=False)

    def _is_ready(self, client: httpx.Client) -> bool:
        # Without etcd the API server only retries; its own log would hide the reason.
        self._processes[0].ensure_running()
        try:
            return client.get("/readyz").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def _write_kubeconfig(self, path: Path, user: dict[str, str], *, namespace: str = "default") -> None:
        name = path.stem
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": "control-plane",
                    "cluster": {"server": self.url, "certificate-authority": str(self._authority.certificate)},
                },
            ],
            "users": [{"name": name, "user": user}],
            "contexts": [
                {"name": name, "context": {"cluster": "control-plane", "user": name, "namespace": namespace}},
            ],
            "current-context": name,
        }
        # JSON is YAML; written anew each time, readable for the user alone.
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(config, file, indent=2)


def namespace_with_account(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A namespace and its `default` service account, which no controller makes here."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": name}}
    return namespace, account
