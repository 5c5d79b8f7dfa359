"""The command line of a break-glass command, checked against its Appliance file as far as that goes without the appliance."""

from __future__ import annotations

import getpass
import os
import shlex
import socket
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from failed_execution_cleanup.access.claim_settings import ClaimSettings
from failed_execution_cleanup.access.doors import DoorOpener
from failed_execution_cleanup.local.appliance_file import ApplianceFile
from failed_execution_cleanup.local.report import Report
from failed_execution_cleanup.local.secrets import LocalSecrets
from failed_execution_cleanup.local.session import Session
from failed_execution_cleanup.recovery.goals import Waiver
from failed_execution_cleanup.resources.cleanup import FailedExecutionCleanup
from failed_execution_cleanup.resources.identifiers import APPROVED_PLAN_ANNOTATION, REQUESTED_AT_ANNOTATION
from failed_execution_cleanup.resources.reasons import Waiver as WaiverReason
from failed_execution_cleanup.run.order import Order, Progress

_BY_ID: Final = frozenset({WaiverReason.ACCEPT_CONTENT, WaiverReason.ZOMBIE_JOB})
"""Waivers for one volume or row, never for the whole job."""


class UsageError(ValueError):
    """The command line or the environment cannot be used; the message says what to correct."""


@dataclass(frozen=True, slots=True)
class Arguments:
    """The command line."""

    vm: str
    file: Path
    secrets_dir: Path | None
    vcenter_host: str | None
    job: str | None
    waive: tuple[str, ...]
    note: str | None = None
    approve: str | None = None

    def again(self, job_id: str | None) -> str:
        """The command line that does what was planned."""
        words = ["fec", "local", "cleanup", self.vm, "--appliance", str(self.file)]
        words += ["--secrets-dir", str(self.secrets_dir)] if self.secrets_dir is not None else []
        words += ["--vcenter-host", self.vcenter_host] if self.vcenter_host is not None else []
        words += ["--job", job_id] if job_id is not None else []
        words += [word for waiver in self.waive for word in ("--waive", waiver)]
        return shlex.join(words)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A command line that was checked against its file, as far as that goes without the appliance.

    Attributes:
        report: of the cleanup that is asked for, before anything is known of it.
        file: holds the Appliance and perhaps its secrets.
    """

    report: Report
    order: Order
    file: ApplianceFile
    secrets: LocalSecrets
    settings: ClaimSettings

    @classmethod
    def of(cls, asked: Arguments, file: ApplianceFile, *, planned: bool) -> Prepared:
        """Check the arguments and the environment.

        Raises:
            UsageError: one of them cannot be used.
        """
        person = f"{_user()}@{socket.gethostname()}"
        identity = f"local/{person}/{uuid.uuid4().hex[:12]}"
        waivers = frozenset(_waiver(text) for text in asked.waive)
        if waivers and asked.job is None:
            raise UsageError("a waiver is granted for one failover job: name it with --job.")
        try:
            settings = ClaimSettings()
        except ValidationError as error:
            raise UsageError(f"environment: {_faults(error, 'FEC_')}") from None
        order = Order(
            asked.vm,
            vcenter_host=asked.vcenter_host,
            job_id=asked.job,
            # Each command is an order of its own: no job is pinned from an earlier one, and what has finished is looked at again.
            asker=identity,
            requested_at=identity,
            waivers=waivers,
            approved_plan=asked.approve,
            note=f"break-glass by {person}" + (f": {asked.note}" if asked.note else ""),
        )
        report = Report(_resource(asked, file, identity), planned=planned)
        return cls(report, order, file, LocalSecrets(file, asked.secrets_dir, os.environ), settings)

    def session(self, told: Callable[[Progress], None]) -> Session:
        """The command, ready to run; `told` hears how it goes."""
        opener = DoorOpener(self.secrets, self.settings.http_timeout_seconds)
        owner = self.order.asker or ""
        return Session(opener, self.file.appliance, self.order, owner, self.settings.limits, told)


def _resource(asked: Arguments, file: ApplianceFile, identity: str) -> FailedExecutionCleanup:
    """The resource that somebody would have applied, were there a cluster: its model checks the arguments."""
    annotations = {REQUESTED_AT_ANNOTATION: identity}
    if asked.approve is not None:
        annotations[APPROVED_PLAN_ANNOTATION] = asked.approve
    spec = {
        "vmName": asked.vm,
        "vcenterHost": asked.vcenter_host,
        "failoverJobID": asked.job,
        "applianceRef": {"name": file.appliance.metadata.name},
        "note": asked.note,
    }
    try:
        return FailedExecutionCleanup.model_validate(
            {"metadata": {"name": "break-glass", "annotations": annotations}, "spec": spec}
        )
    except ValidationError as error:
        raise UsageError(_faults(error)) from None


def _waiver(text: str) -> Waiver:
    name, _, obj = text.partition("=")
    try:
        reason = WaiverReason(name)
    except ValueError:
        known = ", ".join(waiver.value for waiver in WaiverReason)
        raise UsageError(f"--waive {text}: the reason is one of {known}.") from None
    if not obj:
        raise UsageError(f"--waive {text}: name the object, as in {reason.value}=job.")
    if reason in _BY_ID and obj == "job":
        raise UsageError(
            f"--waive {text}: AcceptContent needs the id of a volume and ZombieJob the id of a row, not the word job."
        )
    return Waiver(reason.value, obj)


def _faults(error: ValidationError, prefix: str = "") -> str:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{prefix}{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in found)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # an account without a name, as in some containers
        return str(os.getuid())
