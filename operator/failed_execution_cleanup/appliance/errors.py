"""What went wrong at a door of the appliance, sorted by the one question a caller asks: was the request executed?

    ApplianceError
    ├── NotExecuted               no effect; the same request may be sent again later
    │   ├── BadCredentials        not accepted as who we are: slow retry, a person probably has to act
    │   ├── Untrusted             no TLS connection to somebody we trust
    │   ├── DatabaseUnavailable   the OMA database did not run the statement
    │   └── Unavailable           a read without a usable answer
    ├── Refused                   no effect; the system decided against it, and will again while nothing changes
    │   └── NotFound              the object named in the request is not known there
    └── Unknown                   a mutating request that may or may not have been executed

Reads raise `NotExecuted` or `Refused`. Mutating requests may also raise `Unknown`: look at the state, never infer it
(CloudStack facts 0.4). Messages name the object, what is wrong and what to do. They never hold a key, a signature, a
password or the query of a URL.
"""

# The names answer the question; an `Error` suffix would only repeat the base class.
# ruff: noqa: N818

from __future__ import annotations


class ApplianceError(Exception):
    """Root of every failure at a door of the appliance.

    Attributes:
        message: one sentence: which object, what is wrong.
        system: who failed, in words a person knows: `OSSEA`, `Volume Daemon`, `OMA database`.
        remedy: one sentence: what a person can do.
        code: HTTP status or CloudStack error code, where one was answered.
        retry_after: seconds the system asked to wait, where it did.
    """

    def __init__(
        self,
        message: str,
        *,
        system: str,
        remedy: str,
        code: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.system = system
        self.remedy = remedy
        self.code = code
        self.retry_after = retry_after

    def __str__(self) -> str:
        return f"{self.system}: {self.message} {self.remedy}"


class NotExecuted(ApplianceError):
    """The request certainly had no effect: it may be repeated after a while."""


class BadCredentials(NotExecuted):
    """The system did not accept our identity. That proves no wrong key: a skewed clock does the same."""


class Untrusted(NotExecuted):
    """The server's certificate is not trusted, or not for that name."""


class DatabaseUnavailable(NotExecuted):
    """The database ran nothing. A commit whose answer was lost is `Unknown` instead."""


class Unavailable(NotExecuted):
    """A read that brought no usable answer. It proves nothing about the object: an error is not "gone" (rule 9)."""


class Refused(ApplianceError):
    """The system said no and did nothing. `code` tells its reason; repeating it without a change is pointless."""


class NotFound(Refused):
    """The system does not know the object. For OSSEA this alone does not prove it is gone (rule 9)."""


class Unknown(ApplianceError):
    """The request may have been executed, may be running, or may never have arrived."""
