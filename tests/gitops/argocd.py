"""Argo CD's Lua scripts, run by a real Lua 5.1 with no more of its library than Argo CD gives (peers and conventions 2.4)."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from lupa import lua51

from failed_execution_cleanup.controller.kubernetes_api import merge_patch

SCRIPTS: Final = Path(__file__).resolve().parents[2] / "gitops/argocd"
_NOT_GIVEN: Final = ("string", "math", "io", "debug", "coroutine", "require", "loadfile", "dofile", "python")


def health(body: Mapping[str, Any]) -> tuple[str, str]:
    """Health and message. An object that is being deleted is judged by Argo CD before any script."""
    if "deletionTimestamp" in body["metadata"]:
        return "Progressing", "Pending deletion"
    found = _run("health.lua", body)
    return found["status"], found["message"]


def offered(body: Mapping[str, Any]) -> set[str]:
    """Actions that are not disabled."""
    return {name for name, action in _run("actions/discovery.lua", body).items() if not action["disabled"]}


def patch_of(action: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """The merge patch that Argo CD sends for an action: what the script changed."""
    return dict(merge_patch(body, _run(f"actions/{action}.lua", body)))


def _run(script: str, body: Mapping[str, Any]) -> dict[str, Any]:
    lua = lua51.LuaRuntime(unpack_returned_tuples=True)
    names = lua.globals()
    given = lua.table_from({name: names["os"][name] for name in ("date", "time")})
    for name in _NOT_GIVEN:
        names[name] = None
    names["os"] = given
    names["obj"] = _to_lua(lua, copy.deepcopy(dict(body)))
    returned = _from_lua(lua.execute((SCRIPTS / script).read_text(encoding="utf-8")))
    assert isinstance(returned, dict), f"{script} returned no table"
    return returned


def _to_lua(lua: lua51.LuaRuntime, value: Any) -> Any:
    if isinstance(value, dict):
        return lua.table_from({key: _to_lua(lua, item) for key, item in value.items()})
    if isinstance(value, list):
        return lua.table_from([_to_lua(lua, item) for item in value])
    return value


def _from_lua(value: Any) -> Any:
    if lua51.lua_type(value) != "table":
        return value
    items = {key: _from_lua(item) for key, item in value.items()}
    numbered = bool(items) and all(isinstance(key, int) for key in items)
    return [items[number] for number in sorted(items)] if numbered else items
