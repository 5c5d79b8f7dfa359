"""Cards and plans over HTTP, on a pretend appliance: who may see them, and what they say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from failed_execution_cleanup.recovery.approval import plan_hash, plan_of
from failed_execution_cleanup.recovery.decide import Refuse
from failed_execution_cleanup.run.cleanup import Cleanup
from tests.unit.client.cluster import appliance_body, cleanup_body, ready
from tests.unit.console.cluster import ConsoleCluster, client, services, with_appliance
from tests.unit.run.engine import Asker, Engine, engine


async def get(cluster: ConsoleCluster, path: str, token: str | None = "token-of-alice", **params: Any) -> Any:  # noqa: S107
    async with client(services(cluster), token) as http:
        return await http.get(path, params=params or None)  # empty ones would take a query off the path


async def test_cards_of_a_stuck_vm_and_of_a_healthy_one(tmp_path: Path) -> None:
    async with engine(tmp_path, "F11", disks=1) as run:
        await run.appliance.build("F30", vm_name="web shop", disks=1)
        cluster = ConsoleCluster()
        with_appliance(cluster, run)
        job = run.built.failover_job_id
        cluster.put(cleanup_body(status=ready("RunningTestVM", phaseSummary="2/5"), failoverJobID=job))
        body = (await get(cluster, "/vms")).json()
    stuck, healthy = body["items"]
    assert (stuck["vm_name"], stuck["state"], stuck["incident"]["job_id"]) == ("pgtest1", "stuck", job)
    assert stuck["incident"]["last_step"] == "Preparing Drivers for Compatibility"
    assert (stuck["cleanup"]["reason"], stuck["cleanup"]["phase_summary"]) == ("RunningTestVM", "2/5")
    assert (healthy["vm_name"], healthy["state"], healthy["incident"]) == ("web shop", "clean", None)
    assert body["counts"] == {"stuck": 1, "running": 0, "unknown": 0, "clean": 1}


async def test_pages_and_filters(tmp_path: Path) -> None:
    async with engine(tmp_path, "F11", disks=1) as run:
        for name in ("a", "b", "c"):
            await run.appliance.build("F30", vm_name=f"web {name}", disks=1)
        cluster = ConsoleCluster()
        with_appliance(cluster, run)
        async with client(services(cluster)) as http:
            seen, cursor = [], None
            while True:
                query: dict[str, Any] = {"q": "WEB", "limit": 2, **({"cursor": cursor} if cursor else {})}
                body = (await http.get("/vms", params=query)).json()
                seen += [item["vm_name"] for item in body["items"]]
                cursor = body["next"]
                if cursor is None:
                    break
            only = (await http.get("/vms", params={"state": "stuck"})).json()
            none = await http.get("/vms", params={"appliance": "nowhere"})
    assert seen == ["web a", "web b", "web c"]
    assert ([item["vm_name"] for item in only["items"]], only["total"]) == (["pgtest1"], 1)
    assert (none.status_code, none.json()["reason"]) == (404, "UnknownVM")


async def test_who_may_not_see_plans_sees_no_vm(tmp_path: Path) -> None:
    async with engine(tmp_path, "F11", disks=1) as run:
        cluster = ConsoleCluster()
        with_appliance(cluster, run)
        for path in ("/vms", "/vms/pgtest1/plan", "/vms/pgtest1/plan?appliance=default"):
            answer = await get(cluster, path, "token-of-eve")
            assert (answer.status_code, answer.json()["reason"]) == (403, "Forbidden")
            assert "fec-plan-viewer" in answer.json()["remedy"]


async def test_who_may_not_list_cleanups_sees_none_on_cards(tmp_path: Path) -> None:
    async with engine(tmp_path, "F11", disks=1) as run:
        cluster = ConsoleCluster()
        with_appliance(cluster, run)
        cluster.put(cleanup_body(status=ready("RunningTestVM"), failoverJobID=run.built.failover_job_id))
        (card,) = (await get(cluster, "/vms", "token-of-bob")).json()["items"]
        plan = (await get(cluster, "/vms/pgtest1/plan", "token-of-bob")).json()
    assert (card["vm_name"], card["cleanup"]) == ("pgtest1", None)
    assert plan["cleanup"] is None


async def test_an_appliance_out_of_reach_is_told_beside_the_cards_of_others(tmp_path: Path) -> None:
    async with engine(tmp_path, "F11", disks=1) as run:
        cluster = ConsoleCluster()
        with_appliance(cluster, run)
        broken = appliance_body("broken")
        broken["spec"]["database"]["urlSecretRef"]["name"] = "nobodys"
        cluster.secrets["nobodys"] = "sqlite+aiosqlite:////nowhere/oma.db"
        cluster.put(broken)
        body = (await get(cluster, "/vms")).json()
        plan = await get(cluster, "/vms/pgtest1/plan")
        named = await get(cluster, "/vms/pgtest1/plan", appliance="default")
    assert [item["vm_name"] for item in body["items"]] == ["pgtest1"]
    assert [problem["appliance"] for problem in body["problems"]] == ["broken"]
    # Nobody knows whether the other one protects a VM of that name too.
    assert (plan.status_code, plan.json()["reason"]) == (503, "ApplianceUnreachable")
    assert named.status_code == 200


async def preview(run: Engine) -> Any:
    return await Cleanup(run.doors, run.settings, "engine-1", Asker(run.order()), run.limits).preview()


@pytest.mark.parametrize("row", ["F11", "F24", "F28"])
async def test_a_plan_is_what_the_engine_would_do(tmp_path: Path, row: str) -> None:
    async with engine(tmp_path, row, disks=2) as run:
        cluster = ConsoleCluster()
        with_appliance(cluster, run)
        plan = (await get(cluster, "/vms/pgtest1/plan")).json()
        progress = await preview(run)
        actions = plan_of(progress.world, progress.decision.assessment)
        assert plan["plan_hash"] == plan_hash(actions)
        assert [each["object"] for each in plan["actions"]] == [action.object for action in actions]
        refused = isinstance(progress.decision, Refuse)
        assert plan["reason"] == (progress.decision.reason.value if refused else None)
        assert plan["phases"][0]["name"] == "detach-volumes"
        assert all(phase["why"] for phase in plan["phases"])
        assert run.appliance.journal.requests() == []


@pytest.mark.parametrize("allowed", [["RunningTestVM"], []])
async def test_an_obstacle_says_what_a_person_may_do(tmp_path: Path, allowed: list[str]) -> None:
    async with engine(tmp_path, "F28", disks=1) as run:
        cluster = ConsoleCluster()
        with_appliance(cluster, run, waivers=allowed)
        plan = (await get(cluster, "/vms/pgtest1/plan")).json()
    (obstacle,) = [each for each in plan["obstacles"] if each["reason"] == "RunningTestVM"]
    assert obstacle["needs_person"] is True
    assert obstacle["waiver"] == {"reason": "RunningTestVM", "object": "job", "allowed": bool(allowed)}
    assert "Waive RunningTestVM" in obstacle["remedy"]


@pytest.mark.parametrize("where", ["the request", "the cleanup"])
@pytest.mark.parametrize("allowed", [True, False])
async def test_a_waiver_is_taken_into_account_where_the_appliance_allows_it(
    tmp_path: Path, where: str, allowed: bool
) -> None:
    async with engine(tmp_path, "F28", disks=1) as run:
        cluster = ConsoleCluster()
        with_appliance(cluster, run, waivers=["RunningTestVM"] if allowed else [])
        query = {"waive": "RunningTestVM=job"} if where == "the request" else {}
        if where == "the cleanup":
            granted = [{"reason": "RunningTestVM", "object": "job"}]
            cluster.put(cleanup_body(failoverJobID=run.built.failover_job_id, waive=granted))
        plan = (await get(cluster, "/vms/pgtest1/plan", **query)).json()
    assert (plan["reason"] == "RunningTestVM") is not allowed
    assert ("RunningTestVM" in {each["reason"] for each in plan["obstacles"]}) is not allowed


@pytest.mark.parametrize("text", ["RunningTestVM", "RunningTestVM=", "Anything=job"])
async def test_a_waiver_that_is_none_is_refused(text: str) -> None:
    answer = await get(ConsoleCluster(), "/vms/pgtest1/plan", waive=text)
    assert (answer.status_code, answer.json()["reason"]) == (422, "InvalidRequest")


async def test_the_running_vm_of_a_live_failover_is_not_offered_for_a_waiver(tmp_path: Path) -> None:
    async with engine(tmp_path, "F28", disks=1, kind="live") as run:
        cluster = ConsoleCluster()
        with_appliance(cluster, run, waivers=["RunningTestVM", "LiveFailover", "EngineMayWake"])
        plan = (await get(cluster, "/vms/pgtest1/plan")).json()
    offered = {each["reason"]: each["waiver"] for each in plan["obstacles"]}
    assert offered["RunningTestVM"] is None
    assert offered["LiveFailover"] == {"reason": "LiveFailover", "object": "job", "allowed": True}


async def test_the_plan_of_a_vm_that_was_cleaned_is_that_of_one_more_run(tmp_path: Path) -> None:
    async with engine(tmp_path, "F11", disks=1) as run:
        cluster = ConsoleCluster()
        with_appliance(cluster, run)
        await run.run()
        plan = (await get(cluster, "/vms/pgtest1/plan")).json()
    assert (plan["reason"], plan["actions"]) == ("AlreadyClean", [])
    assert [goal["reached"] for goal in plan["goals"]] == [True] * 4


async def test_a_vm_nobody_knows_and_one_that_two_know(tmp_path: Path) -> None:
    async with engine(tmp_path, "F11", disks=1) as run:
        cluster = ConsoleCluster()
        with_appliance(cluster, run)
        unknown = await get(cluster, "/vms/pgtest%20two/plan")
        with_appliance(cluster, run, "second")
        ambiguous = await get(cluster, "/vms/pgtest1/plan")
    assert (unknown.status_code, unknown.json()["reason"]) == (404, "UnknownVM")
    assert unknown.json()["vm_name"] == "pgtest two"
    assert (ambiguous.status_code, ambiguous.json()["reason"]) == (409, "AmbiguousVM")
    assert "second" in ambiguous.json()["error"]


async def test_a_slash_in_a_name_is_no_page(tmp_path: Path) -> None:
    cluster = ConsoleCluster()
    assert (await get(cluster, "/vms/a%2Fb/plan")).status_code == 404
