"""Whatever fits the served OpenAPI document, or does not, is answered as the document says: Schemathesis, bounded, by a printed seed."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from development.stand import Stand
from tests.console.conftest import Console, start_console

pytestmark = pytest.mark.timeout(900)

SEED: Final = 20260131
EXAMPLES: Final = 6
"""Random requests of each operation, beside those that try every limit of the document."""

CURSOR: Final = base64.urlsafe_b64encode(b'[0,"",""]').decode().rstrip("=")
"""No document can say which texts a page gave as a cursor; others are refused, as the unit tests show."""

EXPECTED: Final = """
[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", 504]

[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 409, 413, 414, 422, 429, "5xx"]
"""
"""504 is the contract's own answer to whoever does not wait for the end of a cleanup; what is too long is refused as that."""

PATIENT: Final = {
    "FEC_CONSOLE_REQUESTS_PER_MINUTE": "1000000",
    "FEC_CONSOLE_FAILED_LOGINS_PER_MINUTE": "1000000",
    "FEC_CONSOLE_WAIT_SECONDS": "1",
    "FEC_HTTP_TIMEOUT_SECONDS": "30",  # a busy machine is no appliance that is down
}


@pytest.fixture(scope="module")
def patient(stand: Stand, people: dict[str, str]) -> Iterator[Console]:
    """A console that anybody may ask as often as he likes, and that never waits for long."""
    running = start_console(stand, people, **PATIENT)
    yield running
    running.process.stop(grace_seconds=15)


@pytest.fixture(scope="module")
def known(stand: Stand) -> dict[str, str]:
    """Parameters that name something real, so that answers of success are looked at as well."""
    name = f"schema-{uuid.uuid4().hex[:6]}"
    stand.build("F28", name)
    stand.apply_cleanup(name, name)
    stand.wait_for_reason(name, "RunningTestVM")
    places = {"namespace": stand.namespace, "appliance": stand.appliance, "vcenter_host": "vc01.example.com"}
    return {"vm_name": name, "name": name, **places}


@pytest.mark.parametrize(
    ("real", "phases"),
    [(False, "examples,fuzzing"), (True, "examples,coverage,fuzzing")],
    ids=["anything", "real names"],
)
def test_answers_keep_to_the_openapi_document(
    patient: Console, known: dict[str, str], real: bool, phases: str, tmp_path: Path, record_property: Any
) -> None:
    config = tmp_path / "schemathesis.toml"
    parameters = {"cursor": CURSOR, **(known if real else {})}
    lines = ["[parameters]", *(f'{name} = "{value}"' for name, value in parameters.items()), EXPECTED]
    config.write_text("\n".join(lines))
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run"]
    options = [
        f"--url={patient.url}",
        f"--header=Authorization: Bearer {patient.tokens['waiver']}",
        "--exclude-path-regex=/events$",  # an endless answer
        f"--phases={phases}",
        f"--max-examples={EXAMPLES}",
        f"--seed={SEED}",
        "--generation-database=none",
        "--suppress-health-check=all",
        "--request-timeout=30",
        "--no-color",
    ]
    done = subprocess.run(
        [*command, f"{patient.url}/api/v1/openapi.json", *options],
        cwd=tmp_path,
        env={**os.environ, "PYTHONWARNINGS": "ignore", "NO_PROXY": "127.0.0.1"},
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )
    record_property("figure", f"schemathesis: seed {SEED}, {EXAMPLES} examples of each operation")
    assert done.returncode == 0, f"seed {SEED}\n{done.stdout[-20000:]}\n{done.stderr[-4000:]}"
    assert patient.process.returncode is None
