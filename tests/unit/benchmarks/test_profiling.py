"""Profiles, told by package."""

import pytest

from benchmarks.profiling import Profile, told


@pytest.mark.parametrize(
    ("innermost", "package"),
    [
        ("decide (failed_execution_cleanup/recovery/decide.py:12)", "failed_execution_cleanup.recovery"),
        ("main (/work/operator/failed_execution_cleanup/cli.py:12)", "failed_execution_cleanup.cli"),
        ("read (/venv/lib/python3.11/site-packages/httpcore/_async/http11.py:217)", "httpcore"),
        ("read (httpcore/_async/http11.py:217)", "httpcore"),
        ("select (selectors.py:468)", "failed_execution_cleanup.run"),  # Python's own counts for who calls it
    ],
)
def test_time_is_told_by_the_innermost_package_that_is_not_pythons(innermost: str, package: str) -> None:
    profile = Profile()
    profile.samples["work (failed_execution_cleanup/run/queue.py:1)", innermost] = 10
    assert profile.by_package() == {package: 1.0}


def test_shares_add_up() -> None:
    profile = Profile()
    profile.samples[("decide (failed_execution_cleanup/recovery/decide.py:12)",)] = 3
    profile.samples[("_run_once (asyncio/base_events.py:1)",)] = 1
    assert profile.by_package() == {"failed_execution_cleanup.recovery": 0.75, "Python": 0.25}
    assert told(profile.by_package()) == "75% failed_execution_cleanup.recovery, 25% Python"


def test_libraries_count_for_the_function_that_calls_them() -> None:
    profile = Profile()
    own = "observe (failed_execution_cleanup/appliance/observe.py:12)"
    profile.samples["work (failed_execution_cleanup/run/queue.py:1)", own, "execute (sqlalchemy/engine/base.py:1)"] = 1
    profile.samples[("_run_once (asyncio/base_events.py:1)",)] = 1
    assert profile.by_own_function() == {"appliance/observe.py observe": 0.5, "outside of its functions": 0.5}
