"""What every test shares."""

import asyncio


def pytest_configure() -> None:
    """Keep looptime's plugin from making, in the first synchronous test, an event loop that nobody closes."""
    asyncio.set_event_loop(None)
