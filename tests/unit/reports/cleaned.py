"""A cleanup that came to its end, with everything a report may show; and one whose every text is hostile."""

from __future__ import annotations

from typing import Any

from failed_execution_cleanup.resources.cleanup import FailedExecutionCleanup

HOSTILE = "a|b`c*_<script>alert(1)</script>\n# head\r\n| x | https://evil.example www.evil.example [l](http://x) @all &amp; \x1b[31m"


def condition(type_: str, status: str, reason: str, message: str) -> dict[str, Any]:
    return {
        "type": type_,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": "2026-01-31T10:12:00Z",
    }


def body() -> dict[str, Any]:
    return {
        "metadata": {
            "name": "pgtest1-6f0c9a12",
            "namespace": "dr",
            "creationTimestamp": "2026-01-31T10:00:00Z",
            "generation": 1,
        },
        "spec": {
            "vmName": "pgtest1",
            "applianceRef": {"name": "default"},
            "requestedBy": "alice",
            "note": "ticket 4711",
            "failoverJobID": "6f0c9a12",
        },
        "status": {
            "observedGeneration": 1,
            "conditions": [
                condition("Ready", "True", "Cleaned", "the four goals are reached."),
                condition("VolumesAttached", "True", "GoalReached", "3 of 3 volumes"),
                condition("SnapshotsRemoved", "True", "GoalReached", "none is left"),
                condition("TestVMRemoved", "True", "GoalReached", "no test VM is left"),
                condition("ContextReady", "True", "GoalReached", "context is ready_for_failover"),
            ],
            "failedJob": {
                "id": "6f0c9a12",
                "type": "test",
                "state": "failed",
                "startedAt": "2026-01-31T05:00:00Z",
                "stuckSince": "2026-01-31T05:10:00Z",
                "lastStep": "virtio-driver-injection",
            },
            "context": {"id": "ctx-1", "vcenterHost": "vc01"},
            "found": [
                {"type": "VolumesAttached", "met": False, "message": "2 of 3 volumes"},
                {"type": "SnapshotsRemoved", "met": False, "message": "3 are left"},
                {"type": "TestVMRemoved", "met": True, "message": "no test VM is left"},
                {"type": "ContextReady", "met": False, "message": "context is failed_over_test"},
            ],
            "phases": [
                {
                    "name": "detach-volumes",
                    "state": "Completed",
                    "startedAt": "2026-01-31T10:00:10Z",
                    "completedAt": "2026-01-31T11:02:15Z",
                    "done": 3,
                    "total": 3,
                    "requests": 4,
                },
                {"name": "cleanup-snapshots", "state": "Running", "startedAt": "2026-01-31T11:02:15Z", "requests": 2},
                {"name": "reattach-volumes", "state": "Pending"},
                {"name": "cleanup-test-vm", "state": "Skipped", "message": "the failed job left no VM"},
                {"name": "database-cleanup", "state": "Pending"},
            ],
            "volumes": [{"id": "v-1", "disk": "disk-2000", "holder": "OMA", "state": "Ready"}],
            "leftovers": [{"kind": "Snapshot", "id": "s-9", "message": "older than the last sync"}],
            "waiversUsed": [{"reason": "RunningTestVM", "object": "job", "usedAt": "2026-01-31T10:00:05Z"}],
            "cleanupJobID": "row-1",
            "startedAt": "2026-01-31T10:00:05Z",
            "completedAt": "2026-01-31T10:12:00Z",
            "history": [
                {
                    "run": 1,
                    "startedAt": "2026-01-31T10:00:05Z",
                    "completedAt": "2026-01-31T10:12:00Z",
                    "result": "Cleaned",
                    "message": "the four goals are reached.",
                }
            ],
        },
    }


def cleaned(*verdict: str) -> FailedExecutionCleanup:
    """The cleanup; `verdict` takes the place of status, reason and message of Ready."""
    document = body()
    if verdict:
        document["status"]["conditions"][0] = condition("Ready", *verdict)
    return FailedExecutionCleanup.model_validate(document)


def hostile() -> FailedExecutionCleanup:
    """Every text that comes from other people's systems is an attempt at markup."""
    document = body()
    document["spec"] |= {"vmName": HOSTILE, "note": HOSTILE, "requestedBy": HOSTILE}
    status = document["status"]
    status["failedJob"] |= {"lastStep": HOSTILE, "state": HOSTILE[:60]}
    for found in (*status["conditions"], *status["found"], *status["phases"], *status["leftovers"], *status["history"]):
        found["message"] = HOSTILE
    status["volumes"][0] |= {"disk": HOSTILE, "message": HOSTILE}
    status["leftovers"][0]["id"] = HOSTILE
    return FailedExecutionCleanup.model_validate(document)
