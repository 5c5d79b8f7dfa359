"""What a client asks first: version, health, and which kinds there are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from kubernetes_emulator.failures import PageNotFound
from kubernetes_emulator.kinds import Kind

_VERSION: Final = {"major": "1", "minor": "37", "gitVersion": "v1.37.0-emulator", "platform": "emulator"}


def routes(kinds: Mapping[tuple[str, str], Kind]) -> list[Route]:
    """The paths, over kinds that may become more."""

    async def version(_request: Request) -> Response:
        return JSONResponse(_VERSION)

    async def health(_request: Request) -> Response:
        return PlainTextResponse("ok")

    async def core(_request: Request) -> Response:
        return JSONResponse({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []})

    async def groups(_request: Request) -> Response:
        names = dict.fromkeys(kind.group for kind in kinds.values() if kind.group)
        found = [_group(kinds, name) for name in names]
        return JSONResponse({"kind": "APIGroupList", "apiVersion": "v1", "groups": found})

    async def group(request: Request) -> Response:
        found = _group(kinds, request.path_params["group"])
        return JSONResponse({"kind": "APIGroup", "apiVersion": "v1", **found})

    async def resources(request: Request) -> Response:
        group, version = request.path_params.get("group", ""), request.path_params.get("version", "v1")
        found = [kind for kind in kinds.values() if (kind.group, kind.version) == (group, version)]
        if not found:
            raise PageNotFound
        entries = [entry for kind in found for entry in _entries(kind)]
        name = found[0].api_version
        return JSONResponse({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": name, "resources": entries})

    return [
        Route("/version", version),
        *(Route(path, health) for path in ("/healthz", "/livez", "/readyz")),
        Route("/api", core),
        Route("/api/v1", resources),
        Route("/apis", groups),
        Route("/apis/{group}", group),
        Route("/apis/{group}/{version}", resources),
    ]


def _group(kinds: Mapping[tuple[str, str], Kind], name: str) -> dict[str, Any]:
    versions = dict.fromkeys(kind.version for kind in kinds.values() if kind.group == name and name)
    entries = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    if not entries:
        raise PageNotFound
    return {"name": name, "versions": entries, "preferredVersion": entries[0]}


def _entries(kind: Kind) -> list[dict[str, Any]]:
    common = {"namespaced": kind.namespaced, "kind": kind.kind}
    entry = {"name": kind.plural, "singularName": kind.singular, **common, "verbs": kind.verbs}
    if kind.short_names:
        entry["shortNames"] = list(kind.short_names)
    if kind.categories:
        entry["categories"] = list(kind.categories)
    if not kind.status_subresource:
        return [entry]
    status = {"name": f"{kind.plural}/status", "singularName": "", **common, "verbs": ["get", "patch", "update"]}
    return [entry, status]
