"""The OSSEA client: what it sends, and what it makes of every answer."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest

from failed_execution_cleanup.appliance.errors import (
    ApplianceError,
    BadCredentials,
    NotExecuted,
    NotFound,
    Refused,
    Unavailable,
    Unknown,
)
from failed_execution_cleanup.appliance.ossea import AsyncJob, Capabilities, Host, JobStatus, OSSEAClient
from failed_execution_cleanup.appliance.ossea_signing import signature
from failed_execution_cleanup.appliance.rate_limit import RateLimit
from failed_execution_cleanup.recovery.world import CloudSnapshot, CloudVM, CloudVolume, VMSnapshot

Form = dict[str, str]
Handler = Callable[[Form], httpx.Response]

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
API_KEY, SECRET_KEY = "an-api-key", "a-secret-key"
VM = "aaaaaaaa-0000-4000-8000-000000000001"
VOLUME = "bbbbbbbb-0000-4000-8000-000000000001"
SNAPSHOT = "cccccccc-0000-4000-8000-000000000001"
JOB = "dddddddd-0000-4000-8000-000000000001"


class Server:
    """A management server that answers as it is told and remembers the forms it got."""

    def __init__(self, answer: Handler | httpx.Response) -> None:
        self.answer = answer
        self.requests: list[httpx.Request] = []
        self.forms: list[Form] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        form = {name: values[0] for name, values in parse_qs(request.content.decode(), keep_blank_values=True).items()}
        self.requests.append(request)
        self.forms.append(form)
        return self.answer if isinstance(self.answer, httpx.Response) else self.answer(form)


def client(
    answer: Handler | httpx.Response | Server, url: str = "http://ossea.example.com:8080", **options: Any
) -> OSSEAClient:
    handler = answer if isinstance(answer, Server) else Server(answer)
    http = httpx.AsyncClient(transport=httpx.MockTransport(handler))
    return OSSEAClient(url, API_KEY, SECRET_KEY, http=http, clock=lambda: NOW, **options)


def ok(body: dict[str, Any], name: str = "anyresponse") -> httpx.Response:
    return httpx.Response(200, json={name: body})


def error(code: int, text: str | None = "it does not work", status: int | None = None) -> httpx.Response:
    body = {"uuidList": [], "errorcode": code, "cserrorcode": 9999} | ({} if text is None else {"errortext": text})
    return httpx.Response(status or code, json={"errorresponse": body})


Submit = Callable[[OSSEAClient], Awaitable[str]]
SUBMISSIONS: list[tuple[Submit, Form]] = [
    (lambda c: c.stop_vm(VM), {"command": "stopVirtualMachine", "id": VM}),
    (lambda c: c.stop_vm(VM, forced=True), {"command": "stopVirtualMachine", "id": VM, "forced": "true"}),
    (lambda c: c.revert_snapshot(SNAPSHOT), {"command": "revertSnapshot", "id": SNAPSHOT}),
    (lambda c: c.delete_snapshot(SNAPSHOT), {"command": "deleteSnapshot", "id": SNAPSHOT}),
    (lambda c: c.destroy_vm(VM, expunge=True), {"command": "destroyVirtualMachine", "id": VM, "expunge": "true"}),
    (lambda c: c.destroy_vm(VM, expunge=False), {"command": "destroyVirtualMachine", "id": VM}),
    (lambda c: c.expunge_vm(VM), {"command": "expungeVirtualMachine", "id": VM}),
]


# What is sent


@pytest.mark.parametrize(
    "url",
    ["http://ossea.example.com:8080", "http://ossea.example.com:8080/", "http://ossea.example.com:8080/client/api/"],
)
async def test_the_api_path_is_appended_when_missing(url: str) -> None:
    server = Server(ok({}))
    await client(server, url).list_volumes()
    assert str(server.requests[0].url) == "http://ossea.example.com:8080/client/api"


@pytest.mark.parametrize(
    "url",
    ["", "ossea.example.com", "ftp://x", "http://", "http://user:hush@x/", "http://x/?apikey=hush", "http://x:y/"],
)
async def test_an_unusable_address_is_refused_without_quoting_it(url: str) -> None:
    with pytest.raises(NotExecuted, match="not a usable URL") as caught:
        OSSEAClient(url, API_KEY, SECRET_KEY, http=httpx.AsyncClient())
    assert "hush" not in str(caught.value)


async def test_everything_is_a_signed_post_form_with_nothing_in_the_url(caplog: pytest.LogCaptureFixture) -> None:
    server = Server(ok({"jobid": JOB}))
    with caplog.at_level(logging.DEBUG):
        await client(server).stop_vm(VM)
        await client(server).list_volumes()
    for request, form in zip(server.requests, server.forms, strict=True):
        assert request.method == "POST"
        assert request.url.query == b""
        signed = form.pop("signature")
        assert signed == signature(form, SECRET_KEY)
        assert form["expires"] == "2026-01-02T03:14:05+0000"
        assert signed not in caplog.text
    assert API_KEY not in caplog.text
    assert SECRET_KEY not in caplog.text


@pytest.mark.parametrize(("submit", "expected"), SUBMISSIONS)
async def test_a_submission_sends_its_parameters_and_no_others(submit: Submit, expected: Form) -> None:
    server = Server(ok({"jobid": JOB}))
    assert await submit(client(server)) == JOB
    (form,) = server.forms
    protocol = {"apikey", "signature", "signatureversion", "expires", "response"}
    assert {name: value for name, value in form.items() if name not in protocol} == expected


async def test_a_chosen_job_id_is_sent_in_lower_case_and_the_servers_answer_returned() -> None:
    server = Server(ok({"jobid": "another"}))
    assert await client(server).revert_snapshot(SNAPSHOT, custom_job_id=JOB.upper()) == "another"
    assert server.forms[0]["customjobid"] == JOB


@pytest.mark.parametrize("bad", ["", " ", "a b", "../x", "x" * 65, "a,b"])
async def test_an_impossible_id_is_refused_before_anything_is_sent(bad: str) -> None:
    server = Server(ok({}))
    asked = client(server)
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: asked.destroy_vm(bad, expunge=True),
        lambda: asked.list_volumes(volume_id=bad),
        lambda: asked.list_snapshots(bad),
        lambda: asked.query_job(bad),
    ]
    for call in calls:
        with pytest.raises(Refused, match="is not an id"):
            await call()
    assert server.forms == []


@pytest.mark.looptime
@pytest.mark.asyncio
async def test_every_read_waits_for_the_limiter() -> None:
    asked = client(ok({}), limiter=RateLimit(2))
    await asyncio.gather(*(asked.list_hosts() for _ in range(5)))
    assert asyncio.get_running_loop().time() == pytest.approx(2.0)


@pytest.mark.looptime
@pytest.mark.asyncio
async def test_a_pause_the_server_asks_for_is_kept_by_every_client_of_the_account() -> None:
    shared, throttled = RateLimit(100), error(429, "please retry after 4000 ms.")
    with pytest.raises(NotExecuted):
        await client(throttled, limiter=shared).list_volumes()
    await client(ok({}), limiter=shared).list_snapshots()
    assert asyncio.get_running_loop().time() == pytest.approx(4.0)


@pytest.mark.looptime
@pytest.mark.asyncio
async def test_a_submission_waits_in_its_turn_and_not_when_it_is_sent() -> None:
    asked = client(ok({"jobid": "j"}), limiter=RateLimit(1))
    await asked.list_volumes()
    await asked.turn()
    after_the_turn = asyncio.get_running_loop().time()
    await asked.delete_snapshot("snapshot-1")
    assert (after_the_turn, asyncio.get_running_loop().time()) == pytest.approx((1.0, 1.0))


async def test_a_client_that_was_given_is_left_open_and_an_own_one_closed() -> None:
    given = httpx.AsyncClient()
    async with OSSEAClient("http://x", API_KEY, SECRET_KEY, http=given):
        pass
    assert not given.is_closed
    await given.aclose()
    async with OSSEAClient("http://x", API_KEY, SECRET_KEY) as own:
        pass
    with pytest.raises(RuntimeError, match="closed"):
        await own.list_volumes()


# What is made of answers


@pytest.mark.parametrize(
    ("response", "kind", "code"),
    [
        pytest.param(error(401, "unable to verify user credentials"), BadCredentials, 401, id="401"),
        pytest.param(error(429), NotExecuted, 429, id="throttled"),
        pytest.param(error(503), NotExecuted, 503, id="in maintenance"),
        pytest.param(error(405), Refused, 405, id="wrong method"),
        pytest.param(error(430), Refused, 430, id="malformed"),
        pytest.param(error(431), Refused, 431, id="parameter"),
        pytest.param(error(431, None), Refused, 431, id="parameter, without a text"),
        pytest.param(error(431, status=200), Refused, 431, id="the error is in the body only"),
        pytest.param(httpx.Response(431, json={"x": {}}), Refused, 431, id="the error is in the status only"),
        pytest.param(error(432), Refused, 432, id="unsupported"),
        pytest.param(error(531), Refused, 531, id="permission"),
        pytest.param(error(533), Refused, 533, id="capacity"),
        pytest.param(error(536), Refused, 536, id="in use"),
        pytest.param(httpx.Response(302, headers={"location": "https://x/?a=1"}), NotExecuted, 302, id="redirect"),
        pytest.param(httpx.Response(404, text="<html>"), NotExecuted, 404, id="not the API"),
        pytest.param(httpx.Response(401, text="<html>"), BadCredentials, 401, id="a proxy's 401"),
    ],
)
async def test_a_rejection_says_that_nothing_was_executed(
    response: httpx.Response, kind: type[ApplianceError], code: int
) -> None:
    with pytest.raises(kind) as caught:
        await client(response).stop_vm(VM)
    assert type(caught.value) is kind
    assert caught.value.code == code
    assert caught.value.system == "OSSEA"
    assert VM in caught.value.message
    assert caught.value.remedy


@pytest.mark.parametrize(
    "response",
    [
        pytest.param(httpx.Response(200, content=b""), id="200 and nothing"),
        pytest.param(httpx.Response(200, text="<html>hello</html>"), id="200 and HTML"),
        pytest.param(httpx.Response(200, json=[]), id="200 and a list"),
        pytest.param(httpx.Response(200, json={}), id="no envelope"),
        pytest.param(httpx.Response(200, json={"a": {}, "b": {}}), id="two envelopes"),
        pytest.param(httpx.Response(200, json={"a": "text"}), id="no object in it"),
        pytest.param(httpx.Response(500, text="oops"), id="500"),
        pytest.param(httpx.Response(502, text="<html>"), id="a proxy's 502"),
        pytest.param(httpx.Response(503, text="<html>"), id="a proxy's 503 may come after the request was passed on"),
        pytest.param(httpx.Response(504, text="<html>"), id="a proxy's 504"),
        pytest.param(error(530), id="530"),
        pytest.param(error(500), id="500 of the API"),
    ],
)
async def test_an_unusable_answer_is_unknown_for_a_change_and_unavailable_for_a_read(response: httpx.Response) -> None:
    with pytest.raises(Unknown, match="may have been executed"):
        await client(response).revert_snapshot(SNAPSHOT)
    with pytest.raises(Unavailable):
        await client(response).list_snapshots(VOLUME)


@pytest.mark.parametrize("body", [{}, {"jobid": None}, {"jobid": 5}, {"success": True}])
async def test_a_submission_without_a_job_in_the_answer_is_unknown(body: dict[str, Any]) -> None:
    with pytest.raises(Unknown, match="names no job"):
        await client(ok(body)).expunge_vm(VM)


@pytest.mark.parametrize("content_type", ["text/javascript; charset=UTF-8", "text/plain", "application/json"])
async def test_json_counts_under_any_content_type_and_any_envelope(content_type: str) -> None:
    body = json.dumps({"someoldname": {"jobid": JOB}}).encode()
    response = httpx.Response(200, content=body, headers={"content-type": content_type})
    assert await client(response).stop_vm(VM) == JOB


@pytest.mark.parametrize(
    ("response", "seconds"),
    [
        (error(429, "The given user has reached his/her account api limit, please retry after 850 ms."), 0.85),
        (httpx.Response(429, text="slow down", headers={"retry-after": "7"}), 7.0),
        (error(429, "too many"), None),
        (httpx.Response(429, headers={"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}), None),
    ],
)
async def test_throttling_tells_how_long_to_wait(response: httpx.Response, seconds: float | None) -> None:
    with pytest.raises(NotExecuted) as caught:
        await client(response).stop_vm(VM)
    assert caught.value.retry_after == seconds


async def test_the_reason_comes_from_the_header_when_the_body_has_none() -> None:
    response = httpx.Response(431, json={"x": {"errorcode": 431}}, headers={"x-description": "no such volume"})
    with pytest.raises(Refused, match="no such volume"):
        await client(response).stop_vm(VM)


async def test_errors_never_hold_keys_or_signatures_even_if_the_server_echoes_them() -> None:
    def echo(form: Form) -> httpx.Response:
        return error(431, f"bad {form['apikey']} and {SECRET_KEY}\n{'x' * 5000}")

    with pytest.raises(Refused) as caught:
        await client(echo).stop_vm(VM)
    shown = f"{caught.value} {caught.value!r} {caught.value.args}"
    assert API_KEY not in shown
    assert SECRET_KEY not in shown
    assert len(str(caught.value)) < 600


async def test_the_client_shows_no_keys() -> None:
    assert "key" not in repr(client(ok({})))


# Rows


async def test_virtual_machines_are_read_with_unknown_fields_and_odd_types() -> None:
    row = {
        "id": VM,
        "name": "i-2-7-VM",
        "displayname": "pgtest1-test-1759900000",
        "state": "SomethingNew",
        "created": "2025-10-08T05:06:40+0200",
        "hostid": "host-1",
        "jobid": JOB,
        "jobstatus": 0,
        "ostypeid": 17,
        "nic": [{"id": "n"}],
    }
    server = Server(ok({"count": 1, "virtualmachine": [row]}))
    (vm,) = await client(server).list_virtual_machines()
    assert vm == CloudVM(
        id=VM,
        name="i-2-7-VM",
        display_name="pgtest1-test-1759900000",
        state="SomethingNew",
        created=datetime(2025, 10, 8, 3, 6, 40, tzinfo=UTC),
        host_id="host-1",
        job_id=JOB,
    )
    assert server.forms[0]["listall"] == "true"
    assert "id" not in server.forms[0]


async def test_volumes_are_read_attached_and_detached() -> None:
    common = {"name": "v", "type": "DATADISK", "state": "Ready", "size": 10}
    attached = {"virtualmachineid": VM, "deviceid": "0", "attached": "2025-10-08T05:06:40+0000"}
    rows = [{"id": "1", **common, **attached}, {"id": "2", **common, "virtualmachineid": ""}]
    first, second = await client(ok({"count": 2, "volume": rows})).list_volumes()
    assert first == CloudVolume(
        id="1", name="v", type="DATADISK", state="Ready", size=10, vm_id=VM, device_id=0, attached=attached["attached"]
    )
    assert second == CloudVolume(id="2", name="v", type="DATADISK", state="Ready", size=10)


async def test_snapshots_are_read() -> None:
    row = {
        "id": SNAPSHOT,
        "name": "multi-test-failover-disk-2000-1759900000",
        "volumeid": VOLUME,
        "state": "BackedUp",
        "created": "2025-10-08T05:06:40Z",
        "revertable": True,
        "virtualsize": 1024,
        "physicalsize": 7,
    }
    server = Server(ok({"count": 1, "snapshot": [row]}))
    (snapshot,) = await client(server).list_snapshots(VOLUME)
    assert server.forms[0]["volumeid"] == VOLUME
    assert snapshot == CloudSnapshot(
        id=SNAPSHOT,
        name="multi-test-failover-disk-2000-1759900000",
        volume_id=VOLUME,
        state="BackedUp",
        created=datetime(2025, 10, 8, 5, 6, 40, tzinfo=UTC),
        revertable=True,
        size=1024,
    )


async def test_vm_snapshots_are_read_under_their_mixed_case_name() -> None:
    row = {"id": "s", "name": "i-2-7_VS", "displayname": "before patch", "virtualmachineid": VM}
    server = Server(ok({"count": 1, "vmSnapshot": [row]}))
    assert await client(server).list_vm_snapshots(VM) == (VMSnapshot(id="s", name="before patch", vm_id=VM),)
    assert server.forms[0]["virtualmachineid"] == VM


async def test_hosts_are_read() -> None:
    server = Server(ok({"count": 1, "host": [{"id": "h", "name": "kvm1", "state": "Up"}]}))
    assert await client(server).list_hosts() == (Host(id="h", name="kvm1", state="Up"),)


@pytest.mark.parametrize("code", [401, 432, 531])
async def test_hosts_the_account_may_not_see_are_none_not_empty(code: int) -> None:
    assert await client(error(code)).list_hosts() is None


async def test_hosts_that_cannot_be_read_are_an_error() -> None:
    with pytest.raises(Unavailable):
        await client(error(530)).list_hosts()


async def test_capabilities_tell_what_the_account_may_do() -> None:
    row = {
        "cloudstackversion": "4.20.1.0",
        "allowuserexpungerecovervm": False,
        "apilimitmax": 25,
        "apilimitinterval": 1,
    }
    assert await client(ok({"capability": row})).capabilities() == Capabilities(
        version="4.20.1.0",
        expunge=False,
        sees_destroyed=None,
        forced_stop=None,
        request_limit=25,
        request_interval_seconds=1,
    )


async def test_an_unreadable_row_names_the_field_and_not_the_value() -> None:
    row = {"id": VOLUME, "name": "v", "state": "Ready", "size": "a lot"}
    with pytest.raises(Unavailable, match="unreadable size") as caught:
        await client(ok({"count": 1, "volume": [row]})).list_volumes()
    assert "a lot" not in str(caught.value)


# Lists


def paged(ids: list[str], maximum: int) -> Handler:
    """A server with a maximal page of `maximum` rows that refuses larger ones."""

    def answer(form: Form) -> httpx.Response:
        assert ("page" in form) == ("pagesize" in form)
        size, page = int(form.get("pagesize", maximum)), int(form.get("page", 1))
        if size > maximum:
            return error(431, "Page size can not exceed max allowed page size")
        rows = [{"id": i, "name": i} for i in ids[(page - 1) * size : page * size]]
        return ok({"count": len(ids)} | ({"volume": rows} if rows else {})) if ids else ok({})

    return answer


@pytest.mark.parametrize("number", [0, 1, 99, 100, 101, 250, 300])
async def test_lists_are_read_to_the_end_whatever_the_servers_maximum(number: int) -> None:
    ids = [str(i) for i in range(number)]
    server = Server(paged(ids, maximum=100))
    assert [volume.id for volume in await client(server).list_volumes()] == ids
    assert len(server.forms) == max(1, -(-number // 100))


VOLUMES = tuple(f"bbbbbbbb-0000-4000-8000-{number:012}" for number in range(12))


def held(form: Form, ids: Sequence[str] = VOLUMES, maximum: int = 500) -> httpx.Response:
    """Lists of volumes and of their snapshots, one of each volume; by the volume's id or of all."""
    wanted = form.get("id") or form.get("volumeid")
    if form["command"] == "listSnapshots":
        rows = [{"id": f"snapshot of {id_}", "volumeid": id_} for id_ in ids if wanted in (None, id_)]
        return ok({"count": len(rows), "snapshot": rows})
    return ok({"count": 1, "volume": [{"id": wanted}]}) if wanted else paged(list(ids), maximum)(form)


def commands(server: Server) -> list[tuple[str, str | None]]:
    return [(form["command"], form.get("id") or form.get("volumeid")) for form in server.forms]


@pytest.mark.looptime
@pytest.mark.asyncio
async def test_who_would_queue_up_for_one_object_each_take_the_list_of_all() -> None:
    server = Server(held)
    asked = client(server, limiter=RateLimit(1))
    volumes = await asyncio.gather(*(asked.list_volumes(volume_id=id_) for id_ in VOLUMES))
    assert [[volume.id for volume in found] for found in volumes] == [[id_] for id_ in VOLUMES]
    # The first passes at once, the second waits alone; all others find it waiting and share one list.
    assert commands(server) == [("listVolumes", VOLUMES[0]), ("listVolumes", VOLUMES[1]), ("listVolumes", None)]
    server.forms.clear()
    snapshots = await asyncio.gather(*(asked.list_snapshots(id_) for id_ in VOLUMES))
    assert [[snapshot.volume_id for snapshot in found] for found in snapshots] == [[id_] for id_ in VOLUMES]
    assert commands(server) == [("listSnapshots", VOLUMES[0]), ("listSnapshots", None)]


@pytest.mark.looptime
@pytest.mark.asyncio
async def test_a_list_that_was_under_way_does_not_answer_who_asks_later() -> None:
    attached: dict[str, str] = {}

    def answer(form: Form) -> httpx.Response:
        return ok(
            {"count": len(VOLUMES), "volume": [{"id": id_, "virtualmachineid": attached.get(id_)} for id_ in VOLUMES]}
        )

    server = Server(answer)
    asked = client(server, limiter=RateLimit(1))
    await asked.turn()
    first = asyncio.create_task(asked.list_volumes())
    await asyncio.sleep(0.5)
    attached[VOLUMES[5]] = VM  # while that list waits for its turn
    later = asyncio.create_task(asked.list_volumes(volume_id=VOLUMES[5]))
    await first
    ((found),) = await later
    assert found.vm_id == VM
    assert commands(server) == [("listVolumes", None), ("listVolumes", None)]


@pytest.mark.looptime
@pytest.mark.asyncio
async def test_what_the_list_of_all_does_not_show_is_asked_for_by_its_id() -> None:
    server = Server(partial(held, ids=VOLUMES[:3]))
    asked = client(server, limiter=RateLimit(1))
    await asked.turn()
    hidden = VOLUMES[7]
    waiting = asyncio.create_task(asked.turn())
    await asyncio.sleep(0)
    assert [volume.id for volume in await asked.list_volumes(volume_id=hidden)] == [hidden]
    await waiting
    assert commands(server) == [("listVolumes", None), ("listVolumes", hidden)]


@pytest.mark.looptime
@pytest.mark.asyncio
async def test_a_list_of_more_pages_than_requests_that_wait_is_not_read_for_one_object() -> None:
    server = Server(partial(held, maximum=3))
    asked = client(server, limiter=RateLimit(1))
    await asked.list_volumes()  # four pages
    server.forms.clear()
    await asyncio.gather(*(asked.list_volumes(volume_id=id_) for id_ in VOLUMES[:4]))
    assert commands(server) == [("listVolumes", id_) for id_ in VOLUMES[:4]]
    server.forms.clear()
    await asyncio.gather(*(asked.list_volumes(volume_id=id_) for id_ in VOLUMES))
    assert commands(server) == [("listVolumes", id_) for id_ in VOLUMES[:4]] + [("listVolumes", None)] * 4


async def test_a_list_that_moves_between_pages_is_read_again() -> None:
    ids = [str(i) for i in range(150)]

    def answer(form: Form) -> httpx.Response:
        response = paged(ids, maximum=100)(form)
        if len(ids) == 150:
            del ids[0]  # every later row moves up: row 100 would be on no page
        return response

    found = [volume.id for volume in await client(answer).list_volumes()]
    assert found == ids


async def test_rows_that_appear_twice_are_one() -> None:
    def answer(form: Form) -> httpx.Response:
        page = int(form.get("page", 1))
        return ok({"count": 4, "volume": [{"id": "1"}, {"id": "2"}] if page == 1 else [{"id": "2"}, {"id": "3"}]})

    assert [volume.id for volume in await client(answer).list_volumes()] == ["1", "2", "3"]


async def test_a_count_that_is_always_wrong_does_not_stop_reading() -> None:
    def answer(form: Form) -> httpx.Response:
        return ok({"count": 7} | ({} if "page" in form else {"volume": [{"id": "1"}, {"id": "2"}]}))

    assert [volume.id for volume in await client(answer).list_volumes()] == ["1", "2"]


async def test_a_list_that_never_holds_still_is_unavailable() -> None:
    calls = iter(range(1000))

    def answer(form: Form) -> httpx.Response:
        return ok({"count": 9, "volume": [{"id": str(next(calls))}] if "page" not in form else []})

    with pytest.raises(Unavailable, match="changed each time"):
        await client(answer).list_volumes()


async def test_an_unknown_id_and_an_empty_list_are_both_nothing() -> None:
    for response in (error(431, "Unable to execute API command due to invalid value"), ok({}), ok({"count": 0})):
        asked = client(response)
        assert await asked.list_volumes(volume_id=VOLUME) == ()
        assert await asked.list_snapshots(snapshot_id=SNAPSHOT) == ()
        assert await asked.list_virtual_machines(VM) == ()


async def test_what_belongs_to_an_unknown_object_is_not_nothing() -> None:
    refused = client(error(431, "Unable to execute API command due to invalid value"))
    for asking in (
        refused.list_volumes(vm_id=VM),
        refused.list_snapshots(VOLUME),
        refused.list_vm_snapshots(VM),
    ):
        with pytest.raises(NotFound, match="does not know"):
            await asking
    assert await client(ok({})).list_snapshots(VOLUME) == ()


async def test_a_parameter_error_without_an_id_in_the_request_is_an_error() -> None:
    with pytest.raises(Refused):
        await client(error(431)).list_volumes()


async def test_a_list_by_id_sends_no_page_that_could_be_refused_as_an_unknown_id() -> None:
    server = Server(ok({"count": 1, "volume": [{"id": VOLUME}]}))
    await client(server).list_volumes(volume_id=VOLUME)
    assert not {"page", "pagesize"} & server.forms[0].keys()


@pytest.mark.parametrize("code", [401, 429, 503, 530, 531])
async def test_any_other_error_of_a_list_by_id_is_never_read_as_nothing(code: int) -> None:
    with pytest.raises(ApplianceError):
        await client(error(code)).list_volumes(volume_id=VOLUME)


# Jobs

JOB_SHAPES = [
    pytest.param({"jobstatus": 0, "jobprocstatus": 0}, JobStatus.PENDING, None, None, id="pending"),
    pytest.param({"jobstatus": 1, "jobresult": {"success": True}}, JobStatus.SUCCEEDED, None, None, id="success flag"),
    pytest.param({"jobstatus": 1, "jobresult": {"snapshot": {}}}, JobStatus.SUCCEEDED, None, None, id="entity"),
    pytest.param({"jobstatus": 1}, JobStatus.SUCCEEDED, None, None, id="success without result"),
    pytest.param(
        {"jobstatus": 2, "jobresultcode": 530, "jobresult": {"errorcode": 530, "errortext": "no"}},
        JobStatus.FAILED,
        530,
        "no",
        id="failure",
    ),
    pytest.param({"jobstatus": 2, "jobresultcode": 530}, JobStatus.FAILED, 530, None, id="server restarted"),
    pytest.param({"jobstatus": 2, "jobresultcode": 0}, JobStatus.FAILED, 0, None, id="blocked its queue too long"),
    pytest.param(
        {"jobstatus": 2, "jobresultcode": 530, "jobresulttype": "text", "jobresult": "gave up"},
        JobStatus.FAILED,
        530,
        "gave up",
        id="text",
    ),
    pytest.param({"jobstatus": 2, "jobresult": {"errortext": None}}, JobStatus.FAILED, None, None, id="no text"),
    pytest.param({"jobstatus": 3}, JobStatus.FAILED, None, None, id="cancelled"),
]


@pytest.mark.parametrize(("body", "status", "code", "text"), JOB_SHAPES)
async def test_every_shape_of_a_job_is_read(
    body: dict[str, Any], status: JobStatus, code: int | None, text: str | None
) -> None:
    job = await client(ok({"jobid": JOB, **body})).query_job(JOB)
    assert job is not None
    assert (job.id, job.status, job.code, job.error_text) == (JOB, status, code, text)
    assert job.final == (status is not JobStatus.PENDING)


async def test_the_result_of_a_job_is_kept() -> None:
    body = {"jobstatus": 1, "jobresult": {"virtualmachine": {"id": VM}}}
    job = await client(ok(body)).query_job(JOB)
    assert job is not None
    assert job.result == {"virtualmachine": {"id": VM}}


async def test_a_job_the_server_does_not_know_is_none_and_one_of_others_an_error() -> None:
    assert await client(error(431)).query_job(JOB) is None
    with pytest.raises(Refused):
        await client(error(531)).query_job(JOB)


async def test_a_job_without_a_status_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="jobstatus"):
        await client(ok({"jobid": JOB})).query_job(JOB)


def in_turn(*responses: httpx.Response) -> Handler:
    left = list(responses)

    def answer(_: Form) -> httpx.Response:
        return left.pop(0) if len(left) > 1 else left[0]

    return answer


PENDING, DONE = {"jobstatus": 0}, {"jobstatus": 1, "jobresult": {"success": True}}


def unlisted(answer: Handler | httpx.Response) -> Handler:
    """A management server that lists no jobs to this account."""
    return lambda form: (
        error(432)
        if form["command"] == "listAsyncJobs"
        else answer
        if isinstance(answer, httpx.Response)
        else answer(form)
    )


def at_work(*job_ids: str) -> httpx.Response:
    rows = [{"jobid": job_id, "jobstatus": 0, "cmd": "RevertSnapshotCmd"} for job_id in job_ids]
    return ok({"count": len(rows), "asyncjobs": rows} if rows else {})


@pytest.mark.looptime
@pytest.mark.asyncio
async def test_a_job_is_asked_for_once_it_is_not_listed_any_more() -> None:
    other = "cccccccc-0000-4000-8000-0000000000ff"
    listed = in_turn(at_work(other, JOB), at_work(JOB), at_work(other))
    server = Server(lambda form: listed(form) if form["command"] == "listAsyncJobs" else ok(DONE))
    assert (await client(server).wait_job(JOB)).status is JobStatus.SUCCEEDED
    assert [form["command"] for form in server.forms] == ["listAsyncJobs"] * 3 + ["queryAsyncJobResult"]


@pytest.mark.looptime
@pytest.mark.asyncio
async def test_one_list_serves_all_that_wait_for_jobs() -> None:
    loop, jobs = asyncio.get_running_loop(), [f"cccccccc-0000-4000-8000-00000000000{n}" for n in range(4)]

    def answer(form: Form) -> httpx.Response:
        if form["command"] == "listAsyncJobs":
            return at_work(*(jobs if loop.time() < 8 else ()))
        return ok(DONE)

    server = Server(answer)
    cloud = client(server)
    ended = await asyncio.gather(*map(cloud.wait_job, jobs))
    assert {job.status for job in ended} == {JobStatus.SUCCEEDED}
    asked = [form["command"] for form in server.forms]
    assert asked.count("queryAsyncJobResult") == len(jobs)
    assert asked.count("listAsyncJobs") <= 8 / 0.25 + 2


@pytest.mark.looptime
@pytest.mark.asyncio
async def test_an_account_that_may_not_list_jobs_asks_for_its_own_and_never_for_the_list_again() -> None:
    server = Server(unlisted(in_turn(ok(PENDING), ok(PENDING), ok(DONE))))
    assert (await client(server).wait_job(JOB)).status is JobStatus.SUCCEEDED
    assert [form["command"] for form in server.forms] == ["listAsyncJobs"] + ["queryAsyncJobResult"] * 3


@pytest.mark.looptime
@pytest.mark.asyncio
async def test_a_list_of_jobs_that_fails_does_not_say_that_a_job_ended() -> None:
    lists, looks = in_turn(httpx.Response(503), at_work(JOB), at_work()), in_turn(ok(PENDING), ok(DONE))
    server = Server(lambda form: lists(form) if form["command"] == "listAsyncJobs" else looks(form))
    assert (await client(server).wait_job(JOB)).status is JobStatus.SUCCEEDED
    assert [form["command"] for form in server.forms].count("queryAsyncJobResult") == 2


@pytest.mark.looptime
@pytest.mark.asyncio
async def test_waiting_follows_a_job_through_failing_looks() -> None:
    throttled = error(429, "please retry after 20000 ms.")
    answers = in_turn(ok(PENDING), httpx.Response(502), error(401), throttled, error(530), ok(DONE))
    job = await client(unlisted(answers)).wait_job(JOB)
    assert job.status is JobStatus.SUCCEEDED
    assert asyncio.get_running_loop().time() > 20


@pytest.mark.looptime
@pytest.mark.asyncio
async def test_a_purged_job_has_vanished() -> None:
    assert await client(unlisted(in_turn(ok(PENDING), error(431)))).wait_job(JOB) == AsyncJob(JOB, JobStatus.VANISHED)


@pytest.mark.looptime
@pytest.mark.asyncio
async def test_a_job_that_lasts_longer_than_the_deadline_is_returned_as_pending() -> None:
    job = await client(unlisted(ok(PENDING))).wait_job(JOB, deadline_seconds=60)
    assert job.status is JobStatus.PENDING
    assert asyncio.get_running_loop().time() == pytest.approx(60)


@pytest.mark.looptime
@pytest.mark.asyncio
async def test_a_server_that_stays_away_ends_the_waiting_with_an_error() -> None:
    with pytest.raises(Unavailable):
        await client(httpx.Response(502)).wait_job(JOB, patience_seconds=120)


@pytest.mark.looptime
@pytest.mark.asyncio
async def test_a_wait_without_a_deadline_lasts_as_long_as_the_job() -> None:
    server = Server(unlisted(in_turn(*[ok(PENDING)] * 4000, ok(DONE))))
    assert (await client(server).wait_job(JOB)).status is JobStatus.SUCCEEDED
    assert asyncio.get_running_loop().time() > 5 * 3600
