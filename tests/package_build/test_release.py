"""`make release`: everything from one commit, the same bytes each time, and nothing from a tree with changes."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from development.release import __main__ as release
from development.release.archives import with_time
from development.release.commit import Commit, DirtyTreeError, clean_commit
from development.release.sbom import installed_packages
from failed_execution_cleanup import __version__
from tests.docs.pages import blocks
from tests.package_build.containerfile import ROOT

pytestmark = pytest.mark.timeout(600)

WHEN: Final = 1_700_000_000
NAME: Final = "failed_execution_cleanup"


def git(repository: Path, *arguments: str) -> str:
    person = {f"GIT_{who}_{what}": "test@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    dates = {f"GIT_{who}_DATE": f"{WHEN} +0000" for who in ("AUTHOR", "COMMITTER")}
    return subprocess.check_output(
        ["git", *arguments], cwd=repository, env={**os.environ, **person, **dates}, text=True
    )


def committed(repository: Path) -> None:
    """Make a folder a repository with one commit."""
    git(repository, "init", "--quiet")
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--no-gpg-sign", "--message", "everything")


@pytest.fixture(scope="module")
def commit(tmp_path_factory: pytest.TempPathFactory) -> Commit:
    """A commit with what this checkout holds now."""
    repository = tmp_path_factory.mktemp("repository")
    for file in git(ROOT, "ls-files", "--cached", "--others", "--exclude-standard").splitlines():
        if (ROOT / file).is_file():
            (repository / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / file, repository / file)
    committed(repository)
    return clean_commit(repository)


@pytest.fixture(scope="module")
def built(commit: Commit, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("dist")
    release.build(commit, target)
    return target


@pytest.fixture(scope="module")
def environment(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean virtual environment, made from what is handed out by the commands of the documentation."""
    made = tmp_path_factory.mktemp("clean") / "environment"
    (block,) = (block for block in blocks("sh") if "SHA256SUMS" in block.text)
    script = block.text.replace("/opt/failed-execution-cleanup", str(made))
    path = f"{Path(sys.base_prefix) / 'bin'}:{os.environ['PATH']}"
    quiet = {"PIP_QUIET": "1", "PIP_NO_COMPILE": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PATH": path}
    inherited = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    subprocess.run(["bash", "-euc", script], cwd=built, env=inherited | quiet, check=True)
    return made


def test_it_holds_everything_and_nothing_else(built: Path) -> None:
    assert {path.name for path in built.iterdir()} == {
        f"{NAME}-{__version__}-py3-none-any.whl",
        f"{NAME}-{__version__}.tar.gz",
        f"failed-execution-cleanup-{__version__}.tgz",
        f"failed-execution-cleanup-systemd-{__version__}.tar.gz",
        "crds.yaml",
        "install.yaml",
        "requirements.txt",
        "sbom.cdx.json",
        "SHA256SUMS",
    }
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=built, check=True)


def test_the_same_commit_gives_the_same_bytes(commit: Commit, built: Path, tmp_path: Path) -> None:
    release.build(commit, tmp_path)
    assert (tmp_path / "SHA256SUMS").read_text() == (built / "SHA256SUMS").read_text()


def test_the_bill_of_materials_names_every_locked_package_with_version_and_licence(built: Path) -> None:
    bill = json.loads((built / "sbom.cdx.json").read_text())
    found = {each["name"].lower().replace("_", "-").replace(".", "-"): each for each in bill["components"]}
    packages = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    locked = {each["name"]: each["version"] for each in packages if "version" in each}
    wanted = installed_packages(ROOT)
    assert {"kopf", "sqlalchemy", "asyncmy", "greenlet"} <= wanted
    assert {name: found[name]["version"] for name in wanted} == {name: locked[name] for name in wanted}
    assert [name for name, each in found.items() if not each.get("licenses")] == []
    assert "pytest" not in found
    assert bill["metadata"]["component"]["version"] == __version__
    assert found["htmx-org"]["hashes"]


def test_the_manifests_are_those_of_the_repository(built: Path) -> None:
    definitions: list[dict[str, Any]] = list(yaml.safe_load_all((built / "crds.yaml").read_text()))
    assert definitions == [yaml.safe_load(path.read_text()) for path in sorted((ROOT / "crds").iterdir())]
    objects: list[dict[str, Any]] = list(yaml.safe_load_all((built / "install.yaml").read_text()))
    kinds = {document["kind"] for document in objects}
    assert {"ClusterRole", "Deployment", "Namespace", "ServiceAccount", "ValidatingAdmissionPolicy"} <= kinds
    assert "CustomResourceDefinition" not in kinds
    (deployment,) = (document for document in objects if document["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"].endswith(f":{__version__}")


def test_the_units_are_packed_as_the_documentation_installs_them(built: Path) -> None:
    with tarfile.open(built / f"failed-execution-cleanup-systemd-{__version__}.tar.gz") as files:
        found = {member.name: member.mode for member in files if member.isfile()}
    assert found == {f"systemd/{path.name}": 0o644 for path in (ROOT / "systemd").iterdir()}
    (block,) = (block for block in blocks("sh") if "tar xzf" in block.text)
    assert {word for word in block.text.split() if word.startswith("systemd/")} <= found.keys()


def test_the_locked_requirements_have_a_hash_each_and_not_the_product(built: Path) -> None:
    entries = (built / "requirements.txt").read_text().replace("\\\n", "").splitlines()
    packages = [line for line in entries if line.strip() and not line.lstrip().startswith("#")]
    assert packages
    assert [line for line in packages if "==" not in line or "--hash=sha256:" not in line] == []
    assert not any(line.startswith(("failed-execution-cleanup", "-e", ".")) for line in packages)


@pytest.mark.parametrize("change", ["changed", "new"])
def test_a_tree_with_changes_is_refused_with_the_names_of_the_files(tmp_path: Path, change: str) -> None:
    (tmp_path / "page.md").write_text("as committed")
    (tmp_path / ".gitignore").write_text("dist/\n")
    committed(tmp_path)
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist/left over").touch()
    assert clean_commit(tmp_path).seconds == WHEN
    name = "page.md" if change == "changed" else "new.md"
    (tmp_path / name).write_text("by hand")
    with pytest.raises(DirtyTreeError, match=name):
        clean_commit(tmp_path)


def test_the_command_says_why_it_refuses(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    committed_file = tmp_path / "page.md"
    committed_file.touch()
    committed(tmp_path)
    committed_file.write_text("by hand")
    monkeypatch.setattr(release, "ROOT", tmp_path)
    assert release.main(["--into", str(tmp_path / "dist")]) == 1
    assert "page.md" in capsys.readouterr().err
    assert not (tmp_path / "dist").exists()


def test_only_what_is_committed_is_built_from(tmp_path: Path) -> None:
    (tmp_path / "in.md").write_text("in")
    (tmp_path / ".gitignore").write_text("secret\n")
    committed(tmp_path)
    (tmp_path / "secret").write_text("not for others")
    with clean_commit(tmp_path).unpacked() as tree:
        assert {path.name for path in tree.iterdir()} == {".gitignore", "in.md"}
    assert not tree.exists()


def test_a_version_without_entry_in_the_changelog_is_no_release(tmp_path: Path) -> None:
    (tmp_path / "CHANGELOG.md").write_text("## [Unreleased]\n")
    committed(tmp_path)
    with pytest.raises(release.UnreadyError, match=f"no entry \\[{__version__}\\]"):
        release.build(clean_commit(tmp_path), tmp_path / "dist")


def archive(*, when: int, owner: str) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w:gz") as files:
        for name in ("chart/values.yaml", "chart/Chart.yaml"):
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.uname = len(name), when, owner
            files.addfile(member, io.BytesIO(name.encode()))
    return written.getvalue()


def test_the_time_of_packaging_does_not_show_in_a_chart() -> None:
    morning, evening = (with_time(archive(when=when, owner=who), WHEN) for when, who in ((1, "alice"), (2, "bob")))
    assert morning == evening
    with tarfile.open(fileobj=io.BytesIO(morning)) as files:
        assert files.getnames() == ["chart/Chart.yaml", "chart/values.yaml"]
        read = files.extractfile("chart/values.yaml")
        assert read is not None
        assert read.read() == b"chart/values.yaml"


def test_the_changelog_keeps_its_form() -> None:
    headings = [
        line for line in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").splitlines() if line.startswith("## ")
    ]
    assert headings[0] == "## [Unreleased]"
    assert headings[1].startswith(f"## [{__version__}]")


@pytest.mark.parametrize("program", ["fec", "kubectl-fec"])
def test_installed_in_a_clean_environment_it_runs(environment: Path, tmp_path: Path, program: str) -> None:
    told = subprocess.check_output([environment / "bin" / program, "--version"], cwd=tmp_path, env={}, text=True)
    assert told.strip() == __version__


def test_installed_in_a_clean_environment_every_module_is_complete(environment: Path, tmp_path: Path) -> None:
    script = (
        "import importlib, pkgutil, failed_execution_cleanup as product\n"
        "for module in pkgutil.walk_packages(product.__path__, product.__name__ + '.'):\n"
        "    if not module.name.endswith('__main__'):\n"
        "        importlib.import_module(module.name)\n"
        "print(product.__file__)"
    )
    told = subprocess.check_output(
        [environment / "bin/python", "-W", "error::ImportWarning", "-c", script], cwd=tmp_path, env={}, text=True
    )
    assert Path(told.strip()).is_relative_to(environment)
