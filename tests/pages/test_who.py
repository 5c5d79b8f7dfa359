"""Who gets in, what he is offered, and what is refused whatever he sends."""

from __future__ import annotations

import re
import uuid
from typing import Final
from urllib.parse import quote

import httpx
import pytest
from playwright.sync_api import expect

from failed_execution_cleanup.console.pages.session import form_token
from tests.console.conftest import Console
from tests.console.people import newcomer
from tests.pages.conftest import Arriving

pytestmark = pytest.mark.timeout(400)

HASH: Final = "0" * 32


@pytest.fixture(scope="module")
def stuck(console: Console) -> str:
    """A VM that nobody cleans up."""
    vm_name = f"locked-{uuid.uuid4().hex[:6]}"
    console.stand.build("F11", vm_name)
    return vm_name


@pytest.fixture
def address(console: Console, stuck: str) -> str:
    """Where it is cleaned up."""
    stand = console.stand
    with console.client("planner") as client:
        stand.wait_until(lambda: client.get("/vms", params={"q": stuck}).json()["items"], what=f"{stuck} is listed")
        (card,) = client.get("/vms", params={"q": stuck}).json()["items"]
    return f"/vms/{quote(card['appliance'])}/{quote(card['context_id'])}/cleanup"


def test_who_may_only_look_is_offered_nothing_more(
    console: Console, arrive: Arriving, stuck: str, address: str
) -> None:
    visitor = arrive("planner")
    card = visitor.card(stuck)
    expect(card.get_by_role("alert")).to_contain_text("Failed Operation Detected")
    expect(card.get_by_role("button")).to_have_count(0)
    visitor.go(address)
    expect(visitor.opened_dialog).to_contain_text("You may look, but not clean up VMs")
    expect(visitor.opened_dialog.get_by_role("button")).to_have_count(0)
    token = console.tokens["planner"]
    answer = _post(console, address, token, {"plan": HASH, "csrf": form_token(token)})
    assert answer.status_code == 403
    assert "fec-appliance-user" in answer.text
    assert console.stand.requests() == [] or stuck not in console.stand.kubectl("get", "fec", "-o", "json")


def test_who_may_see_nothing_is_told_whom_to_ask(arrive: Arriving) -> None:
    visitor = arrive("stranger")
    expect(visitor.page.get_by_role("heading", name="That did not work")).to_be_visible()
    expect(visitor.page.get_by_role("main")).to_contain_text("fec-plan-viewer")


def test_a_wrong_token_is_refused_and_not_kept(arrive: Arriving) -> None:
    visitor = arrive()
    visitor.go("/vms")
    expect(visitor.page).to_have_url(re.compile(r"/login\?next=%2Fvms$"))
    visitor.page.get_by_label("Token").fill("guessed")
    visitor.page.get_by_role("main").get_by_role("button", name="Log in").click()
    expect(visitor.page.get_by_role("alert")).to_contain_text("The token is not accepted")
    assert [name for name in visitor.cookies if "session" in name] == []


def test_the_login_leads_on_to_where_one_wanted_to_go(
    console: Console, arrive: Arriving, stuck: str, address: str
) -> None:
    visitor = arrive()
    visitor.go(address)
    visitor.log_in("user")
    expect(visitor.opened_dialog).to_contain_text(f"This will clean up the failed test failover operation for {stuck}.")
    (cookie,) = [cookie for name, cookie in visitor.cookies.items() if "session" in name]
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"], cookie["expires"]) == (True, "Strict", "/", -1)
    assert console.tokens["user"] not in visitor.page.content()
    visitor.page.keyboard.press("Escape")
    visitor.page.get_by_role("button", name="Log out").click()
    expect(visitor.page).to_have_url(re.compile("/login"))
    assert visitor.cookies.keys() == {"fec-login"}
    visitor.go("/vms")
    expect(visitor.page).to_have_url(re.compile("/login"))


def test_a_login_that_ended_is_asked_for_again_and_leads_back(
    console: Console, arrive: Arriving, stuck: str, address: str
) -> None:
    stand, leaver = console.stand, f"leaver-{uuid.uuid4().hex[:6]}"
    console.tokens[leaver] = newcomer(stand, leaver, "fec-cleanup-operator", "use", "plan")
    visitor = arrive(leaver)
    visitor.go(address)
    visitor.opened_dialog.get_by_label("Note").fill("too late")
    stand.kubectl("delete", "serviceaccount", leaver)
    # The page itself asks what changed, and learns that nobody knows the token any more.
    visitor.page.wait_for_url(re.compile(r"/login\?next=.*expired=true"))
    expect(visitor.page.get_by_role("alert")).to_contain_text("Your login is not valid any more")
    visitor.log_in("user")
    expect(visitor.opened_dialog).to_contain_text(stuck)


@pytest.mark.parametrize(
    ("changed", "headers"),
    [
        ({"csrf": ""}, {}),
        ({"csrf": form_token("somebody else's")}, {}),
        ({}, {"Origin": "https://elsewhere.example.com"}),
        ({}, {"Origin": "null"}),
        ({}, {"Origin": ""}),
        ({}, {"Sec-Fetch-Site": "cross-site"}),
        ({}, {"Sec-Fetch-Site": "same-site"}),
    ],
)
def test_a_form_of_another_site_changes_nothing(
    console: Console, address: str, changed: dict[str, str], headers: dict[str, str]
) -> None:
    token = console.tokens["user"]
    plan = console.client("user")
    with plan as client:
        shown = client.get(f"/vms/{quote(_vm_name(client, address))}/plan").json()["plan_hash"]
    for path in (address, "/stuck", "/logout"):
        answer = _post(console, path, token, {"plan": shown, "csrf": form_token(token), **changed}, **headers)
        assert (answer.status_code, "ForeignForm" in answer.text) == (403, True), path
    assert "requestedBy" not in console.stand.kubectl(
        "get", "fec", "-o", "json", "--field-selector", f"spec.vmName={_named(console, address)}"
    )


def test_nothing_that_changes_something_is_a_get(console: Console, address: str) -> None:
    token = console.tokens["user"]
    with _client(console, token) as client:
        for path in ("/logout", "/cleanups/dr/x/suspend", "/cleanups/dr/x/rerun"):
            assert client.get(path).status_code in {404, 405}, path
        assert client.get(address).status_code == 200
        # The cookie is for pages alone: a program shows its token itself.
        assert client.get("/api/v1/vms").status_code == 401


def _vm_name(client: httpx.Client, address: str) -> str:
    context_id = address.split("/")[3]
    found = [card["vm_name"] for card in client.get("/vms").json()["items"] if card["context_id"] == context_id]
    return str(found[0])


def _named(console: Console, address: str) -> str:
    with console.client("user") as client:
        return _vm_name(client, address)


def _client(console: Console, token: str, **headers: str) -> httpx.Client:
    cookies = {"fec-session": token}
    return httpx.Client(base_url=console.url, cookies=cookies, headers=headers, timeout=60, trust_env=False)


def _post(console: Console, path: str, token: str, form: dict[str, str], **headers: str) -> httpx.Response:
    with _client(console, token, **{"Origin": console.url, **headers}) as client:
        return client.post(path, data=form)
