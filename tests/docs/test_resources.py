"""Resources that the pages show are ones the API server would take."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from failed_execution_cleanup.resources.appliance import ApplianceSpec
from failed_execution_cleanup.resources.cleanup import CleanupSpec
from failed_execution_cleanup.resources.identifiers import API_VERSION, APPLIANCE_KIND, CLEANUP_KIND
from failed_execution_cleanup.resources.kubernetes_model import KubernetesModel
from tests.docs.pages import Block, blocks

SPECS: dict[str, type[KubernetesModel]] = {CLEANUP_KIND: CleanupSpec, APPLIANCE_KIND: ApplianceSpec}


def documents(block: Block) -> Iterator[dict[str, Any]]:
    """The objects of a block; a fragment counts too, and a line that says that something is left out does not."""
    text = re.sub(r"^ *…$", "", block.text, flags=re.MULTILINE)
    yield from (document for document in yaml.safe_load_all(text) if isinstance(document, dict))


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_a_block_of_yaml_is_valid(block: Block) -> None:
    for document in documents(block):
        if document.get("kind") in SPECS and "spec" in document:
            assert document["apiVersion"] == API_VERSION
            assert document["metadata"]["name"]
            SPECS[document["kind"]].model_validate(document["spec"], extra="forbid")
        elif "kind" not in document and "spec" in document:
            known = {alias for model in SPECS.values() for alias in model.model_json_schema()["properties"]}
            assert document["spec"].keys() <= known


def test_both_kinds_are_shown() -> None:
    shown = {document.get("kind") for block in blocks("yaml") for document in documents(block)}
    assert shown >= SPECS.keys()
