"""The closed loop: what was written down before the large runs stays, and the page is what the sweeps say of it."""

import json
import re

import matplotlib as mpl
import pytest

from experiments import closed_loop

NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[+-]?\d+)?")


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.setattr(closed_loop, "FROZEN", tmp_path)
    return tmp_path


def test_what_was_written_down_is_not_written_over(elsewhere):
    (elsewhere / "lm.json").write_text("{}")
    with pytest.raises(FileExistsError, match=r"holds the choices of lm already; pass --anew to make and write them"):
        closed_loop.freeze("lm", anew=False)
    assert (elsewhere / "lm.json").read_text() == "{}"


@pytest.mark.usefixtures("elsewhere")
def test_nothing_written_down_is_refused():
    with pytest.raises(FileNotFoundError, match=r"nothing is frozen for rl: run `python -m experiments"):
        closed_loop.score("rl")


@pytest.mark.parametrize("name", ["lm", "rl"])
def test_the_page_is_what_the_shipped_sweeps_say(tmp_path, name):
    mpl.use("agg")
    frozen = json.loads((closed_loop.FROZEN / f"{name}.json").read_text())
    said = closed_loop.LOOPS[name][1](frozen, tmp_path)
    written = closed_loop.PAGE.read_text().split(f"<!-- {name} -->\n")[1].split(f"<!-- end of {name} -->")[0]
    assert NUMBER.sub("#", said).split() == NUMBER.sub("#", written).split()
    numbers = [[float(number) for number in NUMBER.findall(text)] for text in (said, written)]
    assert len(numbers[0]) > 100
    assert numbers[0] == pytest.approx(numbers[1], rel=0.02, abs=1e-6)
    assert (tmp_path / f"{name}.png").exists()
