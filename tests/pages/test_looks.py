"""How the pages look and read: for a screen reader, on a phone, by day and by night."""

from __future__ import annotations

import json
import re
import uuid
from typing import Any, Final

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.console.conftest import Console
from tests.pages.conftest import Arriving
from tests.pages.visitor import Visitor

pytestmark = pytest.mark.timeout(400)

PHONE: Final = {"width": 360, "height": 740}
SERIOUS: Final = {"serious", "critical"}
RULES: Final = {
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
}


@pytest.fixture(scope="module")
def names(console: Console) -> dict[str, str]:
    """A VM to look at, one that is blocked, and a cleanup that needs a person."""
    stand, suffix = console.stand, uuid.uuid4().hex[:6]
    found = {kind: f"{kind}-{suffix}" for kind in ("stuck", "blocked", "stalled")}
    stand.build("F11", found["stuck"], disks=2)
    stand.build("F28", found["blocked"])
    stand.build("F28", found["stalled"])
    stand.apply_cleanup(found["stalled"], found["stalled"])
    stand.wait_for_reason(found["stalled"], "RunningTestVM")
    return found


def pages(visitor: Visitor, names: dict[str, str]) -> list[str]:
    """Every page that there is, by its address."""
    visitor.card(names["stuck"])
    stuck = visitor.page.get_by_role("link", name=names["stuck"]).get_attribute("href")
    visitor.card(names["blocked"])
    blocked = visitor.page.get_by_role("link", name=names["blocked"]).get_attribute("href")
    stalled = f"/cleanups/{visitor.console.stand.namespace}/{names['stalled']}"
    return [
        "/vms",
        f"{stuck}",
        f"{stuck}/cleanup",
        f"{blocked}/cleanup",
        "/stuck",
        "/history",
        stalled,
        "/appliances",
        "/nothing",
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_stands_in_the_way_of_anybody(arrive: Arriving, names: dict[str, str], scheme: str) -> None:
    visitor = arrive(color_scheme=scheme)
    visitor.go("/login")
    found = {"/login": _violations(visitor)}
    visitor.log_in("waiver")
    for path in pages(visitor, names):
        visitor.go(path)
        found[path] = _violations(visitor)
    assert {path: violations for path, violations in found.items() if violations} == {}


def _violations(visitor: Visitor) -> list[Any]:
    results = Axe().run(visitor.page, options=RULES).response
    return [
        (each["id"], [node["target"] for node in each["nodes"]])
        for each in results["violations"]
        if each["impact"] in SERIOUS
    ]


def test_a_phone_shows_every_page_without_scrolling_sideways(arrive: Arriving, names: dict[str, str]) -> None:
    visitor = arrive("waiver", viewport=PHONE)
    wide = {}
    for path in pages(visitor, names):
        visitor.go(path)
        width = visitor.page.evaluate("document.documentElement.scrollWidth")
        body = visitor.page.evaluate(
            "Math.max(0, ...[...document.querySelectorAll('.dialog-body')].map(each => each.scrollWidth - each.clientWidth))"
        )
        if width > PHONE["width"] or body > 0:
            wide[path] = (width, body)
    assert wide == {}


def test_the_theme_is_the_readers_until_he_chooses_another(arrive: Arriving) -> None:
    visitor = arrive("planner", color_scheme="dark")
    background = "getComputedStyle(document.body).backgroundColor"
    dark = visitor.page.evaluate(background)
    visitor.page.get_by_role("button", name="Switch between light and dark").click()
    light = visitor.page.evaluate(background)
    assert _brightness(dark) < 60 < 200 < _brightness(light)
    visitor.page.reload()
    assert visitor.page.evaluate(background) == light


def _brightness(colour: str) -> float:
    red, green, blue = (int(number) for number in re.findall(r"\d+", colour)[:3])
    return (red + green + blue) / 3


def test_a_list_is_searched_while_one_types(arrive: Arriving, names: dict[str, str]) -> None:
    visitor = arrive("planner")
    visitor.card(names["stuck"])
    visitor.go("/vms")
    search = visitor.page.get_by_role("searchbox", name="Search by name")
    search.press_sequentially(names["blocked"])
    cards = visitor.page.get_by_role("article")
    expect(cards).to_have_count(1)
    expect(cards).to_contain_text(names["blocked"])
    expect(search).to_be_focused()
    expect(visitor.page).to_have_url(re.compile(f"q={names['blocked']}"))
    visitor.page.get_by_role("radio", name="Healthy").check(force=True)
    expect(visitor.page.get_by_role("heading", name="No VM fits")).to_be_visible()
    visitor.page.reload()
    expect(visitor.page.get_by_role("radio", name="Healthy")).to_be_checked()


def test_a_list_that_is_looked_at_changes_without_moving(console: Console, arrive: Arriving) -> None:
    stand, batch = console.stand, uuid.uuid4().hex[:6]
    for number in range(3):
        stand.build("F12", f"list {batch} {number}")
    visitor = arrive("user")
    visitor.card(f"list {batch} 2")
    visitor.go(f"/vms?q={batch}")
    cards = visitor.page.get_by_role("article")
    expect(cards).to_have_count(3)
    order = [card.get_attribute("aria-label") for card in cards.all()]
    with console.client("user") as client:
        assert client.post(f"/failover/list {batch} 0/cleanup-failed").status_code == 200
    changed = visitor.page.get_by_role("article", name=f"list {batch} 0")
    expect(changed).to_contain_text("Healthy")
    expect(changed.get_by_role("alert")).to_have_count(0)
    assert [card.get_attribute("aria-label") for card in cards.all()] == order
    expect(visitor.page.locator("#count-stuck")).to_have_text("2")
    assert visitor.shifted < 0.02
    visitor.page.get_by_role("link", name="The list has changed: show it").click()
    expect(cards.last).to_contain_text(f"list {batch} 0")


def test_the_appliance_tells_how_it_is(console: Console, arrive: Arriving, names: dict[str, str]) -> None:
    visitor = arrive("waiver")
    stand = console.stand
    stand.wait_until(lambda: _scanned(console) >= 3, what="the scan has found the stuck VMs")
    visitor.go("/appliances")
    card = visitor.page.get_by_role("article")
    for words in ("OMA database", "Volume Daemon", "OSSEA"):
        expect(card).to_contain_text(words)
    expect(card.locator(".dot-good")).to_have_count(5)
    card.get_by_role("definition").get_by_role("link").first.click()
    expect(visitor.page).to_have_url(re.compile(rf"/vms\?appliance={stand.appliance}&state=stuck"))
    expect(visitor.page.get_by_role("article", name=names["stuck"])).to_be_visible()


def _scanned(console: Console) -> int:
    body = json.loads(console.stand.kubectl("get", "appliance", console.stand.appliance, "-o", "json"))
    return int(body.get("status", {}).get("stuckVMs") or 0)
