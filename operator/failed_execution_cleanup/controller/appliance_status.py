"""Whether an appliance can be reached: its conditions, with cause and remedy, kept up to date by a look now and then.

Only reads are made. A part that cannot be looked at because another one is down is Unknown, not False.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from failed_execution_cleanup.appliance.errors import ApplianceError, BadCredentials, Unavailable, Untrusted
from failed_execution_cleanup.controller.appliances import Appliances, Inconsistent, SecretMissing
from failed_execution_cleanup.controller.kubernetes_api import (
    APPLIANCES,
    Conflict,
    KubernetesApi,
    NotFound,
    merge_patch,
)
from failed_execution_cleanup.resources.appliance import Appliance, ApplianceStatus, Versions
from failed_execution_cleanup.resources.conditions import Condition, ConditionStatus, set_condition
from failed_execution_cleanup.resources.reasons import ConditionType, Reason
from failed_execution_cleanup.run.queue import Lane, Result

logger = logging.getLogger(__name__)

_AUTHENTICATION_CODES: Final = frozenset({1044, 1045})
"""MariaDB's numbers for a user that may not (appliance.database.failures)."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a look at one part found; `error` is None when it answers as it should."""

    condition: ConditionType
    error: ApplianceError | None = None
    observed: bool = True
    answer: str = ""


@dataclass(slots=True)
class ApplianceStatusKeeper:
    """Looks at appliances one by one and writes their status."""

    api: KubernetesApi
    appliances: Appliances

    async def reconcile(self, name: str) -> Result:
        """Look at one appliance, write what changed, and come back after its scan interval.

        Raises:
            KubernetesError: the API server failed; the queue backs off.
        """
        try:
            body = await self.api.get(APPLIANCES, None, name)
        except NotFound:
            return Result.done()
        appliance = Appliance.model_validate(body)
        if appliance.metadata.deletion_timestamp is not None:
            return Result.done()
        findings, status = await self._look(appliance)
        conditions = _conditions(appliance, findings, datetime.now(UTC))
        wanted = status.model_copy(
            update={"observed_generation": appliance.metadata.generation, "conditions": conditions}
        )
        patch = merge_patch(body.get("status") or {}, wanted.to_kubernetes())
        if patch:
            try:
                await self.api.patch_status(
                    APPLIANCES, None, name, patch, resource_version=appliance.metadata.resource_version
                )
            except Conflict:
                return Result.requeue_after(1.0)
            except NotFound:
                return Result.done()
        return Result.requeue_after(float(appliance.spec.detection.interval_seconds), Lane.DRIFT)

    async def _look(self, appliance: Appliance) -> tuple[list[Finding], ApplianceStatus]:
        findings: list[Finding] = []
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
            findings.append(Finding(ConditionType.VOLUME_DAEMON_REACHABLE, error))
        finally:
            await daemon.aclose()
        try:
            async with self.appliances.database(appliance) as database:
                oma_vm_ids = tuple(config.oma_vm_id for config in await database.active_configs())
                findings.append(Finding(ConditionType.DATABASE_REACHABLE))
                try:
                    async with self.appliances.ossea(appliance, database) as ossea:
                        version = (await ossea.capabilities()).version
                        findings.append(Finding(ConditionType.OSSEA_REACHABLE, answer=version))
                        versions = versions.model_copy(update={"ossea": version or None})
                        status = status.model_copy(update={"ossea_url": ossea.url})
                        shown = {vm.id for vm in await ossea.list_virtual_machines()}
                        _agree(appliance, oma_vm_ids, shown)
                except Inconsistent as error:
                    findings.append(Finding(ConditionType.READY, error))
                except ApplianceError as error:
                    findings.append(Finding(ConditionType.OSSEA_REACHABLE, error))
        except ApplianceError as error:
            database_error = error
        if database_error is not None:
            findings.append(Finding(ConditionType.DATABASE_REACHABLE, database_error))
            findings.append(Finding(ConditionType.OSSEA_REACHABLE, observed=False))
        return findings, status.model_copy(update={"versions": versions})


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
    first_error = next((finding.error for finding in findings if finding.error is not None), None)
    unseen = any(not finding.observed for finding in findings)
    for finding in findings:
        if finding.condition is ConditionType.READY:
            continue
        if not finding.observed:
            status, reason, message = ConditionStatus.UNKNOWN, Reason.NOT_OBSERVED, "the database must answer first."
        elif finding.error is None:
            status, reason, message = ConditionStatus.TRUE, Reason.REACHABLE, finding.answer or "it answers."
        else:
            status, reason, message = ConditionStatus.FALSE, _cause(finding.error), str(finding.error)
        conditions = set_condition(
            conditions,
            finding.condition,
            status,
            reason=reason,
            message=message,
            observed_generation=appliance.metadata.generation,
            now=now,
        )
    if first_error is not None:
        ready = (ConditionStatus.FALSE, _cause(first_error), str(first_error))
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
        case _ if error.code is not None:
            return Reason.UNEXPECTED_ANSWER
    return Reason.CONNECTION_FAILED
