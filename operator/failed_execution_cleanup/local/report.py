"""What is known of a cleanup, in the words of a resource's status: nobody has to learn a second vocabulary on a bad day."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from failed_execution_cleanup.controller.projection import is_finished, project
from failed_execution_cleanup.exit_codes import ExitCode
from failed_execution_cleanup.local.exit_codes import exit_code
from failed_execution_cleanup.resources.cleanup import CleanupStatus, FailedExecutionCleanup
from failed_execution_cleanup.resources.conditions import Condition, get_condition
from failed_execution_cleanup.resources.reasons import ConditionType, remedy_of
from failed_execution_cleanup.run.order import Progress


@dataclass(frozen=True, slots=True)
class Report:
    """One cleanup at one moment.

    Attributes:
        cleanup: the resource that somebody would have applied, were there a cluster; its status tells how far it is.
        code: exit code, were this the last word.
        planned: only a plan is asked for.
    """

    cleanup: FailedExecutionCleanup
    code: ExitCode = ExitCode.WAITING
    planned: bool = False

    def after(self, progress: Progress) -> Report:
        """The report with what is known by now; what was not observed this time stays as it was."""
        status = project(self.cleanup, progress, datetime.now(UTC), planned=self.planned)
        cleanup = self.cleanup.model_copy(update={"status": status})
        return Report(cleanup, exit_code(progress.decision), self.planned)

    @property
    def status(self) -> CleanupStatus:
        """How far it is."""
        return self.cleanup.status

    @property
    def ready(self) -> Condition | None:
        """The verdict; None before the first look."""
        return get_condition(self.status.conditions, ConditionType.READY)

    @property
    def finished(self) -> bool:
        """Whether it came to its end: clean, or final."""
        return is_finished(self.status)

    @property
    def remedy(self) -> str:
        """What a person does next, where one has to."""
        if self.ready is None or self.code is ExitCode.CLEAN:
            return ""
        if self.code is ExitCode.WAITING:
            return "the same command goes on from here, and so does the operator."
        return remedy_of(self.ready.reason)

    def to_json(self) -> str:
        """One JSON document; `status` has the fields of `kubectl explain fec.status`."""
        spec, ready = self.cleanup.spec, self.ready
        document: dict[str, Any] = {
            "vmName": spec.vm_name,
            "vcenterHost": spec.vcenter_host,
            "appliance": spec.appliance_ref.name,
            "exitCode": self.code.value,
            "reason": ready.reason if ready is not None else None,
            "message": ready.message if ready is not None else None,
            "status": self.status.to_kubernetes(),
        }
        return json.dumps(document, ensure_ascii=False, indent=2)
