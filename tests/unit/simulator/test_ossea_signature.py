"""Requests are accepted exactly when they are signed as CloudStack wants it."""

from datetime import UTC, datetime, timedelta

import pytest

from appliance_simulator import SimulatedAppliance
from appliance_simulator.ossea_signature import Credentials, UnauthorizedError, authenticate, encode, sign
from tests.unit.simulator.clients import OsseaClient, signature

# The worked example of the signature section of the CloudStack developer guide.
GUIDE_API_KEY = "plgWJfZK4gyS3mOMTVmjUVg-X-jlWlnfaUJ9GAbBbf9EdM-kAYMmAiLqzzq1ElZLYq_u38zCm0bewzGUdP66mg"
GUIDE_SECRET = "VDaACYb0LV9eNjTetIOElcVQkvJck_J_QljX_FcHRj87ZKiy0z0ty0ZsYBkoXkY9b7eq1EhwJaw7FF3akA3KBQ"
GUIDE_SIGNATURE = "TTpdDq/7j/J58XCRHomKoQXEQds="

NOW = datetime(2025, 10, 4, 12, 0, tzinfo=UTC)
PAIR = Credentials("key", "secret")


def signed(**parameters: str) -> dict[str, str]:
    unsigned = {"command": "listZones", "response": "json", "apiKey": "key", **parameters}
    return {**unsigned, "signature": signature(unsigned, "secret")}


def test_developer_guide_example_is_reproduced() -> None:
    request = {"command": "listUsers", "response": "json", "apikey": GUIDE_API_KEY}
    assert sign(request, GUIDE_SECRET) == GUIDE_SIGNATURE


@pytest.mark.parametrize(
    ("value", "encoded"),
    [("a b", "a%20b"), ("~", "%7E"), ("a/b", "a%2Fb"), ("[x]", "%5Bx%5D"), ("A-z0.9*_", "A-z0.9*_"), ("é", "%C3%A9")],
)
def test_values_are_encoded_as_java_does(value: str, encoded: str) -> None:
    assert encode(value) == encoded


def test_tilde_left_bare_by_the_client_is_refused() -> None:
    unsigned = {"command": "listZones", "response": "json", "apiKey": "key", "name": "a~b"}
    bare = sign({**unsigned, "name": "ab"}, "secret")
    with pytest.raises(UnauthorizedError):
        authenticate({**unsigned, "signature": bare}, PAIR, NOW)
    authenticate({**unsigned, "signature": signature(unsigned, "secret")}, PAIR, NOW)


@pytest.mark.parametrize("name", ["apiKey", "apikey", "APIKEY"])
def test_api_key_is_recognised_in_any_letter_case(name: str) -> None:
    unsigned = {"command": "listZones", "response": "json", name: "key"}
    authenticate({**unsigned, "signature": signature(unsigned, "secret")}, PAIR, NOW)


@pytest.mark.parametrize("expires", ["2025-10-04T12:05:00+0000", "2025-10-04T12:05:00Z", "2025-10-04T14:05:00+0200"])
def test_expiry_in_the_future_is_accepted(expires: str) -> None:
    authenticate(signed(signatureversion="3", expires=expires), PAIR, NOW, enforce_expiry=True)


@pytest.mark.parametrize("expires", ["2025-10-04T11:59:59+0000", "tomorrow", "2025-10-04T12:05:00"])
def test_past_or_malformed_expiry_is_refused(expires: str) -> None:
    with pytest.raises(UnauthorizedError):
        authenticate(signed(signatureversion="3", expires=expires), PAIR, NOW)


def test_expiry_without_version_three_is_ignored() -> None:
    authenticate(signed(expires="2020-01-01T00:00:00Z"), PAIR, NOW)


def test_enforced_expiry_may_not_be_far_away() -> None:
    far = (NOW + timedelta(minutes=16)).isoformat()
    with pytest.raises(UnauthorizedError):
        authenticate(signed(signatureversion="3", expires=far), PAIR, NOW, enforce_expiry=True)


def test_secret_is_not_shown() -> None:
    assert "secret" not in repr(PAIR).replace("secret_key", "")


async def test_wrong_signature_is_answered_401_under_the_command(
    appliance: SimulatedAppliance, ossea: OsseaClient
) -> None:
    answer = await ossea.send({**ossea.signed("listVolumes"), "signature": "wrong"})
    assert answer.status_code == 401
    assert answer.json()["listvolumesresponse"]["errorcode"] == 401
    assert "X-Description" in answer.headers


async def test_post_form_is_accepted(ossea: OsseaClient) -> None:
    answer = await ossea.send(ossea.signed("listZones", name="a ~*b"), method="POST")
    assert answer.status_code == 200


async def test_mutating_get_is_refused_where_post_is_enforced(
    appliance: SimulatedAppliance, ossea: OsseaClient
) -> None:
    appliance.set_option(enforce_post=True)
    expires = (datetime.now(UTC) + timedelta(minutes=5)).strftime("%Y-%m-%dT%H:%M:%S+0000")
    request = ossea.signed("stopVirtualMachine", id=appliance.oma_vm_id, signatureversion="3", expires=expires)
    assert (await ossea.send(request)).status_code == 405
    assert (await ossea.send(request, method="POST")).status_code == 200
