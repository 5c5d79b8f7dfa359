"""`ossea_configs`: how the OMA reaches OSSEA, and which VM it is itself (appliance facts 2.3)."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import SecretStr
from sqlalchemy import select

from failed_execution_cleanup.appliance.database.failures import SYSTEM
from failed_execution_cleanup.appliance.database.tables import ossea_configs
from failed_execution_cleanup.appliance.errors import BadCredentials

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class OSSEAConfig:
    """One active row. `zone` may be a name or an id; `api_url` may lack `/client/api`."""

    id: int
    name: str
    api_url: str
    api_key: SecretStr
    secret_key: SecretStr
    oma_vm_id: str
    zone: str

    @property
    def encrypted(self) -> bool:
        """Whether the keys look like AES-256-GCM in base64. Both ways of saving are in use (appliance facts 2.3).

        Keys made by CloudStack are 86 characters of unpadded base64url, which is no padded base64.
        """
        return _sealed(self.api_key) is not None and _sealed(self.secret_key) is not None

    def decrypt(self, key: bytes) -> OSSEAConfig:
        """The same row with its keys in plain text; a row that is not encrypted is returned as it is.

        Args:
            key: the 32 bytes of the OMA's `MIGRATEKIT_CRED_ENCRYPTION_KEY`.

        Raises:
            ValueError: the key has not 32 bytes.
            BadCredentials: the row does not open with this key.
        """
        if len(key) != 32:
            raise ValueError(f"the encryption key has {len(key)} bytes, not 32")
        if not self.encrypted:
            return self
        cipher = AESGCM(key)
        return replace(self, api_key=self._open(cipher, self.api_key), secret_key=self._open(cipher, self.secret_key))

    def _open(self, cipher: AESGCM, stored: SecretStr) -> SecretStr:
        sealed = _sealed(stored) or b""
        try:
            return SecretStr(cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], None).decode())
        except (InvalidTag, UnicodeDecodeError):
            raise BadCredentials(
                f"the keys of ossea_configs row {self.id} ({self.name}) do not open with the encryption key given.",
                system=SYSTEM,
                remedy="Give the OMA's own MIGRATEKIT_CRED_ENCRYPTION_KEY in the appliance's encryption key secret.",
            ) from None


async def read_active_configs(connection: AsyncConnection) -> tuple[OSSEAConfig, ...]:
    """Every active row, lowest id first. More than one is unsound: each part of the product picks its own."""
    columns = [
        ossea_configs.c[name] for name in ("id", "name", "api_url", "api_key", "secret_key", "oma_vm_id", "zone")
    ]
    rows = await connection.execute(select(*columns).where(ossea_configs.c.is_active).order_by(ossea_configs.c.id))
    return tuple(
        OSSEAConfig(
            id=row.id,
            name=row.name or "",
            api_url=row.api_url or "",
            api_key=SecretStr(row.api_key or ""),
            secret_key=SecretStr(row.secret_key or ""),
            oma_vm_id=row.oma_vm_id or "",
            zone=row.zone or "",
        )
        for row in rows
    )


def _sealed(stored: SecretStr) -> bytes | None:
    try:
        sealed = base64.b64decode(stored.get_secret_value(), validate=True)
    except (binascii.Error, ValueError):
        return None
    return sealed if len(sealed) > _NONCE_BYTES + _TAG_BYTES else None
