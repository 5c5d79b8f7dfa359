"""Random walks where there are too many states to look at each: the same decisions, rules and mishaps, some ways through them."""

from __future__ import annotations

import random
from dataclasses import fields
from typing import Final

from failed_execution_cleanup.recovery.decide import decide
from tests.model.dimensions import Product, Start, VolumeStart
from tests.model.exploration import Broken, Explored, following, is_end
from tests.model.node import first_node
from tests.model.rules import Violation, check, check_nothing_lost
from tests.model.starts import possible

LONGEST: Final = 150
"""Steps after which a walk on which hardly anything goes wrong any more should have ended long ago."""


def random_start(product: Product, chance: random.Random) -> Start:
    """A start of a product, one of those that can be."""
    names = [field.name for field in fields(Start) if field.name != "volumes"]
    values = {"vm": product.vms, "step": product.steps, "recorded": product.recorded}
    values |= {name: getattr(product, f"{name}s") for name in names if name not in values and name != "waivers"}
    values["waivers"] = product.waivers
    while True:
        volumes = tuple(
            VolumeStart(_pick(chance, product.places), _pick(chance, product.points)) for _ in range(product.volumes)
        )
        start = Start(volumes, **{name: _pick(chance, values[name]) for name in names})
        if possible(start):
            return start


def _pick(chance: random.Random, values: tuple[str, ...]) -> str:
    """The first value half the time: it is the one that lets a cleanup get far."""
    return values[0] if chance.random() < 0.5 else chance.choice(values)


def walk(product: Product, seed: int, explored: Explored) -> None:
    """One walk from a random start to an end, mishaps on the way.

    Raises:
        Broken: a rule is broken, or no end is reached.
    """
    chance = random.Random(seed)  # noqa: S311 - a walk, not a secret
    start = random_start(product, chance)
    node = first_node(start, mishaps=product.mishaps)
    trace: list[str] = []
    explored.starts += 1
    try:
        for _ in range(LONGEST):
            world = node.scene.world()
            decision = decide(world, node.wish, node.memory)
            check(node, decision)
            explored.states += 1
            edges = list(following(node, decision, world, others=product.others))
            explored.transitions += len(edges)
            for edge in edges:
                check_nothing_lost(edge.to)
            good = [edge for edge in edges if edge.good]
            bad = [edge for edge in edges if not edge.good]
            ended = is_end(decision) and not node.in_flight
            if ended and (not bad or chance.random() < 0.5):
                name = str(getattr(decision, "reason", None) or type(decision).__name__)
                explored.ends[name] = explored.ends.get(name, 0) + 1
                return
            edge = chance.choice(bad if bad and (not good or chance.random() < 0.1) else good)
            trace.append(edge.label)
            node = edge.to
    except Violation as broken:
        raise Broken(broken, start, [*trace, f"seed {seed}"]) from None
    raise Broken(Violation((19, f"no end after {LONGEST} steps")), start, [*trace, f"seed {seed}"])
