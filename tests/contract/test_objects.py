"""The life of an object: names, versions, generations, patches, status, finalizers, deletion."""

import base64
import re
from typing import Any

import pytest

from tests.contract.api_server import GROUP, MERGE_PATCH, ApiServer, Cleanups, content

HELD = "failover.ossea.io/claim"
OTHER = "example.com/other"
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def test_a_new_object_has_what_the_server_gives(cleanups: Cleanups) -> None:
    created = cleanups.create("pgtest1", labels={"team": "dr"})
    metadata = created["metadata"]
    assert UUID.fullmatch(metadata["uid"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", metadata["creationTimestamp"])
    assert (metadata["generation"], metadata["namespace"], metadata["labels"]) == (
        1,
        cleanups.namespace,
        {"team": "dr"},
    )
    assert int(metadata["resourceVersion"]) > 0
    assert content(cleanups.get("pgtest1")) == created


def test_defaults_of_the_definition_are_filled_in_and_a_given_status_is_not_taken(cleanups: Cleanups) -> None:
    created = cleanups.create("pgtest1")
    assert created["spec"] == {
        "vmName": "pgtest1",
        "applianceRef": {"name": "default"},
        "mode": "Execute",
        "suspend": False,
        "driftPolicy": "Report",
        "deadlineSeconds": 14_400,
    }
    assert created["status"] == {"observedGeneration": -1}


def test_defaults_within_defaults_are_filled_in(server: ApiServer, namespace: str) -> None:
    body = {
        "apiVersion": "failover.ossea.io/v1alpha1",
        "kind": "Appliance",
        "metadata": {"name": namespace},
        "spec": {
            "database": {"urlSecretRef": {"name": "oma", "key": "url"}},
            "volumeDaemon": {"url": "http://oma.example.com:8090"},
            "settle": {"quietSeconds": 1},
        },
    }
    spec = content(server.http.post(f"{GROUP}/appliances", json=body), 201)["spec"]
    assert spec["testVM"] == {"forceStop": "Never", "stopTimeoutSeconds": 300}
    assert spec["settle"] == {
        "quietSeconds": 1,
        "revertQuietSeconds": 1800,
        "revertSecondsPerGiB": 10,
        "operationSeconds": 420,
    }
    content(server.http.delete(f"{GROUP}/appliances/{namespace}"))


def test_a_name_exists_once_per_namespace(server: ApiServer, cleanups: Cleanups) -> None:
    cleanups.create("pgtest1")
    status = content(cleanups.post("pgtest1"), 409)
    assert status == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'failedexecutioncleanups.failover.ossea.io "pgtest1" already exists',
        "reason": "AlreadyExists",
        "details": {"name": "pgtest1", "group": "failover.ossea.io", "kind": "failedexecutioncleanups"},
        "code": 409,
    }
    Cleanups(server.http, server.create_namespace()).create("pgtest1")


def test_a_name_can_be_generated(cleanups: Cleanups) -> None:
    first, second = (
        cleanups.create("", spec={"vmName": "x"}, generateName="scan-")["metadata"]["name"] for _ in range(2)
    )
    assert first != second
    assert all(re.fullmatch(r"scan-[a-z0-9]{5}", name) for name in (first, second))


@pytest.mark.parametrize("name", ["PG Test 1", "-pgtest", "", "a..b"])
def test_a_name_is_a_dns_name(cleanups: Cleanups, name: str) -> None:
    status = content(cleanups.post(name), 422)
    assert status["reason"] == "Invalid"
    assert "metadata.name" in status["message"]


def test_an_object_needs_its_namespace(server: ApiServer) -> None:
    status = content(Cleanups(server.http, "nowhere").post("pgtest1"), 404)
    assert status["message"] == 'namespaces "nowhere" not found'


def test_an_object_is_of_the_kind_and_namespace_of_its_path(server: ApiServer, cleanups: Cleanups) -> None:
    assert content(cleanups.post("pgtest1", namespace="default"), 400)["reason"] == "BadRequest"
    body = {"apiVersion": "failover.ossea.io/v1alpha1", "kind": "Appliance", "metadata": {"name": "x"}, "spec": {}}
    assert content(server.http.post(cleanups.path, json=body), 422)["reason"] == "Invalid"


def test_a_body_that_is_no_json_is_refused(server: ApiServer, cleanups: Cleanups) -> None:
    answer = server.http.post(cleanups.path, content=b"{", headers={"Content-Type": "application/json"})
    assert content(answer, 400)["reason"] == "BadRequest"


def test_what_is_missing_is_not_found(cleanups: Cleanups) -> None:
    for answer in (cleanups.get("x"), cleanups.patch("x", {}), cleanups.delete("x")):
        status = content(answer, 404)
        assert status["message"] == 'failedexecutioncleanups.failover.ossea.io "x" not found'
        assert status["details"] == {"name": "x", "group": "failover.ossea.io", "kind": "failedexecutioncleanups"}


def test_generation_counts_changes_of_the_spec_only(cleanups: Cleanups) -> None:
    cleanups.create("pgtest1")
    for patch, subresource, generation in (
        ({"metadata": {"labels": {"a": "b"}, "annotations": {"a": "b"}}}, "", 1),
        ({"spec": {"suspend": True}}, "", 2),
        ({"status": {"phaseSummary": "1/5"}}, "/status", 2),
        ({"spec": {"suspend": True}}, "", 2),
        ({"spec": {"suspend": False}}, "", 3),
    ):
        assert content(cleanups.patch("pgtest1", patch, subresource))["metadata"]["generation"] == generation


def test_every_change_has_a_new_version_and_no_change_has_none(cleanups: Cleanups) -> None:
    cleanups.create("pgtest1")
    versions = [
        int(content(cleanups.patch("pgtest1", {"spec": {"note": note}}))["metadata"]["resourceVersion"])
        for note in ("a", "b", "b")
    ]
    assert versions[0] < versions[1] == versions[2]


def test_versions_are_counted_over_all_kinds(server: ApiServer, cleanups: Cleanups) -> None:
    created = cleanups.create("pgtest1")
    secret = content(server.http.post(f"/api/v1/namespaces/{cleanups.namespace}/secrets", json=named("s")), 201)
    patched = content(cleanups.patch("pgtest1", {"spec": {"note": "a"}}))
    versions = [int(body["metadata"]["resourceVersion"]) for body in (created, secret, patched)]
    assert versions == sorted(set(versions))


def test_a_merge_patch_removes_with_null_and_defaults_come_back(cleanups: Cleanups) -> None:
    cleanups.create("pgtest1", spec={"note": "ticket 4711", "suspend": True}, labels={"a": "b", "c": "d"})
    patched = content(
        cleanups.patch("pgtest1", {"metadata": {"labels": {"a": None}}, "spec": {"note": None, "suspend": None}})
    )
    assert "note" not in patched["spec"]
    assert (patched["spec"]["suspend"], patched["metadata"]["labels"]) == (False, {"c": "d"})


def test_a_merge_patch_replaces_lists_whole(cleanups: Cleanups) -> None:
    cleanups.create("pgtest1", finalizers=[HELD])
    patched = content(cleanups.patch("pgtest1", {"metadata": {"finalizers": [OTHER]}}))
    assert patched["metadata"]["finalizers"] == [OTHER]
    assert "finalizers" not in content(cleanups.patch("pgtest1", {"metadata": {"finalizers": []}}))["metadata"]


def test_a_json_patch_is_done_whole_or_not_at_all(cleanups: Cleanups) -> None:
    created = cleanups.create("pgtest1")
    version = created["metadata"]["resourceVersion"]
    add = {"op": "add", "path": "/spec/note", "value": "ticket 4711"}
    for wrong in (
        {"op": "test", "path": "/metadata/resourceVersion", "value": "1"},
        {"op": "remove", "path": "/spec/nothing"},
    ):
        assert content(cleanups.json_patch("pgtest1", add, wrong), 422)["reason"] == "Invalid"
    assert content(cleanups.get("pgtest1")) == created
    right = {"op": "test", "path": "/metadata/resourceVersion", "value": version}
    patched = content(cleanups.json_patch("pgtest1", right, add))
    assert (patched["spec"]["note"], patched["metadata"]["generation"]) == ("ticket 4711", 2)


def test_a_patch_has_the_shape_of_its_format(server: ApiServer, cleanups: Cleanups) -> None:
    cleanups.create("pgtest1")
    path = f"{cleanups.path}/pgtest1"
    assert content(server.http.patch(path, json=[], headers=MERGE_PATCH), 400)["reason"] == "BadRequest"
    wrong = {"Content-Type": "application/json-patch+json"}
    assert content(server.http.patch(path, json={"op": "remove"}, headers=wrong), 400)["reason"] == "BadRequest"
    for unknown in ("application/json", "application/strategic-merge-patch+json"):
        answer = server.http.patch(path, json={}, headers={"Content-Type": unknown})
        assert content(answer, 415)["reason"] == "UnsupportedMediaType"


@pytest.mark.parametrize("subresource", ["", "/status"])
def test_a_patch_based_on_an_old_version_is_a_conflict(cleanups: Cleanups, subresource: str) -> None:
    old = cleanups.create("pgtest1")["metadata"]["resourceVersion"]
    content(cleanups.patch("pgtest1", {"spec": {"note": "a"}}))
    late = {"metadata": {"resourceVersion": old}, "spec": {"note": "b"}, "status": {"phaseSummary": "1/5"}}
    status = content(cleanups.patch("pgtest1", late, subresource), 409)
    assert status["reason"] == "Conflict"
    assert "the object has been modified" in status["message"]
    assert content(cleanups.get("pgtest1"))["spec"]["note"] == "a"


def test_what_the_server_sets_cannot_be_changed(cleanups: Cleanups) -> None:
    created = cleanups.create("pgtest1")["metadata"]
    forged = {"generation": 77, "creationTimestamp": "2020-01-01T00:00:00Z", "deletionTimestamp": None}
    metadata = content(cleanups.patch("pgtest1", {"metadata": forged}))["metadata"]
    assert all(metadata[field] == created[field] for field in ("generation", "creationTimestamp"))
    assert content(cleanups.patch("pgtest1", {"metadata": {"uid": "another"}}), 422)["reason"] == "Invalid"
    assert content(cleanups.patch("pgtest1", {"metadata": {"name": "another"}}), 400)["reason"] == "BadRequest"
    assert content(cleanups.patch("pgtest1", {"kind": "Another"}), 422)["reason"] == "Invalid"


def test_status_and_the_rest_are_written_apart(cleanups: Cleanups) -> None:
    cleanups.create("pgtest1", finalizers=[HELD])
    everything = {
        "metadata": {"labels": {"a": "b"}, "finalizers": []},
        "spec": {"suspend": True},
        "status": {"phaseSummary": "1/5"},
    }
    by_status = content(cleanups.patch("pgtest1", everything, "/status"))
    assert by_status["status"] == {"observedGeneration": -1, "phaseSummary": "1/5"}
    assert (by_status["spec"]["suspend"], by_status["metadata"]["finalizers"]) == (False, [HELD])
    assert "labels" not in by_status["metadata"]
    by_main = content(cleanups.patch("pgtest1", {**everything, "status": {"phaseSummary": "2/5"}}))
    assert (by_main["spec"]["suspend"], by_main["metadata"]["labels"]) == (True, {"a": "b"})
    assert by_main["status"]["phaseSummary"] == "1/5"
    assert content(cleanups.http.get(f"{cleanups.path}/pgtest1/status")) == by_main


def test_an_erased_status_is_that_of_a_new_object(cleanups: Cleanups) -> None:
    cleanups.create("pgtest1")
    cleanups.patch("pgtest1", {"status": {"phaseSummary": "1/5"}}, "/status")
    assert content(cleanups.patch("pgtest1", {"status": None}, "/status"))["status"] == {"observedGeneration": -1}


def test_put_replaces_what_it_has_read(cleanups: Cleanups) -> None:
    created = cleanups.create("pgtest1", spec={"note": "a"})
    del created["spec"]["note"]
    path = f"{cleanups.path}/pgtest1"
    replaced = content(cleanups.http.put(path, json={**created, "status": {"phaseSummary": "5/5"}}))
    assert "note" not in replaced["spec"]
    assert (replaced["status"], replaced["metadata"]["generation"]) == ({"observedGeneration": -1}, 2)
    assert content(cleanups.http.put(path, json=created), 409)["reason"] == "Conflict"
    of_status = {**replaced, "spec": {}, "status": {"phaseSummary": "1/5"}}
    written = content(cleanups.http.put(f"{path}/status", json=of_status))
    assert (written["status"]["phaseSummary"], written["spec"]) == ("1/5", replaced["spec"])


def test_put_of_a_custom_resource_needs_a_version_and_an_object(cleanups: Cleanups) -> None:
    created = cleanups.create("pgtest1")
    del created["metadata"]["resourceVersion"]
    path = f"{cleanups.path}/pgtest1"
    assert "must be specified for an update" in content(cleanups.http.put(path, json=created), 422)["message"]
    elsewhere = {**created, "metadata": {"name": "other"}}
    assert content(cleanups.http.put(path, json=elsewhere), 400)["reason"] == "BadRequest"
    assert content(cleanups.http.put(f"{cleanups.path}/other", json=elsewhere), 404)["reason"] == "NotFound"


def test_delete_without_finalizers_is_at_once(cleanups: Cleanups) -> None:
    uid = cleanups.create("pgtest1")["metadata"]["uid"]
    status = content(cleanups.delete("pgtest1"))
    assert (status["kind"], status["status"], status["details"]["uid"]) == ("Status", "Success", uid)
    assert cleanups.get("pgtest1").status_code == 404


def test_an_object_made_again_is_another_one(cleanups: Cleanups) -> None:
    first = cleanups.create("pgtest1")
    cleanups.patch("pgtest1", {"spec": {"suspend": True}})
    content(cleanups.delete("pgtest1"))
    second = cleanups.create("pgtest1")
    assert second["metadata"]["uid"] != first["metadata"]["uid"]
    assert (second["metadata"]["generation"], second["spec"]["suspend"]) == (1, False)


def test_a_finalizer_holds_an_object_that_is_being_deleted(cleanups: Cleanups) -> None:
    cleanups.create("pgtest1", finalizers=[HELD, OTHER])
    deleting = content(cleanups.delete("pgtest1"))
    assert deleting["kind"] == "FailedExecutionCleanup"
    assert "deletionTimestamp" in deleting["metadata"]
    assert deleting["metadata"]["generation"] == 2
    assert content(cleanups.delete("pgtest1")) == deleting, "a second deletion changes nothing"
    held = content(cleanups.patch("pgtest1", {"metadata": {"finalizers": [OTHER]}, "spec": {"suspend": True}}))
    assert held["metadata"]["deletionTimestamp"] == deleting["metadata"]["deletionTimestamp"]
    last = content(cleanups.patch("pgtest1", {"metadata": {"finalizers": None}}))
    assert "finalizers" not in last["metadata"]
    assert cleanups.get("pgtest1").status_code == 404


def test_no_finalizer_is_added_to_what_is_being_deleted(cleanups: Cleanups) -> None:
    cleanups.create("pgtest1", finalizers=[OTHER])
    content(cleanups.delete("pgtest1"))
    status = content(cleanups.patch("pgtest1", {"metadata": {"finalizers": [OTHER, HELD]}}), 422)
    assert "no new finalizers can be added if the object is being deleted" in status["message"]


def test_status_can_be_written_while_an_object_is_being_deleted(cleanups: Cleanups) -> None:
    cleanups.create("pgtest1", finalizers=[HELD])
    content(cleanups.delete("pgtest1"))
    written = content(cleanups.patch("pgtest1", {"status": {"phaseSummary": "1/5"}}, "/status"))
    assert (written["status"]["phaseSummary"], written["metadata"]["finalizers"]) == ("1/5", [HELD])


def test_delete_hits_only_the_object_it_names(cleanups: Cleanups) -> None:
    metadata = cleanups.create("pgtest1")["metadata"]
    for wrong in ({"uid": "another"}, {"resourceVersion": "1"}):
        assert content(cleanups.delete("pgtest1", **wrong), 409)["reason"] == "Conflict"
    content(cleanups.delete("pgtest1", uid=metadata["uid"], resourceVersion=metadata["resourceVersion"]))


def test_a_lease_is_created_by_put_and_then_needs_its_version(server: ApiServer, namespace: str) -> None:
    path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/leader"
    lease = {"metadata": {"name": "leader", "resourceVersion": "1"}, "spec": {"holderIdentity": "first"}}
    created = content(server.http.put(path, json=lease), 201)
    assert "generation" not in created["metadata"]
    assert content(server.http.put(path, json=lease), 409)["reason"] == "Conflict"
    assert content(server.http.put(path, json={**lease, "metadata": {"name": "leader"}}), 422)["reason"] == "Invalid"
    created["spec"]["holderIdentity"] = "second"
    assert content(server.http.put(path, json=created))["spec"]["holderIdentity"] == "second"
    elsewhere = path.replace(namespace, "nowhere")
    assert content(server.http.put(elsewhere, json=lease), 404)["message"] == 'namespaces "nowhere" not found'


def test_a_secret_keeps_plain_text_encoded(server: ApiServer, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/secrets"
    created = content(server.http.post(path, json={**named("keys"), "stringData": {"apiKey": "k"}}), 201)
    assert (created["type"], created["data"]) == ("Opaque", {"apiKey": base64.b64encode(b"k").decode()})
    assert "stringData" not in created
    more = {**named("keys"), "stringData": {"secretKey": "s"}}
    patched = content(server.http.patch(f"{path}/keys", json=more, headers=MERGE_PATCH))
    assert patched["data"] == {"apiKey": "aw==", "secretKey": "cw=="}
    replaced = content(server.http.put(f"{path}/keys", json=more))
    assert (replaced["data"], replaced["metadata"]["namespace"]) == ({"secretKey": "cw=="}, namespace)


def test_a_method_that_a_path_does_not_have_is_refused(server: ApiServer) -> None:
    assert content(server.http.post("/version"), 405)["reason"] == "MethodNotAllowed"


def named(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name}}
