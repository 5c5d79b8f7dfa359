"""The values of the chart: meaning, default and bounds of each. `values.yaml` and its schema are made of these models.

Settings of the processes are not said again here: name, default, bounds and description are those of the settings classes. A value
that is empty is left out of what is rendered.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from pydantic_settings import BaseSettings

from failed_execution_cleanup.access.claim_settings import ClaimSettings
from failed_execution_cleanup.console.settings import ConsoleSettings
from failed_execution_cleanup.controller.settings import OperatorSettings

Fields: TypeAlias = dict[str, Any]
"""Part of a Kubernetes object, handed through as it is; the API server judges it."""

EnvironmentVariable: TypeAlias = Annotated[
    Fields,
    Field(
        json_schema_extra={
            "required": ["name"],
            "properties": {"name": {"type": "string", "not": {"pattern": "^(FEC_|POD_NAME$)"}}},
        }
    ),
]
"""An environment variable as in a container, but none of those that settings are made of: a list with two of a name is broken."""

Name: TypeAlias = Annotated[str, Field(pattern=r"^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=53)]
NamespaceName: TypeAlias = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]
PortNumber: TypeAlias = Annotated[int, Field(ge=1, le=65535)]
Cidr: TypeAlias = Annotated[str, Field(pattern=r"^[0-9a-fA-F.:]+/[0-9]{1,3}$")]

SHARED_SETTINGS: Final = frozenset({"docs_url", "log_format", "log_level", *ClaimSettings.model_fields})
"""Settings that operator and console take from the same environment variables."""

CHART_SETS: Final[Mapping[type[BaseSettings], Mapping[str, str]]] = {
    OperatorSettings: {
        "namespace": "the namespace of the release",
        "watch_namespaces": "watchNamespaces",
        "kubeconfig": "the pod's service account",
        "identity": "the name of the pod",
        "health_host": "listenOn",
        "health_port": "the port `metrics`",
    },
    ConsoleSettings: {
        "namespace": "the namespace of the release",
        "kubeconfig": "the pod's service account",
        "host": "listenOn",
        "port": "the port `http`",
        "health_host": "listenOn",
        "health_port": "the port `metrics`",
        "tls_certificate": "console.tls.secretName",
        "tls_key": "console.tls.secretName",
        "claims": "settings",
    },
}
"""Settings that are not values, and what decides them instead."""


class _Part(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, extra="forbid", frozen=True, populate_by_name=True, use_attribute_docstrings=True
    )


class Image(_Part):
    """Where the image is."""

    repository: str = Field(default="failed-execution-cleanup", min_length=1)
    """Image without tag, with the registry where it is not the cluster's default one."""

    tag: str = Field(default="", pattern=r"^[\w.-]{0,128}$")
    """Tag; empty: the chart's appVersion."""

    digest: str = Field(default="", pattern=r"^$|^sha256:[0-9a-f]{64}$")
    """Digest, `sha256:…`; used instead of the tag, so that nobody can put another image behind it."""

    pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    """When the image is pulled."""


class Install(_Part):
    """Whether something is installed that a cluster needs once."""

    install: bool = True
    """False where another release, or somebody else, installs it."""


class ServiceAccount(_Part):
    """The identity of a pod."""

    create: bool = True
    """False: one of this name exists already; the roles are bound to it."""

    name: str = ""
    """Its name; empty: that of the Deployment."""

    annotations: dict[str, str] = {}
    """Annotations, for instance for workload identity."""


def _spread() -> list[Fields]:
    return [
        {"maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "ScheduleAnyway"}
        for key in ("kubernetes.io/hostname", "topology.kubernetes.io/zone")
    ]


class _Pods(_Part):
    """What operator and console have alike."""

    replicas: int = Field(default=2, ge=0, le=10)
    """Number of pods; any of them may end at any time."""

    resources: Fields = {
        "requests": {"cpu": "100m", "memory": "192Mi", "ephemeral-storage": "16Mi"},
        "limits": {"cpu": "1", "memory": "512Mi", "ephemeral-storage": "128Mi"},
    }
    """Requests and limits of the container."""

    pod_disruption_budget: bool = True
    """Keep one pod while nodes are drained; without effect for fewer than two replicas, where it would only stop the drain."""

    service_account: ServiceAccount = ServiceAccount()
    """Identity of the pods."""

    pod_labels: dict[str, str] = {}
    """More labels of the pods."""

    pod_annotations: dict[str, str] = {}
    """More annotations of the pods."""

    node_selector: dict[str, str] = {}
    """Labels of the nodes that may run them."""

    tolerations: list[Fields] = []
    """Taints of nodes that do not matter."""

    affinity: Fields = {}
    """Affinity of the pods."""

    topology_spread_constraints: list[Fields] = Field(default_factory=_spread)
    """How pods are spread; a constraint without labelSelector gets that of the Deployment."""

    priority_class_name: str = ""
    """Priority class of the pods."""

    extra_env: list[EnvironmentVariable] = []
    """More environment variables of the container, such as HTTPS_PROXY; those of this software, `FEC_…`, are values of their own."""

    extra_volumes: list[Fields] = []
    """More volumes of the pods."""

    extra_volume_mounts: list[Fields] = []
    """Where the container sees them."""


class Operator(_Pods):
    """The operator: one replica leads, the others stand by."""

    settings: Fields = {}
    """Settings of the operator's process."""

    termination_grace_period_seconds: int = Field(default=60, ge=45, le=3600)
    """Time to finish what is in flight and to hand over; the operator itself takes no more than 45 seconds."""


class Tls(_Part):
    """How the console speaks HTTPS itself."""

    secret_name: str = ""
    """Secret of type kubernetes.io/tls; empty: HTTP, only for something in front that ends TLS."""


class Service(_Part):
    """The address of the console in the cluster."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = "ClusterIP"
    """Type of the Service."""

    port: PortNumber = 80
    """Port of the Service; 443 fits where the console speaks HTTPS itself."""

    annotations: dict[str, str] = {}
    """Annotations of the Service."""


class Ingress(_Part):
    """The address of the console outside of the cluster."""

    enabled: bool = False
    """Create an Ingress."""

    class_name: str = ""
    """Ingress class; empty: the cluster's default."""

    host: str = ""
    """Host name; required when enabled."""

    path: str = Field(default="/", pattern="^/")
    """Path of the console under that host."""

    tls_secret_name: str = ""
    """Secret with the certificate of the host; empty: the Ingress has no TLS section."""

    annotations: dict[str, str] = {}
    """Annotations of the Ingress, for instance which protocol its controller speaks to the Service."""


class Console(_Pods):
    """The console: pages, REST and live progress. Keeps nothing and writes only with its users' own tokens."""

    enabled: bool = False
    """Install it."""

    settings: Fields = {}
    """Settings of the console's process."""

    tls: Tls = Tls()
    """HTTPS by the console itself."""

    service: Service = Service()
    """Its Service."""

    ingress: Ingress = Ingress()
    """Its Ingress."""

    termination_grace_period_seconds: int = Field(default=30, ge=15, le=3600)
    """Time for open requests to end."""


class Destination(_Part):
    """Where pods may connect to."""

    cidrs: list[Cidr] = []
    """Addresses; empty: any."""

    ports: list[PortNumber] = Field(min_length=1)
    """TCP ports."""


class NetworkPolicy(_Part):
    """What pods may connect to, and who to them; needs a network plugin that enforces it."""

    enabled: bool = True
    """Install network policies."""

    kubernetes_api: Destination = Destination(ports=[443, 6443, 8443])
    """The API server, as pods reach it after the address of its Service was translated."""

    appliances: Destination = Destination(ports=[443, 3306, 8080, 8090, 8443])
    """Databases, Volume Daemons and clouds of all appliances."""

    metrics_from: list[Fields] = []
    """Peers (NetworkPolicyPeer) that may read health and metrics; empty: any."""

    console_from: list[Fields] = []
    """Peers (NetworkPolicyPeer) that may reach the console, such as the ingress controller; empty: any."""


class Rules(_Part):
    """Alerts for the Prometheus operator."""

    enabled: bool = False
    """Create the PrometheusRule."""

    runbook_prefix: str = ""
    """Address that is put before the path of each runbook, up to and including the slash before `docs`."""


class Dashboard(_Part):
    """The dashboard, as a ConfigMap for Grafana's sidecar."""

    enabled: bool = False
    """Create the ConfigMap."""

    labels: dict[str, str] = {"grafana_dashboard": "1"}
    """Labels by which the sidecar finds it."""

    annotations: dict[str, str] = {"grafana_folder": "Disaster recovery"}
    """Annotations that tell the sidecar where it belongs."""


class Monitoring(_Part):
    """Scraping, alerts and dashboard; the first two need the Prometheus operator."""

    scrape: Literal["None", "PodMonitor", "ServiceMonitor"] = "None"
    """What tells Prometheus to scrape."""

    interval: str = Field(default="30s", pattern=r"^[0-9]+(s|m)$")
    """Pause between two scrapes."""

    labels: dict[str, str] = {}
    """Labels of monitor and rule by which the installed Prometheus selects them, such as `release`."""

    rules: Rules = Rules()
    """Alerts."""

    dashboard: Dashboard = Dashboard()
    """Dashboard."""


class NamedAppliance(_Part):
    """An Appliance."""

    name: Name = Field(min_length=1)
    """Its name."""

    spec: Fields
    """Its spec, see `kubectl explain appliance.spec`."""


class Values(_Part):
    """Values of the chart failed-execution-cleanup."""

    name_override: Name = ""
    """Name in place of the chart's, in names of objects."""

    fullname_override: Name = ""
    """Name in place of release and chart, in names of objects."""

    common_labels: dict[str, str] = {}
    """Labels of every object."""

    common_annotations: dict[str, str] = {}
    """Annotations of every object."""

    image: Image = Image()
    """The image of operator, console and tests."""

    image_pull_secrets: list[Fields] = []
    """Secrets to pull the image with, as `{name: …}`."""

    watch_namespaces: list[NamespaceName] = []
    """Namespaces with cleanups, which must exist; the operator gets rights in these alone. Empty: all namespaces."""

    settings: Fields = {}
    """Settings that operator and console share."""

    listen_on: Literal["0.0.0.0", "::"] = "0.0.0.0"  # noqa: S104 - in a pod, behind a network policy
    """Addresses of the pod that its processes listen on: all of IPv4, or all of IPv6."""

    operator: Operator = Operator()
    """The operator: one replica leads, the others stand by."""

    console: Console = Console()
    """The console: pages, REST and live progress. Keeps nothing, and writes only with its users' own tokens."""

    appliances: list[NamedAppliance] = []
    """Appliances to keep with the release. Their Secrets are never values: create them in the namespace of the release."""

    crds: Install = Install()
    """The custom resource definitions. They are upgraded with the chart and stay when it is uninstalled, and with them all cleanups."""

    roles: Install = Install()
    """The ClusterRoles `fec-…` for people; nothing is bound."""

    admission_policy: Install = Install()
    """The policies that ask for the rights `use` and `waive`; they need Kubernetes 1.31."""

    pod_security_context: Fields = {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "fsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    """Security context of all pods; the default satisfies the restricted standard. On OpenShift set the three ids to null."""

    security_context: Fields = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    """Security context of all containers; they write to an empty /tmp alone."""

    network_policy: NetworkPolicy = NetworkPolicy()
    """What pods may connect to, and who to them; needs a network plugin that enforces it."""

    monitoring: Monitoring = Monitoring()
    """Scraping, alerts and dashboard; the first two need the Prometheus operator."""
