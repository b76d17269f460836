import re
from dataclasses import replace

import numpy as np
import pytest
from conftest import TARGET, TRUTH, grid
from made_fit import made_fit

import hyperlaw as hl
from hyperlaw.decision.constraints import Candidates, limits
from hyperlaw.decision.explain import value_words
from hyperlaw.decision.pricing import Prices

RATES, BATCHES = np.array([1e-3, 2e-3, 4e-3]), np.array([64.0, 128.0, 256.0])


class Losses:
    """In place of a pricing: losses of three settings in four draws."""

    def losses(self, settings):
        yield np.array([[1.0, 2.0, 3.0, 4.0]])
        yield np.array([[2.0, 2.0, 2.0, 2.0], [5.0, 1.0, 1.0, 1.0]])


def asked():
    regret = np.array([[0.0, 0.1, 0.2, 0.3], [0.1] * 4, [0.5, 0.0, 0.0, 0.0]], np.float32).T
    prices = Prices({"learning_rate": RATES, "batch_size": BATCHES}, regret, np.array([0.01, 0.1, 0.2]))
    return Candidates(prices, TARGET, Losses())


def met(constraint):
    candidates = asked()
    return (constraint.shortfall(constraint.level(candidates)) <= 1e-9).tolist()


@pytest.mark.parametrize(
    ("quantity", "level"),
    [
        ("learning_rate", RATES),
        ("batch_size", BATCHES),
        ("steps", TARGET["data"] / BATCHES),
        ("examples", [TARGET["data"]] * 3),
        ("compute", [6 * TARGET["params"] * TARGET["data"]] * 3),
        ("loss", [4.0, 2.0, 5.0]),
        ("regret", [0.3, 0.1, 0.5]),
        (lambda rate, batch, at: rate * batch + at["params"], RATES * BATCHES + TARGET["params"]),
    ],
)
def test_levels_of_named_quantities(quantity, level):
    assert hl.AtMost(quantity, 1.0).level(asked()) == pytest.approx(level, rel=1e-6)


def test_bounds_hold_with_their_probability():
    assert met(hl.AtMost("loss", 3.0)) == [False, True, False]  # with a probability of 0.9: of four draws, in all
    assert met(hl.AtMost("loss", 3.0, probability=0.75)) == [True, True, True]
    assert met(hl.AtMost("loss", 2.9, probability=0.75)) == [False, True, True]
    assert met(hl.AtLeast("loss", 2.0)) == [False, True, False]
    assert met(hl.AtLeast("loss", 2.0, probability=0.75)) == [True, True, False]
    assert met(hl.AtLeast("loss", 1.0, probability=0.75)) == [True, True, True]
    assert met(hl.AtMost("regret", 0.25, probability=0.75)) == [True, True, True]
    assert met(hl.AtMost("batch_size", 128)) == [True, True, False]
    assert met(hl.AtLeast("steps", TARGET["data"] / 128)) == [True, True, False]
    assert met(hl.Chance("diverge", at_most=0.1)) == [True, True, False]


def test_one_of():
    assert met(hl.OneOf("batch_size", multiples_of=128)) == [False, True, True]
    assert met(hl.OneOf("learning_rate", values=[4e-3, 1e-3])) == [True, False, True]
    assert hl.OneOf("batch_size", multiples_of=100).allowed(np.array([10.0, 150.0, 250.0, 300.0])).tolist() == [
        100, 200, 300,
    ]  # fmt: skip
    assert hl.OneOf("batch_size", values=[50, 20, 400]).allowed(np.array([30.0, 1000.0])).tolist() == [20, 50, 400]


def test_shortfall_is_a_share_of_the_bound():
    assert hl.AtMost("batch_size", 128).shortfall(np.array([256.0])) == pytest.approx(1.0)
    assert hl.AtLeast("batch_size", 128).shortfall(np.array([96.0])) == pytest.approx(0.25)
    assert hl.Chance("diverge", at_most=0.1).shortfall(np.array([0.3])) == pytest.approx(2.0)


def test_limits_of_the_hyperparameters():
    found = limits(
        [hl.AtMost("steps", 1e4), hl.AtMost("learning_rate", 0.01), hl.AtLeast("learning_rate", 1e-3)], TARGET
    )
    assert found["batch_size"] == (TARGET["data"] / 1e4, TARGET["data"])
    assert found["learning_rate"] == (0.001, 0.01)
    assert limits([hl.AtLeast("steps", 1e4)], TARGET)["batch_size"][1] == TARGET["data"] / 1e4


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: hl.AtMost("step", 1), "AtMost knows no quantity 'step'. It is one of learning_rate, batch_size, s"),
        (lambda: hl.AtLeast("loss", np.inf), "AtLeast needs a finite bound, received inf"),
        (
            lambda: hl.AtMost("loss", 3, probability=0),
            "AtMost needs a probability strictly between 0 and 1, received 0",
        ),
        (lambda: hl.AtMost("loss", 3, probability=1), "received 1: the worst of heavy-tailed draws says how many the"),
        (lambda: hl.AtLeast("regret", 3, probability=1.0), "AtLeast needs a probability strictly between 0 and 1, rec"),
        (lambda: hl.AtMost("steps", 3, probability=0.9), r"AtMost\(steps, 3, .* known before the run. Leave the prob"),
        (lambda: hl.Chance("explode", 0.1), "Chance knows the event 'diverge', received 'explode'"),
        (lambda: hl.Chance("diverge", 1), "Chance needs at_most strictly between 0 and 1, received 1"),
        (lambda: hl.OneOf("steps", multiples_of=2), "OneOf is for learning_rate or batch_size, received 'steps'"),
        (lambda: hl.OneOf("batch_size"), "OneOf needs multiples_of or values, received None and None"),
        (lambda: hl.OneOf("batch_size", multiples_of=2, values=[2]), "OneOf needs multiples_of or values"),
        (lambda: hl.OneOf("batch_size", values=[]), r"OneOf needs numbers above zero, received \[\]"),
        (lambda: hl.OneOf("batch_size", multiples_of=-2), r"OneOf needs numbers above zero, received \[-2.0\]"),
        (lambda: hl.AtMost("compute", 1e9).check({"data": 1e6}), "needs params in the target, received data"),
        (lambda: hl.AtMost(lambda r, b, at: 3.0, 1).level(asked()), "must return one number for each of 3 candidates"),
        (lambda: hl.AtMost(lambda r, b, at: r * np.nan, 1).level(asked()), "with 3 NaN"),
        (
            lambda: limits([hl.AtMost("steps", 1e4), hl.AtMost("batch_size", 100)], TARGET),
            r"leaves no batch_size: it would have to be at least 419.43 and at most 100 \(AtMost\(steps, 10000\), AtM",
        ),
        (
            lambda: limits([hl.AtMost("steps", 0.5)], TARGET),
            "a batch holds 1 data point at least, and at most the data",
        ),
        (
            lambda: limits([hl.OneOf("batch_size", multiples_of=1e11)], TARGET),
            r"leaves no batch_size: it would have to be at least 1e\+11 and at most 4.1943e\+06 \(OneOf",
        ),
        (
            lambda: limits([hl.OneOf("batch_size", values=[0.25, 0.5])], TARGET),
            "leaves no batch_size: it would have to be at least 1 and at most 0.5",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(make, text):
    with pytest.raises(ValueError, match=text):
        make()


def test_in_words():
    def hours(rate, batch, at):
        return batch

    assert str(hl.AtMost(hours, 24)) == "AtMost(hours, 24)"
    assert str(hl.AtLeast("loss", 2.5, probability=0.8)) == "AtLeast(loss, 2.5, probability=0.8)"
    # What differs from draw to draw is never bounded in all of them: no probability is one of 0.9.
    assert str(hl.AtMost("loss", 2.5)) == "AtMost(loss, 2.5, probability=0.9)"
    assert hl.AtMost("regret", 0.01) == hl.AtMost("regret", 0.01, probability=0.9)
    assert str(hl.OneOf("batch_size", multiples_of=2048)) == "OneOf(batch_size, multiples_of=2048)"


def test_steps_bound_the_batch_size_exactly(fit):
    choice = hl.decide(fit, TARGET, risk=hl.CVaR(0.9), subject_to=[hl.AtMost("steps", 1.5e4)])
    assert TARGET["data"] / choice.setting["batch_size"] == pytest.approx(1.5e4)
    assert choice.bounds == ["AtMost(steps, 15000) binds"]
    assert choice.binding == [hl.AtMost("steps", 1.5e4)]
    assert "AtMost(steps, 15000) binds. Without it " in choice.explain()
    allowed = choice.candidates[choice.candidates["allowed"]]
    assert (TARGET["data"] / allowed["batch_size"] <= 1.5e4 * (1 + 1e-8)).all()
    assert choice.table.loc["recommended", "risk"] == pytest.approx(allowed["risk"].min())
    assert len(choice.safe_set(0.05)) == len(choice.safe_set(0.05).merge(allowed))


def test_a_bound_that_the_choice_just_meets_binds(fit, choice):
    """Also where no candidate beyond it is better than the polished setting on it."""
    batch = choice.setting["batch_size"]
    just = hl.AtMost("batch_size", batch * 0.995)
    held = hl.decide(fit, TARGET, risk=hl.CVaR(0.9), subject_to=[just])
    assert held.setting["batch_size"] == pytest.approx(just.bound)
    assert held.binding == [just]
    assert "binds. " in held.explain()


def test_a_bound_that_does_not_bind_changes_nothing(fit, choice):
    loose = hl.decide(fit, TARGET, risk=hl.CVaR(0.9), subject_to=[hl.AtMost("steps", 1e6)])
    assert loose.bounds == []
    assert loose.setting == choice.setting


def test_hardware_batch_sizes(fit, choice):
    free = choice.setting["batch_size"]
    choice = hl.decide(fit, TARGET, risk=hl.CVaR(0.9), subject_to=[hl.OneOf("batch_size", multiples_of=64)])
    assert (choice.candidates["batch_size"] % 64 == 0).all()
    # Next to the best that any batch size could be, on one side or the other.
    assert abs(choice.setting["batch_size"] - free) < 64
    assert choice.table.loc["recommended", "risk"] == choice.candidates["risk"].min()
    assert f"batch_size = {choice.setting['batch_size']:g} data points" in choice.explain()
    # The table may have counted sequences: so does the answer.
    in_sequences = replace(choice, fits={"StepLaw": replace(fit, table=replace(fit.table, batch_unit=64.0))})
    told = f"= {choice.setting['batch_size']:g} data points ({choice.setting['batch_size'] / 64:g} x 64) ("
    assert told in in_sequences.explain()
    in_many = replace(choice, fits={"StepLaw": replace(fit, table=replace(fit.table, batch_unit=1048576.0))})
    assert re.search(r"data points \(about 0\.000\S+ x 1,048,576\) \(", in_many.explain())
    both = [hl.OneOf("batch_size", values=[128, 256]), hl.OneOf("learning_rate", values=[0.003, 0.004])]
    choice = hl.decide(fit, TARGET, risk=hl.CVaR(0.9), subject_to=both)
    assert len(choice.candidates) == 4
    assert choice.polish == "Not polished: both hyperparameters are held to some values."


def test_wall_time_through_a_throughput_model(fit):
    def hours(learning_rate, batch_size, at):
        return at["data"] / batch_size * (1e-3 + 1e-6 * batch_size) / 3600

    bound = float(hours(0.0, 300.0, TARGET))
    choice = hl.decide(fit, TARGET, risk=hl.Mean(), subject_to=[hl.AtMost(hours, bound)])
    assert choice.setting["batch_size"] >= 300 * (1 - 1e-9)
    assert choice.bounds == [f"AtMost(hours, {bound:g}) binds"]


def test_divergence_has_a_price_or_a_bound(fit):
    free = hl.decide(fit, TARGET, risk=hl.Mean())
    least = free.candidates["p_diverge"].min()
    level = 0.5 * (least + free.table.loc["recommended", "p_diverge"])
    bounded = hl.decide(fit, TARGET, risk=hl.Mean(), subject_to=[hl.Chance("diverge", at_most=level)])
    assert bounded.table.loc["recommended", "p_diverge"] <= level
    priced = hl.decide(fit, TARGET, risk=hl.Mean(), diverge_cost=1000.0)
    assert priced.setting["learning_rate"] < free.setting["learning_rate"]
    row = priced.table.loc["recommended"]
    assert row["regret_mean"] > 1000 * row["p_diverge"]
    assert "priced at 1000 nats" in priced.explain()


def test_infeasible_names_what_binds_and_the_nearest(fit, choice):
    grid = choice.candidates[~choice.candidates["polished"]]
    settings = {name: grid[name].to_numpy() for name in ("learning_rate", "batch_size")}
    losses = np.concatenate(list(choice.pricing.losses(settings)))
    level = np.quantile(losses, 0.9, axis=1, method="inverted_cdf")
    nearest = int(level.argmin())
    bound = 0.99 * level[nearest]  # beyond every candidate, whatever the draws
    with pytest.raises(ValueError, match="no candidate meets every constraint") as refused:
        hl.decide(fit, TARGET, risk=hl.CVaR(0.9), subject_to=[hl.AtMost("loss", bound), hl.AtMost("steps", 1e6)])
    assert str(refused.value) == (
        f"no candidate meets every constraint; AtMost(loss, {bound:g}, probability=0.9) binds (0 of {len(grid)} "
        f"candidates meet it). The nearest has learning_rate {settings['learning_rate'][nearest]:.3g} and batch_size "
        f"{settings['batch_size'][nearest]:.6g}, where loss is {level[nearest]:.4g} and misses it by 0.0101 of what is "
        "allowed. Loosen that constraint, or give candidates that meet it."
    )
    # A bound that the nearest just meets is met by it alone.
    met = hl.decide(fit, TARGET, risk=hl.CVaR(0.9), subject_to=[hl.AtMost("loss", level[nearest])])
    assert met.candidates["allowed"].sum() == 1
    assert met.setting == {name: values[nearest] for name, values in settings.items()}
    with pytest.raises(ValueError, match=r"meets every constraint; OneOf\(batch_size, multiples_of=7\) binds"):
        hl.decide(
            fit, TARGET, risk=hl.Mean(), candidates={"learning_rate": [1e-3], "batch_size": [64]},
            subject_to=[hl.OneOf("batch_size", multiples_of=7)],
        )  # fmt: skip


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"subject_to": ["steps < 3"]}, "subject_to takes hl.AtMost, hl.AtLeast, hl.Chance and hl.OneOf, received 'st"),
        ({"diverge_cost": -1.0}, "diverge_cost must be a finite number of nats, 0 or more; received -1.0"),
        ({"diverge_cost": np.inf}, r'To forbid divergence use subject_to=\[hl.Chance\("diverge", at_most=0.01\)\]'),
    ],
)
def test_bad_prices_and_constraints_are_refused(fit, more, text):
    with pytest.raises(ValueError, match=text):
        hl.decide(fit, TARGET, risk=hl.Mean(), **more)


def test_a_batch_size_that_is_set_far_from_the_best_gets_its_own_learning_rate(fit):
    """The candidates reach to the best learning rates at the batch sizes that are left."""
    free = hl.decide(fit, TARGET, risk="mean")
    small = free.intervals.loc["batch_size", "lower"] / 64
    for rule in (hl.OneOf("batch_size", [small]), hl.AtMost("batch_size", small)):
        choice = hl.decide(fit, TARGET, risk="mean", subject_to=rule)
        assert choice.batch_size_set == pytest.approx(small)
        if isinstance(rule, hl.AtMost):  # rounded, a setting keeps to its bound
            assert float(value_words(choice, "batch_size").replace(",", "")) <= small
        rate = choice.intervals.loc["learning_rate"]
        assert rate["lower"] < choice.setting["learning_rate"] < rate["upper"]
        assert rate["median"] < free.intervals.loc["learning_rate", "lower"]
        assert "learning_rate at its lowest candidate" not in choice.bounds
        assert f"at a batch size of {value_words(choice, 'batch_size')} lies between" in choice.explain()
        assert choice.table["allowed"].to_dict() == {
            "recommended": True, "runner_up": True, "reuse_best": False, "posterior_median": False,
        }  # fmt: skip
        assert "but it does not keep to the constraints" in choice.explain()
        batch = next(line for line in choice.explain().splitlines() if "With half the batch size" in line)
        either = isinstance(rule, hl.OneOf)  # half of the largest allowed may be set
        assert batch.count("but that does not keep to the constraints") == 1 + either
        middle = choice.table.loc["posterior_median", ["learning_rate", "batch_size"]]
        assert middle.tolist() == free.table.loc["posterior_median", ["learning_rate", "batch_size"]].tolist()
    assert free.batch_size_set is None
    assert free.table["allowed"].all()


def test_a_batch_size_in_units_is_refused(fit):
    """A table of sequences of 32: 16 sequences are meant, where 16 tokens are less than one."""
    of_sequences = replace(fit, table=replace(fit.table, batch_unit=32.0))
    rules = hl.OneOf("batch_size", [8, 16]), hl.OneOf("batch_size", multiples_of=16), hl.AtMost("batch_size", 16)
    for rule in (*rules, hl.AtLeast("batch_size", 16)):
        text = (
            f"{rule} counts data points, and 16 of them are less than one unit of the table's batch sizes (32 data "
            "points). If 16 such units are meant, give 16 x 32 = 512."
        )
        with pytest.raises(ValueError, match=re.escape(text)):
            hl.decide(of_sequences, TARGET, risk="mean", subject_to=rule)
    for rule in (hl.OneOf("batch_size", multiples_of=32), hl.AtMost("batch_size", 64), hl.AtMost("steps", 1e5)):
        hl.decide(of_sequences, TARGET, risk="mean", subject_to=rule)
    of_millions = replace(fit, table=replace(fit.table, batch_unit=1e6))  # a column of millions of tokens
    tried = float(fit.table.frame["batch_size"].min())
    hl.decide(of_millions, TARGET, risk="mean", subject_to=hl.OneOf("batch_size", [tried, 2 * tried]))
    with pytest.raises(ValueError, match="are less than one unit"):
        hl.decide(of_millions, TARGET, risk="mean", subject_to=hl.AtMost("batch_size", tried / 2))


def test_a_printed_setting_keeps_to_what_a_function_bounds(fit):
    """More figures are written, until what is read is allowed."""

    def load(rate, batch, at):
        return batch / 99.6

    few = {"learning_rate": [4e-3, 4e-3], "batch_size": [99.6, 400.0]}
    choice = hl.decide(fit, TARGET, risk="mean", candidates=few, subject_to=hl.AtMost(load, 1.0))
    assert value_words(choice, "batch_size") == "99.6"  # not 100
    steps = TARGET["data"] / 99.6
    bounded = hl.decide(fit, TARGET, risk="mean", subject_to=hl.AtLeast("steps", steps))
    assert f"({steps:,.0f} steps)" in bounded.explain()


def test_an_open_optimum_is_said_to_be_open(fit):
    said = "The best learning rate is hardly known: its interval spans a factor of"
    assert said not in hl.decide(fit, TARGET, risk="mean").explain()
    runs = hl.Runs.from_frame(grid())
    made = made_fit(hl.laws.StepLaw(), runs, TRUTH, scattered={"log_learning_rate": 2.0}, draws=100, whole=True)
    assert said in hl.decide(made, TARGET, risk="mean", despite="made up").explain()


def test_values_that_were_named_are_no_edge_to_widen(fit):
    best = hl.decide(fit, TARGET, risk="mean").setting["batch_size"]
    choice = hl.decide(fit, TARGET, risk="mean", subject_to=hl.OneOf("batch_size", [best / 4, best]))
    assert not [words for words in choice.bounds if "candidate" in words]


def test_other_batch_sizes_are_refused_where_no_cell_tried_several():
    frame = grid(batches=1)
    runs = hl.Runs.from_frame(frame)
    made = made_fit(hl.laws.StepLaw(), runs, TRUTH, draws=50, whole=True)
    used = float(frame["batch_size"].iloc[0])
    text = f"leaves no batch size of {used:g}, the one that is given: no cell of this sweep tried several"
    with pytest.raises(ValueError, match=re.escape(text)):
        hl.decide(made, TARGET, risk="mean", subject_to=hl.OneOf("batch_size", [2 * used]), despite="made up")
    choice = hl.decide(made, TARGET, risk="mean", subject_to=hl.OneOf("batch_size", [used]), despite="made up")
    assert choice.setting["batch_size"] == pytest.approx(used)
    # What another batch size would change is not known, and not priced.
    plan = {"learning_rate": choice.setting["learning_rate"], "batch_size": 8 * used}
    assert choice.score(plan).table.loc["plan", "regret_mean"] == pytest.approx(
        choice.table.loc["recommended", "regret_mean"]
    )


def test_a_batch_size_that_moves_with_the_cells_is_one_of_the_scales(tmp_path):
    frame = grid(batches=1)
    frame["batch_size"] *= (frame["params"] / frame["params"].min()) ** 0.5
    made = made_fit(hl.laws.StepLaw(), hl.Runs.from_frame(frame), TRUTH, draws=50, whole=True)
    for rule in (hl.AtMost("batch_size", 2**14), hl.AtLeast("steps", 1e6)):
        with pytest.raises(
            ValueError, match=re.escape(f"{rule} leaves no batch size of 262144, the one that is given")
        ):
            hl.decide(made, {**TARGET, "batch_size": 2**18}, risk="mean", subject_to=rule, despite="made up")
    target = {**TARGET, "batch_size": 4 * float(frame["batch_size"].max())}
    choice = hl.decide(made, target, risk="mean", despite="made up")
    assert choice.extrapolation.loc["batch_size", "decades"] == pytest.approx(np.log10(4))
    assert "decades beyond the runs in batch_size" in choice.explain()
    choice.plot().savefig(tmp_path / "choice.png")
    # The best small run again: at the batch size of the target, since no run says what another one would change.
    assert choice.table.loc["reuse_best", "batch_size"] == choice.setting["batch_size"] == target["batch_size"]
