"""Sensitivity: known directions, weights against exact results, rows of refits, and what is refused."""

import numpy as np
import numpyro.distributions as dist
import pandas as pd
import pytest
import xarray as xr
from conftest import CHECKED, TARGET, grid, simulate

import hyperlaw as hl
from hyperlaw.diagnostics import sensitivity as module
from hyperlaw.diagnostics.power_scale import power_weights, resample, sensitivity_table
from hyperlaw.diagnostics.sensitivity import Sensitivity, sensitivity
from hyperlaw.inference.refit import quality
from hyperlaw.risk import choose

LARGE = {"params": 4e6, "data": 6.4e9, "task": "sgd"}
DRAWS = 40_000


@pytest.fixture(scope="module")
def wrong() -> hl.Fit:
    """StepLaw with a wrong and narrow prior on one exponent, on a small simulated sweep."""
    law = hl.laws.StepLaw()
    runs = simulate(law, grid(data=(1e8, 4e8), rates=5, batches=3), seed=1)
    narrow = {"exponent_data": dist.Normal(1.2, 0.1)}
    return hl.fit(law, runs, seed=3, priors=narrow, **CHECKED)


def _part_of(fit: hl.Fit, keep: pd.Series) -> hl.Fit:
    """In place of a refit: some of the draws of `fit`, other ones for another number of kept runs."""
    groups = {name: fit.tree[name].to_dataset() for name in ("posterior", "sample_stats")}
    tree = xr.DataTree.from_dict(groups).isel(chain=[0, 1], draw=slice(int(keep.sum()) % 7, None, 5))
    tree.attrs = fit.tree.attrs
    return hl.Fit(fit.likelihood, fit.runs, tree, fit.pivot)


@pytest.fixture(scope="module")
def answer(pooled) -> Sensitivity:
    """A decision's sensitivity, with parts of the posterior in place of refits: all but the sampling is real."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "refit", lambda model, runs, *, keep, seed: _part_of(pooled, keep))
        return sensitivity(pooled, at=LARGE, risk=hl.CVaR(0.9), seed=0)


def test_stuck_refits_are_said_and_not_counted(pooled, answer, monkeypatch):
    sampled = iter([2.0, np.nan, *[1.0] * 100])
    monkeypatch.setattr(module, "refit", lambda model, runs, *, keep, seed: _part_of(pooled, keep))
    monkeypatch.setattr(module, "quality", lambda fit: {"divergences": 0, "r_hat": next(sampled)})
    some = sensitivity(pooled, at=LARGE, risk=hl.CVaR(0.9), seed=0)
    lost = some.settings.index[
        some.settings["note"].str.startswith("not counted, the refit failed: its chains disagree")
    ]
    assert list(lost) == list(answer.settings.index[5:7])
    assert some.settings.loc[lost, ["learning_rate", "regret_mean"]].isna().all(axis=None)
    assert f"2 refits failed and are not counted: {', '.join(lost)}." in some.sentence
    assert "nan" not in some.sentence


def regrets(draws) -> np.ndarray:
    """Regret in each draw of each candidate."""
    return draws["regret"].values.reshape(-1, draws.sizes["candidate"])


def test_a_narrow_wrong_prior_is_flagged_and_the_default_is_not(fit, wrong):
    flagged = sensitivity(wrong, quantity="parameters")
    row = flagged.table.loc["exponent_data"]
    assert row["prior"] > 0.05
    assert row["diagnosis"].startswith("prior")
    assert row["mostly"] == "exponent_data"
    assert "exponent_data (mostly the prior of exponent_data)" in flagged.sentence
    assert flagged.settings is None

    default = sensitivity(fit, quantity="parameters")
    assert list(default.table.index) == [p.name for p in fit.law.own_parameters]
    # An exponent that the runs pin: its posterior is a fiftieth as wide as its prior.
    assert default.table.loc["rate_exponent_data", ["diagnosis", "mostly"]].tolist() == ["", ""]
    assert "rate_exponent_data" not in default.sentence
    assert not np.allclose(default.table["prior"], default.table["prior"].round(3), atol=1e-6)


@pytest.mark.parametrize(
    ("prior", "runs", "diagnosis"),
    [
        ((0.5, 0.15), (0.45, 0.02), ""),
        ((0.9, 0.02), (0.45, 0.02), "prior and runs disagree"),
        ((0.9, 0.02), (0.45, 2.00), "prior outweighs runs"),
    ],
)
def test_diagnoses_of_exact_posteriors(prior, runs, diagnosis):
    """A normal prior and likelihood of one exponent, both (mean, standard deviation), with exact draws."""
    weights = np.array([prior[1], runs[1]]) ** -2.0
    mean, sd = weights @ [prior[0], runs[0]] / weights.sum(), weights.sum() ** -0.5
    draws = xr.DataArray(np.random.default_rng(0).normal(mean, sd, (4, 1000)), dims=("chain", "draw"))

    def log_density(of):
        return -(((draws - of[0]) / of[1]) ** 2) / 2

    log_prior = log_density(prior).to_dataset(name="exponent_data")
    log_likelihood = log_density(runs).expand_dims(run=1, axis=-1).to_dataset(name="loss")
    tree = xr.DataTree.from_dict({"log_prior": log_prior, "log_likelihood": log_likelihood})
    exact = hl.Fit(hl.likelihood(hl.laws.StepLaw(), "runs"), None, tree, {})
    row = sensitivity_table(exact, draws.to_dataset(name="exponent_data")).loc["exponent_data"]
    assert row["diagnosis"] == diagnosis
    assert row["mostly"] == ("exponent_data" if diagnosis else "")


def test_only_top_level_priors_are_scaled(pooled):
    names = set(pooled.tree["log_prior"].data_vars)
    assert {"exponent_data", "exponent_data_task_sd", "cell_sd_learning_rate", "optimal_loss"} <= names
    assert not {n for n in names if n.startswith("half_") or n == "cell_optimal_loss" or n.endswith("_task")}


def _normal(seed=0) -> tuple[xr.DataArray, xr.DataArray]:
    """Draws of a posterior N(0.5, 1/2), from a prior N(0, 1) and one observation at 1, and the log prior."""
    theta = np.random.default_rng(seed).normal(0.5, np.sqrt(0.5), (4, DRAWS // 4))
    return tuple(xr.DataArray(values, dims=("chain", "draw")) for values in (theta, -(theta**2) / 2))


@pytest.mark.parametrize("power", [0.8, 1.25])
def test_weights_and_resampling_give_the_power_scaled_posterior(power):
    theta, log_prior = _normal()
    weights, k = power_weights(log_prior, power)
    draws = theta.values.ravel()
    exact, spread = 1 / (1 + power), np.sqrt(1 / (1 + power))
    assert weights.sum() == pytest.approx(1)
    assert weights @ draws == pytest.approx(exact, abs=4 * spread / np.sqrt(DRAWS))
    assert abs(exact - 0.5) > 8 * spread / np.sqrt(DRAWS)  # the move is larger than the tolerance
    assert k < 0.5
    again = draws[resample(weights, np.random.default_rng(1))]
    assert len(again) == DRAWS
    assert again.mean() == pytest.approx(weights @ draws, abs=2e-3)
    assert again.std() == pytest.approx(np.sqrt(weights @ (draws - weights @ draws) ** 2), abs=2e-3)


def test_power_one_moves_nothing(pooled):
    prediction = pooled.predict(LARGE)
    regret = regrets(prediction.draws)
    weights, k = power_weights(pooled.group("log_prior").to_dataarray().sum("variable"), 1.0)
    assert k == -np.inf
    index = resample(weights, np.random.default_rng(0))
    assert np.array_equal(index, np.arange(len(regret)))
    assert choose(hl.CVaR(0.9), regret[index])[0] == choose(hl.CVaR(0.9), regret)[0]


def test_a_flat_prior_is_not_sensitive(pooled):
    tree = pooled.tree.copy()
    tree["log_prior"] = tree["log_prior"].to_dataset() * 1e-3
    flat = hl.Fit(pooled.likelihood, pooled.runs, tree, pooled.pivot)
    quantities = tree["posterior"].dataset[["exponent_data"]]
    before, after = (sensitivity_table(f, quantities).loc["exponent_data"] for f in (pooled, flat))
    assert after["prior"] < 0.1 * before["prior"]
    assert after["likelihood"] == before["likelihood"]


def test_rows_of_a_decision(answer, pooled):
    rows = answer.settings
    assert list(rows.index) == [
        "as fitted", "prior x 0.8", "prior x 1.25", "likelihood x 0.8", "likelihood x 1.25", "refit to all runs",
        "without task adam", "without task lion", "without task sgd", "without params 1e+06", "without params 4e+06",
        "without data 1e+08", "without data 4e+08", "without data 1.6e+09", "window x 0.5", "window x 2",
    ]  # fmt: skip
    assert list(answer.table.index) == ["ln learning_rate", "ln batch_size", "loss"]
    first = rows.iloc[0]
    draws = pooled.predict(LARGE).draws
    best = choose(hl.CVaR(0.9), regrets(draws))[0]
    chosen = hl.decide(pooled, at=LARGE, risk=hl.CVaR(0.9), despite="a test: few draws")
    for name in ("learning_rate", "batch_size"):
        assert first[name] == draws[name][best]
        # The same grid; `decide` polishes its best within a step of it.
        step = np.diff(np.log(np.unique(draws[name]))).max()
        assert abs(np.log(first[name] / chosen.setting[name])) <= step
    assert first["regret_mean"] == pytest.approx(draws["regret"][..., best].mean().item())
    assert first["regret_added"] == 0
    for name in ("learning_rate", "batch_size"):
        assert np.allclose(rows[f"octaves_{name}"], np.log2(rows[name] / first[name]))
    assert np.allclose(rows["regret_added"], rows["regret_mean"] - first["regret_mean"])
    assert rows["pareto_k"].notna().tolist() == [False] + 4 * [True] + 11 * [False]
    assert rows["divergences"].notna().tolist() == 5 * [False] + 11 * [True]
    assert rows.loc["without params 1e+06", "note"].startswith("one value of params is left: its exponents come from")
    assert (rows["regret_mean"] > 0).all()


def test_the_sentence_names_what_moves_furthest(answer):
    distance = answer.settings[["octaves_learning_rate", "octaves_batch_size"]].abs().max(axis=1)
    furthest = distance[distance.index.str.startswith("without")].idxmax()
    moved = f"{answer.settings.loc[furthest, 'octaves_learning_rate']:+.2f} octaves of learning rate"
    assert f"Of what was left out, {furthest} moves it most: by {moved}" in answer.sentence
    assert f"{answer.settings.loc[furthest, 'regret_added']:.2g} nats of mean regret" in answer.sentence
    prior = distance[["prior x 0.8", "prior x 1.25"]].max()
    assert f"the prior moves the recommendation by at most {prior:.2f} octaves" in answer.sentence
    assert " ".join(answer.sentence.split()) in " ".join(repr(answer).split())
    assert "prior x 1.25" in repr(answer)


def test_the_priors_that_do_not_decide_are_said_not_to():
    table = pd.DataFrame({"diagnosis": ["", ""], "mostly": ["", ""]}, index=["a", "b"])
    assert module.prior_sentence(table) == "The priors do not decide: no prior sensitivity is above 0.05."


def test_a_large_pareto_k_is_said(answer, pooled):
    rows = answer.settings.copy()
    assert "cannot be relied on" not in " ".join(module._setting_sentences(rows.assign(pareto_k=0.1), pooled))
    for bad in (0.9, np.nan):
        rows.loc["prior x 0.8", "pareto_k"] = bad
        assert "for prior x 0.8: those rows cannot be relied on" in " ".join(module._setting_sentences(rows, pooled))


WITHOUT = {
    "refit to all runs": lambda frame: frame["task"] != "",
    "without task sgd": lambda frame: frame["task"] != "sgd",
    "without params 1e+06": lambda frame: frame["params"] != 1e6,
    "without data 1.6e+09": lambda frame: frame["data"] != 1.6e9,
}


def test_refits_are_to_what_is_left(pooled, monkeypatch):
    asked = {}

    def refit(model, runs, *, keep, seed):
        asked[len(asked)] = model, runs, keep, seed
        return _part_of(pooled, keep)

    monkeypatch.setattr(module, "refit", refit)
    changes = [
        row["change"] for row in module._refitted(pooled, LARGE, hl.CVaR(0.9), seed=7, executor=None, progress=False)
    ]
    for change, kept in WITHOUT.items():
        model, runs, keep, seed = asked[changes.index(change)]
        assert (model, runs, seed) == (pooled.likelihood, pooled.runs, 7)
        pd.testing.assert_series_equal(keep, kept(pooled.runs.frame), check_names=False)


@pytest.mark.slow
def test_a_task_left_out_is_drawn_from_the_population(pooled, monkeypatch):
    monkeypatch.setattr(module, "_parts", lambda fit: [("without task sgd", fit.runs.frame["task"] != "sgd")])
    kept = []
    monkeypatch.setattr(module, "refit", lambda *a, again=module.refit, **k: kept.append(again(*a, **k)) or kept[-1])
    monkeypatch.setattr(module, "WINDOWS", ())
    (row,) = module._refitted(pooled, LARGE, hl.CVaR(0.9), seed=7, executor=None, progress=False)
    assert row["change"] == "without task sgd"
    assert row["learning_rate"] > 0
    assert kept[0].seed == 7
    assert kept[0].tree.attrs["kept"] == (pooled.runs.frame["task"] != "sgd").sum()
    spread = kept[0].draws["log_learning_rate_task"].std(("chain", "draw"))
    assert spread.sel(task="sgd") > 2 * spread.sel(task="adam")


def test_equal_seeds_agree_and_other_seeds_do_not(pooled):
    weights = np.random.default_rng(0).random(50)
    first, second, other = (resample(weights, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)
    prediction = pooled.predict(LARGE)
    again = [list(module._reweighted(pooled, prediction, hl.CVaR(0.9), seed=0)) for _ in range(2)]
    assert pd.DataFrame(again[0]).equals(pd.DataFrame(again[1]))


def test_chains_that_disagree_or_stand_still_are_noted(pooled):
    assert module._loose(quality(pooled)["r_hat"]) == []
    skew = pooled.tree["posterior"]["skew_learning_rate"]
    for values, text in ((skew + 100 * skew["chain"], "its chains disagree"), (0 * skew, "R-hat nan")):
        tree = pooled.tree.copy()
        tree["posterior"] = tree["posterior"].to_dataset().assign(skew_learning_rate=values)
        moved = hl.Fit(pooled.likelihood, pooled.runs, tree, pooled.pivot)
        assert text in module._loose(quality(moved)["r_hat"])[0]


def test_too_few_cells_are_listed_and_not_refitted(pooled, monkeypatch):
    one = ("without most", pooled.runs.frame["cell"] == 0)
    monkeypatch.setattr(module, "_parts", lambda fit: [one])
    monkeypatch.setattr(module, "WINDOWS", ())
    (row,) = module._refitted(pooled, LARGE, hl.CVaR(0.9), seed=0, executor=None, progress=False)
    assert row == {"change": "without most", "note": "not refitted: fewer than two cells with a loss are left"}
    fitted = {"change": "as fitted", "learning_rate": 1e-3, "batch_size": 3e4, "pareto_k": 0.1, "divergences": 0}
    rows = module._priced(pooled, LARGE, pd.DataFrame([fitted, row]).set_index("change"))
    assert rows.loc["without most", ["learning_rate", "octaves_learning_rate", "regret_mean"]].isna().all()
    assert rows.loc["as fitted", "regret_mean"] > 0


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"quantity": "loss"}, ValueError, 'quantity must be "decision" or "parameters", received \'loss\''),
        ({"at": TARGET, "seed": 0}, ValueError, r'quantity="decision" needs risk: a target such as'),
        ({"risk": hl.Mean(), "seed": 0}, ValueError, r'quantity="decision" needs at: a target such as'),
        ({"seed": 0}, ValueError, r'quantity="decision" needs at and risk'),
        ({"at": TARGET, "risk": hl.Mean()}, TypeError, "seed must be an integer of 0 or more, received None"),
        ({"at": TARGET, "risk": hl.Mean(), "seed": True}, TypeError, "an integer of 0 or more, received True"),
        ({"quantity": "parameters", "at": TARGET}, ValueError, r'^at is for quantity="decision", received with'),
        ({"quantity": "parameters", "risk": hl.Mean(), "seed": 0}, ValueError, r"^risk, seed is for quantity="),
        ({"at": {"data": 1e9}, "risk": hl.Mean(), "seed": 0}, ValueError, "at must give exactly params, data"),
    ],
)
def test_refusals_before_any_sampling(fit, monkeypatch, arguments, error, text):
    monkeypatch.setattr(module, "refit", lambda *a, **k: pytest.fail("sampled before refusing"))
    with pytest.raises(error, match=text):
        sensitivity(fit, **arguments)


def test_a_refit_is_refused(fit):
    tree = xr.DataTree.from_dict({"posterior": fit.tree["posterior"].to_dataset()})
    bare = hl.Fit(fit.likelihood, fit.runs, tree, fit.pivot)
    with pytest.raises(ValueError, match="the fit has no group log_prior: it was made by refit"):
        sensitivity(bare, quantity="parameters")
