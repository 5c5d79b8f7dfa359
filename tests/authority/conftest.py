"""A real API server with everything of manifests/base, and people with their own client certificates."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator

import pytest

from development.control_plane import ControlPlane
from development.mariadb import MariaDB
from development.stand import ROOT, Stand
from tests.authority.people import ACCOUNTS, NAMESPACE, PATCHER, Person, bindings, cleanup

_EFFECTIVE_SECONDS = 30.0


@pytest.fixture(scope="session")
def people(control_plane: ControlPlane) -> Iterator[dict[str, Person]]:
    """Everybody of the table, by name; what is shipped is installed, and the policy is in force."""
    for arguments in (
        ("apply", "--server-side", "--force-conflicts", "-f", ROOT / "crds"),
        ("wait", "--for=condition=Established", "--timeout=20s", "-f", ROOT / "crds"),
        ("apply", "-k", ROOT / "manifests" / "base"),
    ):
        control_plane.kubectl(*arguments)
    control_plane.create_namespace(NAMESPACE)
    control_plane.create_namespace(f"{NAMESPACE}-elsewhere")
    control_plane.kubectl("apply", "-f", "-", input="\n".join(f"---\n{json.dumps(each)}" for each in bindings()))
    found = {name: Person(name, control_plane.client_as(name, group="people")) for name in (*ACCOUNTS, PATCHER)}
    _await_policy(found["clerk"])
    yield found
    for person in found.values():
        person.client.close()


def _await_policy(person: Person) -> None:
    """The API server puts a new policy into force a moment after it took it."""
    deadline = time.monotonic() + _EFFECTIVE_SECONDS
    while "may not use" not in person.create(cleanup(f"probe-{uuid.uuid4().hex[:8]}")):
        assert time.monotonic() < deadline, "the admission policy does not come into force"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def stand(control_plane: ControlPlane, mariadb: MariaDB) -> Iterator[Stand]:
    """An appliance on MariaDB, installed as shipped; each module starts the operators it needs."""
    with Stand(
        control_plane,
        mariadb.create_database(f"oma_{uuid.uuid4().hex[:12]}"),
        settings={"detection": {"intervalSeconds": 10}},
    ) as running:
        yield running
