"""Breadth-first over every state that can follow: one decision of the real core in each, held against the rules, and an end to each way.

An edge is *good* when nothing goes wrong on it: the owner claims, all actions work, what is in flight lands, time passes. Once faults
stop only good edges are taken, so from every state they must lead to an end, without a cycle.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from failed_execution_cleanup.recovery.actions import Action
from failed_execution_cleanup.recovery.activity import activity
from failed_execution_cleanup.recovery.decide import Act, Decision, Done, Wait, decide
from failed_execution_cleanup.recovery.memory import Memory
from failed_execution_cleanup.recovery.reasons import Reason
from failed_execution_cleanup.recovery.world import World
from tests.model.dimensions import Product, Start
from tests.model.node import Node, first_node, later
from tests.model.others import Move, move, possible_moves
from tests.model.performing import Fate, crash, fates, land, perform, still_possible
from tests.model.rules import Violation, check, check_nothing_lost
from tests.model.starts import starts

HOLDING: Final = frozenset({None, Reason.QUIET_TIME, Reason.OPERATION_IN_FLIGHT})
"""Waits during which the claim is kept (`run.worker.HOLDING`)."""
OURS: Final = frozenset({None, Reason.QUIET_TIME})
"""Waits that are no end: they must come to one by themselves."""


class Broken(AssertionError):  # noqa: N818 - it tells what was found
    """A rule is broken, with the way to the state in which it is."""

    def __init__(self, broken: Violation, start: Start, trace: list[str]) -> None:
        steps = "".join(f"\n  {number}. {label}" for number, label in enumerate(trace, 1))
        super().__init__(f"{broken}\n  start: {start}{steps}")
        self.rules = broken.rules


@dataclass(frozen=True, slots=True)
class Edge:
    """A step to another state."""

    label: str
    to: Node
    good: bool = False


@dataclass
class Explored:
    """What was seen."""

    starts: int = 0
    states: int = 0
    transitions: int = 0
    ends: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        most = sorted(self.ends.items(), key=lambda item: -item[1])
        ends = ", ".join(f"{name} {count}" for name, count in most)
        return f"{self.starts} starts, {self.states} states, {self.transitions} transitions; ends: {ends}"


class Explorer:
    """One exploration; states that were seen from one start are not looked at again from another."""

    def __init__(self, *, others: bool = False) -> None:
        self.explored = Explored()
        self._others = others
        self._known: dict[int, int] = {}  # a 64-bit hash stands for the state, which would be too large to keep
        self._parents: list[tuple[int, str]] = []
        self._good: list[list[int]] = []
        self._ended: list[bool] = []
        self._roots: dict[int, Start] = {}

    def explore(self, start: Start, *, mishaps: int) -> None:
        """Look at everything that can follow from a start.

        Raises:
            Broken: a rule is broken.
        """
        self.explored.starts += 1
        node = first_node(start, mishaps=mishaps)
        index, new = self._index(node, -1, "")
        if not new:
            return
        self._roots[index] = start
        queue = deque([(index, node)])
        while queue:
            index, node = queue.popleft()
            try:
                edges = list(self._look(index, node))
            except Violation as broken:
                raise self._broken(index, broken) from None
            for edge in edges:
                self.explored.transitions += 1
                following, new = self._index(edge.to, index, edge.label)
                if edge.good and following != index:
                    self._good[index].append(following)
                if new:
                    queue.append((following, edge.to))

    def check_ends(self) -> None:
        """From every state the good edges lead to an end, without a cycle (rule 19).

        Raises:
            Broken: they do not.
        """
        done, on_path = 2, 1
        color = bytearray(len(self._good))
        for root in range(len(self._good)):
            if color[root]:
                continue
            path = [(root, iter(self._good[root]))]
            color[root] = on_path
            while path:
                index, following = path[-1]
                target = next(following, None)
                if target is None:
                    if not self._good[index] and not self._ended[index]:
                        raise self._broken(index, Violation((19, "nothing is in the way, and no end is reached")))
                    color[index] = done
                    path.pop()
                elif color[target] == on_path:
                    raise self._broken(target, Violation((19, "it comes back to this state for ever")))
                elif not color[target]:
                    color[target] = on_path
                    path.append((target, iter(self._good[target])))

    def _index(self, node: Node, parent: int, label: str) -> tuple[int, bool]:
        key = hash(node.key())
        known = self._known.get(key)
        if known is not None:
            return known, False
        index = len(self._parents)
        self._known[key] = index
        self._parents.append((parent, label))
        self._good.append([])
        self._ended.append(False)
        return index, True

    def _look(self, index: int, node: Node) -> Iterator[Edge]:
        self.explored.states += 1
        world = node.scene.world()
        decision = decide(world, node.wish, node.memory)
        check(node, decision)
        self._ended[index] = ended = is_end(decision)
        if ended and not node.in_flight:
            name = str(getattr(decision, "reason", None) or type(decision).__name__)
            self.explored.ends[name] = self.explored.ends.get(name, 0) + 1
        for edge in following(node, decision, world, others=self._others):
            check_nothing_lost(edge.to)
            yield edge

    def _broken(self, index: int, broken: Violation) -> Broken:
        trace: list[str] = []
        while index not in self._roots:
            index, label = self._parents[index]
            trace.append(label)
        return Broken(broken, self._roots[index], trace[::-1])


def explore(product: Product) -> Explored:
    """Explore a product whole.

    Raises:
        Broken: a rule is broken.
    """
    explorer = Explorer(others=product.others)
    for start in starts(product):
        explorer.explore(start, mishaps=product.mishaps)
    explorer.check_ends()
    return explorer.explored


def is_end(decision: Decision) -> bool:
    """Whether it stops here until somebody else does something."""
    match decision:
        case Act():
            return False
        case Wait(reason=reason):
            return reason not in OURS
    return True


def following(node: Node, decision: Decision, world: World, *, others: bool) -> Iterator[Edge]:
    """Every step that can be taken from a state."""
    yield from _landings(node)
    match decision:
        case Act() if not node.claimed:
            yield Edge("the claim is taken", _claimed(node), good=True)
        case Act(actions=actions):
            yield from _acted(node, decision)
            if others and node.mishaps:
                yield from _raced(node, decision, world, actions)
        case Wait(reason=reason, after=after):
            if not node.in_flight:
                waiting = node if reason in HOLDING else node.released()
                yield Edge(
                    f"{reason or 'a pause'}: {after.total_seconds():.0f} s pass", later(waiting, after), good=True
                )
        case Done() if node.claimed:
            node = replace(node, memory=replace(node.memory, finished=str(decision.reason)), claimed=False)
        case _:
            node = node.released()
    if node.claimed and node.mishaps:
        yield Edge("the owner dies", crash(_spent(node)))
    if others and node.mishaps and not (isinstance(decision, Done) and node.memory.finished):
        for what in possible_moves(node):
            moved = move(_spent(node), what)
            _check_torn(node, moved, world, what)
            yield Edge(what.name, moved)


def _spent(node: Node) -> Node:
    return replace(node, mishaps=node.mishaps - 1)


def _landings(node: Node) -> Iterator[Edge]:
    for request in node.in_flight:
        yield Edge(f"{request.key} is followed to its end", land(node, request), good=True)


def _claimed(node: Node) -> Node:
    memory: Memory = node.memory
    memory = replace(memory, number=memory.number + 1, started_at=memory.started_at or node.now)
    return replace(node, memory=memory, claimed=True)


def _acted(node: Node, act: Act) -> Iterator[Edge]:
    """All actions work, or all but one."""
    yield Edge(", ".join(action.key for action in act.actions), _all(node, act, {}), good=True)
    if not node.mishaps:
        return
    for action in act.actions:
        for fate in fates(action):
            label = ", ".join(f"{a.key} {fate}" if a is action else a.key for a in act.actions)
            yield Edge(label, _all(_spent(node), act, {action.key: fate}))


def _all(node: Node, act: Act, fate_of: dict[str, Fate]) -> Node:
    for action in act.actions:
        node = perform(node, action, fate_of.get(action.key, Fate.WORKS))
    return node


def _raced(node: Node, act: Act, world: World, actions: Iterable[Action]) -> Iterator[Edge]:
    """Somebody acts between the decision and its requests: the read right before them shows it, or they must be safe all the same."""
    seen = activity(world.records, node.memory)
    for what in possible_moves(node):
        if what.asks:
            continue
        moved = move(_spent(node), what)
        if activity(moved.scene.records(), node.memory) != seen:
            continue  # nothing is sent (rule 7): the same as the move alone
        for action in actions:
            if still_possible(moved.scene, action):
                check(node, Act((action,), act.assessment), at=moved)
        yield Edge(f"{what.name}, just before " + ", ".join(a.key for a in actions), _all(moved, act, {}))


def _check_torn(node: Node, moved: Node, world: World, what: Move) -> None:
    """Somebody began in the middle of an observation: the database was read before and after it, OSSEA before (rule 7)."""
    torn = World(moved.scene.records(), world.cloud, first=world.records)
    if activity(torn.records, node.memory) == activity(world.records, node.memory):
        return
    decision = decide(torn, node.wish, node.memory)
    if isinstance(decision, Act):
        raise Violation((7, f"{what.name} while OSSEA is read, and {decision.actions[0].key} is to be done"))
