"""What routes and pages call, put together once. Nothing here knows HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final, Protocol

from failed_execution_cleanup.access.doors import DoorOpener
from failed_execution_cleanup.client import Ending
from failed_execution_cleanup.console.access_review import AccessReviews, list_cleanups
from failed_execution_cleanup.console.catalogue import Catalogue, ProtectedVM, namespace_for
from failed_execution_cleanup.console.identity import (
    Caller,
    Credential,
    Identities,
    IdentitySource,
    ReviewApi,
    Unauthenticated,
)
from failed_execution_cleanup.console.limits import CallLimits
from failed_execution_cleanup.console.metrics import ConsoleMetrics
from failed_execution_cleanup.console.outlines import CleanupLists, ListApi, Outline
from failed_execution_cleanup.console.placing import InTheNameOf
from failed_execution_cleanup.console.plans import Plan, Plans
from failed_execution_cleanup.console.settings import ConsoleSettings
from failed_execution_cleanup.console.survey import Surveys
from failed_execution_cleanup.controller.appliances import Appliances
from failed_execution_cleanup.controller.kubernetes_api import KubernetesApi
from failed_execution_cleanup.recovery.goals import Waiver
from failed_execution_cleanup.resources.appliance import Appliance
from failed_execution_cleanup.run.order import Order

_LIST_SECONDS: Final = 2.0
"""How old a list of cleanups may be: people watch it."""


class ReadApi(ReviewApi, ListApi, Protocol):
    """What the services need of `KubernetesApi` in the console's own name."""


class LocalRunner(Protocol):
    """Cleans up in this process, where there is no operator to do it."""

    async def cleaned(
        self, appliance: Appliance, context_id: str, order: Order, caller: Caller, seconds: float, gone: asyncio.Event
    ) -> Ending | None:
        """Clean a VM up, and tell how it ended; None if the time was over, or nobody waited any more."""
        ...

    async def leave(self, seconds: float) -> None:
        """Hand over what is under way."""
        ...


@dataclass(frozen=True, slots=True)
class Services:
    """Everything the console offers.

    Attributes:
        in_the_name_of: opens clients for resources; None where there is no cluster.
        runs: cleans up in this process, where there is no cluster.
        leaving: set when this process is about to end: streams and waits end.
    """

    settings: ConsoleSettings
    identities: IdentitySource
    reviews: AccessReviews
    limits: CallLimits
    catalogue: Catalogue
    plans: Plans
    surveys: Surveys
    lists: CleanupLists
    in_the_name_of: InTheNameOf | None = None
    runs: LocalRunner | None = None
    metrics: ConsoleMetrics = field(default_factory=ConsoleMetrics)
    leaving: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    def on(cls, api: KubernetesApi, settings: ConsoleSettings) -> Services:
        """Put the services together on a connection with the console's own rights; nothing is sent."""
        opener = Appliances(api, settings.namespace, settings.claims.http_timeout_seconds)
        identities = Identities(api, seconds=settings.review_seconds)
        return cls._made(api, identities, opener, settings, in_the_name_of=InTheNameOf(api))

    @classmethod
    def without_a_cluster(
        cls,
        resources: ReadApi,
        identities: IdentitySource,
        opener: DoorOpener,
        runs: LocalRunner,
        settings: ConsoleSettings,
    ) -> Services:
        """Put the services together for an appliance without Kubernetes.

        Args:
            resources: stands for the API server.
            identities: who may log in.
            opener: opens the appliance.
            runs: cleans up in this process.
            settings: of the process.
        """
        return cls._made(resources, identities, opener, settings, runs=runs)

    @classmethod
    def _made(
        cls,
        api: ReadApi,
        identities: IdentitySource,
        opener: DoorOpener,
        settings: ConsoleSettings,
        *,
        in_the_name_of: InTheNameOf | None = None,
        runs: LocalRunner | None = None,
    ) -> Services:
        limits = settings.claims.limits
        plans = Plans(opener, limits)
        reviews = AccessReviews(api, seconds=settings.review_seconds)
        return cls(
            settings=settings,
            identities=identities,
            reviews=reviews,
            limits=CallLimits(
                requests_per_minute=settings.requests_per_minute,
                failed_logins_per_minute=settings.failed_logins_per_minute,
                streams_per_user=settings.streams_per_user,
            ),
            catalogue=Catalogue(api, plans, reviews, seconds=_LIST_SECONDS),
            plans=plans,
            surveys=Surveys(opener, limits, seconds=settings.survey_seconds),
            lists=CleanupLists(api, seconds=_LIST_SECONDS),
            in_the_name_of=in_the_name_of,
            runs=runs,
        )

    async def caller(self, token: str | None, address: str) -> Caller:
        """Who calls; each request and each refused token is counted.

        Args:
            token: what was sent as a bearer token; None if nothing was.
            address: where the request comes from.

        Raises:
            Unauthenticated: nobody knows.
            TooMany: he, or the address, asked too often.
            KubernetesError: the API server could not be asked.
        """
        if token is None:
            raise Unauthenticated("a bearer token is needed.")
        try:
            credential = Credential.of(token)
            if not self.identities.knows(credential):
                await self.limits.may_present_a_token(address)
            caller = await self.identities.caller(credential)
        except Unauthenticated:
            self.metrics.refused_tokens.inc()
            await self.limits.refused_token_from(address)
            raise
        await self.limits.request_of(caller.user.name)
        return caller

    async def visible_cleanups(self, caller: Caller, namespace: str | None = None) -> tuple[Outline, ...]:
        """The cleanups that a caller may list: in one namespace, or wherever he may.

        Raises:
            NotAllowed: he may not list those of the namespace he named.
            KubernetesError: the API server could not be asked.
        """
        if namespace is not None:
            await self.reviews.require(caller, list_cleanups(namespace))
            return tuple(each for each in await self.lists.all() if each.namespace == namespace)
        every = await self.lists.all()
        if await self.reviews.allows(caller, list_cleanups("")):
            return every
        rights = {list_cleanups(name): name for name in sorted({each.namespace for each in every})}
        allowed = {rights[right] for right in await self.reviews.having(caller, rights)}
        return tuple(each for each in every if each.namespace in allowed)

    async def plan_for(self, caller: Caller, vm: ProtectedVM, asked: Collection[Waiver]) -> tuple[Plan, Outline | None]:
        """What a cleanup of a VM would do now, and the cleanup of the same job if the caller may see it.

        Args:
            caller: may see plans.
            vm: the VM.
            asked: waivers beside those that the cleanup of the job has.

        Raises:
            ApplianceError: a part of the appliance could not be read.
            KubernetesError: the API server could not be asked.
        """
        name, context = vm.appliance.metadata.name, vm.context
        ours = [
            each
            for each in await self.lists.all()
            if each.appliance == name and each.is_of(context.vm_name, context.vcenter_host)
        ]
        made = await self.plans.plan(
            vm.appliance,
            context,
            lambda job: frozenset(asked).union(*(each.waived for each in ours if each.job_id == job)),
        )
        job = made.job.id if made.job is not None else None
        newest = max((e for e in ours if e.job_id in (None, job)), key=lambda each: each.created_at, default=None)
        if newest is not None and not await self.reviews.allows(caller, list_cleanups(newest.namespace)):
            newest = None
        return made, newest

    def namespace_for(self, appliance: Appliance, wanted: str | None) -> str:
        """Where a cleanup of an Appliance is placed.

        Raises:
            NamespaceNeeded: nobody named one, and several are allowed.
        """
        return wanted if wanted is not None else namespace_for(appliance, self.settings.namespace)
