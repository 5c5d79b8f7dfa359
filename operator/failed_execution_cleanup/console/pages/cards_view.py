"""What the list of VMs shows. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import quote

from failed_execution_cleanup.client import EndingState
from failed_execution_cleanup.console.cards import Card, CardState, matching
from failed_execution_cleanup.console.outlines import AT_WORK, Outline
from failed_execution_cleanup.console.pages.addresses import address, digest
from failed_execution_cleanup.console.pages.wording import CARD_STATES, ENDINGS, in_words
from failed_execution_cleanup.console.paging import page

__all__ = [
    "PAGE_SIZE",
    "CardAlert",
    "CardView",
    "CleanupLine",
    "Filter",
    "StateChoice",
    "VMList",
    "card_view",
    "vm_list",
]

PAGE_SIZE: Final = 48
"""Cards of a page: whole rows of two, three and four."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which VMs are looked for.

    Attributes:
        cursor: begins after a card of the page before.
    """

    state: CardState | None = None
    text: str = ""
    appliance: str | None = None
    cursor: str | None = None

    def query(self, **other: str) -> dict[str, str]:
        """It as a query, with other values for some names; an empty one says nothing."""
        return {
            "state": self.state.value if self.state is not None else "",
            "q": self.text,
            "appliance": self.appliance or "",
            "cursor": self.cursor or "",
            **other,
        }

    def address(self, **other: str) -> str:
        """The list with it."""
        return address("/vms", self.query(**other))


@dataclass(frozen=True, slots=True)
class CardAlert:
    """A failover that hangs.

    Attributes:
        operation: such as `test failover`.
        since: its last sign of life.
        last_step: what it did last, in words.
        blocked_by: what would keep a cleanup from running now, in words.
    """

    operation: str
    since: datetime
    last_step: str | None
    blocked_by: str | None


@dataclass(frozen=True, slots=True)
class CleanupLine:
    """The cleanup of a card.

    Attributes:
        state: in words.
        kind: that of the state, for its colour.
        done: phases done of all, such as `3/5`, while it goes on.
        at: when it ended.
    """

    href: str
    state: str
    kind: str
    reason: str
    done: str | None
    at: datetime | None


@dataclass(frozen=True, slots=True)
class CardView:
    """One card.

    Attributes:
        id: of its element.
        kind: that of the state, for its colour.
        operation: what is at work, where something is.
        cleanable: a cleanup is offered.
    """

    id: str
    vm_name: str
    vcenter_host: str
    appliance: str
    context_status: str
    state: str
    kind: str
    href: str
    alert: CardAlert | None
    operation: str | None
    last_step: str | None
    problem: str
    cleanup: CleanupLine | None
    cleanable: bool

    @property
    def tall(self) -> bool:
        """Whether it tells of something that will change soon; it then keeps its height for as long as the page is open."""
        return self.kind in {CardState.STUCK, CardState.RUNNING}


@dataclass(frozen=True, slots=True)
class StateChoice:
    """A filter by state, with how many VMs it has."""

    value: str
    words: str
    count: int
    chosen: bool


@dataclass(frozen=True, slots=True)
class VMList:
    """A page of cards.

    Attributes:
        total: VMs that fit the filter.
        beyond: address of the next page.
        first: address of the first page, where this is another.
        problems: appliances of which nothing is known now, and why.
    """

    cards: tuple[CardView, ...]
    choices: tuple[StateChoice, ...]
    total: int
    beyond: str | None
    first: str | None
    problems: tuple[tuple[str, str], ...]


def card_id(appliance: str, context_id: str) -> str:
    """The id of a card's element."""
    return f"vm-{digest(f'{appliance}/{context_id}')}"


def card_view(card: Card, cleanable: Collection[str]) -> CardView:
    """A card.

    Args:
        card: the VM.
        cleanable: Appliances whose VMs the caller may have cleaned up.
    """
    incident, since = card.incident, card.stuck_since
    stuck = card.state is CardState.STUCK
    alert = None
    if stuck and incident is not None and since is not None:
        blocked = in_words(incident.blocked_by.value) if incident.blocked_by is not None else None
        alert = CardAlert(incident.operation, since, incident.last_step, blocked)
    running = incident is not None and not stuck
    return CardView(
        id=card_id(card.appliance, card.context_id),
        vm_name=card.vm_name,
        vcenter_host=card.vcenter_host,
        appliance=card.appliance,
        context_status=card.context_status,
        state=CARD_STATES[card.state],
        kind=card.state.value,
        href=vm_address(card.appliance, card.context_id),
        alert=alert,
        operation=incident.operation if incident is not None and running else None,
        last_step=incident.last_step if incident is not None and running else None,
        problem=card.problem,
        cleanup=cleanup_line(card.cleanup) if card.cleanup is not None else None,
        cleanable=alert is not None and card.appliance in cleanable,
    )


def vm_address(appliance: str, context_id: str) -> str:
    """The page of a VM."""
    return f"/vms/{quote(appliance, safe='')}/{quote(context_id, safe='')}"


def cleanup_address(namespace: str, name: str) -> str:
    """The page of a cleanup."""
    return f"/cleanups/{quote(namespace, safe='')}/{quote(name, safe='')}"


def cleanup_line(seen: Outline) -> CleanupLine:
    """A cleanup in one line."""
    told = seen.state not in {EndingState.CLEAN, EndingState.WORKING}
    return CleanupLine(
        href=cleanup_address(seen.namespace, seen.name),
        state=ENDINGS[seen.state],
        kind=seen.state.value,
        reason=in_words(seen.reason) if told else "",
        done=seen.phase_summary if seen.state in AT_WORK else None,
        at=seen.completed_at if seen.state not in AT_WORK else None,
    )


def vm_list(
    every: Sequence[Card], wanted: Filter, cleanable: Collection[str], problems: Iterable[tuple[str, str]]
) -> VMList:
    """A page of cards: what needs somebody comes first, then by name.

    Args:
        every: all cards the caller may see of the Appliances that are looked at, in their order.
        wanted: which of them.
        cleanable: Appliances whose VMs the caller may have cleaned up.
        problems: Appliances of which nothing is known, and why.

    Raises:
        InvalidCursor: the filter's cursor is of no page.
    """
    named = [*matching(every, state=None, text=wanted.text)]
    counts = Counter(card.state for card in named)
    fitting = [*matching(named, state=wanted.state, text="")]
    part = page(fitting, lambda card: card.place, limit=PAGE_SIZE, cursor=wanted.cursor)
    shown = tuple(card_view(card, cleanable) for card in part.items)
    return VMList(
        cards=shown,
        choices=tuple(_choices(counts, wanted.state)),
        total=len(fitting),
        beyond=wanted.address(cursor=part.cursor) if part.cursor is not None else None,
        first=wanted.address(cursor="") if wanted.cursor is not None else None,
        problems=tuple(problems),
    )


def _choices(counts: Mapping[CardState, int], chosen: CardState | None) -> Iterable[StateChoice]:
    yield StateChoice("", "All", sum(counts.values()), chosen is None)
    for state in CardState:
        yield StateChoice(state.value, CARD_STATES[state], counts.get(state, 0), state is chosen)
