"""The process: bounds and limits over real sockets, its end, its pages for probes, and no secret anywhere."""

from __future__ import annotations

import socket
import uuid
from urllib.parse import urlsplit

import httpx
import pytest

from development.stand import Stand
from tests.console.conftest import Console, start_console
from tests.unit.console.test_application import problem

pytestmark = pytest.mark.timeout(400)


def raw(console: Console, request: bytes) -> bytes:
    """What a socket gets for some bytes."""
    at = urlsplit(console.url)
    with socket.create_connection((str(at.hostname), at.port or 0), timeout=30) as connection:
        connection.sendall(request)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    return received


def test_what_is_too_long_is_refused(console: Console) -> None:
    with console.client("user") as client:
        assert problem(client.post("/failover/x/cleanup-failed", content=b" " * 70_000)) == (413, "BodyTooLong")
        assert problem(client.get("/vms", params={"q": "x" * 9_000})) == (414, "InvalidRequest")
    headers = b"".join(b"X-%d: %s\r\n" % (number, b"x" * 1000) for number in range(100))
    answer = raw(console, b"GET /api/v1/vms HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + headers + b"\r\n")
    assert answer.split(b" ")[1] in {b"400", b"431"}


def test_a_body_that_never_comes_ends_the_request(stand: Stand, people: dict[str, str]) -> None:
    console = start_console(stand, people, FEC_CONSOLE_BODY_SECONDS="1")
    try:
        head = (
            f"POST /api/v1/failover/x/cleanup-failed HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {people['user']}\r\n"
        )
        answer = raw(console, f"{head}Content-Length: 10\r\n\r\n".encode())
        assert b" 408 " in answer.split(b"\r\n")[0]
    finally:
        console.process.stop(grace_seconds=15)


def test_who_asks_too_often_waits(stand: Stand, people: dict[str, str]) -> None:
    limits = {"FEC_CONSOLE_REQUESTS_PER_MINUTE": "5", "FEC_CONSOLE_FAILED_LOGINS_PER_MINUTE": "3"}
    console = start_console(stand, people, **limits)
    try:
        with console.client("viewer") as client:
            statuses = [client.get("/cleanups").status_code for _ in range(6)]
            assert statuses == [200] * 5 + [429]
        with console.client(Authorization="Bearer guessed") as client:
            guesses = [client.get("/cleanups") for _ in range(4)]
        assert [answer.status_code for answer in guesses] == [401] * 3 + [429]
        assert int(guesses[-1].headers["Retry-After"]) >= 1
    finally:
        console.process.stop(grace_seconds=15)


def test_the_end_of_the_process_ends_streams_and_waits_but_no_cleanup(stand: Stand, people: dict[str, str]) -> None:
    console = start_console(stand, people)
    name = f"held-{uuid.uuid4().hex[:6]}"
    # Nobody works in this namespace's second Appliance, so it waits for as long as anybody looks.
    stand.apply_cleanup(name, name, applianceRef={"name": "nobodys"})
    url = f"{console.url}/api/v1/cleanups/{name}/events?namespace={stand.namespace}"
    with console.client("viewer") as client, client.stream("GET", url) as response:
        lines = response.iter_lines()
        next(lines)
        console.process.terminate()
        list(lines)
    assert console.process.wait(seconds=30) == 0, console.process.log_tail()
    assert "Console ended" in console.process.log.read_text()
    assert stand.cleanup(name)["metadata"].get("deletionTimestamp") is None
    stand.kubectl("delete", "fec", name)


def test_probes_and_metrics_are_on_a_port_of_their_own(console: Console) -> None:
    with httpx.Client(base_url=console.health_url, trust_env=False, timeout=30) as client:
        assert client.get("/healthz").json()["status"] == "ok"
        ready = client.get("/readyz").json()
        metrics = client.get("/metrics").text
    assert ready["checks"]["kubernetes"]["ok"] is True
    assert "fec_console_requests_total" in metrics
    with console.client("user") as client:
        assert client.get(f"{console.url}/metrics").status_code == 404


def test_no_secret_is_in_any_answer_log_or_metric(console: Console) -> None:
    stand = console.stand
    with console.client("user") as client:
        client.get("/vms")
        client.get("/openapi.json")
    with console.client(Authorization="Bearer guessed-token-0815") as client:
        client.get("/vms")
    with httpx.Client(base_url=console.health_url, trust_env=False, timeout=30) as client:
        metrics = client.get("/metrics").text
    text = "\n".join([*console.answers, console.process.log.read_text(), metrics])
    secrets = {
        **{f"token of {person}": token for person, token in console.tokens.items()},
        "guess": "guessed-token-0815",
        "database URL": stand.database_url,
        "API key": stand.address["api_key"],
        "secret key": stand.address["secret_key"],
    }
    assert [name for name, secret in secrets.items() if secret in text] == []
    assert "user=" in console.process.log.read_text()
