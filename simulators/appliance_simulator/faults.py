"""Latencies and faults: what can go wrong on the way to OSSEA, to the Volume Daemon, and inside their jobs.

Faults are *armed*, optionally for one command and one object, and used up by the requests or jobs they hit. Latencies
are seconds that a job of a command takes before it has its effect; all zero until set.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

ANY_COMMAND: Final = "*"
DEVICE_LINK: Final = "device-link"
"""Latency name: how long the daemon waits for the by-id link of a volume attached to the OMA."""


class FaultKind(StrEnum):
    """What goes wrong. The first group hits HTTP requests, the second jobs of the cloud, the third the daemon."""

    CLOUD_DOWN = "cloud_down"
    """OSSEA closes every connection unanswered, also those of the daemon."""
    RESPONSE_LOST_BEFORE = "response_lost_before"
    """The connection closes and the request was not executed."""
    RESPONSE_LOST_AFTER = "response_lost_after"
    """The connection closes and the request was executed."""
    EMPTY_BODY = "empty_body"
    """HTTP 200 without a body; executed unless armed with `executed=False`."""
    HTML_502 = "html_502"
    """A proxy's error page; not executed unless armed with `executed=True`."""
    HTTP_429 = "http_429"
    """The account's limit: with `seconds` the answer asks for that pause, in its text and as `Retry-After`."""
    HTTP_431 = "http_431"
    """OSSEA refuses a parameter, as it does for ids it does not know; not executed."""
    HTTP_503 = "http_503"
    HTTP_530 = "http_530"
    """OSSEA's internal error, 500 of the daemon; not executed unless armed with `executed=True`."""

    JOB_FAILS = "job_fails"
    """The job ends with `code` and `errortext` and without any effect."""
    JOB_FAILS_WITHOUT_RESULT = "job_fails_without_result"
    """The job ends with `code` (530 or 0) and no `jobresult`; the work is done all the same with `executed=True`."""
    JOB_HANGS = "job_hangs"
    """The job stays pending, holding its place in the queue of its VM, until `AsyncJobs.release_hanging`."""
    JOB_PURGED = "job_purged"
    """The job succeeds and is forgotten at once: asked for it, the server knows no such id."""
    SERVER_RESTARTS = "server_restarts"
    """The management server restarts in the middle of the job: every pending job fails without a result. What the hosts
    were told is done all the same unless armed with `executed=False`; a volume stays RevertSnapshotting."""
    REVERT_HALF_WAY = "revert_half_way"
    """The revert fails in the middle: volume Ready, content undefined."""
    REVERT_GOES_ON = "revert_goes_on"
    """The server gives up on the revert, the host's copy goes on for `seconds` (OSSEA facts 2.8)."""
    LATE_DETACH = "late_detach"
    """The detach is reported failed and happens `seconds` later, whoever holds the volume by then."""

    DAEMON_DOWN = "daemon_down"
    """The daemon closes every connection unanswered."""
    DAEMON_FAILS_AFTER_CLOUD_SUCCESS = "daemon_fails_after_cloud_success"
    """The operation ends failed although the cloud did what was asked; no row is changed."""
    DEVICE_LINK_LATE = "device_link_late"
    """The by-id link does not appear in time: operation failed, volume attached, no mapping."""
    OPERATION_ABANDONED = "operation_abandoned"
    """The daemon dies after it asked the cloud: the operation stays `executing` for ever."""


OUTAGES: Final = frozenset({FaultKind.CLOUD_DOWN, FaultKind.DAEMON_DOWN})
UNEXECUTED_BY_DEFAULT: Final = frozenset({FaultKind.HTML_502, FaultKind.HTTP_530, FaultKind.JOB_FAILS_WITHOUT_RESULT})


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One armed fault.

    Attributes:
        kind: What goes wrong.
        command: OSSEA command or daemon action it waits for; `*` is any.
        object_id: Volume, snapshot or VM id it waits for; None is any.
        errortext: Text of a failing job.
        code: Error code of a failing job.
        executed: Whether the work is done in spite of the missing answer, where the kind leaves that open.
        seconds: Delay of work that goes on after its job was reported failed; pause that a 429 asks for.
    """

    kind: FaultKind
    command: str = ANY_COMMAND
    object_id: str | None = None
    errortext: str = "Unable to complete the request."
    code: int = 530
    executed: bool = True
    seconds: float = 0.0

    def hits(self, command: str, object_ids: Collection[str]) -> bool:
        """Whether this fault waits for such a request."""
        return self.command in (ANY_COMMAND, command) and (self.object_id is None or self.object_id in object_ids)


@dataclass
class _Armed:
    fault: Fault
    remaining: int | None
    passing: int
    """Requests it lets pass before it strikes."""


class Faults:
    """The faults that are armed at the moment."""

    def __init__(self) -> None:
        self._armed: list[_Armed] = []

    def arm(
        self,
        kind: FaultKind | str,
        command: str = ANY_COMMAND,
        *,
        object_id: str | None = None,
        times: int | None = None,
        skip: int = 0,
        errortext: str = "Unable to complete the request.",
        code: int = 530,
        executed: bool | None = None,
        seconds: float = 0.0,
    ) -> Fault:
        """Arm a fault.

        Args:
            kind: What goes wrong.
            command: OSSEA command or daemon action, `*` for any.
            object_id: Only for requests that name this object.
            times: How often it strikes; by default once, an outage until `disarm`.
            skip: How many requests it would hit pass unharmed first.
            errortext: Text of a failing job.
            code: Error code of a failing job.
            executed: Whether the work is done although no answer tells so; by default what is typical of the kind.
            seconds: Delay of work that goes on; pause that a 429 asks for.

        Raises:
            ValueError: Unknown kind, `times` below one, or `skip` below zero.
        """
        kind = FaultKind(kind)
        if times is None and kind not in OUTAGES:
            times = 1
        if times is not None and times < 1:
            raise ValueError(f"times must be at least 1, not {times}")
        if skip < 0:
            raise ValueError(f"skip must not be negative: {skip}")
        if executed is None:
            executed = kind not in UNEXECUTED_BY_DEFAULT
        fault = Fault(
            kind=kind,
            command=command,
            object_id=object_id,
            errortext=errortext,
            code=code,
            executed=executed,
            seconds=seconds,
        )
        self._armed.append(_Armed(fault, times, skip))
        return fault

    def take(self, kinds: Iterable[FaultKind], command: str, object_ids: Collection[str] = ()) -> Fault | None:
        """Use up and return the oldest armed fault of these kinds that waits for this request."""
        wanted = frozenset(kinds)
        for armed in self._armed:
            if armed.fault.kind in wanted and armed.fault.hits(command, object_ids):
                if armed.passing:
                    armed.passing -= 1
                    continue
                if armed.remaining is not None:
                    armed.remaining -= 1
                    if armed.remaining == 0:
                        self._armed.remove(armed)
                return armed.fault
        return None

    def armed(self) -> tuple[Fault, ...]:
        """Every fault that still waits."""
        return tuple(armed.fault for armed in self._armed)

    def disarm(self, kind: FaultKind | str | None = None) -> None:
        """Forget the faults of one kind, or all."""
        self._armed = [] if kind is None else [armed for armed in self._armed if armed.fault.kind != FaultKind(kind)]


@dataclass
class Latencies:
    """Seconds a command's work takes, by OSSEA command; `device-link` is the daemon's wait for the by-id link."""

    seconds: dict[str, float] = field(default_factory=dict)

    def set(self, command: str, seconds: float) -> None:
        """Let the work of a command take this long from now on.

        Raises:
            ValueError: Negative duration.
        """
        if seconds < 0:
            raise ValueError(f"latency of {command} must not be negative: {seconds}")
        self.seconds[command] = seconds

    def of(self, command: str) -> float:
        """The seconds of one command."""
        return self.seconds.get(command, 0.0)
