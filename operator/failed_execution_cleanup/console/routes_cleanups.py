"""The cleanups: lists, one of them, what people ask of it, its changes while they happen, and its report."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, Query, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from failed_execution_cleanup.client import CleanupClient, ClientError, EndingState
from failed_execution_cleanup.console.answers import (
    ApprovalRequest,
    CleanupAnswer,
    CleanupsAnswer,
    OutlineAnswer,
    ProblemAnswer,
    WaiverRequest,
)
from failed_execution_cleanup.console.identity import Caller
from failed_execution_cleanup.console.outlines import newest_first
from failed_execution_cleanup.console.paging import page
from failed_execution_cleanup.console.placing import InTheNameOf
from failed_execution_cleanup.console.problems import NoCluster, problem_of
from failed_execution_cleanup.console.requests import (
    PREFIX,
    ApplianceName,
    Calling,
    CleanupName,
    Cursor,
    Limit,
    Namespace,
    Offered,
    OptionalNamespace,
    problems,
)
from failed_execution_cleanup.console.streams import while_wanted
from failed_execution_cleanup.reports import Report, as_html, as_json, as_markdown, report_of
from failed_execution_cleanup.resources.cleanup import FailedExecutionCleanup

logger = logging.getLogger(__name__)

router = APIRouter(prefix=PREFIX, tags=["cleanups"])

_STREAM: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "Events `cleanup`, each with the cleanup in full; after the last one `over` is true."}
}


@dataclass(frozen=True, slots=True)
class Named:
    """One cleanup, and a client that acts on it in the caller's name."""

    name: str
    client: CleanupClient
    caller: Caller

    def asked(self, verb: str, **told: str) -> None:
        """Log who asked for what."""
        about = {"cleanup": f"{self.client.namespace}/{self.name}", "user": self.caller.user.name, "verb": verb}
        logger.info("Cleanup changed by a person", extra={**about, **told})


async def _in_a_cluster(services: Offered, caller: Calling) -> InTheNameOf:
    """What acts in a caller's name; whoever may not log in is not told that there is no cluster."""
    del caller
    if services.in_the_name_of is None:
        raise NoCluster
    return services.in_the_name_of


Acting = Annotated[InTheNameOf, Depends(_in_a_cluster)]


async def _named(acting: Acting, caller: Calling, name: CleanupName, namespace: Namespace) -> AsyncIterator[Named]:
    async with acting.caller(caller, namespace) as client:
        yield Named(name, client, caller)


OneCleanup = Annotated[Named, Depends(_named)]


@router.get("/cleanups", responses=problems(501), dependencies=[Depends(_in_a_cluster)])
async def cleanups(
    services: Offered,
    caller: Calling,
    namespace: OptionalNamespace = None,
    state: Annotated[EndingState | None, Query(description="Only cleanups in this state; all if absent.")] = None,
    q: Annotated[str, Query(max_length=255, description="A part of the VM's name, capitals or not.")] = "",
    appliance: ApplianceName = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> CleanupsAnswer:
    """The cleanups you may list, newest first: those of a namespace, or wherever you may."""
    wanted = q.casefold()
    fitting = [
        each
        for each in await services.visible_cleanups(caller, namespace)
        if state in (None, each.state) and appliance in (None, each.appliance) and wanted in each.vm_name.casefold()
    ]
    part = page(sorted(fitting, key=newest_first), newest_first, limit=limit, cursor=cursor)
    return CleanupsAnswer(
        items=tuple(OutlineAnswer.of(each) for each in part.items), total=len(fitting), next=part.cursor
    )


@router.get("/cleanups/{name}", responses=problems(404, 501))
async def cleanup(one: OneCleanup) -> CleanupAnswer:
    """One cleanup."""
    return CleanupAnswer.of_resource(await one.client.get(one.name))


@router.post("/cleanups/{name}/suspend", responses=problems(404, 501))
async def suspend(services: Offered, one: OneCleanup) -> CleanupAnswer:
    """Stop after the action in flight, and let go of the VM."""
    one.asked("suspend")
    return _changed(services, await one.client.suspend(one.name))


@router.post("/cleanups/{name}/resume", responses=problems(404, 501))
async def resume(services: Offered, one: OneCleanup) -> CleanupAnswer:
    """Go on from what is observed then."""
    one.asked("resume")
    return _changed(services, await one.client.resume(one.name))


@router.post("/cleanups/{name}/rerun", responses=problems(404, 501))
async def rerun(services: Offered, one: OneCleanup) -> CleanupAnswer:
    """Ask for one more run."""
    one.asked("rerun")
    return _changed(services, await one.client.rerun(one.name))


@router.post("/cleanups/{name}/approve", responses=problems(404, 409, 413, 501))
async def approve(services: Offered, one: OneCleanup, read: ApprovalRequest) -> CleanupAnswer:
    """Approve the plan that was read; 409 if it is another one by now."""
    one.asked("approve", plan=read.plan_hash)
    return _changed(services, await one.client.approve(one.name, read.plan_hash))


@router.post("/cleanups/{name}/waive", responses=problems(404, 409, 413, 501))
async def waive(services: Offered, one: OneCleanup, granted: WaiverRequest) -> CleanupAnswer:
    """Take responsibility for one stop of the failed job that the cleanup is bound to."""
    one.asked("waive", reason=granted.reason.value, object=granted.object)
    return _changed(services, await one.client.waive(one.name, granted.reason, granted.object, note=granted.note))


async def _followed(services: Offered, one: OneCleanup) -> AsyncIterator[FailedExecutionCleanup]:
    """The cleanup as it is when the stream begins: whoever may not see it, or names none, is told before that."""
    with services.limits.open_for(one.caller.user.name), services.metrics.streaming():
        yield await one.client.get(one.name)


@router.get("/cleanups/{name}/events", response_class=EventSourceResponse, responses={**problems(404, 501), **_STREAM})
async def events(
    services: Offered,
    one: OneCleanup,
    first: Annotated[FailedExecutionCleanup, Depends(_followed)],
    last_event_id: Annotated[str, Header(max_length=64, description="`id` of the last event that was received.")] = "",
) -> AsyncIterable[ServerSentEvent]:
    """Each change of a cleanup as a server-sent event `cleanup`, until nothing happens any more.

    The first one is the cleanup as it is, unless `Last-Event-ID` says that it is known already; comments in between keep the connection
    alive. After an event whose `over` is true the stream ends: do not open it again. An event `problem` says why it ended otherwise.
    """
    known = last_event_id
    del first
    try:
        async with aclosing(while_wanted(one.client.follow(one.name), services.leaving)) as changes:
            async for change in changes:
                told = CleanupAnswer.of_resource(change)
                if told.resource_version != known or told.over:
                    yield _event("cleanup", told.model_dump_json(), told.resource_version)
                known = ""
    except ClientError as error:
        problem = ProblemAnswer.of(problem_of(error), None)
        yield _event("problem", problem.model_dump_json(), None)


class ReportFormat(StrEnum):
    """How a report is written."""

    MARKDOWN = "md"
    JSON = "json"
    HTML = "html"


_WRITERS: Final[Mapping[ReportFormat, tuple[Callable[[Report], str], str]]] = {
    ReportFormat.MARKDOWN: (as_markdown, "text/markdown"),
    ReportFormat.JSON: (as_json, "application/json"),
    ReportFormat.HTML: (as_html, "text/html"),
}
_REPORT_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox"
"""A report holds names that strangers chose, and needs nothing but its own style."""

_REPORT: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "The report.",
        "content": {
            kind: {"schema": {"type": "object" if "json" in kind else "string"}} for _, kind in _WRITERS.values()
        },
    }
}


@router.get("/cleanups/{name}/report", response_class=Response, responses={**problems(404, 501), **_REPORT})
async def report(
    one: OneCleanup, format_: Annotated[ReportFormat, Query(alias="format")] = ReportFormat.MARKDOWN
) -> Response:
    """The report of a cleanup: who, why, what was found and done, and how it ended."""
    return report_answer(await one.client.get(one.name), format_)


def report_answer(cleanup: FailedExecutionCleanup, format_: ReportFormat, *, download: bool = False) -> Response:
    """The report of a cleanup as a file.

    Args:
        cleanup: the resource.
        format_: how it is written.
        download: the browser keeps it instead of showing it.
    """
    write, kind = _WRITERS[format_]
    disposition = f'{"attachment" if download else "inline"}; filename="{cleanup.metadata.name}.{format_.value}"'
    headers = {"Content-Disposition": disposition, "Content-Security-Policy": _REPORT_POLICY}
    return Response(write(report_of(cleanup)), media_type=kind, headers=headers)


def _event(name: str, text: str, id_: str | None) -> ServerSentEvent:
    return ServerSentEvent(event=name, raw_data=text, id=id_)


def _changed(services: Offered, stored: FailedExecutionCleanup) -> CleanupAnswer:
    """The answer after a change; lists show it at once."""
    services.lists.forget()
    return CleanupAnswer.of_resource(stored)
