"""The counts, times and permissions of an Appliance, as the core wants them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from failed_execution_cleanup.recovery.decide import Refuse
from failed_execution_cleanup.recovery.goals import Settings
from failed_execution_cleanup.recovery.plan import Assessment
from failed_execution_cleanup.recovery.reasons import Reason
from failed_execution_cleanup.resources.appliance import Appliance, ApplianceSpec, ForceStop
from failed_execution_cleanup.resources.reasons import Waiver

_GIB: Final = 1024**3


def settings_of(spec: ApplianceSpec) -> Settings:
    """The counts and times of an Appliance."""
    per_gib = spec.settle.revert_seconds_per_gib
    return Settings(
        stuck_after=timedelta(seconds=spec.detection.stuck_after_seconds),
        final_sync_stuck_after=timedelta(seconds=spec.detection.final_sync_stuck_after_seconds),
        operation_limit=timedelta(seconds=spec.settle.operation_seconds),
        quiet=timedelta(seconds=spec.settle.quiet_seconds),
        revert_quiet=timedelta(seconds=spec.settle.revert_quiet_seconds),
        revert_bytes_per_second=_GIB // per_gib if per_gib else 2**62,
        tries=spec.limits.tries,
        force_stop=spec.test_vm.force_stop is ForceStop.ALLOWED,
        stop_timeout=timedelta(seconds=spec.test_vm.stop_timeout_seconds),
        oma_vm_id=spec.oma_vm_id,
    )


def waivers_refused(appliance: Appliance, wanted: Iterable[Waiver]) -> Refuse | None:
    """The stop where an Appliance does not allow one of these waivers; administrators own the list."""
    forbidden = sorted({waiver.value for waiver in wanted} - {waiver.value for waiver in appliance.spec.waivers})
    if not forbidden:
        return None
    message = (
        f"Appliance {appliance.metadata.name} does not allow to waive {', '.join(forbidden)}: an administrator adds it to "
        "spec.waivers, or the waiver is removed."
    )
    return Refuse(Reason.NOT_PERMITTED, message, Assessment())
