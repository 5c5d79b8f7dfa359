"""The cleanups over HTTP: lists, what people ask of one, its changes as events, and its report."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

import pytest

from failed_execution_cleanup.client import EndingState
from failed_execution_cleanup.console.application import create_application
from failed_execution_cleanup.console.services import Services
from tests.unit.client.cluster import cleanup_body, ready
from tests.unit.console.cluster import SETTINGS, ConsoleCluster, client, services

NAME: Final = "pgtest1-0a1b2c3d"
HERE: Final = {"namespace": "dr"}
HASH: Final = "0123456789abcdef0123456789abcdef"
PLANNED: Final = {"status": ready("PlanReady", planHash=HASH, failedJob={"id": "job-1"}), "mode": "Plan"}


def cluster_with(**fields: Any) -> ConsoleCluster:
    cluster = ConsoleCluster()
    cluster.put(cleanup_body(NAME, **fields))
    return cluster


async def test_lists_are_newest_first_and_filtered() -> None:
    cluster = ConsoleCluster()
    for number, (reason, status) in enumerate((("Cleaned", "True"), ("RunningTestVM", "False"), ("Cleaned", "True"))):
        cluster.put(cleanup_body(f"vm-{number}", status=ready(reason, status), vmName=f"Web {number}"))
    async with client(services(cluster)) as http:
        every = (await http.get("/cleanups")).json()
        first = (await http.get("/cleanups", params={"limit": 2})).json()
        rest = (await http.get("/cleanups", params={"limit": 2, "cursor": first["next"]})).json()
        stalled = (await http.get("/cleanups", params={"state": EndingState.NEEDS_PERSON, "q": "WEB"})).json()
        elsewhere = (await http.get("/cleanups", params={"namespace": "elsewhere"})).json()
    assert [item["name"] for item in every["items"]] == ["vm-2", "vm-1", "vm-0"]
    assert [item["name"] for item in first["items"] + rest["items"]] == ["vm-2", "vm-1", "vm-0"]
    assert (stalled["total"], stalled["items"][0]["reason"]) == (1, "RunningTestVM")
    assert elsewhere["items"] == []


async def test_a_namespace_that_may_not_be_listed_is_refused_and_otherwise_left_out() -> None:
    async with client(services(cluster_with()), "token-of-bob") as http:
        named = await http.get("/cleanups", params=HERE)
        unnamed = await http.get("/cleanups")
    assert (named.status_code, named.json()["reason"]) == (403, "Forbidden")
    assert "fec-viewer" in named.json()["remedy"]
    assert (unnamed.status_code, unnamed.json()["items"]) == (200, [])


async def test_one_cleanup_is_told_in_full() -> None:
    async with client(services(cluster_with(status=ready("RunningTestVM", message="VM x is Running.")))) as http:
        body = (await http.get(f"/cleanups/{NAME}", params=HERE)).json()
    assert (body["state"], body["reason"], body["message"]) == ("needs-person", "RunningTestVM", "VM x is Running.")
    assert body["over"] is True
    assert body["spec"]["vmName"] == "pgtest1"
    assert body["status"]["conditions"][0]["reason"] == "RunningTestVM"


@pytest.mark.parametrize(
    ("verb", "sent", "patch"),
    [
        ("suspend", None, {"metadata": {"annotations": {"failover.ossea.io/suspended": "true"}}}),
        ("approve", {"plan_hash": HASH}, {"metadata": {"annotations": {"failover.ossea.io/approvedPlan": HASH}}}),
        (
            "waive",
            {"reason": "RunningTestVM", "object": "job", "note": "ticket 4711"},
            {
                "spec": {
                    "waive": [{"reason": "RunningTestVM", "object": "job"}],
                    "failoverJobID": "job-1",
                    "note": "ticket 4711",
                }
            },
        ),
    ],
)
async def test_what_people_ask_is_written(verb: str, sent: Any, patch: dict[str, Any]) -> None:
    cluster = cluster_with(**PLANNED)
    async with client(services(cluster)) as http:
        answer = await http.post(f"/cleanups/{NAME}/{verb}", params=HERE, json=sent)
    assert answer.status_code == 200, answer.text
    assert answer.json()["name"] == NAME
    assert cluster.patches == [patch]
    assert cluster.bearers == ["alice"]


async def test_rerun_and_resume_are_written() -> None:
    cluster = cluster_with(status=ready("Suspended"), annotations={"failover.ossea.io/suspended": "true"})
    async with client(services(cluster)) as http:
        assert (await http.post(f"/cleanups/{NAME}/resume", params=HERE)).status_code == 200
        assert (await http.post(f"/cleanups/{NAME}/rerun", params=HERE)).status_code == 200
    resumed, again = cluster.patches
    assert resumed == {"metadata": {"annotations": {"failover.ossea.io/suspended": None}}}
    assert list(again["metadata"]["annotations"]) == ["failover.ossea.io/requestedAt"]


async def test_a_plan_that_is_another_one_by_now_is_not_approved() -> None:
    cluster = cluster_with(**PLANNED)
    async with client(services(cluster)) as http:
        answer = await http.post(f"/cleanups/{NAME}/approve", params=HERE, json={"plan_hash": "f" * 32})
    assert (answer.status_code, answer.json()["reason"]) == (409, "NotPossible")
    assert HASH in answer.json()["error"]
    assert cluster.patches == []


async def test_lists_show_at_once_what_was_changed() -> None:
    cluster = cluster_with(status=ready("Cleaned", "True"))
    async with client(services(cluster)) as http:
        before = (await http.get("/cleanups")).json()["items"][0]["state"]
        await http.post(f"/cleanups/{NAME}/rerun", params=HERE)
        after = (await http.get("/cleanups")).json()["items"][0]["state"]
    assert (before, after) == ("clean", "working")


@pytest.mark.parametrize(
    ("format_", "kind", "start"),
    [("md", "text/markdown", "#"), ("json", "application/json", "{"), ("html", "text/html", "<!doctype html>")],
)
async def test_reports_are_written_in_three_ways(format_: str, kind: str, start: str) -> None:
    cluster = cluster_with(status=ready("Cleaned", "True"), vmName="<script>alert(1)</script>")
    async with client(services(cluster)) as http:
        answer = await http.get(f"/cleanups/{NAME}/report", params={**HERE, "format": format_})
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith(kind)
    assert answer.text.startswith(start)
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    if format_ == "html":
        assert "<script>" not in answer.text


# -- events ------------------------------------------------------------------------------------------------------------


class Listener:
    """Reads a stream as it is sent: a transport that waits for the whole answer would not do."""

    def __init__(self, running: Services, last_event_id: str = "", token: str = "token-of-alice") -> None:  # noqa: S107
        self.status = 0
        self.text = ""
        self._heard = asyncio.Condition()
        headers = [(b"authorization", f"Bearer {token}".encode()), (b"last-event-id", last_event_id.encode())]
        self._scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": f"/api/v1/cleanups/{NAME}/events",
            "raw_path": f"/api/v1/cleanups/{NAME}/events".encode(),
            "query_string": b"namespace=dr",
            "root_path": "",
            "headers": headers,
            "client": ("127.0.0.1", 1),
            "server": ("console", 80),
        }
        self._gone = asyncio.Event()
        self._asked = False
        self.task = asyncio.create_task(create_application(running)(self._scope, self._receive, self._send))

    async def _receive(self) -> Any:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        async with self._heard:
            self.status = message.get("status", self.status)
            self.text += message.get("body", b"").decode()
            self._heard.notify_all()

    @property
    def events(self) -> list[tuple[str, Any, str]]:
        """Name, data and id of each event."""
        found = []
        for block in self.text.split("\n\n"):
            fields = dict(line.split(": ", 1) for line in block.splitlines() if line and not line.startswith(":"))
            if fields:
                found.append((fields.get("event", ""), json.loads(fields["data"]), fields.get("id", "")))
        return found

    async def heard(self, count: int) -> list[tuple[str, Any, str]]:
        """Wait for so many events."""
        async with self._heard:
            await self._heard.wait_for(lambda: len(self.events) >= count)
        return self.events

    async def hang_up(self) -> None:
        """Close the connection, and wait for the application to notice."""
        self._gone.set()
        await self.task


@pytest.mark.looptime
async def test_each_change_is_one_event_and_the_last_one_ends_the_stream() -> None:
    cluster = cluster_with(status=ready("Progressing", "Unknown"))
    listener = Listener(services(cluster))
    await listener.heard(1)
    cluster.status(NAME, ready("QuietTime", message="so quiet"))
    await listener.heard(2)
    cluster.status(NAME, ready("Cleaned", "True"))
    await listener.task
    assert listener.status == 200
    assert [(name, data["reason"], data["over"]) for name, data, _ in listener.events] == [
        ("cleanup", "Progressing", False),
        ("cleanup", "QuietTime", False),
        ("cleanup", "Cleaned", True),
    ]
    assert [id_ for *_, id_ in listener.events] == [data["resource_version"] for _, data, _ in listener.events]


@pytest.mark.looptime
async def test_what_is_known_already_is_not_told_again() -> None:
    cluster = cluster_with(status=ready("Progressing", "Unknown"))
    known = cluster.stored(NAME)["metadata"]["resourceVersion"]
    listener = Listener(services(cluster), known)
    await asyncio.sleep(1)
    cluster.status(NAME, ready("Cleaned", "True"))
    await listener.task
    assert [data["reason"] for _, data, _ in listener.events] == ["Cleaned"]


@pytest.mark.looptime
async def test_a_silent_stream_is_kept_alive() -> None:
    listener = Listener(services(cluster_with(status=ready("Progressing", "Unknown"))))
    await listener.heard(1)
    await asyncio.sleep(40)
    assert listener.text.count(": ping") == 2
    await listener.hang_up()


@pytest.mark.looptime
async def test_a_deleted_cleanup_is_told_as_a_problem() -> None:
    cluster = cluster_with(status=ready("Progressing", "Unknown"))
    listener = Listener(services(cluster))
    await listener.heard(1)
    cluster.remove(NAME)
    await listener.task
    name, data, _ = listener.events[-1]
    assert (name, data["reason"]) == ("problem", "NotFound")


@pytest.mark.looptime
async def test_streams_end_with_the_process_and_with_their_listeners() -> None:
    running = services(cluster_with(status=ready("Progressing", "Unknown")))
    first, second = Listener(running), Listener(running)
    await first.heard(1)
    await second.heard(1)
    labels = {"kind": "events"}
    assert running.metrics.registry.get_sample_value("fec_console_open_streams", labels) == 2
    await first.hang_up()
    running.leaving.set()
    await second.task
    assert running.metrics.registry.get_sample_value("fec_console_open_streams", labels) == 0


@pytest.mark.looptime
async def test_a_user_has_only_so_many_streams() -> None:
    settings = SETTINGS.model_copy(update={"streams_per_user": 1})
    running = services(cluster_with(status=ready("Progressing", "Unknown")), settings)
    first = Listener(running)
    await first.heard(1)
    second = Listener(running)
    await second.task
    assert second.status == 429
    await first.hang_up()


async def test_a_stream_of_nothing_is_404() -> None:
    listener = Listener(services(ConsoleCluster()))
    await listener.task
    assert listener.status == 404
