"""What somebody asks for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from failed_execution_cleanup.resources.cleanup import Mode, WaiverGrant
from failed_execution_cleanup.resources.identifiers import API_VERSION, APPROVED_PLAN_ANNOTATION, CLEANUP_KIND


@dataclass(frozen=True, slots=True)
class Order:
    """One VM to be cleaned up.

    Attributes:
        vm_name: exactly as in vCenter.
        appliance: name of the Appliance; None: the only one there is.
        vcenter_host: needed only where the name is not unique.
        failover_job_id: the failed job; None: the one the Appliance lists as stuck, else the newest.
        mode: Plan touches nothing.
        waivers: stops the person takes responsibility for.
        note: free text for people, such as a ticket.
        requested_by: the requesting user, as the API server knows them; an admission policy checks it.
        approved_plan: digest of the plan that was read; what is not in it waits for another approval. None: no approval is asked for.
    """

    vm_name: str
    appliance: str | None = None
    vcenter_host: str | None = None
    failover_job_id: str | None = None
    mode: Mode = Mode.EXECUTE
    waivers: tuple[WaiverGrant, ...] = ()
    note: str | None = None
    requested_by: str | None = None
    approved_plan: str | None = None

    def body(self, *, name: str, namespace: str, appliance: str) -> dict[str, Any]:
        """The resource that asks for it; see `CleanupClient.place` for its name."""
        spec: dict[str, Any] = {
            "vmName": self.vm_name,
            "vcenterHost": self.vcenter_host,
            "failoverJobID": self.failover_job_id,
            "applianceRef": {"name": appliance},
            "mode": self.mode.value,
            "waive": [waiver.to_kubernetes() for waiver in self.waivers] or None,
            "note": self.note,
            "requestedBy": self.requested_by,
        }
        metadata: dict[str, Any] = {"name": name, "namespace": namespace}
        if self.approved_plan is not None:
            metadata["annotations"] = {APPROVED_PLAN_ANNOTATION: self.approved_plan}
        return {
            "apiVersion": API_VERSION,
            "kind": CLEANUP_KIND,
            "metadata": metadata,
            "spec": {field: value for field, value in spec.items() if value is not None},
        }
