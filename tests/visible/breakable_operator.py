"""The operator as a process that can be broken from outside: SIGUSR1 blocks its event loop, SIGUSR2 ends its workers."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from types import FrameType
from typing import Final

from failed_execution_cleanup.controller.logs import configure_logging
from failed_execution_cleanup.controller.operator import run_operator
from failed_execution_cleanup.controller.settings import OperatorSettings

BLOCKED_SECONDS: Final = 12.0


def block_the_loop(_number: int, _frame: FrameType | None) -> None:
    """Sleep where a handler of Python runs: in the loop's thread."""
    time.sleep(BLOCKED_SECONDS)


def end_the_workers() -> None:
    """Cancel the task that all workers of the queue live in."""
    for task in asyncio.all_tasks():
        if task.get_name() == "workers":
            task.cancel()


async def run() -> int:
    """Run the operator, ready to be broken."""
    signal.signal(signal.SIGUSR1, block_the_loop)
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR2, end_the_workers)
    settings = OperatorSettings()
    configure_logging(settings.log_format, settings.log_level)
    return await run_operator(settings)


if __name__ == "__main__":
    sys.exit(asyncio.run(run()))
