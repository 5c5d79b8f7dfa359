"""OSSEA over HTTP: `/client/api` as CloudStack answers it (OSSEA facts 1 and 2)."""

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qsl
from xml.etree import ElementTree

from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from appliance_simulator.cloud import CloudError
from appliance_simulator.cloud_commands import CloudCommands
from appliance_simulator.connections import Connections, CutConnection
from appliance_simulator.faults import Fault, FaultKind, Faults
from appliance_simulator.journal import Door, Journal, Request
from appliance_simulator.ossea_lists import Lists
from appliance_simulator.ossea_signature import Credentials, UnauthorizedError, authenticate

HTTP_FAULTS: Final = (
    FaultKind.CLOUD_DOWN,
    FaultKind.RESPONSE_LOST_BEFORE,
    FaultKind.RESPONSE_LOST_AFTER,
    FaultKind.EMPTY_BODY,
    FaultKind.HTML_502,
    FaultKind.HTTP_429,
    FaultKind.HTTP_431,
    FaultKind.HTTP_503,
    FaultKind.HTTP_530,
)
UNEXECUTED: Final = frozenset(
    {
        FaultKind.CLOUD_DOWN,
        FaultKind.RESPONSE_LOST_BEFORE,
        FaultKind.HTTP_429,
        FaultKind.HTTP_431,
        FaultKind.HTTP_503,
    }
)
THROTTLED_SECONDS: Final = 0.5
"""Pause that a 429 names in its text where its fault says none."""
OBJECT_PARAMETERS: Final = ("id", "volumeid", "virtualmachineid", "jobid")
ID_PARAMETERS: Final = frozenset({*OBJECT_PARAMETERS, "ids", "hostid", "vmsnapshotid", "volumeids"})
NO_CS_CODE: Final = 9999
INVALID_VALUE_CS_CODE: Final = 4350


@dataclass
class OsseaSettings:
    """How the server is configured.

    Attributes:
        honours_customjobid: False: the parameter is ignored, as on a server that does not know it.
        enforce_post: `enforce.post.requests.and.timestamps`: 405 for a mutating GET, version 3 and expiry required.
    """

    honours_customjobid: bool = True
    enforce_post: bool = False


class OsseaApi:
    """Authenticates, dispatches and wraps the answers of every command."""

    def __init__(
        self,
        commands: CloudCommands,
        lists: Lists,
        credentials: Credentials,
        settings: OsseaSettings,
        faults: Faults,
        journal: Journal,
        connections: Connections,
    ) -> None:
        self._commands = commands
        self._lists = lists
        self.credentials = credentials
        self._settings = settings
        self._faults = faults
        self._journal = journal
        self._connections = connections
        self._throttled: dict[tuple[str, ...], float] = {}
        self._mutations = self._mutating_commands()
        self._reads = lists.commands()

    def app(self) -> Starlette:
        """The ASGI application."""
        return Starlette(routes=[Route("/client/api", self._handle, methods=["GET", "POST"])])

    async def _handle(self, request: HttpRequest) -> Response:
        sent = await _parameters(request)
        command = sent.get("command", "")
        parameters = {name.lower(): value for name, value in sent.items()}
        parameters |= {name: parameters[name].lower() for name in ID_PARAMETERS & parameters.keys()}
        object_ids = tuple(parameters[name] for name in OBJECT_PARAMETERS if name in parameters)
        entry = self._note(command, object_ids, parameters)
        self._note_haste(command, object_ids)
        fault = self._faults.take(HTTP_FAULTS, command, object_ids)
        if fault is not None and entry is not None:
            entry.fault = fault.kind.value
        if fault is None or (fault.kind not in UNEXECUTED and fault.executed):
            status, body = self._answer(request.method, command, sent, parameters, entry)
        else:
            status, body = 200, {}
        if fault is not None and fault.kind is FaultKind.HTTP_429:
            self._throttled[command, *object_ids] = time.monotonic() + fault.seconds
        response = self._spoil(fault, request, command) if fault is not None else None
        if response is None:
            response = _render(parameters.get("response"), _envelope(command, self._knows(command)), status, body)
        if entry is not None:
            entry.status = None if isinstance(response, CutConnection) else response.status_code
        return response

    def _knows(self, command: str) -> bool:
        return command in self._mutations or command in self._reads

    def _note(self, command: str, object_ids: tuple[str, ...], parameters: Mapping[str, str]) -> Request | None:
        if command in self._mutations:
            return self._journal.request(Door.OSSEA, command, object_ids, parameters)
        self._journal.reads[command] += 1
        return None

    def _note_haste(self, command: str, object_ids: tuple[str, ...]) -> None:
        """Note a request that comes again before the pause is over that a 429 asked for."""
        early = self._throttled.pop((command, *object_ids), 0.0) - time.monotonic()
        if early > 0:
            self._journal.hasty.append(f"{command} {' '.join(object_ids)} came again {early:.2f} s early")

    def _spoil(self, fault: Fault, request: HttpRequest, command: str) -> Response | None:
        match fault.kind:
            case FaultKind.EMPTY_BODY:
                return Response(status_code=200, media_type="application/json; charset=UTF-8")
            case FaultKind.HTML_502:
                return HTMLResponse("<html><body><h1>502 Bad Gateway</h1></body></html>", status_code=502)
            case FaultKind.HTTP_429:
                wait = fault.seconds or THROTTLED_SECONDS
                text = f"The given user has reached his/her account api limit, please retry after {wait * 1000:.0f} ms."
                answer = _render("json", _envelope(command, self._knows(command)), 429, _error(429, text))
                if fault.seconds:
                    # CloudStack sends none, a proxy before it may (OSSEA facts 1.7).
                    answer.headers["Retry-After"] = f"{fault.seconds:.0f}"
                return answer
            case FaultKind.HTTP_431:
                text = "Unable to execute API command due to invalid value. Invalid parameter id value."
                return _render("json", _envelope(command, self._knows(command)), 431, _error(431, text))
            case FaultKind.HTTP_530:
                text = self._commands.rights.readable(530, fault.errortext)
                return _render("json", _envelope(command, self._knows(command)), 530, _error(530, text))
            case FaultKind.HTTP_503:
                text = "Maintenance or shutdown has been initiated on this management server; no new jobs."
                return _render("json", _envelope(command, self._knows(command)), 503, _error(503, text))
            case _:
                return CutConnection(self._connections, request)

    def _answer(
        self, method: str, command: str, sent: Mapping[str, str], parameters: Mapping[str, str], entry: Request | None
    ) -> tuple[int, dict[str, Any]]:
        try:
            authenticate(sent, self.credentials, datetime.now(UTC), enforce_expiry=self._settings.enforce_post)
        except UnauthorizedError as refusal:
            return 401, _error(401, str(refusal))
        try:
            if command in self._reads:
                return 200, self._reads[command](parameters)
            if command not in self._mutations:
                return 401, _error(401, f"The given command '{command}' either does not exist or is not available.")
            if self._settings.enforce_post and method != "POST":
                return 405, _error(405, "Only POST is allowed for state-changing commands.")
            body = self._mutations[command](parameters)
        except CloudError as error:
            return error.code, _error(error.code, self._commands.rights.readable(error.code, error.text))
        if entry is not None:
            entry.executed, entry.job_id = True, body.get("jobid")
        return 200, body

    def _mutating_commands(self) -> dict[str, Callable[[Mapping[str, str]], dict[str, Any]]]:
        commands, views, job_id = self._commands, self._commands.views, self._job_id

        def create_snapshot(p: Mapping[str, str]) -> dict[str, Any]:
            job, snapshot = commands.create_snapshot(_required(p, "volumeid"), p.get("name"), job_id(p))
            return {"jobid": job.id, "id": snapshot.id}

        def delete_volume(p: Mapping[str, str]) -> dict[str, Any]:
            commands.delete_volume(_required(p, "id"))
            return {"success": True}

        def detach_volume(p: Mapping[str, str]) -> dict[str, Any]:
            if "id" not in p or "virtualmachineid" in p or "deviceid" in p:
                raise CloudError(431, "Please provide either a volume id, or a tuple(device id, instance id).")
            return {"jobid": commands.detach_volume(p["id"], job_id(p)).id}

        def destroy(p: Mapping[str, str]) -> dict[str, Any]:
            doomed = tuple(filter(None, p.get("volumeids", "").split(",")))
            expunge = _flag(p, "expunge")
            return {
                "jobid": commands.destroy_vm(
                    _required(p, "id"), expunge=expunge, volume_ids=doomed, job_id=job_id(p)
                ).id
            }

        return {
            "attachVolume": lambda p: {
                "jobid": commands.attach_volume(
                    _required(p, "id"), _required(p, "virtualmachineid"), _optional_number(p, "deviceid"), job_id(p)
                ).id
            },
            "detachVolume": detach_volume,
            "deleteVolume": delete_volume,
            "recoverVolume": lambda p: {"volume": views.volume(commands.recover_volume(_required(p, "id")))},
            "createSnapshot": create_snapshot,
            "revertSnapshot": lambda p: {"jobid": commands.revert_snapshot(_required(p, "id"), job_id(p)).id},
            "deleteSnapshot": lambda p: {"jobid": commands.delete_snapshot(_required(p, "id"), job_id(p)).id},
            "startVirtualMachine": lambda p: {"jobid": commands.start_vm(_required(p, "id"), job_id(p)).id},
            "stopVirtualMachine": lambda p: {
                "jobid": commands.stop_vm(_required(p, "id"), forced=_flag(p, "forced"), job_id=job_id(p)).id
            },
            "destroyVirtualMachine": destroy,
            "expungeVirtualMachine": lambda p: {"jobid": commands.expunge_vm(_required(p, "id"), job_id(p)).id},
            "recoverVirtualMachine": lambda p: {
                "virtualmachine": views.virtual_machine(commands.recover_vm(_required(p, "id")))
            },
        }

    def _job_id(self, parameters: Mapping[str, str]) -> str | None:
        chosen = parameters.get("customjobid")
        if chosen is None or not self._settings.honours_customjobid:
            return None
        try:
            if str(uuid.UUID(chosen)) == chosen:
                return chosen
        except ValueError:
            pass
        raise CloudError(431, f"customjobid {chosen} is not a lower-case UUID.")


async def _parameters(request: HttpRequest) -> dict[str, str]:
    """Parameters of query and form; of one given several times the first counts."""
    pairs = parse_qsl(request.url.query, keep_blank_values=True)
    if request.method == "POST":
        pairs += parse_qsl((await request.body()).decode(), keep_blank_values=True)
    first: dict[str, str] = {}
    for name, value in pairs:
        first.setdefault(name, value)
    return first


def _required(parameters: Mapping[str, str], name: str) -> str:
    value = parameters.get(name)
    if not value:
        raise CloudError(431, f"Unable to execute API command due to missing parameter {name}")
    return value


def _optional_number(parameters: Mapping[str, str], name: str) -> int | None:
    value = parameters.get(name)
    if value is None:
        return None
    try:
        return int(value)
    except ValueError:
        raise CloudError(430, f"Invalid value {value} for parameter {name}") from None


def _flag(parameters: Mapping[str, str], name: str) -> bool:
    return parameters.get(name, "false").lower() == "true"


def _error(code: int, text: str) -> dict[str, Any]:
    cs_code = INVALID_VALUE_CS_CODE if code == 431 else NO_CS_CODE
    return {"uuidList": [], "errorcode": code, "cserrorcode": cs_code, "errortext": text}


def _envelope(command: str, known: bool) -> str:
    return f"{command.lower()}response" if known else "errorresponse"


def _render(wanted: str | None, key: str, status: int, body: dict[str, Any]) -> Response:
    headers = {"X-Description": str(body["errortext"])} if "errortext" in body else None
    if wanted == "json":
        media_type = "application/json; charset=UTF-8"
        return JSONResponse({key: body}, status_code=status, headers=headers, media_type=media_type)
    root = ElementTree.Element(key)
    _append_xml(root, body)
    return Response(
        ElementTree.tostring(root), status_code=status, headers=headers, media_type="text/xml; charset=UTF-8"
    )


def _append_xml(parent: ElementTree.Element, body: Mapping[str, Any]) -> None:
    for name, value in body.items():
        for item in value if isinstance(value, list) else [value]:
            child = ElementTree.SubElement(parent, name)
            if isinstance(item, Mapping):
                _append_xml(child, item)
            else:
                child.text = str(item).lower() if isinstance(item, bool) else str(item)
