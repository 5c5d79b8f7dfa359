"""The custom resource Appliance: one replication appliance, its addresses, and what may be done to it."""

from enum import StrEnum
from typing import Annotated, Final

from pydantic import ConfigDict, Field

from failed_execution_cleanup.resources.cleanup import MAX_CONDITIONS, JobType
from failed_execution_cleanup.resources.conditions import Condition
from failed_execution_cleanup.resources.kubernetes_model import (
    SET_SCHEMA,
    CustomResource,
    Identifier,
    KubernetesModel,
    Label,
    ObservedGeneration,
    ReasonText,
    Timestamp,
    map_schema,
    rule,
)
from failed_execution_cleanup.resources.reasons import Waiver

MAX_STUCK: Final = 100

Namespace = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
SecretName = Annotated[
    str,
    Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"),
]
WebAddress = Annotated[str, Field(max_length=2048, pattern=r"^https?://[^\s/?#@]+(/[^\s?#@]*)?$")]
"""http or https with host, optional port and path; no user information, query or fragment, so that it can be shown."""
TimeOfDay = Annotated[str, Field(min_length=5, max_length=5, pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]


class DetectionAction(StrEnum):
    """What the scan for stuck jobs does with what it finds."""

    REPORT = "Report"
    PLAN = "Plan"
    EXECUTE = "Execute"


class ForceStop(StrEnum):
    """Whether a test VM may be stopped by force (rule 15)."""

    NEVER = "Never"
    ALLOWED = "Allowed"


class Weekday(StrEnum):
    """A day of the week."""

    MONDAY = "Mon"
    TUESDAY = "Tue"
    WEDNESDAY = "Wed"
    THURSDAY = "Thu"
    FRIDAY = "Fri"
    SATURDAY = "Sat"
    SUNDAY = "Sun"


class SecretKeyReference(KubernetesModel):
    """One key of a Secret in the operator's namespace."""

    name: SecretName
    """Name of the Secret."""

    key: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]
    """Key in the Secret's data."""


class SecretReference(KubernetesModel):
    """A Secret in the operator's namespace."""

    name: SecretName
    """Name of the Secret."""


class Database(KubernetesModel):
    """The appliance's database."""

    url_secret_ref: SecretKeyReference
    """Secret with the address of the database and its user and password, such as
    mysql+asyncmy://user:password@oma.example.com:3306/migratekit_oma."""


class VolumeDaemon(KubernetesModel):
    """The appliance's Volume Daemon, which attaches and detaches volumes."""

    url: WebAddress
    """Address of the daemon, such as http://oma.example.com:8090: http or https, host, optional port and path."""


class OSSEA(KubernetesModel):
    """The cloud that holds the volumes and the VMs."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                rule(
                    "!(has(self.caBundle) && self.insecureSkipTLSVerify)",
                    "caBundle has no effect together with insecureSkipTLSVerify: remove one of them",
                    field="insecureSkipTLSVerify",
                ),
            ]
        }
    )

    url: WebAddress | None = None
    """Address of the cloud's API; /client/api is appended if it is missing. Without it the active row of ossea_configs
    is used, read afresh for each run."""

    credentials_secret_ref: SecretReference | None = None
    """Secret with the keys apiKey and secretKey. Without it the active row of ossea_configs is used."""

    encryption_key_secret_ref: SecretKeyReference | None = None
    """Secret with the key (base64 of 32 bytes) that decrypts the credentials in ossea_configs. Needed only if they are
    stored encrypted."""

    ca_bundle: Annotated[str | None, Field(max_length=65_536, pattern=r"-----BEGIN CERTIFICATE-----")] = None
    """PEM certificates of the authorities to trust instead of the system's."""

    insecure_skip_tls_verify: bool = False
    """True accepts any certificate: whoever is on the way can read and change the requests. For laboratories only.
    Default: false."""


class Window(KubernetesModel):
    """A time in which automatic cleanups may begin."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                rule("self.start != self.end", "a window must not be empty: end differs from start", field="end"),
            ]
        }
    )

    name: Annotated[str, Field(min_length=1, max_length=63)]
    """Name of the window."""

    days: Annotated[tuple[Weekday, ...] | None, Field(min_length=1, max_length=7, json_schema_extra=SET_SCHEMA)] = None
    """Days on which the window begins; every day if absent."""

    start: TimeOfDay
    """Time of day at which it begins, HH:MM."""

    end: TimeOfDay
    """Time of day at which it ends, HH:MM; earlier than start means on the next day."""

    time_zone: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_+\-]+(/[A-Za-z0-9_+\-]+)*$")]
    """IANA time zone of start and end, such as Europe/Berlin."""


class Detection(KubernetesModel):
    """The scan for failover jobs that hang."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                rule(
                    # The API server checks the default {} of this object before it fills in action.
                    "!has(self.action) || self.action == 'Report' || has(self.__namespace__)",
                    "Plan and Execute create cleanups: name the namespace for them",
                    field="namespace",
                ),
            ]
        }
    )

    interval_seconds: Annotated[int, Field(ge=10, le=86_400)] = 60
    """Seconds between two scans, each for stuck failovers and for drift of finished cleanups. Default: 60."""

    stuck_after_seconds: Annotated[int, Field(ge=60, le=604_800)] = 1_800
    """Seconds without a sign of life after which a job counts as dead. Default: 1800 (30 minutes); at least 60."""

    final_sync_stuck_after_seconds: Annotated[int, Field(ge=60, le=604_800)] = 2_700
    """Like stuckAfterSeconds, for a live failover in its final synchronisation, which is silent for long; the greater
    of both counts. Default: 2700 (45 minutes)."""

    action: DetectionAction = DetectionAction.REPORT
    """What is done with a stuck job: Report lists it in status.stuck, Plan creates a cleanup that only plans, Execute
    one that cleans up. Default: Report."""

    namespace: Namespace | None = None
    """Namespace in which cleanups are created; must be allowed. Required for Plan and Execute."""

    windows: Annotated[tuple[Window, ...], Field(max_length=32, json_schema_extra=map_schema("name"))] = ()
    """Times in which the scan creates cleanups; at any time if there is none."""


class Limits(KubernetesModel):
    """How much is done at once."""

    cleanups: Annotated[int, Field(ge=1, le=100)] = 10
    """Cleanups that run at the same time. Default: 10."""

    reverts_in_parallel: Annotated[int, Field(ge=1, le=64)] = 4
    """Reverts of volumes at the same time, of all cleanups. Default: 4."""

    requests_per_second: Annotated[int, Field(ge=1, le=1_000)] = 10
    """Requests per second to the cloud, and as many to the Volume Daemon. Default: 10."""

    tries: Annotated[int, Field(ge=1, le=10)] = 3
    """Settled tries of one action without effect before a person is asked. Default: 3."""


class VMStop(KubernetesModel):
    """How test VMs are stopped."""

    force_stop: ForceStop = ForceStop.NEVER
    """Never waits for the guest to shut down. Allowed cuts the power once a graceful stop has ended without effect and
    the host answers. Default: Never."""

    stop_timeout_seconds: Annotated[int, Field(ge=10, le=3_600)] = 300
    """Seconds that the guest has to shut down. After that the cleanup stops with StopFailing for as long as the stop is
    pending; no other stop is sent meanwhile. Default: 300."""


class Settle(KubernetesModel):
    """How long the effect of an action is waited for before it is judged."""

    quiet_seconds: Annotated[int, Field(ge=1, le=3_600)] = 60
    """Seconds without any change before a snapshot is deleted or a row closed, if the engine did not end the job
    itself. Default: 60."""

    revert_quiet_seconds: Annotated[int, Field(ge=1, le=86_400)] = 1_800
    """Seconds after a revert of unknown outcome in which its volume is left alone. Default: 1800 (30 minutes)."""

    revert_seconds_per_gib: Annotated[int, Field(ge=0, le=3_600)] = 10
    """Seconds for each GiB of the volume; if that is more than revertQuietSeconds, it counts. Default: 10."""

    operation_seconds: Annotated[int, Field(ge=1, le=86_400)] = 420
    """Seconds for which a Volume Daemon operation that has not ended counts as running. Default: 420 (7 minutes)."""


class ApplianceSpec(KubernetesModel):
    """Addresses of the appliance and what may be done to it. Secrets are read from the operator's namespace only."""

    allowed_namespaces: Annotated[tuple[Namespace, ...], Field(max_length=256, json_schema_extra=SET_SCHEMA)] = ()
    """Namespaces whose cleanups may use the appliance; if empty, only the operator's own."""

    waivers: Annotated[tuple[Waiver, ...], Field(max_length=len(Waiver), json_schema_extra=SET_SCHEMA)] = ()
    """Stops that cleanups may waive here at all; none if empty."""

    database: Database
    """The appliance's database."""

    volume_daemon: VolumeDaemon
    """The appliance's Volume Daemon."""

    ossea: OSSEA = OSSEA()
    """The cloud. What is absent is taken from the active row of ossea_configs in the database."""

    oma_vm_id: Identifier | None = None
    """Id of the appliance's own VM in the cloud. Must agree with ossea_configs; without it that one is used."""

    detection: Detection = Detection()
    """The scan for failover jobs that hang."""

    limits: Limits = Limits()
    """How much is done at once."""

    test_vm: VMStop = VMStop()
    """How test VMs are stopped."""

    settle: Settle = Settle()
    """How long the effect of an action is waited for before it is judged."""


class StuckJob(KubernetesModel):
    """A failover job without a sign of life."""

    job_id: Identifier
    """Id of the job (failover_jobs.job_id)."""

    vm_name: Label
    """Name of the VM."""

    vcenter_host: Label | None = None
    """vCenter of the VM."""

    context_id: Identifier | None = None
    """Id of the VM's replication context."""

    type: JobType | None = None
    """test or live."""

    stuck_since: Timestamp | None = None
    """Last sign of life of the job."""

    last_step: Label | None = None
    """The last step the job began."""

    reason: ReasonText | None = None
    """What would keep a cleanup from running now, as one word; absent if nothing would."""

    cleanup: Annotated[str | None, Field(max_length=317)] = None
    """The cleanup of the job as namespace/name, if there is one."""


class Versions(KubernetesModel):
    """What was found behind the addresses."""

    database: Annotated[str | None, Field(max_length=128)] = None
    """Version of the database server."""

    schema_: Annotated[str | None, Field(max_length=128, alias="schema")] = None
    """Version of the product's tables, as far as it can be told."""

    volume_daemon: Annotated[str | None, Field(max_length=128)] = None
    """Version of the Volume Daemon."""

    ossea: Annotated[str | None, Field(max_length=128)] = None
    """Version of the cloud's API."""


class ApplianceStatus(KubernetesModel):
    """What was observed of the appliance."""

    observed_generation: ObservedGeneration = -1
    """metadata.generation that the operator has seen; -1 before the first time."""

    conditions: Annotated[
        tuple[Condition, ...], Field(max_length=MAX_CONDITIONS, json_schema_extra=map_schema("type"))
    ] = ()
    """Ready, DatabaseReachable, VolumeDaemonReachable, OSSEAReachable, and Scanned: whether the last scan was complete."""

    oma_vm_id: Identifier | None = None
    """Id of the appliance's own VM in the cloud, as its database names it. Of two Appliances with the same one, the younger
    is refused."""

    ossea_url: Annotated[str | None, Field(max_length=2048)] = None
    """Address of the cloud in use, from spec or from the active row of ossea_configs."""

    stuck_vms: Annotated[int | None, Field(ge=0, le=1_000_000)] = None
    """Number of VMs with a stuck failover at the last scan."""

    stuck: Annotated[tuple[StuckJob, ...], Field(max_length=MAX_STUCK, json_schema_extra=map_schema("jobID"))] = ()
    """The stuck jobs, longest stuck first; at most 100."""

    versions: Versions | None = None
    """What was found behind the addresses."""

    last_scan_time: Timestamp | None = None
    """When the last scan ended."""


class Appliance(CustomResource):
    """A replication appliance (OMA) with its database, Volume Daemon and cloud (OSSEA).

    Owned by administrators: cleanups name it and never an address.
    """

    spec: ApplianceSpec
    """Addresses of the appliance and what may be done to it. Secrets are read from the operator's namespace only."""

    status: ApplianceStatus = ApplianceStatus()
    """What was observed of the appliance; may be erased without harm and is written again."""
