"""What callers may do: exactly the verb is asked for, and whoever may not is told what is missing and which role gives it."""

from __future__ import annotations

import pytest

from failed_execution_cleanup.console.access_review import (
    AccessReviews,
    NotAllowed,
    Right,
    list_cleanups,
    see_plans,
    use_appliance,
)
from failed_execution_cleanup.console.identity import Caller, Credential, User
from tests.unit.console.cluster import ConsoleCluster

BOB = Caller(User("bob", "uid-bob", ("people",), (("by", ("test",)),)), Credential.of("token-of-bob"))


@pytest.mark.parametrize(
    ("right", "attributes"),
    [
        (see_plans("oma"), {"resource": "appliances", "subresource": "plan", "verb": "get", "name": "oma"}),
        (use_appliance("oma"), {"resource": "appliances", "verb": "use", "name": "oma"}),
        (list_cleanups("dr"), {"resource": "failedexecutioncleanups", "verb": "list", "namespace": "dr"}),
        (list_cleanups(""), {"resource": "failedexecutioncleanups", "verb": "list"}),
    ],
)
async def test_exactly_the_verb_is_asked_for_with_all_that_is_known_of_the_user(
    right: Right, attributes: dict[str, str]
) -> None:
    cluster = ConsoleCluster()
    await AccessReviews(cluster, seconds=10).allows(BOB, right)
    ((kind, spec),) = cluster.reviews
    assert kind == "SubjectAccessReview"
    assert spec == {
        "user": "bob",
        "uid": "uid-bob",
        "groups": ["people"],
        "extra": {"by": ["test"]},
        "resourceAttributes": {"group": "failover.ossea.io", **attributes},
    }


async def test_a_missing_right_is_named_with_the_role_that_gives_it() -> None:
    with pytest.raises(
        NotAllowed, match=r"bob may not use: the right use on appliances\.failover\.ossea\.io oma"
    ) as told:
        await AccessReviews(ConsoleCluster(), seconds=10).require(BOB, use_appliance("oma"))
    assert "fec-appliance-user" in told.value.remedy


async def test_answers_are_kept_by_user_and_right() -> None:
    cluster = ConsoleCluster()
    reviews = AccessReviews(cluster, seconds=10)
    for _ in range(2):
        assert await reviews.allows(BOB, see_plans("oma"))
        assert not await reviews.allows(BOB, list_cleanups("dr"))
    assert len(cluster.reviews) == 2
    alice = Caller(User("alice"), Credential.of("token-of-alice"))
    assert await reviews.having(alice, [list_cleanups("dr"), see_plans("x")]) == [list_cleanups("dr"), see_plans("x")]
    assert len(cluster.reviews) == 4
