"""Asynchronous jobs of the cloud, and the work queue that runs one job per VM at a time (OSSEA facts 1.5, 2.14)."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, TypeAlias

from appliance_simulator.cloud import CloudError, new_id


class JobStatus(IntEnum):
    """`jobstatus` on the wire."""

    PENDING = 0
    SUCCESS = 1
    FAILURE = 2


class ResultlessFailureError(CloudError):
    """Raised in a job that is to fail without a `jobresult`."""


@dataclass
class AsyncJob:
    """One job.

    Attributes:
        id: Its UUID, chosen by the server or by the client.
        command: The API command that started it.
        instance_type: `Volume`, `Snapshot` or `VirtualMachine`.
        instance_id: The object whose rows show the job while it is pending.
        result: `jobresult`; None where the server cannot give one.
        lost_result_code: Set when the work is to be reported failed without a result although it was done.
        purged_at_end: Whether the server forgets it as soon as it has ended.
    """

    id: str
    command: str
    instance_type: str
    instance_id: str
    status: JobStatus = JobStatus.PENDING
    result_code: int = 0
    result: dict[str, Any] | None = None
    lost_result_code: int | None = None
    purged_at_end: bool = False
    created: float = field(default_factory=time.time)
    completed: float | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)


Work: TypeAlias = Callable[[AsyncJob], Awaitable[dict[str, Any]]]
"""Does what a job is for and returns its `jobresult`; a `CloudError` makes the job fail."""


class AsyncJobs:
    """All jobs by id."""

    def __init__(self) -> None:
        self.jobs: dict[str, AsyncJob] = {}
        self.known_ids: set[str] = set()
        self._pending: dict[str, AsyncJob] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._background: set[asyncio.Task[None]] = set()
        self._vm_queues: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._hanging: dict[str, asyncio.Event] = {}

    def submit(self, command: str, work: Work, instance: tuple[str, str], job_id: str | None = None) -> AsyncJob:
        """Start a job.

        Args:
            command: The API command.
            work: What it does.
            instance: Type and id of the job's object.
            job_id: Id chosen by the client.

        Raises:
            CloudError: 431, the chosen id was used before.
        """
        if job_id is not None and job_id in self.known_ids:
            raise CloudError(431, f"Job with id {job_id} already exists; choose another customjobid.")
        job = AsyncJob(job_id or new_id(), command, *instance)
        self.known_ids.add(job.id)
        self.jobs[job.id] = self._pending[job.id] = job
        self._tasks[job.id] = asyncio.create_task(self._run(job, work), name=f"job {command} {job.id}")
        return job

    async def _run(self, job: AsyncJob, work: Work) -> None:
        try:
            result: dict[str, Any] | None = await work(job)
            status, code = JobStatus.SUCCESS, 0
            if job.lost_result_code is not None:
                status, code, result = JobStatus.FAILURE, job.lost_result_code, None
        except ResultlessFailureError as failure:
            status, code, result = JobStatus.FAILURE, failure.code, None
        except CloudError as failure:
            status, code = JobStatus.FAILURE, failure.code
            result = {"errorcode": failure.code, "errortext": failure.text}
        self._end(job, status, code, result)
        self._tasks.pop(job.id, None)

    def _end(self, job: AsyncJob, status: JobStatus, code: int, result: dict[str, Any] | None) -> None:
        if job.status is JobStatus.PENDING:
            job.status, job.result_code, job.result = status, code, result
            job.completed = time.time()
            self._pending.pop(job.id, None)
            job.ended.set()
            if job.purged_at_end:
                self.purge(job.id)

    def turn(self, vm_id: str | None) -> AbstractAsyncContextManager[Any]:
        """The VM's work queue, in order of arrival; no queue without a VM."""
        return nullcontext() if vm_id is None else self._vm_queues[vm_id]

    async def hang(self, job: AsyncJob) -> None:
        """Hold the job where it is until `release_hanging`."""
        self._hanging[job.id] = asyncio.Event()
        await self._hanging[job.id].wait()

    @property
    def hanging(self) -> frozenset[str]:
        """Ids of the jobs that hang."""
        return frozenset(self._hanging)

    def release_hanging(self) -> None:
        """Let every hanging job go on."""
        for event in self._hanging.values():
            event.set()
        self._hanging.clear()

    def go_on_in_background(self, work: Awaitable[None]) -> None:
        """Continue work whose job is already over."""
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def pending(self) -> list[AsyncJob]:
        """Jobs that have not ended."""
        return list(self._pending.values())

    def pending_of(self, instance_id: str) -> AsyncJob | None:
        """The pending job of an object, if there is one."""
        return next((job for job in self._pending.values() if job.instance_id == instance_id), None)

    def purge(self, job_id: str) -> None:
        """Forget an ended job, as the server does after `job.expire.minutes`; its id becomes free again."""
        self.jobs.pop(job_id, None)
        self.known_ids.discard(job_id)

    def fail_pending(self, *, work_continues: bool = False) -> None:
        """A management server restart: pending jobs fail with 530 and without a result.

        Args:
            work_continues: The hosts end what they were told to do, and nobody is told; else it is cut off.
        """
        for job in self.pending():
            task = self._tasks.get(job.id)
            if task is not None and not work_continues:
                del self._tasks[job.id]
                # A job in which the restart strikes is cut off by its own hand.
                if task is not asyncio.current_task():
                    task.cancel()
            self._end(job, JobStatus.FAILURE, 530, None)

    async def close(self) -> None:
        """Stop every job and all background work."""
        tasks = [*self._tasks.values(), *self._background]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
