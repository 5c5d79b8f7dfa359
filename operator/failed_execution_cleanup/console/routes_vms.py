"""The protected VMs: cards, and what a cleanup of one would do."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import StringConstraints

from failed_execution_cleanup.console.access_review import see_plans
from failed_execution_cleanup.console.answers import ApplianceProblem, CardAnswer, CardsAnswer, PlanAnswer
from failed_execution_cleanup.console.cards import Card, CardState, cards, matching
from failed_execution_cleanup.console.paging import page
from failed_execution_cleanup.console.requests import (
    PREFIX,
    ApplianceName,
    Calling,
    Cursor,
    Limit,
    Offered,
    VCenterHost,
    VMName,
    problems,
)
from failed_execution_cleanup.recovery.goals import Waiver
from failed_execution_cleanup.resources.reasons import Waiver as WaiverReason

WaiverText = Annotated[
    str, StringConstraints(pattern=rf"^({'|'.join(waiver.value for waiver in WaiverReason)})=.{{1,255}}$")
]

router = APIRouter(prefix=PREFIX, tags=["vms"])


@router.get("/vms", responses=problems(404))
async def vms(
    services: Offered,
    caller: Calling,
    state: Annotated[CardState | None, Query(description="Only VMs in this state; all if absent.")] = None,
    q: Annotated[str, Query(max_length=255, description="A part of the VM's name, capitals or not.")] = "",
    appliance: ApplianceName = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> CardsAnswer:
    """The protected VMs of the appliances you may see: what needs somebody comes first, then by name."""
    appliances = await services.catalogue.allowed(caller, see_plans, appliance)
    surveys = await asyncio.gather(*(services.surveys.of(each) for each in appliances))
    every = [*matching(cards(surveys, await services.visible_cleanups(caller)), state=None, text=q)]
    counts = Counter(card.state for card in every)
    fitting = [*matching(every, state=state, text="")]
    part = page(fitting, _place, limit=limit, cursor=cursor)
    return CardsAnswer(
        items=tuple(CardAnswer.of(card) for card in part.items),
        total=len(fitting),
        counts={each: counts[each] for each in CardState},
        next=part.cursor,
        problems=tuple(
            ApplianceProblem(appliance=survey.appliance, problem=survey.problem) for survey in surveys if survey.problem
        ),
        as_of=min((survey.taken_at for survey in surveys), default=None),
    )


@router.get("/vms/{vm_name}/plan", responses=problems(404, 409))
async def plan(
    services: Offered,
    caller: Calling,
    vm_name: VMName,
    appliance: ApplianceName = None,
    vcenter_host: VCenterHost = None,
    waive: Annotated[
        tuple[WaiverText, ...],
        Query(
            max_length=64, description="`REASON=OBJECT`: as if it were waived, beside what the cleanup of the job has."
        ),
    ] = (),
) -> PlanAnswer:
    """What a cleanup of a VM would do now, and what forbids it. Only looks; nothing is claimed or written."""
    found = await services.catalogue.vm(caller, see_plans, vm_name, appliance=appliance, vcenter_host=vcenter_host)
    asked = frozenset(Waiver(*text.split("=", 1)) for text in waive)
    return PlanAnswer.of(*await services.plan_for(caller, found, asked))


def _place(card: Card) -> tuple[int, str, str, str]:
    return card.place
