"""Names that other programs see: API group, kinds, annotations, finalizer.

They are part of the public interface: objects in clusters and in Git carry them, so they never change within a version.
"""

from typing import Final

GROUP: Final = "failover.ossea.io"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"

CLEANUP_KIND: Final = "FailedExecutionCleanup"
CLEANUP_PLURAL: Final = "failedexecutioncleanups"
APPLIANCE_KIND: Final = "Appliance"
APPLIANCE_PLURAL: Final = "appliances"

FINALIZER: Final = f"{GROUP}/claim"
"""On a cleanup only while the operator holds a claim for it in the appliance's database; on an Appliance while claims on it are open."""

REQUESTED_AT_ANNOTATION: Final = f"{GROUP}/requestedAt"
"""Any new value asks for one more run of a finished or refused cleanup; echoed to ``status.lastHandledRequest``."""

APPROVED_PLAN_ANNOTATION: Final = f"{GROUP}/approvedPlan"
"""The ``status.planHash`` a person approved; an action outside that plan waits for a new approval."""

CLEANUPS_CREATED_ANNOTATION: Final = f"{GROUP}/cleanupsCreated"
"""On an Appliance: names of the cleanups its scan created, separated by commas; none of them is created a second time."""

APPLIANCE_LABEL: Final = f"{GROUP}/appliance"
"""On a cleanup that a scan created: the Appliance that was scanned."""

SUSPENDED_ANNOTATION: Final = f"{GROUP}/suspended"
"""``"true"`` suspends like ``spec.suspend``, without a difference between the cluster and Git."""
