"""Order, places in the line, and growth of memory."""

import pytest

from benchmarks.cluster import Lived
from benchmarks.overload import growth, places_lost, steps_back


def lives(*claimed: float | None) -> list[Lived]:
    """Cleanups that were created one after the other and took their claims at these times."""
    return [Lived(accepted=float(place), claimed=moment) for place, moment in enumerate(claimed)]


@pytest.mark.parametrize(
    ("claimed", "lost"),
    [((10.0, 11.0, 12.0), [0, 0, 0]), ((12.0, 10.0, 11.0), [2, 0, 0]), ((11.0, 12.0, 10.0), [1, 1, 0])],
)
def test_a_place_is_lost_to_each_who_came_later_and_took_his_claim_earlier(
    claimed: tuple[float, ...], lost: list[int]
) -> None:
    assert places_lost(lives(*claimed)) == lost
    assert places_lost(reversed(lives(*claimed))) == lost


def test_who_never_took_a_claim_has_no_place() -> None:
    with pytest.raises(ValueError, match="1 cleanups"):
        places_lost(lives(10.0, None))


@pytest.mark.parametrize(("positions", "steps"), [([], 0), ([5], 0), ([5, 3, 1], 0), ([3, 4, 2, 3], 2)])
def test_steps_back_in_the_line(positions: list[int], steps: int) -> None:
    assert steps_back(positions) == steps


def test_memory_that_stays_does_not_grow() -> None:
    assert growth([50.0, 80.0, 100.0, 100.0, 101.0, 99.0, 100.0, 100.0, 100.0, 100.0]) == pytest.approx(100 / 100)


def test_memory_that_leaks_grows() -> None:
    assert growth([float(mebibytes) for mebibytes in range(100, 200)]) > 1.4


def test_growth_needs_samples() -> None:
    with pytest.raises(ValueError, match="five"):
        growth([1.0, 2.0])
