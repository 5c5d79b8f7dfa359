"""What is read from the simulator's journal."""

import pytest

from appliance_simulator.cloud import Cloud
from appliance_simulator.journal import Door, Journal
from benchmarks.bound import Step
from benchmarks.journal import REVERTS, Entry, Span, chains, first_requests, most_at_once, most_in_a_second, span, spans

LATENCIES = {"detachVolume": 2.0, "revertSnapshot": 8.0, "deleteSnapshot": 1.0, "attachVolume": 2.0}


def entries(journal: Journal) -> list[Entry]:
    found: list[Entry] = journal.as_json()["entries"]
    return found


def cleaned() -> list[Entry]:
    """What a cleanup of one volume leaves in the journal, written by the simulator's own classes."""
    journal = Journal()
    cloud = Cloud(journal)
    vm = cloud.vms[cloud.oma_vm_id]
    volume = cloud.add_volume("disk", 2**30, content="replica:1")
    cloud.place(volume, vm.id)
    snapshot = cloud.add_snapshot(volume, "restore-point")
    journal.clear()
    for door, command, object_id in (
        (Door.DAEMON, "detach", volume.id),
        (Door.OSSEA, "revertSnapshot", snapshot.id),
        (Door.OSSEA, "deleteSnapshot", snapshot.id),
        (Door.DAEMON, "attach", volume.id),
    ):
        journal.request(door, command, (object_id,), {}).executed = True
        if command == "detach":
            journal.request(Door.OSSEA, "detachVolume", (volume.id,), {}, caller="daemon")
            cloud.detach(volume)
        elif command == "attach":
            cloud.attach(volume, vm, None)
        elif command == "revertSnapshot":
            journal.effect("reverted", volume.id, snapshotid=snapshot.id, content="")
        else:
            journal.effect("snapshot-deleted", snapshot.id, volumeid=volume.id)
    return entries(journal)


def test_a_volume_goes_through_its_steps_on_the_servers_that_do_them() -> None:
    ((detach, revert, delete, attach),) = chains(cleaned(), LATENCIES)
    assert detach == Step("detachVolume", 2.0, attach.server)
    assert attach.server is not None
    assert revert == Step("revertSnapshot", 8.0, REVERTS)
    assert delete == Step("deleteSnapshot", 1.0)


def test_the_first_request_for_a_vm_is_one_that_names_an_object_of_its() -> None:
    noted = cleaned()
    volume_id = noted[0]["object_ids"][0]
    assert first_requests(noted, {volume_id: "pgtest1", "another": "pgtest2"}) == {"pgtest1": noted[0]["time"]}


def test_a_revert_is_in_flight_from_its_request_to_its_effect() -> None:
    noted = cleaned()
    (revert,) = spans(noted, "revertSnapshot", "reverted")
    times = {entry.get("kind") or entry["command"]: entry["time"] for entry in noted}
    assert revert == Span(times["revertSnapshot"], times["reverted"])
    assert span(noted) == Span(noted[0]["time"], times["attached"])


@pytest.mark.parametrize(
    ("begun_and_ended", "most"),
    [([], 0), ([(0, 1)], 1), ([(0, 1), (1, 2)], 1), ([(0, 2), (1, 3), (2.5, 4)], 2), ([(0, 9), (1, 9), (2, 9)], 3)],
)
def test_most_at_once(begun_and_ended: list[tuple[float, float]], most: int) -> None:
    assert most_at_once(Span(begun, ended) for begun, ended in begun_and_ended) == most


@pytest.mark.parametrize(
    ("moments", "most"), [([], 0), ([1.0], 1), ([0.0, 1.0], 1), ([2.5, 0.0, 2.0, 2.9], 3), ([0.0, 0.5, 0.9, 1.2], 3)]
)
def test_most_in_a_second(moments: list[float], most: int) -> None:
    assert most_in_a_second(moments) == most
