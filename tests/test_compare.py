import warnings

import arviz_stats as az
import matplotlib.pyplot as plt
import numpy as np
import numpyro.distributions as dist
import pandas as pd
import pytest
import xarray as xr
from conftest import grid, simulate
from scipy.special import logsumexp
from scipy.stats import norm

import hyperlaw as hl
from hyperlaw.diagnostics import refit_cv
from hyperlaw.diagnostics.psis_loo import densities, matched, psis_loo
from hyperlaw.inference.posterior import Posterior
from hyperlaw.inference.refit import refit

OUTLIER = 22
# Where the errors of importance sampling have a finite variance.
TRUSTED = 0.5


@pytest.fixture(scope="module")
def swayed() -> hl.Runs:
    """60 runs in four cells, one of them a nat worse than its neighbours."""
    runs = simulate(hl.laws.StepLaw(), grid(data=(1e8, 4e8), rates=5, batches=3), seed=1)
    frame = runs.frame
    frame.iloc[OUTLIER, frame.columns.get_loc("loss")] += 1.0
    return hl.Runs.from_frame(frame)


@pytest.fixture(scope="module")
def pair(swayed) -> dict[str, Posterior]:
    """StepLaw, and the same with losses that may not fall with data."""
    level = {"optimal_loss_slope_data": dist.LogNormal(np.log(1e-3), 0.01)}
    models = {"falling": hl.laws.StepLaw(), "level": hl.likelihood(hl.laws.StepLaw(), swayed, priors=level)}
    return {name: refit(model, swayed, seed=0) for name, model in models.items()}


def made_up(runs, seed, diverging=0) -> hl.Fit:
    """Draws of no posterior: what `compare` reads of a fit, without sampling."""
    rng, shape, model = np.random.default_rng(seed), (2, 250), hl.likelihood(hl.laws.StepLaw(), runs)
    base = rng.normal(1.0, 0.5, len(runs))
    density = base + rng.normal(0, 0.1, (*shape, len(runs)))
    groups = {
        "posterior": {p.name: (("chain", "draw"), rng.normal(size=shape)) for p in model.parameter_list},
        "sample_stats": {"diverging": (("chain", "draw"), np.arange(500).reshape(shape) < diverging)},
        "log_likelihood": {"loss": (("chain", "draw", "run"), density)},
    }
    coords = {"chain": range(2), "draw": range(250)}
    tree = {
        name: xr.Dataset(group, coords | ({"run": runs.labels} if name == "log_likelihood" else {}))
        for name, group in groups.items()
    }
    return hl.Fit(model, runs, xr.DataTree.from_dict(tree), {})


def made_up_runs(tasks=("all",), sizes=(1e6,), data=(1e8, 4e8)) -> hl.Runs:
    return hl.Runs.from_frame(grid(tasks, sizes=sizes, data=data, rates=3, batches=2))


@pytest.fixture
def refits(monkeypatch):
    """In place of sampling: every call is kept, and answered with made-up draws that depend on its seed."""
    calls = []

    def answer(model, runs, *, seed, keep):
        calls.append({"seed": seed, "keep": keep, "fit": made_up(runs, 100 + seed, diverging=seed == 1)})
        return calls[-1]["fit"]

    monkeypatch.setattr(refit_cv, "refit", answer)
    monkeypatch.setattr(refit_cv, "log_densities", lambda fit, part, seed: stored(fit, part.out))
    return calls


def stored(fit, out):
    return fit.tree["log_likelihood"]["loss"].values[..., out]


def log_mean_exp(fit, out):
    return logsumexp(stored(fit, out), axis=(0, 1)) - np.log(500)


def test_runs_that_sway_no_fit_need_no_refit(refits, capsys):
    runs = made_up_runs()
    fits = {"a": made_up(runs, 0), "b": made_up(runs, 1)}
    comparison = hl.compare(fits)
    assert not refits
    assert "refitting" not in capsys.readouterr().err
    assert comparison.refits.empty
    assert comparison.by_group.empty
    expected = az.compare({n: az.loo(f.tree, pointwise=True) for n, f in fits.items()}, round_to="none")
    pd.testing.assert_frame_equal(comparison.table.drop(columns="weight_pseudo_bma"), expected)
    assert comparison.table["weight_pseudo_bma"].sum() == pytest.approx(1)
    assert f"nats over {len(runs)} runs (standard error" in comparison.sentence
    again = hl.compare(fits)
    pd.testing.assert_frame_equal(comparison.table, again.table)


@pytest.mark.parametrize("tasks", [("a", "b", "c"), tuple("abcdef")])
def test_tasks_are_left_out_in_turn(tasks, refits):
    runs = made_up_runs(tasks)
    fits = {"one": made_up(runs, 0), "two": made_up(runs, 1)}
    comparison = hl.compare(fits, leave_out="task", seed=7)
    task = runs.frame["task"].to_numpy()
    assert [call["seed"] for call in refits] == list(range(7, 7 + 2 * len(tasks)))
    for call, left_out in zip(refits, 2 * tasks, strict=True):
        np.testing.assert_array_equal(call["keep"], task != left_out)

    values = {
        name: [log_mean_exp(refits[i * len(tasks) + j]["fit"], task == t) for j, t in enumerate(tasks)]
        for i, name in enumerate(fits)
    }
    for name, parts in values.items():
        np.testing.assert_allclose(comparison.scores[name].elpd_i.values, np.concatenate(parts))
        np.testing.assert_allclose(comparison.by_group[name], [part.mean() for part in parts])
        sums = np.array([part.sum() for part in parts])
        error = np.sqrt(len(tasks) / (len(tasks) - 1) * ((sums - sums.mean()) ** 2).sum())
        assert comparison.table.loc[name, "se"] == pytest.approx(error)
        assert comparison.table.loc[name, "elpd"] == pytest.approx(sums.sum())
        full = log_mean_exp(fits[name], slice(None)).sum()
        assert comparison.table.loc[name, "p"] == pytest.approx(full - sums.sum())
    best, second = comparison.table.index
    apart = np.array([b.sum() - a.sum() for a, b in zip(values[second], values[best], strict=True)])
    error = np.sqrt(len(tasks) / (len(tasks) - 1) * ((apart - apart.mean()) ** 2).sum())
    assert comparison.table.loc[second, "elpd_diff"] == pytest.approx(-apart.sum())
    assert comparison.table.loc[second, "dse"] == pytest.approx(error)
    assert comparison.table.loc[second, "p_worse"] == pytest.approx(norm.cdf(apart.sum() / error))
    assert list(comparison.by_group.index) == list(tasks)
    assert comparison.sentence.startswith(f"{best} predicts the runs of a left-out task better than {second}, ")
    assert f"{len(runs)} runs in {len(tasks)} withheld tasks (standard error {error:.1f}" in comparison.sentence
    rough = "With fewer than 5 withheld tasks that error is rough."
    assert (rough in comparison.sentence) == (len(tasks) < 5)


def test_clearly_means_two_standard_errors(refits, monkeypatch):
    runs = made_up_runs(("a", "b", "c"))
    monkeypatch.setattr(
        refit_cv, "refit", lambda model, runs, *, seed, keep: shifted(made_up(runs, 5), 2.0 * (seed > 2))
    )
    comparison = hl.compare({"one": made_up(runs, 0), "two": made_up(runs, 1)}, leave_out="task", seed=0)
    assert f"two predicts the runs of a left-out task better than one, clearly: by {2 * len(runs):.1f} nats" in (
        comparison.sentence
    )


def shifted(fit, by):
    fit.tree["log_likelihood"]["loss"] = fit.tree["log_likelihood"]["loss"] + by
    return fit


def test_scales_are_left_out_from_the_middle_up_and_equal_products_together(refits):
    runs = made_up_runs(sizes=(1e6, 4e6), data=(1e8, 4e8, 1.6e9))
    comparison = hl.compare({"a": made_up(runs, 0), "b": made_up(runs, 1)}, leave_out="scale", seed=2)
    product = (runs.frame["params"] * runs.frame["data"]).round(-6)
    for call, next_up in zip(refits, 2 * [1.6e15, 6.4e15], strict=True):
        np.testing.assert_array_equal(call["keep"], product < next_up)
    assert list(comparison.by_group.index) == [
        "params 1000000, data 1600000000; params 4000000, data 400000000",
        "params 4000000, data 1600000000",
    ]
    assert comparison.refits["runs"].tolist() == [12, 6, 12, 6]
    assert comparison.table["diag_diff"].tolist() == ["", "N < 100"]
    assert "over 18 runs in 2 withheld scales" in comparison.sentence


def test_scales_that_differ_little_stay_apart(refits):
    runs = made_up_runs(sizes=(1e8, 1.0001e8, 1.0002e8, 1.0003e8), data=(4e8,))
    comparison = hl.compare({"a": made_up(runs, 0), "b": made_up(runs, 1)}, leave_out="scale", seed=2)
    assert len(comparison.by_group) == 2


def test_refits_that_did_not_sample_well_are_said(refits):
    runs = made_up_runs(("a", "b"))
    fits = {"one": made_up(runs, 0), "two": made_up(runs, 1)}
    comparison = hl.compare(fits, leave_out="task", seed=0)  # the second of four has a divergence
    assert comparison.refits["divergences"].tolist() == [0, 1, 0, 0]
    assert comparison.refits["fit"].tolist() == ["one", "one", "two", "two"]
    assert comparison.refits["left_out"].tolist() == ["a", "b", "a", "b"]
    assert (comparison.refits["r_hat"] < 1.05).all()
    bad = "1 of 4 refits did not sample well (divergences, or R-hat above 1.05): see `refits`."
    assert bad in comparison.sentence
    assert "did not sample well" not in hl.compare(fits, leave_out="task", seed=10).sentence


def test_r_hat_of_a_refit_is_said(refits, monkeypatch):
    def apart(model, runs, *, seed, keep):
        fit = made_up(runs, seed)
        fit.tree["posterior"]["noise"] = fit.tree["posterior"]["noise"] + xr.DataArray([0.0, 1.0], dims="chain")
        return fit

    runs = made_up_runs(("a", "b"))
    monkeypatch.setattr(refit_cv, "refit", apart)
    comparison = hl.compare({"one": made_up(runs, 0), "two": made_up(runs, 1)}, leave_out="task", seed=10)
    assert (comparison.refits["r_hat"] > 1.05).all()
    assert "4 of 4 refits did not sample well" in comparison.sentence


@pytest.fixture
def stuck(refits, monkeypatch):
    """Seeds whose refits are stuck: every chain stands where it began."""
    seeds, answer = set(), refit_cv.refit

    def maybe_stuck(model, runs, *, seed, keep):
        fit = answer(model, runs, seed=seed, keep=keep)
        if seed in seeds:
            fit.tree["posterior"]["noise"] = fit.tree["posterior"]["noise"] * 0 + xr.DataArray([0.0, 1.0], dims="chain")
        return fit

    monkeypatch.setattr(refit_cv, "refit", maybe_stuck)
    return seeds


def test_what_a_stuck_refit_left_out_is_not_counted(stuck):
    runs = made_up_runs(("a", "b", "c"))
    fits = {"one": made_up(runs, 0), "two": made_up(runs, 1)}
    whole = hl.compare(fits, leave_out="task", seed=10)
    stuck.add(11)  # "one" without task b
    some = hl.compare(fits, leave_out="task", seed=10)
    assert some.refits["failed"].tolist() == [False, True, False, False, False, False]
    assert list(some.by_group.index) == ["a", "c"]
    pd.testing.assert_frame_equal(some.by_group, whole.by_group.loc[["a", "c"]])
    assert "1 of 6 refits failed, and what they left out is not counted: see `refits`." in some.sentence
    assert "failed" not in whole.sentence
    stuck.update(range(10, 16))
    with pytest.raises(
        ValueError, match=r"of every task that was left out a refit failed .* R-hat above 1.5.: there is"
    ):
        hl.compare(fits, leave_out="task", seed=10)


@pytest.mark.usefixtures("in_vain")
def test_a_run_whose_refit_is_stuck_keeps_its_approximate_score(pair, stuck):
    stuck.update(range(200))
    comparison = hl.compare(pair, seed=0)
    assert comparison.refits["failed"].all()
    assert np.isfinite(comparison.scores["falling"].elpd)
    assert comparison.scores["falling"].pareto_k.values[OUTLIER] == 1.0
    assert (
        f"{len(comparison.refits)} of {len(comparison.refits)} refits failed, and their runs keep"
        in comparison.sentence
    )


def test_draws_that_do_not_move_cannot_be_scored(refits):
    runs = made_up_runs()
    still = made_up(runs, 0)
    still.tree["log_likelihood"]["loss"] = still.tree["log_likelihood"]["loss"].isel(chain=0, draw=0) * xr.ones_like(
        still.tree["log_likelihood"]["loss"]
    )
    with pytest.raises(ValueError, match=r"the fit of still cannot be scored: .* Its draws do not move; see its check"):
        hl.compare({"still": still, "moving": made_up(runs, 1)})


def test_the_same_runs_in_another_order_are_refused(refits):
    frame = grid(data=(1e8, 4e8), sizes=(1e6,), rates=3, batches=2).assign(loss=lambda table: np.arange(len(table)) / 9)
    one, other = hl.Runs.from_frame(frame), hl.Runs.from_frame(frame.iloc[::-1])
    with pytest.raises(ValueError, match="'b' and 'a' were fitted to the same runs in another order"):
        hl.compare({"a": made_up(one, 0), "b": made_up(other, 1)})


@pytest.mark.parametrize("leave_out", ["run", "task", "scale"])
def test_arviz_draws_and_compares(leave_out, refits):
    runs = made_up_runs(("a", "b"), data=(1e8, 4e8, 1.6e9))
    comparison = hl.compare({"one": made_up(runs, 0), "two": made_up(runs, 1)}, leave_out=leave_out, seed=0)
    drawn = comparison.plot()
    assert drawn.viz["plot"].item().has_data()
    plt.close("all")
    again = az.compare(comparison.scores, round_to="none")
    np.testing.assert_allclose(again[["elpd", "se"]], comparison.table[["elpd", "se"]])


def test_refusals(refits):
    runs = made_up_runs()
    fits = {"a": made_up(runs, 0), "b": made_up(runs, 1)}
    with pytest.raises(ValueError, match="leave_out must be 'run', 'task' or 'scale', received 'cell'"):
        hl.compare(fits, leave_out="cell", seed=0)
    with pytest.raises(ValueError, match=r"leave_out='scale' refits the laws, which needs a seed\. Pass seed=0"):
        hl.compare(fits, leave_out="scale")
    with pytest.raises(TypeError, match="seed must be an integer of 0 or more, received -1"):
        hl.compare(fits, seed=-1)
    with pytest.raises(ValueError, match="leave_out='task' needs two tasks or more, these runs have one, 'all'"):
        hl.compare(fits, leave_out="task", seed=0)
    with pytest.raises(ValueError, match=r"leave_out='scale' needs three scales or more.*have 2"):
        hl.compare(fits, leave_out="scale", seed=0)
    assert not refits


def test_moment_matching_is_given_the_densities_of_the_fit(pair):
    fit = pair["falling"]
    places, log_joint, log_density = densities(fit)
    joint = log_joint(places)
    assert joint.dims == ("chain", "draw")
    np.testing.assert_allclose(-joint, fit.tree["sample_stats"]["lp"], rtol=1e-9)
    expected = fit.tree["log_likelihood"]["loss"][..., OUTLIER]
    np.testing.assert_allclose(log_density(places, OUTLIER), expected, rtol=1e-9)


def test_moment_matching_agrees_with_psis_where_both_can_be_trusted(pair):
    fit = pair["falling"]
    with warnings.catch_warnings(), np.errstate(over="ignore", invalid="ignore"):
        warnings.simplefilter("ignore", UserWarning)
        plain = az.loo(fit.tree, var_name="loss", pointwise=True)
        k = plain.pareto_k.values
        threshold = float(np.sort(k[k <= TRUSTED])[-5])
        places, joint, of_run = densities(fit)
        matched = az.loo_moment_match(
            fit.tree, plain, log_prob_upars_fn=joint, log_lik_i_upars_fn=of_run, upars=places, var_name="loss",
            k_threshold=threshold, pointwise=True,
        )  # fmt: skip
    fine = (k > threshold) & (k <= TRUSTED)
    assert fine.sum() == 4
    # Monte Carlo error of an importance-sampling estimate; there are two of them.
    weights = np.exp(plain.log_weights.transpose("chain", "draw", "run"))
    density = np.exp(fit.tree["log_likelihood"]["loss"] - plain.elpd_i)
    error = np.sqrt(((weights / weights.sum(("chain", "draw"))) ** 2 * (density - 1) ** 2).sum(("chain", "draw")))
    apart = np.abs(matched.elpd_i - plain.elpd_i).values
    assert (apart < 4 * np.sqrt(2) * error.values)[fine].all()


@pytest.fixture
def in_vain(monkeypatch):
    """The outlier sways the fit, and matching does not help, whatever the draws."""
    loo, match = az.loo, az.loo_moment_match

    def swayed(*args, **kwargs):
        done = loo(*args, **kwargs)
        done.pareto_k.values[OUTLIER] = 1.0
        return done

    def failed(*args, **kwargs):
        done = match(*args, **kwargs)
        done.pareto_k.values[OUTLIER] = 1.0
        return done

    monkeypatch.setattr("hyperlaw.diagnostics.psis_loo.az.loo", swayed)
    monkeypatch.setattr("hyperlaw.diagnostics.psis_loo.az.loo_moment_match", failed)


@pytest.mark.usefixtures("in_vain")
def test_a_run_that_sways_the_fit_needs_a_seed(pair, refits):
    with pytest.raises(
        ValueError, match=r"only refits can score \d+ of the left-out runs.*refits need a seed\. Pass seed=0"
    ):
        hl.compare(pair)
    assert not refits


@pytest.mark.usefixtures("in_vain")
def test_runs_that_sway_the_fit_are_matched_then_refitted(pair, swayed):
    fit = pair["falling"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # about a high k
        plain = az.loo(fit.tree, var_name="loss", pointwise=True)
    near = matched(fit)
    scores, refits = psis_loo({"falling": fit}, seed=0)
    score = scores["falling"]
    swaying = plain.pareto_k.values > plain.good_k
    refitted = score.pareto_k.values == 0
    assert swaying[OUTLIER]
    assert refitted[OUTLIER]
    assert not (refitted & ~swaying).any()
    assert (score.pareto_k <= score.good_k).all()
    np.testing.assert_array_equal(score.influence_pareto_k, plain.pareto_k)
    np.testing.assert_array_equal(score.elpd_i[~swaying], plain.elpd_i[~swaying])
    np.testing.assert_array_equal(score.elpd_i[~refitted], near.elpd_i[~refitted])

    of_refits = np.flatnonzero(refitted)
    assert refits["left_out"].tolist() == [f"run {swayed.labels[i]}" for i in of_refits]
    keep = pd.Series(np.arange(len(swayed)) != OUTLIER, index=swayed.frame.index)
    seed = int(np.flatnonzero(of_refits == OUTLIER)[0])
    again = refit(fit.likelihood, swayed, seed=seed, keep=keep).tree["log_likelihood"]["loss"].values[..., OUTLIER]
    assert score.elpd_i.values[OUTLIER] == pytest.approx(logsumexp(again) - np.log(again.size), rel=1e-12)
    assert score.elpd == pytest.approx(score.elpd_i.sum().item())
    assert score.se == pytest.approx(np.sqrt(60 * np.var(score.elpd_i.values, ddof=1)))
    assert score.p == pytest.approx(score.p_loo_i.sum().item())
    assert not score.warning


def test_a_law_that_cannot_extrapolate_loses_by_scale(pair, capsys):
    comparison = hl.compare(pair, leave_out="scale", seed=0)
    assert comparison.table.index.tolist() == ["falling", "level"]
    assert comparison.table.loc["level", "elpd_diff"] < -10
    assert comparison.by_group.index.tolist() == ["params 4000000, data 400000000"]
    assert np.isnan(comparison.table.loc["level", "dse"])
    assert "over 15 runs in one withheld scale, which gives no standard error." in comparison.sentence
    assert "refitting" in capsys.readouterr().err


def test_drawing_a_withheld_cell_anew_changes_the_noise_alone(pair):
    out = pair["falling"].runs.frame["cell"].to_numpy() == 2
    part = refit_cv.Part("cell 2", keep=np.ones(60, bool), out=out, anew=("cell",))
    anew = refit_cv.log_densities(pair["falling"], part, seed=0)
    assert anew.shape == (refit_cv.ANEW, 1000, 15)
    np.testing.assert_array_equal(anew, refit_cv.log_densities(pair["falling"], part, seed=0))
    assert not np.array_equal(anew, refit_cv.log_densities(pair["falling"], part, seed=1))
    whole = refit_cv.Part("cell 2", keep=part.keep, out=out)
    np.testing.assert_array_equal(refit_cv.log_densities(pair["falling"], whole, seed=0), stored(pair["falling"], out))
    # A cell that was fitted is known far better than one drawn from its population.
    assert refit_cv.log_mean_exp(anew).sum() < refit_cv.log_mean_exp(stored(pair["falling"], out)).sum() - 5


def test_one_fit_or_fits_to_different_runs_are_refused():
    fit, other = made_up(made_up_runs(), 0), made_up(made_up_runs(data=(1e8, 8e8)), 0)
    with pytest.raises(ValueError, match="compare needs two fits or more, received 1"):
        hl.compare({"step": fit})
    with pytest.raises(ValueError, match="'other' and 'step' were fitted to different runs"):
        hl.compare({"step": fit, "other": other})
