"""The generated CustomResourceDefinitions: up to date, structural, bounded and explained."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
import yaml
from pydantic import Field

from failed_execution_cleanup.resources import generate
from failed_execution_cleanup.resources.appliance import Appliance
from failed_execution_cleanup.resources.cleanup import FailedExecutionCleanup
from failed_execution_cleanup.resources.kubernetes_model import SET_SCHEMA, KubernetesModel
from failed_execution_cleanup.resources.schema import UnstructuralSchemaError, crd_documents, structural_schema

ROOT = Path(__file__).parents[3]
Node = dict[str, Any]


def schema_of(document: Node) -> Node:
    (version,) = document["spec"]["versions"]
    schema: Node = version["schema"]["openAPIV3Schema"]
    return schema


def walk(schema: Node, path: str = "", *, in_list: bool = False) -> Iterator[tuple[str, Node, bool]]:
    yield path, schema, in_list
    for name, field in schema.get("properties", {}).items():
        yield from walk(field, f"{path}.{name}", in_list=in_list)
    if "items" in schema:
        yield from walk(schema["items"], f"{path}[]", in_list=True)


# apiVersion, kind and metadata are the API server's own.
NODES = [
    pytest.param(path, node, in_list, id=f"{document['spec']['names']['plural']}{path}")
    for document in crd_documents()
    for part in ("spec", "status")
    for path, node, in_list in walk(schema_of(document)["properties"][part], f".{part}")
]


def test_committed_files_are_those_of_the_models() -> None:
    assert generate.out_of_date(ROOT / "crds") == []
    assert generate.main(["--check", "--directory", str(ROOT / "crds")]) == 0


def test_crds_folder_holds_nothing_but_generated_files() -> None:
    assert {path.name for path in (ROOT / "crds").iterdir()} == set(generate.crd_files())


def test_check_names_a_changed_and_a_missing_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate.main(["--directory", str(tmp_path)]) == 0
    changed, missing = (tmp_path / name for name in generate.crd_files())
    changed.write_text("changed", encoding="utf-8")
    missing.unlink()

    assert generate.main(["--check", "--directory", str(tmp_path)]) == 1

    errors = capsys.readouterr().err
    assert changed.name in errors
    assert missing.name in errors
    assert "make generate" in errors


def test_generating_into_a_missing_directory_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert generate.main(["--directory", str(tmp_path / "nowhere")]) == 2
    assert "--directory" in capsys.readouterr().err


def test_files_are_plain_yaml_of_the_documents() -> None:
    for content, document in zip(generate.crd_files().values(), crd_documents(), strict=True):
        assert yaml.safe_load(content) == document
        assert "&id" not in content


@pytest.mark.parametrize(("path", "node", "in_list"), NODES)
def test_every_field_is_structural_and_bounded(path: str, node: Node, in_list: bool) -> None:
    assert not node.keys() & {"anyOf", "allOf", "oneOf", "not", "$ref", "title", "additionalProperties", "const"}
    match node["type"]:
        case "string":
            assert "maxLength" in node or "enum" in node
        case "array":
            assert "maxItems" in node
            assert node["x-kubernetes-list-type"] == ("map" if node["items"]["type"] == "object" else "set")
            keys = node.get("x-kubernetes-list-map-keys", [])
            assert set(keys) <= set(node["items"].get("required", []))
        case "integer":
            assert {"minimum", "maximum"} <= node.keys()
        case other:
            assert other in {"object", "boolean"}
    if in_list or path.startswith(".status."):
        assert "default" not in node


@pytest.mark.parametrize(("path", "node", "in_list"), NODES)
def test_every_field_is_explained(path: str, node: Node, in_list: bool) -> None:
    if not path.endswith("[]"):
        assert node["description"].endswith(".")
        assert "``" not in node["description"]
        assert "\n" not in node["description"]
    if isinstance(node.get("default"), int | str) and node["type"] != "object":
        shown = str(node["default"]).lower() if isinstance(node["default"], bool) else str(node["default"])
        assert f"Default: {shown}" in node["description"]


def test_a_new_object_is_not_taken_for_reconciled() -> None:
    for document in crd_documents():
        assert schema_of(document)["properties"]["status"]["default"] == {"observedGeneration": -1}


def test_printer_columns_show_what_an_operator_asks_first() -> None:
    cleanups, appliances = crd_documents()

    def columns(document: Node) -> list[tuple[str, int]]:
        (version,) = document["spec"]["versions"]
        return [(column["name"], column.get("priority", 0)) for column in version["additionalPrinterColumns"]]

    first = ["VM", "Appliance", "Job", "Ready", "Reason", "Phases", "Age"]
    assert columns(cleanups) == [(name, 0) for name in first] + [("Message", 1)]
    assert columns(appliances) == [(name, 0) for name in ["Ready", "Reason", "Stuck", "OSSEA", "Age"]] + [
        ("Message", 1)
    ]


def test_names_and_scopes() -> None:
    cleanups, appliances = crd_documents()
    assert cleanups["spec"]["scope"] == "Namespaced"
    assert cleanups["spec"]["names"]["shortNames"] == ["fec"]
    assert appliances["spec"]["scope"] == "Cluster"
    assert "shortNames" not in appliances["spec"]["names"]
    assert cleanups["spec"]["names"]["categories"] == appliances["spec"]["names"]["categories"] == ["dr"]


CLEANUP_SPEC = "vmName vcenterHost failoverJobID applianceRef mode suspend driftPolicy waive deadlineSeconds \
ttlSecondsAfterFinished requestedBy note"
CLEANUP_STATUS = (
    "observedGeneration conditions phaseSummary failedJob context phases found plan planHash volumes testVMs \
leftovers waiversUsed cleanupJobID startedAt completedAt nextAttemptAt queuePosition lastHandledRequest history"
)
APPLIANCE_SPEC = "allowedNamespaces waivers database volumeDaemon ossea omaVMID detection limits testVM settle"
APPLIANCE_STATUS = "observedGeneration conditions omaVMID osseaURL stuckVMs stuck versions lastScanTime"


def test_names_of_the_fields_are_the_published_ones() -> None:
    cleanups, appliances = (schema_of(document)["properties"] for document in crd_documents())
    assert list(cleanups["spec"]["properties"]) == CLEANUP_SPEC.split()
    assert list(cleanups["status"]["properties"]) == CLEANUP_STATUS.split()
    assert list(appliances["spec"]["properties"]) == APPLIANCE_SPEC.split()
    assert list(appliances["status"]["properties"]) == APPLIANCE_STATUS.split()


def test_samples_are_accepted_by_the_models() -> None:
    samples = ROOT / "manifests" / "samples"
    Appliance.model_validate(yaml.safe_load((samples / "appliance.yaml").read_text(encoding="utf-8")))
    FailedExecutionCleanup.model_validate(yaml.safe_load((samples / "cleanup.yaml").read_text(encoding="utf-8")))


class Nothing(KubernetesModel):
    """Nothing."""


def refusal(field_type: Any, default: object = ...) -> str:
    class Spec(KubernetesModel):
        field: field_type = Field(default)

    class Resource(KubernetesModel):
        """A resource."""

        spec: Spec
        status: Nothing = Nothing()

    with pytest.raises(UnstructuralSchemaError) as refused:
        structural_schema(Resource)
    return str(refused.value)


class WithDefault(KubernetesModel):
    """An item."""

    size: int = 3


@pytest.mark.parametrize(
    ("field_type", "complaint"),
    [
        (int | str, "one type"),
        (float, "type number"),
        (Annotated[int, Field(gt=3)], "exclusiveMinimum"),
        (dict[str, str], "additionalProperties"),
        (tuple[str, ...], "merged"),
        (Annotated[tuple[WithDefault, ...], Field(json_schema_extra=SET_SCHEMA)], "default inside a list"),
    ],
)
def test_what_the_api_server_would_not_understand_is_refused_with_its_path(field_type: Any, complaint: str) -> None:
    message = refusal(field_type)
    assert message.startswith("spec.field")
    assert complaint in message
