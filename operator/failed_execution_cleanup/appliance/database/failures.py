"""What can go wrong at the database door, and how SQLAlchemy's errors become ours.

    ApplianceError
    ├── NotExecuted
    │   ├── DatabaseUnavailable   nothing ran
    │   ├── LockHeld              somebody else works on the context
    │   └── LockLost              our lock ended with its connection: stop at once, nothing was written
    ├── Refused
    │   ├── NotFound              no such context
    │   ├── ClaimLost             another owner raised the claim's number, or it was released
    │   ├── RowsChanged           a row is not as it was observed: nothing was written, observe again
    │   └── UnexpectedRow         a row holds what no writer of the product writes
    └── Unknown                   the answer to a COMMIT was lost

SQLAlchemy's and the driver's errors may quote statements and values, so their text is dropped and only the server's
error number kept.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from failed_execution_cleanup.appliance.errors import DatabaseUnavailable, NotExecuted, NotFound, Refused, Unknown

if TYPE_CHECKING:
    from collections.abc import Iterator

SYSTEM: Final = "OMA database"

DRIVER_ERRORS: Final = (SQLAlchemyError, OSError, TimeoutError)
"""Everything a driver raises for a statement that did not work; `TimeoutError` is our own limit."""

_LOCK_WAIT_TIMEOUT = 1205
_DEADLOCK = 1213

_CAUSES: Final[dict[int, tuple[str, str]]] = {
    1044: ("the account may not use this database", "Grant it access to the OMA's database."),
    1045: (
        "the server does not accept the user or the password",
        "Correct the URL in the appliance's database secret.",
    ),
    1049: ("there is no database of that name", "Correct the URL in the appliance's database secret."),
    1054: ("a column is missing", "Check that the URL names the OMA's database, and the version of the OMA."),
    1142: ("the account may not do this", "Grant SELECT, INSERT, UPDATE and DELETE on the OMA's database."),
    1146: ("a table is missing", "Check that the URL names the OMA's database, and the version of the OMA."),
    _LOCK_WAIT_TIMEOUT: ("another session holds the row", "Nothing was written; it is tried again."),
    _DEADLOCK: ("another session wrote the same rows first", "Nothing was written; it is tried again."),
    2003: ("the server does not answer", "Check that MariaDB runs on the OMA and can be reached from here."),
}


class LockHeld(NotExecuted):
    """Another session holds the context's advisory lock."""

    def __init__(self, context_id: str) -> None:
        super().__init__(
            f"another process works on context {context_id} and holds its lock.",
            system=SYSTEM,
            remedy="It is tried again by itself.",
        )


class LockLost(NotExecuted):
    """The lock's connection ended, and the lock with it. Nothing was written; the lock must be taken anew."""

    def __init__(self, context_id: str) -> None:
        super().__init__(
            f"the lock of context {context_id} was lost with its connection.",
            system=SYSTEM,
            remedy="It is taken again by itself; check the network to the OMA if this repeats.",
        )


class ClaimLost(Refused):
    """The claim belongs to somebody else now, or to nobody: whoever holds this copy of it must stop."""

    def __init__(self, claim_id: str) -> None:
        super().__init__(
            f"the claim job_tracking.id={claim_id} was taken over or released.",
            system=SYSTEM,
            remedy="Its new owner goes on from what is observed.",
        )


class RowsChanged(Refused):
    """A row is no longer as it was observed; the whole transaction was rolled back.

    Attributes:
        table: table of the row.
        column: column that differs.
        value: what it holds now; None for NULL or for a row that is gone.
    """

    def __init__(self, table: str, column: str, value: str | None, *, expected: str) -> None:
        super().__init__(
            f"{table}.{column} is {value!r} where {expected} was expected; nothing was written.",
            system=SYSTEM,
            remedy="The context is observed again.",
        )
        self.table = table
        self.column = column
        self.value = value


class UnexpectedRow(Refused):
    """A row holds what no writer of the product writes.

    Attributes:
        table: table of the row.
        column: column that holds it.
        value: what it holds.
    """

    def __init__(self, table: str, column: str, value: str | None, *, row: str, remedy: str) -> None:
        super().__init__(f"{table}.{column} of row {row} is {value!r}.", system=SYSTEM, remedy=remedy)
        self.table = table
        self.column = column
        self.value = value


def no_such_context(context_id: str) -> NotFound:
    """The context's row is not there (any more)."""
    return NotFound(
        f"vm_replication_contexts has no row {context_id}.",
        system=SYSTEM,
        remedy="Check the name of the VM; a context that was removed in the product needs no cleanup.",
    )


def unavailable(error: Exception) -> DatabaseUnavailable:
    """Translate a driver's error for a statement that did not run."""
    code = _code(error)
    if code in _CAUSES:
        cause, remedy = _CAUSES[code]
    elif isinstance(error, TimeoutError):
        cause, remedy = "no answer in time", "Check that MariaDB runs on the OMA and can be reached from here."
    else:
        cause = f"{type(error).__name__}, error number {code or 'unknown'}"
        remedy = "Check that MariaDB runs on the OMA and can be reached from here."
    return DatabaseUnavailable(f"{cause}.", system=SYSTEM, remedy=remedy, code=code)


def unknown_commit() -> Unknown:
    """The answer to a COMMIT was lost."""
    return Unknown("the answer to a COMMIT was lost.", system=SYSTEM, remedy="The rows are read again.")


def transaction_conflict(error: Exception) -> bool:
    """Whether the server rolled a statement back for another session's sake; the connection lives on."""
    return _code(error) in (_LOCK_WAIT_TIMEOUT, _DEADLOCK)


@contextmanager
def translated() -> Iterator[None]:
    """Turn errors of SQLAlchemy, the driver and the network into `DatabaseUnavailable`."""
    try:
        yield
    except DRIVER_ERRORS as error:
        raise unavailable(error) from None


def _code(error: Exception) -> int | None:
    if not isinstance(error, DBAPIError) or error.orig is None:
        return None
    number = next(iter(error.orig.args), None)
    return number if isinstance(number, int) else None
