"""The Volume Daemon over HTTP: routes, status codes and JSON shapes (appliance facts 1.2 to 1.4)."""

import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from sqlalchemy import select, update
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from appliance_simulator import schema
from appliance_simulator.connections import Connections, CutConnection
from appliance_simulator.faults import Fault, FaultKind, Faults
from appliance_simulator.journal import Door, Journal, Request
from appliance_simulator.volume_daemon import VolumeDaemon, export_name

HTTP_FAULTS: Final = (
    FaultKind.DAEMON_DOWN,
    FaultKind.RESPONSE_LOST_BEFORE,
    FaultKind.RESPONSE_LOST_AFTER,
    FaultKind.EMPTY_BODY,
    FaultKind.HTML_502,
    FaultKind.HTTP_503,
    FaultKind.HTTP_530,
)
UNEXECUTED: Final = frozenset({FaultKind.DAEMON_DOWN, FaultKind.RESPONSE_LOST_BEFORE, FaultKind.HTTP_503})

Answer: TypeAlias = tuple[int, Any]
Handler: TypeAlias = Callable[[HttpRequest, Request | None], Awaitable[Answer]]


def rfc3339(moment: datetime | None) -> str | None:
    """Stored UTC digits as Go prints them."""
    return None if moment is None else moment.replace(tzinfo=UTC).isoformat().replace("+00:00", "Z")


class BadRequestError(Exception):
    """The body is not what the route takes: 400."""


class VolumeDaemonApi:
    """Routes of `/api/v1`; every mutating one notes itself in the journal."""

    def __init__(self, daemon: VolumeDaemon, faults: Faults, journal: Journal, connections: Connections) -> None:
        self._daemon = daemon
        self._faults = faults
        self._journal = journal
        self._connections = connections

    def app(self) -> Starlette:
        """The ASGI application."""
        reads: list[tuple[str, str, Handler]] = [
            ("/api/v1/volumes/{id}", "volume", self._volume),
            ("/api/v1/volumes/{id}/device", "device", self._device),
            ("/api/v1/devices/{path}/volume", "device-volume", self._device_volume),
            ("/api/v1/vms/{id}/volumes", "vm-volumes", self._vm_volumes),
            ("/api/v1/operations", "operations", self._operations),
            ("/api/v1/operations/{id}", "operation", self._operation),
            ("/api/v1/exports", "exports", self._exports),
            ("/api/v1/exports/{id}", "export-of", self._export),
            ("/api/v1/snapshots/vm/{id}", "snapshots", self._snapshots),
            ("/api/v1/health", "health", self._health),
            ("/health", "root-health", self._root_health),
        ]
        mutations: list[tuple[str, str, str, Handler]] = [
            ("POST", "/api/v1/volumes/{id}/attach", "attach", self._attach),
            ("POST", "/api/v1/volumes/{id}/attach-root", "attach-root", self._attach_root),
            ("POST", "/api/v1/volumes/{id}/detach", "detach", self._detach),
            ("DELETE", "/api/v1/volumes/{id}", "delete", self._delete),
            ("POST", "/api/v1/exports", "export", self._create_export),
            ("DELETE", "/api/v1/exports/{id}", "remove-export", self._remove_export),
            ("DELETE", "/api/v1/snapshots/vm/{id}", "clear-snapshots", self._clear_snapshots),
        ]
        return Starlette(
            routes=[
                *(Route(path, self._read(action, handler), methods=["GET"]) for path, action, handler in reads),
                *(Route(path, self._mutate(action, act), methods=[verb]) for verb, path, action, act in mutations),
            ]
        )

    # --- around every request -----------------------------------------------------------------------------------

    def _read(self, action: str, handler: Handler) -> Callable[[HttpRequest], Awaitable[Response]]:
        async def endpoint(request: HttpRequest) -> Response:
            self._journal.reads[action] += 1
            ids = tuple(request.path_params.values())
            return await self._respond(request, handler, None, self._faults.take(HTTP_FAULTS, action, ids))

        return endpoint

    def _mutate(self, action: str, handler: Handler) -> Callable[[HttpRequest], Awaitable[Response]]:
        async def endpoint(request: HttpRequest) -> Response:
            ids = tuple(request.path_params.values())
            entry = self._journal.request(Door.DAEMON, action, ids, {})
            fault = self._faults.take(HTTP_FAULTS, action, ids)
            entry.fault = None if fault is None else fault.kind.value
            response = await self._respond(request, handler, entry, fault)
            entry.status = None if isinstance(response, CutConnection) else response.status_code
            return response

        return endpoint

    async def _respond(
        self, request: HttpRequest, handler: Handler, entry: Request | None, fault: Fault | None
    ) -> Response:
        answer: Answer = (200, None)
        if fault is None or (fault.kind not in UNEXECUTED and fault.executed):
            try:
                answer = await handler(request, entry)
            except BadRequestError as error:
                answer = (400, {"error": str(error)})
            except SQLAlchemyError as error:
                answer = (404 if request.method == "GET" else 500, _database_trouble(request, error))
        match fault.kind if fault is not None else None:
            case None:
                return JSONResponse(answer[1], status_code=answer[0])
            case FaultKind.EMPTY_BODY:
                return Response(status_code=200)
            case FaultKind.HTML_502:
                return HTMLResponse("<html><body><h1>502 Bad Gateway</h1></body></html>", status_code=502)
            case FaultKind.HTTP_503:
                return JSONResponse({"error": "service unavailable"}, status_code=503)
            case FaultKind.HTTP_530:
                return JSONResponse({"error": "internal error: invalid connection"}, status_code=500)
            case _:
                return CutConnection(self._connections, request)

    # --- mutations ----------------------------------------------------------------------------------------------

    async def _attach(self, request: HttpRequest, entry: Request | None) -> Answer:
        body = await _body(request, entry)
        return await self._started(await self._daemon.attach(request.path_params["id"], body.get("vm_id", "")), entry)

    async def _attach_root(self, request: HttpRequest, entry: Request | None) -> Answer:
        body = await _body(request, entry)
        volume_id, vm_id = request.path_params["id"], body.get("vm_id", "")
        return await self._started(await self._daemon.attach(volume_id, vm_id, as_root=True), entry)

    async def _detach(self, request: HttpRequest, entry: Request | None) -> Answer:
        return await self._started(await self._daemon.detach(request.path_params["id"]), entry)

    async def _delete(self, request: HttpRequest, entry: Request | None) -> Answer:
        return await self._started(await self._daemon.delete(request.path_params["id"]), entry)

    async def _started(self, operation_id: str, entry: Request | None) -> Answer:
        _executed(entry, operation_id)
        operation = await self._daemon.operation(operation_id)
        return 201, None if operation is None else _operation_json(operation)

    async def _create_export(self, request: HttpRequest, entry: Request | None) -> Answer:
        body = await _body(request, entry)
        volume_id = body.get("volume_id", "")
        if entry is not None:
            entry.object_ids = (volume_id,)
        export = await self._daemon.create_export(volume_id)
        if export is None:
            return 500, {"error": f"failed to get device mapping: mapping not found for volume: {volume_id}"}
        _executed(entry)
        return 201, _export_json(export)

    async def _remove_export(self, request: HttpRequest, entry: Request | None) -> Answer:
        volume_id = request.path_params["id"]
        if not await self._daemon.remove_export(volume_id):
            return 404, {"error": f"export not found for volume: {volume_id}"}
        _executed(entry)
        return 200, {"message": "NBD export deleted successfully", "volume_id": volume_id}

    async def _clear_snapshots(self, request: HttpRequest, entry: Request | None) -> Answer:
        context_id = request.path_params["id"]
        table = schema.device_mappings
        statement = update(table).where(table.c.vm_context_id == context_id)
        async with self._daemon.engine.begin() as connection:
            cleared = await connection.execute(statement.values(ossea_snapshot_id=None, snapshot_status="none"))
        _executed(entry)
        return 200, {
            "message": "Snapshot tracking cleared",
            "vm_context_id": context_id,
            "snapshots_cleared": cleared.rowcount,
        }

    # --- reads --------------------------------------------------------------------------------------------------

    async def _volume(self, request: HttpRequest, _entry: Request | None) -> Answer:
        return 200, {"volume_id": request.path_params["id"], "state": "unknown", "size": 0, "cloudstack_data": None}

    async def _device(self, request: HttpRequest, _entry: Request | None) -> Answer:
        volume_id = request.path_params["id"]
        mapping = await self._daemon.mapping(volume_id)
        if mapping is None:
            return 404, {"error": f"mapping not found for volume: {volume_id}"}
        return 200, _mapping_json(mapping)

    async def _device_volume(self, request: HttpRequest, _entry: Request | None) -> Answer:
        path = request.path_params["path"]
        rows = await self._rows(select(schema.device_mappings).where(schema.device_mappings.c.device_path == path))
        return (200, _mapping_json(rows[0])) if rows else (404, {"error": f"mapping not found for device: {path}"})

    async def _vm_volumes(self, request: HttpRequest, _entry: Request | None) -> Answer:
        table = schema.device_mappings
        rows = await self._rows(select(table).where(table.c.vm_id == request.path_params["id"]))
        return 200, [
            {
                "volume_id": row["volume_uuid"],
                "vm_id": row["vm_id"],
                "device_path": row["device_path"],
                "state": "attached",
                "size": row["size"],
                "cloudstack_data": None,
            }
            for row in rows
        ]

    async def _operation(self, request: HttpRequest, _entry: Request | None) -> Answer:
        operation_id = request.path_params["id"]
        operation = await self._daemon.operation(operation_id)
        if operation is None:
            return 404, {"error": f"operation not found: {operation_id}"}
        return 200, _operation_json(operation)

    async def _operations(self, request: HttpRequest, _entry: Request | None) -> Answer:
        table = schema.volume_operations
        query = request.query_params
        statement = select(table).order_by(table.c.created_at.desc())
        for name in ("type", "status", "volume_id", "vm_id"):
            if query.get(name):
                statement = statement.where(table.c[name] == query[name])
        if query.get("limit", "").isdigit():
            statement = statement.limit(int(query["limit"]))
        rows = [_operation_json(row) for row in await self._rows(statement)]
        # The real daemon marshals a nil slice here.
        return 200, rows or None

    async def _exports(self, request: HttpRequest, _entry: Request | None) -> Answer:
        table = schema.nbd_exports
        statement = select(table)
        for name in ("volume_id", "status"):
            if request.query_params.get(name):
                statement = statement.where(table.c[name] == request.query_params[name])
        exports = [_export_json(row) for row in await self._rows(statement)]
        return 200, {"exports": exports, "count": len(exports)}

    async def _export(self, request: HttpRequest, _entry: Request | None) -> Answer:
        volume_id = request.path_params["id"]
        export = await self._daemon.export(volume_id)
        if export is None:
            return 404, {"error": f"export not found for volume: {volume_id}"}
        return 200, _export_json(export)

    async def _snapshots(self, request: HttpRequest, _entry: Request | None) -> Answer:
        context_id = request.path_params["id"]
        table = schema.device_mappings
        tracked = table.c.ossea_snapshot_id.is_not(None)
        rows = await self._rows(select(table).where(table.c.vm_context_id == context_id, tracked))
        snapshots = [
            {
                "volume_uuid": row["volume_uuid"],
                "vm_context_id": context_id,
                "device_path": row["device_path"],
                "operation_mode": row["operation_mode"],
                "snapshot_id": row["ossea_snapshot_id"],
                "snapshot_status": row["snapshot_status"],
            }
            for row in rows
        ]
        return 200, {"vm_context_id": context_id, "snapshots": snapshots, "count": len(snapshots)}

    async def _health(self, _request: HttpRequest, _entry: Request | None) -> Answer:
        return 200, {
            "status": "healthy",
            "timestamp": _now(),
            "cloudstack_health": "not_implemented",
            "database_health": await self._daemon.is_database_reachable(),
            "device_monitor": "not_implemented",
            "details": {"implementation_status": "basic"},
        }

    async def _root_health(self, _request: HttpRequest, _entry: Request | None) -> Answer:
        service = "volume-management-daemon"
        return 200, {"status": "healthy", "timestamp": _now(), "service": service, "version": "1.0.0"}

    async def _rows(self, statement: Any) -> list[dict[str, Any]]:
        async with self._daemon.engine.connect() as connection:
            return [dict(row) for row in (await connection.execute(statement)).mappings()]


def _executed(entry: Request | None, operation_id: str | None = None) -> None:
    if entry is not None:
        entry.executed, entry.job_id = True, operation_id


async def _body(request: HttpRequest, entry: Request | None) -> dict[str, Any]:
    """The JSON object in the body, noted in the journal.

    Raises:
        BadRequestError: There is none.
    """
    try:
        body = await request.json()
    except ValueError as error:
        raise BadRequestError(str(error)) from None
    if not isinstance(body, dict):
        raise BadRequestError("json: cannot unmarshal into an object")
    if entry is not None:
        entry.parameters = {name: str(value) for name, value in body.items()}
        entry.object_ids += tuple(filter(None, [entry.parameters.get("vm_id")]))
    return body


def _database_trouble(request: HttpRequest, error: SQLAlchemyError) -> dict[str, str]:
    what = "operation" if "/operations/" in request.url.path else "mapping"
    return {"error": f"failed to get {what}: {type(error).__name__}"}


def _now() -> str:
    return datetime.fromtimestamp(time.time(), UTC).isoformat().replace("+00:00", "Z")


def _operation_json(row: Mapping[str, Any]) -> dict[str, Any]:
    shown = {
        "id": row["id"],
        "type": row["type"],
        "status": row["status"],
        "volume_id": row["volume_id"],
        "vm_id": row["vm_id"],
        "request": row["request"],
        "response": row["response"],
        "error": row["error"],
        "created_at": rfc3339(row["created_at"]),
        "updated_at": rfc3339(row["updated_at"]),
        "completed_at": rfc3339(row["completed_at"]),
    }
    optional = ("vm_id", "response", "error", "completed_at")
    return {name: value for name, value in shown.items() if value is not None or name not in optional}


def _mapping_json(row: Mapping[str, Any]) -> dict[str, Any]:
    """What the daemon selects; the empty fields are those it does not (appliance facts 1.4)."""
    return {
        "id": "",
        "vm_context_id": None,
        "volume_uuid": row["volume_uuid"],
        "volume_id_numeric": row["volume_id_numeric"],
        "vm_id": row["vm_id"],
        "operation_mode": row["operation_mode"],
        "cloudstack_device_id": row["cloudstack_device_id"],
        "requires_device_correlation": bool(row["requires_device_correlation"]),
        "device_path": row["device_path"],
        "cloudstack_state": row["cloudstack_state"],
        "linux_state": row["linux_state"],
        "size": row["size"],
        "last_sync": rfc3339(row["last_sync"]),
        "created_at": rfc3339(row["created_at"]),
        "updated_at": rfc3339(row["updated_at"]),
        "snapshot_status": "",
    }


def _export_json(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": str(row["id"]),
        "volume_id": row["volume_id"],
        "export_name": export_name(row["volume_id"]),
        "device_path": row["device_path"],
        "port": row["port"],
        "status": row["status"],
        "created_at": rfc3339(row["created_at"]),
        "updated_at": rfc3339(row["updated_at"]),
        "metadata": {},
    }
