"""Wheel and sdist: what is in them, and that the same sources give the same bytes."""

from __future__ import annotations

import email
import tarfile
import tomllib
import zipfile
from pathlib import Path
from typing import Final

import pytest

from development.release.packages import build_packages
from failed_execution_cleanup import __version__
from tests.package_build.containerfile import ROOT

pytestmark = pytest.mark.timeout(300)

PACKAGE: Final = "failed_execution_cleanup"
SECONDS: Final = 1_700_000_000
CONSOLE: Final = ROOT / "operator" / PACKAGE / "console"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel made from the sdist, and the sdist."""
    target = tmp_path_factory.mktemp("built")
    build_packages(ROOT, target, seconds=SECONDS)
    return target


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (found,) = built.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def sdist(built: Path) -> Path:
    (found,) = built.glob("*.tar.gz")
    return found


def test_the_same_sources_give_the_same_bytes(built: Path, tmp_path: Path) -> None:
    build_packages(ROOT, tmp_path, seconds=SECONDS)
    first, second = ({path.name: path.read_bytes() for path in place.iterdir()} for place in (built, tmp_path))
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []


def test_the_tree_and_the_sdist_give_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    build_packages(ROOT, tmp_path, seconds=SECONDS, only="wheel")
    assert (tmp_path / wheel.name).read_bytes() == wheel.read_bytes()


def test_the_wheel_holds_the_product_alone(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as files:
        assert {name.split("/")[0] for name in files.namelist()} == {PACKAGE, f"{PACKAGE}-{__version__}.dist-info"}


def test_the_wheel_holds_definitions_templates_and_files_of_the_console(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as files:
        shipped = {name: files.read(name) for name in files.namelist()}
    for definition in (ROOT / "crds").iterdir():
        assert shipped[f"{PACKAGE}/crds/{definition.name}"] == definition.read_bytes()
    wanted = [path for path in CONSOLE.rglob("*") if path.is_file() and path.suffix in {".html", ".css", ".js", ".svg"}]
    assert wanted, "the console has neither templates nor static files"
    for path in wanted:
        name = f"{PACKAGE}/{path.relative_to(CONSOLE.parent).as_posix()}"
        assert shipped[name] == path.read_bytes()
    assert f"{PACKAGE}/console/static/htmx.min.js" in shipped
    assert f"{PACKAGE}/py.typed" in shipped


def test_the_sdist_holds_what_the_wheel_is_made_of(sdist: Path) -> None:
    with tarfile.open(sdist) as files:
        top = {name.split("/")[1] for name in files.getnames()}
    assert top - {"PKG-INFO", ".gitignore"} == {
        "crds",
        "hatch_build.py",
        "LICENSE",
        "operator",
        "pyproject.toml",
        "README.md",
    }


def test_the_version_has_one_place(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as files:
        metadata = email.message_from_bytes(files.read(f"{PACKAGE}-{__version__}.dist-info/METADATA"))
    assert metadata["Version"] == __version__
    assert 'dynamic = ["version"]' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_the_builder_is_pinned(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as files:
        built = email.message_from_bytes(files.read(f"{PACKAGE}-{__version__}.dist-info/WHEEL"))
    constraints = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["uv"]
    assert built["Generator"].replace(" ", "==") in constraints["build-constraint-dependencies"]
