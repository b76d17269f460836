import json
import os

import numpy as np
import numpyro.distributions as dist
import pandas as pd
import pytest
import scipy.stats
from conftest import grid
from conftest import simulate as simulate_at_truth

import hyperlaw as hl
from hyperlaw.diagnostics import calibrate as module
from hyperlaw.diagnostics.calibrate import calibrate
from hyperlaw.inference import ranks as sampling
from hyperlaw.inference.derived import prior_draws
from hyperlaw.inference.posterior import Posterior
from hyperlaw.inference.simulate import simulate

LAW = hl.laws.StepLaw()
MODEL = hl.LossSurface(LAW, own_horizons=True)
AT = {"params": 4e7, "data": 1.6e10}
DERIVED = ["best_learning_rate", "best_batch_size", "best_loss"]


@pytest.fixture(scope="module")
def design():
    return simulate_at_truth(LAW, grid(data=(1e8, 4e8), rates=5, batches=3), seed=1)


@pytest.fixture(scope="module")
def sampled(design, tmp_path_factory):
    """Eight real simulations, and the folder that they were written to."""
    folder = tmp_path_factory.mktemp("calibration")
    return calibrate(LAW, design, simulations=8, seed=3, folder=folder, progress=False), folder


@pytest.fixture
def prior_as_posterior(monkeypatch):
    """A sampler that ignores the data. On average over the prior it is calibrated, and it takes no time."""
    calls = []

    def sample(model, data, *, seed, settings, report):
        calls.append(data)
        chains, draws = settings.chains, settings.draws
        drawn = prior_draws(model, data, seed=seed, draws=chains * draws)
        kept = drawn.keys() - model.measured(data).keys()
        sites = {n: np.array(drawn[n]).reshape(chains, draws, *drawn[n].shape[1:]) for n in kept}
        return sites, {"diverging": np.zeros((chains, draws), bool)}

    monkeypatch.setattr(sampling, "sample", sample)
    return calls


def shares(**columns):
    return pd.DataFrame(columns, index=pd.RangeIndex(256, name="simulation"))


def test_uniform_ranks_leave_the_band_as_often_as_they_should():
    rng = np.random.default_rng(0)
    table = module._table(shares(**{f"q{i}": rng.uniform(size=256) for i in range(200)}))
    assert 0.01 <= (~table["inside"]).mean() <= 0.1
    assert 0.01 <= (table["p_value"] < 0.05).mean() <= 0.1
    assert abs(table["bias"].mean()) < 0.25
    assert table["bias"].std() == pytest.approx(1, abs=0.15)
    for level in (50, 80, 90):
        assert table[f"coverage_{level}"].mean() == pytest.approx(level / 100, abs=0.01)


def test_too_narrow_too_wide_and_biased_posteriors_are_told_apart():
    z = scipy.stats.norm.ppf((np.arange(256) + 0.5) / 256)
    table = module._table(
        shares(
            right=scipy.stats.norm.cdf(z),
            narrow=scipy.stats.norm.cdf(1.5 * z),
            wide=scipy.stats.norm.cdf(0.6 * z),
            low=scipy.stats.norm.cdf(z + 0.4),
        )
    ).set_index("quantity")
    assert table["inside"].to_dict() == {"right": True, "narrow": False, "wide": False, "low": False}
    assert table.loc["right", "p_value"] > 0.4
    assert (table.loc[["narrow", "wide", "low"], "p_value"] < 0.001).all()
    assert table.loc["narrow", "coverage_80"] < 0.7 < 0.9 < table.loc["wide", "coverage_80"]
    assert table.loc["low", "bias"] > 4
    assert abs(table.loc[["right", "narrow", "wide"], "bias"]).max() < 1e-6


def test_a_simulation_keeps_settings_and_priors_of_its_design(design):
    first, data = simulate(LAW, design, seed=5)
    again, same = simulate(LAW, design, seed=5)
    other, _ = simulate(LAW, design, seed=6)
    assert first.pivot == hl.likelihood(LAW, design).pivot(design.cells)
    assert first.tree["posterior"]["noise"] == again.tree["posterior"]["noise"] != other.tree["posterior"]["noise"]
    assert np.array_equal(data.loss, same.loss)
    assert not np.array_equal(data.loss[: len(design)], design.frame["loss"])
    lowest = design.cells["lowest_loss"]
    assert data.priors["optimal_loss"].loc == pytest.approx(lowest.mean())
    assert data.priors["optimal_loss"].scale == pytest.approx(3 * lowest.std())
    assert (data.loss[data.diverged == 1] == 0).all()


@pytest.mark.usefixtures("prior_as_posterior")
def test_a_posterior_that_is_the_prior_is_calibrated_in_all_quantities(design):
    found = calibrate(LAW, design, simulations=24, seed=0, progress=False)
    assert found.table["p_value"].min() > 1e-5  # of some thirty quantities
    assert not found.simulations["troubled"].any()
    assert set(found.table["quantity"]) == {p.name for p in MODEL.parameter_list} | set(DERIVED)
    assert (found.table["simulations"] == 24).all()
    assert found.expected_outside == pytest.approx(0.05 * len(found.table))
    assert len(found.outside) <= 8
    spread = np.sqrt(0.8 * 0.2 / (24 * len(found.table)))
    assert found.table["coverage_80"].mean() == pytest.approx(0.8, abs=4 * spread)
    assert found.at == {"params": 4e7, "data": 4e9}


def test_the_true_optimum_has_a_deviation_of_its_own(design):
    truth, _ = simulate(LAW, design, seed=5)
    found = []
    for seed in (0, 1):
        truth.tree.attrs["seed"] = seed
        found.append(sampling._quantities(truth, AT))
    assert {name for name in found[0] if (found[0][name] != found[1][name]).any()} == set(DERIVED)


def test_longer_calibrations_go_on_from_shorter_ones(design, prior_as_posterior, tmp_path):
    short = calibrate(LAW, design, simulations=8, seed=1, folder=tmp_path, progress=False)
    assert len(prior_as_posterior) == 8
    long = calibrate(LAW, design, simulations=10, seed=1, folder=tmp_path, progress=False)
    assert len(prior_as_posterior) == 10
    pd.testing.assert_frame_equal(short.simulations, long.simulations[:8])
    for name in short.table["quantity"]:
        ranks = [c.tree["prior_sbc"][name].values for c in (short, long)]
        np.testing.assert_array_equal(ranks[0], ranks[1][:8])


def test_failures_are_counted_and_kept_out_of_the_ranks_alone(design, prior_as_posterior, monkeypatch):
    real, fake = sampling.simulate, sampling.sample

    def infinite(law, runs, *, seed):
        truth, data = real(law, runs, seed=seed)
        return truth, data._replace(loss=data.loss + (np.inf if len(seen) == 2 else 0)), seen.append(seed)

    def broken(law, data, **settings):
        sites, stats = fake(law, data, **settings)
        match len(prior_as_posterior):
            case 1:
                raise np.linalg.LinAlgError("Matrix is not positive definite")
            case 2:
                sites["noise"][:] = np.nan
            case 3:
                stats["diverging"][0, :11] = True
            case 4:
                sites["noise"][0] += 5.0
        return sites, stats

    seen = []
    monkeypatch.setattr(sampling, "simulate", lambda *a, **k: infinite(*a, **k)[:2])
    monkeypatch.setattr(sampling, "sample", broken)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    found = calibrate(LAW, design, simulations=12, seed=0, progress=False)
    assert not found.ok
    assert (found.table["simulations"] == 9).all()
    assert sorted(set(found.simulations["failed"])) == [
        "",
        "a posterior draw is not finite",
        "a simulated value is not finite",
        "no mass matrix: Matrix is not positive definite",
    ]
    assert found.failures["failed"] == 3
    assert found.failures["any divergence"] == 1
    assert found.failures["R-hat > 1.05"] == 1
    assert found.failures["troubled"] == 5
    assert "NOT ok" in repr(found)
    assert "12 simulations: 3 failed, 1 with a divergence, 5 troubled" in " ".join(repr(found).split())


def test_nothing_sampled_is_refused(design, monkeypatch):
    def sample(*_, **__):
        raise np.linalg.LinAlgError("no")

    monkeypatch.setattr(sampling, "sample", sample)
    with pytest.raises(RuntimeError, match=r"0 of 8 simulations could be sampled \(no mass matrix: no\): there is"):
        calibrate(LAW, design, simulations=8, seed=0, progress=False)


@pytest.mark.slow
def test_real_posteriors_are_ranked(design):
    """The first simulation is sampled in this thread, the others in threads of their own."""
    records = list(sampling.ranks(MODEL, design, AT, 3, [0, 1]))
    assert sorted(record["simulation"] for record in records) == [0, 1]
    for record in records:
        assert record["failed"] == ""
        assert record["ranks"].keys() == {p.name for p in MODEL.parameter_list} | set(DERIVED)
        assert all(0 <= rank <= sampling.KEPT for rank in record["ranks"].values())
        assert record["ess"] > 0
        assert np.isfinite(record["r_hat"])
    assert records[0]["ranks"] != records[1]["ranks"]


@pytest.mark.slow
def test_real_simulations_run_through(sampled):
    found, folder = sampled
    assert len(found.simulations) == 8
    assert (found.simulations["failed"] == "").all()
    assert (found.simulations["ess"] > 0).all()
    assert found.simulations["r_hat"].notna().all()
    assert (found.table["p_value"] > 1e-5).all()
    assert found.failures["troubled"] == found.simulations["troubled"].sum()
    assert len((folder / module.FILE).read_text().splitlines()) == 9


@pytest.mark.usefixtures("prior_as_posterior")
def test_the_picture_shows_the_quantities_asked_for(design):
    found = calibrate(LAW, design, simulations=8, seed=3, progress=False)
    plot = found.plot(["noise", "best_loss"])
    assert type(plot).__name__ == "PlotCollection"
    assert set(plot.data.data_vars) == {"noise", "best_loss"}
    with pytest.raises(ValueError, match=r"no quantity 'nois' in this calibration; it has \['"):
        found.plot(["nois"])


def goes_on(found, folder, design, tmp_path):
    """Half a line less, then the same call: only that simulation is made again, and all is equal."""
    lines = (folder / module.FILE).read_text().splitlines(keepends=True)
    file = tmp_path / "stopped" / module.FILE
    file.parent.mkdir()
    file.write_text("".join(lines[:-1]) + lines[-1][:30])
    again = calibrate(LAW, design, simulations=8, seed=3, folder=file.parent, progress=False)
    pd.testing.assert_frame_equal(found.table, again.table)
    pd.testing.assert_frame_equal(found.simulations.drop(columns="seconds"), again.simulations.drop(columns="seconds"))
    assert len([json.loads(line) for line in file.read_text().splitlines()]) == 9


def test_a_stopped_calibration_goes_on_with_equal_results(design, prior_as_posterior, tmp_path):
    found = calibrate(LAW, design, simulations=8, seed=3, folder=tmp_path, progress=False)
    goes_on(found, tmp_path, design, tmp_path)
    assert len(prior_as_posterior) == 9


@pytest.mark.slow
def test_a_stopped_calibration_of_real_posteriors_goes_on_with_equal_results(sampled, design, tmp_path):
    goes_on(*sampled, design, tmp_path)


@pytest.fixture
def elsewhere(monkeypatch):
    """Sweeps from a law whose exponent lies far above what the sampled law's prior expects."""
    far = LAW.with_priors({"exponent_data": dist.Normal(1.2, 0.1)})

    def wrong(model, runs, *, seed):
        truth, data = simulate(far, runs, seed=seed)
        return Posterior(model, truth.table, truth.tree, truth.pivot), data._replace(priors=model.design(runs).priors)

    monkeypatch.setattr(sampling, "simulate", wrong)


@pytest.mark.usefixtures("elsewhere", "prior_as_posterior")
def test_a_wrong_prior_is_caught(design):
    found = calibrate(LAW, design, simulations=8, seed=3, progress=False)
    assert not found.ok
    table = found.table.set_index("quantity")
    assert table.loc["exponent_data", "p_value"] < 1e-4
    assert table.loc["exponent_data", "bias"] > 3
    assert (table["p_value"].drop(["exponent_data", "best_batch_size", "best_learning_rate"]) > 1e-4).all()


@pytest.mark.slow
@pytest.mark.usefixtures("elsewhere")
def test_a_wrong_posterior_is_caught(sampled, design):
    found = calibrate(LAW, design, simulations=8, seed=3, progress=False)
    assert not found.ok
    right, table = (c.table.set_index("quantity") for c in (sampled[0], found))
    assert table["p_value"].idxmin() in ("exponent_data", "best_batch_size")
    assert table.loc["exponent_data", "p_value"] < 1e-4 < right.loc["exponent_data", "p_value"]
    assert table.loc["exponent_data", "bias"] > 3


@pytest.mark.parametrize(
    ("change", "kind", "text"),
    [
        ({"seed": -1}, TypeError, r"seed must be an integer of 0 or more, received -1"),
        ({"seed": True}, TypeError, r"seed must be an integer of 0 or more, received True"),
        ({"simulations": 7}, ValueError, r"simulations must be 8 or more, received 7: fewer show nothing"),
        ({"simulations": 8.0}, ValueError, r"simulations must be 8 or more, received 8.0"),
        ({"at": {"params": 1e7}}, ValueError, r"at must give exactly params, data: missing data"),
        ({"at": {"params": 1e7, "data": "much"}}, ValueError, r"at\['data'\] must be a number such as 1e9"),
    ],
)
def test_refusals_come_before_any_sampling(change, kind, text, design, monkeypatch):
    monkeypatch.setattr(sampling, "sample", lambda *_, **__: pytest.fail("sampled"))
    with pytest.raises(kind, match=text):
        calibrate(LAW, design, **{"simulations": 8, "seed": 0, "progress": False} | change)


def test_a_law_that_the_design_lacks_a_covariate_for_is_refused():
    runs = hl.Runs.from_frame(grid().query("params == 1e6").drop(columns="params"))
    with pytest.raises(ValueError, match="ComputeLaw needs params, which this table does not have"):
        calibrate(hl.laws.ComputeLaw(), runs, seed=0)


@pytest.mark.usefixtures("prior_as_posterior")
def test_a_folder_of_another_calibration_is_refused(design, monkeypatch, tmp_path):
    asked = {"simulations": 8, "seed": 3, "folder": tmp_path, "progress": False}
    calibrate(LAW, design, **asked)
    monkeypatch.setattr(sampling, "sample", lambda *_, **__: pytest.fail("sampled"))
    for change in ({"seed": 4}, {"at": {"params": 4e7, "data": 1.7e10}}):
        with pytest.raises(ValueError, match=r"calibration.jsonl holds a calibration with another law, prior, design"):
            calibrate(LAW, design, **asked | change)


def test_law_prior_and_design_tell_calibrations_apart(design):
    others = [
        (MODEL.with_priors({"noise": dist.LogNormal(0.0, 1.0)}), design),
        (hl.likelihood(LAW, design, pooling={"exponent_data": "separate"}), design),
        (hl.likelihood(hl.laws.TimeTransfer(), design), design),
        (MODEL, design.where(design.frame["learning_rate"] > 3e-4)),
    ]
    assert len({module._digest(model, runs, AT, 3) for model, runs in [(MODEL, design), *others]}) == 5
    same = {"data": np.float64(1.6e10), "params": 40_000_000}
    assert module._digest(MODEL, design, same, 3) == module._digest(MODEL, design, AT, 3)


def test_with_several_tasks_the_target_is_a_new_one(pooled):
    target = module._beyond(pooled.likelihood, pooled.runs)
    assert target == {"params": 4e7, "data": 1.6e10, "task": None}
    quantities = sampling._quantities(pooled, target)
    assert "optimal_loss_task_sd" in quantities
    assert "optimal_loss_task" not in quantities
