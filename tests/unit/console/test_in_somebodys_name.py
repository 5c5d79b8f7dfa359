"""Calls in somebody else's name carry that token and nothing of ours: neither our token nor our certificate."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client import ApiClient, Configuration
from pydantic import SecretStr

from failed_execution_cleanup.controller.kubernetes_api import CLEANUPS, Forbidden, KubernetesApi


class Server:
    """Answers like an API server, and keeps what was sent."""

    def __init__(self) -> None:
        self.authorizations: list[str | None] = []
        self.bodies: list[object] = []
        self.status = 200

    async def answer(self, request: web.Request) -> web.Response:
        self.authorizations.append(request.headers.get("Authorization"))
        self.bodies.append(await request.json() if request.can_read_body else None)
        return web.json_response({"metadata": {}, "status": {"allowed": True}}, status=self.status)


@pytest.fixture
async def server() -> AsyncIterator[tuple[Server, str]]:
    seen = Server()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", seen.answer)
    running = TestServer(application)
    await running.start_server()
    yield seen, str(running.make_url("")).rstrip("/")
    await running.close()


async def reload() -> None:
    """Nothing is to be had anew."""


def ours(url: str) -> KubernetesApi:
    configuration = Configuration(host=url, api_key={"BearerToken": "Bearer our-own"})
    return KubernetesApi(ApiClient(configuration=configuration), reload, 5.0)


async def test_the_callers_token_takes_the_place_of_ours(server: tuple[Server, str]) -> None:
    seen, url = server
    async with ours(url) as api, api.as_bearer(SecretStr("of-alice")) as alice:
        await alice.get(CLEANUPS, "dr", "x")
        await api.get(CLEANUPS, "dr", "x")
    assert seen.authorizations == ["Bearer of-alice", "Bearer our-own"]


async def test_no_certificate_of_ours_goes_along() -> None:
    async with ours("https://127.0.0.1:1") as api:
        configuration = api._client.configuration
        configuration.cert_file, configuration.key_file = "/our/cert.pem", "/our/key.pem"
        configuration.verify_ssl, configuration.tls_server_name = False, "kubernetes"
        async with api.as_bearer(SecretStr("of-alice")) as alice:
            theirs = alice._client.configuration
            assert (theirs.cert_file, theirs.key_file) == (None, None)
            assert (theirs.verify_ssl, theirs.tls_server_name, theirs.host) == (
                False,
                "kubernetes",
                "https://127.0.0.1:1",
            )


async def test_a_token_that_is_not_accepted_is_not_replaced_by_ours(server: tuple[Server, str]) -> None:
    seen, url = server
    seen.status = 401
    async with ours(url) as api, api.as_bearer(SecretStr("of-eve")) as eve:
        with pytest.raises(Forbidden):
            await eve.get(CLEANUPS, "dr", "x")
    assert set(seen.authorizations) == {"Bearer of-eve"}


async def test_a_review_is_asked_as_the_api_wants_it(server: tuple[Server, str]) -> None:
    seen, url = server
    async with ours(url) as api:
        status = await api.review("authorization.k8s.io/v1", "SubjectAccessReview", {"user": "alice"})
    assert status == {"allowed": True}
    assert seen.bodies == [
        {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": {"user": "alice"}}
    ]
