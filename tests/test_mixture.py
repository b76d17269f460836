import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import TARGET

import hyperlaw as hl
from hyperlaw.decision import mixture

WEIGHTS = {"step": 0.75, "time": 0.25}


@pytest.fixture(scope="module")
def other(fit):
    """The same law with learning rates a third of an octave higher: another opinion of the same runs."""
    tree = fit.tree.copy(deep=True)
    tree["posterior"]["log_learning_rate"] = tree["posterior"]["log_learning_rate"] + np.log(2) / 3
    return replace(fit, tree=tree)


@pytest.fixture(scope="module")
def mixed(fit, other):
    return hl.decide({"step": fit, "time": other}, TARGET, risk=hl.CVaR(0.9), weights={"step": 3, "time": 1})


def test_draws_come_in_proportion_and_know_their_law(mixed, fit):
    draws = fit.tree["posterior"].sizes["chain"] * fit.tree["posterior"].sizes["draw"]
    assert mixed.regret.sizes["sample"] == draws
    laws, counts = np.unique(mixed.regret["law"], return_counts=True)
    assert dict(zip(laws.tolist(), counts / draws, strict=True)) == WEIGHTS


def test_the_laws_disagree_at_a_price(mixed):
    table = mixed.laws
    assert list(table.index) == ["step", "time"]
    assert table["weight"].to_dict() == WEIGHTS
    assert (table["cost_of_own"] >= 0).all()
    assert table["cost_of_own"].max() > 0
    assert table.loc["step", "learning_rate"] < mixed.setting["learning_rate"] < table.loc["time", "learning_rate"]
    assert (table["risk_of_choice"] > 0).all()
    for name in ("learning_rate", "batch_size"):
        assert (table[f"{name}_lower"] < table[f"{name}_upper"]).all()
    assert "The laws disagree: step (weight 0.75) would by itself set" in mixed.explain()


def test_all_weight_on_one_law_is_that_law(fit, other, choice):
    one = hl.decide({"step": fit, "time": other}, TARGET, risk=hl.CVaR(0.9), weights={"step": 1, "time": 0})
    assert set(one.regret["law"].values) == {"step"}
    assert one.setting == choice.setting
    np.testing.assert_allclose(one.intervals, choice.intervals)


def test_the_mixture_is_what_its_draws_say(mixed):
    candidates, regret = mixed.candidates, mixed.regret.values
    chosen = int(candidates["risk"].argmin())
    assert candidates.loc[chosen, "learning_rate"] == mixed.setting["learning_rate"]
    assert hl.CVaR(0.9)(regret)[chosen] == pytest.approx(mixed.table.loc["recommended", "risk"])
    assert mixed.provenance["time"]["law"] == "StepLaw"
    assert set(mixed.trajectory["law"]) == set(mixed.cells["law"]) == {"step", "time"}
    of_fits, of_target = mixed.checks.table["check"].iloc[:-2], mixed.checks.table["check"].iloc[-2:]
    assert of_fits.str.startswith(("step: ", "time: ")).all()
    assert of_target.str.contains("target").all()
    stored = json.loads(mixed.to_json())
    assert set(stored["laws"]) == {"step", "time"}
    labels = {text.get_text() for text in mixed.plot().legends[0].get_texts()}
    assert {"step at params 98.3k, 90 %", "time at params 98.3k, 90 %"} <= labels


def test_given_candidates_are_judged_against_the_best_of_them(fit, other):
    pair = {"learning_rate": [0.0035, 0.0047], "batch_size": [208, 208]}
    both = hl.decide({"a": fit, "b": other}, TARGET, risk=hl.Mean(), weights="equal", candidates=pair)
    assert (both.regret.values.min(axis=1) == 0).all()
    assert both.laws["cost_of_own"].min() == 0


@pytest.mark.parametrize(
    ("weights", "left_out", "column"), [("stacking", "run", "weight"), ("scale", "scale", "weight_pseudo_bma")]
)
def test_weights_by_comparison(fit, other, monkeypatch, weights, left_out, column):
    fits = {"step": fit, "time": other}

    def compare(given, *, leave_out, seed):
        assert given == fits
        assert (leave_out, seed) == (left_out, fit.seed)
        table = pd.DataFrame({"weight": [0.5, 0.5], "weight_pseudo_bma": [0.5, 0.5]}, fits)
        table.loc["step", column], table.loc["time", column] = 0.8, 0.2
        return type("Comparison", (), {"table": table})

    monkeypatch.setattr(mixture, "compare", compare)
    assert mixture.weigh(fits, weights) == {"step": 0.8, "time": 0.2}


@pytest.mark.parametrize("counts", [(1000, 0.37), (40, 0.5), (997, 1.0)])
def test_draws_are_spread_evenly(fit, counts):
    size, weight = counts
    whole, _ = mixture.part("a", fit, TARGET)
    small = replace(whole.take(np.arange(size)), name="b", standardised_noise=np.arange(size, dtype=float))
    parts = mixture.mix([whole, small], {"a": 1 - weight, "b": weight}, seed=0)
    rows = parts[-1].standardised_noise
    assert len(rows) == round(weight * len(whole))
    times = np.bincount(rows.astype(int), minlength=size)
    assert times.max() - times.min() <= 1


@pytest.mark.parametrize(
    ("weights", "text"),
    [
        (None, 'weights must be "stacking", "scale", "equal" or a number for each of step, time; received None'),
        ("best", "received 'best'"),
        ({"step": 1}, r"received \{'step': 1\}"),
        ({"step": 0, "time": 0}, "weights must be numbers of 0 or more that do not all vanish"),
        ({"step": -1, "time": 2}, "weights must be numbers of 0 or more"),
    ],
)
def test_bad_weights_are_refused(fit, other, weights, text):
    with pytest.raises(ValueError, match=text):
        hl.decide({"step": fit, "time": other}, TARGET, risk=hl.Mean(), weights=weights)


def test_what_cannot_be_mixed_is_refused(fit):
    fewer = replace(fit, table=fit.runs.where(fit.runs.frame["data"] < 2**20))
    with pytest.raises(ValueError, match=r"'b' and 'a' were fitted to different runs .* Fit both to the same runs"):
        hl.decide({"a": fit, "b": fewer}, TARGET, risk=hl.Mean(), weights="equal")
    with pytest.raises(ValueError, match="decide needs a fit or more, received none"):
        hl.decide({}, TARGET, risk=hl.Mean())
    with pytest.raises(ValueError, match="weights are for several laws; there is one fit, received 'equal'"):
        hl.decide(fit, TARGET, risk=hl.Mean(), weights="equal")
