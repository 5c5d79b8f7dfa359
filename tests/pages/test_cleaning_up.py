"""From the red card to the clean VM, and every way in which that does not go straight."""

from __future__ import annotations

import json
import re
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import pytest
from playwright.sync_api import expect

from development.processes import free_port
from development.stand import Stand
from tests.console.conftest import Console, start_console
from tests.console.people import user_name
from tests.pages.conftest import Arriving

# Starting the installation counts against the first test.
pytestmark = pytest.mark.timeout(400)

ACTIONS: Final = (
    "Detach volumes from OMA",
    "Roll back and delete snapshots",
    "Reattach volumes to OMA",
    "Delete test VM if created",
    "Reset VM to ready_for_failover",
)
SMALL_SHIFT: Final = 0.02
"""Cumulative layout shift that nobody sees; browsers call 0.1 good."""


def named(prefix: str) -> str:
    return f"{prefix} {uuid.uuid4().hex[:6]}"


def test_a_stuck_vm_is_cleaned_up_from_its_card(console: Console, arrive: Arriving) -> None:
    stand, vm_name = console.stand, named("Ärger am pgtest")
    built = stand.build("F11", vm_name)
    visitor = arrive("user")
    page, card = visitor.page, visitor.card(vm_name)
    alert = card.get_by_role("alert")
    expect(alert.get_by_role("heading", name="Failed Operation Detected")).to_be_visible()
    expect(alert).to_contain_text(re.compile("Test failover \N{EN DASH} Stuck since [0-9]"))
    expect(alert).to_contain_text("Last step: Preparing Drivers for Compatibility")

    dialog = visitor.dialog(vm_name)
    expect(dialog).to_contain_text(f"This will clean up the failed test failover operation for {vm_name}.")
    steps = dialog.locator(".step")
    expect(steps).to_have_count(len(ACTIONS))
    for number, words in enumerate(ACTIONS):
        expect(steps.nth(number)).to_contain_text(words)
        expect(steps.nth(number)).to_contain_text("Not needed" if words.startswith("Delete test VM") else "Will run")
    dialog.get_by_text("3 actions").click()
    expect(dialog.get_by_text(built["volume_ids"][0], exact=True).first).to_be_visible()
    plan_hash = dialog.locator("input[name=plan]").get_attribute("value")
    dialog.get_by_role("link", name="Cancel").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert stand.requests(about=built) == []

    visitor.dialog(vm_name).get_by_label("Note").fill("ticket 4711")
    name = visitor.execute()
    for words in ACTIONS:
        expect(page.locator(".phase", has_text=words)).to_be_visible()
    visitor.expect_state("Done")
    expect(page.locator(".phase-completed")).to_have_count(4)
    expect(page.locator(".phase-skipped")).to_have_text(re.compile("Delete test VM if created.*Not needed", re.DOTALL))
    expect(page.get_by_role("group", name="Volumes").get_by_text("On the OMA")).to_have_count(3)
    expect(page.get_by_role("region", name="Who, when, why")).to_contain_text("ticket 4711")
    expect(page.get_by_role("region", name="Runs")).to_contain_text("Run 1: Cleaned")
    assert visitor.shifted < SMALL_SHIFT

    stored = stand.cleanup(name)
    assert stored["metadata"]["annotations"]["failover.ossea.io/approvedPlan"] == plan_hash
    assert (stored["spec"]["requestedBy"], stored["spec"]["note"]) == (user_name(stand, "user"), "ticket 4711")
    assert stand.holders(built) == {stand.oma_vm_id}
    with page.expect_download() as download:
        page.get_by_role("link", name="Markdown").click()
    assert vm_name in download.value.path().read_text(encoding="utf-8")
    expect(visitor.card(vm_name)).to_contain_text("Healthy")


def test_a_plan_that_changed_is_shown_again_and_nothing_is_done(console: Console, arrive: Arriving) -> None:
    stand, vm_name = console.stand, named("changing")
    built = stand.build("F11", vm_name)
    visitor = arrive("user")
    visitor.dialog(vm_name)
    mark = "UPDATE vm_replication_contexts SET current_status = 'cleanup_required' WHERE vm_name = :name"
    with ThreadPoolExecutor() as threads:  # in this one the browser's event loop is running
        threads.submit(stand.rows, mark, name=vm_name).result()
    visitor.opened_dialog.get_by_role("button", name="Execute Cleanup").click()
    dialog = visitor.opened_dialog
    expect(dialog).to_contain_text("The VM changed since the plan was shown. Nothing was done")
    expect(dialog.locator(".notice li")).to_have_text(
        [re.compile("Not needed any more: Mark the VM as being cleaned up")]
    )
    assert stand.requests(about=built) == []
    visitor.execute()
    visitor.expect_state("Done")


def test_who_may_not_waive_is_told_who_may_and_a_forged_form_changes_nothing(
    console: Console, arrive: Arriving
) -> None:
    stand, vm_name = console.stand, named("running")
    built = stand.build("F28", vm_name)
    visitor = arrive("user")
    dialog = visitor.dialog(vm_name)
    expect(dialog.get_by_role("heading", name="Blocked: Running test VM")).to_be_visible()
    expect(dialog).to_contain_text("What to do:")
    expect(dialog).to_contain_text("fec-waiver")
    expect(dialog.get_by_role("checkbox")).to_have_count(0)
    execute = dialog.get_by_role("button", name="Execute Cleanup")
    expect(execute).to_be_disabled()
    execute.evaluate("button => { button.disabled = false }")
    execute.click()
    expect(visitor.opened_dialog).to_contain_text("Nothing was done.")
    assert stand.requests(about=built) == []
    assert _cleanups_of(stand, vm_name) == []


def test_a_stop_is_waived_with_a_note(console: Console, arrive: Arriving) -> None:
    stand, vm_name = console.stand, named("waived")
    built = stand.build("F28", vm_name)
    visitor = arrive("waiver")
    visitor.dialog(vm_name).get_by_label("I take responsibility: waive RunningTestVM for this failed job").check()
    dialog = visitor.opened_dialog
    expect(dialog.get_by_role("heading", name="Waived: Running test VM")).to_be_visible()
    expect(dialog.get_by_role("checkbox")).to_be_focused()
    dialog.get_by_role("button", name="Execute Cleanup").click()
    note = dialog.get_by_label("Note")
    assert note.evaluate("note => note.validity.valueMissing")
    note.evaluate("note => { note.required = false }")
    dialog.get_by_role("button", name="Execute Cleanup").click()
    expect(visitor.opened_dialog).to_contain_text("whoever waives a stop says why")
    assert stand.requests(about=built) == []
    visitor.opened_dialog.get_by_label("Note").fill("nobody uses it, says the owner")
    name = visitor.execute()
    visitor.expect_state("Done")
    expect(visitor.page.locator("#findings")).to_contain_text("RunningTestVM for job")
    stored = stand.cleanup(name)
    assert stored["spec"]["waive"] == [{"reason": "RunningTestVM", "object": "job"}]
    assert stored["spec"]["note"] == "nobody uses it, says the owner"
    assert stand.holders(built) == {stand.oma_vm_id}


def test_a_stalled_cleanup_says_what_to_do_and_leads_to_the_waiver(console: Console, arrive: Arriving) -> None:
    stand, vm_name = console.stand, f"stalled-{uuid.uuid4().hex[:6]}"
    stand.build("F28", vm_name)
    stand.apply_cleanup(vm_name, vm_name)
    stand.wait_for_reason(vm_name, "RunningTestVM")
    reader = arrive("viewer")
    reader.go(f"/cleanups/{stand.namespace}/{vm_name}")
    reader.expect_state("Needs you")
    expect(reader.page.get_by_role("region", name="State")).to_contain_text("What to do: Waive RunningTestVM")
    expect(reader.page.locator("#asks").get_by_role("button")).to_have_count(0)
    visitor = arrive("waiver")
    visitor.go(f"/history?appliance={stand.appliance}&state=needs-person&q={vm_name}")
    visitor.page.get_by_role("link", name=vm_name).click()
    visitor.page.get_by_role("button", name="Review and waive").click()
    visitor.opened_dialog.get_by_role("checkbox").check()
    expect(visitor.opened_dialog.get_by_role("heading", name="Waived: Running test VM")).to_be_visible()
    visitor.opened_dialog.get_by_label("Note").fill("ticket 4712")
    assert visitor.execute() == vm_name
    visitor.expect_state("Done")


def test_a_cleanup_is_suspended_and_resumed_in_the_middle(console: Console, arrive: Arriving) -> None:
    stand, vm_name = console.stand, named("paused")
    built = stand.build("F11", vm_name)
    visitor = arrive("user")
    visitor.dialog(vm_name)
    stand.latency(revertSnapshot=3)
    try:
        visitor.execute()
        expect(visitor.page.locator(".phase-running")).to_have_count(1)
        expect(visitor.page.get_by_role("group", name="Volumes")).to_contain_text("Roll volume back to its snapshot")
        visitor.page.get_by_role("button", name="Suspend").click()
        visitor.expect_state("Suspended")
    finally:
        stand.latency(revertSnapshot=0)
    visitor.page.get_by_role("button", name="Resume").click()
    visitor.expect_state("Done")
    assert stand.holders(built) == {stand.oma_vm_id}


def test_a_plan_of_somebody_else_is_approved_as_it_is_read(console: Console, arrive: Arriving) -> None:
    stand, vm_name = console.stand, f"planned-{uuid.uuid4().hex[:6]}"
    built = stand.build("F11", vm_name)
    stand.apply_cleanup(vm_name, vm_name, mode="Plan")
    stand.wait_for_reason(vm_name, "PlanReady")
    visitor = arrive("user")
    visitor.go(f"/cleanups/{stand.namespace}/{vm_name}")
    expect(visitor.page.get_by_role("region", name="Plan that waits for approval")).to_contain_text("Detach volume")
    assert stand.requests(about=built) == []
    visitor.page.get_by_role("button", name="Approve this plan").click()
    visitor.expect_state("Done")


def test_all_stuck_vms_are_cleaned_up_from_one_dialog(console: Console, arrive: Arriving) -> None:
    stand, batch = console.stand, uuid.uuid4().hex[:6]
    good = [f"batch {batch} {number}" for number in range(2)]
    blocked, left = f"batch {batch} blocked", f"batch {batch} left"
    for vm_name in (*good, left):
        stand.build("F12", vm_name)
    stand.build("F28", blocked)
    visitor = arrive("user")
    visitor.card(blocked)
    visitor.go("/stuck")
    dialog = visitor.opened_dialog
    every = dialog.get_by_label("All that can be cleaned up")
    every.check()
    every.uncheck()
    expect(dialog.locator("input[name=vm]:checked")).to_have_count(0)
    for vm_name in good:
        row = dialog.locator(".stuck-row", has_text=vm_name)
        expect(row).to_contain_text("Detach 3 volumes")
        row.get_by_role("checkbox").check()
    row = dialog.locator(".stuck-row", has_text=blocked)
    expect(row.get_by_role("checkbox")).to_be_disabled()
    expect(row).to_contain_text("is Running and may be in use")
    dialog.get_by_role("button", name="Execute Cleanup").click()
    visitor.page.wait_for_url(re.compile(r"/history\?only="))
    for vm_name in good:
        entry = visitor.page.get_by_role("row", name=vm_name)
        expect(entry.locator(".badge")).to_have_text("Done", timeout=90_000)
    assert [len(_cleanups_of(stand, vm_name)) for vm_name in (*good, blocked, left)] == [1, 1, 0, 0]


def test_nobody_needs_a_mouse(console: Console, arrive: Arriving) -> None:
    stand, vm_name = console.stand, named("keys")
    stand.build("F12", vm_name)
    visitor = arrive("user")
    page, button = visitor.page, visitor.card(vm_name).get_by_role("button", name="Cleanup")
    for _ in range(30):
        page.keyboard.press("Tab")
        if button.evaluate("button => button === document.activeElement"):
            break
    expect(button).to_be_focused()
    page.keyboard.press("Enter")
    expect(visitor.opened_dialog.get_by_role("link", name="Cancel")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(button).to_be_focused()
    page.keyboard.press("Enter")
    expect(visitor.opened_dialog.get_by_role("link", name="Cancel")).to_be_focused()
    within = "document.activeElement === document.body || document.activeElement.closest('dialog') !== null"
    for _ in range(20):
        page.keyboard.press("Tab")
        assert page.evaluate(within)
        if page.evaluate("document.activeElement.id") == "execute":
            break
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/cleanups/"))
    visitor.expect_state("Done")


def test_a_page_goes_on_when_its_console_is_killed_and_started_again(
    stand: Stand, people: dict[str, str], arrive: Arriving
) -> None:
    vm_name, port = named("restart"), str(free_port())
    stand.build("F11", vm_name)
    first = start_console(stand, people, FEC_CONSOLE_PORT=port)
    visitor = arrive("user", first)
    visitor.dialog(vm_name)
    stand.latency(revertSnapshot=6)
    try:
        visitor.execute()
        expect(visitor.page.locator(".phase-running")).to_have_count(1)
        first.process.kill()
        lost = visitor.page.get_by_text("Connection lost")
        expect(lost).to_be_visible()
        second = start_console(stand, people, FEC_CONSOLE_PORT=port)
    finally:
        stand.latency(revertSnapshot=0)
    try:
        expect(lost).to_be_hidden()
        visitor.expect_state("Done")
    finally:
        visitor.page.close()
        second.process.stop(grace_seconds=15)


def _cleanups_of(stand: Stand, vm_name: str) -> list[str]:
    items = json.loads(stand.kubectl("get", "fec", "-o", "json"))["items"]
    return [item["metadata"]["name"] for item in items if item["spec"]["vmName"] == vm_name]
