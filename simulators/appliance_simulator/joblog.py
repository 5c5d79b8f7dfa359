"""Job log of the product: `job_tracking`, `job_steps`, `log_events` as its flows write them (appliance facts 5)."""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from appliance_simulator import schema
from appliance_simulator.cloud import new_id
from appliance_simulator.database import DatabaseClock


@dataclass
class FlowClock:
    """Time inside a flow that is told afterwards.

    Attributes:
        start: Unix time of the flow's request.
        step: Seconds every step takes.
        database: Turns Unix times into stored digits.
    """

    start: float
    step: float
    database: DatabaseClock
    elapsed: float = 0.0

    @property
    def epoch(self) -> float:
        """The flow's present Unix time."""
        return self.start + self.elapsed

    @property
    def now(self) -> Any:
        """The flow's present in server-local digits."""
        return self.database.local(self.epoch)

    def tick(self) -> None:
        """One step's time passes."""
        self.elapsed += self.step

    def moment_later(self) -> Any:
        """A millisecond later, in server-local digits: two updates of a row never carry the same time."""
        self.elapsed += 0.001
        return self.now


@dataclass
class ProductJob:
    """One tracked job of the product.

    Attributes:
        connection: Where its rows are written.
        clock: The flow's time.
        job_type: `failover` or `cleanup`.
        operation: For example `unified-test-failover`.
        external_id: `external_job_id`; None where the product writes none.
        context_id: None where the product writes none.
        category: None where the product writes none.
        metadata: None where the product writes none.
    """

    connection: AsyncConnection
    clock: FlowClock
    job_type: str
    operation: str
    external_id: str | None = None
    context_id: str | None = None
    category: str | None = None
    metadata: dict[str, Any] | None = None
    id: str = field(default_factory=new_id)
    steps: dict[int, str] = field(default_factory=dict)

    async def start(self) -> None:
        """StartJob: the row is `running`."""
        now = self.clock.now
        await self.connection.execute(
            insert(schema.job_tracking).values(
                id=self.id,
                job_type=self.job_type,
                operation=self.operation,
                status="running",
                external_job_id=self.external_id,
                metadata=self.metadata,
                owner="system",
                context_id=self.context_id,
                job_category=self.category,
                started_at=now,
                created_at=now,
                updated_at=now,
            )
        )

    async def begin(self, name: str) -> int:
        """A step begins and is `running`; gives its id."""
        table = schema.job_steps
        highest = select(func.coalesce(func.max(table.c.seq), 0)).where(table.c.job_id == self.id)
        seq = (await self.connection.execute(highest)).scalar_one() + 1
        await self.connection.execute(
            insert(table).values(job_id=self.id, name=name, seq=seq, status="running", started_at=self.clock.now)
        )
        row = select(table.c.id).where(table.c.job_id == self.id, table.c.seq == seq)
        step_id: int = (await self.connection.execute(row)).scalar_one()
        self.steps[step_id] = name
        await self.log("INFO", f"Starting step: {name}", step_id)
        return step_id

    async def running(self, name: str) -> list[int]:
        """Ids of this job's steps of a name that are `running`, in their order; found in its rows."""
        table = schema.job_steps
        rows = await self.connection.execute(
            select(table.c.id)
            .where(table.c.job_id == self.id, table.c.name == name, table.c.status == "running")
            .order_by(table.c.seq)
        )
        found = list(rows.scalars())
        self.steps |= dict.fromkeys(found, name)
        return found

    async def end(self, step_id: int, error: str | None = None) -> None:
        """A step ends, `failed` with an error text or else `completed`."""
        self.clock.tick()
        table = schema.job_steps
        status = "completed" if error is None else "failed"
        values = {"status": status, "completed_at": self.clock.now, "error_message": error}
        await self.connection.execute(update(table).where(table.c.id == step_id).values(values))
        if error is None:
            await self.log("INFO", f"Completed step: {self.steps[step_id]}", step_id)
        else:
            await self.log("ERROR", f"Step failed: {self.steps[step_id]}", step_id, error=error)

    async def step(self, name: str, error: str | None = None) -> None:
        """A whole step."""
        await self.end(await self.begin(name), error)

    async def log(self, level: str, message: str, step_id: int | None = None, **attrs: Any) -> None:
        """One log line."""
        await self.connection.execute(
            insert(schema.log_events).values(
                job_id=self.id,
                step_id=step_id,
                level=level,
                message=message,
                attrs=attrs or None,
                ts=self.clock.now,
                external_job_id=self.external_id,
            )
        )

    async def finish(self, status: str, error: str | None = None) -> None:
        """EndJob."""
        table = schema.job_tracking
        now = self.clock.now
        values = {"status": status, "completed_at": now, "error_message": error, "updated_at": now}
        await self.connection.execute(update(table).where(table.c.id == self.id).values(values))
