"""Rows that fill up a block say nothing, and let tables of nearly equal length and other priors share programs."""

import jax
import numpy as np
import numpyro.distributions as dist
import pandas as pd
import pytest
from conftest import STEPS, TRUTH, VALUE_TRUTH, example_of, grid
from made_fit import made_fit

import hyperlaw as hl
from hyperlaw.inference.derived import _programs
from hyperlaw.inference.programs import Programs
from hyperlaw.inference.programs import programs_of as programs_of_model
from hyperlaw.inference.refit import SHORT, refit
from hyperlaw.models.likelihoods.base import BLOCK
from hyperlaw.models.prior import AtBestLoss

SCATTER = {f"residual_sd_{name}": 0.1 for name in ("learning_rate", "batch_size", "steps", "data")} | {"cell_sd": 0.1}


def some_lost():
    """Simulated runs, some of them diverged."""
    frame = grid(rates=5, batches=4)
    logs = np.log(frame[["learning_rate", "data"]]).to_numpy()
    frame["loss"] = 4 - 0.05 * logs[:, 1] + 0.1 * (logs[:, 0] + 7) ** 2
    return hl.Runs.from_frame(frame.assign(diverged=np.arange(len(frame)) % 11 == 0))


def example(law, kind):
    return example_of(hl.likelihood(law, kind), 2)


TABLES = {
    "runs": (hl.laws.StepLaw(), TRUTH, some_lost),
    "together": (hl.laws.StepLaw(), TRUTH, lambda: example(hl.laws.StepLaw(), "optima")),
    "given batch": (hl.laws.Surge(), VALUE_TRUTH["Surge"], lambda: example(hl.laws.Surge(), "optima")),
    "steps": (hl.laws.StepsExamples(), STEPS, lambda: example(hl.laws.StepsExamples(), "steps_to_loss")),
    "crossings": (
        hl.laws.DataEfficiency(), VALUE_TRUTH["DataEfficiency"], lambda: example(hl.laws.DataEfficiency(), "crossings")
    ),
}  # fmt: skip


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("kind", TABLES)
def test_rows_that_fill_up_a_block_say_nothing(kind):
    law, truth, table = TABLES[kind]
    fit = made_fit(law, table(), truth | SCATTER, draws=1)
    model, rows, index = fit.likelihood, len(fit.table), fit.table.frame.index
    sites = {name: value.values[:, 0] for name, value in fit.draws.items()}

    def joint(design):
        """Log density of everything, and that of each row."""
        rows, prior = _programs(model.bare).densities(sites, design)
        row = sum(rows.values())
        return sum(np.asarray(value).reshape(2, -1).sum(1) for value in (row, *prior.values())), np.asarray(row)

    for observed in (None, pd.Series(np.arange(rows) % 3 > 0, index)):
        design = model.design(fit.table, observed)
        padded = len(design.present)
        assert padded % BLOCK == 0
        assert rows < padded
        cut = jax.tree.map(lambda a, n=padded: a[:rows] if np.shape(a)[:1] == (n,) else a, design)
        (density, row), (density_cut, row_cut) = joint(design), joint(cut)
        np.testing.assert_allclose(density, density_cut, rtol=1e-13)
        np.testing.assert_allclose(row[:, :rows], row_cut, rtol=1e-13)
        np.testing.assert_array_equal(row[:, ~design.observed], 0)
        assert (row[:, design.observed] != 0).all()
        # What is not observed has no say, whatever stands there.
        measured = {
            name: value + (~design.observed) * (name != "diverged") for name, value in model.measured(design).items()
        }
        np.testing.assert_array_equal(joint(model.with_measured(design, measured))[0], density)


def programs_of(model):
    """How many programs of the sampler and of the tree are compiled for a model."""
    kept = programs_of_model(model.bare, SHORT.max_tree_depth)
    held = [f for f in vars(kept).values() if hasattr(f, "_cache_size")]
    assert len(held) >= 5
    return [f._cache_size() for f in held] + [f._cache_size() for f in _programs(model.bare)]


@pytest.fixture
def compiled():
    """Names of all that is compiled from here on."""
    seen = []

    def note(event, duration, **more):
        if event == "/jax/core/compile/backend_compile_duration":
            seen.append(more.get("fun_name", event))

    jax.monitoring.register_event_duration_secs_listener(note)
    yield seen
    jax.monitoring.unregister_event_duration_listener(note)


def test_another_prior_compiles_nothing(compiled):
    law = hl.laws.Surge()
    table = example(law, "optima")
    refit(law, table, seed=0)
    first = programs_of(hl.likelihood(law, table))
    jax.jit(lambda x: x + 1.25)(np.ones(3))
    assert compiled  # such a thing is noticed
    compiled.clear()
    priors = {"log_noise_scale": dist.Normal(4.0, 0.5), "residual_sd_learning_rate": dist.LogNormal(-1.0, 0.2)}
    kinds = {name: type(hl.likelihood(law, table).design(table).priors[name]) for name in priors}
    assert kinds == {name: type(prior) for name, prior in priors.items()}
    other = refit(hl.likelihood(law, table, priors=priors), table, seed=1)
    assert compiled == []
    assert programs_of(other.likelihood) == first
    # It is the other prior that was sampled.
    assert other.draws["log_noise_scale"].mean() < 5


@pytest.mark.parametrize("kind", ["runs", "crossings"])
def test_tables_of_nearly_equal_length_share_a_program(kind):
    if kind == "runs":
        law, name, frame = hl.laws.StepLaw(), "optimal_loss", grid(rates=7, batches=6)
        rows = np.arange(252)
        tables = [hl.Runs.from_frame(frame.iloc[kept]) for kept in (rows[:250], rows[rows % 5 > 0][:200])]
        prior = AtBestLoss(2.0)
    else:
        law, name, prior = hl.laws.DataEfficiency(), "log_data", dist.Normal(1.0, 2.0)
        levels = [{"utd": 2.0**i, "threshold": float(j)} for i in range(2) for j in range(125)]
        frame = pd.DataFrame(levels).assign(data=1e5)
        tables = [hl.Crossings.from_frame(frame), hl.Crossings.from_frame(frame.iloc[50:])]
    assert [len(table) for table in tables] == [250, 200]
    programs = None
    for table in tables:
        for model in (hl.likelihood(law, table), hl.likelihood(law, table, priors={name: prior})):
            programs, design = programs or Programs(model.bare, 5), model.design(table)
            programs.gradient(programs.centre(design, {}), *jax.tree.flatten(programs.as_sampled(design)))
            assert programs.centre._cache_size() == programs.gradient._cache_size() == 1
