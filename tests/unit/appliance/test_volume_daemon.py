"""The Volume Daemon client: what it sends, and what it makes of every answer."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from failed_execution_cleanup.appliance.errors import (
    ApplianceError,
    NotExecuted,
    NotFound,
    Refused,
    Unavailable,
    Unknown,
)
from failed_execution_cleanup.appliance.volume_daemon import (
    DeviceMapping,
    Health,
    NBDExport,
    Operation,
    VolumeDaemonClient,
)

Handler = Callable[[httpx.Request], httpx.Response]

VM = "aaaaaaaa-0000-4000-8000-000000000001"
VOLUME = "b3bb9310-1b59-4f62-97e8-cefffdfe3804"
OPERATION = "eeeeeeee-0000-4000-8000-000000000001"
MAPPING = {
    "id": "",
    "vm_context_id": None,
    "volume_uuid": VOLUME,
    "volume_id_numeric": None,
    "vm_id": VM,
    "operation_mode": "oma",
    "cloudstack_device_id": None,
    "requires_device_correlation": False,
    "device_path": "/dev/disk/by-id/virtio-b3bb93101b594f6297e8",
    "cloudstack_state": "attached",
    "linux_state": "detected",
    "size": 107374182400,
    "last_sync": "2025-10-08T05:06:40Z",
    "created_at": "2025-10-08T05:06:40Z",
    "updated_at": "2025-10-08T05:06:40.123456789Z",
    "snapshot_status": "",
}
EXPORT = {
    "id": "0",
    "volume_id": VOLUME,
    "export_name": f"migration-vol-{VOLUME}",
    "device_path": MAPPING["device_path"],
    "port": 10809,
    "status": "active",
    "created_at": "2025-10-08T05:06:40Z",
    "updated_at": "2025-10-08T05:06:40Z",
    "metadata": None,
}


def operation(**fields: Any) -> dict[str, Any]:
    return {
        "id": OPERATION,
        "type": "detach",
        "status": "pending",
        "volume_id": VOLUME,
        "request": {"volume_id": VOLUME},
        "created_at": "2025-10-08T07:06:40.5+02:00",
        "updated_at": "2025-10-08T07:06:40.5+02:00",
    } | fields


def client(
    answer: Handler | httpx.Response, url: str = "http://oma.example.com:8090", **options: Any
) -> VolumeDaemonClient:
    handler = always(answer) if isinstance(answer, httpx.Response) else answer
    return VolumeDaemonClient(url, http=httpx.AsyncClient(transport=httpx.MockTransport(handler)), **options)


def always(response: httpx.Response) -> Handler:
    return lambda _: response


def error(status: int, text: str) -> httpx.Response:
    return httpx.Response(status, json={"error": text})


Call = Callable[[VolumeDaemonClient], Awaitable[object]]
READS: list[Call] = [
    lambda c: c.health(),
    lambda c: c.device_mapping(VOLUME),
    lambda c: c.export(VOLUME),
    lambda c: c.operation(OPERATION),
    lambda c: c.operations(volume_id=VOLUME),
]
CHANGES: list[Call] = [
    lambda c: c.attach(VOLUME, VM),
    lambda c: c.detach(VOLUME),
    lambda c: c.create_export(VOLUME, vm_name="pgtest1", vm_id=VM, disk_number=0),
]


@pytest.mark.parametrize("url", ["http://oma.example.com:8090", "http://oma.example.com:8090/api/v1/"])
async def test_requests_go_to_the_documented_paths(url: str) -> None:
    seen: list[tuple[str, str, object]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content) if request.content else None
        seen.append((request.method, str(request.url).removeprefix("http://oma.example.com:8090"), body))
        return httpx.Response(418)

    asked = client(answer, url)
    filtered: Call = lambda c: c.operations(status="executing", limit=5)  # noqa: E731
    for call in [*READS, *CHANGES, filtered]:
        with pytest.raises(ApplianceError):
            await call(asked)
    export = {"volume_id": VOLUME, "vm_name": "pgtest1", "vm_id": VM, "disk_number": 0}
    assert seen == [
        ("GET", "/api/v1/health", None),
        ("GET", f"/api/v1/volumes/{VOLUME}/device", None),
        ("GET", f"/api/v1/exports/{VOLUME}", None),
        ("GET", f"/api/v1/operations/{OPERATION}", None),
        ("GET", f"/api/v1/operations?volume_id={VOLUME}", None),
        ("POST", f"/api/v1/volumes/{VOLUME}/attach", {"vm_id": VM}),
        ("POST", f"/api/v1/volumes/{VOLUME}/detach", None),
        ("POST", "/api/v1/exports", export),
        ("GET", "/api/v1/operations?status=executing&limit=5", None),
    ]


@pytest.mark.parametrize("bad", ["", ".", "..", "a/b", "a?b", "x" * 65])
async def test_an_impossible_id_is_refused_before_anything_is_sent(bad: str) -> None:
    def never(_: httpx.Request) -> httpx.Response:
        raise AssertionError("a request was sent")

    calls: list[Call] = [
        lambda c: c.attach(bad, VM),
        lambda c: c.attach(VOLUME, bad),
        lambda c: c.detach(bad),
        lambda c: c.device_mapping(bad),
        lambda c: c.operations(volume_id=bad),
        lambda c: c.operation(bad),
        lambda c: c.export(bad),
    ]
    for call in calls:
        with pytest.raises(Refused, match="is not an id"):
            await call(client(never))


async def test_an_unusable_address_is_refused() -> None:
    with pytest.raises(NotExecuted, match="not a usable URL"):
        VolumeDaemonClient("oma.example.com:8090", http=httpx.AsyncClient())


async def test_a_mapping_is_read() -> None:
    assert await client(httpx.Response(200, json=MAPPING)).device_mapping(VOLUME) == DeviceMapping(
        volume_id=VOLUME,
        vm_id=VM,
        operation_mode="oma",
        device_path="/dev/disk/by-id/virtio-b3bb93101b594f6297e8",
        linux_state="detected",
        size=107374182400,
        updated_at=datetime(2025, 10, 8, 5, 6, 40, 123456, tzinfo=UTC),
    )


async def test_a_mapping_export_or_operation_that_is_not_there_is_none() -> None:
    missing = error(404, f"mapping not found for volume: {VOLUME}")
    assert await client(missing).device_mapping(VOLUME) is None
    missing = error(404, f"NBD export not found for volume: {VOLUME}")
    assert await client(missing).export(VOLUME) is None
    missing = error(404, f"operation not found: {OPERATION}")
    assert await client(missing).operation(OPERATION) is None


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize(
    "response",
    [
        pytest.param(error(404, "failed to get mapping: invalid connection"), id="404 for a broken database"),
        pytest.param(error(404, "mapping not found for volume: another"), id="404 about something else"),
        pytest.param(error(500, "boom"), id="500"),
        pytest.param(httpx.Response(502, text="<html>"), id="a proxy's 502"),
        pytest.param(httpx.Response(200, content=b""), id="200 and nothing"),
        pytest.param(httpx.Response(200, text="<html>"), id="200 and HTML"),
        pytest.param(httpx.Response(200, json={"id": 1}), id="200 and another object"),
        pytest.param(httpx.Response(201, json=MAPPING), id="201 to a read"),
    ],
)
async def test_a_read_that_brings_nothing_usable_is_unavailable_never_none(
    read: Call, response: httpx.Response
) -> None:
    with pytest.raises(Unavailable):
        await read(client(response))


async def test_exports_are_read_and_created() -> None:
    expected = NBDExport(
        volume_id=VOLUME,
        export_name=f"migration-vol-{VOLUME}",
        device_path="/dev/disk/by-id/virtio-b3bb93101b594f6297e8",
        status="active",
        port=10809,
    )
    assert await client(httpx.Response(200, json=EXPORT)).export(VOLUME) == expected
    created = client(httpx.Response(201, json=EXPORT)).create_export(VOLUME, vm_name="x", vm_id=VM, disk_number=1)
    assert await created == expected


async def test_operations_are_read_with_raw_statuses_and_their_zone() -> None:
    rows = [
        operation(),
        operation(id="2", status="never seen", error="x", vm_id=VM, completed_at="2025-10-08T05:07:00Z"),
    ]
    first, second = await client(httpx.Response(200, json=rows)).operations(volume_id=VOLUME)
    started = datetime(2025, 10, 8, 5, 6, 40, 500000, tzinfo=UTC)
    assert first == Operation(OPERATION, "detach", "pending", VOLUME, created_at=started)
    assert (second.status, second.error, second.vm_id) == ("never seen", "x", VM)
    assert second.completed_at == datetime(2025, 10, 8, 5, 7, tzinfo=UTC)
    assert not second.final


@pytest.mark.parametrize("body", [b"null", b"[]"])
async def test_no_operations_are_null_or_an_empty_list(body: bytes) -> None:
    assert await client(httpx.Response(200, content=body)).operations() == ()


@pytest.mark.parametrize(("text", "reachable"), [("healthy", True), ("unhealthy: no connection", False)])
async def test_health_tells_whether_the_database_is_reached(text: str, reachable: bool) -> None:
    body = {"status": "healthy", "timestamp": "2025-10-08T05:06:40Z", "database_health": text, "details": {}}
    health = await client(httpx.Response(200, json=body)).health()
    assert health == Health(status="healthy", database_health=text)
    assert health.database_reachable is reachable


async def test_a_change_is_accepted_with_201_only() -> None:
    started = await client(httpx.Response(201, json=operation(status="executing"))).detach(VOLUME)
    assert (started.id, started.status) == (OPERATION, "executing")
    for status in (200, 202, 204):
        with pytest.raises(Unknown, match="may have been executed"):
            await client(httpx.Response(status, json=operation())).detach(VOLUME)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(
    ("response", "kind"),
    [
        pytest.param(error(400, "EOF"), Refused, id="malformed"),
        pytest.param(httpx.Response(404, text="404 page not found"), NotExecuted, id="not the daemon"),
        pytest.param(httpx.Response(301, headers={"location": "/x"}), NotExecuted, id="redirect"),
        pytest.param(error(500, "failed to create operation"), Unknown, id="500"),
        pytest.param(httpx.Response(502, text="<html>"), Unknown, id="a proxy's 502"),
        pytest.param(httpx.Response(503, text="<html>"), Unknown, id="a proxy's 503"),
        pytest.param(httpx.Response(201, content=b""), Unknown, id="201 and nothing"),
        pytest.param(httpx.Response(201, json={"message": "ok"}), Unknown, id="201 and another object"),
    ],
)
async def test_a_change_that_goes_wrong_says_what_was_executed(
    change: Call, response: httpx.Response, kind: type[ApplianceError]
) -> None:
    with pytest.raises(kind) as caught:
        await change(client(response))
    assert type(caught.value) is kind
    assert VOLUME in caught.value.message
    assert caught.value.system == "Volume Daemon"


async def test_the_daemons_reason_is_quoted() -> None:
    failing = client(error(500, "no mapping for volume"))
    with pytest.raises(Unknown, match="no mapping for volume"):
        await failing.create_export(VOLUME, vm_name="x", vm_id=VM, disk_number=0)


def in_turn(*responses: httpx.Response) -> Handler:
    left = list(responses)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


def state(status: str, **fields: Any) -> httpx.Response:
    return httpx.Response(200, json=operation(status=status, **fields))


def unlisted(answer: Handler | httpx.Response) -> Handler:
    """A daemon whose list of operations cannot be had."""

    def handler(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/operations"):
            return error(500, "failed to list operations")
        return answer if isinstance(answer, httpx.Response) else answer(request)

    return handler


@pytest.mark.looptime
@pytest.mark.asyncio
async def test_one_list_serves_all_that_wait_for_operations() -> None:
    loop, ids = asyncio.get_running_loop(), [f"eeeeeeee-0000-4000-8000-00000000000{n}" for n in range(4)]
    asked: list[tuple[str, str | None]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append((request.url.path, request.url.params.get("limit")))
        status = "completed" if loop.time() > 20 else "executing"
        return httpx.Response(200, json=[operation(id=id_, status=status) for id_ in ids])

    daemon = client(answer)
    ended = await asyncio.gather(*map(daemon.wait_operation, ids))
    assert [one.id for one in ended] == ids
    assert all(one.final for one in ended)
    assert set(asked) == {("/api/v1/operations", "50")}
    assert len(asked) < 20 / 0.25 + 10


@pytest.mark.looptime
@pytest.mark.asyncio
async def test_an_operation_that_newer_ones_push_off_the_list_is_asked_for_itself() -> None:
    others = [operation(id="eeeeeeee-0000-4000-8000-0000000000ff", status="completed")]
    by_id = in_turn(state("executing"), state("completed"))

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=others) if request.url.path.endswith("/operations") else by_id(request)

    assert (await client(answer).wait_operation(OPERATION)).status == "completed"


@pytest.mark.looptime
@pytest.mark.asyncio
@pytest.mark.parametrize("end", ["completed", "failed", "cancelled"])
async def test_waiting_follows_an_operation_through_failing_looks(end: str) -> None:
    trouble = error(404, "failed to get operation: invalid connection")
    answers = in_turn(state("pending"), trouble, httpx.Response(502), state("executing"), state(end, error="why"))
    ended = await client(unlisted(answers)).wait_operation(OPERATION)
    assert (ended.status, ended.error, ended.final) == (end, "why", True)


@pytest.mark.looptime
@pytest.mark.asyncio
async def test_an_operation_left_executing_is_returned_as_such_at_the_deadline() -> None:
    seen = await client(unlisted(state("executing"))).wait_operation(OPERATION)
    assert not seen.final
    assert asyncio.get_running_loop().time() == pytest.approx(420, abs=0.1)


@pytest.mark.looptime
@pytest.mark.asyncio
async def test_a_daemon_that_stays_away_until_the_deadline_is_an_error() -> None:
    with pytest.raises(Unavailable):
        await client(httpx.Response(502)).wait_operation(OPERATION, deadline_seconds=60)
    assert asyncio.get_running_loop().time() == pytest.approx(60, abs=0.1)


async def test_waiting_for_an_unknown_operation_is_an_error_at_once() -> None:
    with pytest.raises(NotFound):
        await client(unlisted(error(404, f"operation not found: {OPERATION}"))).wait_operation(OPERATION)
