"""`fec suspend`, `resume`, `rerun`, `approve` and `waive`."""

from __future__ import annotations

import pytest

from tests.unit.client.cluster import cleanup_body, ready
from tests.unit.commands.terminal import Acted, Terminal

NAME = "pgtest1-6f0c9a12"
HELD = ready("RunningTestVM", failedJob={"id": "j-1"}, planHash="sha-1")


@pytest.fixture(autouse=True)
def held(cluster: Acted) -> None:
    cluster.put(cleanup_body(NAME, status=HELD))


@pytest.mark.parametrize(
    ("arguments", "told", "written"),
    [
        (["suspend", NAME], "suspended", "failover.ossea.io/suspended"),
        (["rerun", "pgtest1"], "asked for one more run", "failover.ossea.io/requestedAt"),
        (["approve", NAME], "approved", "failover.ossea.io/approvedPlan"),
        (["approve", NAME, "--plan", "sha-1"], "approved", "failover.ossea.io/approvedPlan"),
        (["waive", NAME, "RunningTestVM"], "RunningTestVM is waived for job", "RunningTestVM"),
        (["waive", NAME, "AcceptContent", "v-1", "--note", "agreed"], "AcceptContent is waived for v-1", "agreed"),
    ],
)
def test_each_is_one_write_and_says_so(
    fec: Terminal, cluster: Acted, arguments: list[str], told: str, written: str
) -> None:
    result = fec.run(*arguments, "--no-wait") if arguments[0] != "suspend" else fec.run(*arguments)
    assert (result.exit_code, result.stdout) == (0, f"dr/{NAME}: {told}\n")
    (patch,) = cluster.patches
    assert written in str(patch)


def test_resuming_what_is_not_suspended_writes_nothing(fec: Terminal, cluster: Acted) -> None:
    assert fec.run("resume", NAME).exit_code == 0
    assert cluster.patches == []


def test_it_is_followed_if_that_is_wanted(fec: Terminal, cluster: Acted) -> None:
    cluster.script = [ready("Progressing", "Unknown"), ready("Cleaned", "True", "all is well")]
    result = fec.run("waive", NAME, "RunningTestVM", "--wait")
    assert result.exit_code == 0
    assert "Cleaned: all is well" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["approve", NAME, "--plan", "sha-0"], "is sha-1 by now, not sha-0"),
        (["waive", NAME, "Everything"], "Everything"),
        (["suspend", "nobody"], "There is no cleanup nobody"),
    ],
)
def test_what_cannot_be_asked_is_told(fec: Terminal, cluster: Acted, arguments: list[str], told: str) -> None:
    result = fec.run(*arguments)
    assert (result.exit_code, cluster.patches) == (2, [])
    assert told in result.stderr
