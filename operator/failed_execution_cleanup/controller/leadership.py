"""Leader election on a Lease: of all replicas, one works.

A candidate judges the leader by whether the record *changes*, timed by its own monotonic clock, so clocks that disagree
do no harm. The leader gives up by its own clock, counted from before its last successful renewal was sent, and earlier
than anybody else may take over: `renew_seconds` < `lease_seconds`. The election keeps replicas from doing the same work
twice; what makes two operators safe for a moment (a paused process, a deleted Lease) is the claim in the appliance's
database, not the Lease.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Protocol

from failed_execution_cleanup.controller.kubernetes_api import Conflict, KubernetesError, Lease, NotFound

__all__ = ["LeaderElection", "LeaseApi"]

logger = logging.getLogger(__name__)


class LeaseApi(Protocol):
    """The calls the election makes; `KubernetesApi` has them."""

    async def read_lease(self, namespace: str, name: str) -> Lease:
        """Read a Lease; `NotFound` if there is none."""
        ...

    async def create_lease(self, namespace: str, name: str, lease: Lease) -> Lease:
        """Create a Lease; `Conflict` if it exists."""
        ...

    async def replace_lease(self, namespace: str, name: str, lease: Lease) -> Lease:
        """Replace a Lease, or create it if it is gone; `Conflict` if it moved on from `lease.resource_version`."""
        ...


class LeaderElection:
    """One candidate for one Lease.

    Call `acquire` before Kopf takes the loop: the renewals are a task, and Kopf cancels tasks younger than itself.

    Attributes:
        lost: set when the leadership ended in any way but `release`; whoever works on its strength must stop.
        holder: the leader last seen, "" for none.
        problem: why the last attempt to read or write the Lease failed; "" when it worked.
    """

    def __init__(
        self,
        api: LeaseApi,
        namespace: str,
        name: str,
        identity: str,
        *,
        lease_seconds: int = 15,
        renew_seconds: float = 10.0,
        retry_seconds: float = 2.0,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Prepare a candidate; nothing is sent yet.

        Args:
            api: where the Lease lives.
            namespace: namespace of the Lease.
            name: name of the Lease.
            identity: unique for every process that ever runs; a Lease with this identity counts as its own.
            lease_seconds: how long an unchanged record counts as held; how long a takeover after a crash takes.
            renew_seconds: how long the leader keeps trying to renew before it gives up.
            retry_seconds: pause between attempts.
            clock: wall clock for the times written into the record, which nobody judges by.

        Raises:
            ValueError: unless 0 < retry_seconds < renew_seconds < lease_seconds; or an empty identity.
        """
        if not 0 < retry_seconds < renew_seconds < lease_seconds:
            raise ValueError(
                "need 0 < retry_seconds < renew_seconds < lease_seconds, "
                f"got {retry_seconds}, {renew_seconds}, {lease_seconds}"
            )
        if not identity:
            raise ValueError("an election needs an identity")
        self._api = api
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._lease_seconds = lease_seconds
        self._renew_seconds = renew_seconds
        self._retry_seconds = retry_seconds
        self._clock = clock
        self._observed: Lease | None = None
        self._observed_at = 0.0  # loop time at which `_observed` was first seen
        self._deadline: float | None = None  # loop time at which leadership ends; None: not leading
        self._renewals: asyncio.Task[str] | None = None
        self.lost = asyncio.Event()
        self.problem = ""

    @property
    def leading(self) -> bool:
        """Whether this process leads at this very moment, even if the loop was held up and nobody noticed the end."""
        return self._deadline is not None and asyncio.get_running_loop().time() < self._deadline

    @property
    def holder(self) -> str:
        """Identity of the leader last seen; "" for none."""
        return "" if self._observed is None else self._observed.holder

    async def acquire(self) -> None:
        """Wait until this process leads, then keep it so in a task of its own until `lost` or `release`.

        Errors of the API are logged and tried again for ever.

        Raises:
            RuntimeError: it leads already.
        """
        if self._renewals is not None and not self._renewals.done():
            raise RuntimeError(f"{self._identity} leads already")
        self.lost.clear()
        while not await self._attempt(asyncio.get_running_loop().time() + self._renew_seconds):  # noqa: ASYNC110 - remote
            await asyncio.sleep(self._retry_seconds)
        logger.info("Leading", extra={"identity": self._identity, "lease": self._name})
        self._renewals = asyncio.create_task(self._keep(), name="lease-renewals")
        self._renewals.add_done_callback(self._end)

    async def release(self) -> None:
        """Stop renewing and give the Lease up, so that another replica takes over at once.

        Call it after the work has stopped. Best effort: if the API cannot be reached the Lease runs out by itself.
        """
        held, self._deadline = self.leading, None
        renewals, self._renewals = self._renewals, None
        if renewals is not None:
            renewals.cancel()
            await asyncio.wait({renewals})
        if not held:
            return
        try:
            async with asyncio.timeout(self._retry_seconds):
                current = await self._api.read_lease(self._namespace, self._name)
                if current.holder == self._identity:
                    # A duration must be positive; readers that ignore the empty holder wait one second.
                    empty = replace(current, holder="", duration_seconds=1, renewed_at=self._clock())
                    self._observe(await self._api.replace_lease(self._namespace, self._name, empty))
        except (KubernetesError, TimeoutError) as error:
            logger.warning(
                "Lease not released; it runs out by itself", extra={"lease": self._name, "cause": str(error)}
            )
        else:
            logger.info("Lease released", extra={"identity": self._identity, "lease": self._name})

    async def _keep(self) -> str:
        """Renew until the leadership is lost; return why it was."""
        while (deadline := self._deadline) is not None:
            remaining = deadline - asyncio.get_running_loop().time()
            if remaining <= 0:
                return self.problem or "the renewal came too late"
            await asyncio.sleep(min(self._retry_seconds, remaining))
            if self.leading and not await self._attempt(deadline) and self.holder != self._identity:
                return f"{self.holder or 'nobody'} holds the Lease"
        return "released"

    def _end(self, renewals: asyncio.Task[str]) -> None:
        """Take note that the renewals ended, whatever ended them."""
        if self._deadline is None:  # `release` clears it first
            return
        self._deadline = None
        self.lost.set()
        if renewals.cancelled():
            cause = "the renewals were cancelled"
        elif (error := renewals.exception()) is not None:
            cause = f"the renewals failed: {error!r}"
        else:
            cause = renewals.result()
        logger.warning("No longer leading", extra={"identity": self._identity, "cause": cause})

    async def _attempt(self, give_up_at: float) -> bool:
        """Try once to take or renew the Lease; on success move the deadline.

        Args:
            give_up_at: loop time after which an answer is of no use.
        """
        sent_at = asyncio.get_running_loop().time()
        try:
            # Half the time at most, so that one dead connection does not cost the leadership.
            async with asyncio.timeout_at(min(give_up_at, sent_at + self._renew_seconds / 2)):
                written = await self._write()
        except TimeoutError:
            self._fail("no answer in time")
            return False
        except KubernetesError as error:
            self._fail(str(error))
            return False
        self.problem = ""
        if written:
            self._deadline = sent_at + self._renew_seconds
        return written

    async def _write(self) -> bool:
        """Take or renew the Lease if that is ours to do; return whether it was done."""
        if self._deadline is None or self._observed is None:
            # A leader knows the record it wrote last; everybody else has to look.
            try:
                self._observe(await self._api.read_lease(self._namespace, self._name))
            except NotFound:
                self._observed = None
        try:
            if self._observed is None:
                self._observe(await self._api.create_lease(self._namespace, self._name, self._successor(None)))
                return True
            if self._held_by_another():
                return False
            # The API server makes a Lease that was deleted meanwhile anew, unless another candidate was faster.
            self._observe(await self._api.replace_lease(self._namespace, self._name, self._successor(self._observed)))
        except Conflict:
            self._observe(await self._api.read_lease(self._namespace, self._name))
            return False
        return True

    def _held_by_another(self) -> bool:
        observed = self._observed
        if observed is None or observed.holder in ("", self._identity):
            return False
        return asyncio.get_running_loop().time() < self._observed_at + observed.duration_seconds

    def _successor(self, observed: Lease | None) -> Lease:
        """Return the record to write after the one that was read."""
        now = self._clock()
        if observed is None:
            return Lease(self._identity, self._lease_seconds, now, now, transitions=0)
        if observed.holder == self._identity:
            return replace(observed, duration_seconds=self._lease_seconds, renewed_at=now)
        transitions = observed.transitions + 1
        return Lease(self._identity, self._lease_seconds, now, now, transitions, observed.resource_version)

    def _observe(self, lease: Lease) -> None:
        """Remember the record, and when it last changed in more than its resourceVersion (an annotation, say)."""
        before = self._observed
        if lease.holder != self.holder:
            logger.info("Lease holder changed", extra={"lease": self._name, "holder": lease.holder or "nobody"})
        if before is None or replace(lease, resource_version=before.resource_version) != before:
            self._observed_at = asyncio.get_running_loop().time()
        self._observed = lease

    def _fail(self, problem: str) -> None:
        if problem != self.problem:
            logger.warning("Lease not reached", extra={"lease": self._name, "cause": problem})
        self.problem = problem
