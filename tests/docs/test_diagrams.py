"""The drawings of the concepts speak of what there is, and can be read by everybody."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from failed_execution_cleanup.access.claim_settings import ClaimSettings
from failed_execution_cleanup.resources.reasons import ConditionType, Reason, Waiver
from tests.docs.pages import DOCS

SVG = "{http://www.w3.org/2000/svg}"
DRAWINGS = [DOCS / f"{name}.svg" for name in ("cleanup", "volume-states", "cleanup-life", "claim-takeover")]
WORDS = {str(word) for kind in (Reason, Waiver, ConditionType) for word in kind} | {"DataSuspect"}
EVERY_DRAWING = pytest.mark.parametrize("drawing", DRAWINGS, ids=lambda path: path.stem)


def texts(drawing: Path) -> list[str]:
    """What a drawing says; a word that goes on in the next line is put together."""
    found = [element.text or "" for element in ElementTree.parse(drawing).iter(f"{SVG}text")]  # noqa: S314 - our own file
    return re.sub(r"-\n(?=[A-Z])", "", "\n".join(found)).splitlines()


@EVERY_DRAWING
def test_reasons_and_conditions_that_are_named_exist(drawing: Path) -> None:
    named = {word for text in texts(drawing) for word in re.findall(r"\b(?:[A-Z][a-z]+){2,}\b", text)}
    assert named <= WORDS


@EVERY_DRAWING
def test_a_drawing_says_what_it_shows_to_those_who_do_not_see_it(drawing: Path) -> None:
    root = ElementTree.parse(drawing).getroot()  # noqa: S314 - our own file
    assert root.get("role") == "img"
    labels = (root.get("aria-labelledby") or "").split()
    told = {element.get("id"): element.text for element in root if element.tag in {f"{SVG}title", f"{SVG}desc"}}
    assert labels
    assert all(told.get(label) for label in labels)


@EVERY_DRAWING
def test_a_drawing_is_whole_in_itself_and_follows_the_readers_colours(drawing: Path) -> None:
    text = drawing.read_text(encoding="utf-8")
    assert "prefers-color-scheme:dark" in text
    assert not re.search(r"(?:href|src)=\"(?!#)|url\((?!#)|<script", text)


@EVERY_DRAWING
def test_nothing_is_drawn_outside(drawing: Path) -> None:
    root = ElementTree.parse(drawing).getroot()  # noqa: S314 - our own file
    _, _, width, height = map(float, (root.get("viewBox") or "").split())
    for box in root.iter(f"{SVG}rect"):
        assert float(box.get("x", 0)) + float(box.get("width", 0)) <= width
        assert float(box.get("y", 0)) + float(box.get("height", 0)) <= height
    for text in root.iter(f"{SVG}text"):
        assert 0 < float(text.get("x", 0)) < width
        assert 0 < float(text.get("y", 0)) < height


def test_the_times_of_a_takeover_are_the_defaults() -> None:
    claims = ClaimSettings()
    times = f"{claims.claim_expiry_seconds:g} s expiry + {claims.http_timeout_seconds:g} s HTTP time-out"
    assert times in texts(DOCS / "claim-takeover.svg")
