"""What is heard of the calls to appliances: counted, remembered for the support bundle, and a sign of life of whoever made them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping

from failed_execution_cleanup.appliance.calls import Call, CallListener, RecentCalls
from failed_execution_cleanup.controller.metrics import Metrics
from failed_execution_cleanup.controller.progress_watch import ProgressWatch

__all__ = ["CallLog"]


class CallLog:
    """Implements `appliance.calls.DoorsListener` for this process."""

    def __init__(self, metrics: Metrics, progress: ProgressWatch) -> None:
        self._metrics = metrics
        self._progress = progress
        self._recent: defaultdict[str, RecentCalls] = defaultdict(RecentCalls)

    def called(self, appliance: str) -> CallListener:
        """Return the listener for the calls of an appliance."""
        count, remember = self._metrics.called(appliance), self._recent[appliance]

        def hear(call: Call) -> None:
            self._progress.sign()
            count(call)
            remember(call)

        return hear

    def throttled(self, appliance: str, system: str) -> Callable[[float], None]:
        """Return the listener for the seconds that requests to a system wait for their turn."""
        return self._metrics.throttled(appliance, system)

    @property
    def recent(self) -> Mapping[str, RecentCalls]:
        """The newest calls of each appliance."""
        return self._recent
