"""The pages over HTTP, on a cluster in memory: logins, forms, headers, and a thousand VMs."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, cast

import httpx
import pytest
from fastapi.routing import APIRoute

from failed_execution_cleanup.appliance.database import ContextOutline
from failed_execution_cleanup.console.application import create_application
from failed_execution_cleanup.console.pages import (
    routes_appliances,
    routes_cleanups,
    routes_login,
    routes_stuck,
    routes_vms,
)
from failed_execution_cleanup.console.pages.rendering import HtmxMissing, check_assets
from failed_execution_cleanup.console.pages.session import form_token
from failed_execution_cleanup.console.services import Services
from failed_execution_cleanup.console.survey import FailoverSeen, Survey, Surveys
from failed_execution_cleanup.controller.kubernetes_api import Unreachable
from failed_execution_cleanup.resources.appliance import Appliance
from tests.unit.client.cluster import appliance_body, cleanup_body, ready
from tests.unit.console.cluster import RIGHTS, ConsoleCluster, services, with_appliance
from tests.unit.run.engine import engine

SITE: Final = "https://fec.example.com"
ALICE: Final = "token-of-alice"
SOMEWHERE: Final = {
    "appliance": "default",
    "context_id": "ctx-1",
    "namespace": "dr",
    "name": "x",
    "path": "console.css",
}
ROUTES: Final = [
    (method, route.path.format(**SOMEWHERE))
    for module in (routes_login, routes_vms, routes_cleanups, routes_stuck, routes_appliances)
    for route in module.router.routes
    if isinstance(route, APIRoute)
    for method in sorted(route.methods or ())
]
CHANGER: Final = RIGHTS["alice"] | {
    f"{verb} failedexecutioncleanups" for verb in ("create", "patch", "update", "waive")
}
OPEN: Final = {("GET", "/"), ("GET", "/login"), ("POST", "/login")}
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


@asynccontextmanager
async def visit(running: Services, token: str | None = ALICE, **headers: str) -> AsyncIterator[httpx.AsyncClient]:
    """A browser, as far as headers go."""
    transport = httpx.ASGITransport(create_application(running), raise_app_exceptions=False)
    cookies = {} if token is None else {"__Host-fec-session": token}
    sent = {"Origin": SITE, "Sec-Fetch-Site": "same-origin", **headers}
    async with httpx.AsyncClient(transport=transport, base_url=SITE, headers=sent, cookies=cookies) as opened:
        yield opened


def test_these_tests_know_the_pages() -> None:
    assert {("GET", "/vms"), ("POST", "/stuck"), ("POST", "/cleanups/dr/x/approve"), ("POST", "/logout")} <= set(ROUTES)


@pytest.mark.parametrize(("method", "path"), [route for route in ROUTES if route not in OPEN])
@pytest.mark.parametrize("token", [None, "guessed"])
async def test_who_is_not_logged_in_is_asked_to_and_comes_back(method: str, path: str, token: str | None) -> None:
    cluster = ConsoleCluster()
    async with visit(services(cluster), token) as http:
        page = await http.request(method, path, headers={"Referer": f"{SITE}/vms?q=a"})
        fragment = await http.get("/live/vms", headers={"HX-Request": "true", "HX-Current-URL": f"{SITE}/vms?q=a"})
    assert page.status_code == 303
    back = path if method == "GET" else "/vms?q=a"
    assert httpx.URL(page.headers["Location"]).params["next"] == back
    assert ("expired" in page.headers["Location"]) == (token is not None)
    assert ('fec-session=""' in page.headers.get("Set-Cookie", "")) == (token is not None)
    assert (fragment.status_code, fragment.headers["HX-Redirect"].startswith("/login?next=%2Fvms%3Fq%3Da")) == (
        401,
        True,
    )
    assert cluster.bearers == []


@pytest.mark.parametrize("path", [path for method, path in ROUTES if method == "POST" and path != "/login"])
@pytest.mark.parametrize(
    ("form", "headers"),
    [
        ({}, {}),
        ({"csrf": form_token("another")}, {}),
        ({"csrf": form_token(ALICE)}, {"Origin": "https://elsewhere.example.com"}),
    ],
    ids=["no token", "another login's token", "another site"],
)
async def test_a_form_that_is_not_ours_is_refused_before_anything_else(
    path: str, form: dict[str, str], headers: dict[str, str]
) -> None:
    cluster = ConsoleCluster()
    cluster.put(cleanup_body("x"))
    everything = {"plan": "0" * 32, "vm": f"{'0' * 32}:default/ctx-1", **form}
    async with visit(services(cluster), **headers) as http:
        answer = await http.post(path, data=everything)
    assert (answer.status_code, "ForeignForm" in answer.text) == (403, True)
    assert cluster.patches == []
    assert cluster.names == ["x"]


async def test_a_token_becomes_a_login_and_is_in_no_page() -> None:
    async with visit(services(ConsoleCluster()), None) as http:
        form = await http.get("/login?next=/history")
        csrf = re.findall(r'name="csrf" value="([0-9a-f]{64})"', form.text)[0]
        refused = await http.post("/login", data={"token": "guessed", "csrf": csrf, "next": "/history"})
        answer = await http.post("/login", data={"token": f" {ALICE}\n", "csrf": csrf, "next": "/history"})
        page = await http.get("/history")
    assert (refused.status_code, "not accepted" in refused.text) == (401, True)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/history")
    assert page.status_code == 200
    assert ALICE not in form.text + refused.text + page.text
    assert "guessed" not in refused.text


@pytest.mark.parametrize(
    ("form", "headers", "status"),
    [
        ({"csrf": "0" * 64}, {}, 403),
        ({}, {}, 403),
        ({"csrf": "ours"}, {"Origin": "https://elsewhere.example.com"}, 403),
        ({"csrf": "ours", "token": "x" * 4000}, {}, 422),
    ],
)
async def test_a_login_form_is_ours_or_nobody_is_logged_in(
    form: dict[str, str], headers: dict[str, str], status: int
) -> None:
    async with visit(services(ConsoleCluster()), None) as http:
        page = await http.get("/login")
        csrf = re.findall(r'name="csrf" value="([0-9a-f]{64})"', page.text)[0]
        sent = {"token": ALICE, **form, **({"csrf": csrf} if form.get("csrf") == "ours" else {})}
        answer = await http.post("/login", data=sent, headers=headers)
    assert answer.status_code == status
    assert "fec-session" not in answer.headers.get("Set-Cookie", "")


@pytest.mark.parametrize("path", ["/login", "/vms", "/nothing", "/history"])
async def test_a_page_is_tied_to_this_host_and_not_kept(path: str) -> None:
    async with visit(services(ConsoleCluster())) as http:
        headers = (await http.get(path)).headers
    assert headers["Content-Security-Policy"] == POLICY
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "same-origin"


async def test_pages_hold_neither_script_nor_style_nor_a_foreign_address() -> None:
    cluster = ConsoleCluster()
    cluster.put(appliance_body())
    cluster.put(cleanup_body("x", status=ready("RunningTestVM")))
    async with visit(services(cluster)) as http:
        for path in ("/login", "/vms", "/history", "/cleanups/dr/x", "/appliances", "/stuck"):
            text = (await http.get(path)).text
            assert (
                re.findall(r"<script(?![^>]* src=\"/static/)|<style|\sstyle=|\son[a-z]+=|hx-on|javascript:", text) == []
            ), path
            assert re.findall(r"(?:href|src|action|hx-get)=\"(?!/|#)[^\"]*", text) == [], path


async def test_style_and_scripts_are_kept_for_ever_under_addresses_that_change_with_them() -> None:
    async with visit(services(ConsoleCluster()), None) as http:
        page = await http.get("/login")
        named = re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text)
        answers = [await http.get(address) for address in named]
        missing = await http.get("/static/nothing.js")
    assert len(named) >= 5
    assert all("?" in address for address in named)
    assert {answer.status_code for answer in answers} == {200}
    assert all("immutable" in answer.headers["Cache-Control"] for answer in answers)
    assert missing.status_code == 404


def test_a_checkout_without_htmx_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_assets()
    monkeypatch.setattr("failed_execution_cleanup.console.pages.rendering._HTMX", tmp_path / "htmx.min.js")
    with pytest.raises(HtmxMissing, match="make install"):
        check_assets()


async def test_a_problem_is_a_page_for_people_and_a_line_for_a_fragment() -> None:
    cluster = ConsoleCluster()
    async with visit(services(cluster), "token-of-eve") as http:
        page = await http.get("/vms")
        fragment = await http.get("/live/vms", headers={"HX-Request": "true"})
        nothing = await http.get("/cleanups/dr/nothing")
    assert (page.status_code, "fec-plan-viewer" in page.text) == (403, True)
    assert (fragment.status_code, "<html" in fragment.text) == (403, False)
    assert nothing.status_code == 403
    async with visit(services(cluster)) as http:
        assert (await http.get("/cleanups/dr/nothing")).status_code == 404
    async with visit(services(ConsoleCluster(trouble=Unreachable("the API server cannot be reached")))) as http:
        away = await http.get("/vms")
    assert (away.status_code, "Retry-After" in away.headers) == (503, True)


async def test_names_that_strangers_chose_are_text() -> None:
    cluster = ConsoleCluster()
    evil = "<img src=x onerror=alert(1)>"
    cluster.put(
        cleanup_body(
            "x", vmName=evil, note="</q><script>alert(2)</script>", status=ready("RunningTestVM", message=evil)
        )
    )
    async with visit(services(cluster)) as http:
        for path in ("/history", "/cleanups/dr/x", f"/history?q={evil}"):
            text = (await http.get(path)).text
            assert "<img src=x" not in text
            assert "<script>alert" not in text
            assert "&lt;img src=x" in text


async def test_a_live_page_gets_what_changed_and_nothing_else() -> None:
    cluster = ConsoleCluster(rights={"alice": CHANGER})
    cluster.put(cleanup_body("x", status=ready("Progressing", "Unknown")))
    async with visit(services(cluster)) as http:
        page = await http.get("/cleanups/dr/x")
        (ask,) = re.findall(r'id="live" hidden hx-get="([^"]+)" hx-trigger="every 1s"', page.text)
        address = ask.replace("&amp;", "&")
        assert (await http.get(address)).status_code == 204
        cluster.status("x", ready("Cleaned", "True"))
        changed = await http.get(address)
    assert changed.status_code == 200
    targets = re.findall(r'hx-swap-oob="innerHTML:#([a-z]+)"', changed.text)
    assert targets == ["verdict", "asks"]
    assert 'hx-trigger="every 5s"' in changed.text
    assert "<html" not in changed.text


class ThousandVMs(Surveys):
    """An appliance with many VMs, every hundredth of them stuck; nothing is asked."""

    def __init__(self) -> None:
        """Make them up."""

    async def of(self, appliance: Appliance) -> Survey:
        contexts = tuple(ContextOutline(f"ctx-{n}", f"vm {n:04}", "vc01", "ready_for_failover") for n in range(1000))
        at = datetime(2026, 1, 31, 10, tzinfo=UTC)
        seen = FailoverSeen("job", "test failover", False, True, at, "vm-creation")
        return Survey(appliance.metadata.name, at, contexts, {f"ctx-{n}": seen for n in range(0, 1000, 100)})


RUNBOOKS: Final = Path(__file__).parents[3] / "docs/runbooks"
LINKED: Final = [
    (page.stem, address)
    for page in sorted(RUNBOOKS.glob("FailedExecutionCleanup*.md"))
    for address in re.findall(r"In the \[console\]\(../console.md\): `(/[^`]*)`", page.read_text())
]


def test_runbooks_lead_to_the_console() -> None:
    assert len(LINKED) == 7, "all but that of an operator that is down"


@pytest.mark.parametrize(("page", "address"), LINKED)
async def test_the_address_in_a_runbook_is_a_page(page: str, address: str) -> None:
    cluster = ConsoleCluster()
    cluster.put(appliance_body())
    cluster.secrets["oma-database"] = "sqlite+aiosqlite:////nowhere/oma.db"
    async with visit(replace(services(cluster), surveys=cast("Surveys", ThousandVMs()))) as http:
        answer = await http.get(address.replace("<appliance>", "default"))
    assert answer.status_code == 200, page


async def test_a_thousand_vms_are_one_page_after_the_other() -> None:
    cluster = ConsoleCluster()
    cluster.put(appliance_body())
    running = replace(services(cluster), surveys=cast("Surveys", ThousandVMs()))
    names: list[str] = []
    address = "/vms"
    async with visit(running) as http:
        while address:
            page = await http.get(address)
            assert len(page.content) < 200_000
            names += re.findall(r'<article class="card" id="[^"]+" aria-label="([^"]+)"', page.text)
            beyond = re.findall(r'href="([^"]+)" rel="next"', page.text)
            address = beyond[0].replace("&amp;", "&") if beyond else ""
        found = await http.get("/vms?q=VM 01&state=stuck")
        searched = await http.get("/vms?q=0101", headers={"HX-Request": "true"})
        bad = await http.get("/vms?cursor=nonsense")
    assert (len(names), len(set(names))) == (1000, 1000)
    assert names[:2] == ["vm 0000", "vm 0100"]
    assert re.findall(r'aria-label="(vm [0-9]+)"', found.text) == ["vm 0100"]
    assert re.findall(r'id="count-(\w+)">(\d+)<', found.text) == [
        ("all", "100"),
        ("stuck", "1"),
        ("running", "0"),
        ("unknown", "0"),
        ("clean", "99"),
    ]
    assert (searched.headers["HX-Replace-Url"], "<html" in searched.text) == ("/vms?q=0101", False)
    assert bad.status_code == 422


async def test_a_dialog_is_executed_as_it_was_shown(tmp_path: Path) -> None:
    async with engine(tmp_path, "F11", disks=1) as run:
        cluster = ConsoleCluster(rights={"alice": CHANGER})
        with_appliance(cluster, run)
        async with visit(services(cluster)) as http:
            listed = await http.get("/vms")
            (address,) = re.findall(r'action="(/vms/default/[^"]+/cleanup)"', listed.text)
            dialog = await http.get(address)
            form = hidden_fields(dialog.text)
            stale = await http.post(address, data={**form, "plan": "0" * 32})
            assert (stale.status_code, cluster.names) == (409, [])
            answer = await http.post(address, data={**form, "note": "ticket"})
    assert answer.status_code == 303, answer.text
    (name,) = cluster.names
    assert answer.headers["Location"] == f"/cleanups/dr/{name}"
    placed = cluster.stored(name)
    assert placed["metadata"]["annotations"]["failover.ossea.io/approvedPlan"] == form["plan"]
    assert (placed["spec"]["requestedBy"], placed["spec"]["note"]) == ("alice", "ticket")
    assert placed["spec"]["failoverJobID"] == run.built.failover_job_id
    assert run.appliance.journal.requests() == []


def hidden_fields(text: str) -> dict[str, Any]:
    """The hidden fields of the dialog."""
    _, _, form = text.partition('id="dialog-form"')
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form))
