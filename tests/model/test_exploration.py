"""The real core in every state an abstract appliance can get into: no rule is broken, and every way comes to an end."""

from __future__ import annotations

import os
import random
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import fields, replace
from typing import Final

import pytest

from failed_execution_cleanup.recovery.actions import Kind
from failed_execution_cleanup.recovery.decide import Act, Decision, Refuse, Wait, decide
from failed_execution_cleanup.recovery.reasons import Reason
from failed_execution_cleanup.run.worker import HOLDING
from tests.model import dimensions, exploration
from tests.model.dimensions import QUICK, SAMPLED, WHOLE, Product, Start, VolumeStart
from tests.model.exploration import Explored, explore, following
from tests.model.node import Node, first_node, later
from tests.model.performing import Fate, perform
from tests.model.starts import starts
from tests.model.walking import walk

WALKS: Final = 120


@pytest.mark.parametrize("product", QUICK, ids=lambda product: product.name)
@pytest.mark.timeout(300)
def test_no_rule_is_broken_and_every_way_ends(product: Product, record_property: Callable[[str, object], None]) -> None:
    record_property("figure", f"model, {product.name}: {explore(product)}")


@pytest.mark.exhaustive
@pytest.mark.parametrize("product", WHOLE, ids=lambda product: product.name)
@pytest.mark.timeout(600)
def test_no_rule_is_broken_in_any_state(product: Product, record_property: Callable[[str, object], None]) -> None:
    record_property("figure", f"model, {product.name}: {explore(product)}")


@pytest.mark.timeout(300)
def test_no_rule_is_broken_on_random_walks_with_three_volumes(record_property: Callable[[str, object], None]) -> None:
    """`FEC_MODEL_SEED=<seed in the failure>` replays a walk first."""
    first = int(os.environ.get("FEC_MODEL_SEED") or random.SystemRandom().randrange(10**9))
    explored = Explored()
    for seed in range(first, first + WALKS):
        walk(SAMPLED, seed, explored)
    record_property("figure", f"model, {SAMPLED.name}, seeds {first} to {first + WALKS - 1}: {explored}")


def test_states_that_count_as_equal_are_decided_alike() -> None:
    product = QUICK[2]
    start = next(start for start in starts(product) if start.volumes[0].points == "newer")
    root = first_node(start, mishaps=1)
    seen: dict[Hashable, object] = {}
    queue = deque([root])
    repeated = 0
    while queue:
        node = queue.popleft()
        decision = _decided(node)
        key, said = node.key(), _said(decision)
        if key in seen:
            repeated += 1
            assert seen[key] == said
            continue
        seen[key] = said
        queue += [edge.to for edge in following(node, decision, node.scene.world(), others=True)]
    assert repeated > 50


def _decided(node: Node) -> Decision:
    return decide(node.scene.world(), node.wish, node.memory)


def _said(decision: Decision) -> object:
    if isinstance(decision, Act):
        return sorted((action.key, action.forced, action.vm_id or "") for action in decision.actions)
    return type(decision).__name__, getattr(decision, "reason", None)


def test_an_attach_that_never_works_ends_in_a_stop() -> None:
    node = first_node(Start((VolumeStart("nobody", "none"),), step="multi-volume-snapshot-creation"), mishaps=0)
    node = replace(node, claimed=True, memory=replace(node.memory, number=1, started_at=node.now))
    decision = _decided(node)
    for _ in range(40):
        match decision:
            case Act(actions=actions):
                for action in actions:
                    node = perform(node, action, Fate.REFUSED if action.kind is Kind.ATTACH else Fate.WORKS)
            case Wait(after=after):
                node = later(node, after)
            case _:
                break
        decision = _decided(node)
    assert isinstance(decision, Refuse)
    assert decision.reason is Reason.ATTACH_FAILING


def test_the_model_keeps_the_claim_as_long_as_the_worker_does() -> None:
    assert exploration.HOLDING == HOLDING


@pytest.mark.parametrize(
    ("field", "table"),
    [
        ("places", dimensions.PLACES),
        ("points", dimensions.POINTS),
        ("states", dimensions.VOLUME_STATES),
        ("steps", dimensions.STEPS),
        ("endings", dimensions.ENDINGS),
        ("sequels", dimensions.SEQUELS),
        ("kinds", dimensions.KINDS),
        ("vms", dimensions.VM_STATES),
        ("recorded", dimensions.RECORDED),
        ("replicas", dimensions.REPLICAS),
        ("waivers", dimensions.WAIVERS),
    ],
)
def test_every_value_of_every_dimension_is_explored(field: str, table: dict[str, str] | tuple[str, ...]) -> None:
    assert field in {f.name for f in fields(Product)}
    used = {value for product in WHOLE for value in getattr(product, field)}
    assert used == set(table)
