"""The door to the Kubernetes API: what is sent, and how answers become errors. Against a small real HTTP server."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from failed_execution_cleanup.controller.kubernetes_api import (
    APPLIANCES,
    CLEANUPS,
    Conflict,
    Expired,
    Forbidden,
    Invalid,
    KubernetesApi,
    KubernetesError,
    Lease,
    NotFound,
    Selection,
    Unreachable,
    context_namespace,
    format_micro_time,
    merge_patch,
)

TOKEN = "token-that-must-not-show"
PATH = "/apis/failover.ossea.io/v1alpha1/namespaces/dr/failedexecutioncleanups/pgtest1"


@dataclass
class Request:
    """One request as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    content_type: str
    authorization: str
    body: Any


@dataclass
class ApiServer:
    """Answers given in order; the last one stays."""

    answers: list[tuple[int, Any, dict[str, str]]] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)

    def answer(self, status: int, body: Any, **headers: str) -> None:
        self.answers.append((status, body, headers))

    async def handle(self, request: web.Request) -> web.Response:
        text = await request.text()
        self.requests.append(
            Request(
                request.method,
                request.raw_path.partition("?")[0],
                dict(request.query),
                request.content_type,
                request.headers.get("Authorization", ""),
                json.loads(text) if text else None,
            )
        )
        status, body, headers = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        content = body if isinstance(body, str) else json.dumps(body)
        return web.Response(status=status, text=content, headers=headers)


@pytest.fixture
async def server() -> ApiServer:
    return ApiServer()


@asynccontextmanager
async def listening(server: ApiServer) -> AsyncIterator[str]:
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def write_kubeconfig(directory: Path, url: str, token: str = TOKEN) -> Path:
    path = directory / "kubeconfig"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "clusters": [{"name": "test", "cluster": {"server": url}}],
        "users": [{"name": "test", "user": {"token": token}}],
    }
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture
async def api(server: ApiServer, tmp_path: Path) -> AsyncIterator[KubernetesApi]:
    async with (
        listening(server) as url,
        await KubernetesApi.connect(write_kubeconfig(tmp_path, url), timeout_seconds=5) as api,
    ):
        yield api


async def test_a_read_names_the_object_in_its_path_and_carries_the_token(server: ApiServer, api: KubernetesApi) -> None:
    server.answer(200, {"metadata": {"name": "pgtest1"}})
    assert await api.get(CLEANUPS, "dr", "pgtest1") == {"metadata": {"name": "pgtest1"}}
    assert server.requests == [Request("GET", PATH, {}, "application/json", f"Bearer {TOKEN}", None)]


async def test_cluster_scoped_objects_have_no_namespace_in_their_path(server: ApiServer, api: KubernetesApi) -> None:
    server.answer(200, {})
    await api.get(APPLIANCES, None, "default")
    assert server.requests[0].path == "/apis/failover.ossea.io/v1alpha1/appliances/default"
    with pytest.raises(ValueError, match="Appliance is cluster-scoped"):
        await api.get(APPLIANCES, "dr", "default")
    with pytest.raises(ValueError, match="needs a namespace"):
        await api.get(CLEANUPS, None, "pgtest1")


async def test_a_name_cannot_reach_another_path(server: ApiServer, api: KubernetesApi) -> None:
    server.answer(200, {})
    await api.read_secret("dr", "../../x?y#z")
    assert server.requests[0].path == "/api/v1/namespaces/dr/secrets/..%2F..%2Fx%3Fy%23z"


async def test_a_list_is_fetched_in_chunks(server: ApiServer, api: KubernetesApi) -> None:
    server.answer(200, {"metadata": {"continue": "next+/="}, "items": [{"n": 1}, {"n": 2}]})
    server.answer(200, {"metadata": {}, "items": [{"n": 3}]})
    assert [item["n"] async for item in api.list(CLEANUPS, chunk=2)] == [1, 2, 3]
    assert [request.query for request in server.requests] == [{"limit": "2"}, {"limit": "2", "continue": "next+/="}]
    assert server.requests[0].path == "/apis/failover.ossea.io/v1alpha1/failedexecutioncleanups"


async def test_a_list_whose_snapshot_expired_goes_on_with_a_newer_one(server: ApiServer, api: KubernetesApi) -> None:
    server.answer(200, {"metadata": {"continue": "old"}, "items": [{"n": 1}]})
    server.answer(410, {"reason": "Expired", "metadata": {"continue": "new"}})
    server.answer(200, {"metadata": {}, "items": [{"n": 2}]})
    assert [item["n"] async for item in api.list(CLEANUPS, "dr")] == [1, 2]
    assert server.requests[2].query["continue"] == "new"


async def test_a_list_that_cannot_go_on_says_so(server: ApiServer, api: KubernetesApi) -> None:
    server.answer(410, {"reason": "Expired", "metadata": {}, "message": "too old"})
    with pytest.raises(KubernetesError, match="list expired: too old"):
        [item async for item in api.list(CLEANUPS, "dr")]


async def test_status_is_merge_patched_with_the_version_it_is_based_on(server: ApiServer, api: KubernetesApi) -> None:
    server.answer(200, {})
    await api.patch_status(CLEANUPS, "dr", "pgtest1", {"phaseSummary": "3/5", "plan": None}, resource_version="42")
    (request,) = server.requests
    assert (request.method, request.path, request.content_type) == (
        "PATCH",
        f"{PATH}/status",
        "application/merge-patch+json",
    )
    assert request.body == {
        "metadata": {"resourceVersion": "42"},
        "status": {"phaseSummary": "3/5", "plan": None},
    }


async def test_finalizers_are_replaced_with_the_version_they_are_based_on(
    server: ApiServer, api: KubernetesApi
) -> None:
    server.answer(200, {})
    await api.set_finalizers(CLEANUPS, "dr", "pgtest1", [], resource_version="42")
    (request,) = server.requests
    assert (request.path, request.body) == (PATH, {"metadata": {"resourceVersion": "42", "finalizers": []}})


async def test_a_delete_is_bound_to_what_was_read(server: ApiServer, api: KubernetesApi) -> None:
    server.answer(200, {})
    await api.delete(CLEANUPS, "dr", "pgtest1", uid="u", resource_version="42")
    assert server.requests[0].body["preconditions"] == {"uid": "u", "resourceVersion": "42"}


async def test_secret_values_are_decoded_and_do_not_show(server: ApiServer, api: KubernetesApi) -> None:
    server.answer(200, {"data": {"apiKey": base64.b64encode(b"s3cret\xff").decode()}})
    values = await api.read_secret("dr", "ossea")
    assert values["apiKey"].get_secret_value() == b"s3cret\xff"
    assert "s3cret" not in repr(values)
    server.answers = [(200, {"data": None}, {})]
    assert await api.read_secret("dr", "ossea") == {}


async def test_a_lease_survives_the_round_trip(server: ApiServer, api: KubernetesApi) -> None:
    moment = datetime(2026, 3, 1, 12, tzinfo=UTC)
    lease = Lease("me", 15, moment, moment + timedelta(seconds=2), 3, "7")
    server.answer(200, {})
    with pytest.raises(KeyError):
        await api.replace_lease("dr", "fec", lease)
    body = server.requests[0].body
    assert body["spec"]["renewTime"] == "2026-03-01T12:00:02.000000Z"
    server.answers = [(200, body, {})]
    assert await api.read_lease("dr", "fec") == lease


async def test_a_lease_made_by_hand_reads_as_held_by_nobody(server: ApiServer, api: KubernetesApi) -> None:
    server.answer(200, {"metadata": {"resourceVersion": "1"}, "spec": {}})
    assert await api.read_lease("dr", "fec") == Lease("", 0, None, None, 0, "1")


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, Invalid),
        (401, Forbidden),
        (403, Forbidden),
        (404, NotFound),
        (409, Conflict),
        (418, KubernetesError),
        (422, Invalid),
        (429, Unreachable),
        (500, Unreachable),
        (503, Unreachable),
    ],
)
async def test_a_refusal_becomes_an_error_that_names_the_object(
    server: ApiServer, api: KubernetesApi, status: int, error: type[KubernetesError]
) -> None:
    server.answer(status, {"kind": "Status", "message": "spec.vmName: immutable"})
    with pytest.raises(KubernetesError, match=r"FailedExecutionCleanup dr/pgtest1.*spec\.vmName: immutable") as caught:
        await api.get(CLEANUPS, "dr", "pgtest1")
    assert type(caught.value) is error
    assert caught.value.status == status
    assert TOKEN not in str(caught.value)


async def test_retry_after_is_passed_on(server: ApiServer, api: KubernetesApi) -> None:
    server.answer(429, {}, **{"Retry-After": "7"})
    with pytest.raises(Unreachable) as caught:
        await api.get(CLEANUPS, "dr", "pgtest1")
    assert caught.value.retry_after_seconds == 7


@pytest.mark.parametrize(("status", "error"), [(200, KubernetesError), (502, Unreachable)])
async def test_an_answer_that_is_not_the_api_servers_is_an_error(
    server: ApiServer, api: KubernetesApi, status: int, error: type[KubernetesError]
) -> None:
    server.answer(status, "<html>Bad Gateway</html>")
    with pytest.raises(error, match=f"HTTP {status}"):
        await api.get(CLEANUPS, "dr", "pgtest1")


async def test_an_expired_token_is_read_again_once(server: ApiServer, tmp_path: Path) -> None:
    async with listening(server) as url:
        kubeconfig = write_kubeconfig(tmp_path, url, "old")
        async with await KubernetesApi.connect(kubeconfig) as api:
            write_kubeconfig(tmp_path, url, "new")
            server.answer(401, {"message": "Unauthorized"})
            server.answer(200, {"gitVersion": "v1.37.2"})
            assert await api.server_version() == "v1.37.2"
    assert [request.authorization for request in server.requests] == ["Bearer old", "Bearer new"]


async def test_nobody_listening_is_unreachable(tmp_path: Path) -> None:
    async with listening(ApiServer()) as url:
        pass
    async with await KubernetesApi.connect(write_kubeconfig(tmp_path, url)) as api:
        with pytest.raises(Unreachable, match="Appliance default: the API server cannot be reached"):
            await api.get(APPLIANCES, None, "default")


async def test_no_answer_in_time_is_unreachable(tmp_path: Path) -> None:
    async def stay_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        await writer.wait_closed()
        hung_up.set()

    hung_up = asyncio.Event()
    async with await asyncio.start_server(stay_silent, "127.0.0.1", 0) as silent:
        url = f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}"
        async with await KubernetesApi.connect(write_kubeconfig(tmp_path, url), timeout_seconds=0.1) as api:
            with pytest.raises(Unreachable, match=r"did not answer within 0\.1 s"):
                await api.get(APPLIANCES, None, "default")
        await hung_up.wait()


async def test_a_page_is_of_what_was_selected_and_tells_how_to_go_on(server: ApiServer, api: KubernetesApi) -> None:
    server.answer(200, {"items": [{"a": 1}], "metadata": {"continue": "next", "resourceVersion": "7"}})
    selection = Selection("x=y", "spec.vmName=a")
    page = await api.page(CLEANUPS, "dr", selection=selection, limit=2, continue_token="token")
    assert (page.items, page.continue_token, page.resource_version) == (({"a": 1},), "next", "7")
    query = {"labelSelector": "x=y", "fieldSelector": "spec.vmName=a", "limit": "2", "continue": "token"}
    assert server.requests[0].query == query


async def test_a_patch_carries_the_version_it_is_based_on(server: ApiServer, api: KubernetesApi) -> None:
    server.answer(200, {"metadata": {"name": "pgtest1"}})
    await api.patch(CLEANUPS, "dr", "pgtest1", {"metadata": {"annotations": {"a": None}}}, resource_version="7")
    request = server.requests[0]
    assert (request.method, request.path, request.content_type) == ("PATCH", PATH, "application/merge-patch+json")
    assert request.body == {"metadata": {"annotations": {"a": None}, "resourceVersion": "7"}}


def events(*lines: Any) -> str:
    return "".join(json.dumps(line) + "\n" for line in lines)


async def test_a_watch_yields_changes_and_keeps_bookmarks_to_itself(server: ApiServer, api: KubernetesApi) -> None:
    body = {"metadata": {"name": "pgtest1"}, "note": "ü" * 100_000}
    server.answer(200, events({"type": "BOOKMARK", "object": {}}, {"type": "MODIFIED", "object": body}))
    selection = Selection(fields="metadata.name=pgtest1")
    seen = [change async for change in api.watch(CLEANUPS, "dr", resource_version="7", selection=selection)]
    assert [(change.type, change.object) for change in seen] == [("MODIFIED", body)]
    query = server.requests[0].query
    assert (query["watch"], query["resourceVersion"], query["fieldSelector"]) == ("true", "7", "metadata.name=pgtest1")


@pytest.mark.parametrize(
    ("status", "answer", "error"),
    [
        (200, events({"type": "ERROR", "object": {"code": 410, "message": "too old"}}), Expired),
        (410, {"code": 410, "message": "too old"}, Expired),
        (403, {"code": 403, "message": "no"}, Forbidden),
        (503, "busy", Unreachable),
    ],
)
async def test_a_watch_that_cannot_go_on_says_why(
    server: ApiServer, api: KubernetesApi, status: int, answer: Any, error: type[KubernetesError]
) -> None:
    server.answer(status, answer)
    with pytest.raises(error, match="watch of the FailedExecutionCleanup list of namespace dr"):
        async for _ in api.watch(CLEANUPS, "dr", resource_version="7"):
            pass


async def test_the_user_is_who_the_server_says(server: ApiServer, api: KubernetesApi) -> None:
    server.answer(201, {"status": {"userInfo": {"username": "alice"}}})
    assert await api.user_name() == "alice"
    assert server.requests[0].path == "/apis/authentication.k8s.io/v1/selfsubjectreviews"


def with_contexts(directory: Path) -> Path:
    path = write_kubeconfig(directory, "http://127.0.0.1:1")
    config = yaml.safe_load(path.read_text())
    config["contexts"] += [{"name": "east", "context": {"cluster": "test", "user": "test", "namespace": "dr-east"}}]
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.mark.parametrize(("context", "namespace"), [(None, "default"), ("test", "default"), ("east", "dr-east")])
async def test_a_context_has_its_namespace(tmp_path: Path, context: str | None, namespace: str) -> None:
    kubeconfig = with_contexts(tmp_path)
    assert context_namespace(kubeconfig, context) == namespace
    async with await KubernetesApi.connect(kubeconfig, context=context):
        pass


async def test_an_unknown_context_is_told(tmp_path: Path) -> None:
    kubeconfig = with_contexts(tmp_path)
    with pytest.raises(KubernetesError, match="nowhere"):
        context_namespace(kubeconfig, "nowhere")
    with pytest.raises(KubernetesError, match="nowhere"):
        await KubernetesApi.connect(kubeconfig, context="nowhere")
    with pytest.raises(KubernetesError, match="none"):
        context_namespace(tmp_path / "none")


async def test_a_missing_kubeconfig_is_named(tmp_path: Path) -> None:
    with pytest.raises(KubernetesError, match="nowhere"):
        await KubernetesApi.connect(tmp_path / "nowhere")


async def test_a_pod_without_a_service_account_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    with pytest.raises(KubernetesError, match="Service token file does not exist"):
        await KubernetesApi.connect()


@pytest.mark.parametrize("offset", [timedelta(0), timedelta(hours=2)])
def test_a_micro_time_is_utc_with_six_digits(offset: timedelta) -> None:
    moment = datetime(2026, 3, 1, 12, tzinfo=timezone(offset))
    assert format_micro_time(moment) == (moment - offset).strftime("%Y-%m-%dT%H:%M:%S.000000Z")


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=12,
)
objects = st.dictionaries(st.sampled_from("abc"), values, max_size=3)


def apply(target: Any, patch: Any) -> Any:
    """RFC 7386, section 2."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = apply(result.get(key), value)
    return result


def without_nulls(value: Any) -> Any:
    """Drop the members of objects that are null, as a merge patch must; lists are opaque to it."""
    if not isinstance(value, dict):
        return value
    return {key: without_nulls(each) for key, each in value.items() if each is not None}


@settings(deadline=None)
@given(objects, objects)
def test_a_merge_patch_leads_from_one_object_to_the_other(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert without_nulls(apply(before, merge_patch(before, after))) == without_nulls(after)


@settings(deadline=None)
@given(objects)
def test_a_merge_patch_between_equal_objects_is_empty(value: dict[str, Any]) -> None:
    assert merge_patch(value, value) == {}
    assert merge_patch(without_nulls(value), value) == {}
