"""Lists in chunks of one snapshot, and watches that continue from a version."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.contract.api_server import GROUP, ApiServer, Cleanups, content


@contextmanager
def watching(cleanups: Cleanups, since: str, path: str = "", **parameters: Any) -> Iterator[Iterator[dict[str, Any]]]:
    """Open a watch and give its events; it ends with the block."""
    query = {"watch": "true", "resourceVersion": since, **parameters}
    with cleanups.http.stream("GET", path or cleanups.path, params=query) as response:
        assert response.status_code == 200
        assert response.headers["content-type"] == "application/json"
        yield (json.loads(line) for line in response.iter_lines())


def version(cleanups: Cleanups) -> str:
    """The version of a list, to watch from."""
    return str(content(cleanups.http.get(cleanups.path))["metadata"]["resourceVersion"])


def names(listed: dict[str, Any]) -> list[str]:
    return [item["metadata"]["name"] for item in listed["items"]]


def test_a_list_says_what_it_is_and_so_do_its_items(cleanups: Cleanups) -> None:
    created = [cleanups.create(name) for name in ("b", "a")]
    listed = content(cleanups.http.get(cleanups.path))
    assert (listed["kind"], listed["apiVersion"]) == ("FailedExecutionCleanupList", "failover.ossea.io/v1alpha1")
    assert listed["items"] == created[::-1], "in the order of their names"
    assert int(listed["metadata"]["resourceVersion"]) >= int(created[-1]["metadata"]["resourceVersion"])


def test_a_namespaced_kind_is_listed_over_all_namespaces(server: ApiServer, cleanups: Cleanups) -> None:
    cleanups.create("here")
    other = Cleanups(server.http, server.create_namespace())
    other.create("there")
    found = {
        (item["metadata"]["namespace"], item["metadata"]["name"])
        for item in content(server.http.get(f"{GROUP}/failedexecutioncleanups"))["items"]
    }
    assert {(cleanups.namespace, "here"), (other.namespace, "there")} <= found


def test_a_namespace_that_does_not_exist_has_an_empty_list(server: ApiServer) -> None:
    assert names(content(server.http.get(Cleanups(server.http, "nowhere").path))) == []


def test_chunks_are_of_one_snapshot(cleanups: Cleanups) -> None:
    for name in "bcdfg":
        cleanups.create(name)
    first = content(cleanups.http.get(cleanups.path, params={"limit": "2"}))
    assert (names(first), first["metadata"]["remainingItemCount"]) == (["b", "c"], 3)
    for name in "ae":
        cleanups.create(name)
    content(cleanups.delete("f"))
    content(cleanups.patch("g", {"spec": {"note": "later"}}))
    token = first["metadata"]["continue"]
    rest = content(cleanups.http.get(cleanups.path, params={"limit": "9", "continue": token}))
    assert names(rest) == ["d", "f", "g"]
    assert "note" not in rest["items"][-1]["spec"]
    assert rest["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    assert not rest["metadata"].get("continue")
    assert names(content(cleanups.http.get(cleanups.path))) == ["a", "b", "c", "d", "e", "g"]


@pytest.mark.parametrize("parameters", [{"limit": "many"}, {"limit": "1", "continue": "nonsense"}])
def test_parameters_that_make_no_sense_are_refused(cleanups: Cleanups, parameters: dict[str, str]) -> None:
    assert content(cleanups.http.get(cleanups.path, params=parameters), 400)["reason"] == "BadRequest"


@pytest.mark.parametrize("spelling", ["true", "True", "1"])
def test_a_watch_tells_what_happened_since_a_version(cleanups: Cleanups, spelling: str) -> None:
    cleanups.create("earlier")
    since = version(cleanups)
    created = cleanups.create("a", finalizers=["example.com/other"])
    patched = content(cleanups.patch("a", {"spec": {"note": "n"}}))
    status = content(cleanups.patch("a", {"status": {"phaseSummary": "1/5"}}, "/status"))
    deleting = content(cleanups.delete("a"))
    content(cleanups.patch("a", {"metadata": {"finalizers": None}}))
    with watching(cleanups, since, watch=spelling) as events:
        seen = [next(events) for _ in range(5)]
    assert [event["type"] for event in seen] == ["ADDED", "MODIFIED", "MODIFIED", "MODIFIED", "DELETED"]
    assert [event["object"] for event in seen[:4]] == [created, patched, status, deleting]
    gone, last = seen[4]["object"]["metadata"], deleting["metadata"]
    assert (gone["uid"], gone["finalizers"]) == (last["uid"], last["finalizers"]), "as it was before it went"
    assert int(gone["resourceVersion"]) > int(last["resourceVersion"])


def test_a_watch_tells_what_happens_while_it_is_open(cleanups: Cleanups) -> None:
    with watching(cleanups, version(cleanups)) as events:
        created = cleanups.create("a")
        assert next(events) == {"type": "ADDED", "object": created}
        patched = content(cleanups.patch("a", {"spec": {"note": "n"}}))
        assert next(events) == {"type": "MODIFIED", "object": patched}
        content(cleanups.delete("a"))
        assert next(events)["type"] == "DELETED"


def test_what_changes_nothing_is_no_event(cleanups: Cleanups) -> None:
    cleanups.create("a")
    content(cleanups.patch("a", {"spec": {"note": "n"}}))
    since = version(cleanups)
    content(cleanups.patch("a", {"spec": {"note": "n"}}))
    content(cleanups.patch("a", {"status": {"phaseSummary": "1/5"}}))
    last = cleanups.create("b")
    with watching(cleanups, since) as events:
        assert next(events)["object"] == last


def test_a_watch_from_version_0_begins_with_what_is_there(cleanups: Cleanups) -> None:
    created = [cleanups.create(name) for name in "ab"]
    with watching(cleanups, "0") as events:
        seen = [next(events), next(events)]
    assert seen == [{"type": "ADDED", "object": body} for body in created]


def test_a_watch_sees_its_namespace_only(server: ApiServer, cleanups: Cleanups) -> None:
    since = version(cleanups)
    other = Cleanups(server.http, server.create_namespace()).create("a")
    ours = cleanups.create("a")
    with watching(cleanups, since) as events:
        assert next(events)["object"] == ours
    with watching(cleanups, since, f"{GROUP}/failedexecutioncleanups") as events:
        seen = next(events)
        while seen["object"]["metadata"]["namespace"] != other["metadata"]["namespace"]:
            seen = next(events)
        assert seen["object"] == other


def test_a_watch_ends_when_its_time_is_over(cleanups: Cleanups) -> None:
    cleanups.create("a")
    since = version(cleanups)
    last = cleanups.create("b")
    with watching(cleanups, since, timeoutSeconds="1") as events:
        assert list(events) == [{"type": "ADDED", "object": last}]


def test_a_watch_from_a_forgotten_version_is_told_so(cleanups: Cleanups) -> None:
    with watching(cleanups, "1") as events:
        (event,) = events
    status = event["object"]
    assert event["type"] == "ERROR"
    assert (status["kind"], status["status"], status["code"]) == ("Status", "Failure", 410)
    assert status["reason"] == "Expired"
    assert status["message"].startswith("too old resource version: 1 (")


def test_namespaces_and_definitions_are_watched_too(server: ApiServer, cleanups: Cleanups) -> None:
    with watching(cleanups, "0", "/api/v1/namespaces") as events:
        while next(events)["object"]["metadata"]["name"] != cleanups.namespace:
            pass
    with watching(cleanups, "0", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions") as events:
        found = {next(events)["object"]["metadata"]["name"] for _ in range(2)}
    assert found == {"appliances.failover.ossea.io", "failedexecutioncleanups.failover.ossea.io"}


def test_what_is_not_served_cannot_be_watched(server: ApiServer) -> None:
    answer = server.http.get(f"{GROUP}/things", params={"watch": "true", "resourceVersion": "1"})
    assert (answer.status_code, answer.text) == (404, "404 page not found\n")
