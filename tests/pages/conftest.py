"""A browser on a whole installation: operator, pretend appliance, MariaDB, API server and the console as a real process."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.console.conftest import Console, console, people, stand
from tests.pages.visitor import Visitor

__all__ = ["console", "people", "stand"]

ARGUMENTS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

Arriving = Callable[..., Visitor]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium; closed with the module, because while it is open no event loop of other tests can run in this thread."""
    found = shutil.which("chromium")
    if found is None:
        pytest.fail("install Debian's chromium")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=Path(found), args=ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture
def arrive(browser: Browser, console: Console) -> Iterator[Arriving]:
    """People with a browser of their own; none of them may meet a violation of the content policy or an error of a script."""
    visitors: list[Visitor] = []

    def arriving(person: str | None = None, at: Console = console, **settings: object) -> Visitor:
        visitor = Visitor.opened(browser, at, **settings)
        visitors.append(visitor)
        if person is not None:
            visitor.log_in(person)
        return visitor

    yield arriving
    troubles = [trouble for visitor in visitors for trouble in visitor.troubles]
    for visitor in visitors:
        visitor.context.close()
    assert troubles == []
