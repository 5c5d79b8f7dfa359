"""Who calls on an appliance without Kubernetes: names and digests of their tokens in a file that only its owner may read."""

from __future__ import annotations

import hmac
import os
import re
import stat
from pathlib import Path
from typing import Final

from failed_execution_cleanup.console.identity import Caller, Credential, Unauthenticated, User

__all__ = ["TokenFile", "UnusableTokenFile"]

_LINE: Final = re.compile(r"^(?P<name>[^\s:#][^:]{0,254}):(?P<digest>[0-9a-f]{64})$")
_LARGEST: Final = 1024 * 1024


class UnusableTokenFile(ValueError):  # noqa: N818 - named for what happened
    """The file cannot be read, may be read by others, or has a line that is none; the message says where, and shows no line."""


class TokenFile:
    """Implements `identity.IdentitySource` on lines `name:sha256-hex-of-token`; empty lines and those with `#` in front do not count."""

    def __init__(self, users: dict[str, User]) -> None:
        """Know users by the digests of their tokens."""
        self._users = users

    @classmethod
    def read(cls, path: Path) -> TokenFile:
        """Read a file.

        Raises:
            UnusableTokenFile: it cannot be used.
        """
        try:
            with path.open("rb") as file:
                mode = path.stat().st_mode
                text = file.read(_LARGEST).decode()
        except (OSError, UnicodeDecodeError) as error:
            raise UnusableTokenFile(
                f"{path} cannot be read: {getattr(error, 'strerror', None) or 'no text'}."
            ) from None
        if mode & (stat.S_IRWXG | stat.S_IRWXO) and not _is_systemd_credential(path):
            raise UnusableTokenFile(f"{path} may be read or written by others: `chmod 600 {path}`.")
        users: dict[str, User] = {}
        for number, line in enumerate(text.splitlines(), start=1):
            if not line.strip() or line.startswith("#"):
                continue
            match = _LINE.match(line)
            if match is None:
                raise UnusableTokenFile(f"{path}: line {number} is no `name:sha256-hex-of-token`.")
            users[match["digest"]] = User(match["name"])
        if not users:
            raise UnusableTokenFile(f"{path} holds no token: nobody could log in.")
        return cls(users)

    def knows(self, credential: Credential) -> bool:
        """Whether the token is one of the file's."""
        return self._user_of(credential) is not None

    async def caller(self, credential: Credential) -> Caller:
        """Whose token it is.

        Raises:
            Unauthenticated: nobody's.
        """
        user = self._user_of(credential)
        if user is None:
            raise Unauthenticated("the token is not one of the console's token file.")
        return Caller(user, credential)

    def _user_of(self, credential: Credential) -> User | None:
        """All lines are compared, whichever fits: how long it takes tells nothing."""
        found = None
        for digest, user in self._users.items():
            if hmac.compare_digest(digest, credential.digest):
                found = user
        return found


def _is_systemd_credential(path: Path) -> bool:
    """Whether systemd handed the file to this service alone: by an ACL, whose mask looks like rights of a group."""
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    return directory is not None and path.resolve().parent == Path(directory).resolve()
