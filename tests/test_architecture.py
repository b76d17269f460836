"""ARCHITECTURE.md is held to the code: its picture, its modules, and the exceptions that it grants."""

import itertools
import re
from pathlib import Path

import pytest
from test_imports import DOORS, GRAPH, GROUND, MODULES, ROOMS, room

PAGE = (Path(__file__).parent.parent / "ARCHITECTURE.md").read_text(encoding="utf-8")
INSIDE = ROOMS[1:-1]
PICTURE = re.search(r"```mermaid\n(.*?)```", PAGE, re.DOTALL)[1]
PARAGRAPHS = dict(re.findall(r"^\*\*(\w+)\*\*: (.*?)(?=\n\n)", PAGE, re.DOTALL | re.MULTILINE))


def code_words(text):
    return set(re.findall(r"`([a-z_]+)`", text))


def test_the_picture_has_the_rooms_in_their_order():
    path = PICTURE.splitlines()[1]
    assert re.findall(r"\w+", re.sub(r"-- \w+ -->", "", path)) == INSIDE
    for below, above in itertools.pairwise(INSIDE):
        assert any(room(a) == above and room(b) == below for a, found in GRAPH.items() for b in found)


def test_dashed_arrows_are_the_doors():
    dashed = set(re.findall(r"(\w+) -\. \w+ \.-> (\w+)", PICTURE))
    assert dashed == {(room(a), room(b)) for a, b in DOORS}


@pytest.mark.parametrize("name", INSIDE)
def test_every_module_is_named_in_the_paragraph_of_its_room(name):
    said = code_words(PARAGRAPHS[name])
    modules = {m.removeprefix(f"hyperlaw.{name}.") for m in MODULES if room(m) == name and m != f"hyperlaw.{name}"}
    modules = {m for m in modules if not m.startswith("laws.")}  # `hl.laws.table()` lists them
    assert said == {part for module in modules for part in module.split(".")}


def test_what_stands_beside_the_rooms_is_named():
    beside = {m.removeprefix("hyperlaw.") for m in MODULES if m.count(".") == 1 and room(m) in ("ground", "top")}
    ground, rest = re.search(r"either ground for all of them \((.*?)\) or holds them together \((.*?)\)", PAGE,
                             re.DOTALL).groups()  # fmt: skip
    assert code_words(ground) == GROUND
    assert code_words(rest) == beside - GROUND


def test_files_that_it_names_are_there():
    root = Path(__file__).parent.parent
    named = set(re.findall(r"`((?:\w+/)+\w+\.pyi?)`", PAGE))
    assert len(named) > 3
    for path in named:
        assert (root / path).exists() or (root / "hyperlaw" / path).exists(), path


def test_it_is_one_page():
    assert len(PAGE.splitlines()) <= 90
