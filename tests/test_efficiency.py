"""Exponents of single thresholds, and what `hl.efficiency` says of exponents, offsets and least data."""

import numpy as np
import pandas as pd
import pytest
from conftest import CHECKED, VALUE_TRUTH, example_of, measure
from made_fit import made_fit

import hyperlaw as hl
from benchmarks.published_rl import DMC, GYM
from hyperlaw.inference.cells import new_rows, values_at
from hyperlaw.inference.example import example

SCATTER = {"residual_sd_data": 0.05, "cell_sd": 0.05, "exponent_utd_threshold_sd": 0.2}


def known(law, *, draws=200, tasks=2, **changes):
    """A fit whose parameters are known exactly, except what each threshold has of its own."""
    table = example_of(law, tasks)
    truth = {p.name: 0.05 for p in hl.likelihood(law, table).parameter_list}
    return made_fit(law, table, truth | VALUE_TRUTH[law.name] | SCATTER | changes, draws=draws)


def differing():
    """Crossings whose exponents rise by a factor of two from the lowest threshold to the highest."""
    law = hl.laws.DataEfficiencyByThreshold()
    table = example(law)
    factor = table.frame["threshold"].map({300: 0.7, 500: 0.85, 700: 1.2, 900: 1.4}).to_numpy()
    truth = {"exponent_utd": 0.8 * factor, "logit_least_share": -1.5}
    return measure(law, table, 1, truth=truth, scatter=0.01, error=0.01)


@pytest.fixture(scope="module")
def free():
    return known(hl.laws.DataEfficiencyByThreshold())


class TestByThreshold:
    def test_its_law_is_that_of_one_exponent_with_one_parameter_more(self):
        laws = hl.laws.DataEfficiency(), hl.laws.DataEfficiencyByThreshold()
        shared, free = (set(hl.likelihood(law, "crossings").parameters.index) for law in laws)
        assert free - shared == {"exponent_utd_threshold_sd"}
        assert shared < free
        assert issubclass(type(laws[1]), hl.laws.DataEfficiency)  # which a frontier asks for

    def test_known_thresholds_keep_their_exponent_and_a_new_one_is_drawn(self, free):
        frame = pd.DataFrame({"utd": 2.0, "threshold": [700.0, 300.0, 550.0, 550.0, 620.0], "task": "first"})
        p, _, _ = new_rows(free, frame)
        own = free.draws["exponent_utd_threshold"]
        assert own["threshold_level"].values.tolist() == ["300", "500", "700", "900"]
        of_task = free.draws["exponent_utd_task"].sel(task="first")
        for row, level in ((0, "700"), (1, "300")):
            np.testing.assert_allclose(p["exponent_utd"][..., row], of_task * own.sel(threshold_level=level))
        np.testing.assert_array_equal(p["exponent_utd"][..., 2], p["exponent_utd"][..., 3])
        new = np.log(p["exponent_utd"][..., [2, 4]] / of_task.values[..., None])
        assert new.std() == pytest.approx(0.2, rel=0.15)
        assert abs(np.corrcoef(new[..., 0].ravel(), new[..., 1].ravel())[0, 1]) < 0.2

    def test_the_law_alone_has_them_too(self, free):
        at = pd.DataFrame({"utd": [8.0], "threshold": [700.0], "task": "first"})
        law = values_at(free, at, scatter=False)["data"]
        p = {name: free.draws[f"{name}_task"].sel(task="first").values for name in VALUE_TRUTH["DataEfficiency"]}
        p["exponent_utd"] = p["exponent_utd"] * free.draws["exponent_utd_threshold"].sel(threshold_level="700").values
        x = {name: value[0] for name, value in free.likelihood.centred(at, free.pivot).items()}
        drift = 0.05 * x["utd"] ** 2 / 2
        np.testing.assert_allclose(law[..., 0], free.law.log_value("data", p, x, 0.0) + drift, rtol=1e-5)

    def test_exponents_that_differ_are_found_and_kept_in_a_file(self, tmp_path):
        law, told = hl.laws.DataEfficiencyByThreshold(), differing()
        fit = hl.fit(law, told, seed=0, **CHECKED | {"draws": 400})
        own = fit.draws["exponent_utd_threshold"]
        low, middle, high = own.quantile([0.05, 0.5, 0.95], ["chain", "draw"]).values
        assert (np.diff(middle) > 0).all()
        assert high[0] < low[-1]
        assert np.log(middle[-1] / middle[0]) == pytest.approx(np.log(2), abs=0.25)
        fit.save(tmp_path / "free.nc")
        again = hl.load_fit(tmp_path / "free.nc")
        np.testing.assert_array_equal(again.draws["exponent_utd_threshold"], own)
        at = {"utd": 8.0, "threshold": 700.0, "task": told.tasks[0]}
        pd.testing.assert_frame_equal(again.predict(at).table, fit.predict(at).table)

    @pytest.mark.slow
    def test_they_are_preferred_where_exponents_differ(self):
        laws = {"shared": hl.laws.DataEfficiency(), "free": hl.laws.DataEfficiencyByThreshold()}
        fits = {name: hl.fit(law, differing(), seed=0, **CHECKED | {"draws": 400}) for name, law in laws.items()}
        found = hl.compare(fits, leave_out="run", seed=0)
        assert found.table.index[0] == "free"
        assert -found.table.loc["shared", "elpd_diff"] > 3 * found.table.loc["shared", "dse"]


class TestEfficiency:
    @pytest.mark.parametrize("name", ["DataEfficiency", "DataEfficiencyByThreshold"])
    def test_it_gives_the_law_back(self, name):
        fit = known(getattr(hl.laws, name)(), **{"drift_data_utd": 0.0})
        table = hl.efficiency(fit)
        assert table.index.names == ["task", "threshold", "quantity"]
        assert list(table.columns) == ["lower", "median", "upper", "data_unit"]
        assert list(table.loc[("first", 700.0)].index) == ["exponent_utd", "offset_utd", "least_data", "doubling_utd"]
        assert (table["lower"] <= table["median"]).all()
        frame = fit.table.frame
        assert table.loc[("first", 700.0), "data_unit"].unique() == frame[frame["task"] == "first"]["data"].median()

    def test_of_known_parameters_it_is_arithmetic(self):
        fit = known(hl.laws.DataEfficiency(), drift_data_utd=0.0, draws=2)
        table = hl.efficiency(fit, data_unit=1e5)["median"].unstack("quantity")
        for (task, threshold), row in table.iterrows():
            ratios = np.array([0.5, 3.0, 20.0])
            at = pd.DataFrame({"utd": ratios, "threshold": threshold, "task": task})
            law = np.exp(values_at(fit, at, scatter=False)["data"][0, 0])
            saved = 1e5 * (row["offset_utd"] / ratios) ** row["exponent_utd"]
            np.testing.assert_allclose(row["least_data"] + saved, law, rtol=1e-6)
            double = at[:1].assign(utd=row["doubling_utd"])
            np.testing.assert_allclose(
                np.exp(values_at(fit, double, scatter=False)["data"][0, 0]), 2 * row["least_data"], rtol=1e-6
            )

    def test_of_critics_it_is_that_of_endless_parameters(self):
        fit = known(hl.laws.DataEfficiencyBySize(), drift_data_utd=0.0, drift_data_params=0.0, draws=2)
        row = hl.efficiency(fit, data_unit=1e5)["median"].loc[("first", 700.0)]
        at = pd.DataFrame({"utd": [3.0], "params": 1e12, "threshold": 700.0, "task": "first"})
        law = np.exp(values_at(fit, at, scatter=False)["data"][0, 0])
        saved = 1e5 * (row["offset_utd"] / 3.0) ** row["exponent_utd"]
        np.testing.assert_allclose(row["least_data"] + saved, law, rtol=1e-4)

    @pytest.mark.parametrize(("published", "printed", "doubling"), [(GYM, 2.29, 2.19), (DMC, 0.574, 0.526)])
    def test_the_ratio_that_the_published_plots_print_is_no_doubling(self, published, printed, doubling):
        # arXiv 2502.04327 prints c (1 + (sigma / b)^-a) for fits of c + (sigma / b)^-a.
        alpha, beta, least = published["fits"][-1]
        assert beta == pytest.approx(printed, rel=1e-3)
        law, pivot = hl.laws.DataEfficiency(), 2.0
        saved = (beta / pivot) ** alpha
        told = {"log_data": np.log(least + saved), "logit_least_share": np.log(least / saved), "exponent_utd": alpha}
        p, x = VALUE_TRUTH["DataEfficiency"] | told, {"utd": 0.0, "threshold": 0.0}
        found = pivot * np.exp((law.log_saved(p, x) - law.log_least(p, x)) / alpha)
        assert found == pytest.approx(doubling, rel=2e-3)
        assert pivot * np.exp(law.log_saved(p, x) / alpha) == pytest.approx(beta)

    def test_what_has_no_exponents_of_the_ratio_is_refused(self):
        law = hl.laws.UTDHyperparameters()
        other = made_fit(
            law, example(law), {p.name: 0.05 for p in hl.likelihood(law, "optima").parameter_list}, draws=2
        )
        with pytest.raises(
            TypeError, match="efficiency needs a fit of DataEfficiency, by threshold or by size; received"
        ):
            hl.efficiency(other)
        with pytest.raises(TypeError, match=r"efficiency needs a fit of .*; received None"):
            hl.efficiency(None)

    @pytest.mark.parametrize("unit", [0.0, -1.0, np.nan, np.inf])
    def test_a_unit_that_is_none_is_refused(self, free, unit):
        with pytest.raises(
            ValueError, match=r"data_unit must be a finite number of environment steps above zero, received"
        ):
            hl.efficiency(free, data_unit=unit)

    @pytest.mark.parametrize("unit", ["x", True, [1.0, 2.0], 1 + 1j])
    def test_a_unit_that_is_no_number_is_refused(self, free, unit):
        with pytest.raises(ValueError, match="data_unit must be a number such as 1e9, '7B' or '32k', received"):
            hl.efficiency(free, data_unit=unit)
