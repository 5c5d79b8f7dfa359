"""No secret comes out anywhere: not the right ones, not the wrong ones, in no spelling."""

from __future__ import annotations

import base64
from typing import Final
from urllib.parse import quote

import pytest

from tests.visible.conftest import TABLES, Run

pytestmark = pytest.mark.timeout(400)

OUTPUTS: Final = (
    *("log", "diagnose.log", "metrics", "cleanups", "appliances", "events"),
    *("before.yaml", "after.json", "unreachable.yaml", *TABLES),
)


@pytest.mark.parametrize("output", OUTPUTS)
def test_output_of_a_run_holds_no_secret(run: Run, output: str) -> None:
    text = run.outputs[output]
    assert text != "" or output == "diagnose.log"
    for name, secret in run.secrets.items():
        spellings = (secret, quote(secret, safe=""), base64.b64encode(secret.encode()).decode())
        assert [spelling for spelling in spellings if spelling in text] == [], f"{name} in {output}"


def test_the_run_used_every_secret(run: Run) -> None:
    """Else nothing would be proven: the right ones opened the doors, the wrong ones were refused."""
    assert run.cleaned["status"]["cleanupJobID"]
    assert "does not accept the user or the password" in run.outputs["appliances"]
    refused = run.scraper.value("fec_appliance_requests_total", appliance=f"{run.stand.appliance}-keys", outcome="401")
    assert refused > 0
