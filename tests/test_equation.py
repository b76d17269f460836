"""The fitted law as a formula: what it says is what the law says, in text and in LaTeX."""

import re
from dataclasses import replace
from math import erf, exp

import jax
import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from conftest import TRUTH, VALUE_TRUTH, grid
from made_fit import made_fit
from matplotlib.mathtext import MathTextParser
from test_own_law import PowerOfBatch

import hyperlaw as hl
from hyperlaw.inference.example import example
from hyperlaw.intervals import with_interval
from hyperlaw.models.equation import SYMBOLS
from hyperlaw.models.law import LAWS

STATED_OVER = [LAWS[name](over=over) for name in ("StepLaw", "TimeTransfer") for over in LAWS[name].alternatives]
EVERY = [LAWS[name]() for name in LAWS] + STATED_OVER
WRITTEN = {"learning_rate": "eta*", "batch_size": "B*", "steps": "S", "data": "D", "utd": "sigma*"}
WRITTEN["noise_scale"] = "B_noise"
KNOWN = {"rate_exponent_width": -0.4, "exponent_width": 0.1}


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def fit_of(law, scatter=0.05, tasks=3):
    """A fit whose draws of the law's own parameters scatter around its truth; it has no other sites."""
    table = example(law)
    table = table.where(table.frame["task"].isin(table.tasks[:tasks]))
    model = hl.likelihood(law, table)
    rng, truth = np.random.default_rng(0), TRUTH | KNOWN | VALUE_TRUTH.get(law.name, {})
    p = {q.name: truth.get(q.name, 0.5) * np.exp(scatter * rng.standard_normal((2, 200))) for q in model.parameter_list}
    sites = {name: (("chain", "draw"), value) for name, value in p.items()}
    pooled = [q.name for q in law.own_parameters if q.group_sd and len(table.tasks) > 1]
    apart = [0.0, 0.3, 0.6]
    sites |= {f"{name}_task": (("chain", "draw", "task"), p[name][..., None] + apart) for name in pooled}
    tree = xr.DataTree.from_dict({"posterior": xr.Dataset(sites, {"task": list(table.tasks)})})
    return hl.Fit(model, table, tree, model.pivot(table.frame))


def calculated(text, given):
    """Every quantity that the lines of an equation define, as a reader with a calculator would have them."""
    known = given | {"erf": erf, "exp": exp}
    for line in text.splitlines()[:-1]:
        name, formula = line.split(" = ")
        formula = re.sub(r" \[[^]]*\]", "", formula).replace("·", "*").replace("^", "**").replace("B*", "B_best")
        known[name.replace("*", "_best")] = eval(formula, {}, known)
    return known


@pytest.mark.parametrize("law", EVERY, ids=lambda law: law.title)
def test_its_numbers_give_what_the_law_says(law):
    """With the medians as they are written, two figures of their intervals or more, at a scale away from the pivot."""
    fit = fit_of(law, scatter=1e-6)
    text = fit.equation()
    row = {n: float(np.exp(fit.pivot[n]) * 3) for n in law.logged} | {n: fit.pivot[n] + 120.0 for n in law.linear}
    x = {n: np.log(3.0) for n in law.logged} | {n: 120 / fit.pivot[f"{n}_unit"] for n in law.linear}
    p, batch = {q.name: float(fit.draws[q.name].median()) for q in law.own_parameters}, 3e2
    found = calculated(text, {SYMBOLS[name]: value for name, value in row.items()} | {"B": batch})
    for quantity in law.predicts:
        names = [WRITTEN.get(quantity, quantity).replace("*", "_best")]
        if law.labels:
            names = [f"eta_{label}" for label in law.labels["optimizer"]]
        for label, name in enumerate(names):
            said = law.log_value(quantity, p, x | dict.fromkeys(law.labels, label), np.log(batch))
            assert found[name] == pytest.approx(np.exp(said), rel=1e-3)


def test_it_shows_medians_intervals_and_the_pivot():
    assert fit_of(LAWS["OptimalUTD"](), tasks=1).equation() == (
        "sigma* = 2.00 [1.90, 2.12] · (F / 1e17)^0.599 [0.551, 0.647]\n"
        "Medians and 90 % intervals, one parameter at a time; F budget. Stated at the pivot, the geometric mean of the "
        "table: budget = 1e17."
    )
    assert fit_of(LAWS["OptimalUTD"](), tasks=1).equation("latex") == (
        r"$\sigma ^* = {2.00\,[1.90,\,2.12]} \cdot (F / {1\times 10^{17}})^{0.599\,[0.551,\,0.647]}$"
    )


def test_a_task_has_its_own():
    fit = fit_of(LAWS["OptimalUTD"]())
    text = fit.equation()
    assert text.endswith("For the centre of the population of tasks; task='first' gives one of them.")
    assert fit.equation(task="first").splitlines()[0] == text.splitlines()[0]
    second = fit.equation(task="second")
    assert second.endswith("For task second.")
    assert float(second.split()[2]) == pytest.approx(2.0 * np.exp(0.3), rel=0.01)
    with pytest.raises(ValueError, match="there is no task 'other' in this fit; its tasks are: first, second, third"):
        fit.equation(task="other")
    with pytest.raises(ValueError, match="format must be 'text' or 'latex', received 'html'"):
        fit.equation("html")


def test_tasks_without_a_population_are_stated_one_at_a_time():
    fit = fit_of(LAWS["OptimalUTD"](pooling=dict.fromkeys(VALUE_TRUTH["OptimalUTD"], "separate")))
    assert fit.equation() == fit.equation(task="first")
    assert fit.equation().endswith("For task first.")


def test_a_law_without_one_lists_its_parameters():
    text = fit_of(PowerOfBatch()).equation()
    assert re.match(r"log_steps = 0.\d+ \[0.\d+, 0.\d+\]\nexponent = ", text)
    assert "exponent: with which steps fall with the batch size. PowerOfBatch states no equation: hl.Law.eq" in text


def test_a_law_of_your_own_states_one():
    stated = ("S = {log_steps:exp} · (1024 / B)^{exponent}",)
    own = type("Own", (PowerOfBatch,), {"__module__": __name__, "equation": lambda self: stated})
    fit = fit_of(own(), scatter=1e-6)
    p = {name: float(fit.draws[name].median()) for name in ("log_steps", "exponent")}
    found = calculated(fit.equation(), {"B": 512.0})
    assert found["S"] == pytest.approx(np.exp(own().log_value("steps", p, {}, np.log(512.0))), rel=1e-3)
    stated = ("S = {log_step:exp}",)
    with pytest.raises(ValueError, match="Own: its equation names log_step, which is neither among its own_parameters"):
        hl.laws.register(own)
    assert "Own" not in LAWS


INTERVALS = {
    (22011.0, 31234.0, 44021.0): "3.1e4 [2.2e4, 4.4e4]",
    (0.312, 0.471, 0.618): "0.47 [0.31, 0.62]",
    (0.00098, 0.001019, 0.00106): "0.001019 [0.000980, 0.001060]",
    (0.00054, 0.00096, 0.0017): "0.00096 [0.00054, 0.0017]",
    (2.591, 2.6, 2.603): "2.600 [2.591, 2.603]",
    (0.93, 0.9996, 1.08): "1.00 [0.93, 1.08]",
    (-0.1, 0.0012, 0.1): "0.0012 [-0.10, 0.10]",
    (130.0, 150.0, 170.0): "150 [130, 170]",
    (1e-7, 2e-7, 4e-7): "2.0e-7 [1.0e-7, 4.0e-7]",
    (0.0, 0.0, 0.0): "0 [0, 0]",
    (1.0, 2.0, np.inf): "2.0 [1.0, inf]",
}


@pytest.mark.parametrize("ends", INTERVALS)
def test_intervals_are_written_to_what_is_known(ends):
    assert with_interval(*ends) == INTERVALS[ends]


@pytest.mark.parametrize("law", [*EVERY, PowerOfBatch()], ids=lambda law: law.title)
def test_matplotlib_reads_the_latex(law):
    parser, lines = MathTextParser("path"), fit_of(law).equation("latex").splitlines()
    assert len(lines) == len(law.equation() or law.own_parameters)
    for line in lines:
        assert line.count("$") == 2
        parser.parse(line, prop=mpl.font_manager.FontProperties())


@pytest.mark.parametrize("name", LAWS)
def test_every_law_of_the_package_states_one(name):
    text = " ".join(LAWS[name]().equation())
    assert all(f"{{{p.name}" in text for p in LAWS[name].own_parameters)


def test_it_says_of_what_the_table_says_nothing():
    made = made_fit(hl.laws.StepLaw(), hl.Runs.from_frame(grid()), TRUTH, scattered={"exponent_data": 0.5}, draws=100)
    (meaning,) = (p.meaning for p in made.law.own_parameters if p.name == "exponent_data")
    assert f"The table says hardly anything of: {meaning}. Their intervals are about the priors'." in made.equation()
    far = made_fit(
        hl.laws.StepLaw(),
        made.runs,
        TRUTH | {"exponent_data": 3.0},
        scattered={"exponent_data": 0.16},
        draws=100,
        whole=True,
    )
    assert "hardly anything" not in far.equation()  # as wide as the prior, and elsewhere


def test_what_a_task_has_by_itself_is_compared_with_what_is_shown():
    """A parameter that tasks have separately has draws of its own that are the prior's: the tasks' are shown."""
    law = hl.laws.StepLaw(pooling={"exponent_data": "separate"})
    runs = hl.Runs.from_frame(grid(tasks=("a", "b")))
    made = made_fit(law, runs, TRUTH, scattered={"exponent_data": 0.5}, draws=100)
    known = made.draws.assign(exponent_data_task=0 * made.draws["exponent_data_task"] + 0.5)
    tree = xr.DataTree.from_dict({"posterior": known})
    tree.attrs = made.tree.attrs
    assert "hardly anything" in made.equation()
    assert "hardly anything" not in replace(made, tree=tree).equation()
