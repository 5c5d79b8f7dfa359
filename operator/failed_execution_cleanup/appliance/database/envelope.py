"""How a claim is written into `job_tracking.metadata`, and told from rows of the product.

    {"failover.ossea.io/claim":
        {"job": …, "number": 3, "owner": …, "heartbeat": "2026-01-31T10:00:00.250000", "finished": false},
     "memory": {…}}

The product's own `failed-execution-cleanup` rows have the same type and operation, but not that key.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from failed_execution_cleanup.appliance.database.failures import UnexpectedRow

JOB_TYPE: Final = "cleanup"
OPERATION: Final = "failed-execution-cleanup"
_KEY: Final = "failover.ossea.io/claim"
_MEMORY: Final = "memory"


class Envelope(BaseModel):
    """Who holds a claim. `heartbeat` is naive UTC digits of the database's clock; None with `owner` when released."""

    model_config = ConfigDict(frozen=True)

    job: str = Field(min_length=1)
    number: int = Field(ge=1)
    owner: str | None
    heartbeat: datetime | None
    finished: bool


@dataclass(frozen=True, slots=True)
class Stored:
    """What the metadata of a claim's row holds. `memory` is the text of a JSON object."""

    envelope: Envelope
    memory: str | None


def parse(row_id: str, text: str | None) -> Stored | None:
    """Read a row's metadata; None when the row is not ours.

    Raises:
        UnexpectedRow: it is ours, and damaged.
    """
    try:
        content = json.loads(text or "null")
    except ValueError:
        return None
    if not isinstance(content, dict) or _KEY not in content:
        return None
    try:
        envelope = Envelope.model_validate(content[_KEY])
    except ValidationError:
        raise damaged(row_id, text) from None
    memory = content.get(_MEMORY)
    return Stored(envelope, None if memory is None else json.dumps(memory))


def render(envelope: Envelope, memory: str | None) -> str:
    """Write a row's metadata.

    Raises:
        ValueError: `memory` is not the text of a JSON object.
    """
    content: dict[str, object] = {_KEY: envelope.model_dump(mode="json")}
    if memory is not None:
        parsed = json.loads(memory)
        if not isinstance(parsed, dict):
            raise ValueError("a claim's memory must be a JSON object")
        content[_MEMORY] = parsed
    return json.dumps(content)


def damaged(row_id: str, text: str | None) -> UnexpectedRow:
    """The row is a claim of ours by its id or key, yet cannot be read."""
    return UnexpectedRow(
        "job_tracking",
        "metadata",
        None if text is None else text[:200],
        row=row_id,
        remedy="Somebody changed the claim by hand. Find out which requests are under way, then delete the row.",
    )
