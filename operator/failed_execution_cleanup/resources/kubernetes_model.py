"""What all our models of Kubernetes objects share: spelling, time, bounded text and the marks the CRD schema needs."""

from datetime import UTC, datetime
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    PlainSerializer,
    ValidationError,
    ValidatorFunctionWrapHandler,
    field_validator,
)

MESSAGE_LENGTH: Final = 1024
"""Longest message in a status; longer ones are cut, because a status write must not fail for a long text."""

_ACRONYMS: Final = {"id": "ID", "vm": "VM", "vms": "VMs", "tls": "TLS", "url": "URL", "gib": "GiB"}


def camel_case(name: str) -> str:
    """Spell a Python name as Kubernetes API conventions want it: ``failover_job_id`` becomes ``failoverJobID``."""
    first, *rest = name.split("_")
    return first + "".join(_ACRONYMS.get(word, word.capitalize()) for word in rest)


class KubernetesModel(BaseModel):
    """An immutable part of a Kubernetes object.

    Unknown fields are ignored when reading, so that objects of a newer version can still be read. The docstring under
    a field is its description in the CRD and thus the text of ``kubectl explain``.
    """

    model_config = ConfigDict(
        alias_generator=camel_case,
        populate_by_name=True,
        frozen=True,
        extra="ignore",
        use_attribute_docstrings=True,
    )

    def to_kubernetes(self) -> dict[str, Any]:
        """Return the JSON form for the API server: camelCase keys, absent fields left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def _whole_second_in_utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(microsecond=0)


def _rfc3339(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


Timestamp = Annotated[
    AwareDatetime,
    AfterValidator(_whole_second_in_utc),
    PlainSerializer(_rfc3339, when_used="json"),
    Field(json_schema_extra={"maxLength": 64}),
]
"""A moment like ``metav1.Time``: whole seconds, UTC, RFC 3339. A time without a zone is refused."""


def shortened(text: str, length: int = MESSAGE_LENGTH) -> str:
    """Cut ``text`` to ``length`` characters; a cut text ends in an ellipsis."""
    return text if len(text) <= length else text[: length - 1] + "…"


def _shortened_to(length: int) -> BeforeValidator:
    return BeforeValidator(lambda value: shortened(value, length) if isinstance(value, str) else value)


Message = Annotated[str, _shortened_to(MESSAGE_LENGTH), Field(max_length=MESSAGE_LENGTH)]
"""Free text for people; cut to `MESSAGE_LENGTH` characters."""

Label = Annotated[str, _shortened_to(255), Field(max_length=255)]
"""A name for people, such as a VM's or a step's; cut to 255 characters, so it identifies nothing."""

State = Annotated[str, _shortened_to(64), Field(max_length=64)]
"""A state as the product or the cloud spells it; not an enum, because they may add values."""

Identifier = Annotated[str, Field(min_length=1, max_length=255)]
"""An id or name from the appliance or the cloud; their widest columns hold 255 characters."""

ReasonText = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")]
"""A CamelCase reason. Plain text, so that a status written by a newer operator can still be read."""

MAX_GENERATION: Final = 2**53 - 1
"""The API server reads bounds as floating-point numbers, so this is the greatest that it takes."""

ObservedGeneration = Annotated[int, Field(ge=-1, le=MAX_GENERATION)]
"""metadata.generation that a status was computed for; -1 before the first time."""

SET_SCHEMA: Final[dict[str, JsonValue]] = {"x-kubernetes-list-type": "set"}
"""Mark a list of scalars as a set, merged value by value by server-side apply."""


def map_schema(*keys: str) -> dict[str, JsonValue]:
    """Mark a list of objects as a map by ``keys``, merged entry by entry by server-side apply."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}


def rule(expression: str, message: str, *, field: str | None = None) -> JsonValue:
    """Return one CEL validation rule of the API server.

    Args:
        expression: CEL that is true for a valid object; with ``oldSelf`` it holds for updates only.
        message: What is wrong and what to do instead.
        field: Path below the object that carries the rule, shown in the refusal; without it the object's own.
    """
    validation: dict[str, JsonValue] = {"rule": expression, "message": message, "reason": "FieldValueInvalid"}
    if field is not None:
        validation["fieldPath"] = f".{field}"
    return validation


class ObjectMeta(KubernetesModel):
    """The part of Kubernetes' ``metadata`` that the operator reads."""

    name: str
    """Name of the object."""

    namespace: str | None = None
    """Namespace of the object; none for cluster-scoped kinds."""

    uid: str = ""
    """Identity of the object; a new object of the same name has another."""

    generation: int = 0
    """Counts the changes of spec."""

    resource_version: str = ""
    """Version for optimistic locking."""

    labels: dict[str, str] = Field(default_factory=dict)
    """Labels."""

    annotations: dict[str, str] = Field(default_factory=dict)
    """Annotations."""

    finalizers: tuple[str, ...] = ()
    """Finalizers that hold the object back from deletion."""

    creation_timestamp: Timestamp | None = None
    """When the object was created."""

    deletion_timestamp: Timestamp | None = None
    """When the deletion of the object was requested."""


class CustomResource(KubernetesModel):
    """A custom resource with a status that is only a projection of truth kept elsewhere."""

    metadata: ObjectMeta
    """Name, namespace and annotations."""

    @field_validator("status", mode="wrap", check_fields=False)
    @classmethod
    def _unreadable_status_counts_as_erased(cls, value: object, read: ValidatorFunctionWrapHandler) -> object:
        # A status left by another version must not keep its object from being worked on.
        try:
            return read(value)
        except ValidationError:
            return cls.model_fields["status"].get_default()
