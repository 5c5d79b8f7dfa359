"""Reads /metrics while something happens: a gauge that is 0 again in the end was more in between."""

from __future__ import annotations

from collections import defaultdict

import httpx
from prometheus_client.parser import text_string_to_metric_families

Labels = frozenset[tuple[str, str]]


class Scraper:
    """What an operator exported so far.

    Attributes:
        highest: the highest value of each sample, by its name and labels.
        families: names of all families.
    """

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/metrics"
        self.highest: dict[str, dict[Labels, float]] = defaultdict(dict)
        self.families: set[str] = set()
        self.text = ""

    def scrape(self) -> None:
        """Read once more."""
        self.text = httpx.get(self._url, trust_env=False, timeout=30).raise_for_status().text
        for family in text_string_to_metric_families(self.text):
            self.families.add(family.name)
            for sample in family.samples:
                known = self.highest[sample.name]
                labels = frozenset(sample.labels.items())
                known[labels] = max(sample.value, known.get(labels, sample.value))

    def value(self, sample: str, /, **labels: str) -> float:
        """The highest value of all samples with these labels, added up; 0 without any."""
        wanted = set(labels.items())
        return sum(value for found, value in self.highest[sample].items() if wanted <= found)

    def moved(self, family: str) -> bool:
        """Whether any sample of a family was ever more than 0."""
        names = (family, f"{family}_total", f"{family}_count")
        return any(value > 0 for name in names for value in self.highest[name].values())
