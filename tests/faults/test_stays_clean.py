"""What is clean stays clean: no resync, restart or look at the appliance makes a single mutating call, counted at the servers."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import text

from development.mariadb import MariaDB
from tests.faults.installation import CLEANUPS, GROUP, MERGE, RESYNC_SECONDS, Installation, installed

pytestmark = pytest.mark.timeout(400)

STATEMENTS: Final = (
    "insert",
    "insert_select",
    "update",
    "update_multi",
    "delete",
    "delete_multi",
    "replace",
    "truncate",
)
ROWS: Final = ("F11", "F28", "R04", "C03", "F01")
"""Cleaned, held for a person, cleaned, cleaned, nothing to do."""
SCAN: Final = ("PATCH", f"/apis/{GROUP}/v1alpha1/appliances/default/status")
ENDS: Final[Mapping[str, str]] = {
    "F11": "Cleaned",
    "F28": "RunningTestVM",
    "R04": "Cleaned",
    "C03": "Cleaned",
    "F01": "NothingToDo",
}


async def statements(here: Installation) -> int:
    """Statements that change rows which the database server has run since it started."""
    names = ", ".join(f"'Com_{name}'" for name in STATEMENTS)
    async with here.appliance.engine.connect() as connection:
        rows = await connection.execute(text(f"SHOW GLOBAL STATUS WHERE Variable_name IN ({names})"))
        return sum(int(row[1]) for row in rows)


async def counted(here: Installation) -> dict[str, Any]:
    """Every mutating call so far, by server."""
    return {
        "OSSEA and daemon": len(here.appliance.journal.entries),
        "database": await statements(here),
        "Kubernetes": here.writes(),
    }


async def test_finished_cleanups_cost_no_mutating_call_ever_again(tmp_path: Path, mariadb: MariaDB) -> None:
    url = mariadb.create_database(f"soak_{uuid.uuid4().hex[:12]}")
    async with installed(tmp_path, url) as here:
        for row in ROWS:
            await here.stuck(row, row.lower())
        operator = here.start_operator()
        for row in ROWS:
            here.create(row.lower())
        for row in ROWS:
            await here.wait(lambda row=row: here.ready(row.lower())[1] == ENDS[row], what=f"{row} is {ENDS[row]}")  # type: ignore[misc]
            await here.wait(
                lambda row=row: not here.get(row.lower())["metadata"].get("finalizers"),  # type: ignore[misc]
                what=f"{row} has no finalizer",
            )
        # The Appliance's own status settles as well.
        await asyncio.sleep(3 * RESYNC_SECONDS)
        before = await counted(here)
        bodies = {row: here.get(row.lower()) for row in ROWS}

        for _ in range(3):
            await asyncio.sleep(RESYNC_SECONDS)
            here.api.disturbances.expire_watches(CLEANUPS)
            _touch(here)
            here.api.cut_connections()
        await here.stop_operator(operator)
        operator = here.start_operator()
        await asyncio.sleep(4 * RESYNC_SECONDS)
        operator.ensure_running()
        await here.stop_operator(operator)

        after = await counted(here)
        # A process that starts scans the appliance and tells when.
        scanned = after["Kubernetes"].pop(SCAN) - before["Kubernetes"][SCAN]
        assert scanned == 1
        before["Kubernetes"].pop(SCAN)
        assert after == before
        assert {row: _without_labels(here.get(row.lower())) for row in ROWS} == {
            row: _without_labels(body) for row, body in bodies.items()
        }


def _touch(here: Installation) -> None:
    """Somebody labels every cleanup and the Appliance: events that mean nothing to us."""
    label = {"metadata": {"labels": {"touched": uuid.uuid4().hex[:8]}}}
    for row in ROWS:
        here.patch(row.lower(), label)
    objects = here.api.objects
    objects.patch(objects.kinds[GROUP, "appliances"], None, "default", label, MERGE)


def _without_labels(body: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {k: v for k, v in body["metadata"].items() if k not in ("labels", "resourceVersion")}
    return {**body, "metadata": metadata}


async def test_drift_after_the_end_is_left_alone(tmp_path: Path) -> None:
    async with installed(tmp_path) as here:
        built = await here.stuck("F11", "pgtest1")
        here.start_operator()
        here.create("pgtest1")
        await here.cleaned("pgtest1")
        sent = len(here.appliance.journal.entries)

        volume = here.appliance.cloud.volumes[built.volume_ids[0]]
        here.appliance.cloud.lift(volume)
        entries = len(here.appliance.journal.entries)
        await asyncio.sleep(3 * RESYNC_SECONDS)

        assert len(here.appliance.journal.entries) == entries
        assert entries >= sent
        assert volume.virtualmachineid is None
