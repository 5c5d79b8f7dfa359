"""The bound: never above what a schedule can reach, and as high as the backend's queues make it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.bound import Chain, Step, after_quiet, lower_bound, one_after_another

REVERTS = 4


def volume(oma: str = "oma", *, scale: float = 1.0) -> Chain:
    """A volume's way through a cleanup, in the product's own latencies."""
    return (
        Step("detachVolume", 2 * scale, oma),
        Step("revertSnapshot", 8 * scale, "reverts"),
        Step("deleteSnapshot", 1 * scale),
        Step("attachVolume", 2 * scale, oma),
    )


@pytest.mark.parametrize(
    ("volumes", "reverts", "seconds"),
    [
        (1, 4, 13),  # nothing to wait for
        (4, 4, 19),  # four detaches, then the rest of the last volume
        (15, 4, 60),  # thirty attaches and detaches of one VM
        (4, 1, 37),  # a detach, four reverts in a row, a delete, an attach
        (5, 2, 29),  # the fifth revert must wait for the second round: three rounds, not two and a half
    ],
)
def test_bound_in_the_latencies_of_the_product(volumes: int, reverts: int, seconds: float) -> None:
    assert lower_bound([volume()] * volumes, {"reverts": reverts}) == seconds


def test_volumes_of_different_appliances_do_not_wait_for_each_other() -> None:
    assert lower_bound([volume("oma-1"), volume("oma-2")], {"reverts": REVERTS}) == 13


def test_nothing_to_do_takes_no_time() -> None:
    assert lower_bound([]) == 0


def test_a_quiet_time_begins_after_the_last_detach() -> None:
    assert after_quiet([volume()] * 4, 60) == 4 * 2 + 60 + 1 + 4 * 2


def test_a_quiet_time_shorter_than_the_revert_costs_nothing_more() -> None:
    assert after_quiet([volume()], 3) == lower_bound([volume()])


def test_one_after_another_is_the_sum_of_all_steps() -> None:
    assert one_after_another([volume()] * 4) == 52


seconds_of_a_step = st.floats(0.1, 10.0)
short_chains = st.lists(
    st.lists(st.tuples(seconds_of_a_step, st.sampled_from(["oma", "reverts", None])), min_size=1, max_size=4),
    min_size=1,
    max_size=5,
)


@given(short_chains, st.data())
def test_no_schedule_beats_the_bound(drawn: list[list[tuple[float, str | None]]], data: st.DataObject) -> None:
    chains = [tuple(Step("step", seconds, server) for seconds, server in chain) for chain in drawn]
    order = data.draw(st.permutations([index for index, chain in enumerate(chains) for _ in chain]))
    reached = _reached(chains, order)
    assert lower_bound(chains) <= reached + 1e-6
    assert reached <= one_after_another(chains) + 1e-6


def _reached(chains: list[tuple[Step, ...]], order: list[int]) -> float:
    """How long it takes if each next step of a chain begins as soon as chain and server are free, in this order."""
    free: dict[str, float] = {}
    done = [0.0] * len(chains)
    following = [iter(chain) for chain in chains]
    for index in order:
        step = next(following[index])
        begun = max(done[index], free.get(step.server, 0.0) if step.server is not None else 0.0)
        done[index] = begun + step.seconds
        if step.server is not None:
            free[step.server] = done[index]
    return max(done)
