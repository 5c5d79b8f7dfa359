"""Who may do what with cleanups and Appliances: one table of acts and people, decided by the real API server.

Everything a person is refused says which right is missing and which role gives it; what does not change is never asked for.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import pytest

from development.control_plane import ControlPlane
from tests.authority.people import ACCOUNTS, APPLIANCE, JOB, NAMESPACE, PATCHER, WAIVER, Person, appliance, cleanup

# Starting the API server counts against the first test.
pytestmark = pytest.mark.timeout(150)

NO_ROLE: Final = "cannot"
"""How RBAC itself refuses: User "stranger" cannot create resource …"""
NO_USE: Final = f"may not use Appliance {APPLIANCE}: the verb use on appliances.failover.ossea.io is missing"
NO_WAIVE: Final = f"may not waive RunningTestVM in namespace {NAMESPACE}: the verb waive on failedexecutioncleanups"
WRONG_NAME: Final = "spec.requestedBy is somebody-else but the request comes from"

PLAIN: Final = cleanup("plain")
WAIVED: Final = cleanup(
    "waived",
    annotations={f"failover.ossea.io/{key}": "1" for key in ("requestedAt", "approvedPlan")},
    failoverJobID=JOB,
    requestedBy="somebody-else",
    waive=[WAIVER],
)
SUSPENDED: Final = cleanup("suspended", annotations={"failover.ossea.io/suspended": "true"})
STORED: Final = (PLAIN, WAIVED, SUSPENDED, appliance(APPLIANCE))


def annotate(document: Mapping[str, Any], key: str, value: str | None) -> Callable[[Person], str]:
    change = {"metadata": {"annotations": {f"failover.ossea.io/{key}": value}}}
    return lambda person: person.patch(document, change)


def respecify(document: Mapping[str, Any], **spec: Any) -> Callable[[Person], str]:
    return lambda person: person.patch(document, {"spec": spec})


def named_after_the_requester(person: Person) -> str:
    return person.create(cleanup("new", requestedBy=person.name))


def generated_name_with_waiver(person: Person) -> str:
    document = cleanup("", failoverJobID=JOB, waive=[WAIVER])
    document["metadata"] = {"generateName": "pgtest1-", "namespace": NAMESPACE}
    return person.create(document)


ANYBODY_WITH_CLEANUPS: Final = {"clerk", "user", "misbound", "waiver", "waiver-elsewhere"}
USERS: Final = {"user", "waiver", "waiver-elsewhere"}


@dataclass(frozen=True)
class Act:
    """Something people try.

    Attributes:
        attempt: tries it; returns the refusal, or an empty text.
        allowed: who may.
        refusal: what those are told who may change cleanups, but not this; nobody else gets past RBAC.
    """

    attempt: Callable[[Person], str]
    allowed: set[str]
    refusal: str = NO_ROLE


ACTS: Final[Mapping[str, Act]] = {
    "read a cleanup": Act(lambda p: p.read(PLAIN), {"viewer"} | ANYBODY_WITH_CLEANUPS),
    "read an appliance": Act(lambda p: p.read(appliance(APPLIANCE)), {"administrator"}),
    "create": Act(lambda p: p.create(cleanup("new")), USERS, NO_USE),
    "create by server-side apply": Act(lambda p: p.apply(cleanup("new")), USERS, NO_USE),
    "create a plan": Act(lambda p: p.create(cleanup("new", mode="Plan")), USERS, NO_USE),
    "create on another appliance": Act(
        lambda p: p.create(cleanup("new", applianceRef={"name": "other"})), set(), "may not use Appliance other"
    ),
    "create with a waiver": Act(
        lambda p: p.create(cleanup("new", failoverJobID=JOB, waive=[WAIVER])), {"waiver"}, "may not "
    ),
    "create with a waiver and a generated name": Act(generated_name_with_waiver, {"waiver"}, "may not "),
    "create in one's own name": Act(named_after_the_requester, USERS, NO_USE),
    "create in another's name": Act(
        lambda p: p.create(cleanup("new", requestedBy="somebody-else")), set(), "requestedBy|may not use"
    ),
    "apply unchanged": Act(lambda p: p.apply(PLAIN), ANYBODY_WITH_CLEANUPS),
    "apply unchanged with waivers, annotations and requester": Act(lambda p: p.apply(WAIVED), ANYBODY_WITH_CLEANUPS),
    "label": Act(lambda p: p.patch(WAIVED, {"metadata": {"labels": {"team": "dr"}}}), ANYBODY_WITH_CLEANUPS),
    "change the deadline": Act(respecify(PLAIN, deadlineSeconds=60), USERS, NO_USE),
    "change a note where waivers are": Act(respecify(WAIVED, note="ticket 4711"), USERS, NO_USE),
    "add a waiver": Act(respecify(PLAIN, failoverJobID=JOB, waive=[WAIVER]), {"waiver"}, f"{NO_WAIVE}|{NO_USE}"),
    "add a second waiver": Act(
        respecify(WAIVED, waive=[WAIVER, {"reason": "AcceptContent", "object": "v-1"}]), {"waiver"}, "may not "
    ),
    "take a waiver to another object": Act(
        respecify(WAIVED, waive=[{"reason": "RunningTestVM", "object": "vm-2"}]), {"waiver"}, "may not "
    ),
    "remove a waiver": Act(respecify(WAIVED, waive=None), USERS, NO_USE),
    "claim another's request": Act(respecify(PLAIN, requestedBy="somebody-else"), set(), "requestedBy|may not use"),
    "take a name off": Act(respecify(WAIVED, requestedBy=None), USERS, NO_USE),
    "ask for a run": Act(annotate(PLAIN, "requestedAt", "2026-10-01T10:00:00Z"), USERS, NO_USE),
    "ask again": Act(annotate(WAIVED, "requestedAt", "2"), USERS, NO_USE),
    "take a request back": Act(annotate(WAIVED, "requestedAt", None), USERS, NO_USE),
    "approve a plan": Act(annotate(PLAIN, "approvedPlan", "0123456789abcdef"), USERS, NO_USE),
    "approve another plan": Act(annotate(WAIVED, "approvedPlan", "2"), USERS, NO_USE),
    "suspend by annotation": Act(annotate(PLAIN, "suspended", "true"), ANYBODY_WITH_CLEANUPS),
    "resume by annotation": Act(annotate(SUSPENDED, "suspended", None), USERS, NO_USE),
    "resume by another word": Act(annotate(SUSPENDED, "suspended", "no"), USERS, NO_USE),
    "delete": Act(lambda p: p.delete(WAIVED), ANYBODY_WITH_CLEANUPS),
    "write a status": Act(lambda p: p.patch(PLAIN, {"status": {"phaseSummary": "5/5"}}, "status"), set()),
    "create an appliance": Act(lambda p: p.create(appliance("another")), {"administrator"}),
    "change an appliance": Act(
        lambda p: p.patch(appliance(APPLIANCE), {"spec": {"allowedNamespaces": ["dr"]}}), {"administrator"}
    ),
    "write an appliance's status": Act(
        lambda p: p.patch(appliance(APPLIANCE), {"status": {"stuckVMs": 0}}, "status"), set()
    ),
    "delete an appliance": Act(lambda p: p.delete(appliance(APPLIANCE)), {"administrator"}),
}


@pytest.fixture(scope="module")
def stored(control_plane: ControlPlane, people: dict[str, Person]) -> Iterator[dict[str, Person]]:
    """What the acts are about, stored by the cluster's administrator for a while."""
    # The policy holds for everybody: who may impersonate a user also answers for that name.
    documents = "\n".join(f"---\n{json.dumps(document)}" for document in STORED)
    control_plane.kubectl("apply", "-f", "-", "--as=somebody-else", "--as-group=system:masters", input=documents)
    yield people
    control_plane.kubectl("delete", "-f", "-", input=documents)


@pytest.mark.parametrize("person", ACCOUNTS)
@pytest.mark.parametrize("act", ACTS)
def test_who_may(stored: dict[str, Person], act: str, person: str) -> None:
    row = ACTS[act]
    answer = row.attempt(stored[person])
    if person in row.allowed:
        assert answer == ""
    elif person in ANYBODY_WITH_CLEANUPS:
        assert any(part in answer for part in row.refusal.split("|")), answer
    else:
        assert NO_ROLE in answer


@pytest.mark.parametrize(
    ("attempt", "role"),
    [
        (respecify(PLAIN, note="rewritten"), "fec-cleanup-operator"),
        (respecify(PLAIN, failoverJobID=JOB, waive=[WAIVER]), "fec-cleanup-operator"),
        (lambda p: p.patch(appliance(APPLIANCE), {"spec": {"waivers": ["ZombieJob"]}}), "fec-appliance-administrator"),
        (lambda p: p.patch(PLAIN, {"metadata": {"finalizers": ["failover.ossea.io/claim"]}}), None),
        (lambda p: p.patch(appliance(APPLIANCE), {"metadata": {"finalizers": ["failover.ossea.io/claim"]}}), None),
    ],
)
def test_patch_without_update_reaches_metadata_only(
    stored: dict[str, Person], attempt: Callable[[Person], str], role: str | None
) -> None:
    answer = attempt(stored[PATCHER])
    if role is None:
        assert answer == ""
    else:
        assert "patcher may not change the spec" in answer
        assert f"ClusterRole {role} gives" in answer


@pytest.mark.parametrize(
    ("person", "document", "role"),
    [
        ("clerk", cleanup("new"), "ClusterRole fec-appliance-user gives when bound by a ClusterRoleBinding"),
        ("user", cleanup("new", failoverJobID=JOB, waive=[WAIVER]), "ClusterRole fec-waiver gives when bound there"),
        ("user", cleanup("new", requestedBy="somebody-else"), "leave it out or name yourself"),
    ],
)
def test_a_refusal_names_the_person_and_the_way_out(
    stored: dict[str, Person], person: str, document: dict[str, Any], role: str
) -> None:
    answer = stored[person].create(document)
    assert person in answer
    assert role in answer
