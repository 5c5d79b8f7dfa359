"""What an Appliance's doors need: Secrets of the operator's namespace only; what is missing or wrong is named, never shown."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from pydantic import SecretBytes

from failed_execution_cleanup.access.secrets import SecretMissing
from failed_execution_cleanup.appliance.errors import ApplianceError, BadCredentials, Untrusted
from failed_execution_cleanup.controller.appliances import Appliances
from failed_execution_cleanup.controller.kubernetes_api import Forbidden, KubernetesApi, NotFound
from failed_execution_cleanup.resources.appliance import Appliance

NAMESPACE = "operators"
PASSWORD = "hunter2-7Qv0Zx"
URL = f"mysql+asyncmy://oma:{PASSWORD}@oma.example.com/migratekit_oma"


@dataclass
class Secrets:
    """The one call of the API that is needed; keeps what was asked for."""

    stored: Mapping[str, Mapping[str, bytes]]
    forbidden: bool = False
    asked: list[tuple[str, str]] = field(default_factory=list)

    async def read_secret(self, namespace: str, name: str) -> Mapping[str, SecretBytes]:
        self.asked.append((namespace, name))
        if self.forbidden:
            raise Forbidden("not allowed", status=403)
        if name not in self.stored:
            raise NotFound("not found", status=404)
        return {key: SecretBytes(value) for key, value in self.stored[name].items()}


def appliance(**ossea: Any) -> Appliance:
    return Appliance.model_validate(
        {
            "metadata": {"name": "default", "uid": "u-1"},
            "spec": {
                "database": {"urlSecretRef": {"name": "oma-database", "key": "url"}},
                "volumeDaemon": {"url": "http://oma.example.com:8090"},
                "ossea": ossea,
            },
        }
    )


async def open_doors(secrets: Secrets, asked: Appliance) -> None:
    appliances = Appliances(cast("KubernetesApi", secrets), NAMESPACE, 5.0)
    async with appliances.doors(asked):
        pass


KEYS: Mapping[str, Any] = {
    "url": "https://ossea.example.com/client/api",
    "credentialsSecretRef": {"name": "ossea-credentials"},
}
SOUND = {"oma-database": {"url": URL.encode()}, "ossea-credentials": {"apiKey": b"a", "secretKey": b"s"}}


async def test_every_secret_comes_from_the_operators_own_namespace() -> None:
    secrets = Secrets(SOUND)
    await open_doors(secrets, appliance(**KEYS))
    assert {name for _, name in secrets.asked} == set(SOUND)
    assert {namespace for namespace, _ in secrets.asked} == {NAMESPACE}


async def test_a_line_break_at_the_end_of_a_value_does_no_harm() -> None:
    with_breaks = {name: {key: value + b"\n" for key, value in values.items()} for name, values in SOUND.items()}
    appliances = Appliances(cast("KubernetesApi", Secrets(with_breaks)), NAMESPACE, 5.0)
    async with appliances.database(appliance(**KEYS)) as database:
        assert repr(database) == "<OMADatabase oma.example.com/migratekit_oma>"


async def test_runs_side_by_side_share_a_database_until_its_secret_is_changed() -> None:
    secrets = Secrets(SOUND)
    appliances = Appliances(cast("KubernetesApi", secrets), NAMESPACE, 5.0)
    async with appliances.database(appliance(**KEYS)) as one, appliances.database(appliance(**KEYS)) as other:
        assert other is one
        secrets.stored = {**SOUND, "oma-database": {"url": URL.replace(PASSWORD, "another").encode()}}
        async with appliances.database(appliance(**KEYS)) as changed:
            assert changed is not one
    async with appliances.database(appliance(**KEYS)) as later:
        assert later is changed


def without(name: str) -> Mapping[str, Mapping[str, bytes]]:
    return {key: values for key, values in SOUND.items() if key != name}


@pytest.mark.parametrize(
    ("secrets", "ossea", "kind", "named"),
    [
        (Secrets(without("oma-database")), KEYS, SecretMissing, ["operators/oma-database", "'url'", "creates"]),
        (Secrets({**SOUND, "oma-database": {"URL": b"x"}}), KEYS, SecretMissing, ["operators/oma-database", "'url'"]),
        (Secrets(without("ossea-credentials")), KEYS, SecretMissing, ["operators/ossea-credentials", "'apiKey'"]),
        (
            Secrets({**SOUND, "ossea-credentials": {"apiKey": b"a"}}),
            KEYS,
            SecretMissing,
            ["operators/ossea-credentials", "'secretKey'"],
        ),
        (Secrets(SOUND, forbidden=True), KEYS, BadCredentials, ["operators/oma-database", "Role", "FEC_NAMESPACE"]),
        (
            Secrets({**SOUND, "oma-database": {"url": f"postgresql://oma:{PASSWORD}@x/y".encode()}}),
            KEYS,
            BadCredentials,
            ["operators/oma-database", "mysql+asyncmy://", "Correct"],
        ),
        (
            Secrets({**SOUND, "oma-database": {"url": PASSWORD.encode() + b"\xff"}}),
            KEYS,
            BadCredentials,
            ["operators/oma-database", "'url'", "no text"],
        ),
        (
            Secrets(SOUND),
            {**KEYS, "caBundle": "-----BEGIN CERTIFICATE-----\nno\n-----END CERTIFICATE-----"},
            Untrusted,
            ["spec.ossea.caBundle", "PEM"],
        ),
    ],
    ids=[
        "no secret", "no key", "no credentials", "half of the credentials", "not permitted", "another database", "no text",
        "unreadable bundle",
    ],
)  # fmt: skip
async def test_what_is_wrong_is_named_and_not_shown(
    secrets: Secrets, ossea: Mapping[str, Any], kind: type[ApplianceError], named: list[str]
) -> None:
    with pytest.raises(kind) as told:
        await open_doors(secrets, appliance(**ossea))
    assert [word for word in named if word not in str(told.value)] == []
    assert PASSWORD not in str(told.value)
    assert PASSWORD not in repr(told.value.__cause__)
    assert told.value.__suppress_context__ or told.value.__context__ is None


@dataclass
class Stored:
    """The Appliances that are stored now."""

    bodies: list[dict[str, Any]]

    async def list(self, _resource: object) -> AsyncIterator[dict[str, Any]]:
        for body in self.bodies:
            yield copy.deepcopy(body)


@pytest.mark.asyncio
async def test_runs_share_an_appliance_until_it_changes() -> None:
    stored = Stored([appliance().model_dump(mode="json", by_alias=True, exclude_none=True)])
    appliances = Appliances(cast("KubernetesApi", stored), NAMESPACE, 5.0)
    first = (await appliances.read_all())["default"]
    assert (await appliances.read_all())["default"] is first
    stored.bodies[0]["spec"]["waivers"] = ["EngineMayWake"]
    changed = (await appliances.read_all())["default"]
    assert [waiver.value for waiver in changed.spec.waivers] == ["EngineMayWake"]
    assert not first.spec.waivers
    stored.bodies.clear()
    assert await appliances.read_all() == {}
