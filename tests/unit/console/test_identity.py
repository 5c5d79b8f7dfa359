"""Who calls: asked once for a while, and never remembered by the token itself."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from failed_execution_cleanup.console.identity import Credential, Identities, Unauthenticated
from failed_execution_cleanup.controller.kubernetes_api import Unreachable
from tests.unit.console.cluster import ConsoleCluster

ALICE = Credential.of("token-of-alice")


async def test_a_token_is_its_user_with_groups_and_extra() -> None:
    caller = await Identities(ConsoleCluster(), seconds=10).caller(ALICE)
    assert caller.user.name == "alice"
    assert caller.user.groups == ("people",)
    assert caller.user.extra == (("by", ("test",)),)


@pytest.mark.looptime
async def test_an_accepted_token_is_asked_for_again_only_when_the_answer_is_old() -> None:
    cluster = ConsoleCluster()
    identities = Identities(cluster, seconds=10)
    await asyncio.gather(*(identities.caller(ALICE) for _ in range(5)))
    await identities.caller(ALICE)
    assert len(cluster.reviews) == 1
    assert identities.knows(ALICE)
    await asyncio.sleep(11)
    assert not identities.knows(ALICE)
    await identities.caller(ALICE)
    assert len(cluster.reviews) == 2


async def test_a_refused_token_is_not_remembered() -> None:
    cluster = ConsoleCluster()
    identities = Identities(cluster, seconds=10)
    for _ in range(2):
        with pytest.raises(Unauthenticated):
            await identities.caller(Credential.of("guessed"))
    assert len(cluster.reviews) == 2


async def test_an_api_server_that_cannot_be_asked_accepts_nobody() -> None:
    cluster = ConsoleCluster(trouble=Unreachable("gone"))
    identities = Identities(cluster, seconds=10)
    with pytest.raises(Unreachable):
        await identities.caller(ALICE)
    cluster.trouble = None
    assert (await identities.caller(ALICE)).user.name == "alice"


@pytest.mark.parametrize("token", ["", "two words", "Ä", "x" * 16_385, "line\nbreak"])
async def test_what_cannot_be_a_token_never_reaches_the_api_server(token: str) -> None:
    with pytest.raises(Unauthenticated):
        Credential.of(token)


def test_a_credential_shows_no_token() -> None:
    shown: Any = (ALICE, f"{ALICE}", f"{ALICE!r}")
    assert "token-of-alice" not in repr(shown)
    assert Credential.of("token-of-alice") == ALICE
    assert Credential.of("token-of-bob") != ALICE
