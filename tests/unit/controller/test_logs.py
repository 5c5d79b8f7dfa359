"""The form of a log line, and what never becomes one."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from failed_execution_cleanup.controller.logs import LogFormat, LogLevel, configure_logging
from failed_execution_cleanup.run.attribution import about

OWN = logging.getLogger("failed_execution_cleanup.run.worker")


@pytest.fixture(autouse=True)
def logging_restored() -> Iterator[None]:
    root, own = logging.getLogger(), logging.getLogger("failed_execution_cleanup")
    handlers, levels = root.handlers[:], (root.level, own.level)
    yield
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    own.setLevel(levels[1])


def logged_to(format_: LogFormat, level: LogLevel = "INFO") -> io.StringIO:
    stream = io.StringIO()
    configure_logging(format_, level, stream=stream)
    return stream


def test_json_line_has_time_level_logger_message_and_fields() -> None:
    stream = logged_to("json")
    with about(resource="dr/pgtest1", vm=None):
        OWN.info("Request sent", extra={"request": "revert/v1/1"})
    line = json.loads(stream.getvalue())
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "INFO",
        "logger": OWN.name,
        "message": "Request sent",
        "resource": "dr/pgtest1",
        "request": "revert/v1/1",
    }


def test_exception_stays_in_its_line() -> None:
    stream = logged_to("json")
    try:
        json.loads("no\njson")
    except ValueError:
        OWN.exception("Reconcile failed")
    (line,) = stream.getvalue().splitlines()
    assert "JSONDecodeError: Expecting value" in json.loads(line)["exc_info"]


def test_text_line_ends_with_the_fields() -> None:
    stream = logged_to("human")
    OWN.warning("Could not be sent", extra={"action": "detach/v1", "cause": "no answer\nwithin 5 s", "nothing": ""})
    _, text = stream.getvalue().rstrip("\n").split(" ", 1)
    assert text == 'WARNING Could not be sent action=detach/v1 cause="no answer\\nwithin 5 s" nothing=""'


@pytest.mark.parametrize("library", ["httpx", "sqlalchemy.engine", "kubernetes.aio.client.rest", "kopf.objects"])
def test_library_is_not_heard_below_warning_even_at_debug(library: str) -> None:
    stream = logged_to("json", "DEBUG")
    logging.getLogger(library).info("GET /client/api?apiKey=secret")
    OWN.debug("heard")
    assert [json.loads(line)["message"] for line in stream.getvalue().splitlines()] == ["heard"]


def test_own_field_of_a_record_wins() -> None:
    stream = logged_to("json")
    with about(job="outer", claim="c1"), about(job="inner"):
        OWN.info("one")
        OWN.info("two", extra={"job": "own"})
    OWN.info("three")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line.get("job"), line.get("claim")) for line in lines] == [("inner", "c1"), ("own", "c1"), (None, None)]
