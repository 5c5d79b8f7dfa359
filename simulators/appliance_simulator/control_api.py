"""Control API: how tests and the demo in other processes build scenes, arm faults and look inside.

| request | body | answer |
|---|---|---|
| `GET /control/state` | | volumes with holders and contents, VMs, snapshots |
| `GET /control/journal` | | mutating calls and effects in order, counts of reads |
| `GET /control/address` | | URLs and keys |
| `POST /control/build` | `{row, vm_name, disks?, vcenter_host?, age_seconds?, kind?}` | what was built |
| `POST /control/actions` | `{action, …}` with the arguments of the action | its result |
| `POST /control/faults` | `{kind, command?, object_id?, times?, …}`, or `{disarm: kind or null}` | armed faults |
| `POST /control/latency` | `{command: seconds, …}` | all latencies |

Actions: `replicate`, `add_healthy_failover`, `add_running_replication`, `finish_sync`, `restart_management_server`,
`restart_daemon`, `rotate_keys`, `wake_engine`, `wake_in_injection`, `begin_failover`, `begin_rollback`, `begin_product_cleanup`, `end_job`,
`fail_replication`, `release_hanging_jobs`, `clear_journal`, `set_state`, `set_option`, `add_vm_snapshot`.
"""

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

if TYPE_CHECKING:
    from appliance_simulator.appliance import SimulatedAppliance


def control_app(appliance: "SimulatedAppliance") -> Starlette:
    """The control API of one appliance."""
    actions: dict[str, Callable[..., Any]] = {
        "replicate": appliance.replicate,
        "add_healthy_failover": appliance.add_healthy_failover,
        "add_running_replication": appliance.add_running_replication,
        "finish_sync": appliance.finish_sync,
        "wake_engine": appliance.wake_engine,
        "wake_in_injection": appliance.product.wake_in_injection,
        "begin_failover": appliance.product.begin_failover,
        "begin_rollback": appliance.product.begin_rollback,
        "begin_product_cleanup": appliance.product.begin_product_cleanup,
        "end_job": appliance.product.end_job,
        "fail_replication": appliance.product.fail_replication,
        "restart_management_server": appliance.restart_management_server,
        "restart_daemon": appliance.restart_daemon,
        "rotate_keys": appliance.rotate_keys,
        "release_hanging_jobs": appliance.jobs.release_hanging,
        "clear_journal": appliance.journal.clear,
        "set_state": appliance.set_state,
        "set_option": appliance.set_option,
        "add_vm_snapshot": lambda vm_id, name: appliance.cloud.add_vm_snapshot(vm_id, name).id,
    }

    async def state(_request: Request) -> Response:
        return JSONResponse(appliance.state())

    async def journal(_request: Request) -> Response:
        return JSONResponse(appliance.journal.as_json())

    async def address(_request: Request) -> Response:
        return JSONResponse(appliance.address())

    async def build(arguments: dict[str, Any]) -> Any:
        return (await appliance.build(**arguments)).as_json()

    async def act(arguments: dict[str, Any]) -> Any:
        name = arguments.pop("action", None)
        if name not in actions:
            raise ValueError(f"unknown action {name}; known: {', '.join(sorted(actions))}")
        result = actions[name](**arguments)
        if inspect.isawaitable(result):
            result = await result
        return result.as_json() if hasattr(result, "as_json") else {"result": result}

    async def faults(arguments: dict[str, Any]) -> Any:
        if "disarm" in arguments:
            appliance.faults.disarm(arguments["disarm"])
        else:
            appliance.faults.arm(**arguments)
        return {"armed": [asdict(fault) for fault in appliance.faults.armed()]}

    async def latency(arguments: dict[str, Any]) -> Any:
        for command, seconds in arguments.items():
            appliance.latencies.set(command, float(seconds))
        return {"seconds": appliance.latencies.seconds}

    return Starlette(
        routes=[
            Route("/control/state", state),
            Route("/control/journal", journal),
            Route("/control/address", address),
            Route("/control/build", _post(build), methods=["POST"]),
            Route("/control/actions", _post(act), methods=["POST"]),
            Route("/control/faults", _post(faults), methods=["POST"]),
            Route("/control/latency", _post(latency), methods=["POST"]),
        ]
    )


def _post(handle: Callable[[dict[str, Any]], Awaitable[Any]]) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            return JSONResponse(await handle(dict(await request.json())))
        except (TypeError, ValueError, KeyError, SQLAlchemyError) as error:
            return JSONResponse({"error": f"{type(error).__name__}: {error}"}, status_code=400)

    return endpoint
