"""`python -m appliance_simulator` serves other processes and ends cleanly."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

SIMULATORS = Path(__file__).parents[3] / "simulators"


@asynccontextmanager
async def running(tmp_path: Path, *options: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, dict[str, Any]]]:
    ready = tmp_path / "ready.json"
    database = f"sqlite+aiosqlite:///{tmp_path}/oma.db"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "appliance_simulator", "--database", database, "--ready-file", str(ready)),
        *options,
        env={**os.environ, "PYTHONPATH": str(SIMULATORS)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        while not ready.exists():
            assert process.returncode is None, "the simulator ended early"
            await asyncio.sleep(0.02)
        yield process, json.loads(ready.read_text())
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_ready_file_tells_what_was_built_and_is_private(tmp_path: Path) -> None:
    async with running(tmp_path, "--scenario", "F11", "--vm", "pgtest1", "--vm", "pgtest2") as (_, address):
        assert [built["vm"]["name"] for built in address["built"]] == ["pgtest1", "pgtest2"]
        assert {"ossea_url", "daemon_url", "control_url", "database_url", "api_key", "oma_vm_id"} <= address.keys()
        assert (tmp_path / "ready.json").stat().st_mode & 0o077 == 0
        async with httpx.AsyncClient() as http:
            assert (await http.get(f"{address['daemon_url']}/api/v1/health")).status_code == 200


async def test_control_api_builds_arms_and_shows(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, address), httpx.AsyncClient(base_url=address["control_url"]) as http:
        built = (await http.post("/control/build", json={"row": "F11", "vm_name": "pgtest1", "disks": 1})).json()
        volume = built["volume_ids"][0]
        armed = (await http.post("/control/faults", json={"kind": "http_429", "command": "listVolumes"})).json()
        assert armed["armed"][0]["command"] == "listVolumes"
        assert (await http.post("/control/latency", json={"attachVolume": 1.5})).json()["seconds"] == {
            "attachVolume": 1.5
        }
        await http.post("/control/actions", json={"action": "add_healthy_failover", "vm_name": "pgtest1"})
        state = (await http.get("/control/state")).json()
        assert state["volumes"][volume]["content"] == "dirty:started"
        assert state["virtual_machines"][state["volumes"][volume]["virtualmachineid"]]["state"] == "Running"
        assert (await http.get("/control/journal")).json() == {"entries": [], "reads": {}}


async def test_control_api_explains_a_wrong_request(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, address), httpx.AsyncClient(base_url=address["control_url"]) as http:
        for path, body in (
            ("/control/build", {"row": "F99", "vm_name": "x"}),
            ("/control/actions", {"action": "explode"}),
            ("/control/faults", {"kind": "gremlins"}),
        ):
            answer = await http.post(path, json=body)
            assert (answer.status_code, list(answer.json())) == (400, ["error"])


async def test_sigterm_ends_it_with_a_client_connected(tmp_path: Path) -> None:
    async with running(tmp_path) as (process, address), httpx.AsyncClient() as http:
        await http.get(f"{address['daemon_url']}/health")
        process.send_signal(signal.SIGTERM)
        output, _ = await process.communicate()
        assert (process.returncode, output) == (0, b"")
