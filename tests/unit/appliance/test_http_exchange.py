"""What was executed when the wire fails: real sockets on the loopback interface."""

import asyncio
import datetime
import ipaddress
import itertools
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from failed_execution_cleanup.appliance import http_exchange
from failed_execution_cleanup.appliance.errors import ApplianceError, NotExecuted, Unavailable, Unknown, Untrusted
from failed_execution_cleanup.appliance.http_exchange import sent_within
from failed_execution_cleanup.appliance.ossea import OSSEAClient
from failed_execution_cleanup.appliance.volume_daemon import VolumeDaemonClient

VM = "aaaaaaaa-0000-4000-8000-000000000001"
VOLUME = "bbbbbbbb-0000-4000-8000-000000000001"
JOB = "dddddddd-0000-4000-8000-000000000001"

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(serve: Serve, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Serve on a free loopback port; handlers are ended with the block."""
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await serve(reader, writer)
        finally:
            writer.close()

    listener = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await listener.wait_closed()


async def read_request(reader: asyncio.StreamReader) -> bytes:
    """Read one request, body included."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next((line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), b":0")
    return head + await reader.readexactly(int(length.split(b":")[1]))


async def close_after_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)


async def close_in_the_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"x":')
    await writer.drain()


async def never_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    await asyncio.Event().wait()


async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.02)


async def answer_job(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    body = f'{{"stopvirtualmachineresponse": {{"jobid": "{JOB}"}}}}'.encode()
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(body), body))
    await writer.drain()


async def failure_of(call: Awaitable[object]) -> ApplianceError:
    with pytest.raises(ApplianceError) as caught:
        await call
    return caught.value


def ossea(
    port: int, *, timeout_seconds: float = 10, verify: ssl.SSLContext | bool = True, scheme: str = "http"
) -> OSSEAClient:
    address = f"{scheme}://127.0.0.1:{port}"
    return OSSEAClient(address, "an-api-key", "a-secret-key", timeout_seconds=timeout_seconds, verify=verify)


@pytest.mark.parametrize("serve", [close_after_request, close_in_the_answer])
async def test_a_connection_lost_after_sending_leaves_a_change_unknown(serve: Serve) -> None:
    async with server(serve) as port, ossea(port) as cloud, VolumeDaemonClient(f"http://127.0.0.1:{port}") as daemon:
        assert type(await failure_of(cloud.stop_vm(VM))) is Unknown
        assert type(await failure_of(cloud.list_volumes())) is Unavailable
        assert type(await failure_of(daemon.detach(VOLUME))) is Unknown
        assert type(await failure_of(daemon.operations())) is Unavailable


@pytest.mark.parametrize("serve", [never_answer, trickle])
async def test_the_time_limit_covers_the_whole_answer_and_leaves_a_change_unknown(serve: Serve) -> None:
    # A quarter of it is for the connection: enough that a busy machine is no refused connection.
    async with server(serve) as port, ossea(port, timeout_seconds=2) as cloud:
        failures = await asyncio.gather(failure_of(cloud.stop_vm(VM)), failure_of(cloud.list_volumes()))
        assert [type(failure) for failure in failures] == [Unknown, Unavailable]


async def test_a_process_that_was_held_up_sends_nothing_that_changes_anything() -> None:
    seen: list[bytes] = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.read(4))
        writer.close()

    async with server(note) as port, ossea(port) as cloud, VolumeDaemonClient(f"http://127.0.0.1:{port}") as daemon:
        with sent_within(-1):
            for call in (cloud.stop_vm(VM), daemon.detach(VOLUME)):
                failure = await failure_of(call)
                assert type(failure) is NotExecuted
                assert "held up" in failure.message
            assert seen in ([], [b""])  # a connection at most
            assert type(await failure_of(cloud.list_volumes())) is Unavailable
        assert seen[-1] == b"POST"


async def test_a_process_that_is_held_up_in_the_middle_of_a_request_does_not_end_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    received: list[bytes] = []

    async def collect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.read())
        writer.close()

    moments = itertools.chain([0.0, 0.0, 0.0], itertools.repeat(60.0))  # block, exchange, head; then body
    monkeypatch.setattr(http_exchange, "time", SimpleNamespace(monotonic=lambda: next(moments)))
    async with server(collect) as port, ossea(port) as cloud:
        with sent_within(30):
            assert type(await failure_of(cloud.stop_vm(VM))) is Unknown
        async with asyncio.timeout(10):
            while not received:  # noqa: ASYNC110 the server tells nobody
                await asyncio.sleep(0.01)
    assert received[0].startswith(b"POST /client/api")
    assert received[0].endswith(b"\r\n\r\n"), "the head alone, which no server executes"


async def test_a_connection_that_is_refused_means_nothing_was_executed() -> None:
    async with server(never_answer) as port:
        pass
    async with ossea(port) as cloud, VolumeDaemonClient(f"http://127.0.0.1:{port}") as daemon:
        for call in (cloud.stop_vm(VM), cloud.list_volumes(), daemon.detach(VOLUME), daemon.health()):
            failure = await failure_of(call)
            assert type(failure) is NotExecuted
            assert f"http://127.0.0.1:{port}" in failure.message


async def test_a_connection_that_is_never_completed_means_nothing_was_executed() -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with server(say_nothing) as port, ossea(port, scheme="https", timeout_seconds=4) as cloud:
        assert type(await failure_of(cloud.stop_vm(VM))) is NotExecuted


async def test_no_free_connection_means_nothing_was_executed() -> None:
    arrived = asyncio.Event()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        arrived.set()
        await asyncio.Event().wait()

    async with server(hold) as port, httpx.AsyncClient(limits=httpx.Limits(max_connections=1)) as http:
        address = f"http://127.0.0.1:{port}"
        first = asyncio.create_task(VolumeDaemonClient(address, http=http).health())
        await arrived.wait()
        failure = await failure_of(VolumeDaemonClient(address, http=http, timeout_seconds=4).detach(VOLUME))
        assert type(failure) is NotExecuted
        assert "no free connection" in failure.message
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (httpx.PoolTimeout("x"), NotExecuted),
        (httpx.ConnectTimeout("x"), NotExecuted),
        (httpx.ReadTimeout("x"), Unknown),
        (httpx.WriteTimeout("x"), Unknown),
        (httpx.WriteError("x"), Unknown),
        (httpx.ReadError("x"), Unknown),
        (httpx.RemoteProtocolError("x"), Unknown),
        (httpx.LocalProtocolError("x"), Unknown),
        (httpx.DecodingError("x"), Unknown),
        (httpx.ProxyError("x"), Unknown),
    ],
)
async def test_only_failures_before_sending_count_as_not_executed(
    error: httpx.HTTPError, kind: type[ApplianceError]
) -> None:
    def fail(_: httpx.Request) -> httpx.Response:
        raise error

    async with httpx.AsyncClient(transport=httpx.MockTransport(fail)) as http:
        daemon = VolumeDaemonClient("http://oma.example.com:8090", http=http)
        assert type(await failure_of(daemon.detach(VOLUME))) is kind


async def test_nothing_about_the_request_is_shown_when_the_wire_fails() -> None:
    async with server(close_after_request) as port, ossea(port) as cloud:
        failure = await failure_of(cloud.stop_vm(VM))
    shown = f"{failure} {failure!r} {failure.args} {failure.__cause__!r}"
    for secret in ("an-api-key", "a-secret-key", "signature", "apikey"):
        assert secret not in shown


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A self-signed certificate of 127.0.0.1, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ossea.test")])
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = tmp_path / "certificate.pem", tmp_path / "key.pem"
    certificate_file.write_bytes(built.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate_file, key_file


async def test_an_untrusted_certificate_means_nothing_was_executed_and_names_the_remedy(
    certificate: tuple[Path, Path],
) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(*certificate)
    async with server(answer_job, tls) as port, ossea(port, scheme="https") as cloud:
        failure = await failure_of(cloud.stop_vm(VM))
    assert type(failure) is Untrusted
    assert "self-signed" in failure.message
    assert "caBundle" in failure.remedy


async def test_a_certificate_of_the_given_authority_is_trusted(certificate: tuple[Path, Path]) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(*certificate)
    trust = ssl.create_default_context(cafile=str(certificate[0]))
    async with server(answer_job, tls) as port, ossea(port, scheme="https", verify=trust) as cloud:
        assert await cloud.stop_vm(VM) == JOB


async def test_plain_http_on_a_tls_address_means_nothing_was_executed() -> None:
    async def speak_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()

    async with server(speak_http) as port, ossea(port, scheme="https") as cloud:
        failure = await failure_of(cloud.stop_vm(VM))
    assert type(failure) is NotExecuted
    assert "TLS" in failure.message
