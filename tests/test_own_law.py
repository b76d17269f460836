"""A law of a user's own: registered or handed over, it is treated as those of the package are."""

import re

import numpy as np
import numpyro.distributions as dist
import pandas as pd
import pytest
import xarray as xr
from agreement import recovered
from conftest import CHECKED, RUNS_LAWS, TRUTH, grid, simulate

import hyperlaw as hl
from hyperlaw.diagnostics.baselines.settings import RECIPES
from hyperlaw.diagnostics.check import SAMPLER
from hyperlaw.inference.refit import refit
from hyperlaw.models.law import LAWS, RESERVED

AT = {"data": 1.28e10}
ONE = {"learning_rate": [1e-3], "batch_size": [2.0**16]}


def define():
    """Define a law and register it, as the cell of a notebook does."""

    @hl.laws.register
    class Horizon(hl.OptimumLaw):
        """Best batch size and learning rate as powers of data, with the square-root rule between them."""

        covariates = ("data",)
        own_parameters = (
            hl.Parameter("log_batch_size", "best batch size at the pivot", "ln", dist.Normal(10, 2), "wide"),
            hl.Parameter(
                "exponent_data", "exponent of it with data", "", dist.Normal(0.5, 0.3), "published 0.4 to 0.7",
                group_sd=0.1, informed_by=("data",),
            ),
            hl.Parameter("log_learning_rate", "best learning rate at the pivot", "ln", dist.Normal(-7, 2), "wide"),
            hl.Parameter(
                "rate_exponent_data", "exponent of it with data", "", dist.Normal(0, 0.3), "of either sign",
                group_sd=0.1, informed_by=("data",),
            ),
        )  # fmt: skip

        def log_batch_size(self, p, x):
            return p["log_batch_size"] + p["exponent_data"] * x["data"]

        def log_learning_rate(self, p, x, log_batch_size):
            rule = 0.5 * (log_batch_size - self.log_batch_size(p, x))
            return p["log_learning_rate"] + p["rate_exponent_data"] * x["data"] + rule

    return Horizon


class PowerOfBatch(hl.ValueLaw):
    """Steps to a loss as a power of the batch size."""

    tables = ("steps_to_loss",)
    predicts = ("steps",)
    covariates = ()
    needs_batch_size = True
    own_parameters = (
        hl.Parameter("log_steps", "steps at 1,024 data points", "ln", dist.Normal(8, 3), "wide", group_sd=0.5),
        hl.Parameter(
            "exponent", "with which steps fall with the batch size", "", dist.Normal(0.7, 0.3), "1 is perfect scaling",
            informed_by=("batch_size",),
        ),
    )  # fmt: skip

    def log_value(self, quantity, p, x, log_batch_size):
        return p["log_steps"] - p["exponent"] * (log_batch_size - np.log(1024))


@pytest.fixture(autouse=True)
def registry():
    """What a test registers is forgotten after it."""
    before = dict(LAWS)
    yield
    LAWS.clear()
    LAWS.update(before)


@pytest.fixture(scope="module")
def own():
    law = define()
    yield law
    LAWS.pop("Horizon")


@pytest.fixture(scope="module")
def runs(own):
    return simulate(own(), grid(sizes=(1e6,), data=1e8 * 2.0 ** np.arange(6)), seed=5)


@pytest.fixture(scope="module")
def own_fit(own, runs):
    return hl.fit(own(), runs, seed=0, **CHECKED)


@pytest.fixture(scope="module")
def path(own_fit, tmp_path_factory):
    """Where the fit is saved."""
    file = tmp_path_factory.mktemp("own") / "own.nc"
    own_fit.save(file)
    return file


def test_it_is_listed_with_the_others(own):
    table = hl.laws.table()
    assert table.loc["Horizon"].tolist() == [own.__doc__, "learning_rate, batch_size", "runs, optima", "data"]
    assert list(table.index) == list(LAWS)
    assert set(RUNS_LAWS) < set(table.index)
    parameters = hl.likelihood(own(), "runs").parameters
    assert parameters.loc["exponent_data", "pooled over"] == "task"
    assert {"noise", "optimal_loss_slope_data", "sharpness_batch_exponent_data"} < set(parameters.index)


def test_it_is_fitted_and_checked(own_fit):
    for name in own_fit.law.parameters.index:
        recovered(own_fit.draws[name], TRUTH[name])
    checks = own_fit.check()
    assert set(checks.failed) <= {spec.name for spec in SAMPLER}  # its draws may be too few; nothing else may fail
    status = checks.table.set_index("check")["status"]
    informed = [name for name in status.index if name.startswith("contraction of ")]
    assert informed == ["contraction of exponent_data", "contraction of rate_exponent_data"]
    assert (status[[*informed, "range of data (ratio)", "runs inside 90 % posterior predictive"]] == "PASS").all()


def test_it_predicts_and_decides(own_fit):
    predicted = own_fit.predict(AT, ONE)
    assert list(predicted.table.index) == ["learning_rate", "batch_size", "loss"]
    assert predicted.extrapolation.loc["data", "decades"] == pytest.approx(np.log10(4))
    moved = np.log(AT["data"]) - own_fit.pivot["data"]
    recovered(np.log(predicted.draws["best_batch_size"]), TRUTH["log_batch_size"] + TRUTH["exponent_data"] * moved)
    choice = hl.decide(own_fit, at=AT, risk=hl.CVaR(0.9), despite="a test")
    for name, value in choice.setting.items():
        low, _, high = predicted.table.loc[name]
        assert low < value < high
    assert choice.table.loc["recommended", "risk"] <= choice.table.loc["reuse_best", "risk"]
    assert "Horizon" in repr(own_fit)
    with pytest.raises(ValueError, match="at must give exactly data: missing data; unknown params"):
        own_fit.predict({"params": 1e6})


def test_it_is_compared_with_a_law_of_the_package(own_fit, runs):
    other = refit(hl.laws.StepLaw(), runs, seed=0)
    comparison = hl.compare({"mine": own_fit, "StepLaw": other}, seed=0)
    assert set(comparison.table.index) == {"mine", "StepLaw"}
    assert len(comparison.scores["mine"].elpd_i) == len(runs)
    assert re.match(r"(mine|StepLaw) predicts a left-out run better than (mine|StepLaw), ", comparison.sentence)


def test_it_is_backtested_beside_the_recipes(own, runs):
    tested = hl.backtest({"mine": own()}, runs, seed=0, risks={"mean": hl.Mean()}, progress=False)
    assert set(tested.table["method"]) == {"mine", *RECIPES}
    assert tested.withheld == "withheld data 3.2B"
    mine = tested.table.query("method == 'mine'").iloc[0]
    assert mine["regret"] >= 0
    assert 0.5 < mine["covered_runs"] <= 1
    assert np.isfinite(tested.summary.loc[("mine", "mean"), "regret"])


def test_a_saved_fit_is_loaded_where_the_law_is_known(own, own_fit, path):
    again = hl.load_fit(path)
    assert type(again.law) is own
    assert again.likelihood == own_fit.likelihood
    xr.testing.assert_identical(again.predict(AT, ONE).draws, own_fit.predict(AT, ONE).draws)
    del LAWS["Horizon"]
    text = (
        f"{path} holds a fit of 'Horizon', which is not among the laws known here: {', '.join(LAWS)}. If it is a law "
        "of your own, define it first and pass laws=[Horizon], or register it with @hl.laws.register."
    )
    with pytest.raises(ValueError, match=re.escape(text)):
        hl.load_fit(path)
    assert hl.load_fit(path, laws=[own]).likelihood == own_fit.likelihood
    assert "Horizon" not in LAWS  # what is handed over is known to this call alone


def test_a_law_that_has_other_parameters_now_does_not_take_up_an_old_fit(own, path):
    class Horizon(own):
        own_parameters = (*own.own_parameters, hl.Parameter("more", "one more", "", dist.Normal(0, 1), "wide"))

    with pytest.raises(ValueError, match=r"whose Horizon had no more\. Fit its table again"):
        hl.load_fit(path, laws=[Horizon])


def test_a_law_of_values_need_not_be_registered(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame([{"task": t, "batch_size": 2.0**b} for t in "ab" for b in range(6, 15)])
    logs = np.where(frame["task"] == "a", 8.0, 8.6) - 0.8 * np.log(frame["batch_size"] / 1024)
    frame["steps"], frame["loss"] = np.exp(logs + 0.05 * rng.standard_normal(len(frame))), 3.0
    fit = hl.fit(PowerOfBatch(), hl.StepsToLoss.from_frame(frame, batch_unit=1), seed=0, **CHECKED)
    assert set(fit.check().failed) <= {spec.name for spec in SAMPLER}
    recovered(fit.draws["exponent"], 0.8)
    recovered(fit.draws["log_steps_task"], [8.0, 8.6])
    at = {"batch_size": 2**16, "task": "b"}
    steps = fit.predict(at).draws["steps"]
    recovered(np.log(steps), 8.6 - 0.8 * np.log(64))
    fit.save(tmp_path / "fit.nc")
    with pytest.raises(ValueError, match="holds a fit of 'PowerOfBatch', which is not among the laws known here"):
        hl.load_fit(tmp_path / "fit.nc")
    again = hl.load_fit(tmp_path / "fit.nc", laws=[PowerOfBatch])
    assert again.likelihood == fit.likelihood
    np.testing.assert_array_equal(again.predict(at).draws["steps"], steps)
    assert "PowerOfBatch" not in hl.laws.table().index


def test_a_law_that_is_defined_again_takes_the_place_of_the_first(own):
    again = define()
    assert again is not own
    assert LAWS["Horizon"] is again
    assert list(hl.laws.table().index).count("Horizon") == 1
    assert again() != own()


@pytest.mark.parametrize(("name", "module"), [("Horizon", __name__), ("StepLaw", "hyperlaw.models.laws.step_law")])
def test_a_name_that_another_module_has_is_refused(own, name, module):
    text = f"there is a law {name!r} already, in {module}. Give yours another name."
    theirs = type(name, (own,), {"__module__": "elsewhere"})
    with pytest.raises(ValueError, match=re.escape(text)):
        hl.laws.register(theirs)
    assert LAWS[name] is not theirs


def parameter(name):
    return hl.Parameter(name, "anything", "", dist.Normal(0, 1), "wide")


WORDS = ", ".join(sorted(RESERVED)) + ", and all that end in _task or _task_sd"
REFUSED = {
    "no covariates": (hl.OptimumLaw, {"own_parameters": ()}, "Wrong does not state covariates."),
    "nothing stated": (
        hl.ValueLaw, {}, "Wrong does not state tables, predicts, covariates, own_parameters. The docstring of hl.Law"
    ),
    "reserved": (
        PowerOfBatch, {"own_parameters": (*PowerOfBatch.own_parameters, parameter("draw"))},
        f"Wrong names 'draw' twice or by a reserved word. The reserved words are: {WORDS}.",
    ),
    "what a fit calls tasks' values": (
        PowerOfBatch, {"own_parameters": (*PowerOfBatch.own_parameters, parameter("a_task"), parameter("b_task_sd"))},
        f"Wrong names 'a_task', 'b_task_sd' twice or by a reserved word. The reserved words are: {WORDS}.",
    ),
    "twice": (
        PowerOfBatch, {"own_parameters": (*PowerOfBatch.own_parameters, parameter("log_steps"), parameter("task"))},
        f"Wrong names 'log_steps', 'task' twice or by a reserved word. The reserved words are: {WORDS}.",
    ),
    "no function": (
        hl.ValueLaw,
        {"tables": ("optima",), "predicts": ("utd",), "covariates": (), "own_parameters": (parameter("level"),)},
        "Wrong does not define log_value.",
    ),
    "no batch size": (
        hl.OptimumLaw, {"covariates": (), "own_parameters": (parameter("level"),)},
        "Wrong states that it has a learning_rate, but no function that says it.",
    ),
    "no critical batch size": (
        PowerOfBatch, {"has_critical_batch": True},
        "Wrong states that it has a critical batch size, but no function that says it.",
    ),
    "another parameter": (
        PowerOfBatch, {"own_parameters": PowerOfBatch.own_parameters[:1]},
        "Wrong: its steps asks for 'exponent', which is neither among its own_parameters (log_steps) nor its "
        "covariates (none).",
    ),
    "another covariate": (
        PowerOfBatch, {"covariates": ("data",), "log_value": lambda self, quantity, p, x, log_batch_size: x["params"]},
        "Wrong: its steps asks for 'params', which is neither among its own_parameters (log_steps, exponent) nor its "
        "covariates (data).",
    ),
    "another parameter of the critical batch size": (
        PowerOfBatch, {"has_critical_batch": True, "log_critical_batch": lambda self, p, x: p["turn"]},
        "Wrong: its critical batch size asks for 'turn', which is neither among its own_parameters",
    ),
    "an array": (
        PowerOfBatch, {"log_value": lambda self, quantity, p, x, log_batch_size: p["exponent"] * np.arange(3)},
        "Wrong: its steps is an array of shape (3,) where one number is asked.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_a_law_that_is_wrong_is_refused(what):
    base, attributes, text = REFUSED[what]
    with pytest.raises(ValueError, match="^" + re.escape(text)):
        hl.laws.register(type("Wrong", (base,), {"__module__": __name__} | attributes))
    assert "Wrong" not in LAWS


@pytest.mark.parametrize("given", [hl.Runs, hl.Law, PowerOfBatch(), "Horizon"], ids=str)
def test_what_is_no_law_is_refused(given):
    text = f"register takes a subclass of hl.OptimumLaw or hl.ValueLaw, received {given!r}."
    with pytest.raises(TypeError, match=re.escape(text)):
        hl.laws.register(given)
