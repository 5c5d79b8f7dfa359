"""The Appliances there are, and which of them protects a VM that somebody named."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from async_lru import alru_cache

from failed_execution_cleanup.console.access_review import AccessReviews, Right
from failed_execution_cleanup.console.identity import Caller
from failed_execution_cleanup.console.outlines import ListApi
from failed_execution_cleanup.console.plans import Plans
from failed_execution_cleanup.controller.kubernetes_api import APPLIANCES
from failed_execution_cleanup.recovery.world import ContextRow
from failed_execution_cleanup.resources.appliance import Appliance

__all__ = ["AmbiguousVM", "Catalogue", "NamespaceNeeded", "ProtectedVM", "UnknownVM", "namespace_for"]


class UnknownVM(Exception):  # noqa: N818 - named for what happened
    """No Appliance of that name, or no appliance that the caller may use protects a VM of that name.

    Attributes:
        remedy: what to do about it.
    """

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


class AmbiguousVM(Exception):  # noqa: N818 - named for what happened
    """Several protected VMs have that name.

    Attributes:
        remedy: what tells them apart.
    """

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


class NamespaceNeeded(Exception):  # noqa: N818 - named for what happened
    """Nothing tells in which namespace a cleanup is to be placed.

    Attributes:
        remedy: what to name.
    """

    def __init__(self, appliance: str, remedy: str) -> None:
        super().__init__(f"cleanups of Appliance {appliance} may be in several namespaces.")
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class ProtectedVM:
    """A VM and the Appliance that protects it."""

    appliance: Appliance
    context: ContextRow


class Catalogue:
    """The Appliances of the cluster, listed once for all who ask at the same time or soon after."""

    def __init__(self, api: ListApi, plans: Plans, reviews: AccessReviews, *, seconds: float) -> None:
        """Prepare; nothing is read.

        Args:
            api: with the console's own right to list Appliances.
            plans: looks for VMs in the databases.
            reviews: tells what callers may do.
            seconds: how old the list may be.
        """
        self._api = api
        self._plans = plans
        self._reviews = reviews
        self._all = alru_cache(maxsize=1, ttl=seconds)(self._list)

    async def all(self) -> tuple[Appliance, ...]:
        """Every Appliance, by name.

        Raises:
            KubernetesError: the API server could not be asked.
        """
        return await self._all()

    async def allowed(self, caller: Caller, right: Callable[[str], Right], name: str | None) -> list[Appliance]:
        """The Appliance of a name, or all of them, on which the caller has a right.

        Raises:
            NotAllowed: he has it on none; also where the one that was named does not exist, so that nobody can find out by asking.
            UnknownVM: there is none of that name, and the caller may have it on any.
            KubernetesError: the API server could not be asked.
        """
        if name is not None:
            await self._reviews.require(caller, right(name))
            found = [each for each in await self.all() if each.metadata.name == name]
            if not found:
                raise UnknownVM(f"there is no Appliance {name}.", "Correct the name of the Appliance, or leave it out.")
            return found
        every = {right(each.metadata.name): each for each in await self.all()}
        found = [every[had] for had in await self._reviews.having(caller, every)]
        if not found:
            # Said of the right on all of them; whoever has that learns that there are none.
            await self._reviews.require(caller, right(""))
        return found

    async def vm(
        self,
        caller: Caller,
        right: Callable[[str], Right],
        vm_name: str,
        *,
        appliance: str | None,
        vcenter_host: str | None,
    ) -> ProtectedVM:
        """The one VM of a name.

        Args:
            caller: who asks.
            right: what he must be allowed to do with the Appliance.
            vm_name: exactly as in vCenter.
            appliance: where to look; None: in all on which he has the right.
            vcenter_host: tells VMs of one name apart.

        Raises:
            UnknownVM, AmbiguousVM: there is none, or more than one.
            NotAllowed: the caller has not the right.
            ApplianceError: one could not be asked, so nobody knows whether the name is unique.
            KubernetesError: the API server could not be asked.
        """
        appliances = await self.allowed(caller, right, appliance)
        answers = await asyncio.gather(*(self._plans.contexts(each, vm_name, vcenter_host) for each in appliances))
        found = [
            ProtectedVM(each, context)
            for each, contexts in zip(appliances, answers, strict=True)
            for context in contexts
        ]
        if not found:
            names = ", ".join(each.metadata.name for each in appliances) or "any Appliance"
            where = f" under vCenter {vcenter_host}" if vcenter_host else ""
            raise UnknownVM(
                f"no VM {vm_name!r}{where} is protected by {names}.",
                "Correct the name of the VM; spaces and capitals count.",
            )
        if len(found) > 1:
            places = sorted(f"{each.appliance.metadata.name} (vCenter {each.context.vcenter_host})" for each in found)
            raise AmbiguousVM(
                f"{len(found)} VMs are named {vm_name!r}: {', '.join(places)}.", "Name appliance and vcenter_host."
            )
        return found[0]

    async def vm_of_context(
        self, caller: Caller, right: Callable[[str], Right], appliance: str, context_id: str
    ) -> ProtectedVM:
        """The VM of a replication context.

        Args:
            caller: who asks.
            right: what he must be allowed to do with the Appliance.
            appliance: where to look.
            context_id: as in the appliance's database.

        Raises:
            UnknownVM: there is none.
            NotAllowed: the caller has not the right.
            ApplianceError: the appliance could not be asked.
            KubernetesError: the API server could not be asked.
        """
        (protecting,) = await self.allowed(caller, right, appliance)
        context = await self._plans.context(protecting, context_id)
        if context is None:
            raise UnknownVM(
                f"Appliance {appliance} protects no VM with the context {context_id!r}.",
                "Look for the VM by its name; one that was removed and protected again has another context.",
            )
        return ProtectedVM(protecting, context)

    async def _list(self) -> tuple[Appliance, ...]:
        found = [Appliance.model_validate(body) async for body in self._api.list(APPLIANCES)]
        return tuple(sorted(found, key=lambda each: each.metadata.name))


def namespace_for(appliance: Appliance, own_namespace: str) -> str:
    """Where cleanups of an Appliance are placed if nobody says: where its scan would, else the only one that is allowed.

    Args:
        appliance: the Appliance.
        own_namespace: the operator's, the only one allowed where the Appliance lists none.

    Raises:
        NamespaceNeeded: several are allowed.
    """
    spec = appliance.spec
    if spec.detection.namespace is not None:
        return spec.detection.namespace
    allowed = spec.allowed_namespaces or (own_namespace,)
    if len(allowed) > 1:
        raise NamespaceNeeded(appliance.metadata.name, f"Name the namespace, one of {', '.join(sorted(allowed))}.")
    return allowed[0]
