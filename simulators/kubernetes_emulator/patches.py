"""The two patch formats that Kopf and the operator send."""

from __future__ import annotations

from typing import Any, Final

import jsonpatch

from kubernetes_emulator.failures import ApiError, bad_request
from kubernetes_emulator.kinds import Body

MERGE_PATCH: Final = "application/merge-patch+json"
JSON_PATCH: Final = "application/json-patch+json"


def patched(body: Body, patch: Any, content_type: str) -> Body:
    """Return an object with a patch applied; the original stays as it is.

    Raises:
        ApiError: 415 for another format, 400 for a patch of the wrong shape, 422 for one that does not fit the object.
    """
    if content_type == MERGE_PATCH:
        if not isinstance(patch, dict):
            raise bad_request("error decoding patch: a merge patch is an object")
        merged: Body = _merge(body, patch)
        return merged
    if content_type == JSON_PATCH:
        if not isinstance(patch, list):
            raise bad_request("error decoding patch: a JSON patch is a list")
        try:
            result: Body = jsonpatch.JsonPatch(patch).apply(body)
        except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException) as error:
            message = "the server rejected our request due to an error in our request"
            raise ApiError(422, "Invalid", message, {}) from error
        return result
    message = (
        f"the body of the request was in an unknown format - accepted media types include: {JSON_PATCH}, {MERGE_PATCH}"
    )
    raise ApiError(415, "UnsupportedMediaType", message)


def _merge(target: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merge(merged.get(key), value)
    return merged
