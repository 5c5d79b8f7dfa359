"""Many crash points, side by side: which ones there are, and what became of each.

A point runs on the real counterpart of the system whose call it cuts off: Kubernetes calls on a kube-apiserver that the points share,
each in namespaces of its own; commits on MariaDB, each in a database of its own. The other systems of a point, and those of points
at OSSEA and the Volume Daemon, are the emulator, SQLite and the pretend appliance.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import multiprocessing.connection
import os
import random
import tempfile
import time
import uuid
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Final

from development.control_plane import ControlPlane
from development.mariadb import MariaDB, private_mariadb
from development.preloaded import IMPORTS
from development.stand import ROOT
from tests.crash.end import differences, unexpected
from tests.crash.forked import FORK
from tests.crash.mutating_calls import Call, Kill, System, When
from tests.crash.point import Parts, Played, Point, expected_end, play_in_process


@dataclass(frozen=True, slots=True)
class RealServers:
    """The real counterparts, running."""

    control_plane: ControlPlane
    mariadb: MariaDB

    def parts(self, point: Point) -> Parts:
        """The real servers a point runs on, by the first call it cuts off."""
        called = point.kills[0].system if point.kills else None
        match called:
            case System.KUBERNETES:
                return Parts(kubeconfig=self.control_plane.admin_kubeconfig)
            case System.DATABASE:
                return Parts(database_url=self.mariadb.create_database(f"oma_{uuid.uuid4().hex[:12]}"))
        return Parts()


@contextlib.contextmanager
def real_servers() -> Iterator[RealServers]:
    """Start them; our definitions are served.

    Raises:
        MissingProgramError: one is not installed or built; says how to get it.
        ProcessError: one did not start.
    """
    with ControlPlane() as control_plane, private_mariadb() as mariadb:
        control_plane.kubectl("create", "-f", ROOT / "crds")
        control_plane.kubectl("wait", "--for=condition=Established", "--timeout=20s", "-f", ROOT / "crds")
        yield RealServers(control_plane, mariadb)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A point and what is wrong with it.

    Attributes:
        problems: empty when it came to the same end as without a crash, and no rule was broken on the way.
    """

    played: Played
    problems: tuple[str, ...]

    @property
    def missed(self) -> bool:
        """Whether the cleanup was over before a call that was to be the last one."""
        return not all(self.played.reached)


@dataclass(slots=True)
class Campaign:
    """Plays points, so many at once.

    Attributes:
        references: runs without a crash, by scenario.
    """

    servers: RealServers
    jobs: int
    references: dict[str, Played] = field(default_factory=dict)

    def __post_init__(self) -> None:
        importlib.import_module(IMPORTS)
        # What is there now is never collected: the processes that are forked share it instead of copying it.
        gc.collect()
        gc.freeze()

    def measure(self, scenarios: Sequence[str]) -> None:
        """Make the reference runs: what is called, and what all points must come to.

        Raises:
            RuntimeError: one did not end as expected: then no point means anything.
        """
        for played in self._played([Point(scenario) for scenario in scenarios]):
            scenario = played.point.scenario
            problems = list(played.problems)
            if played.end is not None:
                problems += unexpected(played.end, expected_end(scenario))
            if problems:
                raise RuntimeError("\n".join((f"{played.point}:", *problems, *played.logs)))
            self.references[scenario] = played
        self.references = {scenario: self.references[scenario] for scenario in scenarios}

    def judge(self, points: Iterable[Point], *, until: float = float("inf")) -> Iterator[Verdict]:
        """Play points and hold each against its reference; `until` (monotonic seconds) no new one begins."""
        for played in self._played(points, until):
            reference = self.references[played.point.scenario].end
            assert reference is not None
            problems = played.problems
            if played.end is not None:
                problems += tuple(differences(reference, played.end))
            yield Verdict(played, problems)

    def _played(self, points: Iterable[Point], until: float = float("inf")) -> Iterator[Played]:
        waiting, running = deque(points), dict[Connection, tuple[Point, ForkProcess]]()
        with tempfile.TemporaryDirectory(prefix="crash-") as root:
            try:
                while waiting or running:
                    while waiting and len(running) < self.jobs and time.monotonic() < until:
                        point = waiting.popleft()
                        result, process = self._start(point, Path(root))
                        running[result] = (point, process)
                    if not running:
                        return
                    for ready in multiprocessing.connection.wait(list(running)):
                        assert isinstance(ready, Connection)
                        yield _received(ready, *running.pop(ready))
            finally:
                for _, process in running.values():
                    process.kill()

    def _start(self, point: Point, root: Path) -> tuple[Connection, ForkProcess]:
        directory = Path(tempfile.mkdtemp(dir=root))
        result, sent = FORK.Pipe(duplex=False)
        process = FORK.Process(
            target=play_in_process, args=(point, self.servers.parts(point), directory, sent, os.getpid())
        )
        process.start()
        sent.close()
        return result, process


def _received(result: Connection, point: Point, process: ForkProcess) -> Played:
    try:
        played: Played = result.recv()
    except EOFError:
        process.join()
        played = Played(point, (), (), None, None, (f"its process ended with {process.exitcode}",), (), 0.0)
    process.join()
    result.close()
    return played


# --- which points there are -------------------------------------------------------------------------------------

_LIFE: Final = frozenset(
    {
        "kubernetes lease created",
        "kubernetes lease renewed",
        "kubernetes lease released",
        "kubernetes status of appliance",
        "kubernetes finalizer set on appliance",
        "kubernetes finalizer removed from appliance",
    }
)
"""Calls of an operator's own life, which are the same whatever it cleans up."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which calls of a reference run are cut off.

    Attributes:
        first_of_kind: only the first call of each kind; else all.
        with_life: whether calls of the operator's own life are among them.
    """

    first_of_kind: bool = False
    with_life: bool = True

    def calls(self, reference: Played) -> list[Call]:
        """The calls, in order."""
        return [
            call
            for call in reference.calls[0]
            if (call.occurrence == 1 or not self.first_of_kind) and (self.with_life or call.kind not in _LIFE)
        ]

    def before(self, reference: Played) -> list[Point]:
        """A kill before each call."""
        return [_point(reference, call, When.BEFORE) for call in self.calls(reference)]

    def after(self, reference: Played, verdicts: Iterable[Verdict]) -> list[Point]:
        """A kill after each call, but for the moments that a kill before the next call was as well.

        Args:
            reference: of the scenario.
            verdicts: on the points of `before`.
        """
        scenario = reference.point.scenario
        alone = [v.played for v in verdicts if len(v.played.point.kills) == 1 and v.played.point.scenario == scenario]
        known = {self._key(played.also) for played in alone if played.also}
        return [_point(reference, call, When.AFTER) for call in self.calls(reference) if self._key(call) not in known]

    def _key(self, call: Call) -> str:
        return call.kind if self.first_of_kind else call.name


def _point(reference: Played, call: Call, when: When) -> Point:
    return Point(reference.point.scenario, (Kill(call.name, when),))


def pairs(reference: Played, count: int, chance: random.Random) -> list[Point]:
    """Kills of an operator and of the one that takes over, drawn by lot.

    The second one is named by its number: what is left to do by then depends on the first.
    """
    calls = reference.calls[0]
    points = []
    for _ in range(count):
        call = chance.choice(calls)
        left = chance.randint(1, max(1, len(calls) - call.number))
        kills = (Kill(call.name, chance.choice(list(When))), Kill(left, chance.choice(list(When))))
        points.append(Point(reference.point.scenario, kills))
    return points
