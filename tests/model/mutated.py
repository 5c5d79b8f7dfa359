"""Run something on mutated code, in this process and nowhere else: `python -m tests.model.mutated <number of the mutant>`.

The import system hands out the mutated source; no file is written. Exits with 0 when the mutant was noticed and prints by which rule;
with 1 when it lives.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.model.mutants import Mutant

Edits = tuple[tuple[str, str], ...]


class MutantIsGone(Exception):  # noqa: N818 - tells what happened
    """The text a mutant changes does not occur exactly once any more."""


class _Loader(SourceFileLoader):
    """Loads a module from its source with some text exchanged."""

    def __init__(self, name: str, path: str, edits: Edits) -> None:
        super().__init__(name, path)
        self._edits = edits

    def get_code(self, fullname: str) -> CodeType:
        """Compile the mutated source; what is cached is the sound one."""
        path = self.get_filename(fullname)
        return self.source_to_code(mutate(self.get_data(path).decode(), self._edits, fullname).encode(), path)


class MutatingFinder(importlib.abc.MetaPathFinder):
    """Finds the modules of a mutant before anybody else does."""

    def __init__(self, edits: dict[str, Edits]) -> None:
        self._edits = edits

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module with its mutated source, or None for all others."""
        edits = self._edits.get(fullname)
        spec = PathFinder.find_spec(fullname, path, target) if edits is not None else None
        if spec is None or spec.origin is None or edits is None:
            return None
        spec.loader = _Loader(fullname, spec.origin, edits)
        return spec


def mutate(source: str, edits: Edits, module: str) -> str:
    """The source with every edit made.

    Raises:
        MutantIsGone: a text does not occur exactly once.
    """
    for old, new in edits:
        if source.count(old) != 1:
            raise MutantIsGone(f"{module}: this text occurs {source.count(old)} times, not once:\n{old}")
        source = source.replace(old, new)
    return source


def edits_of(mutant: Mutant) -> dict[str, Edits]:
    """What changes where."""
    return {mutant.module: mutant.edits, **dict(mutant.others)}


def main(number: int) -> int:
    """Mutate, and see who notices; returns the exit code."""
    from tests.model.mutants import MUTANTS

    mutant = MUTANTS[number]
    sys.meta_path.insert(0, MutatingFinder(edits_of(mutant)))
    if isinstance(mutant.on, tuple):
        import pytest

        code = pytest.main([*mutant.on, "-q", "-x", "-n", "0", "-p", "no:cacheprovider", "--no-header", "--tb=line"])
        sys.stdout.write(
            f"pytest ended with {code}; a mutant that is noticed ends with {pytest.ExitCode.TESTS_FAILED}\n"
        )
        return 0 if code == pytest.ExitCode.TESTS_FAILED else 1
    from tests.model.exploration import Broken, explore

    try:
        explored = explore(mutant.on)
    except Broken as broken:
        sys.stdout.write(f"killed: {broken}\n")
        return 0 if mutant.rule in broken.rules else 1
    sys.stdout.write(f"lives: {explored}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
