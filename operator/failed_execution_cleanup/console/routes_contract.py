"""The product's own contract: clean up one VM and say whether it is clean (appliance facts 3.1), now without losing anything on the way."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Body, Request, Response
from fastapi.responses import JSONResponse

from failed_execution_cleanup.client import NotEnded, ending
from failed_execution_cleanup.console.access_review import use_appliance
from failed_execution_cleanup.console.answers import (
    AcceptedAnswer,
    CleanupAnswer,
    CleanupRequest,
    CompletedAnswer,
    ProblemAnswer,
)
from failed_execution_cleanup.console.catalogue import ProtectedVM
from failed_execution_cleanup.console.identity import Caller
from failed_execution_cleanup.console.placing import local_order_for, order_for, place, waited
from failed_execution_cleanup.console.problems import NoCluster, Problem, of_ending, problem_of
from failed_execution_cleanup.console.requests import (
    PREFIX,
    ApplianceName,
    Calling,
    Offered,
    OptionalNamespace,
    Preferences,
    Preferring,
    VCenterHost,
    VMName,
    problems,
    while_connected,
)
from failed_execution_cleanup.console.services import Services
from failed_execution_cleanup.recovery.goals import Waiver
from failed_execution_cleanup.resources.cleanup import FailedExecutionCleanup

router = APIRouter(prefix=PREFIX, tags=["failover"])

_NOTHING: Final = CleanupRequest()
_URL: Final = f"{PREFIX}/cleanups"
_GOES_ON: Final = Problem(
    504, "Progressing", "the cleanup did not end yet and goes on.", "Ask again: it is the same one."
)
_LEFT: Final = Problem(
    504, "ConsoleEnds", "the console ends before the cleanup does, which goes on.", "Ask for its status in a moment."
)
"""Also said to callers who closed the connection, and do not hear it."""


@router.post(
    "/failover/{vm_name}/cleanup-failed",
    response_model=CompletedAnswer,
    responses={
        **problems(404, 409, 413, 504),
        202: {"model": AcceptedAnswer, "description": "Placed; it goes on. `Location` names its status."},
    },
)
async def cleanup_failed(
    request: Request,
    services: Offered,
    caller: Calling,
    prefer: Preferring,
    vm_name: VMName,
    wanted: Annotated[CleanupRequest | None, Body()] = None,
    appliance: ApplianceName = None,
    vcenter_host: VCenterHost = None,
    namespace: OptionalNamespace = None,
) -> Response:
    """Clean up after the failed failover of a VM, and wait for the end.

    One cleanup per failed job: to ask twice waits for the same one, and one that ended is asked for one more run. A closed connection
    never ends it.
    """
    found = await services.catalogue.vm(caller, use_appliance, vm_name, appliance=appliance, vcenter_host=vcenter_host)
    job_id = await services.plans.newest_job(found.appliance, found.context.context_id)
    asked = wanted or _NOTHING
    if services.in_the_name_of is None:
        return await _by_this_process(request, services, caller, prefer, vm_name, found, job_id, asked)
    waivers = (Waiver(each.reason.value, each.object) for each in asked.waive)
    order = order_for(found, caller, job_id, waivers=waivers, note=asked.note, approved_plan=asked.plan_hash)
    home = services.namespace_for(found.appliance, namespace)
    async with services.in_the_name_of.caller(caller, home) as client:
        placed = await place(client, order)
        services.lists.forget()
        seconds = _patience(prefer, services.settings.wait_seconds)
        if prefer.respond_async and seconds == 0:
            return _accepted(vm_name, placed)
        try:
            with services.limits.open_for(caller.user.name), services.metrics.waiting():
                async with while_connected(request, services.leaving) as gone:
                    ended = await waited(client, placed, seconds, gone)
        except NotEnded as error:
            return (
                _accepted(vm_name, error.cleanup)
                if prefer.respond_async
                else _problem(vm_name, placed, problem_of(error))
            )
    if ended is None:
        return _problem(vm_name, placed, _LEFT)
    problem = of_ending(ending(ended))
    return _completed(vm_name) if problem is None else _problem(vm_name, ended, problem)


async def _by_this_process(
    request: Request,
    services: Services,
    caller: Caller,
    prefer: Preferences,
    vm_name: str,
    found: ProtectedVM,
    job_id: str | None,
    asked: CleanupRequest,
) -> Response:
    """The same without a cluster: there is no status to look at, so every answer is that of the end."""
    if services.runs is None:
        raise NoCluster
    waivers = (Waiver(each.reason.value, each.object) for each in asked.waive)
    order = local_order_for(found, job_id, waivers=waivers, note=asked.note, approved_plan=asked.plan_hash)
    seconds = prefer.wait_seconds if prefer.wait_seconds is not None else services.settings.wait_seconds
    with services.limits.open_for(caller.user.name), services.metrics.waiting():
        async with while_connected(request, services.leaving) as gone:
            ended = await services.runs.cleaned(
                found.appliance,
                found.context.context_id,
                order,
                caller,
                min(seconds, services.settings.wait_seconds),
                gone,
            )
    problem = _GOES_ON if ended is None else of_ending(ended)
    if problem is None:
        return _completed(vm_name)
    return JSONResponse(ProblemAnswer.of(problem, vm_name).model_dump(mode="json"), status_code=problem.status)


def _patience(prefer: Preferences, longest: float) -> float:
    """Seconds to wait for the end."""
    if prefer.wait_seconds is not None:
        return min(prefer.wait_seconds, longest)
    return 0.0 if prefer.respond_async else longest


def _completed(vm_name: str) -> Response:
    message = f"Failed execution cleanup completed for {vm_name}"
    told = CompletedAnswer(message=message, vm_name=vm_name, timestamp=datetime.now(UTC).replace(microsecond=0))
    return JSONResponse(told.model_dump(mode="json"))


def _accepted(vm_name: str, cleanup: FailedExecutionCleanup) -> Response:
    url = _status_url(cleanup)
    told = AcceptedAnswer(
        message=f"Failed execution cleanup of {vm_name} is under way",
        vm_name=vm_name,
        status_url=url,
        cleanup=CleanupAnswer.of_resource(cleanup),
    )
    headers = {"Location": url, "Preference-Applied": "respond-async"}
    return JSONResponse(told.model_dump(mode="json"), status_code=202, headers=headers)


def _problem(vm_name: str, cleanup: FailedExecutionCleanup, problem: Problem) -> Response:
    """A problem of a cleanup that there is: `Location` names its status."""
    told = ProblemAnswer.of(problem, vm_name)
    headers = {**problem.headers, "Location": _status_url(cleanup)}
    return JSONResponse(told.model_dump(mode="json"), status_code=problem.status, headers=headers)


def _status_url(cleanup: FailedExecutionCleanup) -> str:
    metadata = cleanup.metadata
    return f"{_URL}/{quote(metadata.name)}?{urlencode({'namespace': metadata.namespace})}"
