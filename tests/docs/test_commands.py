"""Commands in the pages: what needs nothing but this checkout is carried out, everything else is checked as far as it goes."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import typer.main
import yaml

from development.control_plane.binaries import find_binaries
from failed_execution_cleanup.cli import app
from failed_execution_cleanup.console.token_file import TokenFile
from tests.docs.pages import DOCS, PAGES, ROOT, Block, blocks, inline, name

pytestmark = pytest.mark.timeout(120)

TARGETS: Final = frozenset(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
CONFIGURATION: Final = "/etc/failed-execution-cleanup"
_PLACEHOLDER: Final = re.compile(r"<[a-zA-Z][a-zA-Z ._]*>")
_ENDS: Final = frozenset({"|", "||", "&&", ";", "&", "(", ")", ">", ">>", "<"})


def shell_blocks() -> list[Block]:
    """Blocks of commands; of a session on a console, what was typed."""
    typed = [
        Block(
            block.page,
            block.line,
            block.language,
            "".join(f"{line}\n" for line in re.findall(r"^\$ (.+)$", block.text, re.MULTILINE)),
        )
        for block in blocks("console")
    ]
    return [*blocks("sh"), *typed]


def commands(block: Block) -> Iterator[list[str]]:
    """The words of each simple command of a block, with names in place of what people fill in."""
    text = _PLACEHOLDER.sub("pgtest1", block.text.replace("\\\n", " "))
    text = re.sub(r"\$\(([^()]*)\)", r" ; \1 ; ", re.sub(r'"\$\(([^()]*)\)"', r"x ; \1 ;", text))
    for line in text.splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;()<>")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if word in _ENDS:
                if words:
                    yield words
                words = []
            elif words or not re.match(r"\w+=", word):
                words.append(word)


_FOUND: Final = {tuple(words): block for block in reversed(shell_blocks()) for words in commands(block)}
EVERY_COMMAND: Final = [pytest.param(words, id=f"{block}: {shlex.join(words)}") for words, block in _FOUND.items()]
"""Each command once, with the first place that names it."""


def of(program: str) -> pytest.MarkDecorator:
    """Every command of one program; `kubectl fec` counts as `fec`."""

    def is_of(words: tuple[str, ...]) -> bool:
        actual = "fec" if words[:2] == ("kubectl", "fec") else Path(words[0]).name
        return actual == program

    return pytest.mark.parametrize("words", [each for each in EVERY_COMMAND if is_of(each.values[0])])  # type: ignore[arg-type]


@pytest.mark.parametrize("block", shell_blocks(), ids=str)
def test_a_block_is_good_shell(block: Block) -> None:
    text = _PLACEHOLDER.sub("x", block.text)
    checked = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


@of("fec")
def test_fec_knows_the_command_and_its_options(words: tuple[str, ...]) -> None:
    arguments = list(words[2:] if words[0] == "kubectl" else words[1:])
    found = fec()
    if arguments and arguments[0].startswith("--"):
        assert arguments[0] in {option for parameter in found.params for option in parameter.opts} | {
            "--install-completion"
        }
        return
    while hasattr(found, "list_commands") and arguments:
        verb, *arguments = arguments
        found = found.get_command(None, verb)
        assert found is not None, verb
    found.make_context(words[0], arguments)


@of("make")
def test_make_knows_the_target(words: tuple[str, ...]) -> None:
    assert {word for word in words[1:] if "=" not in word and not word.startswith("-")} <= TARGETS


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_what_sentences_name_exists(page: Path) -> None:
    for target in inline(page, r"make ([a-z-]+)"):
        assert target in TARGETS, target
    for module in inline(page, r"python -m ([a-z_.]+)"):
        path = module.replace(".", "/")
        places = [
            ROOT / root / f"{path}{end}" for root in ("", "operator", "simulators") for end in (".py", "/__main__.py")
        ]
        assert any(place.is_file() for place in places), module
    for verb in inline(page, r"(?:kubectl )?fec ([a-z]+)"):
        assert fec().get_command(None, verb) is not None, verb


@pytest.mark.parametrize("words", EVERY_COMMAND)
def test_files_of_the_repository_that_a_command_names_exist(words: tuple[str, ...]) -> None:
    folders = tuple(f"{path.name}/" for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith("."))
    for word in words[1:]:
        path = word.removeprefix("./").rpartition("=")[2]
        if path.startswith(folders) and "*" not in path:
            assert (ROOT / path).exists(), word


def fec() -> Any:
    """The command line; Typer's own copy of click is private."""
    return typer.main.get_command(app)


def lines(page: str, pattern: str) -> str:
    """The lines of a page's commands that match, as a script."""
    found = [
        line
        for block in blocks("sh")
        if block.page == DOCS / page
        for line in block.text.splitlines()
        if re.search(pattern, line)
    ]
    assert found, f"{page} has no line {pattern}"
    return "\n".join(found)


def test_the_token_file_of_the_appliance_page_is_one(tmp_path: Path) -> None:
    script = lines("appliance.md", r"^token=\$\(openssl|/tokens$").replace(CONFIGURATION, str(tmp_path))
    subprocess.run(["bash", "-euc", script], check=True)
    TokenFile.read(tmp_path / "tokens")


def test_the_kubeconfig_of_the_appliance_page_holds_cluster_and_token_and_nothing_of_the_person(tmp_path: Path) -> None:
    kubectl = find_binaries().kubectl
    person = tmp_path / "person"
    cluster = {"server": "https://127.0.0.1:6443"}
    person.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "mine",
                "clusters": [{"name": "ours", "cluster": cluster}, {"name": "other", "cluster": cluster}],
                "users": [{"name": "me", "user": {"token": "personal"}}],
                "contexts": [{"name": "mine", "context": {"cluster": "ours", "user": "me"}}],
            }
        )
    )
    bin_directory = tmp_path / "bin"
    bin_directory.mkdir()
    # Only the cluster can make a token.
    stub = f'#!/bin/sh\nif [ "$1" = create ]; then echo granted; else exec {kubectl} "$@"; fi\n'
    (bin_directory / "kubectl").write_text(stub)
    (bin_directory / "kubectl").chmod(0o755)
    environment = {**os.environ, "KUBECONFIG": str(person), "PATH": f"{bin_directory}:{os.environ['PATH']}"}
    script = lines("appliance.md", r"kubectl (config|--kubeconfig|create token)")
    subprocess.run(["bash", "-euc", script], check=True, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL)
    made = yaml.safe_load((tmp_path / "kubeconfig").read_text())
    assert made["users"] == [{"name": "operator", "user": {"token": "granted"}}]
    assert made["clusters"] == [{"name": "ours", "cluster": cluster}]
    assert made["contexts"] == [{"name": "mine", "context": {"cluster": "ours", "user": "operator"}}]
