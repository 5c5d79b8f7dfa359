"""What a running operator serves at /metrics is what page, alerts and dashboard are checked against."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from development.control_plane import ControlPlane
from development.monitoring.exported import exported
from development.processes import LOOPBACK, free_port
from development.stand import Stand
from tests.monitoring.conftest import Promtool

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def exposition(control_plane: ControlPlane) -> Iterator[bytes]:
    """What an operator serves after it cleaned one VM up, refused another and found a third stuck."""
    settings = {"detection": {"action": "Report", "intervalSeconds": 10}}
    port = free_port()
    with Stand(control_plane, settings=settings) as stand, httpx.Client(trust_env=False) as client:

        def served() -> bytes:
            return client.get(f"http://{LOOPBACK}:{port}/metrics").raise_for_status().content

        stand.build("F11", "cleaned", disks=1)
        stand.build("F28", "stalled", disks=1)
        stand.build("F11", "stuck", disks=1)
        stand.start_operator(FEC_HEALTH_PORT=str(port))
        for name in ("cleaned", "stalled"):
            stand.apply_cleanup(name, name)
        stand.wait_for("cleaned", "Ready")
        stand.wait_for("stalled", "Stalled")
        stuck = f'fec_stuck_vms{{appliance="{stand.appliance}",operation="test"}} 1.0'.encode()
        finished = f'fec_cleanups_finished_total{{appliance="{stand.appliance}",reason="Cleaned"}} 1.0'.encode()
        stand.wait_until(lambda: stuck in served() and finished in served(), what="scan and end are told")
        yield served()


def families(exposition: bytes) -> list[Metric]:
    return list(text_string_to_metric_families(exposition.decode()))


def test_promtool_finds_nothing_to_complain_about(promtool: Promtool, exposition: bytes) -> None:
    assert promtool("check", "metrics", stdin=exposition) == (0, "")


def test_names_kinds_and_labels_are_those_of_the_reference(exposition: bytes) -> None:
    reference = {series: metric for metric in exported() for series in metric.series}
    for family in families(exposition):
        for sample in family.samples:
            if sample.name.endswith("_created"):
                continue
            metric = reference[sample.name]
            assert metric.kind == family.type, sample.name
            assert metric.labels == tuple(sorted(sample.labels.keys() - {"le"})), sample.name


def test_what_alerts_are_about_has_the_labels_they_select(exposition: bytes) -> None:
    told = {
        (sample.name, sample.labels.get("state"), sample.labels.get("reason"), sample.labels.get("namespace", "")[:3])
        for family in families(exposition)
        for sample in family.samples
        if sample.name == "fec_cleanups"
    }
    assert told == {
        ("fec_cleanups", "finished", "Cleaned", "dr-"),
        ("fec_cleanups", "stalled", "RunningTestVM", "dr-"),
    }


def test_no_label_grows_with_the_work_done(exposition: bytes) -> None:
    """Names of VMs and of cleanups, and ids, would make a new series for each failover."""
    values = {value for family in families(exposition) for sample in family.samples for value in sample.labels.values()}
    assert not values & {"cleaned", "stuck"}
    assert not [value for value in values if len(value) > 60 or value.count("-") == 4]
