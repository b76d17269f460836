from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from arviz_stats.base import array_stats
from conftest import STEPS, TRUTH, grid, simulate
from made_fit import REASON, made_fit
from scipy.special import expit
from scipy.stats import t as student_t

import hyperlaw as hl
from hyperlaw.decision.pareto_weights import pareto_weights
from hyperlaw.decision.preposterior import Outcomes, outcomes_of, regret_at, regrets_of, settings_at
from hyperlaw.inference.cells import new_cell
from hyperlaw.inference.example import example
from hyperlaw.models.likelihoods.loss_surface import edges, reach

LAW = hl.laws.StepLaw()
AT = {"params": 4e6, "data": 1.6e10}
# No run diverges, and a new cell lies on its law.
PLAIN = TRUTH | {"divergence_threshold": 60.0, "cell_sd_optimal_loss": 1e-9}
PLAIN |= {"cell_sd_learning_rate": 1e-3, "cell_sd_batch_size": 1e-3}
LIKE = {"params": 4e6, "data": 1.6e9, "batch_size": 2.0**15}


@pytest.fixture(scope="module")
def runs():
    return simulate(LAW, grid(rates=3, batches=2), seed=0)


@pytest.fixture(scope="module")
def made(runs):
    """All is known but the level of the best learning rate, by a factor of 1.5."""
    return made_fit(LAW, runs, PLAIN, scattered={"log_learning_rate": 0.4})


def ask(fit, candidates, **changed):
    return hl.next_runs(fit, AT, **{"candidates": candidates, "n": 1, "risk": hl.Mean(), "seed": 3} | QUIET | changed)


# A fit made by hand holds nothing that checks could look at.
QUIET = {"progress": False, "cost": "runs", "despite": REASON}


@pytest.fixture(scope="module")
def several():
    return pd.DataFrame([{**LIKE, "learning_rate": 1e-3 * 2.0**i, "data": d} for i in (-2, 0, 2) for d in (1e8, 1.6e9)])


def test_smoothed_weights_are_those_of_arviz():
    rng = np.random.default_rng(0)
    for draws in (200, 1500):
        logs = rng.standard_normal((4, draws)) * np.array([[0.3], [1.0], [2.5], [6.0]])
        weights, k = pareto_weights(logs)
        for row in range(4):
            expected, k_hat = array_stats.psislw(-logs[row])
            assert weights[row] == pytest.approx(np.exp(expected), rel=1e-6)
            assert k[row] == pytest.approx(float(k_hat), rel=1e-6)


def test_weights_without_a_tail():
    weights, k = pareto_weights(np.array([np.zeros(400), np.r_[0.0, np.full(399, -1e4)]]))
    assert k.tolist() == [-np.inf, np.inf]
    assert weights[0] == pytest.approx(1 / 400)
    assert weights[1, 0] == 1


@pytest.mark.parametrize("risk", [hl.Mean(), hl.CVaR(0.8)])
def test_gain_is_that_of_choosing_anew_among_repeated_draws(risk):
    """Weights in whole numbers are draws counted several times."""
    rng = np.random.default_rng(1)
    regret = rng.gamma(1.0, 1.0, (60, 7)) * np.linspace(1, 1.3, 7)
    regrets = regrets_of(regret, risk)
    counts = rng.integers(0, 4, (5, 60))
    setting, threshold = regrets.incumbent
    for gain, count in zip(regrets.gains(counts / counts.sum(axis=1, keepdims=True)), counts, strict=True):
        drawn = np.repeat(regret, count, axis=0)
        over = np.maximum(drawn[:, setting] - threshold, 0).mean() / regrets.share
        assert gain <= threshold + over - risk(drawn).min() + 1e-9
        assert gain >= threshold + over - risk(drawn)[setting] - 1e-9
    assert regrets.gains(np.full((1, 60), 1 / 60)) == pytest.approx(0, abs=1e-6)


def test_outcomes_and_their_density_agree(made, several):
    cells = np.arange(6) // 3
    run = outcomes_of(made, several, cells, np.arange(3000), "test").run
    risky = Outcomes(run._replace(logit=np.full_like(run.logit, -1.0)), np.full(6, np.inf))
    loss = risky.simulate(np.random.default_rng(1))
    assert np.isnan(loss).mean() == pytest.approx(expit(-1.0), abs=0.01)
    density = risky.log_likelihood(2, np.array([np.nan, 2.5]))
    assert density[0] == pytest.approx(np.log(expit(-1.0)))
    expected = student_t.logpdf(2.5, 4.0, run.location[:, 2], run.scale[:, 2]) + np.log(expit(1.0))
    assert density[1] == pytest.approx(expected)


def test_a_run_in_a_fitted_cell_is_read_at_its_edge(made, several):
    frame = made.runs.frame
    edge = edges(frame, made.surface.window * reach(frame))[frame["cell"] == 5][0]
    known, new = (outcomes_of(made, several, np.full(6, cell), np.arange(9), "test") for cell in (5, -1))
    beyond = known.log_likelihood(0, edge + np.array([0.0, 0.1, 3.0]))
    np.testing.assert_allclose(beyond, beyond[:1].repeat(3, axis=0))
    assert np.diff(new.log_likelihood(0, edge + np.array([0.0, 3.0])), axis=0).max() < 0


@pytest.mark.parametrize("risk", [hl.Mean(), hl.CVaR(0.9)])
def test_value_of_a_run_is_that_of_integrating_over_its_loss(made, risk):
    """The same value without simulated losses, smoothed weights or thinned draws."""
    run = pd.DataFrame([{**LIKE, "learning_rate": 4e-4}])
    found = ask(made, run, risk=risk)
    target = new_cell(made, AT)
    regret = regret_at(made, target, np.arange(3000), settings_at(made, target))
    of_run = outcomes_of(made, run, np.array([5]), np.arange(3000), "test")
    losses = np.linspace(of_run.run.location.min() - 0.05, of_run.run.location.max() + 0.05, 500)
    density = np.exp(of_run.log_likelihood(0, losses))
    regrets = regrets_of(regret, risk)
    weights = density / density.sum(axis=1, keepdims=True)
    exact = (regrets.gains(weights) * density.mean(axis=1)).sum() * (losses[1] - losses[0])
    row = found.table.iloc[0]
    assert found.risk == pytest.approx(risk(regret).min(), rel=0.1)
    assert abs(row["reduction"] - exact) < 4 * row["error"] + 0.05 * exact
    assert 0.2 * found.risk < exact < found.value_of_perfect_information < found.risk
    assert row["untrusted"] < 0.05


def test_a_run_that_says_the_same_again_brings_less(made):
    # Far from the best learning rate, but described: there the scatter is so large that one run does not tell all.
    again = pd.DataFrame([{**LIKE, "learning_rate": 8e-3}] * 3)
    wide = replace(made, likelihood=replace(made.likelihood, window=1e3))
    found = ask(wide, again, n=3)
    fallen = found.table["reduction"].to_numpy()
    assert fallen[0] > 2 * fallen[1] > 0
    assert found.table["cumulated"].iloc[-1] < found.risk
    assert found.draws["cumulated"].mean("outcome").values == pytest.approx(found.table["cumulated"].to_numpy())


def test_the_order_is_by_value_for_the_cost(made, several):
    first = ask(made, several).candidates
    free = ask(made, several, n=6)
    assert free.table.index[0] == first["reduction"].idxmax()
    assert set(free.table.index) == set(several.index)
    worst = int(first["reduction"].idxmin())
    cost = np.where(several.index == worst, 1e-9, 1.0)
    for given in (cost, lambda frame: np.where(frame.index == worst, 1e-9, 1.0)):
        found = ask(made, several, cost=given)
        assert found.table.index[0] == worst
        assert found.table["per_cost"].iloc[0] == pytest.approx(found.table["reduction"].iloc[0] / 1e-9)
    assert ask(made, several, cost="compute").candidates["cost"].tolist() == [6 * 4e6 * d for d in several["data"]]


def test_new_and_fitted_cells(made, several):
    found = ask(made, pd.concat([several, several.assign(data=6.4e9)], ignore_index=True), n=2)
    assert found.candidates["new_cell"].tolist() == [False] * 6 + [True] * 6
    assert list(found.table.columns) == [
        "learning_rate", "batch_size", "params", "data", "new_cell", "cost", "reduction", "per_cost", "error", "k_hat",
        "untrusted", "cumulated", "cumulated_cost",
    ]  # fmt: skip
    # A floor that is not known hides what a single loss says.
    apart = made_fit(LAW, made.runs, PLAIN | {"cell_sd_optimal_loss": 0.3}, scattered={"log_learning_rate": 0.4})
    new = ask(apart, pd.DataFrame([{**LIKE, "data": 6.4e9, "learning_rate": 4e-4}]))
    assert new.table["reduction"].iloc[0] < 0.2 * found.candidates["reduction"].max()


def test_same_seed_same_answer(made, several):
    first, again, other = (ask(made, several, n=2, seed=seed) for seed in (5, 5, 6))
    assert first.table.equals(again.table)
    assert not first.candidates["reduction"].equals(other.candidates["reduction"])


def test_the_sentence(made, several, capsys):
    found = ask(made, several, n=2, progress=True)
    assert "next_runs: choosing" in capsys.readouterr().err
    assert "these 2 runs are expected to lower it by" in found.sentence
    assert "knowing the law exactly" in repr(found)
    doubtful = hl.NextRuns(
        found.table.assign(untrusted=0.2), found.candidates, found.draws, found.risk, 1.0, found.attitude
    )
    assert "Of 2 of the runs more than a tenth of the simulated outcomes" in doubtful.sentence
    assert "new cells" not in found.sentence
    new = ask(made, several.assign(data=6.4e9), n=2)
    assert "In 1 of the new cells fewer than 3 learning rates are named, which `hl.update` refuses" in new.sentence


def test_tasks(several):
    tables = [simulate(LAW, grid((task,), rates=3, batches=2), seed=i).frame for i, task in enumerate("ab")]
    fit = made_fit(LAW, hl.Runs.from_frame(pd.concat(tables, ignore_index=True)), PLAIN)
    target = AT | {"task": "a"}
    for task in "ab":
        found = hl.next_runs(fit, target, candidates=several.assign(task=task), n=1, risk=hl.Mean(), seed=0, **QUIET)
        assert not found.candidates["new_cell"].any()
    with pytest.raises(ValueError, match="candidates name the task 'c'; the fitted ones are a, b"):
        hl.next_runs(fit, target, candidates=several.assign(task="c"), n=1, risk=hl.Mean(), seed=0)
    with pytest.raises(ValueError, match="missing task"):
        hl.next_runs(fit, target, candidates=several, n=1, risk=hl.Mean(), seed=0)


@pytest.mark.parametrize(
    ("changed", "error", "text"),
    [
        ({"risk": hl.WorstCase()}, ValueError, r"under hl\.Mean\(\) or hl\.CVaR\(q\) alone; received WorstCase"),
        ({"seed": 1.5}, TypeError, "seed must be an integer of 0 or more, received 1.5"),
        ({"n": 7}, ValueError, "n must be a whole number from 1 to the 6 candidates, received 7"),
        ({"n": 0}, ValueError, "received 0"),
        ({"cost": "money"}, ValueError, "cost must be .* received 'money'"),
        ({"cost": [1.0, 2.0]}, ValueError, r"one number above zero for each of the 6 candidates, received \[1.0, 2.0"),
        ({"cost": lambda frame: -frame["data"]}, ValueError, "one number above zero for each"),
    ],
)
def test_bad_arguments_are_refused(made, several, changed, error, text):
    with pytest.raises(error, match=text):
        ask(made, several, **changed)


def test_bad_candidates_are_refused(made, several):
    with pytest.raises(ValueError, match="candidates must give learning_rate, batch_size, params, data; missing data"):
        ask(made, several.drop(columns="data"))
    with pytest.raises(ValueError, match=r"candidates\['learning_rate'\] must be finite and above zero, received 0"):
        ask(made, several.assign(learning_rate=0))
    with pytest.raises(ValueError, match="candidates must hold a run or more, received none"):
        ask(made, several.iloc[:0])
    with pytest.raises(ValueError, match="at must give exactly params, data"):
        hl.next_runs(made, {"data": 1e9}, candidates=several, n=1, risk=hl.Mean(), seed=0)
    steps = hl.laws.StepsExamples()
    other = made_fit(steps, example(steps), STEPS | {"residual_sd_steps": 0.1}, draws=50)
    with pytest.raises(TypeError, match="this needs a fit to Runs"):
        ask(other, several)


def test_cells_that_covariates_do_not_tell_apart(several):
    wide = pd.concat([grid(rates=3, batches=2).assign(width=w) for w in (64, 128)], ignore_index=True)
    fit = made_fit(LAW, simulate(LAW, wide, seed=0), PLAIN)
    with pytest.raises(ValueError, match=r"2 fitted cells have .* candidates must give width too"):
        ask(fit, several)
    assert not ask(fit, several.assign(width=64)).candidates["new_cell"].any()
