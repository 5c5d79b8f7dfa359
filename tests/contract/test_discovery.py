"""What clients ask first: version, health, groups, kinds, and what is not there."""

from typing import Any

import pytest

from tests.contract.api_server import DEFINITIONS, GROUP, ApiServer, content


def resources(server: ApiServer, path: str) -> dict[str, dict[str, Any]]:
    return {entry["name"]: entry for entry in content(server.http.get(path))["resources"]}


def test_version_and_health_are_told(server: ApiServer) -> None:
    version = content(server.http.get("/version"))
    assert version["gitVersion"].startswith("v1.")
    assert (version["major"], int(version["minor"]) >= 30) == ("1", True)
    for path in ("/healthz", "/livez", "/readyz"):
        assert server.http.get(path).text == "ok"


def test_groups_are_listed_with_a_preferred_version(server: ApiServer) -> None:
    assert content(server.http.get("/api"))["versions"] == ["v1"]
    groups = {group["name"]: group for group in content(server.http.get("/apis"))["groups"]}
    for name, version in {
        "apiextensions.k8s.io": "v1",
        "coordination.k8s.io": "v1",
        "events.k8s.io": "v1",
        "failover.ossea.io": "v1alpha1",
    }.items():
        told = {"groupVersion": f"{name}/{version}", "version": version}
        assert groups[name]["preferredVersion"] == told
        assert told in groups[name]["versions"]
        assert content(server.http.get(f"/apis/{name}"))["name"] == name


@pytest.mark.parametrize(
    ("path", "plural", "kind", "namespaced"),
    [
        ("/api/v1", "namespaces", "Namespace", False),
        ("/api/v1", "secrets", "Secret", True),
        ("/apis/coordination.k8s.io/v1", "leases", "Lease", True),
        ("/apis/events.k8s.io/v1", "events", "Event", True),
        ("/apis/apiextensions.k8s.io/v1", "customresourcedefinitions", "CustomResourceDefinition", False),
        (GROUP, "failedexecutioncleanups", "FailedExecutionCleanup", True),
        (GROUP, "appliances", "Appliance", False),
    ],
)
def test_kinds_are_described(server: ApiServer, path: str, plural: str, kind: str, namespaced: bool) -> None:
    entry = resources(server, path)[plural]
    assert (entry["kind"], entry["singularName"], entry["namespaced"]) == (kind, kind.lower(), namespaced)
    assert {"create", "get", "list", "patch", "update", "watch"} <= set(entry["verbs"])


def test_custom_kinds_show_short_names_categories_and_the_status_subresource(server: ApiServer) -> None:
    found = resources(server, GROUP)
    assert found["failedexecutioncleanups"]["shortNames"] == ["fec"]
    assert found["failedexecutioncleanups"]["categories"] == ["dr"]
    assert set(found["failedexecutioncleanups/status"]["verbs"]) == {"get", "patch", "update"}


def test_a_definition_is_established_and_names_its_kind(server: ApiServer) -> None:
    definition = content(server.http.get(f"{DEFINITIONS}/failedexecutioncleanups.failover.ossea.io"))
    conditions = {condition["type"]: condition["status"] for condition in definition["status"]["conditions"]}
    assert conditions == {"NamesAccepted": "True", "Established": "True"}
    assert definition["status"]["acceptedNames"]["plural"] == "failedexecutioncleanups"
    assert definition["metadata"]["generation"] == 1


def test_a_definition_that_exists_is_not_created_again(server: ApiServer) -> None:
    definition = content(server.http.get(f"{DEFINITIONS}/appliances.failover.ossea.io"))
    again = {**definition, "metadata": {"name": definition["metadata"]["name"]}}
    assert content(server.http.post(DEFINITIONS, json=again), 409)["reason"] == "AlreadyExists"


@pytest.mark.parametrize(
    "path",
    [
        "/apis/nobody.example.com",
        "/apis/nobody.example.com/v1",
        "/apis/nobody.example.com/v1/things",
        "/apis/failover.ossea.io/v9",
        f"{GROUP}/things",
        f"{GROUP}/namespaces/default/things",
        f"{GROUP}/namespaces/default/appliances",
        f"{GROUP}/failedexecutioncleanups/pgtest1",
    ],
)
def test_what_no_definition_serves_is_a_page_that_is_not_found(server: ApiServer, path: str) -> None:
    answer = server.http.get(path)
    assert (answer.status_code, answer.text) == (404, "404 page not found\n")
    assert answer.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize("path", ["/api/v1/things", "/apis/coordination.k8s.io/v1/namespaces/default/things"])
def test_an_unknown_kind_of_a_built_in_group_is_a_status(server: ApiServer, path: str) -> None:
    status = content(server.http.get(path), 404)
    assert (status["kind"], status["reason"]) == ("Status", "NotFound")
    assert status["message"] == "the server could not find the requested resource"


def test_the_default_namespace_is_there_and_a_new_one_is_active(server: ApiServer, namespace: str) -> None:
    listed = content(server.http.get("/api/v1/namespaces"))
    found = {item["metadata"]["name"]: item for item in listed["items"]}
    assert {"default", namespace} <= found.keys()
    assert found[namespace]["status"] == {"phase": "Active"}
    assert found[namespace]["metadata"]["labels"] == {"kubernetes.io/metadata.name": namespace}
    assert listed["kind"] == "NamespaceList"
    assert "kind" not in found[namespace], "only custom resources say in a list what they are"
