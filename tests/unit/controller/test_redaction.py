"""Secrets go, everything else stays."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from failed_execution_cleanup.controller.redaction import Redactor

SECRET = "pa/ss wörd+1"


@pytest.fixture
def redactor() -> Redactor:
    redactor = Redactor()
    redactor.know(SECRET.encode())
    redactor.know("mysql+asyncmy://oma:dbsecret@db.example.com/oma")
    redactor.know(b"abc")
    return redactor


@pytest.mark.parametrize(
    ("data", "redacted"),
    [
        (f"login with {SECRET} failed", "login with *** failed"),
        (base64.b64encode(SECRET.encode()).decode(), "***"),
        ("x=pa%2Fss%20w%C3%B6rd%2B1&y=pa%2Fss+w%C3%B6rd%2B1", "x=***&y=***"),
        ("Access denied for dbsecret", "Access denied for ***"),
        ("mysql+asyncmy://oma:dbsecret@db.example.com/oma", "***"),
        ("https://someone:unknown@vc.example.com/sdk", "https://***@vc.example.com/sdk"),
        ('error: {"password": "hunter2", "host": "esx1"}', 'error: {"password": "***", "host": "esx1"}'),
        ("listVolumes?apiKey=AAAA&signature=BBBB&id=1", "listVolumes?apiKey=***&signature=***&id=1"),
        ("abc is too short to be a secret", "abc is too short to be a secret"),
        ("key 'url' of Secret fec/oma-database", "key 'url' of Secret fec/oma-database"),
        ({"a": [SECRET, 1, None, True], "b": (0.5,)}, {"a": ["***", 1, None, True], "b": [0.5]}),
    ],
)
def test_secret_is_hidden_in_every_spelling_and_nothing_else(redactor: Redactor, data: Any, redacted: Any) -> None:
    assert redactor.redact(data) == redacted
