"""A Containerfile as data, and the context it is built in."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction of a Containerfile.

    Attributes:
        keyword: in capitals, such as RUN.
        value: all that follows, with variables of ARG filled in.
    """

    keyword: str
    value: str

    @property
    def words(self) -> list[str]:
        """The value, split as a shell would."""
        return shlex.split(self.value)


def stages(**arguments: str) -> list[list[Instruction]]:
    """The stages, each beginning with its FROM; what stands before the first is left out.

    Args:
        arguments: values of `--build-arg`, in place of the defaults.
    """
    found: list[list[Instruction]] = []
    for instruction in _instructions((ROOT / "Containerfile").read_text(encoding="utf-8"), arguments):
        if instruction.keyword == "FROM":
            found.append([])
        if found:
            found[-1].append(instruction)
    return found


def _instructions(text: str, arguments: dict[str, str]) -> Iterator[Instruction]:
    lines = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    for line in filter(str.strip, lines.splitlines()):
        keyword, _, value = line.strip().partition(" ")
        value = re.sub(r"\$\{(\w+)\}", lambda found: arguments[found[1]], value)
        if keyword == "ARG":
            name, _, default = value.partition("=")
            arguments.setdefault(name, default)
        yield Instruction(keyword, value.strip())


def context() -> list[str]:
    """Paths of the files of the checkout that a builder sees."""
    files = (
        path.relative_to(ROOT).as_posix()
        for path in ROOT.rglob("*")
        if path.is_file() and not path.relative_to(ROOT).parts[0].startswith((".venv", ".git"))
    )
    return [file for file in files if is_seen(file)]


def is_seen(file: str) -> bool:
    """Whether a builder sees a file of the checkout, by the rules of `.dockerignore`: the last that matches decides."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    parts = file.split("/")
    above = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
    seen = True
    for rule in (line for line in lines if line and not line.startswith("#")):
        pattern = rule.removeprefix("!")
        if pattern.startswith("**/"):
            matched = any(fnmatchcase(part, pattern[3:]) for part in parts)
        else:
            matched = any(path.count("/") == pattern.count("/") and fnmatchcase(path, pattern) for path in above)
        if matched:
            seen = rule.startswith("!")
    return seen
