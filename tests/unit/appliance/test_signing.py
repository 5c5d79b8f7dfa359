"""Signatures against published vectors; their keys are dummies."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from failed_execution_cleanup.appliance.ossea_signing import encode, signature, signed

DEVELOPER_GUIDE_KEY = "plgWJfZK4gyS3mOMTVmjUVg-X-jlWlnfaUJ9GAbBbf9EdM-kAYMmAiLqzzq1ElZLYq_u38zCm0bewzGUdP66mg"
DEVELOPER_GUIDE_SECRET = "VDaACYb0LV9eNjTetIOElcVQkvJck_J_QljX_FcHRj87ZKiy0z0ty0ZsYBkoXkY9b7eq1EhwJaw7FF3akA3KBQ"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
DOTNET_KEY = "i-mcqzbmwigid0sohwvjk60pwxwmfc1wsenvzy1zpuou1ay-c66elwlnabeb5ylpf1f_uu_1peytzobumnll8g"
DOTNET_SECRET = "bezaSxCEjrWxutJzRdJTStGl4nEWVUDx4YX9Q8DJo6kBiUXWfdq7P8z46zaWbQBeVMTu0YiP9tVbsjbG4QFV3g"
DEPLOY = {
    "command": "deployVirtualMachine",
    "name": "fred",
    "serviceofferingid": "5",
    "templateid": "17",
    "zoneid": "23",
    "networkids": "42",
    "apikey": "fnord",
    "response": "json",
}
LIST = {"command": "listVirtualMachines", "apikey": "foo", "response": "json"}


@pytest.mark.parametrize(
    ("parameters", "secret", "expected"),
    [
        pytest.param(
            {"apikey": DEVELOPER_GUIDE_KEY, "command": "listUsers", "response": "json"},
            DEVELOPER_GUIDE_SECRET,
            "TTpdDq/7j/J58XCRHomKoQXEQds=",
            id="CloudStack developer guide",
        ),
        pytest.param(
            {"apikey": DOTNET_KEY, "command": "listzones", "response": "json"},
            DOTNET_SECRET,
            "RNlqbyJYiXMGYXI5g7+0zB6Y+5w=",
            id="CloudStack.Net, a plus sign in the signature",
        ),
        pytest.param(
            {"account": "Lorem Ipsum", "domainid": "42", "q": "keywords"},
            "abcdefg",
            "V2CxRU4zQQtox1DZsH/66GDdzhg=",
            id="fog, a space",
        ),
        pytest.param(
            {"account": "Lorem Ipsum", "domainid": "42", "q": ""},
            "abcdefg",
            "5bsDirm5pPgVoreQ6vquKRN+4HI=",
            id="fog, an empty value",
        ),
        pytest.param(LIST | {"listall": "true"}, "bar", "B0d6hBsZTcFVCiioSxzwKA9Pke8=", id="cs"),
        pytest.param(
            LIST | {"listall": "1", "unicode_param": "éèààû"}, "bar", "gABU/KFJKD3FLAgKDuxQoryu4sA=", id="cs, not ASCII"
        ),
        pytest.param(
            {"command": "listVirtualMachines", "apikey": "fnord", "response": "json"},
            "abracadabra",
            "z/a9Y7J52u48VpqIgiwaGUMCso0=",
            id="libcloud",
        ),
        pytest.param(
            DEPLOY | {"displayname": "George"},
            "abracadabra",
            "gHTo7mYmadZ+zluKHzlEKb1i/QU=",
            id="libcloud, many",
        ),
        pytest.param(
            DEPLOY | {"displayname": "George+Ringo"},
            "abracadabra",
            "tAgfrreI1ZvWlWLClD3gu4+aKv4=",
            id="libcloud, a plus sign in a value",
        ),
    ],
)
def test_signature_matches_the_published_vector(parameters: dict[str, str], secret: str, expected: str) -> None:
    assert signature(parameters, secret) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("a b", "a%20b", id="a space is not a plus"),
        pytest.param("a+b", "a%2Bb", id="a plus"),
        pytest.param("~", "%7E", id="a tilde is encoded, unlike in most clients"),
        pytest.param("*-._", "*-._", id="left as they are"),
        pytest.param("/[]:@", "%2F%5B%5D%3A%40", id="reserved"),
        pytest.param("'Stöp!' said Fred_-~.", "%27St%C3%B6p%21%27%20said%20Fred_-%7E.", id="vector of fog"),
    ],
)
def test_values_are_encoded_as_the_server_does(value: str, expected: str) -> None:
    assert encode(value) == expected


def test_a_request_expires_ten_minutes_ahead_in_utc_whatever_the_zone_of_the_clock() -> None:
    now = datetime(2026, 1, 1, 1, 0, tzinfo=timezone(timedelta(hours=2)))
    form = signed({"command": "listZones"}, api_key="k", secret_key="s", now=now)
    assert form["signatureversion"] == "3"
    assert form["expires"] == "2025-12-31T23:10:00+0000"


def test_everything_but_the_signature_itself_is_signed_under_lower_case_names() -> None:
    form = signed({"command": "listZones", "id": "1"}, api_key="K", secret_key="s", now=NOW)
    rest = {name: value for name, value in form.items() if name != "signature"}
    assert set(rest) == {"command", "id", "response", "apikey", "signatureversion", "expires"}
    assert form["signature"] == signature(rest, "s")


def test_the_secret_key_is_not_part_of_the_form() -> None:
    form = signed({"command": "listZones"}, api_key="k", secret_key="hush", now=NOW)
    assert "hush" not in str(form)
