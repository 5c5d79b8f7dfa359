"""The panels of the dashboard: what is asked of Prometheus, and how it is shown.

Queries are PromQL with Grafana's variables: `$appliance` is a regular expression over appliances, `$__rate_interval` a range that
always holds several scrapes. `in_prometheus` fills them in.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_LEADER: Final = 'leader_election_master_status{name="failed-execution-cleanup"}'
_OURS: Final = 'appliance=~"$appliance"'
_RATE: Final = "[$__rate_interval]"


class Kind(StrEnum):
    """How a panel shows its series, in Grafana's words."""

    STAT = "stat"
    LINES = "timeseries"
    STATES = "state-timeline"


@dataclass(frozen=True, slots=True)
class Query:
    """One query; `legend` names a series of its result, with labels in double braces."""

    expression: str
    legend: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One panel.

    Attributes:
        title: what it shows.
        meaning: what to think of it; shown at the title.
        queries: what is asked.
        unit: in Grafana's words: short, s, ops, percentunit, bytes.
        kind: how it is shown.
        width: columns it takes, of 24.
        stacked: whether the series add up to something.
        alarming: value from which a stat is red; None: never.
        states: what 1 and 0 mean where states are shown; 1 is green, 0 is red.
        harmless: 0 is no reason to worry, so it is not red.
    """

    title: str
    meaning: str
    queries: tuple[Query, ...]
    unit: str = "short"
    kind: Kind = Kind.LINES
    width: int = 8
    stacked: bool = False
    alarming: float | None = None
    states: tuple[str, str] = ("yes", "no")
    harmless: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: tuple[Panel, ...]


def _quantile(share: float, metric: str, by: str = "", where: str = _OURS) -> str:
    labels = f"{by}, le" if by else "le"
    return f"histogram_quantile({share}, sum by ({labels}) (rate({metric}_bucket{{{where}}}{_RATE})))"


ROWS: Final = (
    Row(
        "Now",
        (
            Panel(
                title="Stuck VMs",
                meaning="VMs with a dead failover that nobody cleans up.",
                queries=(
                    Query(f"sum(max by (appliance, operation) (fec_stuck_vms{{{_OURS}}})) or vector(0)", "stuck"),
                ),
                kind=Kind.STAT,
                width=4,
                alarming=1,
            ),
            Panel(
                title="Need a person",
                meaning="Stalled cleanups: they do not go on by themselves.",
                queries=(Query(f'sum(fec_cleanups{{state="stalled", {_OURS}}}) or vector(0)', "stalled"),),
                kind=Kind.STAT,
                width=4,
                alarming=1,
            ),
            Panel(
                title="At work",
                meaning="Cleanups that work or wait, and come to an end by themselves.",
                queries=(Query(f'sum(fec_cleanups{{state=~"working|waiting", {_OURS}}}) or vector(0)', "at work"),),
                kind=Kind.STAT,
                width=4,
            ),
            Panel(
                title="Oldest unfinished",
                meaning="How long the oldest cleanup that works or waits has done so.",
                queries=(
                    Query(
                        f"max(time() - fec_oldest_unfinished_cleanup_timestamp_seconds{{{_OURS}}}) or vector(0)", "age"
                    ),
                ),
                unit="s",
                kind=Kind.STAT,
                width=4,
                alarming=4 * 3600,
            ),
            Panel(
                title="Parts unreachable",
                meaning="Databases, Volume Daemons and OSSEAs that do not answer as they should.",
                queries=(
                    Query(
                        f"count(min by (appliance, system) (fec_appliance_up{{{_OURS}}}) == 0) or vector(0)",
                        "unreachable",
                    ),
                ),
                kind=Kind.STAT,
                width=4,
                alarming=1,
            ),
            Panel(
                title="Without a leader",
                meaning="1: no operator leads, so no cleanup goes on.",
                queries=(Query(f"absent({_LEADER} == 1) or vector(0)", "without a leader"),),
                kind=Kind.STAT,
                width=4,
                alarming=1,
            ),
        ),
    ),
    Row(
        "Appliances",
        (
            Panel(
                title="Reachable",
                meaning="Whether each part of an appliance answers as it should.",
                queries=(
                    Query(f"min by (appliance, system) (fec_appliance_up{{{_OURS}}})", "{{appliance}} {{system}}"),
                ),
                kind=Kind.STATES,
            ),
            Panel(
                title="Stuck VMs",
                meaning="VMs with a dead job that nobody cleans up, as of the last scan.",
                queries=(
                    Query(f"max by (appliance, operation) (fec_stuck_vms{{{_OURS}}})", "{{appliance}} {{operation}}"),
                ),
                stacked=True,
            ),
            Panel(
                title="Since the last scan",
                meaning="Should not exceed spec.detection.intervalSeconds by much; what is stuck meanwhile is not seen.",
                queries=(
                    Query(
                        f"time() - max by (appliance) (fec_appliance_last_scan_timestamp_seconds{{{_OURS}}})",
                        "{{appliance}}",
                    ),
                ),
                unit="s",
            ),
        ),
    ),
    Row(
        "Cleanups",
        (
            Panel(
                title="By state",
                meaning="All cleanups there are.",
                queries=(Query(f"sum by (state) (fec_cleanups{{{_OURS}}})", "{{state}}"),),
                stacked=True,
            ),
            Panel(
                title="Unfinished, by reason",
                meaning="What cleanups that have not ended are doing or waiting for; docs/reasons has a page for each.",
                queries=(
                    Query(
                        f'sum by (state, reason) (fec_cleanups{{state!="finished", {_OURS}}})', "{{state}} {{reason}}"
                    ),
                ),
                stacked=True,
            ),
            Panel(
                title="Ended, by reason",
                meaning="Cleanups that came to an end in the interval.",
                queries=(
                    Query(f"sum by (reason) (increase(fec_cleanups_finished_total{{{_OURS}}}{_RATE}))", "{{reason}}"),
                ),
                stacked=True,
            ),
            Panel(
                title="Duration",
                meaning="From the first request of a cleanup to its end.",
                queries=(
                    Query(_quantile(0.5, "fec_cleanup_duration_seconds"), "median"),
                    Query(_quantile(0.95, "fec_cleanup_duration_seconds"), "95 %"),
                ),
                unit="s",
            ),
            Panel(
                title="Age of the oldest unfinished",
                meaning="Of those that work or wait, by appliance; spec.deadlineSeconds is four hours by default.",
                queries=(
                    Query(
                        f"time() - min by (appliance) (fec_oldest_unfinished_cleanup_timestamp_seconds{{{_OURS}}})",
                        "{{appliance}}",
                    ),
                ),
                unit="s",
            ),
            Panel(
                title="Claims taken",
                meaning="A takeover follows an operator that was killed or lost its connection in the middle of the work.",
                queries=(Query(f"sum by (how) (increase(fec_claims_total{{{_OURS}}}{_RATE}))", "{{how}}"),),
                stacked=True,
            ),
        ),
    ),
    Row(
        "Phases",
        (
            Panel(
                title="Median duration",
                meaning="Of completed phases; a skipped one takes no time and is not counted.",
                queries=(Query(_quantile(0.5, "fec_cleanup_phase_duration_seconds", "phase"), "{{phase}}"),),
                unit="s",
                width=12,
            ),
            Panel(
                title="Slowest twentieth",
                meaning="Of completed phases, the duration that one in twenty exceeds.",
                queries=(Query(_quantile(0.95, "fec_cleanup_phase_duration_seconds", "phase"), "{{phase}}"),),
                unit="s",
                width=12,
            ),
        ),
    ),
    Row(
        "Backend calls",
        (
            Panel(
                title="Requests",
                meaning="To OSSEA and the Volume Daemon.",
                queries=(
                    Query(
                        f"sum by (system, command) (rate(fec_appliance_requests_total{{{_OURS}}}{_RATE}))",
                        "{{system}} {{command}}",
                    ),
                ),
                unit="reqps",
                stacked=True,
                width=12,
            ),
            Panel(
                title="Requests that failed",
                meaning="By HTTP status or class of failure. Some refusals belong to the work, such as a held lock.",
                queries=(
                    Query(
                        "sum by (system, command, outcome) "
                        f'(rate(fec_appliance_requests_total{{outcome!~"2..", {_OURS}}}{_RATE}))',
                        "{{system}} {{command}} {{outcome}}",
                    ),
                ),
                unit="reqps",
                stacked=True,
                width=12,
            ),
            Panel(
                title="Slowest twentieth of requests",
                meaning="The duration that one in twenty exceeds.",
                queries=(Query(_quantile(0.95, "fec_appliance_request_duration_seconds", "system"), "{{system}}"),),
                unit="s",
                width=12,
            ),
            Panel(
                title="Throttled",
                meaning="Time that requests waited for their turn under spec.limits.requestsPerSecond, per second.",
                queries=(
                    Query(
                        f"sum by (appliance, system) (rate(fec_appliance_throttled_seconds_total{{{_OURS}}}{_RATE}))",
                        "{{appliance}} {{system}}",
                    ),
                ),
                unit="s",
                width=12,
            ),
        ),
    ),
    Row(
        "Queue",
        (
            Panel(
                title="Depth",
                meaning="Keys that wait for a worker, by lane.",
                queries=(Query("sum by (name, priority) (workqueue_depth)", "{{name}} {{priority}}"),),
                stacked=True,
            ),
            Panel(
                title="Longest wait",
                meaning="How long the oldest key of a lane has waited.",
                queries=(Query("max by (name, priority) (fec_queue_oldest_wait_seconds)", "{{name}} {{priority}}"),),
                unit="s",
            ),
            Panel(
                title="Slowest twentieth of waits",
                meaning="Of keys that got their worker, the wait that one in twenty exceeded.",
                queries=(Query(_quantile(0.95, "workqueue_queue_duration_seconds", "priority", ""), "{{priority}}"),),
                unit="s",
            ),
            Panel(
                title="Workers",
                meaning="Busy workers of the leader, and how many there are.",
                queries=(
                    Query("max by (controller) (controller_runtime_active_workers)", "{{controller}} busy"),
                    Query("max by (controller) (controller_runtime_max_concurrent_reconciles)", "{{controller}} all"),
                ),
            ),
            Panel(
                title="Reconciles",
                meaning="Looks at cleanups, by result; an error is tried again after its backoff.",
                queries=(Query(f"sum by (result) (rate(controller_runtime_reconcile_total{_RATE}))", "{{result}}"),),
                unit="ops",
                stacked=True,
            ),
            Panel(
                title="Longest work in progress",
                meaning="A whole run under a claim is one piece of work.",
                queries=(Query("max by (name) (workqueue_longest_running_processor_seconds)", "{{name}}"),),
                unit="s",
            ),
        ),
    ),
    Row(
        "Operator",
        (
            Panel(
                title="Leadership",
                meaning="One replica leads, the others stand by.",
                states=("leads", "stands by"),
                harmless=True,
                queries=(Query(f"max by (pod) ({_LEADER})", "{{pod}}"),),
                kind=Kind.STATES,
                width=6,
            ),
            Panel(
                title="Versions",
                meaning="Replicas by version; more than one only during an update.",
                queries=(Query("sum by (version) (fec_build_info)", "{{version}}"),),
                stacked=True,
                width=6,
            ),
            Panel(
                title="CPU",
                meaning="Of each replica, in cores.",
                queries=(
                    Query(
                        f'sum by (pod) (rate(process_cpu_seconds_total{{job="failed-execution-cleanup"}}{_RATE}))',
                        "{{pod}}",
                    ),
                ),
                width=6,
            ),
            Panel(
                title="Memory",
                meaning="Resident memory of each replica.",
                queries=(
                    Query('sum by (pod) (process_resident_memory_bytes{job="failed-execution-cleanup"})', "{{pod}}"),
                ),
                unit="bytes",
                width=6,
            ),
        ),
    ),
)


def in_prometheus(expression: str, *, appliance: str = ".*", rate_interval: str = "5m") -> str:
    """The expression with Grafana's variables filled in."""
    return expression.replace("$appliance", appliance).replace("$__rate_interval", rate_interval)
