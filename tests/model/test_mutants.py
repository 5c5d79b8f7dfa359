"""Every rule is really held: code that breaks it is noticed, and by that rule."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.model.mutants import MUTANTS, Mutant
from tests.model.mutated import MutantIsGone, edits_of, mutate
from tests.model.rules import RULES

ROOT: Final = Path(__file__).parents[2]
PRODUCT: Final = ROOT / "operator"


@pytest.mark.exhaustive
@pytest.mark.timeout(240)
@pytest.mark.parametrize("number", range(len(MUTANTS)), ids=lambda n: f"{MUTANTS[n].rule}-{MUTANTS[n].name}")
def test_mutant_is_noticed(number: int) -> None:
    ran = subprocess.run(
        [sys.executable, "-B", "-m", "tests.model.mutated", str(number)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(("operator", "simulators", "."))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, f"rule {MUTANTS[number].rule}, {MUTANTS[number].why}:\n{ran.stdout}\n{ran.stderr}"


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.rule}-{mutant.name}")
def test_what_a_mutant_changes_is_still_there(mutant: Mutant) -> None:
    for module, edits in edits_of(mutant).items():
        source = (PRODUCT / Path(*module.split("."))).with_suffix(".py").read_text()
        assert mutate(source, edits, module) != source


def test_a_mutant_whose_text_is_gone_is_told() -> None:
    with pytest.raises(MutantIsGone, match="occurs 0 times"):
        mutate("sound = True\n", (("insane = True", "sound = False"),), "somewhere")


def test_every_rule_has_a_mutant() -> None:
    assert {mutant.rule for mutant in MUTANTS} == set(RULES) == set(range(1, 20))
