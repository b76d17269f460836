"""Every function of arviz-stats and every picture of arviz-plots, of a fit to each kind of table."""

from typing import NamedTuple

import arviz_plots
import arviz_stats as az
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from made_fit import made_fit
from matplotlib.text import Text
from test_sweep_checks import LAW, STILL, sweep
from value_fits import FITTED

import hyperlaw as hl

OTHER_TABLES = [pytest.param(name, marks=pytest.mark.slow) for name in FITTED]
# What looks at tails says of so few draws that it cannot.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Estimated shape parameter of Pareto", "ignore:Reference value 0", "ignore:The group .*not defined"
)


class Case(NamedTuple):
    """A fit as its user holds it, with fewer draws."""

    fit: hl.Fit
    tree: xr.DataTree
    names: list[str]
    outcome: str

    @property
    def panels(self) -> int:
        """How many numbers `names` are."""
        return int(sum(np.prod(self.tree["posterior"][name].shape[2:], dtype=int) for name in self.names))


def case_of(fit: hl.Fit, draws: int = 100) -> Case:
    tree = fit.finished.isel(draw=slice(draws))
    return Case(fit, tree, fit.main[:3], next(iter(tree["observed_data"].data_vars)))


@pytest.fixture(params=["StepLaw", *FITTED], scope="module")
def case(request, fit, value_fit):
    return case_of(fit if request.param == "StepLaw" else value_fit(request.param))


@pytest.fixture(params=["StepLaw", *OTHER_TABLES], scope="module")
def drawn(request, fit, value_fit):
    return case_of(fit if request.param == "StepLaw" else value_fit(request.param))


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def over_draws(name):
    """A statistic of posterior draws."""
    return lambda c: getattr(az, name)(c.tree, var_names=c.names)


def middle(c, name):
    """Mean of a parameter."""
    return float(c.tree["posterior"][name].mean())


def two(c):
    """Two parameters."""
    return [c.tree["posterior"][name].values.ravel() for name in c.names[:2]]


def compared(c):
    """A fit beside itself."""
    return az.compare({"one": c.tree, "other": c.tree}, var_name=c.outcome, round_to="none")


def scaled(c):
    """Log densities of the posterior up to a constant, for what takes another as its approximation."""
    densities = c.tree["log_prior"].to_dataset().to_dataarray().sum("variable")
    return densities.values.ravel()


STATISTICS = {
    **{name: over_draws(name) for name in (
        "ess", "eti", "hdi", "histogram", "iqr", "kde", "mad", "mcse", "mean", "median", "mode", "psense",
        "psense_summary", "qds", "rhat", "std", "summary", "thin", "var",
    )},
    "bayes_factor": lambda c: az.bayes_factor(c.tree, c.names[0], ref_vals=middle(c, c.names[0])),
    "bfmi": lambda c: az.bfmi(c.tree),
    "ci_in_rope": lambda c: az.ci_in_rope(c.tree, (-100, 100), var_names=c.names),
    "compare": lambda c: compared(c)[["elpd_diff", "elpd", "p", "se", "weight"]],
    "diagnose": lambda c: az.diagnose(c.tree, var_names=c.names, return_diagnostics=True, show_diagnostics=False)[0],
    "ecdf": lambda c: az.ecdf(c.tree["posterior"].dataset[c.names], dim=["chain", "draw"]),
    "get_log_likelihood": lambda c: az.get_log_likelihood(c.tree, c.outcome),
    "hexbin": lambda c: az.hexbin(*two(c)),
    "histogram2d": lambda c: az.histogram2d(*two(c)),
    "kde2d": lambda c: az.kde2d(*two(c)),
    "kl_divergence": lambda c: az.kl_divergence(c.tree, c.tree, var_names=c.names, num_samples=100),
    "loo": lambda c: az.loo(c.tree, var_name=c.outcome),
    "loo_approximate_posterior": lambda c: az.loo_approximate_posterior(c.tree, *[scaled(c)] * 2, var_name=c.outcome),
    "loo_expectations": lambda c: az.loo_expectations(c.tree, var_name=c.outcome)[0],
    "loo_i": lambda c: az.loo_i(0, c.tree, var_name=c.outcome),
    "loo_influence": lambda c: az.loo_influence(c.tree, var_names=c.outcome),
    "loo_metrics": lambda c: az.loo_metrics(c.tree, var_name=c.outcome),
    "loo_pit": lambda c: az.loo_pit(c.tree),
    "loo_r2": lambda c: az.loo_r2(c.tree, c.outcome),
    "loo_score": lambda c: az.loo_score(c.tree, var_name=c.outcome),
    "loo_subsample": lambda c: az.loo_subsample(c.tree, observations=10, var_name=c.outcome),
    "metrics": lambda c: az.metrics(c.tree, var_name=c.outcome),
    "rhat_nested": lambda c: az.rhat_nested(c.tree, var_names=c.names, superchain_ids=[0, 0, 1, 1]),
    "update_subsample": lambda c: az.update_subsample(
        az.loo_subsample(c.tree, observations=5, var_name=c.outcome), c.tree, observations=5, var_name=c.outcome
    ),
    "wasserstein": lambda c: az.wasserstein(c.tree, c.tree, var_names=c.names, num_samples=100),
    "weight_predictions": lambda c: az.weight_predictions([c.tree, c.tree], weights=[0.5, 0.5]),
}  # fmt: skip
WITHOUT = {
    "bayesian_r2": "asks for the mean of each row as a variable of the posterior",
    "residual_r2": "as bayesian_r2",
    "get_function": "an accessor of the package's own",
    "kaplan_meier": "reads whether a value is one-sided from a column that has the outcome's name",
    "generate_survival_curves": "as kaplan_meier",
    "lfo_cv": "refits by a wrapper of one's own; hl.compare(leave_out='scale') does",
    "loo_kfold": "refits by a wrapper of one's own; hl.compare(leave_out='task') does",
    "loo_moment_match": "asks for functions of the model; hl.compare hands them over (tests/test_compare.py)",
    "reloo": "refits by a wrapper of one's own; hl.compare does",
}


def posterior_plot(name):
    return lambda c: getattr(arviz_plots, name)(c.tree, var_names=c.names, backend="matplotlib")


def outcome_plot(name, **more):
    return lambda c: getattr(arviz_plots, name)(c.tree, var_names=[c.outcome], backend="matplotlib", **more)


BY_PARAMETER = {
    "plot_autocorr", "plot_bf", "plot_convergence_dist", "plot_dgof", "plot_dgof_dist", "plot_dist", "plot_ess",
    "plot_ess_evolution", "plot_forest", "plot_mcse", "plot_pair", "plot_parallel", "plot_prior_posterior",
    "plot_psense_dist", "plot_psense_quantities", "plot_rank", "plot_rank_dist", "plot_ridge", "plot_trace",
    "plot_trace_dist",
}  # fmt: skip
PLOTS = {
    **{name: posterior_plot(name) for name in sorted(BY_PARAMETER)},
    **{name: outcome_plot(name) for name in (
        "plot_loo_interval", "plot_loo_pit", "plot_ppc_dist", "plot_ppc_dist_pit", "plot_ppc_interval", "plot_ppc_pit",
        "plot_ppc_tstat",
    )},
    "plot_compare": lambda c: arviz_plots.plot_compare(compared(c), backend="matplotlib"),
    "plot_energy": lambda c: arviz_plots.plot_energy(c.tree, backend="matplotlib"),
    "plot_khat": lambda c: arviz_plots.plot_khat(
        az.loo(c.tree, var_name=c.outcome, pointwise=True), backend="matplotlib"
    ),
    "plot_lm": lambda c: arviz_plots.plot_lm(c.tree, y=c.outcome, smooth=False, backend="matplotlib"),
    "plot_pair_focus": lambda c: arviz_plots.plot_pair_focus(
        c.tree, focus_var=c.names[0], var_names=c.names[1:], backend="matplotlib"
    ),
}  # fmt: skip
NOT_DRAWN = {
    "add_bands": "adds to a picture", "add_lines": "adds to a picture", "combine_plots": "hl.plots.sampling does",
    "plot_ecdf_pit": "of ranks of many fits: hl.calibrate(...).plot()",
    "plot_loo_pava": "of outcomes that are classes", "plot_ppc_pava": "of outcomes that are classes",
    "plot_ppc_pava_residuals": "of outcomes that are classes", "plot_ppc_rootogram": "of counts",
    "plot_ppc_censored": "as kaplan_meier",
}  # fmt: skip


def test_every_function_of_arviz_is_asked_or_has_a_reason():
    public = {
        name for name in dir(az)
        if not name.startswith("_") and not isinstance(getattr(az, name), type)
        and getattr(getattr(az, name), "__module__", "").startswith("arviz_stats")
    }  # fmt: skip
    assert public == STATISTICS.keys() | WITHOUT.keys()
    assert set(arviz_plots.plots.__all__) == PLOTS.keys() | NOT_DRAWN.keys()


def numbers(value):
    """Every number that a result of ArviZ holds."""
    if isinstance(value, xr.DataTree):
        return np.concatenate([numbers(node.to_dataset()) for node in value.subtree])
    if isinstance(value, xr.Dataset):
        return np.concatenate([numbers(v) for v in value.data_vars.values()] or [np.zeros(0)])
    if isinstance(value, pd.DataFrame):
        return value.select_dtypes("number").to_numpy(float).ravel()
    if isinstance(value, dict):
        return np.concatenate([numbers(v) for v in value.values()])
    if isinstance(value, az.ELPDData):
        return np.array([value.elpd, value.se, value.p], float)
    if isinstance(value, tuple):
        return np.concatenate([numbers(v) for v in value])
    if isinstance(value, xr.DataArray):
        return value.values.ravel().astype(float) if value.dtype.kind in "fib" else np.zeros(0)
    return np.atleast_1d(np.asarray(value, float)).ravel()


@pytest.mark.parametrize("name", STATISTICS)
def test_a_statistic_has_finite_numbers(case, name):
    certain = case.tree["posterior_predictive"][case.outcome].notnull().all(["chain", "draw"]).values
    rows = {case.fit.likelihood.row: np.flatnonzero(certain)}  # a mean over draws that diverge is none
    found = numbers(STATISTICS[name](case._replace(tree=case.tree.isel(rows))))
    assert found.size
    # ArviZ has no influence of some runs.
    assert np.isfinite(found).mean() > 0.9 if name == "loo_influence" else np.isfinite(found).all()


# Panels where they are not one a parameter.
PANELS = {
    "plot_compare": lambda n: 1, "plot_dgof_dist": lambda n: 2 * n, "plot_convergence_dist": lambda n: 3,
    "plot_energy": lambda n: 2, "plot_forest": lambda n: 1, "plot_khat": lambda n: 1, "plot_lm": lambda n: 1,
    "plot_pair": lambda n: n * (n + 1) // 2, "plot_pair_focus": lambda n: n - 1, "plot_parallel": lambda n: 1,
    "plot_rank_dist": lambda n: 2 * n, "plot_ridge": lambda n: 1, "plot_trace_dist": lambda n: 2 * n,
    "plot_psense_dist": lambda n: 2 * n, "plot_psense_quantities": lambda n: 2 * n, "plot_ppc_dist_pit": lambda n: 2,
    **dict.fromkeys(
        ("plot_loo_interval", "plot_loo_pit", "plot_ppc_dist", "plot_ppc_interval", "plot_ppc_pit", "plot_ppc_tstat"),
        lambda n: 1,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PLOTS)
def test_a_picture_has_its_panels_and_its_names(drawn, name):
    if name == "plot_loo_interval" and len(drawn.tree["observed_data"].data_vars) > 1:
        pytest.skip("it draws every outcome, whichever it is asked for, and finds no panel for the second")
    figure = PLOTS[name](drawn).viz["figure"].item()
    figure.canvas.draw()
    panels = [ax for ax in figure.axes if ax.has_data()]
    assert len(panels) == PANELS.get(name, lambda n: n)(drawn.panels)
    for ax in panels:
        assert np.isfinite([*ax.get_xlim(), *ax.get_ylim()]).all()
    texts = " ".join(text.get_text() for text in figure.findobj(Text))
    assert "nan" not in texts
    if name in BY_PARAMETER - {"plot_convergence_dist"}:
        assert all(parameter in texts for parameter in drawn.names)


@pytest.mark.parametrize("name", ["plot_trace", "plot_dist", "plot_rank", "plot_ess"])
def test_the_short_list_of_names_fits_the_panels_of_a_picture(fit, name):
    assert len(fit.main) < 20 < len(fit.draws.data_vars)
    picture = getattr(arviz_plots, name)(fit.tree.isel(draw=slice(50)), var_names=fit.main, backend="matplotlib")
    assert len(picture.viz["figure"].item().axes) >= len(fit.main)


def test_every_group_has_the_same_draws_under_the_same_names(case):
    fit, tree, row = case.fit, case.fit.tree, case.fit.likelihood.row
    of_rows = ("log_likelihood", "posterior_predictive", "prior_predictive", "observed_data")
    outcomes = [list(tree[group].data_vars) for group in of_rows]
    assert outcomes == [outcomes[0]] * 4
    for group in ("posterior", "sample_stats", "log_likelihood", "log_prior", "posterior_predictive"):
        assert (tree[group].sizes["chain"], tree[group].sizes["draw"]) == fit.shape
    assert set(tree["prior"].data_vars) == set(tree["posterior"].data_vars)
    assert {dim: tree["prior"].sizes[dim] for dim in ("chain", "draw")} == {"chain": 1, "draw": 500}
    for group in (*of_rows, "constant_data"):
        assert tree[group][row].values.tolist() == fit.table.labels
    assert all(values.dtype.kind in "fib" for values in tree["constant_data"].data_vars.values())
    assert tree["constant_data"]["task_label"].values.tolist() == fit.table.frame["task"].tolist()
    for dim in ("cell", "task"):
        if dim in tree["posterior"].dims:
            labels = tree["posterior"][dim].values
            assert labels.dtype.kind == "U"
            assert len(set(labels)) == len(labels)


def test_log_prior_holds_priors_alone(case):
    fit, densities = case.fit, case.tree["log_prior"].dataset
    parameters = {p.name for p in fit.likelihood.parameter_list}
    between = {str(name) for name in fit.draws if name.endswith("_task_sd")}
    assert set(densities.data_vars) == parameters | between
    design = fit.likelihood.design(fit.table)
    for name in case.names:
        expected = design.priors[name].log_prob(case.tree["posterior"][name].values)
        np.testing.assert_allclose(densities[name], expected, rtol=1e-5, atol=1e-6)


def test_predictive_outcomes_are_where_the_table_is(case):
    predicted, seen = case.fit.tree["posterior_predictive"].dataset, case.fit.tree["observed_data"].dataset
    for name, values in seen.items():
        drawn, here = predicted[name], np.isfinite(values.values)
        low, high = (drawn.quantile(q, ["chain", "draw"]).values[here] for q in (0.05, 0.95))
        inside = (values.values[here] >= low - 1e-9) & (values.values[here] <= high + 1e-9)
        assert 0.8 < inside.mean() <= 1
        spread = values.std()
        assert abs(drawn.median() - values.median()) < spread
        assert drawn.quantile(0.01) > values.min() - 2 * spread
        assert drawn.quantile(0.99) < values.max() + 2 * spread


def test_a_loss_is_missing_where_the_draw_diverges():
    fit = made_fit(LAW, sweep(0), STILL, draws=100, whole=True)
    missing, lost = fit.tree["posterior_predictive"]["loss"].isnull(), fit.runs.frame["diverged"].to_numpy()
    assert np.isnan(fit.tree["observed_data"]["loss"].values).tolist() == lost.tolist()
    assert lost.any()
    assert missing.values[..., lost].mean() > 0.3 > 0.1 > missing.values[..., ~lost].mean()
    assert float(missing.mean()) == pytest.approx(lost.mean(), abs=0.03)
    left = fit.finished
    assert left["observed_data"]["loss"].notnull().all()
    assert left["log_likelihood"].sizes["run"] == (~lost).sum()
    assert left["posterior"].identical(fit.tree["posterior"])


def test_ranks_of_what_was_left_out_are_even(case):
    for ranks in az.loo_pit(case.tree).data_vars.values():
        assert 0.35 < ranks.mean() < 0.65
        assert 0.15 < ranks.std() < 0.4  # 0.29 where they are uniform


def test_whole_rows_can_be_left_out(case):
    assert az.loo(case.fit.by_row).n_data_points == len(case.fit.table)
    total = sum(case.fit.tree["log_likelihood"].data_vars.values())
    np.testing.assert_array_equal(case.fit.row_densities, total)


def test_power_scaling_scales_the_priors_that_the_package_scales(fit):
    ours = hl.sensitivity(fit, quantity="parameters").table
    theirs = az.psense_summary(fit.tree, var_names=fit.main, round_to=8)
    np.testing.assert_allclose(ours.loc[fit.main, "prior"], theirs["prior"], atol=1e-6)
