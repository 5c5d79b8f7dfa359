"""The VMs whose failover is stuck, as the scans of the Appliances tell."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from failed_execution_cleanup.client.errors import AmbiguousTarget
from failed_execution_cleanup.resources.appliance import Appliance, StuckJob


@dataclass(frozen=True, slots=True)
class StuckVM:
    """A failover job without a sign of life, and the Appliance whose scan found it."""

    appliance: str
    job: StuckJob


def stuck_of(appliances: Iterable[Appliance]) -> tuple[StuckVM, ...]:
    """All stuck VMs, appliance by appliance, longest stuck first."""
    return tuple(StuckVM(each.metadata.name, job) for each in appliances for job in each.status.stuck)


def stuck_job(appliance: Appliance, vm_name: str, vcenter_host: str | None) -> StuckJob | None:
    """The stuck job of a VM; None where the last scan found none.

    Raises:
        AmbiguousTarget: VMs of that name are stuck under several vCenters.
    """
    found = [
        job
        for job in appliance.status.stuck
        if job.vm_name == vm_name and (vcenter_host is None or job.vcenter_host == vcenter_host)
    ]
    hosts = sorted({job.vcenter_host or "unknown" for job in found})
    if len(hosts) > 1:
        raise AmbiguousTarget(
            f"{len(hosts)} stuck VMs are named {vm_name!r} (vCenters {', '.join(hosts)}).",
            remedy="Name the vCenter of the VM.",
        )
    return found[0] if found else None
