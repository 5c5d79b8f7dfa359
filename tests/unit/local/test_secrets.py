"""Where break-glass finds secrets, in which order, and what it says when there are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from failed_execution_cleanup.access.secrets import SecretMissing
from failed_execution_cleanup.appliance.errors import BadCredentials
from failed_execution_cleanup.local.appliance_file import ApplianceFile, read_appliance_file
from failed_execution_cleanup.local.secrets import LocalSecrets, variable
from failed_execution_cleanup.resources.appliance import SecretKeyReference
from tests.unit.local.test_appliance_file import APPLIANCE, secret

URL = SecretKeyReference(name="oma-database", key="url")


def file(tmp_path: Path, *beside: Any) -> ApplianceFile:
    path = tmp_path / "appliance.yaml"
    path.write_text(yaml.safe_dump_all([APPLIANCE, *beside]))
    return read_appliance_file(path)


def mounted(tmp_path: Path) -> Path:
    (tmp_path / "secrets/oma-database").mkdir(parents=True)
    (tmp_path / "secrets/oma-database/url").write_bytes(b"mounted")
    return tmp_path / "secrets"


ENVIRONMENT = {"FEC_SECRET_OMA_DATABASE_URL": "from the environment"}


@pytest.mark.parametrize(
    ("beside", "directory", "found"),
    [(True, True, b"in the file"), (False, True, b"mounted"), (False, False, b"from the environment")],
)
async def test_the_first_place_that_has_it_is_taken(
    tmp_path: Path, beside: bool, directory: bool, found: bytes
) -> None:
    documents = [secret(stringData={"url": "in the file"})] if beside else []
    secrets = LocalSecrets(file(tmp_path, *documents), mounted(tmp_path) if directory else None, ENVIRONMENT)
    assert (await secrets.read(URL)).get_secret_value() == found
    assert "environment'" not in repr(secrets)


async def test_a_missing_secret_is_told_with_every_place(tmp_path: Path) -> None:
    other = SecretKeyReference(name="ossea.credentials", key="apiKey")
    with pytest.raises(SecretMissing) as told:
        await LocalSecrets(file(tmp_path), mounted(tmp_path), {}).read(other)
    places = ["appliance.yaml", "secrets/ossea.credentials/apiKey", "FEC_SECRET_OSSEA_CREDENTIALS_APIKEY"]
    assert [place for place in places if place not in str(told.value)] == []


async def test_an_unreadable_file_is_no_missing_one(tmp_path: Path) -> None:
    directory = mounted(tmp_path)
    (directory / "oma-database/url").unlink()
    (directory / "oma-database/url").mkdir()
    with pytest.raises(BadCredentials, match="cannot be read: Is a directory") as told:
        await LocalSecrets(file(tmp_path), directory, ENVIRONMENT).read(URL)
    assert not isinstance(told.value, SecretMissing)


def test_variables_are_spelt_as_shells_allow() -> None:
    assert variable(SecretKeyReference(name="a.b-c", key="tls.key")) == "FEC_SECRET_A_B_C_TLS_KEY"
