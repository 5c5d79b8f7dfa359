"""The changes of a cleanup as server-sent events, until the end and across a lost connection."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.console.conftest import Console

pytestmark = pytest.mark.timeout(400)


def events_of(response: httpx.Response) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Name, id and data of each event of a stream."""
    fields: dict[str, str] = {}
    for line in response.iter_lines():
        if not line and fields:
            yield fields.get("event", ""), fields.get("id", ""), json.loads(fields["data"])
            fields = {}
        elif line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = value


def placed(console: Console) -> str:
    """A cleanup that has just begun; returns its status URL."""
    vm_name = f"events-{uuid.uuid4().hex[:6]}"
    console.stand.build("F11", vm_name)
    with console.client("user", Prefer="respond-async") as client:
        answer = client.post(f"/failover/{vm_name}/cleanup-failed").json()
    path, query = answer["status_url"].split("?")
    return f"{console.url}{path}/events?{query}"


def test_a_stream_tells_every_phase_until_the_end(console: Console) -> None:
    url = placed(console)
    with console.client("viewer") as client, client.stream("GET", url) as response:
        assert response.headers["Content-Type"].startswith("text/event-stream")
        seen = list(events_of(response))
    assert {name for name, *_ in seen} == {"cleanup"}
    assert [data["over"] for *_, data in seen] == [False] * (len(seen) - 1) + [True]
    assert (seen[-1][2]["state"], seen[-1][2]["status"]["phaseSummary"]) == ("clean", "5/5")
    versions = [int(id_) for _, id_, _ in seen]
    assert versions == sorted(set(versions))


def test_a_stream_goes_on_where_it_was_lost(console: Console) -> None:
    url = placed(console)
    with console.client("viewer") as client:
        with client.stream("GET", url) as response:
            _, last, _ = next(events_of(response))
        with client.stream("GET", url, headers={"Last-Event-ID": last}) as response:
            seen = list(events_of(response))
    assert last not in {id_ for _, id_, _ in seen}
    assert (seen[-1][2]["over"], seen[-1][2]["state"]) == (True, "clean")
