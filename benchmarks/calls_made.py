"""How often the operator called whom: appliances by its own metrics, Kubernetes by the API server's audit log."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Final

import httpx
from prometheus_client.parser import text_string_to_metric_families

from development.control_plane import ControlPlane

LEASES: Final = "leases"
"""Resource of calls that leadership costs, whatever else there is to do."""


def appliance_calls(port: int) -> Counter[str]:
    """Requests to appliances so far, by system and command.

    Args:
        port: of the operator's `/metrics`.
    """
    found: Counter[str] = Counter()
    for labels, value in _samples(port, "fec_appliance_requests_total"):
        found[f"{labels['system']} {labels['command']}"] += int(value)
    return found


def throttled_seconds(port: int, system: str) -> float:
    """How long requests to a system waited so far for their turn under `requestsPerSecond`, added up."""
    throttled = _samples(port, "fec_appliance_throttled_seconds_total")
    return sum(value for labels, value in throttled if labels["system"] == system)


def _samples(port: int, name: str) -> Iterator[tuple[dict[str, str], float]]:
    text = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False, timeout=30).raise_for_status().text
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == name:
                yield sample.labels, sample.value


class KubernetesCalls:
    """Reads the audit log on from where it was read last."""

    def __init__(self, control_plane: ControlPlane, namespace: str) -> None:
        """Begin at the end of what is there.

        Args:
            control_plane: whose log.
            namespace: of the operator's service account.
        """
        self._log = control_plane.audit_log
        self._account = f"system:serviceaccount:{namespace}:"
        self._read = self._log.stat().st_size if self._log.exists() else 0

    def since(self) -> Counter[str]:
        """Calls since the last reading, by verb and resource."""
        with self._log.open("rb") as log:
            log.seek(self._read)
            text = log.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._read += len(whole)
        found: Counter[str] = Counter()
        for event in map(json.loads, whole.splitlines()):
            if event["user"]["username"].startswith(self._account):
                about = event.get("objectRef", {})
                resource = (
                    "/".join(filter(None, (about.get("resource"), about.get("subresource")))) or event["requestURI"]
                )
                found[f"{event['verb']} {resource}"] += 1
        return found


def listed(calls: Counter[str]) -> str:
    """Calls as one line, the most frequent first."""
    return ", ".join(f"{count} {name}" for name, count in calls.most_common())
