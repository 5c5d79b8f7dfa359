"""Keys in `ossea_configs`: plain, or sealed with AES-256-GCM, nonce first, in base64."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import SecretStr

from failed_execution_cleanup.appliance.database import OSSEAConfig
from failed_execution_cleanup.appliance.errors import BadCredentials

KEY = bytes(range(32))
# As long and of the alphabet of a key made by CloudStack.
PLAIN = "LIN6rqXuaJwMPfGYFh13qDwYz5VNNz1J2J6qIOWcd3oLQOq0WtD4CwRundBL6rzXToa3lQOCexample-_Hkt8D"


def sealed(text: str) -> str:
    nonce = bytes(12)
    return base64.b64encode(nonce + AESGCM(KEY).encrypt(nonce, text.encode(), None)).decode()


def config(api_key: str, secret_key: str) -> OSSEAConfig:
    return OSSEAConfig(
        id=1,
        name="production",
        api_url="http://ossea.example.com",
        api_key=SecretStr(api_key),
        secret_key=SecretStr(secret_key),
        oma_vm_id="oma",
        zone="zone1",
    )


def test_sealed_keys_are_recognised_and_opened() -> None:
    row = config(sealed(PLAIN), sealed("secret"))
    assert row.encrypted
    opened = row.decrypt(KEY)
    assert opened.api_key.get_secret_value() == PLAIN
    assert opened.secret_key.get_secret_value() == "secret"


def test_plain_keys_are_left_as_they_are() -> None:
    row = config(PLAIN, PLAIN)
    assert not row.encrypted
    assert row.decrypt(KEY) == row


def test_another_key_is_refused_without_showing_anything() -> None:
    row = config(sealed(PLAIN), sealed(PLAIN))
    with pytest.raises(BadCredentials) as refused:
        row.decrypt(bytes(32))
    assert "MIGRATEKIT_CRED_ENCRYPTION_KEY" in refused.value.remedy
    assert PLAIN not in str(refused.value)


def test_a_key_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="32"):
        config(PLAIN, PLAIN).decrypt(b"short")
