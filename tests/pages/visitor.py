"""Somebody with a browser: the few things that all tests do, in the words that people read."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final, Self
from urllib.parse import quote

from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from tests.console.conftest import Console

SECONDS: Final = 30
_OF_THE_NETWORK: Final = re.compile(r"Failed to load resource|htmx:(afterRequest|sendError|sendAbort|responseError),")
"""What the browser and htmx say where nobody answers, the answer is a refusal, or the page was left before: no trouble of it."""
_WATCH: Final = """
window.shifted = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifted += entry.value;
}).observe({ type: "layout-shift", buffered: true });
document.addEventListener("securitypolicyviolation", (event) => console.error("violates", event.violatedDirective, event.blockedURI));
"""


expect.set_options(timeout=SECONDS * 1000)


@dataclass
class Visitor:
    """One browser with one page.

    Attributes:
        troubles: what its scripts or its content policy complained of.
    """

    context: BrowserContext
    page: Page
    console: Console
    troubles: list[str] = field(default_factory=list)

    @classmethod
    def opened(cls, browser: Browser, console: Console, **settings: Any) -> Self:
        """Open a browser of one's own."""
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 860}, "locale": "en-GB", **settings})
        context.set_default_timeout(SECONDS * 1000)
        context.add_init_script(_WATCH)
        page = context.new_page()
        visitor = cls(context, page, console)
        page.on("pageerror", lambda error: visitor.troubles.append(str(error)))
        page.on("console", visitor._heard)
        return visitor

    def _heard(self, message: Any) -> None:
        if message.type == "error" and not _OF_THE_NETWORK.match(message.text):
            self.troubles.append(message.text)

    def go(self, path: str) -> None:
        """Open a page."""
        self.page.goto(f"{self.console.url}{path}")

    def log_in(self, person: str) -> None:
        """Log in on whatever page asks for it."""
        if "/login" not in self.page.url:
            self.go("/login")
        self.page.get_by_label("Token").fill(self.console.tokens[person])
        self.page.get_by_role("main").get_by_role("button", name="Log in").click()
        self.page.wait_for_url(re.compile(r"^(?!.*/login)"))

    def card(self, vm_name: str) -> Locator:
        """The card of a VM, once the console has seen it."""
        stand = self.console.stand
        stand.wait_until(lambda: self._listed(vm_name), what=f"{vm_name} is listed")
        return self.page.get_by_role("article", name=vm_name, exact=True)

    def _listed(self, vm_name: str) -> bool:
        self.go(f"/vms?q={quote(vm_name)}")
        return self.page.get_by_role("article", name=vm_name, exact=True).count() == 1

    def dialog(self, vm_name: str) -> Locator:
        """The dialog of a stuck VM, opened from its card."""
        self.card(vm_name).get_by_role("button", name="Cleanup").click()
        return self.opened_dialog

    @property
    def opened_dialog(self) -> Locator:
        """The dialog that is open."""
        dialog = self.page.get_by_role("dialog", name="Failed Job Cleanup")
        expect(dialog).to_be_visible()
        return dialog

    def execute(self) -> str:
        """Press Execute Cleanup; gives the name of the cleanup whose page comes."""
        self.opened_dialog.get_by_role("button", name="Execute Cleanup").click()
        self.page.wait_for_url(re.compile(r"/cleanups/[^/]+/[^/]+$"))
        return self.page.url.rsplit("/", 1)[1]

    def expect_state(self, words: str, *, seconds: int = 90) -> None:
        """Wait until the cleanup's page tells a state, without loading it again."""
        region = self.page.get_by_role("region", name="State")
        expect(region.locator(".badge")).to_have_text(words, timeout=seconds * 1000)

    @property
    def shifted(self) -> float:
        """How much of the page moved by itself: the browser's cumulative layout shift."""
        return float(self.page.evaluate("window.shifted"))

    @property
    def cookies(self) -> dict[str, Any]:
        """The cookies of the console, by name."""
        return {str(cookie["name"]): cookie for cookie in self.context.cookies()}
