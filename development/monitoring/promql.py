"""What a PromQL query speaks of: series, and the labels it expects on them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from promql_parser import (
    AggModifierType,
    AggregateExpr,
    BinaryExpr,
    Expr,
    LabelModifierType,
    VectorSelector,
    parse,
    walk,
)

_PLAIN: Final = re.compile(r"[\w-]+")
"""A value that is no regular expression but itself."""


@dataclass(frozen=True, slots=True)
class LabelUse:
    """A label that a query expects on a series, to select, group or match by.

    Attributes:
        series: name of the series, such as `workqueue_adds_total`.
        label: name of the label.
        value: a value that is selected or left out, empty where a pattern is; None where the label is kept to group or match by.
    """

    series: str
    label: str
    value: str | None = None


def series_in(query: str) -> frozenset[str]:
    """Names of the series that a query reads.

    Raises:
        ValueError: it is no PromQL, or selects series without naming them.
    """
    return frozenset(_name(selector) for selector in _selectors(parse(query)))


def label_uses(query: str) -> frozenset[LabelUse]:
    """The labels that a query expects, each on every series that must have it.

    Raises:
        ValueError: it is no PromQL, or selects series without naming them.
    """
    return frozenset(_uses(parse(query)))


def _uses(expression: Expr) -> Iterator[LabelUse]:
    for selector in _selectors(expression):
        for matcher in selector.matchers.matchers:
            for value in matcher.value.split("|"):
                yield LabelUse(_name(selector), matcher.name, value if _PLAIN.fullmatch(value) else "")
    for node in _nodes(expression):
        for label in _grouped_by(node):
            for selector in _selectors(node):
                yield LabelUse(_name(selector), label)


def _grouped_by(node: Expr) -> list[str]:
    """Labels that everything below a node must have."""
    if isinstance(node, AggregateExpr) and node.modifier is not None and node.modifier.type == AggModifierType.By:
        return node.modifier.labels
    if isinstance(node, BinaryExpr) and node.modifier is not None:
        matching = node.modifier.matching
        if matching is not None and matching.type == LabelModifierType.Include:
            return matching.labels
    return []


def _nodes(expression: Expr) -> list[Expr]:
    found: list[Expr] = []
    walk(expression, found.append)
    return found


def _selectors(expression: Expr) -> list[VectorSelector]:
    nodes = _nodes(expression)
    inner = (getattr(node, "vector_selector", node) for node in nodes)
    return [node for node in inner if isinstance(node, VectorSelector)]


def _name(selector: VectorSelector) -> str:
    if selector.name is None:
        raise ValueError(f"{selector} names no metric")
    return selector.name
