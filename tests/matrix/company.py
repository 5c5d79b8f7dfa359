"""Many cases at once: processes side by side, one per core, since a case is mostly computing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import os
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor

from tests.matrix.expected import Case
from tests.matrix.play import Played, play


@contextlib.contextmanager
def played(cases: Iterable[Case]) -> Iterator[dict[str, Future[Played]]]:
    """Play cases, in their order, each on an appliance of its own; gives what becomes of them by id."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), mp_context=context, initializer=_quiet) as processes:
        try:
            yield {case.id: processes.submit(_play, case) for case in cases}
        finally:
            processes.shutdown(cancel_futures=True)


def _play(case: Case) -> Played:
    with tempfile.TemporaryDirectory() as directory:
        return asyncio.run(play(case, f"sqlite+aiosqlite:///{directory}/oma.db"))


def _quiet() -> None:
    """The page tells what happened, the log need not."""
    logging.getLogger().addHandler(logging.NullHandler())
