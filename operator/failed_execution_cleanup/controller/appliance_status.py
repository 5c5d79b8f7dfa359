"""Whether an appliance can be reached: its conditions, with cause and remedy, kept up to date by a look now and then.

Only reads are made. A part that cannot be looked at because another one is down is Unknown, not False.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from failed_execution_cleanup.access.doors import Inconsistent
from failed_execution_cleanup.access.secrets import SecretMissing
from failed_execution_cleanup.appliance.errors import ApplianceError, BadCredentials, Unavailable, Untrusted
from failed_execution_cleanup.controller.appliance_identity import require_eldest
from failed_execution_cleanup.controller.appliances import Appliances
from failed_execution_cleanup.controller.claimed_appliances import ClaimedAppliances
from failed_execution_cleanup.controller.events import EventRecorder, ObjectReference
from failed_execution_cleanup.controller.kubernetes_api import (
    APPLIANCES,
    Conflict,
    KubernetesApi,
    NotFound,
    merge_patch,
)
from failed_execution_cleanup.controller.metrics import Metrics
from failed_execution_cleanup.controller.progress_watch import ProgressWatch
from failed_execution_cleanup.controller.scanning import ApplianceScanner, Scanned
from failed_execution_cleanup.resources.appliance import Appliance, ApplianceStatus, Versions
from failed_execution_cleanup.resources.conditions import Condition, ConditionStatus, set_condition
from failed_execution_cleanup.resources.identifiers import API_VERSION, APPLIANCE_KIND, FINALIZER
from failed_execution_cleanup.resources.reasons import ConditionType, Reason
from failed_execution_cleanup.run.attribution import about
from failed_execution_cleanup.run.queue import Lane, Result

logger = logging.getLogger(__name__)

_DELETION_SECONDS: Final = 5.0
"""Pause between looks at an Appliance that is being deleted while claims on it are open."""

_AUTHENTICATION_CODES: Final = frozenset({1044, 1045, 1142})
"""MariaDB's numbers for a user that may not (appliance.database.failures)."""

_CLIENT_CODES: Final = range(2000, 3000)
"""MariaDB's numbers for a connection that failed or broke, given by the client's side: nobody answered."""


_METRIC_NAMES: Final = {
    ConditionType.DATABASE_REACHABLE: "Database",
    ConditionType.VOLUME_DAEMON_REACHABLE: "VolumeDaemon",
    ConditionType.OSSEA_REACHABLE: "OSSEA",
}
"""Parts of an appliance as the label `system` of fec_appliance_up names them."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a look at one part found; `error` is None when it answers as it should.

    Attributes:
        condition: the part; Ready for what only the parts together tell.
        error: what is wrong.
        observed: False where another part had to answer first.
        answer: what it answered.
        configured: a sentence on where its address and credentials come from.
    """

    condition: ConditionType
    error: ApplianceError | None = None
    observed: bool = True
    answer: str = ""
    configured: str = ""

    @property
    def told(self) -> str:
        """What is wrong and what to do, and where: in words for a condition."""
        if self.error is None or self.error.system == "Kubernetes":  # names its own object
            return str(self.error or "")
        return f"{self.error} {self.configured}".strip()


@dataclass(slots=True)
class ApplianceStatusKeeper:
    """Looks at appliances one by one and writes their status."""

    api: KubernetesApi
    appliances: Appliances
    claimed: ClaimedAppliances
    events: EventRecorder
    scanner: ApplianceScanner
    metrics: Metrics = field(default_factory=Metrics)
    watch: ProgressWatch = field(default_factory=ProgressWatch)

    async def reconcile(self, name: str) -> Result:
        """Look at one appliance, write what changed, and come back after its scan interval.

        Raises:
            KubernetesError: the API server failed; the queue backs off.
        """
        with self.watch.working(("Appliance", name)), about(appliance=name):
            return await self._keep(name)

    async def _keep(self, name: str) -> Result:
        try:
            body = await self.api.get(APPLIANCES, None, name)
        except NotFound:
            self.metrics.forget_appliance(name)
            return Result.done()
        appliance = Appliance.model_validate(body)
        deleting = appliance.metadata.deletion_timestamp is not None
        if FINALIZER in appliance.metadata.finalizers and not await self._let_go(appliance) and deleting:
            return Result.requeue_after(_DELETION_SECONDS)
        if deleting:
            return Result.done()
        findings, status, scanned = await self._look(appliance)
        self.metrics.looked_at(name, _parts(findings))
        if scanned.result is not None:
            self.metrics.scanned(name, scanned.stuck)
        now = datetime.now(UTC)
        conditions = _conditions(appliance, findings, now)
        wanted = status.model_copy(
            update={"observed_generation": appliance.metadata.generation, "conditions": conditions}
        )
        wanted = scanned.told(wanted, appliance.metadata.generation, now)
        patch = merge_patch(body.get("status") or {}, wanted.to_kubernetes())
        if patch:
            try:
                body = await self.api.patch_status(
                    APPLIANCES, None, name, patch, resource_version=appliance.metadata.resource_version
                )
            except Conflict:
                return Result.requeue_after(1.0)
            except NotFound:
                return Result.done()
        await self.scanner.follow_up(appliance, body, scanned)
        return Result.requeue_after(float(appliance.spec.detection.interval_seconds), Lane.DRIFT)

    async def _let_go(self, appliance: Appliance) -> bool:
        """Take our finalizer off unless claims are open; a deletion that has to wait is told as an Event."""
        name = appliance.metadata.name
        try:
            async with self.appliances.database(appliance) as database:
                if await self.claimed.let_go(name, database):
                    return True
            cause = "cleanups on it are not finished"
        except ApplianceError as error:
            cause = f"nobody can see whether cleanups on it are finished ({error})"
        if appliance.metadata.deletion_timestamp is not None:
            note = (
                f"The deletion waits: {cause}. Where the appliance is gone for good, remove the finalizer {FINALIZER}."
            )
            reference = ObjectReference(API_VERSION, APPLIANCE_KIND, None, name, appliance.metadata.uid)
            await self.events.record(reference, "Warning", "DeletionWaits", "Finalize", note)
        return False

    async def _look(self, appliance: Appliance) -> tuple[list[Finding], ApplianceStatus, Scanned]:
        findings: list[Finding] = []
        scanned = Scanned(None, problems=("not every part of the appliance can be used: see the other conditions.",))
        status, versions = appliance.status, Versions()
        database_error: ApplianceError | None = None
        daemon = self.appliances.daemon(appliance)
        try:
            health = await daemon.health()
            if not health.database_reachable:
                raise Unavailable(
                    f"it answers, but its own database is {health.database_health}.",
                    system="Volume Daemon",
                    remedy="Look at MariaDB on the OMA.",
                )
            findings.append(Finding(ConditionType.VOLUME_DAEMON_REACHABLE, answer=health.status))
        except ApplianceError as error:
            configured = f"Its address is spec.volumeDaemon.url, {appliance.spec.volume_daemon.url}."
            findings.append(Finding(ConditionType.VOLUME_DAEMON_REACHABLE, error, configured=configured))
        finally:
            await daemon.aclose()
        try:
            async with self.appliances.database(appliance) as database:
                oma_vm_ids = tuple(config.oma_vm_id for config in await database.active_configs())
                findings.append(Finding(ConditionType.DATABASE_REACHABLE))
                oma_vm_id = oma_vm_ids[0] if len(oma_vm_ids) == 1 else ""
                status = status.model_copy(update={"oma_vm_id": oma_vm_id or None})
                try:
                    require_eldest(appliance, (await self.appliances.read_all()).values(), oma_vm_id)
                except Inconsistent as error:
                    findings.insert(0, Finding(ConditionType.READY, error))
                try:
                    async with self.appliances.ossea(appliance, database) as ossea:
                        version = (await ossea.capabilities()).version
                        findings.append(Finding(ConditionType.OSSEA_REACHABLE, answer=version))
                        versions = versions.model_copy(update={"ossea": version or None})
                        status = status.model_copy(update={"ossea_url": ossea.url})
                        shown = {vm.id for vm in await ossea.list_virtual_machines()}
                        _agree(appliance, oma_vm_ids, shown)
                        if not any(finding.condition is ConditionType.READY for finding in findings):
                            scanned = await self.scanner.look(appliance, database, ossea)
                except Inconsistent as error:
                    findings.append(Finding(ConditionType.READY, error))
                    if not any(finding.condition is ConditionType.OSSEA_REACHABLE for finding in findings):
                        findings.append(Finding(ConditionType.OSSEA_REACHABLE, observed=False))
                except ApplianceError as error:
                    configured = self._cloud_configured(appliance)
                    findings.append(Finding(ConditionType.OSSEA_REACHABLE, error, configured=configured))
        except ApplianceError as error:
            database_error = error
        if database_error is not None:
            reference = appliance.spec.database.url_secret_ref
            configured = f"Its URL is key {reference.key} of Secret {self.appliances.namespace}/{reference.name}."
            findings.append(Finding(ConditionType.DATABASE_REACHABLE, database_error, configured=configured))
            findings.append(Finding(ConditionType.OSSEA_REACHABLE, observed=False))
        return findings, status.model_copy(update={"versions": versions}), scanned

    def _cloud_configured(self, appliance: Appliance) -> str:
        spec = appliance.spec.ossea
        table = "the active row of ossea_configs"
        address = f"spec.ossea.url, {spec.url}" if spec.url is not None else table
        secret = spec.credentials_secret_ref
        keys = f"Secret {self.appliances.namespace}/{secret.name}" if secret is not None else table
        return f"Its address is that of {address}, its keys are those of {keys}."


def _parts(findings: list[Finding]) -> dict[str, bool | None]:
    """Which parts answer as they should, by the name that metrics give them; None: not observed."""
    return {
        _METRIC_NAMES[finding.condition]: finding.error is None if finding.observed else None
        for finding in findings
        if finding.condition in _METRIC_NAMES
    }


def _agree(appliance: Appliance, oma_vm_ids: tuple[str, ...], shown: set[str]) -> None:
    """Resource, table and cloud must mean the same VM by "the appliance" (D04)."""
    if len(oma_vm_ids) != 1:
        raise Inconsistent(
            f"ossea_configs has {len(oma_vm_ids)} active rows where exactly one is needed.",
            system="OMA database",
            remedy="Set is_active on the right one.",
        )
    wanted = appliance.spec.oma_vm_id
    if wanted not in (None, oma_vm_ids[0]):
        raise Inconsistent(
            f"spec.omaVMID is {wanted}, ossea_configs.oma_vm_id is {oma_vm_ids[0]}.",
            system="OMA database",
            remedy="Correct the wrong one.",
        )
    if oma_vm_ids[0] not in shown:
        raise Inconsistent(
            f"it does not show the appliance's own VM {oma_vm_ids[0]}.",
            system="OSSEA",
            remedy="Correct ossea_configs.oma_vm_id or the rights of the account.",
        )


def _conditions(appliance: Appliance, findings: list[Finding], now: datetime) -> tuple[Condition, ...]:
    conditions = appliance.status.conditions
    first = next((finding for finding in findings if finding.error is not None), None)
    unseen = any(not finding.observed for finding in findings)
    for finding in findings:
        if finding.condition is ConditionType.READY:
            continue
        if not finding.observed:
            status, reason, message = (
                ConditionStatus.UNKNOWN,
                Reason.NOT_OBSERVED,
                "the database must tell its address and keys first.",
            )
        elif finding.error is None:
            status, reason, message = ConditionStatus.TRUE, Reason.REACHABLE, finding.answer or "it answers."
        else:
            status, reason, message = ConditionStatus.FALSE, _cause(finding.error), finding.told
        conditions = set_condition(
            conditions,
            finding.condition,
            status,
            reason=reason,
            message=message,
            observed_generation=appliance.metadata.generation,
            now=now,
        )
    if first is not None and first.error is not None:
        ready = (ConditionStatus.FALSE, _cause(first.error), first.told)
    elif unseen:
        ready = (ConditionStatus.UNKNOWN, Reason.NOT_OBSERVED, "not every part could be looked at.")
    else:
        ready = (ConditionStatus.TRUE, Reason.AVAILABLE, "database, Volume Daemon and OSSEA answer and agree.")
    return set_condition(
        conditions,
        ConditionType.READY,
        ready[0],
        reason=ready[1],
        message=ready[2],
        observed_generation=appliance.metadata.generation,
        now=now,
    )


def _cause(error: ApplianceError) -> Reason:
    match error:
        case Inconsistent():
            return Reason.APPLIANCE_INCONSISTENT
        case SecretMissing():
            return Reason.SECRET_MISSING
        case Untrusted():
            return Reason.TLS_FAILED
        case BadCredentials():
            return Reason.AUTHENTICATION_FAILED
        case _ if error.code in _AUTHENTICATION_CODES:
            return Reason.AUTHENTICATION_FAILED
        case _ if error.code is not None and error.code not in _CLIENT_CODES:
            return Reason.UNEXPECTED_ANSWER
    return Reason.CONNECTION_FAILED
