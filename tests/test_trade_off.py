"""Time against compute: closed forms, prices, risk, refusals."""

import numpy as np
import pytest
from made_fit import made_fit

import hyperlaw as hl
from hyperlaw.inference.example import example

LEAST, CRITICAL = 5e3, 4e5
CURVE = {"log_least_steps": np.log(LEAST), "log_critical_batch": np.log(CRITICAL), "knee": 1.0}


def known(law, width=0.0, **more):
    """A fit whose posterior is laid by hand: every curve has these steps and critical batch size."""
    table = example(law)
    rest = {p.name: 0.0 if p.name.startswith("drift_") else 0.05 for p in hl.likelihood(law, table).parameter_list}
    return made_fit(law, table, rest | CURVE | more, scattered={"log_critical_batch": width}, draws=200)


def ask(fit, **changes):
    given = {"at": {"task": "curve 0"}, "price_of_step": 1.0, "price_of_example": 1e-6, "risk": hl.Mean()}
    return hl.trade_off(fit, **(given | {"despite": "by hand"} | changes))


@pytest.mark.parametrize("balance", [1e3, 4e5, 1e7])
def test_the_closed_form_of_the_published_curve(balance):
    found = ask(known(hl.laws.StepsExamples()), price_of_step=balance, price_of_example=1.0)
    np.testing.assert_allclose(found.draws["critical_batch_size"], CRITICAL)
    np.testing.assert_allclose(found.draws["least_steps"], LEAST)
    np.testing.assert_allclose(found.draws["least_examples"], LEAST * CRITICAL)
    best = CRITICAL * np.sqrt(balance / CRITICAL)  # B_crit sqrt(price of a step / (price of an example B_crit))
    np.testing.assert_allclose(found.draws["cheapest_batch_size"], best)
    assert found.batch_size == pytest.approx(best)
    assert found.intervals.loc["cheapest_batch_size", "median"] == pytest.approx(best)


@pytest.mark.parametrize("knee", [0.6, 1.0, 2.0])
def test_the_cheapest_batch_size_is_the_least_of_a_grid(knee):
    found = ask(known(hl.laws.StepsExamples(), knee=knee), price_of_step=3.0, price_of_example=2e-6)
    batch = np.geomspace(1e3, 1e9, 20001)
    steps = LEAST * (1 + (CRITICAL / batch) ** knee) ** (1 / knee)
    price = 3.0 * steps + 2e-6 * batch * steps
    assert found.batch_size == pytest.approx(batch[price.argmin()], rel=2e-3)
    row = found.table.set_index("batch_size").loc[found.batch_size]
    assert row["excess_upper"] == pytest.approx(0, abs=1e-9)
    at = found.table.iloc[0]
    given = 3.0 * np.interp(at["batch_size"], batch, steps) + 2e-6 * np.interp(at["batch_size"], batch, batch * steps)
    assert at["excess_median"] == pytest.approx(given / price.min() - 1, rel=1e-3)


def test_twice_the_fewest_steps_and_examples_at_the_critical_batch_size():
    table = ask(known(hl.laws.StepsExamples())).table.set_index("multiple")
    for ends in ("lower", "median", "upper"):
        np.testing.assert_allclose(table.loc[1.0, [f"steps_{ends}", f"examples_{ends}"]].astype(float), 2.0)
        assert table.loc[1 / 16, f"steps_{ends}"] == pytest.approx(17)
        assert table.loc[16.0, f"examples_{ends}"] == pytest.approx(17)


def test_an_uncertain_critical_batch_size_spreads_all_that_follows():
    fit = known(hl.laws.StepsExamples(), width=0.5)
    found = ask(fit, price_of_step=0.4)
    table = found.table
    assert (table["steps_lower"] < table["steps_upper"]).all()
    assert (table["steps_lower"] >= 1).all()
    assert (table["examples_lower"] >= 1).all()
    assert table["steps_median"].is_monotonic_decreasing
    assert table["examples_median"].is_monotonic_increasing
    chosen = table.set_index("batch_size")["risk"]
    assert chosen.idxmin() == found.batch_size
    # With a knee of 1 the cheapest batch size moves half as much as the critical one, in every draw.
    middle = np.sqrt(found.draws["critical_batch_size"] * 0.4 / 1e-6)
    np.testing.assert_allclose(found.draws["cheapest_batch_size"], middle)
    width = np.log(found.intervals["upper"] / found.intervals["lower"])
    assert width["cheapest_batch_size"] == pytest.approx(width["critical_batch_size"] / 2, rel=1e-3)
    cautious = ask(fit, price_of_step=0.4, risk=hl.WorstCase())
    worst = cautious.table.set_index("batch_size")["risk"]
    assert worst.idxmin() == cautious.batch_size
    assert cautious.risk == hl.WorstCase()


def test_dearer_time_wants_larger_batches():
    fit = known(hl.laws.StepsExamples(), width=0.3)
    sizes = [ask(fit, price_of_step=price).batch_size for price in (0.01, 1.0, 100.0)]
    assert sizes == sorted(sizes)
    assert sizes[2] / sizes[0] == pytest.approx(100, rel=0.05)


def test_only_batch_sizes_that_can_be_had():
    found = ask(known(hl.laws.StepsExamples(), width=0.3), batch_sizes=[2**16, 2**18, 2**20])
    assert found.table["batch_size"].tolist() == [2**16, 2**18, 2**20]
    free = ask(known(hl.laws.StepsExamples(), width=0.3)).batch_size
    assert found.batch_size == min(found.table["batch_size"], key=lambda b: abs(np.log(b / free)))


def test_a_law_of_the_critical_batch_size_reaches_larger_scales():
    law = hl.laws.CriticalBatchData()
    fit = known(law, critical_exponent_data=0.5, steps_exponent_data=0.5)
    small, large = (ask(fit, at={"task": "curve 0", "data": data}) for data in (1e9, 4e9))
    ratio = large.intervals["median"] / small.intervals["median"]
    assert ratio["critical_batch_size"] == pytest.approx(2)
    assert ratio["least_steps"] == pytest.approx(2)
    assert ratio["cheapest_batch_size"] == pytest.approx(np.sqrt(2))
    new = ask(fit, at={"task": None, "data": 4e9})
    assert new.intervals.loc["critical_batch_size", "upper"] > large.intervals.loc["critical_batch_size", "upper"]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"price_of_step": 0.0}, "price_of_step must be finite and above zero, received 0.0"),
        ({"price_of_example": np.inf}, "price_of_example must be finite and above zero, received inf"),
        ({"batch_sizes": []}, r"batch_sizes must be finite numbers above zero, one or more; received \[\]"),
        ({"batch_sizes": [8, -1]}, "batch_sizes must be finite numbers above zero"),
        ({"at": {"task": "curve 0", "batch_size": 8}}, "at must not give batch_size, which is what is chosen"),
        ({"at": {"task": "elsewhere"}}, "task 'elsewhere' is not among the fitted tasks"),
        ({"at": {}}, "missing task"),
    ],
)
def test_bad_questions_are_refused(change, text):
    with pytest.raises(ValueError, match=text):
        ask(known(hl.laws.StepsExamples()), **change)


def test_other_laws_are_refused():
    law = hl.laws.OptimalUTD()
    known = made_fit(law, example(law), {"log_utd": 0.7, "exponent_budget": 0.5, "residual_sd_utd": 0.1}, draws=10)
    with pytest.raises(TypeError, match=r"trade_off needs a fit of a law of steps .* received one of OptimalUTD"):
        ask(known)


def test_what_small_batches_waste_is_not_priced():
    law = hl.laws.StepsSmallBatch()
    values = CURVE | {"log_small_ratio": -3.0, "residual_sd_steps": 0.05}
    with pytest.raises(TypeError, match=r"such as StepsExamples or .* received one of StepsSmallBatch"):
        ask(made_fit(law, example(law), values, draws=10))
