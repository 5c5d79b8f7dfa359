"""The door to the Kubernetes API: the few calls the operator makes, with small answers and errors that can be acted on.

Errors, by what the caller does next:

    KubernetesError            base; the API answered in a way nobody planned for
    ├── NotFound               the object is gone: treat it as such
    ├── Conflict               somebody wrote it since it was read, or it exists already: read again
    ├── Forbidden              credentials or roles: an administrator has to act
    ├── Invalid                the object does not fit its schema or rules: a bug or an old CRD
    ├── Expired                the server forgot that version of a list: read it again
    └── Unreachable            no answer (network, TLS, timeout, 429, 5xx): the call may or may not have happened

Every write carries the resourceVersion it is based on, so a late write never wins over a newer one.
"""
# ruff: noqa: N818 - named for what happened, not for being errors

import base64
import json
import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, Self, TypeAlias
from urllib.parse import quote, urlencode

import aiohttp
from kubernetes.aio import config as kubernetes_config
from kubernetes.aio.client import ApiClient, Configuration
from pydantic import SecretBytes, SecretStr

from failed_execution_cleanup.resources.identifiers import (
    APPLIANCE_KIND,
    APPLIANCE_PLURAL,
    CLEANUP_KIND,
    CLEANUP_PLURAL,
    GROUP,
    VERSION,
)

__all__ = [
    "APPLIANCES",
    "CLEANUPS",
    "Body",
    "Conflict",
    "CustomResource",
    "Expired",
    "FinalizerApi",
    "Forbidden",
    "Invalid",
    "KubernetesApi",
    "KubernetesError",
    "Lease",
    "NotFound",
    "Page",
    "ResourceApi",
    "Selection",
    "StatusApi",
    "Unreachable",
    "WatchEvent",
    "context_namespace",
    "format_micro_time",
    "merge_patch",
]

Body: TypeAlias = dict[str, Any]
Method: TypeAlias = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
ONLY_METADATA = f"{JSON};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
"""A list whose items have their metadata alone (peers and conventions: how metadata-only informers ask)."""
CHUNK = 500
"""Objects of one page of a list."""
LEASES = "/apis/coordination.k8s.io/v1"
EVENTS = "/apis/events.k8s.io/v1"
REVIEWS = "/apis/authentication.k8s.io/v1"
SERVICE_ACCOUNT_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
WATCH_SECONDS = 240
"""How long one watch request lasts; the caller asks again, so that a connection that died unnoticed is not waited on for ever."""


class KubernetesError(Exception):
    """A call to the Kubernetes API failed; the message names the object.

    Attributes:
        status: HTTP status of the answer, 0 without one.
    """

    def __init__(self, message: str, *, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class NotFound(KubernetesError):
    """The object, its namespace or its kind does not exist."""


class Conflict(KubernetesError):
    """The object was changed since it was read, or exists already."""


class Forbidden(KubernetesError):
    """The API server does not accept our credentials or our roles do not allow the call."""


class Invalid(KubernetesError):
    """The API server refuses the content of the object."""


class Unreachable(KubernetesError):
    """There was no usable answer; the call may or may not have been executed.

    Attributes:
        retry_after_seconds: how long the API server asked us to wait; None if it did not.
    """

    def __init__(self, message: str, *, status: int = 0, retry_after_seconds: float | None = None) -> None:
        super().__init__(message, status=status)
        self.retry_after_seconds = retry_after_seconds


class Expired(KubernetesError):
    """The version behind a chunked list or a watch is gone; `continue_token`, if any, goes on with a newer one."""

    def __init__(self, message: str, *, continue_token: str = "") -> None:
        super().__init__(message, status=410)
        self.continue_token = continue_token


@dataclass(frozen=True, slots=True)
class CustomResource:
    """Where a kind of custom resource lives in the API."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool

    @property
    def api_version(self) -> str:
        """`group/version`, as in an object's apiVersion."""
        return f"{self.group}/{self.version}"

    def path(self, namespace: str | None, name: str | None = None, subresource: str | None = None) -> str:
        """Return the URL path of one object or of a collection.

        Raises:
            ValueError: one object of a namespaced kind without its namespace, or a namespace for a cluster-scoped kind.
        """
        if namespace is not None and not self.namespaced:
            raise ValueError(f"{self.kind} is cluster-scoped")
        if namespace is None and self.namespaced and name is not None:
            raise ValueError(f"{self.kind} {name} needs a namespace")
        return _path(f"/apis/{self.api_version}", namespace, self.plural, name, subresource)


CLEANUPS = CustomResource(GROUP, VERSION, CLEANUP_PLURAL, CLEANUP_KIND, namespaced=True)
APPLIANCES = CustomResource(GROUP, VERSION, APPLIANCE_PLURAL, APPLIANCE_KIND, namespaced=False)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects of a kind a list or a watch is about; all of them by default.

    Attributes:
        labels: label selector in the API's notation.
        fields: field selector in the API's notation, such as `metadata.name=x`; only fields that the definition lists.
    """

    labels: str = ""
    fields: str = ""

    @property
    def query(self) -> dict[str, str]:
        """The parameters of the request."""
        named = {"labelSelector": self.labels, "fieldSelector": self.fields}
        return {name: value for name, value in named.items() if value}


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list.

    Attributes:
        items: the objects.
        continue_token: asks for the next part; empty when this is the last one.
        resource_version: of the list as a whole; a watch may continue from it.
    """

    items: tuple[Body, ...]
    continue_token: str
    resource_version: str


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """A change of an object: `ADDED`, `MODIFIED` or `DELETED`, and the object after it."""

    type: str
    object: Body


@dataclass(frozen=True, slots=True)
class Lease:
    """A coordination.k8s.io/v1 Lease, reduced to what leader election needs.

    Attributes:
        holder: identity of the leader; "" when nobody holds it.
        duration_seconds: how long an unchanged record counts as held.
        acquired_at: when the holder took it, by the holder's clock.
        renewed_at: when the holder last renewed it, by the holder's clock.
        transitions: how often it changed hands.
        resource_version: version this was read at; "" for one that does not exist yet.
    """

    holder: str
    duration_seconds: int
    acquired_at: datetime | None
    renewed_at: datetime | None
    transitions: int
    resource_version: str = ""


class StatusApi(Protocol):
    """What who writes only a status needs of `KubernetesApi`."""

    async def get(self, resource: CustomResource, namespace: str | None, name: str) -> Body:
        """Read an object."""
        ...

    async def patch_status(
        self, resource: CustomResource, namespace: str | None, name: str, patch: Body, *, resource_version: str
    ) -> Body:
        """Change the status by a merge patch; `Conflict` if the object has moved on."""
        ...


class FinalizerApi(Protocol):
    """What who writes only finalizers needs of `KubernetesApi`."""

    async def get(self, resource: CustomResource, namespace: str | None, name: str) -> Body:
        """Read an object."""
        ...

    async def set_finalizers(
        self,
        resource: CustomResource,
        namespace: str | None,
        name: str,
        finalizers: Sequence[str],
        *,
        resource_version: str,
    ) -> Body:
        """Replace the list of finalizers; `Conflict` if the object has moved on."""
        ...


class ResourceApi(Protocol):
    """What who works with the resources as a person does needs of `KubernetesApi`: everything but their status."""

    async def get(self, resource: CustomResource, namespace: str | None, name: str) -> Body:
        """Read an object."""
        ...

    async def page(
        self,
        resource: CustomResource,
        namespace: str | None = None,
        *,
        selection: Selection = Selection(),
        limit: int = 500,
        continue_token: str = "",
    ) -> Page:
        """Read a part of a list."""
        ...

    async def create(self, resource: CustomResource, namespace: str | None, body: Body) -> Body:
        """Create an object; `Conflict` if one of its name exists."""
        ...

    async def patch(
        self, resource: CustomResource, namespace: str | None, name: str, patch: Body, *, resource_version: str
    ) -> Body:
        """Change metadata and spec by a merge patch; `Conflict` if the object has moved on."""
        ...

    async def delete(
        self, resource: CustomResource, namespace: str | None, name: str, *, uid: str, resource_version: str
    ) -> None:
        """Delete an object if it is still the one that was read; `Conflict` if not."""
        ...

    def watch(
        self,
        resource: CustomResource,
        namespace: str | None = None,
        *,
        resource_version: str,
        selection: Selection = Selection(),
    ) -> AsyncIterator[WatchEvent]:
        """Hear of changes."""
        ...

    async def user_name(self) -> str:
        """Who the credentials belong to."""
        ...


class KubernetesApi:
    """The calls of the operator. Create it with `connect`; one instance per process, usable by many tasks at once.

    Every call raises `KubernetesError` or one of its subclasses.
    """

    def __init__(
        self, client: ApiClient, reload_credentials: Callable[[], Awaitable[None]], timeout_seconds: float
    ) -> None:
        self._client = client
        self._reload_credentials = reload_credentials
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._stream_timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=timeout_seconds, sock_read=WATCH_SECONDS + timeout_seconds
        )

    @classmethod
    async def connect(
        cls,
        kubeconfig: Path | None = None,
        *,
        context: str | None = None,
        timeout_seconds: float = 10.0,
        connections: int = 100,
    ) -> Self:
        """Load the configuration; nothing is sent yet.

        Args:
            kubeconfig: explicit file; else the pod's service account, else $KUBECONFIG, else ~/.kube/config.
            context: context of the kubeconfig; its current one if omitted. Naming one forgoes the pod's service account.
            timeout_seconds: the longest a call may take, connecting and reading included; watches last longer.
            connections: at most so many at once, a watch holds one; each takes a quarter of a MiB.

        Raises:
            KubernetesError: there is no usable configuration.
        """
        configuration = Configuration(connection_pool_maxsize=connections)

        async def load() -> None:
            try:
                if _in_a_pod(kubeconfig, context):
                    kubernetes_config.load_incluster_config(client_configuration=configuration)
                else:
                    await kubernetes_config.load_kube_config(
                        config_file=None if kubeconfig is None else str(kubeconfig),
                        context=context,
                        client_configuration=configuration,
                        persist_config=False,
                    )
            except (kubernetes_config.ConfigException, OSError) as error:
                source = kubeconfig or "service account or default kubeconfig"
                raise KubernetesError(f"No usable Kubernetes configuration ({source}): {error}") from error

        await load()
        return cls(ApiClient(configuration=configuration), load, timeout_seconds)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    def as_bearer(self, token: SecretStr) -> Self:
        """The same API server in somebody else's name: with this token, and with none of our own credentials.

        A connection of its own, because a client certificate on a shared one would count before the token. Close it after use.
        """
        ours = self._client.configuration
        theirs = Configuration(
            host=ours.host,
            api_key={"BearerToken": f"Bearer {token.get_secret_value()}"},
            ssl_ca_cert=ours.ssl_ca_cert,
            ca_cert_data=ours.ca_cert_data,
            verify_ssl=ours.verify_ssl,
            tls_server_name=ours.tls_server_name,
            proxy=ours.proxy,
            proxy_headers=ours.proxy_headers,
        )
        theirs.disable_strict_ssl_verification = ours.disable_strict_ssl_verification

        async def keep() -> None:
            """A token that is refused stays refused."""

        return type(self)(ApiClient(configuration=theirs), keep, self._timeout.total or 0.0)

    async def server_version(self) -> str:
        """Return the API server's version, such as v1.37.0; the cheapest proof that it answers."""
        version = await self._call("GET", "/version", subject="Kubernetes API server")
        return str(version["gitVersion"])

    async def get(self, resource: CustomResource, namespace: str | None, name: str) -> Body:
        """Read one custom resource from the API server's consistent store."""
        path = resource.path(namespace, name)
        return await self._call("GET", path, subject=_subject(resource.kind, namespace, name))

    async def list(
        self,
        resource: CustomResource,
        namespace: str | None = None,
        *,
        chunk: int = CHUNK,
        only_metadata: bool = False,
    ) -> AsyncIterator[Body]:
        """Yield all custom resources of a kind, in one namespace or in all, fetched `chunk` at a time.

        A list that takes longer than the API server keeps its snapshot (about five minutes) goes on with a newer one;
        objects made or removed in between may or may not be in it.
        """
        token = ""
        while True:
            try:
                page = await self.page(
                    resource, namespace, limit=chunk, continue_token=token, only_metadata=only_metadata
                )
            except Expired as expired:
                if not expired.continue_token:
                    raise
                token = expired.continue_token
                continue
            for item in page.items:
                yield item
            token = page.continue_token
            if not token:
                return

    async def page(
        self,
        resource: CustomResource,
        namespace: str | None = None,
        *,
        selection: Selection = Selection(),
        limit: int = CHUNK,
        continue_token: str = "",
        only_metadata: bool = False,
    ) -> Page:
        """Read a part of a list: at most `limit` objects, in one namespace or in all.

        Raises:
            Expired: the token is too old (about five minutes); its own token, if any, goes on with a newer list.
        """
        query = {**selection.query, "limit": str(limit), **({"continue": continue_token} if continue_token else {})}
        subject, accept = _list_of(resource, namespace), ONLY_METADATA if only_metadata else JSON
        answer = await self._call("GET", resource.path(namespace), query=query, subject=subject, accept=accept)
        metadata = answer["metadata"]
        return Page(tuple(answer["items"]), metadata.get("continue", ""), metadata.get("resourceVersion", ""))

    async def watch(
        self,
        resource: CustomResource,
        namespace: str | None = None,
        *,
        resource_version: str,
        selection: Selection = Selection(),
    ) -> AsyncIterator[WatchEvent]:
        """Yield the changes after a version until the server ends the stream, which it does every few minutes.

        Raises:
            Expired: the version is forgotten: read again and watch from there.
            Unreachable: the stream broke: read again and watch from there.
        """
        subject = f"watch of the {_list_of(resource, namespace)}"
        watched = {"watch": "true", "resourceVersion": resource_version, "timeoutSeconds": str(WATCH_SECONDS)}
        async with aclosing(self._stream(resource.path(namespace), subject, {**selection.query, **watched})) as lines:
            async for line in lines:
                change = _decode(line) or {}
                body = change.get("object") or {}
                if change.get("type") in {"ADDED", "MODIFIED", "DELETED"}:
                    yield WatchEvent(change["type"], body)
                elif change.get("type") == "ERROR":
                    raise _error(subject, int(body.get("code") or 0), body, None)

    async def create(self, resource: CustomResource, namespace: str | None, body: Body) -> Body:
        """Create a custom resource; `Conflict` if one of its name exists."""
        subject = _subject(resource.kind, namespace, body["metadata"]["name"])
        return await self._call("POST", resource.path(namespace), body=body, subject=subject)

    async def patch(
        self, resource: CustomResource, namespace: str | None, name: str, patch: Body, *, resource_version: str
    ) -> Body:
        """Change metadata and spec by an RFC 7386 merge patch; the status cannot be touched this way.

        Args:
            resource: the kind.
            namespace: None for a cluster-scoped kind.
            name: the object.
            patch: the fields that change; None removes one; lists are replaced whole.
            resource_version: version the patch is based on; `Conflict` if the object has moved on.

        Returns:
            The object as stored.
        """
        metadata = {**patch.get("metadata", {}), "resourceVersion": resource_version}
        return await self._call(
            "PATCH",
            resource.path(namespace, name),
            body={**patch, "metadata": metadata},
            content_type=MERGE_PATCH,
            subject=_subject(resource.kind, namespace, name),
        )

    async def delete(
        self, resource: CustomResource, namespace: str | None, name: str, *, uid: str, resource_version: str
    ) -> None:
        """Delete a custom resource if it is still the one that was read; `Conflict` if not."""
        preconditions = {"uid": uid, "resourceVersion": resource_version}
        await self._call(
            "DELETE",
            resource.path(namespace, name),
            body={"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions},
            subject=_subject(resource.kind, namespace, name),
        )

    async def patch_status(
        self, resource: CustomResource, namespace: str | None, name: str, patch: Body, *, resource_version: str
    ) -> Body:
        """Change the status by an RFC 7386 merge patch; the spec cannot be touched this way.

        Args:
            resource: the kind.
            namespace: None for a cluster-scoped kind.
            name: the object.
            patch: the fields of status that change; None removes one; lists are replaced whole. See `merge_patch`.
            resource_version: version the patch is based on; `Conflict` if the object has moved on.

        Returns:
            The object as stored.
        """
        body = {"metadata": {"resourceVersion": resource_version}, "status": patch}
        return await self._call(
            "PATCH",
            resource.path(namespace, name, "status"),
            body=body,
            content_type=MERGE_PATCH,
            subject=f"status of {_subject(resource.kind, namespace, name)}",
        )

    async def set_finalizers(
        self,
        resource: CustomResource,
        namespace: str | None,
        name: str,
        finalizers: Sequence[str],
        *,
        resource_version: str,
    ) -> Body:
        """Replace the whole list of finalizers; `Conflict` if the object has moved on since it was read."""
        body = {"metadata": {"resourceVersion": resource_version, "finalizers": [*finalizers]}}
        return await self._call(
            "PATCH",
            resource.path(namespace, name),
            body=body,
            content_type=MERGE_PATCH,
            subject=f"finalizers of {_subject(resource.kind, namespace, name)}",
        )

    async def set_annotations(
        self,
        resource: CustomResource,
        namespace: str | None,
        name: str,
        annotations: Mapping[str, str],
        *,
        resource_version: str,
    ) -> Body:
        """Set these annotations and leave the others; `Conflict` if the object has moved on since it was read."""
        body = {"metadata": {"resourceVersion": resource_version, "annotations": {**annotations}}}
        return await self._call(
            "PATCH",
            resource.path(namespace, name),
            body=body,
            content_type=MERGE_PATCH,
            subject=f"annotations of {_subject(resource.kind, namespace, name)}",
        )

    async def read_secret(self, namespace: str, name: str) -> Mapping[str, SecretBytes]:
        """Return the decoded values of a Secret by key; their repr hides them."""
        path = _path("/api/v1", namespace, "secrets", name)
        secret = await self._call("GET", path, subject=_subject("Secret", namespace, name))
        return {key: SecretBytes(base64.b64decode(value)) for key, value in (secret.get("data") or {}).items()}

    async def review(self, api_version: str, kind: str, spec: Body) -> Body:
        """Ask the API server who somebody is, or what he may do; returns the status of its answer.

        Args:
            api_version: group and version, such as authentication.k8s.io/v1.
            kind: TokenReview or SubjectAccessReview.
            spec: the question.
        """
        body = {"apiVersion": api_version, "kind": kind, "spec": spec}
        answer = await self._call("POST", f"/apis/{api_version}/{kind.lower()}s", body=body, subject=kind)
        status: Body = answer.get("status") or {}
        return status

    async def read_lease(self, namespace: str, name: str) -> Lease:
        """Read a Lease."""
        path = _path(LEASES, namespace, "leases", name)
        return _lease_from(await self._call("GET", path, subject=_subject("Lease", namespace, name)))

    async def create_lease(self, namespace: str, name: str, lease: Lease) -> Lease:
        """Create a Lease; `Conflict` if it exists."""
        path = _path(LEASES, namespace, "leases")
        body = _lease_body(namespace, name, replace(lease, resource_version=""))
        return _lease_from(await self._call("POST", path, body=body, subject=_subject("Lease", namespace, name)))

    async def replace_lease(self, namespace: str, name: str, lease: Lease) -> Lease:
        """Replace a Lease, or create it if it is gone; `Conflict` if it moved on from `lease.resource_version`."""
        path = _path(LEASES, namespace, "leases", name)
        body = _lease_body(namespace, name, lease)
        return _lease_from(await self._call("PUT", path, body=body, subject=_subject("Lease", namespace, name)))

    async def create_event(self, namespace: str, body: Body) -> None:
        """Create an events.k8s.io/v1 Event."""
        subject = _subject("Event", namespace, body["metadata"]["name"])
        await self._call("POST", _path(EVENTS, namespace, "events"), body=body, subject=subject)

    async def patch_event(self, namespace: str, name: str, patch: Body) -> None:
        """Change an Event by a merge patch."""
        path = _path(EVENTS, namespace, "events", name)
        subject = _subject("Event", namespace, name)
        await self._call("PATCH", path, body=patch, content_type=MERGE_PATCH, subject=subject)

    async def user_name(self) -> str:
        """Return the name of the user whose credentials these are, as admission policies see it."""
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        path = f"{REVIEWS}/selfsubjectreviews"
        answer = await self._call("POST", path, body=review, subject="SelfSubjectReview")
        return str(answer["status"]["userInfo"]["username"])

    async def _call(
        self,
        method: Method,
        path: str,
        *,
        subject: str,
        query: Mapping[str, str] | None = None,
        body: Body | None = None,
        content_type: str = JSON,
        accept: str = JSON,
    ) -> Body:
        headers = {"Accept": accept, "Content-Type": content_type}
        status, retry_after, content = await self._send(method, path, subject, query, body, headers)
        if status == 401:
            # Tokens of exec plugins and rotated files expire under a long-lived client.
            await self._reload_credentials()
            status, retry_after, content = await self._send(method, path, subject, query, body, headers)
        answer = _decode(content)
        if 200 <= status < 300 and answer is not None:
            return answer
        raise _error(subject, status, answer or {}, retry_after)

    async def _send(
        self,
        method: Method,
        path: str,
        subject: str,
        query: Mapping[str, str] | None,
        body: Body | None,
        headers: Mapping[str, str],
    ) -> tuple[int, str | None, bytes]:
        try:
            method_, url, sent, body_, _ = await self._client.param_serialize(
                method=method,
                resource_path=path if not query else f"{path}?{urlencode(query)}",
                header_params=dict(headers),
                body=body,
                auth_settings=["BearerToken"],
            )
            response = await self._client.call_api(method_, url, sent, body_, _request_timeout=self._timeout)
            content = await response.read()
        except TimeoutError as error:
            seconds = self._timeout.total
            raise Unreachable(f"{subject}: the API server did not answer within {seconds:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Unreachable(f"{subject}: the API server cannot be reached: {error}") from error
        return response.status, response.headers.get("Retry-After"), content

    async def _stream(self, path: str, subject: str, query: Mapping[str, str]) -> AsyncGenerator[bytes]:
        """Yield the lines of an answer that goes on for minutes."""
        try:
            method, url, headers, body, _ = await self._client.param_serialize(
                method="GET",
                resource_path=f"{path}?{urlencode(query)}",
                header_params={"Accept": JSON},
                auth_settings=["BearerToken"],
            )
            answer = await self._client.call_api(method, url, headers, body, _request_timeout=self._stream_timeout)
            response: aiohttp.ClientResponse = answer.response
            try:
                if response.status != 200:
                    refused = _decode(await response.read()) or {}
                    raise _error(subject, response.status, refused, response.headers.get("Retry-After"))
                buffer = b""
                async for chunk in response.content.iter_any():
                    *lines, buffer = (buffer + chunk).split(b"\n")
                    for line in lines:
                        yield line
            finally:
                response.close()
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise Unreachable(f"{subject}: the API server does not answer any more: {error}") from error


def context_namespace(kubeconfig: Path | None = None, context: str | None = None) -> str:
    """Return the namespace commands work in when none is given: that of the kubeconfig's context, or of the pod.

    Args:
        kubeconfig: as for `KubernetesApi.connect`.
        context: as for `KubernetesApi.connect`.

    Raises:
        KubernetesError: there is no usable configuration.
    """
    if _in_a_pod(kubeconfig, context):
        try:
            return SERVICE_ACCOUNT_NAMESPACE.read_text().strip()
        except OSError:
            return "default"
    try:
        contexts, active = kubernetes_config.list_kube_config_contexts(
            config_file=None if kubeconfig is None else str(kubeconfig)
        )
    except (kubernetes_config.ConfigException, OSError) as error:
        raise KubernetesError(
            f"No usable Kubernetes configuration ({kubeconfig or 'default kubeconfig'}): {error}"
        ) from error
    chosen = active if context is None else next((each for each in contexts if each["name"] == context), None)
    if chosen is None:
        raise KubernetesError(f"The kubeconfig has no context {context}.")
    return str(chosen["context"].get("namespace") or "default")


def _in_a_pod(kubeconfig: Path | None, context: str | None) -> bool:
    return kubeconfig is None and context is None and "KUBERNETES_SERVICE_HOST" in os.environ


def merge_patch(before: Mapping[str, Any], after: Mapping[str, Any]) -> Body:
    """Return the smallest RFC 7386 merge patch that turns `before` into `after`; empty when they are equal.

    A merge patch cannot say "set to null", so None in `after` means the same as a missing key.
    """
    patch: Body = {key: None for key in before if before[key] is not None and after.get(key) is None}
    for key, value in after.items():
        old = before.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            if nested := merge_patch(old, value):
                patch[key] = nested
        elif value is not None and value != old:
            patch[key] = value
    return patch


def format_micro_time(moment: datetime) -> str:
    """Return an aware datetime as a Kubernetes MicroTime: UTC with exactly six digits of fraction."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _path(
    prefix: str, namespace: str | None, plural: str, name: str | None = None, subresource: str | None = None
) -> str:
    parts = [*(("namespaces", namespace) if namespace is not None else ()), plural, name, subresource]
    return "/".join([prefix, *(quote(part, safe="") for part in parts if part is not None)])


def _list_of(resource: CustomResource, namespace: str | None) -> str:
    return f"{resource.kind} list" if namespace is None else f"{resource.kind} list of namespace {namespace}"


def _subject(kind: str, namespace: str | None, name: str) -> str:
    return f"{kind} {name}" if namespace is None else f"{kind} {namespace}/{name}"


def _decode(content: bytes) -> Body | None:
    """Return the JSON object of an answer; None when it is none, such as a proxy's error page."""
    try:
        answer = json.loads(content)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def _error(subject: str, status: int, answer: Body, retry_after: str | None) -> KubernetesError:
    """Translate a refusal; `answer` is the API server's Status object or empty."""
    said = str(answer.get("message") or "no explanation")
    match status:
        case 401:
            return Forbidden(f"{subject}: the API server does not accept our credentials: {said}", status=status)
        case 403:
            return Forbidden(f"{subject}: not allowed: {said}", status=status)
        case 404:
            return NotFound(f"{subject} not found: {said}", status=status)
        case 409:
            return Conflict(f"{subject}: conflict: {said}", status=status)
        case 410:
            token = str((answer.get("metadata") or {}).get("continue") or "")
            return Expired(f"{subject}: the list expired: {said}", continue_token=token)
        case 400 | 422:
            return Invalid(f"{subject} refused: {said}", status=status)
    if status == 429 or status >= 500:
        seconds = float(retry_after) if retry_after is not None and retry_after.isdecimal() else None
        message = f"{subject}: the API server cannot serve the call now (HTTP {status}): {said}"
        return Unreachable(message, status=status, retry_after_seconds=seconds)
    return KubernetesError(f"{subject}: unexpected answer (HTTP {status}): {said}", status=status)


def _lease_body(namespace: str, name: str, lease: Lease) -> Body:
    metadata = {"name": name, "namespace": namespace}
    if lease.resource_version:
        metadata["resourceVersion"] = lease.resource_version
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": metadata,
        "spec": {
            "holderIdentity": lease.holder,
            "leaseDurationSeconds": lease.duration_seconds,
            "acquireTime": format_micro_time(lease.acquired_at) if lease.acquired_at else None,
            "renewTime": format_micro_time(lease.renewed_at) if lease.renewed_at else None,
            "leaseTransitions": lease.transitions,
        },
    }


def _lease_from(body: Body) -> Lease:
    """Read a Lease; each field of its spec is optional in the API."""
    spec = body.get("spec") or {}
    return Lease(
        holder=spec.get("holderIdentity") or "",
        duration_seconds=spec.get("leaseDurationSeconds") or 0,
        acquired_at=_parse_micro_time(spec.get("acquireTime")),
        renewed_at=_parse_micro_time(spec.get("renewTime")),
        transitions=spec.get("leaseTransitions") or 0,
        resource_version=body["metadata"]["resourceVersion"],
    )


def _parse_micro_time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
