import pytest
from conftest import CHECKED, TARGET

import hyperlaw as hl
from hyperlaw import demo as module
from hyperlaw.demo import against, demo


def told(folder, capsys) -> hl.Choice:
    """The demo, and that it says what it must."""
    choice = demo(folder, seed=0)
    said = " ".join(capsys.readouterr().out.split())
    assert "Large runs, withheld" in said
    assert "predicts a left-out run better than" in said
    assert " ".join(choice.explain().split()) in said
    assert "nan" not in said.lower()
    assert (folder / "demo.png").stat().st_size > 10_000
    (law,) = choice.laws.index
    assert hl.load_fit(folder / "demo.nc").law.name == law
    assert (folder / "demo.nc").stat().st_size < 5e6
    return choice


def test_demo_on_a_part_of_the_sweep(small, fit, once, tmp_path, capsys, monkeypatch):
    sweep = hl.load_sweep("lm_adam")
    frame = sweep.frame
    large = (frame["params"] == TARGET["params"]) & (frame["data"] == TARGET["data"])
    part = sweep.where(frame.index.isin(small.frame.index) | large)

    def quickly(law, runs, seed):
        assert runs.digest == small.digest
        return fit if law == fit.law else once("transfer", lambda: hl.fit(law, small, seed=0, **CHECKED))

    monkeypatch.setattr(module, "load_sweep", lambda _: part)
    monkeypatch.setattr(module, "fit", quickly)
    choice = told(tmp_path, capsys)
    table = against(choice, frame[large]).set_index("quantity")
    assert list(table.index) == ["learning_rate", "batch_size", "loss", "regret"]
    assert (table["inside"] == table["measured"].between(table["lower"], table["upper"])).all()


@pytest.mark.slow
def test_demo(tmp_path, capsys):
    told(tmp_path, capsys)
