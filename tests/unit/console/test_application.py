"""What holds for every request: who calls, how often, how much, which headers, and one shape for every refusal."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any, Final

import httpx
import pytest
from starlette.types import Message

from failed_execution_cleanup.console.application import create_application
from failed_execution_cleanup.console.middleware import RequestBounds
from failed_execution_cleanup.controller.kubernetes_api import Unreachable
from tests.unit.client.cluster import cleanup_body
from tests.unit.console.cluster import SETTINGS, TOKENS, ConsoleCluster, client, services

ROUTES: Final = [
    ("POST", "/failover/pgtest1/cleanup-failed"),
    ("GET", "/vms"),
    ("GET", "/vms/pgtest1/plan"),
    ("GET", "/cleanups"),
    ("GET", "/cleanups/x?namespace=dr"),
    ("POST", "/cleanups/x/suspend?namespace=dr"),
    ("POST", "/cleanups/x/resume?namespace=dr"),
    ("POST", "/cleanups/x/rerun?namespace=dr"),
    ("POST", "/cleanups/x/approve?namespace=dr"),
    ("POST", "/cleanups/x/waive?namespace=dr"),
    ("GET", "/cleanups/x/events?namespace=dr"),
    ("GET", "/cleanups/x/report?namespace=dr"),
]
PROBLEM: Final = {"success", "error", "vm_name", "reason", "remedy"}


def problem(answer: httpx.Response) -> tuple[int, str]:
    """Status and reason of a refusal, in the one shape that all have."""
    body = answer.json()
    assert set(body) == PROBLEM, body
    assert body["success"] is False
    assert body["error"]
    return answer.status_code, body["reason"]


def test_the_routes_of_these_tests_are_all_there_are() -> None:
    paths = create_application(services(ConsoleCluster())).openapi()["paths"]
    documented = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    tried = {
        (method, "/api/v1" + path.split("?")[0].replace("/x", "/{name}").replace("pgtest1", "{vm_name}"))
        for method, path in ROUTES
    }
    assert tried == documented


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("token", [None, "guessed"])
async def test_nobody_gets_past_without_a_token_that_is_accepted(method: str, path: str, token: str | None) -> None:
    cluster = ConsoleCluster()
    cluster.put(cleanup_body("x"))
    async with client(services(cluster), token) as http:
        answer = await http.request(method, path, json={} if method == "POST" else None)
    assert problem(answer) == (401, "Unauthenticated")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert cluster.bearers == []


@pytest.mark.parametrize(("method", "path"), [route for route in ROUTES if "/x" in route[1]])
async def test_a_cleanup_is_read_and_written_with_the_callers_own_token(method: str, path: str) -> None:
    cluster = ConsoleCluster()
    cluster.put(cleanup_body("x"))
    body = {"approve": {"plan_hash": "0" * 32}, "waive": {"reason": "RunningTestVM", "object": "job"}}
    sent = next((value for verb, value in body.items() if verb in path), None)
    async with client(services(cluster), "token-of-eve") as http:
        answer = await http.request(method, path, json=sent)
    assert problem(answer) == (403, "Forbidden")
    assert cluster.bearers == ["eve"]
    assert cluster.patches == []


@pytest.mark.parametrize(
    ("method", "path", "body", "refusal"),
    [
        ("GET", "/nothing", None, (404, "NotFound")),
        ("PUT", "/vms", None, (405, "MethodNotAllowed")),
        ("GET", "/vms/a%2Fb/plan", None, (404, "NotFound")),
        ("GET", "/vms?limit=0", None, (422, "InvalidRequest")),
        ("GET", "/vms?state=broken", None, (422, "InvalidRequest")),
        ("GET", "/cleanups?cursor=!", None, (422, "InvalidRequest")),
        ("GET", "/cleanups/x", None, (422, "InvalidRequest")),
        ("GET", "/cleanups/Not%20a%20name?namespace=dr", None, (422, "InvalidRequest")),
        ("GET", "/cleanups/nobody?namespace=dr", None, (404, "NotFound")),
        ("GET", "/cleanups/x/report?namespace=dr&format=pdf", None, (422, "InvalidRequest")),
        ("POST", "/cleanups/x/approve?namespace=dr", b"{", (422, "InvalidRequest")),
        ("POST", "/cleanups/x/approve?namespace=dr", b'{"plan_hash": "\xff"}', (422, "InvalidRequest")),
        ("POST", "/cleanups/x/approve?namespace=dr", b'{"plan_hash": "x"}', (422, "InvalidRequest")),
        (
            "POST",
            "/cleanups/x/waive?namespace=dr",
            b'{"reason": "AnyReason", "object": "job"}',
            (422, "InvalidRequest"),
        ),
        ("POST", "/cleanups/x/waive?namespace=dr", b'{"object": "job", "more": 1}', (422, "InvalidRequest")),
        ("POST", "/cleanups/x/waive?namespace=dr", b"x" * 65_537, (413, "BodyTooLong")),
        ("GET", "/vms?q=" + "x" * 8_192, None, (414, "InvalidRequest")),
    ],
)
async def test_what_cannot_be_served_is_refused_in_one_shape(
    method: str, path: str, body: bytes | None, refusal: tuple[int, str]
) -> None:
    cluster = ConsoleCluster()
    cluster.put(cleanup_body("x"))
    async with client(services(cluster)) as http:
        answer = await http.request(method, path, content=body, headers={"Content-Type": "application/json"})
    assert problem(answer) == refusal


async def test_headers_are_bounded() -> None:
    async with client(services(ConsoleCluster())) as http:
        answer = await http.get("/cleanups", headers={f"X-{number}": "x" * 1000 for number in range(40)})
    assert problem(answer) == (431, "InvalidRequest")


async def test_a_body_that_does_not_tell_its_length_is_bounded_too() -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 1024

    async with client(services(ConsoleCluster())) as http:
        answer = await http.post(
            "/cleanups/x/waive?namespace=dr", content=endless(), headers={"Content-Type": "application/json"}
        )
    assert problem(answer) == (413, "BodyTooLong")


@pytest.mark.looptime
async def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    sent: list[Message] = []

    async def application(_scope: Any, receive: Any, _send: Any) -> None:
        while (await receive())["type"] == "http.request":
            pass

    async def silent() -> Message:
        await asyncio.sleep(3600)
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "raw_path": b"/", "query_string": b"", "headers": []}
    await RequestBounds(application, url_bytes=1000, header_bytes=1000, body_bytes=1000, body_seconds=10)(
        scope, silent, send
    )
    assert sent[0]["status"] == 408
    assert asyncio.get_running_loop().time() == pytest.approx(10)


async def test_requests_of_a_user_are_bounded() -> None:
    running = services(ConsoleCluster(), SETTINGS.model_copy(update={"requests_per_minute": 2}))
    async with client(running) as http:
        statuses = [(await http.get("/cleanups")).status_code for _ in range(2)]
        refused = await http.get("/cleanups")
    assert statuses == [200, 200]
    assert problem(refused) == (429, "TooManyRequests")
    assert int(refused.headers["Retry-After"]) >= 1
    async with client(running, "token-of-bob") as http:
        assert (await http.get("/cleanups")).status_code == 200


async def test_guessing_locks_an_address_out_but_nobody_who_is_known() -> None:
    cluster = ConsoleCluster()
    running = services(cluster, SETTINGS.model_copy(update={"failed_logins_per_minute": 3}))
    async with client(running) as alice:
        assert (await alice.get("/cleanups")).status_code == 200
        for number in range(3):
            async with client(running, f"guess-{number}") as http:
                assert (await http.get("/cleanups")).status_code == 401
        asked = len(cluster.reviews)
        async with client(running, "token-of-bob") as http:
            assert problem(await http.get("/cleanups")) == (429, "TooManyRequests")
        assert len(cluster.reviews) == asked
        assert (await alice.get("/cleanups")).status_code == 200


async def test_an_api_server_out_of_reach_is_no_refusal() -> None:
    async with client(services(ConsoleCluster(trouble=Unreachable("the API server cannot be reached")))) as http:
        answer = await http.get("/cleanups")
    assert problem(answer) == (503, "KubernetesUnreachable")
    assert answer.headers["Retry-After"]


async def test_a_defect_says_nothing_of_itself() -> None:
    async with client(services(ConsoleCluster(trouble=LookupError("secret thing")))) as http:
        answer = await http.get("/cleanups")
    assert problem(answer) == (500, "InternalError")
    assert "secret thing" not in answer.text


@pytest.mark.parametrize("path", ["/cleanups", "/nothing", "/openapi.json", "/vms?q=" + "x" * 9000])
async def test_answers_carry_the_headers_that_tie_a_browsers_hands(path: str) -> None:
    async with client(services(ConsoleCluster())) as http:
        headers = (await http.get(path, headers={"Origin": "https://elsewhere.example.com"})).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "Access-Control-Allow-Origin" not in headers


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/api/v1/docs"])
async def test_there_are_no_pages_that_load_from_elsewhere(path: str) -> None:
    async with client(services(ConsoleCluster())) as http:
        assert (await http.get(f"http://console{path}")).status_code == 404


async def test_openapi_names_every_refusal_and_needs_no_token() -> None:
    async with client(services(ConsoleCluster()), None) as http:
        document = (await http.get("/openapi.json")).json()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert {"401", "403", "429", "503"} <= set(operation["responses"]), (method, path)
            assert operation["security"] == [{"token": []}], (method, path)


async def test_no_token_is_in_any_answer_or_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    cluster = ConsoleCluster()
    cluster.put(cleanup_body("x"))
    told = []
    for token in (*TOKENS, "guessed"):
        async with client(services(cluster), token) as http:
            for method, path in ROUTES:
                if "events" not in path:
                    answer = await http.request(method, path, json={} if method == "POST" else None)
                    told.append(f"{answer.headers} {answer.text}")
    text = "\n".join([*told, *(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)])
    for token in (*TOKENS, "guessed"):
        assert token not in text


async def test_every_request_is_counted_by_its_route_and_logged_with_its_user(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    running = services(ConsoleCluster())
    async with client(running) as http:
        await http.get("/cleanups")
        await http.get("/cleanups/x?namespace=dr")
        await http.get("/wherever")
    answered = [record.__dict__ for record in caplog.records if record.message == "Request answered"]
    assert [(told["user"], told["status"]) for told in answered] == [("alice", 200), ("alice", 404), ("", 404)]
    value = running.metrics.registry.get_sample_value
    for route, status in (("/api/v1/cleanups", "200"), ("/api/v1/cleanups/{name}", "404"), ("none", "404")):
        labels = {"method": "GET", "route": route, "status": status}
        assert value("fec_console_requests_total", labels) == 1, json.dumps(labels)
