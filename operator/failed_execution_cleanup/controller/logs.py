"""How this process logs: one record a line, JSON for machines or text for people, each saying what it is about.

JSON lines have `time` (RFC 3339, UTC), `level`, `logger`, `message` (constant for each kind of event) and the record's own fields.
Every record of a run has `resource`, `appliance` and `vm`, and `job` and `claim` once these are known. What changes state has
`transition`, exactly once for each change:

    condition   condition, status, reason, was (its status before), explanation
    phase       phase, state: began, resumed, completed, skipped
    claim       claim, state: taken (how, number), released (outcome), lost
    request     request (kind/object/attempt), state: sent, followed, settled (outcome); external_id once it is known
    write       action, object: rows of the product that were written

Only this software logs below WARNING. Libraries write headers, statements and bodies there, and with them secrets.
"""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Any, Final, Literal, TextIO

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from failed_execution_cleanup.run.attribution import Attribution

__all__ = ["LogFormat", "LogLevel", "configure_logging"]

LogFormat = Literal["human", "json"]
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]

_OWN: Final = "failed_execution_cleanup"
_RESERVED: Final = frozenset(RESERVED_ATTRS)


def configure_logging(format_: LogFormat, level: LogLevel, *, stream: TextIO | None = None) -> None:
    """Log to a stream from now on, instead of whatever was configured before.

    Args:
        format_: JSON lines, or text.
        level: least severity of this software's own records.
        stream: where to; standard error unless told otherwise.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_JSONLines() if format_ == "json" else _Text())
    handler.addFilter(Attribution())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger(_OWN).setLevel(level)


class _JSONLines(JsonFormatter):
    def __init__(self) -> None:
        super().__init__("%(message)s", reserved_attrs=[*RESERVED_ATTRS, "color_message"])

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        log_data["time"] = _time_of(record)
        log_data["level"] = record.levelname
        log_data["logger"] = record.name
        super().add_fields(log_data, record, message_dict)


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line, *rest = super().format(record).split("\n")
        fields = {name: value for name, value in record.__dict__.items() if name not in _RESERVED}
        told = "".join(f" {name}={_quoted(value)}" for name, value in fields.items())
        return "\n".join((f"{_time_of(record)} {record.levelname:<7} {line}{told}", *rest))


def _time_of(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _quoted(value: object) -> str:
    text = str(value)
    return text if text and text.isprintable() and not set(' "=') & set(text) else f'"{text!r}"'.replace("'", "")
