import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import TARGET, TRUTH, grid
from made_fit import REASON, made_fit

import hyperlaw as hl
from hyperlaw.decision.explain import value_words
from hyperlaw.decision.pricing import Pricing
from hyperlaw.diagnostics.ground_truth import ground_truth
from hyperlaw.display import figures
from hyperlaw.risk import risk_name

COLUMNS = {
    "learning_rate", "batch_size", "regret_mean", "regret_q90", "regret_cvar90", "risk", "p_best", "p_diverge",
    "allowed",
}  # fmt: skip


def test_shapes_that_others_rely_on(choice):
    assert set(choice.setting) == {"learning_rate", "batch_size"}
    assert list(choice.intervals.index) == ["learning_rate", "batch_size"]
    assert list(choice.intervals.columns) == ["lower", "median", "upper"]
    assert list(choice.table.index[:3]) == ["recommended", "runner_up", "reuse_best"]
    assert set(choice.table.columns) == COLUMNS
    assert choice.table.loc["recommended", "learning_rate"] == choice.setting["learning_rate"]


def test_the_recommended_setting_has_the_lowest_risk(choice):
    assert choice.candidates["risk"].min() == pytest.approx(choice.table.loc["recommended", "risk"])
    # The posterior median is no candidate, and the polish goes down from the best of them: neither is better.
    assert choice.table.loc["recommended", "risk"] <= (1 + 1e-3) * choice.table["risk"].min()
    assert choice.table.loc["recommended", "regret_cvar90"] == pytest.approx(choice.table.loc["recommended", "risk"])
    settings = choice.table[["learning_rate", "batch_size"]]
    apart = np.abs(np.log(settings.loc["runner_up"] / settings.loc["recommended"]))
    assert apart.max() >= np.log(2) / 2 - 1e-6


def test_draws_are_not_averaged_before_the_choice(fit):
    """Two settings, one safe and one better in most draws: the attitude to risk decides."""
    pair = {"learning_rate": np.array([0.0035, 0.0047]), "batch_size": np.array([208.0, 208.0])}
    regret = hl.decide(fit, TARGET, risk=hl.Mean(), candidates=pair).regret.values
    assert (regret.min(axis=1) == 0).all()
    for risk in (hl.Mean(), hl.Quantile(0.5), hl.CVaR(0.95), hl.WorstCase()):
        choice = hl.decide(fit, TARGET, risk=risk, candidates=pair)
        assert choice.candidates["risk"].to_numpy() == pytest.approx(risk(regret))
        assert choice.setting["learning_rate"] == pair["learning_rate"][np.argmin(risk(regret))]


def test_reuse_best_is_the_best_run_of_the_largest_small_scale(choice, small):
    frame = small.frame
    largest = frame[(frame["params"] == 98304) & (frame["data"] == 2**20)]
    best = largest.loc[largest["loss"].idxmin()]
    assert choice.table.loc["reuse_best", "learning_rate"] == best["learning_rate"]
    assert choice.table.loc["reuse_best", "batch_size"] == best["batch_size"]


def test_p_best_sums_to_one_over_given_candidates(fit):
    rates = np.geomspace(1e-3, 1e-2, 9)
    choice = hl.decide(fit, TARGET, risk=hl.Mean(), candidates={"learning_rate": rates, "batch_size": rates * 0 + 128})
    best = np.bincount(choice.regret.values.argmin(axis=1), minlength=9) / len(choice.regret)
    chosen = int(choice.candidates["risk"].argmin())
    assert choice.table.loc["recommended", "p_best"] == pytest.approx(best[chosen])


def test_a_choice_on_a_bound_says_so(fit):
    rates = np.geomspace(1e-4, 1e-3, 5)
    choice = hl.decide(fit, TARGET, risk=hl.Mean(), candidates={"learning_rate": rates, "batch_size": rates * 0 + 128})
    assert choice.bounds == ["learning_rate at its highest candidate"]
    assert "sits on a bound (learning_rate at its highest candidate)" in choice.explain()


def test_safe_set(choice):
    bound = choice.table.loc["recommended", "regret_q90"]
    strict, loose = (choice.safe_set(regret=factor * bound) for factor in (1.1, 4))
    assert len(strict) < len(loose)
    assert (loose["probability"] >= 0.9).all()
    settings = {tuple(row) for row in loose[["learning_rate", "batch_size"]].to_numpy()}
    assert tuple(choice.setting.values()) in settings
    with pytest.raises(ValueError, match="safe_set needs regret > 0 nats and probability strictly between 0 and 1"):
        choice.safe_set(regret=-1)
    with pytest.raises(ValueError, match="regret must be a number, received 'x'"):
        choice.safe_set("x")


def test_failed_checks_refuse_unless_a_reason_is_given(rough):
    with pytest.raises(RuntimeError, match=r"failed .* of its checks .*pass despite=\"reason\""):
        hl.decide(rough, TARGET, risk=hl.Mean())
    choice = hl.decide(rough, TARGET, risk=hl.Mean(), despite="a trial")
    assert choice.despite == "a trial"
    assert "the reason given: a trial" in choice.explain()
    assert json.loads(choice.to_json())["despite"] == "a trial"


def test_a_risk_of_the_wrong_shape_is_refused(fit):
    with pytest.raises(ValueError, match="risk must return one number a candidate"):
        hl.decide(fit, TARGET, risk=lambda losses: losses.mean())


def test_a_plan_in_another_unit_is_told(choice):
    plan = choice.setting
    assert choice.score(plan).table.loc["plan", "note"] == ""
    score = choice.score(plan | {"batch_size": plan["batch_size"] / 2048})
    note = score.table.loc["plan", "note"]
    assert re.fullmatch(r"batch_size \S+ lies far outside the \S+ to \S+ searched, in data points", note)
    assert note in " ".join(str(score).split())


def test_explanation_and_json(choice):
    text = choice.explain()
    for word in (
        "What to set\n  learning_rate =", "How sure\n  With 90 % probability", "decades beyond the runs in data",
        "What being wrong costs\n  With half the learning rate the expected regret is ", " steps) for ",
        "hl.next_runs says",
    ):  # fmt: skip
        assert word in text
    risk = figures(choice.table.loc["recommended", "risk"], 2)
    assert f"mean regret of the worst 10 % of the draws: {risk} nats." in text
    assert max(map(len, text.splitlines())) < 200
    stored = json.loads(choice.to_json())
    assert stored["setting"] == choice.setting
    assert stored["provenance"]["law"] == "StepLaw"
    assert stored["checks_ok"] is True


def test_the_explanation_says_what_another_attitude_would_choose(choice):
    text, others = choice.explain(), 0
    for words, risk in (("the average", hl.Mean()), ("the worst tenth of the draws", hl.CVaR(0.9))):
        pick = choice.candidates.loc[np.argmin(risk(choice.regret.values)), ["learning_rate", "batch_size"]]
        apart = np.abs(np.log((pick / pd.Series(choice.setting)).astype(float))).max() > 0.05
        pair = " and ".join(figures(pick[name], 3) for name in ("learning_rate", "batch_size"))
        said = f"Judged by {words}, {pair} would be set instead."
        assert (said in text) == apart
        others += apart
    assert ("The attitude to risk hardly matters: " in text) == (others == 0)


def test_choice_is_the_same_every_time(fit, choice):
    assert hl.decide(fit, TARGET, risk=hl.CVaR(0.9)).table.equals(choice.table)


def test_the_choice_was_good_on_the_runs_really_made(choice):
    frame = hl.load_sweep("lm_adam").frame
    withheld = frame[(frame["params"] == TARGET["params"]) & (frame["data"] == TARGET["data"])]
    assert len(withheld) >= 28
    truth = ground_truth(withheld, choice.setting)
    reuse = ground_truth(withheld, choice.table.loc["reuse_best"])
    assert truth.regret_surface < 0.01
    assert truth.regret_surface < reuse.regret_surface


def test_chunks_do_not_matter(fit, choice):
    """Neither to the last bit, nor with settings that do not fill the last chunk."""
    rng = np.random.default_rng(0)
    settings = {"learning_rate": 4e-3 * np.exp(rng.normal(size=70)), "batch_size": 200 * np.exp(rng.normal(size=70))}
    pricing = Pricing(choice.pricing.parts, diverge_cost=2.0)
    whole, parts = pricing.price(settings), pricing.price(settings, chunk=9)
    np.testing.assert_array_equal(whole.regret, parts.regret)
    np.testing.assert_array_equal(whole.p_diverge, parts.p_diverge)
    losses = [np.concatenate(list(pricing.losses(settings, chunk))) for chunk in (64, 9)]
    np.testing.assert_array_equal(*losses)


def test_prices_are_those_of_predict(fit, choice):
    pair = {"learning_rate": np.array([0.0035, 0.0047]), "batch_size": np.array([208.0, 300.0])}
    prediction, prices = fit.predict(TARGET, pair), choice.pricing.price(pair)
    regret = prediction.draws["regret"].stack(sample=("chain", "draw")).transpose("sample", "candidate").values
    np.testing.assert_allclose(prices.regret, regret, rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(prices.p_diverge, prediction.draws["diverge"].mean(("chain", "draw")))
    np.testing.assert_allclose(choice.intervals, fit.predict(TARGET).table.iloc[:2])


RISKS = [hl.Mean(), hl.CVaR(0.9), hl.Quantile(0.9), hl.WorstCase(), hl.Entropic(50.0)]


@pytest.mark.parametrize("risk", RISKS, ids=str)
def test_polish_never_raises_the_risk(fit, risk):
    choice = hl.decide(fit, TARGET, risk=risk)
    pairs = choice.candidates
    best = pairs.loc[pairs["risk"].idxmin()]
    assert best[["learning_rate", "batch_size"]].to_dict() == choice.setting
    assert choice.table.loc["recommended", "risk"] == pytest.approx(best["risk"])
    assert choice.polish.startswith(
        "The polish moved the best candidate's " if best["polished"] else "The polish did not"
    )


def test_slopes_of_the_draws(choice):
    """Of every draw, against finite differences; `test_risk` holds the weights of a risk to the same."""
    point, step = np.log([0.004, 230.0]), 1e-5
    value, slopes = choice.pricing.slopes(point)
    assert value == pytest.approx(choice.pricing.price({"learning_rate": [0.004], "batch_size": [230]}).regret[:, 0])
    for i in range(2):
        ends = [choice.pricing.slopes(point + sign * step * np.eye(2)[i])[0] for sign in (1, -1)]
        assert slopes[:, i] == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("risk", RISKS, ids=str)
def test_slope_of_the_risk(choice, risk):
    """The weights of a risk, times the slopes of the draws, against a step so small that no draw passes another."""
    point, step = np.log([0.004, 230.0]), 1e-7
    value, slopes = choice.pricing.slopes(point)
    for i in range(2):
        ends = [choice.pricing.slopes(point + sign * step * np.eye(2)[i])[0] for sign in (1, -1)]
        difference = (risk(ends[0][:, None]) - risk(ends[1][:, None]))[0] / (2 * step)
        assert risk.weights(value) @ slopes[:, i] == pytest.approx(difference, rel=1e-3, abs=1e-6)


def test_what_is_not_polished_says_so(fit):
    choice = hl.decide(fit, TARGET, risk=lambda losses: losses.mean(axis=0))
    assert choice.polish == "Not polished: the risk is a function of your own, without weights."
    pair = {"learning_rate": [0.0035, 0.0047], "batch_size": [208, 208]}
    assert hl.decide(fit, TARGET, risk=hl.Mean(), candidates=pair).polish == "Not polished: the candidates were given."


def test_a_plan_is_priced_beside_the_alternatives(choice):
    score = choice.score({"learning_rate": 3e-3, "batch_size": 256}, within=0.02)
    table = score.table
    rows = [
        "plan",
        "recommended",
        "runner_up",
        "reuse_best",
        "posterior_median",
        "step_law_formula",
        "deepseek_formula",
    ]
    assert list(table.index) == rows
    assert set(table.columns) == COLUMNS | {"p_within", "note"}
    assert table.loc["plan", ["learning_rate", "batch_size"]].tolist() == [3e-3, 256]
    pd.testing.assert_frame_equal(
        table.loc[rows[1:5], list(choice.table.columns)].astype(float), choice.table.astype(float), rtol=1e-6
    )
    regret = score.regret.sel(setting="plan")
    assert table.loc["plan", "regret_mean"] == pytest.approx(float(regret.mean()), rel=1e-5)
    assert table.loc["plan", "p_within"] == pytest.approx(float((regret <= 0.02).mean()))
    assert 0 < table.loc["plan", "p_within"] < 1
    assert "arXiv 2503.04715, data in tokens; params 9.8e+04 outside" in table.loc["step_law_formula", "note"]
    same = choice.score(choice.setting).table
    typed = choice.score({"learning_rate": "1e-3", "batch_size": "4k"}).table.loc["plan"]
    assert (typed["learning_rate"], typed["batch_size"]) == (1e-3, 4000)
    assert same.loc["plan", "regret_mean"] == same.loc["recommended", "regret_mean"]


@pytest.mark.parametrize(
    ("plan", "within", "text"),
    [
        ({"learning_rate": 1e-3}, 0.01, "score needs learning_rate and batch_size, received learning_rate"),
        ({}, 0.01, "received none"),
        ({"learning_rate": 1e-3, "batch_size": 0}, 0.01, "the plan's batch_size must be a finite number above zero"),
        (
            {"learning_rate": "fast", "batch_size": 64},
            0.01,
            "the plan's learning_rate must be a number, received 'fast'",
        ),
        ({"learning_rate": 1e-3, "batch_size": 64}, 0, "within must be a regret above zero, in nats; received 0"),
        ({"learning_rate": 1e-3, "batch_size": 64}, "x", "within must be a number, received 'x'"),
    ],
)
def test_bad_plans_are_refused(choice, plan, within, text):
    with pytest.raises(ValueError, match=text):
        choice.score(plan, within)


def test_json_has_null_where_there_is_no_number(choice):
    odd = replace(choice)
    vars(odd)["table"] = choice.table.assign(regret_mean=np.inf, risk=np.nan)
    stored = json.loads(odd.to_json(), parse_constant=pytest.fail)
    assert stored["table"]["reuse_best"]["regret_mean"] is None
    assert stored["table"]["reuse_best"]["risk"] is None
    assert stored["explanation"]
    assert stored["laws"]["StepLaw"]["weight"] == 1


def test_given_candidates_are_judged_against_the_best_of_them(fit):
    given = {"learning_rate": [3e-3, 4e-3], "batch_size": [128, 128]}
    among = hl.decide(fit, TARGET, risk="mean", candidates=given)
    assert "a setting loses against the best of the given candidates. Of all settings allowed" in among.explain()
    assert "against the best of the given candidates" in repr(among.score(among.setting))


def test_a_risk_of_your_own_goes_by_its_name(fit):
    def largest(losses):
        return losses.max(axis=0)

    choice = hl.decide(fit, TARGET, risk=largest)
    assert "this has the least largest of the regret: " in choice.explain()
    assert json.loads(choice.to_json())["risk"] == "largest"
    assert risk_name(object()) == "object"
    assert risk_name(hl.CVaR(0.9)) == "CVaR(q=0.9)"


def test_a_bound_that_sets_the_batch_size_is_told_in_few_digits(fit):
    choice = hl.decide(fit, TARGET, risk="mean", subject_to=hl.AtLeast("learning_rate", 0.1))
    assert choice.batch_size_set is not None
    assert f" at a batch size of {value_words(choice, 'batch_size')} lies between " in choice.explain()


def test_a_batch_size_that_is_given_is_one_candidate():
    frame = grid(rates=3, batches=1)
    runs = hl.Runs.from_frame(frame.assign(loss=2 + np.log(frame["learning_rate"] / 1e-3) ** 2))
    made = made_fit(hl.laws.StepLaw(), runs, TRUTH, draws=100)
    choice = hl.decide(made, {"params": 4e6, "data": 6.4e9}, risk="mean", despite=REASON)
    assert set(choice.candidates["batch_size"]) == {8192.0}
