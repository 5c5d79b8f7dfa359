"""What pages read, each with the caller's rights."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from failed_execution_cleanup.console.access_review import see_plans
from failed_execution_cleanup.console.cards import Card, cards
from failed_execution_cleanup.console.catalogue import ProtectedVM
from failed_execution_cleanup.console.identity import Caller
from failed_execution_cleanup.console.pages.dialog_view import Answerable, DialogView, Posted, dialog_view
from failed_execution_cleanup.console.pages.offers import homes, may_clean, may_waive
from failed_execution_cleanup.console.plans import Plan
from failed_execution_cleanup.console.services import Services

__all__ = ["Seen", "answerable", "dialog_of", "look", "planned"]


@dataclass(frozen=True, slots=True)
class Seen:
    """The VMs that a caller may see.

    Attributes:
        cards: in their order.
        cleanable: Appliances whose VMs he may have cleaned up.
        problems: Appliances of which nothing is known now, and why.
    """

    cards: tuple[Card, ...]
    cleanable: frozenset[str]
    problems: tuple[tuple[str, str], ...]


async def look(services: Services, caller: Caller, appliance: str | None) -> Seen:
    """All VMs of an Appliance, or of all that the caller may see.

    Raises:
        NotAllowed: he may see none.
        UnknownVM: there is no Appliance of that name.
        KubernetesError: the API server could not be asked.
    """
    appliances = await services.catalogue.allowed(caller, see_plans, appliance)
    surveys = await asyncio.gather(*(services.surveys.of(each) for each in appliances))
    cleanable = [each.metadata.name for each in appliances if await may_clean(services, caller, each)]
    found = cards(surveys, await services.visible_cleanups(caller))
    problems = tuple((survey.appliance, survey.problem) for survey in surveys if survey.problem)
    return Seen(tuple(found), frozenset(cleanable), problems)


async def answerable(services: Services, caller: Caller, vm: ProtectedVM, wanted: str = "") -> Answerable:
    """What a caller may do to a VM; the namespace he wants comes first.

    Raises:
        KubernetesError: the API server could not be asked.
    """
    clean = await may_clean(services, caller, vm.appliance)
    if services.in_the_name_of is None:
        return Answerable(clean=clean, waive=clean)
    places = await homes(services, caller, vm.appliance)
    ordered = tuple(sorted(places, key=lambda each: each != wanted))
    waive = bool(ordered) and await may_waive(services, caller, ordered[0])
    return Answerable(clean=clean, waive=waive, homes=ordered)


async def dialog_of(
    services: Services,
    caller: Caller,
    vm: ProtectedVM,
    posted: Posted = Posted(),  # noqa: B008 - a frozen value
    *,
    problem: str = "",
) -> DialogView:
    """The dialog for a VM as it is now.

    Raises:
        ApplianceError: a part of the appliance could not be read.
        KubernetesError: the API server could not be asked.
    """
    _, view = await planned(services, caller, vm, posted, problem=problem)
    return view


async def planned(
    services: Services, caller: Caller, vm: ProtectedVM, posted: Posted, *, problem: str = ""
) -> tuple[Plan, DialogView]:
    """What would be done to a VM now, and the dialog for it.

    Raises:
        ApplianceError: a part of the appliance could not be read.
        KubernetesError: the API server could not be asked.
    """
    may = await answerable(services, caller, vm, posted.namespace)
    without, cleanup = await services.plan_for(caller, vm, ())
    plan = without
    if posted.waivers:
        plan, cleanup = await services.plan_for(caller, vm, posted.waivers)
    docs_url = services.settings.docs_url
    return plan, dialog_view(plan, cleanup, may, docs_url, posted=posted, without=without, problem=problem)
