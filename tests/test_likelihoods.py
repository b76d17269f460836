"""Likelihoods: what they draw and what they say of it belong together, in the model and in NumPy.

Draws of one measurement, made as predictions make them, are put through the distribution function that the model's own
log density integrates to: there they must be uniform. A scale that is a tenth off shows.
"""

import jax
import numpy as np
import pandas as pd
import pytest
from conftest import STEPS, TRUTH, VALUE_TRUTH, grid
from made_fit import made_fit
from numpyro import handlers
from numpyro.infer import Predictive
from scipy.integrate import cumulative_simpson
from scipy.stats import binomtest, ks_2samp, kstest, spearmanr

import hyperlaw as hl
from hyperlaw.diagnostics.score_values import score_values
from hyperlaw.inference.cells import OWN, fitted_cells, new_cell, new_rows, values_at
from hyperlaw.inference.derived import _programs
from hyperlaw.models.likelihoods.censored_student_t import standard_noise
from hyperlaw.models.likelihoods.deviations import levelled
from hyperlaw.models.likelihoods.loss_surface import edges
from hyperlaw.models.likelihoods.surface import SHARED, SHARPNESS

LEAST = 1e-4  # a p-value below this is a failure
DRAWS, MODEL_DRAWS, POINTS = 20_000, 4_000, 8_192
FREE, BOUNDED = 0, 3  # a row without error or ends, and one with both, or with an error where there are no ends
FIXED = 1e-9  # a cell's deviation where it must not scatter

OPTIMA = [{"params": n, "data": d} for n in (1e6, 4e6, 1.6e7) for d in (1e8, 4e8)]
CURVES = [{"data": d, "loss": 3.0, "batch_size": 2.0**b} for d in (1e9, 4e9) for b in range(16, 19)]
LEVELS = [{"utd": u, "threshold": j} for u in (1.0, 4.0) for j in (200.0, 400.0, 600.0)]
STEPS_BY_DATA = STEPS | {"critical_exponent_data": 0.45, "steps_exponent_data": 0.6}


def optima(frame):
    """Optima of both hyperparameters, in data points."""
    return hl.Optima.from_frame(frame, estimated=("learning_rate", "batch_size"), batch_unit=1)


# Law, its parameters, rows, how a table is made of them, and the columns of error and ends of a quantity.
SETUPS = {
    "together": (hl.laws.StepLaw(), TRUTH, OPTIMA, optima, ("{}_error", "{}_low", "{}_high")),
    "given batch": (
        hl.laws.StepLaw(), TRUTH, [row | {"batch_size": 2.0 ** (13 + i)} for i, row in enumerate(OPTIMA)],
        lambda frame: hl.Optima.from_frame(frame, estimated=("learning_rate",)),
        ("{}_error", "{}_low", "{}_high"),
    ),
    "steps": (hl.laws.CriticalBatchData(), STEPS_BY_DATA, CURVES, hl.StepsToLoss.from_frame, ("error",)),
    "crossings": (
        hl.laws.DataEfficiency(), VALUE_TRUTH["DataEfficiency"], LEVELS, hl.Crossings.from_frame,
        ("error", "start", "limit"),
    ),
    "thresholds": (
        hl.laws.DataEfficiencyByThreshold(), VALUE_TRUTH["DataEfficiency"] | {"exponent_utd_threshold_sd": FIXED},
        LEVELS, hl.Crossings.from_frame, ("error", "start", "limit"),
    ),
}  # fmt: skip


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def of_values(kind, *, stretch=1.0, cell_sd=FIXED, correlation=0.0, between=(0.87, 1.2), draws=DRAWS):
    """A fit of measured values with parameters known exactly; `stretch` multiplies every scale of their scatter."""
    law, truth, rows, make, columns = SETUPS[kind]
    levels_fixed = {f"{x}_sd_{name}": FIXED for x in levelled(law) for name in law.predicts}
    truth = truth | levels_fixed | {f"residual_sd_{n}": 0.12 * stretch for n in law.predicts} | {"cell_sd": cell_sd}
    frame = pd.DataFrame(rows)
    unseen = [name for name in law.predicts if name not in frame]
    table = make(frame.assign(**dict.fromkeys(unseen, 1.0)))
    centre = values_at(made_fit(law, table, truth, draws=1), table.frame, scatter=False)
    for name, logs in centre.items():
        frame[name] = value = np.exp(logs[0, 0])
        # Ends a scale or so off the law, so that much of what is measured is one-sided.
        bounded = 0.1 * stretch, *(end * value[BOUNDED] for end in between)
        for column, free, here in zip(columns, (0.0, 0.0, np.inf), bounded, strict=False):
            frame[column.format(name)] = np.where(frame.index == BOUNDED, here, free)
    if "batch_size" in centre:
        frame["correlation"] = correlation
    return made_fit(law, make(frame), truth, draws=draws)


def copies(fit, row, count):
    """Arrays of a table that holds one of its rows so often, and the sites of one draw."""
    design = fit.likelihood.design(fit.table)
    rows = len(design.present)
    sites = {name: value.values[:1, 0] for name, value in fit.draws.items()}
    of_row = jax.tree.map(lambda a: np.repeat(a[row : row + 1], count, 0) if np.shape(a)[:1] == (rows,) else a, design)
    return of_row, sites


def log_density(fit, row, **values):
    """The model's log density of one row at each of some values, in the unit of the model."""
    design, sites = copies(fit, row, len(next(iter(values.values()))))
    changed = fit.likelihood.with_measured(design, fit.likelihood.measured(design) | values)
    return np.asarray(sum(_programs(fit.likelihood.bare).densities(sites, changed)[0].values())[0])


def ends(fit, row, name):
    """Ends of what can be read of a row, natural logs."""
    point = fit.table.points().query("row == @row and quantity == @name")
    with np.errstate(divide="ignore"):
        return tuple(np.log(point[["low", "high"]].to_numpy()[0]))


def reach(draws, low, high, points=POINTS):
    """Values between the ends, dense where draws are; the ends come last."""
    if np.isfinite(low):
        inside = np.linspace(np.nextafter(low, np.inf), np.nextafter(high, -np.inf), points - 2)
    else:
        width = np.subtract(*np.quantile(draws, [0.75, 0.25]))
        inside = np.median(draws) + width * np.sinh(np.linspace(-12, 12, points - 2))
    return np.append(inside, [low, high])


class Distribution:
    """What log densities at such values say, by numerical integration; an end has the probability of all beyond."""

    def __init__(self, values, log_density):
        self.values, self.ends = values[:-2], values[-2:]
        self.inside = cumulative_simpson(np.exp(log_density[:-2]), x=self.values, initial=0)
        self.at_ends = np.where(np.isfinite(self.ends), np.exp(log_density[-2:]), 0.0)
        self.total = self.at_ends.sum() + self.inside[-1]

    def up_to(self, draws):
        """Probability of less than each draw, and of no more."""
        inner = self.at_ends[0] + np.interp(draws, self.values, self.inside)
        low, high = draws <= self.ends[0] + 1e-12, draws >= self.ends[1] - 1e-12  # an exponential's last digit
        less = np.where(low, 0.0, np.where(high, self.total - self.at_ends[1], inner))
        no_more = np.where(low, self.at_ends[0], np.where(high, self.total, inner))
        return less / self.total, no_more / self.total

    def rank(self, draws, seed=0):
        """Where draws lie in it: uniform on 0 to 1 where they come from it."""
        less, no_more = self.up_to(draws)
        return less + (no_more - less) * np.random.default_rng(seed).uniform(size=len(draws))

    def fits(self, draws):
        return kstest(self.rank(draws), "uniform").pvalue > LEAST


def predicted(fit, row, name):
    """Draws of one measured value, natural logs, as `predict` makes them or, with errors and ends, a backtest."""
    likelihood, asked = fit.measured_values, fit.table.frame.iloc[[row]]
    if row != BOUNDED:
        at = asked[list(likelihood.needs_at(fit.table))].iloc[0].to_dict()
        return np.log(fit.predict(at).draws[name].values.ravel())
    p, x, batch = new_rows(fit, asked)
    centre = np.broadcast_to(likelihood.centre(p, x, batch, likelihood.quantities(fit.table))[name], (*fit.shape, 1))
    point = fit.table.points().query("row == @row and quantity == @name").iloc[0]
    noise = standard_noise(fit.rng("new value"), centre.shape)
    return likelihood.value(p, name, centre, point).placed(noise).ravel()


def parameters_alone(fit, draws):
    """Parameters without what belongs to a cell, so that the model draws cells anew."""
    names = [p.name for p in fit.likelihood.parameter_list]
    return {name: np.repeat(fit.draws[name].values[0, :1], draws, 0) for name in names}


def modelled(fit, draws=MODEL_DRAWS, seed=0):
    """What the model itself draws for every row, in its unit, cells and levels drawn anew: shape (draw, row)."""
    design = fit.likelihood.to_simulate(fit.likelihood.design(fit.table))
    key = jax.random.key(seed)
    drawn = _programs(fit.likelihood.bare).predictive(key, parameters_alone(fit, draws), design)
    return {name: np.asarray(value) for name, value in drawn.items()}


def distribution(fit, row, name, draws):
    values = reach(draws, *ends(fit, row, name))
    return Distribution(values, log_density(fit, row, **{name: values}))


@pytest.mark.parametrize("row", [FREE, BOUNDED], ids=["free", "bounded"])
@pytest.mark.parametrize("kind", SETUPS)
def test_predicted_values_follow_the_density_of_the_model(kind, row):
    fit, wrong = of_values(kind), of_values(kind, stretch=1.1)
    names = fit.likelihood.quantities(fit.table)
    design, sites = copies(fit, row, POINTS)
    simulated = _programs(fit.likelihood.bare).predictive(jax.random.key(1), sites, design)
    for name in names:
        drawn = predicted(fit, row, name)
        given = distribution(fit, row, name, drawn)
        if len(names) == 1:
            assert given.total == pytest.approx(1, abs=1e-5)
        if row == BOUNDED and kind != "steps":
            assert (given.at_ends / given.total > 0.1).all()
        assert given.fits(drawn)
        assert given.fits(np.asarray(simulated[name])[0])
        assert not given.fits(predicted(wrong, row, name))


@pytest.mark.parametrize("kind", SETUPS)
def test_the_model_draws_what_predictions_draw(kind):
    fit = of_values(kind, cell_sd=0.2)
    drawn, narrow = modelled(fit), of_values(kind, cell_sd=0.1, stretch=0.5)
    for row in range(len(fit.table)):
        for name, values in drawn.items():
            assert ks_2samp(values[:, row], predicted(fit, row, name)).pvalue > LEAST
            assert ks_2samp(values[:, row], predicted(narrow, row, name)).pvalue < LEAST


def test_rows_of_one_cell_share_its_deviation():
    fit = of_values("crossings", cell_sd=0.2)
    drawn, values = modelled(fit)["data"], values_at(fit, fit.table.frame.iloc[[0, 1, 4]])["data"]
    for other, row in ((1, 1), (2, 4)):  # of the same cell, and of another
        apart = np.ravel(values[..., other] - values[..., 0])
        assert ks_2samp(drawn[:, row] - drawn[:, 0], apart).pvalue > LEAST
    same, another = np.ravel(values[..., 1] - values[..., 0]), np.ravel(values[..., 2] - values[..., 0])
    assert ks_2samp(same - np.median(same), another - np.median(another)).pvalue < LEAST


@pytest.mark.parametrize("correlation", [0.8, -0.8])
def test_errors_that_learning_rate_and_batch_size_share(correlation):
    draws, points = 512, 1024
    shared, apart = (of_values("together", correlation=c, between=(0.6, 1.7), draws=1) for c in (correlation, 0.0))

    def drawn(fit):
        """Batch sizes, and where the learning rate drawn with each lies in what the model says given that."""
        design, sites = copies(fit, BOUNDED, POINTS)
        found = _programs(fit.likelihood.bare).predictive(jax.random.key(2), sites, design)
        batch, rate = (np.asarray(found[name])[0, :draws] for name in ("batch_size", "learning_rate"))
        values = reach(rate, *ends(fit, BOUNDED, "learning_rate"), points)
        both = {"batch_size": np.repeat(batch, points), "learning_rate": np.tile(values, draws)}
        given = [[Distribution(values, d) for d in log_density(f, BOUNDED, **both).reshape(draws, points)]
                 for f in (shared, apart)]  # fmt: skip
        # However the errors go together, the batch size's own density is the same.
        np.testing.assert_allclose(*([one.total for one in each] for each in given), rtol=1e-5)
        return batch, [float(one.rank(rate[[i]], i)[0]) for i, one in enumerate(given[0])]

    batch, ranks = drawn(shared)
    assert kstest(ranks, "uniform").pvalue > LEAST
    assert spearmanr(batch, ranks).pvalue > LEAST
    assert spearmanr(*drawn(apart)).pvalue < LEAST


@pytest.mark.parametrize("kind", SETUPS)
def test_a_backtest_scores_by_that_density_and_those_draws(kind):
    fit = of_values(kind)
    points = fit.table.points().assign(label="")
    for point, scored in zip(points.itertuples(), score_values(fit, fit.table.frame, points), strict=True):
        name, value = point.quantity, np.full(64, np.log(point.value))
        given = distribution(fit, point.row, name, predicted(fit, point.row, name))
        expected = log_density(fit, point.row, **{name: value})[0] - np.log(given.total)
        assert scored["log_score"] == pytest.approx(expected, abs=1e-5)
        for end, level in (("lower", 0.05), ("median", 0.5), ("upper", 0.95)):
            less, no_more = given.up_to(np.log(scored[end]))
            error = np.sqrt(level * (1 - level) / np.prod(fit.shape))
            assert less - 4 * error < level < no_more + 4 * error


def of_runs(stretch=1.0, draws=DRAWS, **fixed):
    truth = TRUTH | {"divergence_threshold": 1.5} | {n: stretch * TRUTH[n] for n in ("noise", "noise_growth")} | fixed
    runs = hl.Runs.from_frame(grid(rates=5, batches=4))
    return made_fit(hl.laws.StepLaw(), runs, truth, draws=draws)


CELLS_FIXED = {f"{of}_sd_{name}": FIXED for of in ("cell", "params", "data") for name in SHARED}
CELLS_FIXED |= {f"cell_sd_{name}": FIXED for name in SHARPNESS}
RUNS = (2, 43, 119)


def predicted_run(fit, row):
    run = fit.table.frame.iloc[row]
    setting = {name: [run[name]] for name in ("learning_rate", "batch_size")}
    draws = fit.predict({name: run[name] for name in fit.law.covariates}, setting).draws
    return draws["loss"].values.ravel(), draws["diverge"].values.ravel()


def density_of_run(fit, row, loss, lost, edge=np.inf):
    """The model's log density of one run that has each of some losses, or diverged; losses are read at the edge."""
    design, sites = copies(fit, row, len(loss))
    changed = design._replace(loss=np.minimum(loss, edge), diverged=lost, edge=np.full(len(loss), edge))
    return np.asarray(sum(_programs(fit.likelihood.bare).densities(sites, changed)[0].values())[0])


@pytest.mark.parametrize("row", RUNS)
def test_predicted_losses_follow_the_density_of_the_model(row):
    fit, wrong = of_runs(**CELLS_FIXED), of_runs(1.1, **CELLS_FIXED)
    loss, diverge = predicted_run(fit, row)
    values = reach(loss, -np.inf, np.inf)
    given = Distribution(values, density_of_run(fit, row, values, np.zeros(POINTS)))
    lost = float(np.exp(density_of_run(fit, row, np.zeros(64), np.ones(64)))[0])
    assert given.total + lost == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(diverge, lost, rtol=1e-5)
    design, sites = copies(fit, row, POINTS)
    design = fit.likelihood.to_simulate(design)
    simulated = _programs(fit.likelihood.bare).predictive(jax.random.key(1), sites, design)
    # Read at an edge, a loss has the probability of all that lies beyond.
    edge = float(np.quantile(loss, 0.7))
    below = values[:-2][values[:-2] < edge]
    values = np.append(below, [-np.inf, edge])
    read = Distribution(values, density_of_run(fit, row, values, np.zeros(len(values)), edge))
    assert read.at_ends[1] / read.total == pytest.approx(0.3, abs=0.02)
    assert given.fits(loss)
    assert given.fits(np.asarray(simulated["loss"])[0])
    assert not given.fits(predicted_run(wrong, row)[0])
    assert binomtest(int(np.sum(simulated["diverged"])), POINTS, lost).pvalue > LEAST


def test_the_model_draws_the_runs_that_predictions_draw():
    fit = of_runs()
    drawn, narrow = modelled(fit), of_runs(cell_sd_learning_rate=0.16, cell_sd_optimal_loss=0.02)
    for row in RUNS:
        loss, diverge = predicted_run(fit, row)
        assert ks_2samp(drawn["loss"][:, row], loss).pvalue > LEAST
        assert ks_2samp(drawn["loss"][:, row], predicted_run(narrow, row)[0]).pvalue < LEAST
        assert binomtest(int(drawn["diverged"][:, row].sum()), MODEL_DRAWS, diverge.mean()).pvalue > LEAST
    # The cells that the model draws are those that a prediction draws.
    blank = handlers.uncondition(fit.likelihood.model)
    program = jax.jit(Predictive(blank, parameters_alone(fit, MODEL_DRAWS), return_sites=OWN, parallel=True))
    cells = program(jax.random.key(1), fit.likelihood.design(fit.table))
    for index, cell in fit.table.cells.iterrows():
        p = new_cell(fit, cell[list(fit.law.covariates)].to_dict()).p
        for name in OWN:
            assert ks_2samp(cells[name][:, index], p[name].ravel()).pvalue > LEAST


def test_the_density_of_a_run_in_a_fitted_cell_is_that_of_the_model():
    fit = of_runs(draws=2)
    frame = fit.table.frame
    lost = np.arange(len(frame)) % 7 == 0
    p, x = fitted_cells(fit)
    design = fit.likelihood.design(fit.table)
    losses = np.where(lost, np.nan, frame["loss"] + 2.6 + 0.002 * np.arange(len(frame)))
    edge = edges(frame.assign(loss=losses), float(design.window))
    assert (losses[~lost] > edge[~lost]).any()
    changed = fit.likelihood.with_measured(design, {"loss": losses, "diverged": lost})
    sites = {name: value.values[0] for name, value in fit.draws.items()}
    rows = np.asarray(sum(_programs(fit.likelihood.bare).densities(sites, changed)[0].values()))
    for cell, runs in frame.groupby("cell"):
        of_cell = {name: value[0, :, cell] for name, value in p.items()}
        logs = (np.log(runs[name].to_numpy()) for name in ("learning_rate", "batch_size"))
        run = fit.surface.run_loss(of_cell, {name: value[cell] for name, value in x.items()}, *logs)
        here = np.flatnonzero(frame["cell"] == cell)
        np.testing.assert_allclose(run.log_density(losses[here], edge[here]), rows[:, here], rtol=1e-9)
