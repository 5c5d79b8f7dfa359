"""Settings come from the environment; those the operator has too keep its names."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from failed_execution_cleanup.console.settings import ConsoleSettings


def test_shared_settings_have_the_operators_names(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "FEC_NAMESPACE": "operators",
        "FEC_LOG_FORMAT": "json",
        "FEC_HTTP_TIMEOUT_SECONDS": "7",
        "FEC_CLAIM_EXPIRY_SECONDS": "9",
        "FEC_CONSOLE_PORT": "9443",
        "FEC_CONSOLE_TRUSTED_PROXIES": '["10.0.0.0/8"]',
    }.items():
        monkeypatch.setenv(name, value)
    settings = ConsoleSettings()
    assert (settings.namespace, settings.log_format, settings.port) == ("operators", "json", 9443)
    assert (settings.claims.http_timeout_seconds, settings.claims.claim_expiry_seconds) == (7, 9)
    assert settings.trusted_proxies == ("10.0.0.0/8",)


def test_what_is_given_counts_more_than_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEC_NAMESPACE", "operators")
    given = ConsoleSettings().model_dump() | {"namespace": "others", "port": 0}
    settings = ConsoleSettings.model_validate(given)
    assert (settings.namespace, settings.port) == ("others", 0)


def test_it_listens_to_this_machine_alone_unless_told_otherwise() -> None:
    settings = ConsoleSettings()
    assert (settings.host, settings.health_host) == ("127.0.0.1", "127.0.0.1")


def test_a_certificate_needs_its_key() -> None:
    with pytest.raises(ValidationError, match="belong together"):
        ConsoleSettings.model_validate({"tls_certificate": "/tmp/cert.pem"})
