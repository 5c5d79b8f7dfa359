"""What is read from cleanups as the API server stores them."""

from typing import Any

import pytest

from benchmarks.cluster import Lived, is_judged, is_ready, wall_seconds


def cleanup(status: str | None, *, generation: int = 1, observed: int = 1) -> dict[str, Any]:
    conditions = [{"type": "Reconciling", "status": "True", "observedGeneration": observed}]
    if status is not None:
        conditions.append({"type": "Ready", "status": status, "observedGeneration": observed})
    return {"metadata": {"generation": generation}, "status": {"conditions": conditions}}


@pytest.mark.parametrize(
    ("body", "ready", "judged"),
    [
        ({"metadata": {"generation": 1}}, False, False),
        (cleanup(None), False, False),
        (cleanup("Unknown"), False, True),
        (cleanup("False"), False, True),
        (cleanup("True"), True, True),
        (cleanup("False", generation=2), False, False),
    ],
)
def test_the_condition_ready_is_read(body: dict[str, Any], ready: bool, judged: bool) -> None:
    assert (is_ready(body), is_judged(body)) == (ready, judged)


def test_wall_time_is_from_the_first_acceptance_to_the_last_end() -> None:
    lives = {"a": Lived(1.0, ended=5.0), "b": Lived(2.0, ended=4.0)}
    assert wall_seconds(lives) == 4.0


def test_what_has_not_ended_has_no_wall_time() -> None:
    with pytest.raises(ValueError, match="ended"):
        wall_seconds({"a": Lived(1.0)})
