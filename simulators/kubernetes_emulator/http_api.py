"""The API over HTTP: paths, methods, parameters, chunks and streams."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from kubernetes_emulator import discovery, failures
from kubernetes_emulator.disturbances import Disturbances
from kubernetes_emulator.failures import ApiError, PageNotFound
from kubernetes_emulator.kinds import Kind
from kubernetes_emulator.objects import Objects
from kubernetes_emulator.store import Forgotten, Key
from kubernetes_emulator.watching import watch

_METHODS: Final = ["GET", "POST", "PUT", "PATCH", "DELETE"]
_MEANINGFUL: Final = ("labelSelector", "fieldSelector", "shardSelector", "sendInitialEvents", "dryRun")
"""Parameters that would change the meaning of a request, and that are not served."""


@dataclass(frozen=True, slots=True)
class _Target:
    """What a path names; without `name` a whole collection."""

    kind: Kind
    namespace: str | None
    name: str = ""
    status: bool = False


class HttpApi:
    """Translates between HTTP and `Objects`."""

    def __init__(self, objects: Objects, bookmark_seconds: float, disturbances: Disturbances) -> None:
        """Prepare; `application` is to be served.

        Args:
            objects: what is served.
            bookmark_seconds: how often a watch that wants bookmarks gets one.
            disturbances: what goes wrong.
        """
        self._objects = objects
        self._disturbances = disturbances
        self._bookmark_seconds = bookmark_seconds

    def application(self) -> Starlette:
        """The ASGI application."""
        routes = [
            *discovery.routes(self._objects.kinds),
            Route("/api/v1/{rest:path}", self._resource, methods=_METHODS),
            Route("/apis/{group}/{version}/{rest:path}", self._resource, methods=_METHODS),
        ]
        return Starlette(
            routes=routes,
            exception_handlers={
                ApiError: _refused,
                PageNotFound: _page_not_found,
                404: _page_not_found,
                405: _not_allowed,
            },
        )

    async def _resource(self, request: Request) -> Response:
        for name in _MEANINGFUL:
            if request.query_params.get(name):
                raise failures.bad_request(f"the emulator cannot do what {name} asks for")
        self._disturbances.take_in(request.method, request.url.path)
        target = self._locate(request)
        if target.name:
            return await self._object(request, target)
        if request.method == "GET":
            return self._watch(request, target) if _flag(request, "watch") else self._list(request, target)
        if request.method == "POST":
            body = self._objects.create(target.kind, target.namespace, await _json_object(request))
            return JSONResponse(body, 201)
        raise failures.method_not_allowed()

    async def _object(self, request: Request, target: _Target) -> Response:
        objects, kind, namespace, name = self._objects, target.kind, target.namespace, target.name
        match request.method:
            case "GET":
                return JSONResponse(objects.get(kind, namespace, name))
            case "PUT":
                body, created = objects.replace(
                    kind, namespace, name, await _json_object(request), status=target.status
                )
                return JSONResponse(body, 201 if created else 200)
            case "PATCH":
                content_type = request.headers.get("content-type", "").partition(";")[0]
                patch = await _json(request)
                return JSONResponse(objects.patch(kind, namespace, name, patch, content_type, status=target.status))
            case "DELETE" if kind.deletable and not target.status:
                options = await _json_object(request) if await request.body() else {}
                return JSONResponse(objects.delete(kind, namespace, name, options))
        raise failures.method_not_allowed()

    def _locate(self, request: Request) -> _Target:
        group, version = request.path_params.get("group", ""), request.path_params.get("version", "v1")
        parts = request.path_params["rest"].split("/")
        namespace = None
        if parts[0] == "namespaces" and len(parts) > 2 and (group, parts[2]) in self._objects.kinds:
            namespace, parts = parts[1], parts[2:]
        plural, name, subresource = (*parts, "", "")[:3]
        kind = self._objects.kinds.get((group, plural))
        known = (
            kind is not None
            and kind.version == version
            and len(parts) <= 3
            and (subresource == "" or (subresource == "status" and kind.status_subresource))
        )
        if kind is None or not known:
            raise self._nothing_served(group)
        # Objects of a namespaced kind are listed over all namespaces, and nothing else is done without one.
        whole_list = request.method == "GET" and not name
        if kind.namespaced != (namespace is not None) and not (kind.namespaced and whole_list):
            raise self._nothing_served(group)
        return _Target(kind, namespace, name, status=bool(subresource))

    def _nothing_served(self, group: str) -> Exception:
        built_in = any(kind.group == group and not kind.custom for kind in self._objects.kinds.values())
        return failures.no_such_resource() if built_in else PageNotFound()

    def _list(self, request: Request, target: _Target) -> Response:
        store, kind = self._objects.store, target.kind
        limit, (version, after) = _number(request, "limit"), _continuation(request, store.version)
        try:
            snapshot = store.snapshot(kind, target.namespace, version)
        except Forgotten:
            token = _token(store.version, after)
            raise failures.expired(
                "The provided continue parameter is too old to display a consistent list.", token
            ) from None
        rest = [(key, body) for key, body in snapshot if key > after]
        chunk = rest[:limit] if limit else rest
        metadata: dict[str, Any] = {"resourceVersion": str(version)}
        if len(chunk) < len(rest):
            metadata |= {"continue": _token(version, chunk[-1][0]), "remainingItemCount": len(rest) - len(chunk)}
        # As the API server does: only custom resources say in a list what they are.
        omitted = () if kind.custom else ("apiVersion", "kind")
        items = [{field: value for field, value in body.items() if field not in omitted} for _, body in chunk]
        version_of_list, list_kind = kind.api_version, kind.list_kind
        if "as=PartialObjectMetadataList" in request.headers.get("Accept", ""):
            version_of_list, list_kind = "meta.k8s.io/v1", "PartialObjectMetadataList"
            each = {"apiVersion": version_of_list, "kind": "PartialObjectMetadata"}
            items = [{**each, "metadata": body["metadata"]} for _, body in chunk]
        return JSONResponse({"apiVersion": version_of_list, "kind": list_kind, "metadata": metadata, "items": items})

    def _watch(self, request: Request, target: _Target) -> Response:
        events = watch(
            self._objects.store,
            target.kind,
            target.namespace,
            _number(request, "resourceVersion"),
            seconds=_number(request, "timeoutSeconds") or None,
            bookmark_seconds=self._bookmark_seconds if _flag(request, "allowWatchBookmarks") else None,
        )
        return StreamingResponse(_lines(self._disturbances.told(target.kind, events)), media_type="application/json")


async def _lines(events: AsyncIterator[dict[str, Any]]) -> AsyncIterator[str]:
    async for event in events:
        yield f"{json.dumps(event)}\n"


async def _json(request: Request) -> Any:
    try:
        return json.loads(await request.body())
    except ValueError as error:
        raise failures.bad_request(f"the body is no JSON: {error}") from error


async def _json_object(request: Request) -> dict[str, Any]:
    body = await _json(request)
    if not isinstance(body, dict):
        raise failures.bad_request("the body is no object")
    return body


def _flag(request: Request, name: str) -> bool:
    """A boolean parameter, in the spellings of Go and Python."""
    return request.query_params.get(name, "") in ("1", "t", "T", "true", "True", "TRUE")


def _number(request: Request, name: str) -> int:
    text = request.query_params.get(name) or "0"
    if not text.isdecimal():
        raise failures.bad_request(f"{name}: {text!r} is no number")
    return int(text)


def _token(version: int, after: Key) -> str:
    return base64.urlsafe_b64encode(json.dumps([version, *after]).encode()).decode()


def _continuation(request: Request, version: int) -> tuple[int, Key]:
    """The version of the list and the last key of the chunk before; at the start the newest and a key before all."""
    token = request.query_params.get("continue")
    if not token:
        return version, ("", "")
    try:
        version, namespace, name = json.loads(base64.urlsafe_b64decode(token))
    except (TypeError, ValueError) as error:
        raise failures.bad_request(f"invalid continue token: {error}") from error
    return version, (namespace, name)


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)  # noqa: S101 - starlette dispatches by type
    return JSONResponse(error.status, error.code, error.headers)


async def _not_allowed(_request: Request, _error: Exception) -> Response:
    refusal = failures.method_not_allowed()
    return JSONResponse(refusal.status, refusal.code)


async def _page_not_found(_request: Request, _error: Exception) -> Response:
    return PlainTextResponse("404 page not found\n", 404)
