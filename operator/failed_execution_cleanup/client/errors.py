"""What may keep a request from being carried out. Every message names the object and what is wrong; `remedy` says what to do.

ClientError
├── NoSuchCleanup        there is no cleanup of that name, or it was deleted meanwhile
├── NoSuchAppliance      there is no Appliance of that name
├── AmbiguousTarget      what was named is not unique: several appliances, or several VMs of one name
├── NotPossible          it makes no sense as things are: no plan to approve, another plan, no job to waive for
├── NotAccepted          the API server refuses the content
├── NotAllowed           roles or admission policies forbid it
├── ClusterUnreachable   no usable answer; the request may or may not have been carried out
└── NotEnded             the time was over before the cleanup was; it goes on
"""
# ruff: noqa: N818 - named for what happened, not for being errors

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Final

from failed_execution_cleanup.controller.kubernetes_api import (
    Conflict,
    Forbidden,
    Invalid,
    KubernetesError,
    NotFound,
    Unreachable,
)
from failed_execution_cleanup.resources.cleanup import FailedExecutionCleanup
from failed_execution_cleanup.resources.identifiers import APPLIANCE_PLURAL

_POLICY: Final = re.compile(r"denied request: (?P<sentence>.+)", re.DOTALL)
_ROLE: Final = re.compile(r"the ClusterRole (?P<role>[-a-z0-9]+)")
_RBAC: Final = re.compile(
    r'User "(?P<user>[^"]*)" cannot (?P<verb>\w+) resource "(?P<resource>[^"]*)" in API group "[^"]*"'
    r'(?: in the namespace "(?P<namespace>[^"]*)")?'
)
_READING: Final = frozenset({"get", "list", "watch"})


class ClientError(Exception):
    """A request that was not carried out.

    Attributes:
        remedy: what to do about it, as a sentence.
    """

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


class NoSuchCleanup(ClientError):
    """There is no cleanup of that name."""


class NoSuchAppliance(ClientError):
    """There is no Appliance of that name."""


class AmbiguousTarget(ClientError):
    """What was named is not unique."""


class NotPossible(ClientError):
    """The request makes no sense as things are."""


class NotAccepted(ClientError):
    """The API server refuses the content."""


class NotAllowed(ClientError):
    """Roles or admission policies forbid it.

    Attributes:
        role: ClusterRole that would allow it, see docs/permissions.md; None where the credentials were not accepted at all.
    """

    def __init__(self, message: str, *, remedy: str = "", role: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.role = role


class ClusterUnreachable(ClientError):
    """There was no usable answer; the request may or may not have been carried out."""


class NotEnded(ClientError):
    """The time was over before the cleanup was.

    Attributes:
        cleanup: as last seen.
    """

    def __init__(self, message: str, cleanup: FailedExecutionCleanup, *, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.cleanup = cleanup


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turn errors of the API's client into ours.

    Raises:
        ClientError: something within the block raised a `KubernetesError`.
    """
    try:
        yield
    except KubernetesError as error:
        raise of(error) from error


def of(error: KubernetesError) -> ClientError:
    """Our error for one of the API's client."""
    text = str(error)
    match error:
        case Forbidden():
            return _not_allowed(error)
        case NotFound():
            return NoSuchCleanup(text, remedy="Check name and namespace; `fec status` lists the cleanups.")
        case Invalid():
            return NotAccepted(text, remedy="Correct what the message names.")
        case Conflict():
            return ClusterUnreachable(text, remedy="Somebody else keeps changing it: try again.")
        case Unreachable():
            return ClusterUnreachable(text, remedy="Check the kubeconfig's context and the network, then try again.")
        case _:
            return ClusterUnreachable(text, remedy="Check kubeconfig and context.")


def _not_allowed(error: Forbidden) -> NotAllowed:
    text = str(error)
    if error.status == 401:
        return NotAllowed(text, remedy="Log in to the cluster again.")
    if (denied := _POLICY.search(text)) is not None:
        sentence = denied["sentence"].strip()
        named = _ROLE.search(sentence)
        role = named["role"] if named is not None else None
        remedy = f"Ask an administrator for the ClusterRole {role}." if role is not None else "Correct what it names."
        return NotAllowed(sentence, remedy=remedy, role=role)
    if (refused := _RBAC.search(text)) is None:
        return NotAllowed(text, remedy="Ask an administrator for the right that is named.")
    verb, resource, namespace = refused["verb"], refused["resource"], refused["namespace"]
    reading = verb in _READING
    where = f" in namespace {namespace}" if namespace else ""
    if resource == APPLIANCE_PLURAL:
        role = "fec-viewer" if reading else "fec-appliance-administrator"
        bound = "by a ClusterRoleBinding"
    else:
        role = "fec-viewer" if reading else "fec-cleanup-operator"
        bound = f"bound in namespace {namespace}" if namespace else "by a ClusterRoleBinding"
    return NotAllowed(
        f"{refused['user']} may not {verb} {resource}{where}.",
        remedy=f"Ask an administrator for the ClusterRole {role}, {bound}.",
        role=role,
    )
