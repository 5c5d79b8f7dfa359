"""A quick client of the API server: creates many resources at once and sees, to the millisecond, what becomes of each."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import aiohttp
import yaml

from development.control_plane import ControlPlane

Body: TypeAlias = dict[str, Any]

AT_ONCE: Final = 16
"""Requests side by side."""

_LONGEST_LINE: Final = 4 * 2**20
"""Bytes of one event of a watch; aiohttp's own limit is shorter than a cleanup with a long plan."""


@dataclass(slots=True)
class Lived:
    """The life of one cleanup as a client saw it, in seconds since the epoch.

    Attributes:
        accepted: when the API server had stored it.
        positions: every `status.queuePosition` that was shown, in order.
        claimed: when our finalizer was there, which comes right before the claim.
        ended: when what was waited for was there.
    """

    accepted: float
    positions: list[int] = field(default_factory=list)
    claimed: float | None = None
    ended: float | None = None

    @property
    def seconds(self) -> float:
        """From acceptance to the end.

        Raises:
            ValueError: it has not ended.
        """
        if self.ended is None:
            raise ValueError("it has not ended")
        return self.ended - self.accepted


@contextlib.asynccontextmanager
async def administrator(control_plane: ControlPlane) -> AsyncIterator[aiohttp.ClientSession]:
    """A session with the administrator's certificate; answers that are errors raise."""
    config = yaml.safe_load(control_plane.admin_kubeconfig.read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    context = ssl.create_default_context(cafile=cluster["certificate-authority"])
    context.load_cert_chain(user["client-certificate"], user["client-key"])
    connector = aiohttp.TCPConnector(ssl=context, limit=AT_ONCE + 1)
    timeout = aiohttp.ClientTimeout(total=None, sock_read=600)
    async with aiohttp.ClientSession(
        control_plane.url, connector=connector, timeout=timeout, raise_for_status=True, read_bufsize=_LONGEST_LINE
    ) as session:
        yield session
    # aiohttp does not wait until TLS connections are closed; its documentation asks callers to.
    await asyncio.sleep(0.25)


def collection(namespace: str) -> str:
    """Path of the cleanups of a namespace."""
    return f"/apis/failover.ossea.io/v1alpha1/namespaces/{namespace}/failedexecutioncleanups"


async def side_by_side(count: int, work: Callable[[int], Any]) -> None:
    """Do something for each number below `count`, `AT_ONCE` at a time."""
    numbers = iter(range(count))

    async def worker() -> None:
        for number in numbers:
            await work(number)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(AT_ONCE, count)):
            group.create_task(worker())


async def create_finished(
    control_plane: ControlPlane, namespace: str, template: Mapping[str, Any], names: Iterable[str]
) -> None:
    """Create resources with the spec and the status of a cleanup that has ended.

    Args:
        control_plane: where.
        namespace: of the new resources.
        template: a cleanup as the API server stores it.
        names: of the new resources.
    """
    known, path = list(names), collection(namespace)

    async with administrator(control_plane) as session:

        async def create(number: int) -> None:
            body = {key: template[key] for key in ("apiVersion", "kind", "spec")}
            body["metadata"] = {"name": known[number]}
            async with session.post(path, json=body) as answer:
                stored = await answer.json()
            status = {**stored, "status": template["status"]}
            async with session.put(f"{path}/{known[number]}/status", json=status) as answer:
                await answer.read()

        await side_by_side(len(known), create)


async def label_all(control_plane: ControlPlane, namespace: str, names: Iterable[str], label: str) -> None:
    """Change a label on resources, which means nothing to any controller."""
    known, path = list(names), collection(namespace)
    headers = {"Content-Type": "application/merge-patch+json"}
    async with administrator(control_plane) as session:

        async def patch(number: int) -> None:
            data = json.dumps({"metadata": {"labels": {"benchmark": label}}})
            async with session.patch(f"{path}/{known[number]}", data=data, headers=headers) as answer:
                await answer.read()

        await side_by_side(len(known), patch)


def is_ready(body: Mapping[str, Any]) -> bool:
    """Whether a cleanup ended well."""
    return _ready(body).get("status") == "True"


def is_judged(body: Mapping[str, Any]) -> bool:
    """Whether the condition Ready speaks of the resource as it is, whatever it says."""
    return bool(_ready(body).get("observedGeneration") == body["metadata"]["generation"])


def _ready(body: Mapping[str, Any]) -> Mapping[str, Any]:
    conditions = body.get("status", {}).get("conditions", [])
    return next((condition for condition in conditions if condition["type"] == "Ready"), {})


async def live(
    control_plane: ControlPlane,
    manifests: Iterable[Body],
    *,
    seconds: float,
    ended: Callable[[Mapping[str, Any]], bool] = is_ready,
    one_by_one: bool = False,
) -> dict[str, Lived]:
    """Create cleanups and watch each until its end.

    Args:
        control_plane: where.
        manifests: at least one; all of one namespace.
        seconds: for all of them.
        ended: what is waited for.
        one_by_one: create them in their order, each accepted before the next is sent; else side by side.

    Returns:
        Their lives, by name, in the order of the manifests.

    Raises:
        TimeoutError: not all of them came to their end; names the first that did not, and what is said of it.
    """
    documents = list(manifests)
    path = collection(documents[0]["metadata"]["namespace"])
    lives: dict[str, Lived] = {}
    latest: dict[str, Body] = {}
    over = asyncio.Event()

    def see(event: Mapping[str, Any]) -> None:
        body, at = event["object"], time.time()
        name = body["metadata"]["name"]
        latest[name] = body
        # The watch may tell of a resource before the answer to its creation has been read.
        one = lives.setdefault(name, Lived(at))
        if one.claimed is None and body["metadata"].get("finalizers"):
            one.claimed = at
        position = body.get("status", {}).get("queuePosition")
        if position is not None and (not one.positions or one.positions[-1] != position):
            one.positions.append(position)
        if one.ended is None and ended(body):
            one.ended = at
            if all(d["metadata"]["name"] in lives and lives[d["metadata"]["name"]].ended for d in documents):
                over.set()

    async with administrator(control_plane) as session:
        async with session.get(path, params={"limit": "1"}) as answer:
            version = (await answer.json())["metadata"]["resourceVersion"]
        watching = asyncio.create_task(_watch(session, path, version, see))

        async def create(number: int) -> None:
            document = documents[number]
            async with session.post(path, json=document) as answer:
                await answer.read()
            at = time.time()
            lives.setdefault(document["metadata"]["name"], Lived(at)).accepted = at

        try:
            if one_by_one:
                for number in range(len(documents)):
                    await create(number)
            else:
                await side_by_side(len(documents), create)
            async with asyncio.timeout(seconds):
                waiting = asyncio.create_task(over.wait())
                await asyncio.wait([waiting, watching], return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
                if watching.done():
                    watching.result()
        except TimeoutError:
            names = [d["metadata"]["name"] for d in documents]
            missing = [name for name in names if name not in lives or lives[name].ended is None]
            said = _ready(latest.get(missing[0], {}))
            raise TimeoutError(
                f"{len(missing)} of {len(names)} did not end in {seconds:.0f} s: {missing[0]}: {said}"
            ) from None
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
    return {d["metadata"]["name"]: lives[d["metadata"]["name"]] for d in documents}


def wall_seconds(lives: Mapping[str, Lived]) -> float:
    """From the first acceptance to the last end.

    Raises:
        ValueError: one has not ended.
    """
    first = min(one.accepted for one in lives.values())
    return max(one.accepted + one.seconds for one in lives.values()) - first


async def _watch(
    session: aiohttp.ClientSession, path: str, version: str, see: Callable[[Mapping[str, Any]], None]
) -> None:
    parameters = {"watch": "true", "resourceVersion": version, "timeoutSeconds": "14400"}
    async with session.get(path, params=parameters) as answer:
        async for line in answer.content:
            see(json.loads(line))
