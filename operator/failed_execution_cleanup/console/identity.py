"""Who calls: a bearer token becomes a Kubernetes user by TokenReview. Knows nothing of HTTP, so that pages can use it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Final, Protocol

from async_lru import alru_cache
from pydantic import SecretStr

from failed_execution_cleanup.controller.kubernetes_api import Body, KubernetesError

__all__ = ["Caller", "Credential", "Identities", "IdentitySource", "ReviewApi", "Unauthenticated", "User"]

_TOKEN_REVIEW: Final = "authentication.k8s.io/v1"  # noqa: S105 - an API group
_LONGEST_TOKEN: Final = 16_384
_REMEMBERED: Final = 4096


class Unauthenticated(Exception):  # noqa: N818 - named for what happened
    """Nobody knows who calls."""


class ReviewApi(Protocol):
    """What identity and access reviews need of `KubernetesApi`."""

    async def review(self, api_version: str, kind: str, spec: Body) -> Body:
        """Ask the API server who somebody is, or what he may do."""
        ...


@dataclass(frozen=True, slots=True)
class User:
    """A user as the API server knows him; what a SubjectAccessReview asks with."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class Credential:
    """A bearer token; two are equal when their digests are, and the token itself is in no text."""

    digest: str
    token: SecretStr = field(repr=False, compare=False)

    @classmethod
    def of(cls, token: str) -> Credential:
        """Take a token.

        Raises:
            Unauthenticated: it cannot be one.
        """
        if not token or len(token) > _LONGEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
            raise Unauthenticated("what was sent as a token is none.")
        return cls(hashlib.sha256(token.encode()).hexdigest(), SecretStr(token))


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody with a token that was accepted."""

    user: User
    credential: Credential

    @property
    def token(self) -> SecretStr:
        """His token, for calls in his name."""
        return self.credential.token


class IdentitySource(Protocol):
    """Knows whose token it is."""

    def knows(self, credential: Credential) -> bool:
        """Whether a token is known to be good without asking anybody."""
        ...

    async def caller(self, credential: Credential) -> Caller:
        """Whose token it is.

        Raises:
            Unauthenticated: nobody's.
            KubernetesError: the API server could not be asked.
        """
        ...


class Identities:
    """Asks the API server whose token it is, and believes the answer for a short time."""

    def __init__(self, api: ReviewApi, *, seconds: float) -> None:
        """Prepare; nothing is sent.

        Args:
            api: with the console's own right to create TokenReviews.
            seconds: how long an accepted token is not asked for again; one that was revoked is good for so long.
        """
        self._api = api
        self._user_of = alru_cache(maxsize=_REMEMBERED, ttl=seconds)(self._review)

    def knows(self, credential: Credential) -> bool:
        """Whether this token was accepted a short time ago, or is being asked for."""
        return bool(self._user_of.cache_contains(credential))

    async def caller(self, credential: Credential) -> Caller:
        """Whose token it is.

        Raises:
            Unauthenticated: the API server does not accept it.
            KubernetesError: the API server could not be asked.
        """
        return Caller(await self._user_of(credential), credential)

    async def _review(self, credential: Credential) -> User:
        status = await self._api.review(_TOKEN_REVIEW, "TokenReview", {"token": credential.token.get_secret_value()})
        user = status.get("user") or {}
        if not status.get("authenticated"):
            raise Unauthenticated("the Kubernetes API server does not accept the token.")
        if not user.get("username"):
            raise KubernetesError("TokenReview: the API server accepted a token without telling whose it is")
        return User(
            name=user["username"],
            uid=user.get("uid") or "",
            groups=tuple(user.get("groups") or ()),
            extra=tuple((key, tuple(values)) for key, values in sorted((user.get("extra") or {}).items())),
        )
