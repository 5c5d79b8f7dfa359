"""A whole installation with the console as a real process, and people with tokens of their own."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx
import pytest

from development.control_plane import ControlPlane
from development.mariadb import MariaDB
from development.preloaded import start_program
from development.processes import Process, free_port
from development.stand import PRODUCT_NAMESPACE, ROOT, Stand
from tests.console.people import tokens

ACCOUNT = f"{PRODUCT_NAMESPACE}-console"


@dataclass
class Console:
    """A console that listens.

    Attributes:
        url: where, without a slash at its end.
        health_url: the same for health and metrics.
        tokens: of the people, by name.
        answers: every body that was received, for a search.
    """

    stand: Stand
    process: Process
    url: str
    health_url: str
    tokens: dict[str, str] = field(repr=False)
    answers: list[str] = field(default_factory=list, repr=False)

    def client(self, person: str | None = None, **headers: str) -> httpx.Client:
        """An HTTP client in somebody's name; in nobody's without one."""
        if person is not None:
            headers["Authorization"] = f"Bearer {self.tokens[person]}"
        return httpx.Client(
            base_url=f"{self.url}/api/v1",
            headers=headers,
            timeout=180,
            trust_env=False,
            event_hooks={"response": [self._keep]},
        )

    def _keep(self, response: httpx.Response) -> None:
        if "event-stream" not in response.headers.get("content-type", ""):
            response.read()
            self.answers.append(f"{response.headers}\n{response.text}")


def start_console(stand: Stand, people: dict[str, str], **environment: str) -> Console:
    """Start a console with the rights of its own service account."""
    port, health_port = int(environment.get("FEC_CONSOLE_PORT") or free_port()), free_port()
    kubeconfig = stand.control_plane.service_account_kubeconfig(stand.operator_namespace, ACCOUNT)
    name = f"console-{uuid.uuid4().hex[:8]}"
    process = start_program(
        name,
        "failed_execution_cleanup",
        "serve",
        log=stand.directory / f"{name}.log",
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT / "operator"),
            "KUBECONFIG": str(kubeconfig),
            "FEC_NAMESPACE": stand.operator_namespace,
            "FEC_LOG_LEVEL": "DEBUG",
            "FEC_CONSOLE_PORT": str(port),
            "FEC_CONSOLE_HEALTH_PORT": str(health_port),
            "FEC_CONSOLE_SURVEY_SECONDS": "1",
            "FEC_CONSOLE_REVIEW_SECONDS": "2",
            "FEC_HTTP_TIMEOUT_SECONDS": "5",
            **environment,
        },
    )
    process.wait_until(lambda: re.search("Console listens", process.log.read_text()) is not None, seconds=90)
    return Console(stand, process, f"http://127.0.0.1:{port}", f"http://127.0.0.1:{health_port}", people)


@pytest.fixture(scope="session")
def stand(control_plane: ControlPlane, mariadb: MariaDB) -> Iterator[Stand]:
    """An appliance with an operator; its scan looks every ten seconds."""
    database = mariadb.create_database(f"oma_{uuid.uuid4().hex[:12]}")
    with Stand(control_plane, database, settings={"detection": {"intervalSeconds": 10}}) as running:
        running.start_operator()
        yield running


@pytest.fixture(scope="session")
def people(stand: Stand) -> dict[str, str]:
    """Tokens of the people."""
    return tokens(stand)


@pytest.fixture(scope="session")
def console(stand: Stand, people: dict[str, str]) -> Iterator[Console]:
    """The console that most tests share."""
    running = start_console(stand, people)
    yield running
    running.process.stop(grace_seconds=15)
