"""What a query speaks of."""

from __future__ import annotations

import pytest

from development.monitoring.promql import LabelUse, label_uses, series_in


def test_series_are_found_in_ranges_subqueries_and_both_sides_of_an_operator() -> None:
    query = "max_over_time(sum(rate(a_total[5m]))[1h:1m]) / (time() - b) or absent(c == 1)"
    assert series_in(query) == {"a_total", "b", "c"}


@pytest.mark.parametrize(
    ("query", "uses"),
    [
        ('a{b="c"}', {LabelUse("a", "b", "c")}),
        ('a{b!~"c|d"}', {LabelUse("a", "b", "c"), LabelUse("a", "b", "d")}),
        ('a{b=~"c.+"}', {LabelUse("a", "b", "")}),
        ("sum by (b) (rate(a[5m]))", {LabelUse("a", "b")}),
        ("sum without (b) (a)", set()),
        ("a and on (b) c", {LabelUse("a", "b"), LabelUse("c", "b")}),
        ("a and ignoring (b) c", set()),
        ("sum by (b) (a) / on () sum(c)", {LabelUse("a", "b")}),
    ],
)
def test_labels_are_expected_on_the_series_they_select_group_or_match(query: str, uses: set[LabelUse]) -> None:
    assert label_uses(query) == uses


@pytest.mark.parametrize("query", ["sum by (", '{job="x"}'])
def test_what_names_no_metric_or_is_no_query_is_an_error(query: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        series_in(query)
