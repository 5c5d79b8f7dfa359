"""What a caller may do: SubjectAccessReview on exactly the verb, with a sentence for whoever may not."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from async_lru import alru_cache

from failed_execution_cleanup.console.identity import Caller, ReviewApi, User
from failed_execution_cleanup.resources.identifiers import APPLIANCE_PLURAL, CLEANUP_PLURAL, GROUP

__all__ = [
    "AccessReviews",
    "NotAllowed",
    "Right",
    "change_cleanups",
    "create_cleanups",
    "list_cleanups",
    "patch_cleanups",
    "read_cleanup",
    "see_plans",
    "use_appliance",
    "waive_stops",
]

_REMEMBERED: Final = 16_384


@dataclass(frozen=True, slots=True)
class Right:
    """One verb on one kind of object.

    Attributes:
        resource: plural, with its subresource after a slash.
        namespace: None for a kind without namespaces; "" for all namespaces.
        name: the one object; "" for all.
        role: ClusterRole of manifests/base that gives it, and how it is bound.
    """

    verb: str
    resource: str
    namespace: str | None
    name: str
    role: str

    def __str__(self) -> str:
        """The right in words."""
        what = f"{self.verb} on {self.resource}.{GROUP}"
        if self.name:
            what += f" {self.name}"
        return what + (f" in namespace {self.namespace}" if self.namespace else "")


def see_plans(appliance: str) -> Right:
    """To see the VMs of an Appliance and what a cleanup would do."""
    return Right("get", f"{APPLIANCE_PLURAL}/plan", None, appliance, "fec-plan-viewer by a ClusterRoleBinding")


def use_appliance(appliance: str) -> Right:
    """To have cleanups work on an Appliance; the admission policy asks for it too."""
    return Right("use", APPLIANCE_PLURAL, None, appliance, "fec-appliance-user by a ClusterRoleBinding")


def list_cleanups(namespace: str) -> Right:
    """To see all cleanups of a namespace."""
    return Right("list", CLEANUP_PLURAL, namespace, "", "fec-viewer in that namespace")


def read_cleanup(namespace: str, name: str) -> Right:
    """To see one cleanup."""
    return Right("get", CLEANUP_PLURAL, namespace, name, "fec-viewer in that namespace")


def create_cleanups(namespace: str) -> Right:
    """To place a cleanup."""
    return Right("create", CLEANUP_PLURAL, namespace, "", "fec-cleanup-operator in that namespace")


def patch_cleanups(namespace: str) -> Right:
    """To ask something of a cleanup by an annotation, such as to pause."""
    return Right("patch", CLEANUP_PLURAL, namespace, "", "fec-cleanup-operator in that namespace")


def change_cleanups(namespace: str) -> Right:
    """To change the spec of a cleanup; an admission policy asks for it too."""
    return Right("update", CLEANUP_PLURAL, namespace, "", "fec-cleanup-operator in that namespace")


def waive_stops(namespace: str) -> Right:
    """To take responsibility for a stop; an admission policy asks for it too."""
    return Right("waive", CLEANUP_PLURAL, namespace, "", "fec-waiver in that namespace")


class NotAllowed(Exception):  # noqa: N818 - named for what happened
    """The caller has not the right.

    Attributes:
        remedy: which role gives it.
    """

    def __init__(self, user: User, right: Right) -> None:
        super().__init__(f"{user.name} may not {right.verb}: the right {right} is missing.")
        self.remedy = f"An administrator binds the ClusterRole {right.role}."


class AccessReviews:
    """Asks the API server what users may do, and believes the answer for a short time."""

    def __init__(self, api: ReviewApi, *, seconds: float) -> None:
        """Prepare; nothing is sent.

        Args:
            api: with the console's own right to create SubjectAccessReviews.
            seconds: how long an answer is believed.
        """
        self._api = api
        self._allowed = alru_cache(maxsize=_REMEMBERED, ttl=seconds)(self._review)

    async def allows(self, caller: Caller, right: Right) -> bool:
        """Whether the caller has a right.

        Raises:
            KubernetesError: the API server could not be asked.
        """
        return await self._allowed(caller.user, right)

    async def require(self, caller: Caller, right: Right) -> None:
        """Make sure that the caller has a right.

        Raises:
            NotAllowed: he has not.
            KubernetesError: the API server could not be asked.
        """
        if not await self.allows(caller, right):
            raise NotAllowed(caller.user, right)

    async def having(self, caller: Caller, rights: Iterable[Right]) -> list[Right]:
        """Those of some rights that the caller has."""
        wanted = list(rights)
        answers = await asyncio.gather(*(self.allows(caller, right) for right in wanted))
        return [right for right, allowed in zip(wanted, answers, strict=True) if allowed]

    async def _review(self, user: User, right: Right) -> bool:
        resource, _, subresource = right.resource.partition("/")
        attributes = {"group": GROUP, "resource": resource, "verb": right.verb}
        attributes |= {
            key: value
            for key, value in (("subresource", subresource), ("name", right.name), ("namespace", right.namespace))
            if value
        }
        spec = {
            "user": user.name,
            "groups": [*user.groups],
            "extra": {key: [*values] for key, values in user.extra},
            "resourceAttributes": attributes,
        }
        if user.uid:
            spec["uid"] = user.uid
        status = await self._api.review("authorization.k8s.io/v1", "SubjectAccessReview", spec)
        return bool(status.get("allowed"))
