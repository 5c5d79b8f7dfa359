"""One run on real parts, with secrets that can be told apart: everything the tests look at is gathered once."""

from __future__ import annotations

import base64
import json
import os
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import make_url

from development.control_plane import ControlPlane
from development.mariadb import MariaDB
from development.preloaded import start_program
from development.processes import Process, free_port
from development.stand import PRODUCT_NAMESPACE, ROOT, Stand
from tests.visible.scraping import Scraper

WRONG: Final = {name: f"wrong-{name}-{uuid.uuid4().hex}" for name in ("password", "api-key", "secret-key")}
TABLES: Final = (
    "job_tracking",
    "job_steps",
    "log_events",
    "failover_jobs",
    "vm_replication_contexts",
    "volume_operations",
)
"""Tables that this software or the daemon writes for it."""


@dataclass
class Run:
    """What one cleanup left behind.

    Attributes:
        cleaned: the cleanup that came to its end, as it is stored.
        memory: what its claim remembers.
        secrets: values that may be nowhere, by what they are.
        outputs: everything that was put out anywhere, by where.
    """

    stand: Stand
    operator: Process
    port: int
    scraper: Scraper
    secrets: dict[str, str] = field(repr=False)
    cleaned: dict[str, Any] = field(default_factory=dict)
    memory: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def log(self) -> list[dict[str, Any]]:
        """Records of the operator's log."""
        return [json.loads(line) for line in self.outputs["log"].splitlines()]

    def diagnose(self, vm_name: str, *arguments: str, file: str) -> str:
        """Run `fec diagnose` with the operator's own rights, and return what it wrote into a file."""
        path = self.stand.directory / file
        kubeconfig = self.stand.control_plane.service_account_kubeconfig(
            self.stand.operator_namespace, PRODUCT_NAMESPACE
        )
        process = start_program(
            *("diagnose", "failed_execution_cleanup", "diagnose", vm_name),
            *("--namespace", self.stand.namespace, "--output", str(path), *arguments),
            log=self.stand.directory / "diagnose.log",
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT / "operator"),
                "KUBECONFIG": str(kubeconfig),
                "FEC_NAMESPACE": self.stand.operator_namespace,
                "FEC_HEALTH_PORT": str(self.port),
                "FEC_HTTP_TIMEOUT_SECONDS": "5",
            },
        )
        assert process.wait(seconds=60) == 0, process.log_tail()
        self.outputs[file] = path.read_text()
        return self.outputs[file]


@pytest.fixture(scope="session")
def stand(control_plane: ControlPlane, mariadb: MariaDB) -> Iterator[Stand]:
    """An appliance with encrypted keys, looked at every ten seconds; no operator yet."""
    database = mariadb.create_database(f"oma_{uuid.uuid4().hex[:12]}")
    with Stand(control_plane, database, settings={"detection": {"intervalSeconds": 10}}) as running:
        yield running


@pytest.fixture(scope="session")
def run(stand: Stand) -> Run:
    """F11 from stuck to Cleaned, beside a stuck VM without a cleanup, a cleanup that stops, and Appliances with wrong secrets."""
    key = os.urandom(32)
    secrets = {
        "database password": str(make_url(stand.database_url).password),
        "database URL": stand.database_url,
        "API key": stand.address["api_key"],
        "secret key": stand.address["secret_key"],
        "encryption key": base64.b64encode(key).decode(),
        **{f"wrong {name}": value for name, value in WRONG.items()},
    }
    sealed = {name: _sealed(key, secrets[name]) for name in ("API key", "secret key")}
    stand.rows(
        "UPDATE ossea_configs SET api_key = :api, secret_key = :secret",
        api=sealed["API key"],
        secret=sealed["secret key"],
    )
    stand.apply_secret("oma-key", key=secrets["encryption key"])
    stand.apply_appliance(stand.appliance, ossea={"encryptionKeySecretRef": {"name": "oma-key", "key": "key"}})
    wrong_database = f"{stand.appliance}-database"
    wrong_keys = f"{stand.appliance}-keys"
    url = make_url(stand.database_url).set(password=WRONG["password"])
    stand.apply_secret("wrong-database", url=url.render_as_string(hide_password=False))
    stand.apply_secret("wrong-keys", apiKey=WRONG["api-key"], secretKey=WRONG["secret-key"])
    stand.apply_appliance(wrong_database, database={"urlSecretRef": {"name": "wrong-database", "key": "url"}})
    stand.apply_appliance(
        wrong_keys, ossea={"url": stand.address["ossea_url"], "credentialsSecretRef": {"name": "wrong-keys"}}
    )
    for vm_name in ("pgtest1", "pgtest2", "pgtest3"):
        stand.build("F11", vm_name)
    port = free_port()
    operator = stand.start_operator(
        FEC_HEALTH_PORT=str(port),
        FEC_LOG_FORMAT="json",
        FEC_LOG_LEVEL="DEBUG",
        FEC_APPLIANCES=json.dumps([stand.appliance, wrong_database, wrong_keys]),
    )
    found = Run(stand, operator, port, Scraper(port), secrets)
    operator.wait_until(lambda: "Health server listens" in operator.log.read_text(), seconds=90)
    stand.apply_cleanup("pgtest3", "pgtest3", applianceRef={"name": wrong_database})
    stand.wait_for_reason("pgtest3", "ApplianceUnreachable")
    found.diagnose("pgtest1", "--appliance", stand.appliance, file="before.yaml")
    stand.apply_cleanup("pgtest1", "pgtest1")

    def ended() -> bool:
        found.scraper.scrape()
        return stand.ready("pgtest1") == ("True", "Cleaned")

    stand.wait_until(ended, seconds=180, what="pgtest1 is Cleaned")
    stand.wait_until(lambda: not stand.cleanup("pgtest1")["metadata"].get("finalizers"), what="pgtest1 is let go of")
    stand.wait_until(lambda: _scanned(found), seconds=60, what="a scan after the end found pgtest2 and pgtest3 stuck")
    found.diagnose("pgtest1", "--appliance", stand.appliance, file="after.json")
    found.diagnose("pgtest3", "--appliance", wrong_database, file="unreachable.yaml")
    found.cleaned = stand.cleanup("pgtest1")
    claim = found.cleaned["status"]["cleanupJobID"]
    (row,) = stand.rows("SELECT metadata FROM job_tracking WHERE id = :id", id=claim)
    found.memory = json.loads(row["metadata"])["memory"]
    found.outputs |= {
        "log": operator.log.read_text(),
        "diagnose.log": (stand.directory / "diagnose.log").read_text(),
        "metrics": found.scraper.text,
        "cleanups": stand.kubectl("get", "fec", "-o", "json"),
        "appliances": stand.kubectl("get", "appliances", "-o", "json"),
        "events": stand.kubectl("get", "events.events.k8s.io", "--all-namespaces", "-o", "json"),
        **{table: _dump(stand.rows(f"SELECT * FROM {table}")) for table in TABLES},  # noqa: S608 - constants
    }
    return found


def _scanned(run: Run) -> bool:
    run.scraper.scrape()
    return run.scraper.value("fec_stuck_vms", appliance=run.stand.appliance, operation="test") > 0


def _sealed(key: bytes, value: str) -> str:
    nonce = os.urandom(12)
    return base64.b64encode(nonce + AESGCM(key).encrypt(nonce, value.encode(), None)).decode()


def _dump(rows: list[Mapping[str, Any]] | list[dict[str, Any]]) -> str:
    return "\n".join(repr(dict(row)) for row in rows)
