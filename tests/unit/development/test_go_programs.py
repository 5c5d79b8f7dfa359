"""Programs built from Go modules: what is pinned, how they are built, and what a failure says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from development.control_plane.binaries import ETCD, KUBE_APISERVER
from development.go_build import BuildError, GoProgram, build
from development.go_tools import TOOLS, find_tool
from development.processes import MissingProgramError

EVERY_PROGRAM = pytest.mark.parametrize(
    "program", [KUBE_APISERVER, ETCD, *TOOLS.values()], ids=lambda program: program.name
)

_GO = """#!/bin/sh
case "$1" in
  env) echo go1.99.0 ;;
  build)
    printf '%s\\n' "$@" > {said}
    while [ "$1" != "-o" ]; do shift; done
    echo example.com/some/package >&2
    {then}
    ;;
esac
"""


@pytest.fixture
def program(tmp_path: Path) -> GoProgram:
    module = tmp_path / "module"
    module.mkdir()
    (module / "go.mod").write_text("module here\n\ngo 1.26.0\n\nrequire (\n\texample.com/tool v1.22.3\n)\n")
    return GoProgram(
        name="tool",
        module=module,
        source="example.com/tool",
        package="cmd/tool",
        tags=("quick", "small"),
        stamps={"example.com/tool.version": "{version}", "example.com/tool.minor": "{minor}"},
    )


def pretend_go(directory: Path, monkeypatch: pytest.MonkeyPatch, then: str) -> Path:
    """Put a `go` on PATH that notes its arguments; `then` is what it does with the output file `$2`."""
    said = directory / "said"
    (directory / "bin").mkdir()
    (directory / "bin/go").write_text(_GO.format(said=said, then=then))
    (directory / "bin/go").chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory / 'bin'}:/usr/bin:/bin")
    return said


@EVERY_PROGRAM
def test_release_and_go_version_are_pinned_with_checksums(program: GoProgram) -> None:
    assert program.version.startswith("v")
    assert program.go_version
    assert f"{program.source} {program.version} h1:" in (program.module / "go.sum").read_text()
    assert re.search(rf"^(tool )?\s*{re.escape(program.path)}$", (program.module / "go.mod").read_text(), re.MULTILINE)


def test_a_build_names_package_tags_and_stamps_and_is_kept(
    program: GoProgram, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = pretend_go(tmp_path, monkeypatch, 'echo built > "$2"')
    target = tmp_path / "kept/tool"
    assert build(program, target) == target
    assert target.read_text() == "built\n"
    arguments = said.read_text().splitlines()
    assert arguments[-1] == "example.com/tool/cmd/tool"
    assert "-tags=quick,small" in arguments
    assert "-ldflags=-s -w -X=example.com/tool.version=v1.22.3 -X=example.com/tool.minor=22" in arguments

    said.unlink()
    build(program, target)
    assert not said.exists(), "built a second time"


def test_a_failed_build_ends_with_what_go_said_and_leaves_nothing(
    program: GoProgram, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_go(tmp_path, monkeypatch, "echo no such module >&2; exit 1")
    with pytest.raises(BuildError, match=r"exit code 1:\n(?s:.*)no such module"):
        build(program, tmp_path / "kept/tool")
    assert [path.name for path in (tmp_path / "kept").iterdir()] == [".lock"]


def test_a_module_that_does_not_pin_the_source_is_an_error(program: GoProgram) -> None:
    (program.module / "go.mod").write_text("module here\n")
    with pytest.raises(ValueError, match=r"does not require example\.com/tool"):
        assert program.version
    with pytest.raises(ValueError, match="names no Go version"):
        assert program.go_version


@pytest.mark.parametrize("name", TOOLS)
def test_a_tool_that_was_not_built_says_how_to_build_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(MissingProgramError, match=rf"development\.go_tools build {name}"):
        find_tool(name)
