"""Draw the pictures of docs/console.md, from a real run in a real browser.

python -m tests.pages.pictures
"""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from PIL import Image
from playwright.sync_api import Browser, expect, sync_playwright

from development.control_plane import ControlPlane
from development.stand import ROOT, Stand
from tests.console.conftest import Console, start_console
from tests.console.people import newcomer, tokens
from tests.pages.conftest import ARGUMENTS
from tests.pages.visitor import Visitor

PICTURES: Final = ROOT / "docs" / "pictures"
COLOURS: Final = 255
VMS: Final = (
    ("F24", "sap-prod-02"),
    ("F11", "pgtest1"),
    ("F28", "Webshop Frontend"),
    ("F12", "fileserver-a"),
)
"""Rows of the failure table, and VMs that are in them."""
HEALTHY: Final = (
    "erp-db-01",
    "exchange-edge",
    "gitlab",
    "intranet",
    "mail-gateway",
    "monitoring",
    "print01",
    "vpn-concentrator",
)
PERSON: Final = "anna.weber"
PHONE: Final = {"width": 390, "height": 800}


def main() -> None:
    """Draw all of them."""
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("install Debian's chromium")
    PICTURES.mkdir(parents=True, exist_ok=True)
    with _installed() as console, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=Path(chromium), args=ARGUMENTS)
        _draw(browser, console)
        browser.close()


@contextmanager
def _installed() -> Iterator[Console]:
    with ControlPlane() as control_plane:
        stand = Stand(control_plane, settings={"detection": {"intervalSeconds": 10}})
        stand.appliance, stand.namespace = "oma-berlin", "disaster-recovery"
        with stand:
            stand.start_operator()
            for row, vm_name in VMS:
                stand.build(row, vm_name)
            for vm_name in HEALTHY:
                stand.act("replicate", vm_name=vm_name)
            people = tokens(stand)
            people[PERSON] = newcomer(stand, PERSON, "fec-cleanup-operator", "fec-waiver", "use", "plan")
            console = start_console(stand, people, FEC_DOCS_URL="https://docs.example.com/reasons/")
            try:
                yield console
            finally:
                console.process.stop(grace_seconds=15)


def _draw(browser: Browser, console: Console) -> None:
    visitor = _arrived(browser, console)
    visitor.card("pgtest1")
    visitor.go("/vms")
    _keep(visitor, "cards-light")
    dark = _arrived(browser, console, color_scheme="dark")
    _keep(dark, "cards-dark")
    visitor.go("/stuck")
    expect(visitor.opened_dialog).to_be_visible()
    _keep(visitor, "stuck")
    visitor.dialog("Webshop Frontend").get_by_role("checkbox").check()
    expect(visitor.opened_dialog.get_by_role("heading", name="Waived")).to_be_visible()
    visitor.opened_dialog.get_by_label("Note").fill("Test is over, says the owner of the shop (ticket 4711)")
    visitor.page.locator(".dialog-body").evaluate("body => { document.activeElement.blur(); body.scrollTo(0, 0); }")
    _keep(visitor, "waiver")

    visitor.dialog("pgtest1")
    _keep(visitor, "dialog")
    visitor.opened_dialog.get_by_label("Note").fill("ticket 4712")
    console.stand.latency(revertSnapshot=5)
    visitor.execute()
    expect(visitor.page.locator(".phase-running")).to_have_count(1)
    expect(visitor.page.get_by_role("group", name="Volumes")).to_contain_text("Roll volume back")
    _keep(visitor, "progress", full_page=True)
    visitor.expect_state("Done")
    expect(visitor.page.get_by_role("region", name="Runs")).to_contain_text("Run 1")
    _keep(visitor, "done")
    visitor.go("/appliances")
    _keep(visitor, "appliances")
    phone = _arrived(browser, console, viewport=PHONE, device_scale_factor=2)
    phone.card("fileserver-a")
    _keep(phone, "phone")


def _arrived(browser: Browser, console: Console, **settings: Any) -> Visitor:
    visitor = Visitor.opened(browser, console, **settings)
    visitor.log_in(PERSON)
    return visitor


def _keep(visitor: Visitor, name: str, *, full_page: bool = False) -> None:
    """Save what is seen, in as few colours as show no difference."""
    visitor.page.evaluate("document.fonts.ready")
    drawn = visitor.page.screenshot(full_page=full_page, animations="disabled")
    with Image.open(io.BytesIO(drawn)) as picture:
        picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(PICTURES / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
