"""Plain clients for the simulated APIs, written from the public rules and sharing nothing with the simulator."""

import base64
import hashlib
import hmac
from typing import Any
from urllib.parse import quote

import httpx

from appliance_simulator import SimulatedAppliance


def signature(parameters: dict[str, str], secret_key: str) -> str:
    pairs = sorted(parameters.items())
    text = "&".join(f"{name}={quote(value, safe='*').replace('~', '%7E')}" for name, value in pairs).lower()
    return base64.b64encode(hmac.digest(secret_key.encode(), text.encode(), hashlib.sha1)).decode()


class OsseaClient:
    def __init__(self, appliance: SimulatedAppliance, http: httpx.AsyncClient) -> None:
        self._appliance = appliance
        self._http = http

    def signed(self, command: str, **parameters: str) -> dict[str, str]:
        unsigned = {"command": command, "response": "json", "apiKey": self._appliance.api_key, **parameters}
        return {**unsigned, "signature": signature(unsigned, self._appliance.secret_key)}

    async def send(self, parameters: dict[str, str], method: str = "GET") -> httpx.Response:
        if method == "POST":
            return await self._http.post(self._appliance.ossea_url, data=parameters)
        return await self._http.get(self._appliance.ossea_url, params=parameters)

    async def request(self, command: str, **parameters: str) -> httpx.Response:
        return await self.send(self.signed(command, **parameters))

    async def call(self, command: str, **parameters: str) -> dict[str, Any]:
        body = (await self.request(command, **parameters)).json()
        assert list(body) == [f"{command.lower()}response"]
        content: dict[str, Any] = body[f"{command.lower()}response"]
        return content

    async def run(self, command: str, **parameters: str) -> dict[str, Any]:
        """Submit, wait for the job's end, and give what queryAsyncJobResult says."""
        job_id = (await self.call(command, **parameters))["jobid"]
        await self._appliance.jobs.jobs[job_id].ended.wait()
        return await self.call("queryAsyncJobResult", jobid=job_id)


class DaemonClient:
    def __init__(self, appliance: SimulatedAppliance, http: httpx.AsyncClient) -> None:
        self._appliance = appliance
        self._http = http

    async def get(self, path: str, **query: str) -> httpx.Response:
        return await self._http.get(f"{self._appliance.daemon_url}{path}", params=query)

    async def post(self, path: str, body: Any = None) -> httpx.Response:
        return await self._http.post(f"{self._appliance.daemon_url}{path}", json=body)

    async def run(self, action: str, volume_id: str, vm_id: str | None = None) -> dict[str, Any]:
        """Start an operation, wait for its end, and give its row."""
        body = None if vm_id is None else {"vm_id": vm_id}
        started = await self.post(f"/api/v1/volumes/{volume_id}/{action}", body)
        assert started.status_code == 201
        await self._appliance.daemon.idle()
        operation: dict[str, Any] = (await self.get(f"/api/v1/operations/{started.json()['id']}")).json()
        return operation
