"""The image, as far as it can be built without a container engine: its rules, its context, and its own commands in a clean folder."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from development.release.packages import find_uv
from failed_execution_cleanup import __version__
from tests.package_build.containerfile import ROOT, Instruction, context, is_seen, stages

pytestmark = pytest.mark.timeout(300)

BUILD, FINAL = stages()
ENVIRONMENT: Final = "/opt/failed-execution-cleanup"


def of(stage: list[Instruction], keyword: str) -> list[Instruction]:
    """Instructions of one kind."""
    return [instruction for instruction in stage if instruction.keyword == keyword]


@pytest.mark.parametrize("stage", [BUILD, FINAL], ids=["build", "final"])
def test_a_stage_begins_with_a_pinned_image_and_adds_nothing_from_elsewhere(stage: list[Instruction]) -> None:
    (image, *_) = stage[0].words
    assert re.fullmatch(r"docker\.io/library/python:\d+\.\d+-slim-[a-z]+", image)
    assert not of(stage, "ADD")
    for run in of(stage, "RUN"):
        assert not re.search(r"\b(curl|wget|apt-get|sudo|chmod 777)\b", run.value)
        assert all(
            "==" in word for word in run.words[2:] if run.words[:2] == ["pip", "install"] and not word.startswith("-")
        )


def test_it_runs_the_python_that_is_tested() -> None:
    assert FINAL[0].value == BUILD[0].words[0]
    assert FINAL[0].value.partition(":")[2].startswith(f"{sys.version_info.major}.{sys.version_info.minor}-")


def test_it_runs_as_nobody_and_starts_the_program_itself() -> None:
    assert [user.value for user in of(FINAL, "USER")] == ["65532:65532"]
    assert [entry.value for entry in of(FINAL, "ENTRYPOINT")] == ['["fec"]']
    assert [command.value for command in of(FINAL, "CMD")] == ['["run"]']
    assert FINAL.index(of(FINAL, "USER")[0]) > max(FINAL.index(copy) for copy in of(FINAL, "COPY"))


def test_the_final_stage_takes_the_environment_and_nothing_else() -> None:
    assert [copy.value for copy in of(FINAL, "COPY")] == [f"--from=build {ENVIRONMENT} {ENVIRONMENT}"]
    assert not of(FINAL, "RUN")


def test_its_label_is_the_version_it_is_told_and_the_makefile_tells_it() -> None:
    (label,) = of(stages(VERSION=__version__)[-1], "LABEL")
    assert f"org.opencontainers.image.version={__version__}" in label.words
    told = subprocess.check_output(
        ["make", "--dry-run", "--old-file=.venv/.synced", "image", f"VERSION={__version__}"], cwd=ROOT, text=True
    )
    assert f"--build-arg VERSION={__version__}" in told
    assert f"--tag failed-execution-cleanup:{__version__} ." in told


def test_the_builder_sees_what_is_copied_and_nothing_else() -> None:
    copied = {source for copy in of(BUILD, "COPY") for source in copy.words[:-1]}
    assert {file.split("/")[0] for file in context()} == copied


@pytest.mark.parametrize(
    "file",
    [
        "kubeconfig",
        "operator/kubeconfig.prod",
        "operator/failed_execution_cleanup/tls.key",
        "operator/secret.env",
        "crds/ca.pem",
    ],
)
def test_a_secret_left_in_the_checkout_is_not_seen(file: str) -> None:
    assert not is_seen(file)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the build stage makes, by its own commands in a folder outside of the checkout."""
    source, made = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("image") / "environment"
    settings = dict(word.split("=", 1) for env in of(BUILD, "ENV") for word in env.words)
    assert settings["UV_PROJECT_ENVIRONMENT"] == ENVIRONMENT
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    variables = inherited | settings | {"UV_PROJECT_ENVIRONMENT": str(made), "UV_PYTHON": sys.executable}
    seen = context()
    for instruction in BUILD:
        match instruction.keyword, instruction.words:
            case "COPY", [*sources, target]:
                for file in seen:
                    if file.split("/")[0] in sources:
                        place = source / target / Path(file).name if target == "./" else source / file
                        place.parent.mkdir(parents=True, exist_ok=True)
                        shutil.copyfile(ROOT / file, place)
            case "RUN", ["uv", *arguments]:
                subprocess.run([str(find_uv()), *arguments, "--quiet"], cwd=source, env=variables, check=True)
            case "RUN", words:
                assert words[:2] == ["pip", "install"], instruction
    return made


def test_its_commands_make_a_program_that_runs_alone(environment: Path, tmp_path: Path) -> None:
    told = subprocess.check_output([environment / "bin/fec", "--version"], cwd=tmp_path, env={}, text=True)
    assert told.strip() == __version__


def test_neither_tests_nor_simulators_nor_tools_are_inside(environment: Path) -> None:
    (packages,) = environment.glob("lib/python*/site-packages")
    found = {path.name.partition("-")[0].lower() for path in packages.iterdir()}
    assert "failed_execution_cleanup" in found
    assert not found & {
        "appliance_simulator",
        "kubernetes_emulator",
        "development",
        "tests",
        "pytest",
        "mypy",
        "ruff",
        "pip",
        "uv",
        "mkdocs",
    }


def test_nothing_inside_points_back_to_where_it_was_built(environment: Path) -> None:
    (packages,) = environment.glob("lib/python*/site-packages")
    assert not list(packages.glob("*.pth")) or all("/source" not in path.read_text() for path in packages.glob("*.pth"))
    assert list(packages.glob("failed_execution_cleanup/__pycache__/*.pyc")), "compiled ahead: the root is read-only"
