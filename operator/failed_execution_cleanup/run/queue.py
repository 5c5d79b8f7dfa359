"""The work queue: which resource is looked at next, and when.

The queue holds keys, never payload: a worker reads the truth afresh when it gets its turn, so any number of causes for
the same key are one entry. It keeps these promises, whatever the order of calls:

- a key is with one worker at most; a key added while a worker has it is run once more afterwards;
- nothing added is lost, and nothing is queued twice: of two causes the more urgent lane and the earlier time win;
- lanes are served in the order of `Lane`, first in first out within a lane, but the key that has waited longest is
  passed over at most `share - 1` times in a row, so no lane starves;
- a group (all cleanups of one appliance) has at most its limit of keys with workers. A full group is skipped and holds
  up nobody else. Deletions ignore the limit: they end work and begin none.

One event loop, no threads: every method but `get` is synchronous and must be called from the loop's thread.
"""

import asyncio
import itertools
import logging
from collections import Counter, OrderedDict, deque
from collections.abc import Awaitable, Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from random import Random
from typing import Generic, Protocol, TypeVar

__all__ = ["Backoff", "Lane", "QueueClosed", "QueueListener", "Result", "WorkQueue", "work"]

logger = logging.getLogger(__name__)

Key = TypeVar("Key", bound=Hashable)


class Lane(IntEnum):
    """Why a key is queued, the most urgent first."""

    DELETION = 0
    CHANGE = 1
    RETRY = 2
    STARTUP = 3
    DRIFT = 4


class QueueClosed(Exception):  # noqa: N818 - a signal between queue and worker, not an error
    """The queue was closed; a worker that sees this has nothing left to do."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential delays for a key that keeps failing.

    Attributes:
        first_seconds: delay after the first failure; doubled by each further one.
        cap_seconds: the longest delay.
        jitter: share of the delay (0 to 1) that is taken off at random, so that keys that failed together come apart.
    """

    first_seconds: float = 1.0
    cap_seconds: float = 300.0
    jitter: float = 0.5

    def delay(self, failures: int, random: Random) -> float:
        """Return the seconds to wait after this many failures in a row (at least one)."""
        doublings = min(failures - 1, 64)  # 2**64 s is beyond any cap; keeps the float finite
        full = min(self.cap_seconds, self.first_seconds * 2.0**doublings)
        return full * (1.0 - self.jitter * random.random())


@dataclass(frozen=True, slots=True)
class Result:
    """What a reconcile asks for: nothing more, or another look after a time.

    Attributes:
        after_seconds: None when nothing more is wanted, else the delay of the next look.
        lane: the lane of that next look.
    """

    after_seconds: float | None = None
    lane: Lane = Lane.RETRY

    @classmethod
    def done(cls) -> "Result":
        """Nothing more until somebody adds the key again."""
        return cls()

    @classmethod
    def requeue_after(cls, seconds: float, lane: Lane = Lane.RETRY) -> "Result":
        """Look again after `seconds`; this is polling, not failure, and resets the backoff."""
        return cls(after_seconds=seconds, lane=lane)


class QueueListener(Protocol):
    """Hears what a queue does, for whoever counts; must not block or raise."""

    def added(self, lane: Lane) -> None:
        """A key was added, or asked for once more."""

    def picked(self, key: object, lane: Lane, waited_seconds: float) -> None:
        """A key got its worker, after so long in its lane."""

    def worked(self, key: object, *, after_seconds: float | None, failed: bool) -> None:
        """The work on a key ended; `after_seconds` is when it comes back by itself."""


@dataclass(slots=True, eq=False)
class _Entry:
    """What the queue knows about one key; forgotten when the key neither waits nor is worked on."""

    group: Hashable | None = None
    lane: Lane | None = None  # the lane it waits for, is queued in, or will be queued in after work; None: none
    due: float = 0.0  # loop time
    timer: asyncio.TimerHandle | None = None  # set while delayed
    sequence: int = 0  # order of arrival in its lane; meaningful while queued
    since: float = 0.0  # loop time of that arrival
    queued: bool = False
    changed: asyncio.Event | None = None  # set while a worker has the key
    charged_to: Hashable | None = None  # the group whose limit the work counts against


class WorkQueue(Generic[Key]):
    """A de-duplicating queue of keys with lanes, delays, backoff and a limit per group."""

    def __init__(
        self,
        *,
        random: Random | None = None,
        backoff: Backoff | None = None,
        share: int = 5,
        default_limit: int | None = None,
        listener: QueueListener | None = None,
    ) -> None:
        """Create an empty queue.

        Args:
            random: source of the backoff's jitter; seeded by tests.
            backoff: delays of failing keys.
            share: one of so many picks goes to the key that has waited longest, whatever its lane.
            default_limit: keys of a group that may be worked on at once, unless `set_limit` says otherwise; None: any.
            listener: hears what happens.

        Raises:
            ValueError: a share or limit below 1.
        """
        if share < 1:
            raise ValueError(f"share must be at least 1, got {share}")
        self.listener = listener
        self._random = random or Random()  # noqa: S311 - spreads load, guards nothing
        self._backoff = backoff or Backoff()
        self._share = share
        self._default_limit = _checked_limit(default_limit)
        self._limits: dict[Hashable, int | None] = {}
        self._entries: dict[Key, _Entry] = {}
        self._failures: Counter[Key] = Counter()
        self._lanes: dict[Lane, dict[Hashable | None, OrderedDict[Key, _Entry]]] = {lane: {} for lane in Lane}
        self._in_work: Counter[Hashable] = Counter()
        self._working = 0
        self._arrivals = 0
        self._passed_over = 0
        self._getters: deque[asyncio.Future[None]] = deque()
        self._closed = False

    def add(self, key: Key, lane: Lane, *, after: float = 0.0, group: Hashable | None = None) -> None:
        """Queue a key, or make its waiting entry more urgent. Ignored once the queue is closed.

        Args:
            key: what to look at.
            lane: why.
            after: seconds from now before it may be picked.
            group: whose limit it falls under; None keeps the group of a key that waits or is worked on, else no limit.
        """
        if self._closed:
            return
        if self.listener is not None:
            self.listener.added(lane)
        due = asyncio.get_running_loop().time() + max(after, 0.0)
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = _Entry()
        if entry.lane is not None:
            due = min(due, entry.due)
        wanted = lane if entry.lane is None else min(lane, entry.lane)
        if entry.queued and wanted == entry.lane and group in (None, entry.group):
            return  # keeps its place
        self._withdraw(key, entry)
        entry.group = entry.group if group is None else group
        entry.lane, entry.due = wanted, due
        if entry.changed is None:
            self._schedule(key, entry)
        elif lane <= Lane.CHANGE:
            entry.changed.set()

    def failed(self, key: Key) -> None:
        """Count a failure of the key and queue it again after its backoff."""
        self._failures[key] += 1
        self.add(key, Lane.RETRY, after=self._backoff.delay(self._failures[key], self._random))

    def succeeded(self, key: Key) -> None:
        """Forget the failures of the key."""
        self._failures.pop(key, None)

    def failures(self, key: Key) -> int:
        """Return how many times in a row the key has failed."""
        return self._failures[key]

    def set_limit(self, group: Hashable, limit: int | None) -> None:
        """Change how many keys of a group may be worked on at once; work that has begun goes on.

        Raises:
            ValueError: a limit below 1.
        """
        self._limits[group] = _checked_limit(limit)
        self._wake()

    async def get(self) -> Key:
        """Wait for the next key and take it; the caller owes a `done`.

        Raises:
            QueueClosed: the queue is closed; keys that still wait are left.
        """
        while True:
            if self._closed:
                raise QueueClosed
            key = self._pick()
            if key is not None:
                self._wake()  # there may be more than the one that woke us
                return key
            getter = asyncio.get_running_loop().create_future()
            self._getters.append(getter)
            try:
                await getter
            except asyncio.CancelledError:
                if getter.done() and not getter.cancelled():
                    self._wake()  # the wake-up was for us and would be lost
                elif getter in self._getters:
                    self._getters.remove(getter)
                raise

    def done(self, key: Key) -> None:
        """Give a key back after work.

        Raises:
            ValueError: the key is not being worked on.
        """
        entry = self._entries.get(key)
        if entry is None or entry.changed is None:
            raise ValueError(f"{key!r} is not being worked on")
        entry.changed = None
        self._working -= 1
        self._in_work[entry.charged_to] -= 1
        if not self._in_work[entry.charged_to]:
            del self._in_work[entry.charged_to]
        if entry.lane is None:
            del self._entries[key]
        else:
            self._schedule(key, entry)
        self._wake()

    def changed(self, key: Key) -> asyncio.Event:
        """Return the event that tells a key's worker that it was added again by a deletion or a change.

        A worker that has taken the change into account may clear it; the key is run once more in any case.

        Raises:
            KeyError: the key is not being worked on.
        """
        entry = self._entries.get(key)
        if entry is None or entry.changed is None:
            raise KeyError(key)
        return entry.changed

    def close(self) -> None:
        """End every `get`, now and later, with `QueueClosed`; what waits is dropped."""
        self._closed = True
        for key, entry in list(self._entries.items()):
            self._withdraw(key, entry)
            entry.lane = None
            if entry.changed is None:
                del self._entries[key]
        for getter in self._getters:
            if not getter.done():
                getter.set_result(None)
        self._getters.clear()

    def position(self, key: Key) -> int | None:
        """Return the place of a key among the waiting keys of its group, 1 for the next; None if it does not wait.

        Delayed keys and keys being worked on do not wait. Takes time in proportion to the group's waiting keys.
        """
        entry = self._entries.get(key)
        if entry is None or entry.lane is None or not entry.queued:
            return None
        ahead = sum(len(self._lanes[lane].get(entry.group, ())) for lane in Lane if lane < entry.lane)
        return ahead + list(self._lanes[entry.lane][entry.group]).index(key) + 1

    def waiting(self, first: int) -> Iterator[tuple[Key, int]]:
        """Yield the first waiting keys of each group with their `position`; keys without a group stand in no line."""
        groups = {group for lane in self._lanes.values() for group in lane if group is not None}
        for group in groups:
            line = itertools.chain.from_iterable(self._lanes[lane].get(group, ()) for lane in Lane)
            for place, key in enumerate(itertools.islice(line, first), start=1):
                yield key, place

    @property
    def depth(self) -> Mapping[Lane, int]:
        """Keys that could be worked on now but for a free worker or a full group, by lane."""
        return {lane: sum(map(len, groups.values())) for lane, groups in self._lanes.items()}

    @property
    def oldest_wait(self) -> Mapping[Lane, float]:
        """Seconds the longest waiting key of each lane has been in it; 0 for an empty lane."""
        now = asyncio.get_running_loop().time()
        return {
            lane: max((now - next(iter(keys.values())).since for keys in groups.values()), default=0.0)
            for lane, groups in self._lanes.items()
        }

    @property
    def delayed(self) -> int:
        """Keys that wait for their time."""
        return sum(entry.timer is not None for entry in self._entries.values())

    @property
    def working(self) -> int:
        """Keys that are with a worker."""
        return self._working

    def _schedule(self, key: Key, entry: _Entry) -> None:
        """Queue an idle entry now, or set its timer."""
        loop = asyncio.get_running_loop()
        if entry.due > loop.time():
            entry.timer = loop.call_at(entry.due, self._enqueue, key, entry)
        else:
            self._enqueue(key, entry)

    def _enqueue(self, key: Key, entry: _Entry) -> None:
        assert entry.lane is not None  # noqa: S101 - only entries with a lane are scheduled
        self._arrivals += 1
        entry.timer, entry.queued = None, True
        entry.sequence, entry.since = self._arrivals, asyncio.get_running_loop().time()
        self._lanes[entry.lane].setdefault(entry.group, OrderedDict())[key] = entry
        self._wake()

    def _withdraw(self, key: Key, entry: _Entry) -> None:
        """Take an entry out of its lane or stop its timer."""
        if entry.timer is not None:
            entry.timer.cancel()
            entry.timer = None
        if entry.queued and entry.lane is not None:
            entry.queued = False
            groups = self._lanes[entry.lane]
            del groups[entry.group][key]
            if not groups[entry.group]:
                del groups[entry.group]

    def _pick(self) -> Key | None:
        heads = [head for lane in Lane if (head := self._head(lane)) is not None]
        if not heads:
            return None
        key, entry = heads[0]
        oldest_key, oldest = min(heads, key=lambda head: head[1].sequence)
        if entry is oldest or self._passed_over + 1 >= self._share:
            key, entry, self._passed_over = oldest_key, oldest, 0
        else:
            self._passed_over += 1
        self._withdraw(key, entry)
        if self.listener is not None and entry.lane is not None:
            self.listener.picked(key, entry.lane, asyncio.get_running_loop().time() - entry.since)
        entry.lane, entry.changed = None, asyncio.Event()
        entry.charged_to = entry.group
        self._in_work[entry.charged_to] += 1
        self._working += 1
        return key

    def _head(self, lane: Lane) -> tuple[Key, _Entry] | None:
        """Return the first key of a lane whose group has room."""
        heads = (
            next(iter(keys.items()))
            for group, keys in self._lanes[lane].items()
            if lane is Lane.DELETION or self._has_room(group)
        )
        return min(heads, key=lambda head: head[1].sequence, default=None)

    def _has_room(self, group: Hashable | None) -> bool:
        limit = None if group is None else self._limits.get(group, self._default_limit)
        return limit is None or self._in_work[group] < limit

    def _wake(self) -> None:
        """Let one waiting `get` look again; it wakes the next if it found something."""
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return


def _checked_limit(limit: int | None) -> int | None:
    if limit is not None and limit < 1:
        raise ValueError(f"a limit must be at least 1, got {limit}")
    return limit


async def work(queue: WorkQueue[Key], reconcile: Callable[[Key], Awaitable[Result]], workers: int) -> None:
    """Run workers on a queue until it is closed and the keys in work are done.

    An exception of `reconcile` is logged and the key is retried after its backoff; it never ends a worker. Cancelling
    this coroutine cancels the reconciles in flight; closing the queue lets them finish.

    Args:
        queue: where the keys come from.
        reconcile: looks at one key; must be safe to repeat.
        workers: how many keys are looked at side by side, at least 1.
    """
    async with asyncio.TaskGroup() as group:
        for number in range(workers):
            group.create_task(_worker(queue, reconcile), name=f"worker-{number}")


async def _worker(queue: WorkQueue[Key], reconcile: Callable[[Key], Awaitable[Result]]) -> None:
    while True:
        try:
            key = await queue.get()
        except QueueClosed:
            return
        result, failed = Result(), False
        try:
            result = await reconcile(key)
        except Exception:
            failed = True
            queue.failed(key)
            logger.exception("Reconcile failed", extra={"key": str(key), "failures": queue.failures(key)})
        else:
            queue.succeeded(key)
            if result.after_seconds is not None:
                queue.add(key, result.lane, after=result.after_seconds)
        finally:
            queue.done(key)
            if queue.listener is not None:
                queue.listener.worked(key, after_seconds=result.after_seconds, failed=failed)
