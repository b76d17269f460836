"""The laws on real data: what the pages docs/laws/<law>.md say under that head."""

from collections.abc import Callable
from functools import cache, partial

import law_page
import numpy as np
import pandas as pd
import public_sweep
import public_tables as tables
import three_term
from published_rl import DMC, GYM, cheapest

import hyperlaw as hl
from hyperlaw.models.laws import LAWS

L = hl.laws
STEPS = ("StepsExamples", "CriticalBatchLoss", "CriticalBatchData", "CriticalBatchParams")
CURVES = ("Surge", "SurgeExact", "SquareRoot")
SIZED = ("UTDHyperparametersBySize", "DataEfficiencyBySize")
RUNS = ("StepLaw", "ComputeLaw", "TimeTransfer", "TimeTransferTied", "ThreeTerm")
PRICE, CRITIC = hl.Budget(delta=4e9), 1.5e5  # FLOPs an environment step, and parameters (2502.04327)


def _fitted(name: str, table: object, draws: int | None = 1000) -> tuple[hl.Fit, str]:
    """A fit, and its picture and failed checks as markdown."""
    fit = hl.fit(LAWS[name](), table, seed=0, draws=draws, progress=False)
    law_page.save(hl.plots.values(fit), f"{name}_real.png")
    return fit, f"{_failed(fit)}\n\n![Rows and law](figures/{name}_real.png)"


def _intervals(fit: hl.Fit, names: list[str], exponentiate: bool = False) -> str:
    rows = []
    for name in names:
        value = fit.tree["posterior"][name]
        draws = np.exp(value.values) if exponentiate else value.values
        labels = [str(v) for v in value["task"].values] if "task" in value.dims else [""]
        for i, label in enumerate(labels):
            one = draws[..., i] if label else draws
            low, middle, high = np.quantile(one, [0.05, 0.5, 0.95])
            shown = name.removesuffix("_task").removeprefix("log_" if exponentiate else "")
            rows.append({"quantity": shown, "task": label or "population", "lower": low,
                         "median": middle, "upper": high})  # fmt: skip
    return law_page.markdown(pd.DataFrame(rows))


def _backtest(name: str | dict[str, hl.Law], table: object, parts: dict[str, str | Callable]) -> str:
    """Coverage, error and log score of withheld rows beside regressions, one row a split and method."""
    rows = []
    for title, hold_out in parts.items():
        laws = name if isinstance(name, dict) else {name: LAWS[name]()}
        found = hl.backtest(laws, table, seed=0, hold_out=hold_out, progress=False)
        shown = found.summary.reset_index()[["method", "quantity", "rows", "covered", "error", "log_score", "crps"]]
        rows.append(shown.assign(withheld=title))
    table = pd.concat(rows)[["withheld", "method", "quantity", "rows", "covered", "error", "log_score", "crps"]]
    return (
        "Withheld rows: share inside 90 % intervals, mean |error| in ln, log score and CRPS in ln, beside regressions in "
        "logs and least squares. Rows of one curve share their luck.\n\n" + law_page.markdown(table)
    )


def largest(name: str) -> Callable[[pd.DataFrame], pd.Series]:
    """Rows at the largest value of a column."""
    return lambda frame: frame[name] == frame[name].max()


def _one_step(name: str, quantity: str) -> str:
    fit, picture = _fitted(name, tables.one_step_optima(quantity))
    return (
        "One SGD step on MNIST from two checkpoints, 13 batch sizes (TatianaUshakova/batch-size-lr-scaling). Its authors "
        "give a noise scale of 49.8 +- 4.3 and 150.5 +- 15.4 samples; least squares of the improvement in linear space on "
        "our table gives 47.8 and 137.0. The law fits logs, with bootstrap errors, so that small batches count too.\n\n"
        + _intervals(fit, ["log_noise_scale_task"], exponentiate=True) + "\n\n" + picture
    )  # fmt: skip


def _surge(name: str, draws: int = 1000) -> str:
    fit, picture = _fitted(name, tables.surge_optima(), draws)
    return (
        "Adam on the shipped sweep lm_adam: the best learning rate at each batch size, every horizon and width a task. "
        "[BrokenPower](BrokenPower.md) compares the curves.\n\n"
        + _intervals(fit, [p.name for p in fit.law.own_parameters]) + "\n\n" + picture
    )  # fmt: skip


def _by_optimizer() -> str:
    fit, picture = _fitted("ByOptimizer", tables.optimizer_optima())
    free = hl.fit(L.BrokenPower(), tables.optimizer_optima(), seed=0, progress=False)
    found = hl.compare({"ByOptimizer": fit, "BrokenPower": free}, leave_out="run", seed=0)
    table = found.table[["elpd_diff", "dse", "weight"]].reset_index(names="law")
    return (
        "SGD and Adam on the shipped sweep digits: the best learning rate at each batch size, every horizon a task. Beside "
        "it BrokenPower, one curve of free slopes for both optimizers.\n\n"
        + _intervals(fit, [p.name for p in fit.law.own_parameters]) + "\n\n"
        + f"{found.sentence}\n\n{law_page.markdown(table)}\n\n"
        "ByOptimizer holds SGD's rate to proportional growth below its turn, and Adam's to the square root. Where its free "
        "rival does better, the runs say that the slopes are others: then take the rival's curve, and the ratio of the two "
        f"optimizers from here.\n\n{picture}"
    )  # fmt: skip


def _compared() -> str:
    laws = [L.BrokenPower(), L.Surge(), L.SurgeExact(), L.NoiseScale(), L.SquareRoot()]
    fits = {law.name: hl.fit(law, tables.surge_optima(), seed=0, progress=False) for law in laws}
    text = []
    for leave_out in ("run", "task"):
        found = hl.compare(fits, leave_out=leave_out, seed=0)
        table = found.table[["elpd_diff", "dse", "weight"]].reset_index(names="law")
        text.append(
            f"**Leaving out {leave_out}s** (here a run is a batch size). {found.sentence}\n\n"
            + law_page.markdown(table)
        )
    # Where its curve turns is seen so badly that a broken power law needs more draws.
    return _surge("BrokenPower", draws=4000) + "\n\n" + "\n\n".join(text)


def _steps(name: str) -> str:
    table = tables.steps_to_loss()
    fit, picture = _fitted(name, table)
    names = [p.name for p in fit.law.own_parameters if p.name != "log_least_steps"]
    parts = {
        "largest model": largest("params"),
        "three largest batches": lambda f: f["batch_size"] >= f["batch_size"].max() / 4,
    }
    return (
        "Five language models trained to a loss (Zhang et al. 2024, arXiv 2410.21676), 45 rows. The paper's exponent, 0.47 "
        "in data and in parameters, is of another batch size: the one with 20 % more data than linear scaling from 256 "
        "sequences, which by this curve is 0.2 B_crit + 307 sequences and so grows more slowly than B_crit.\n\n"
        + _intervals(fit, names) + "\n\n" + _backtest(name, table, parts) + "\n\n" + _rivals() + "\n\n" + picture
    )  # fmt: skip


@cache
def _rivals() -> str:
    """The laws of steps against one another on their five curves."""
    table = tables.steps_to_loss()
    fits = {name: hl.fit(LAWS[name](), table, seed=0, progress=False) for name in STEPS}
    text = ["The laws of steps compared on these curves."]
    for leave_out in ("run", "task"):
        found = hl.compare(fits, leave_out=leave_out, seed=0)
        shown = found.table[["elpd_diff", "dse", "weight"]].reset_index(names="law")
        text.append(f"**Leaving out {leave_out}s.** {found.sentence}\n\n{law_page.markdown(shown)}")
    return "\n\n".join(text)


def _small_batch() -> str:
    """The law of small batches where they waste, beside the one that says they do not."""
    table = tables.adam_steps()
    fit, picture = _fitted("StepsSmallBatch", table, draws=None)  # until there are enough: knee and B_small mix slowly
    plain = hl.fit(L.StepsExamples(), table, seed=0, progress=False)
    found = hl.compare({"StepsSmallBatch": fit, "StepsExamples": plain}, leave_out="run", seed=0, progress=False)
    compared = found.table[["elpd_diff", "dse", "weight"]].reset_index(names="law")
    parts = {
        "smallest batch of each curve": lambda f: f["batch_size"] == f.groupby("curve")["batch_size"].transform("min"),
        "largest batch of each curve": lambda f: f["batch_size"] == f.groupby("curve")["batch_size"].transform("max"),
    }
    small, plainly = (_backtest(name, table, parts) for name in ("StepsSmallBatch", "StepsExamples"))
    return (
        "Steps to three losses of the shipped sweep lm_adam: Adam at a constant learning rate, two widths. Other sweeps, a "
        "published one and what is known of the threshold: [Critical batch sizes](../evidence/critical-batch.md).\n\n"
        + _intervals(fit, ["log_critical_batch", "knee", "log_small_ratio"]) + "\n\n" + small + "\n\n"
        + "StepsExamples on the same rows. " + plainly + f"\n\n{found.sentence}\n\n{law_page.markdown(compared)}\n\n{picture}"
    )  # fmt: skip


def _gym_hyperparameters() -> str:
    table = tables.gym("sweep").optima()
    fit, picture = _fitted("UTDHyperparameters", table)
    names = ["exponent_utd", "exponent_utd_task", "rate_exponent_utd", "rate_exponent_utd_task"]
    return (
        "SAC on four Gym environments, from the raw learning curves (Rybkin et al. 2025, arXiv 2502.04327). Published "
        "shared slopes: -0.31 (batch size) and -0.28 (learning rate); separate ones from -0.51 to -0.02 and -0.40 to 0.06. "
        "Least squares on our optima gives -0.38 and -0.33; averaging the bootstrap's best grid values arithmetically, as "
        "the paper's code does, gives -0.31 and -0.26 from the same crossings: the logs are the difference. The "
        "posterior below also weighs each optimum by its error.\n\n"
        + _intervals(fit, names) + "\n\n"
        + _backtest("UTDHyperparameters", table, {"largest ratio": largest("utd"), "each environment": "task"})
        + "\n\n" + picture
    )  # fmt: skip


def _gym_data() -> str:
    text = (
        "Data to ten performances, SAC on four Gym environments (arXiv 2502.04327), from the raw learning curves.\n\n"
    )
    parts = {"largest ratio": largest("utd"), "each environment": "task"}
    best, tuned = tables.gym("sweep").best(), tables.gym("tuned")
    fit, picture = _fitted("DataEfficiency", tuned)
    text += _intervals(fit, ["exponent_utd", "exponent_utd_task"])
    text += "\n\n**Best of the sweep.** " + _backtest("DataEfficiency", best, parts)
    return text + "\n\n**Tuned runs.** " + _backtest("DataEfficiency", tuned, parts) + "\n\n" + picture


def _by_threshold() -> str:
    """Exponents free by threshold against one for all, on three tables, and what exponents and offsets are."""
    names, text = ("DataEfficiency", "DataEfficiencyByThreshold"), []
    sources = {
        "SAC on four Gym environments, tuned runs": tables.gym("tuned"),
        "The same, best of the sweep": tables.gym("sweep").best(),
        "The shipped value_rl, best settings": tables.shipped_crossings(),
    }
    for title, table in sources.items():
        fits = {name: hl.fit(LAWS[name](), table, seed=0, progress=False) for name in names}
        free = fits["DataEfficiencyByThreshold"]
        text.append(
            f"**{title}.** {_failed(free)}\n\n{_intervals(free, ['exponent_utd', 'exponent_utd_threshold_sd'])}"
        )
        for leave_out in ("run", "task"):
            found = hl.compare(fits, leave_out=leave_out, seed=0)
            shown = found.table[["elpd_diff", "dse", "weight"]].reset_index(names="law")
            text.append(f"Leaving out {leave_out}s. {found.sentence}\n\n{law_page.markdown(shown)}")
    tuned = tables.gym("tuned")
    fit, picture = _fitted("DataEfficiencyByThreshold", tuned)
    parts = {"largest ratio": largest("utd"), "two highest performances": lambda f: f["threshold"] > 750}
    laws = {name: LAWS[name]() for name in names}
    text.append("**Tuned runs withheld.** " + _backtest(laws, tuned, parts))
    lowest, highest = min(tables.GYM_THRESHOLDS), max(tables.GYM_THRESHOLDS)
    table = hl.efficiency(fit).reset_index()
    ends = table[table["threshold"].isin([lowest, 651.0, highest])].astype({"data_unit": int})
    text.append(
        "**Exponents and offsets** (`hl.efficiency`, data in units of the environment's median). Published, of the mean over "
        "environments: alpha 0.76, 0.69, 0.70 and beta 0.12, 0.67, 2.29 at 300, 651 and 800.\n\n"
        + law_page.markdown(ends)
    )
    return "\n\n".join([*text, picture])


def _failed(fit: hl.Fit) -> str:
    checks = fit.check()
    review = checks.table.loc[checks.table["status"] == "REVIEW", "check"].tolist()
    return f"Failed checks: {', '.join(checks.failed) or 'none'}; to review: {', '.join(review) or 'none'}."


def _sized(name: str) -> str:
    crossings = tables.humanoid()
    table = crossings.best() if name == "DataEfficiencyBySize" else crossings.optima()
    fit, picture = _fitted(name, table)
    parts = {"largest critic": largest("params"), "largest ratio": largest("utd")}
    return (
        "SimbaV2 on two HumanoidBench tasks over ratios and critic sizes (Fu et al. 2025, arXiv 2508.14881).\n\n"
        + _intervals(fit, ["exponent_utd", "exponent_params"]) + "\n\n" + _backtest(name, table, parts) + "\n\n" + picture
    )  # fmt: skip


def _optimal() -> str:
    efficiency = hl.fit(L.DataEfficiency(), tables.gym("tuned"), seed=0, progress=False)
    hyperparameters = hl.fit(L.UTDHyperparameters(), tables.gym("sweep").optima(), seed=0, progress=False)
    rows = []
    for task in efficiency.table.tasks:
        found = hl.frontier(
            {"efficiency": efficiency, "hyperparameters": hyperparameters}, performance=[400, 500, 600, 700, 800],
            cost=PRICE, utd=(0.25, 16.0), params=CRITIC, task=task,
        )  # fmt: skip
        at = found.table.loc[(800.0, "utd")]
        rows.append({"task": task} | {f"utd at 800, {n}": at[n] for n in ("lower", "median", "upper", "p_bound")}
                    | {f"exponent, {n}": found.exponent[n] for n in ("lower", "median", "upper")})  # fmt: skip
    return (
        "`hl.frontier` on fits of the raw Gym curves with the published prices (4e9 FLOPs a step, 1.5e5 parameters). "
        "From the published point fits the same arithmetic gives 2.62e-9 F^0.62 on Gym and 3.0e11 F^-0.74 on DMC, as "
        "published (tests/test_frontier.py). From four ratios the posterior leaves the cheapest one open to a factor of "
        "several, and often at the end of what was allowed (`p_bound`): what lies beyond the ratios tried, 0.5 to 4, is not "
        "known from these runs.\n\n" + law_page.markdown(pd.DataFrame(rows)) + "\n\n" + _cheapest()
    )


def _cheapest() -> str:
    """The law itself, fitted to the cheapest ratios of curves."""
    table, names = tables.cheapest_ratios(PRICE, CRITIC), ["log_utd", "exponent_budget", "exponent_budget_task"]
    fit, _ = _fitted("OptimalUTD", table)
    gym = (
        f"**The law fitted to the cheapest ratio at each of ten performances of the Gym curves**, by a parabola through the "
        f"four ratios of the tuned runs: {_inside(table)}. All performances of a ratio are read from the same curves, so that "
        f"rows are fewer facts than they look. {_failed(fit)}\n\n{_intervals(fit, names)}"
    )
    table = tables.cheapest_of_humanoid()
    fit, _ = _fitted("OptimalUTD", table)
    humanoid = (
        "**The same of SimbaV2 on two HumanoidBench tasks** (arXiv 2508.14881), ratios of 1 to 8, each critic size a task, at "
        "the published prices (5e11 FLOPs a step of h1-crawl, 1e11 of h1-stand). An update of these critics costs about "
        f"what a step does, so that the cheapest ratio is seen more often: {_inside(table)}. "
        f"{_failed(fit)}\n\n{_intervals(fit, names)}\n\n{_backtest('OptimalUTD', table, {'two highest budgets': _dearest})}"
    )
    table = tables.cheapest_of_shipped()
    fit, picture = _fitted("OptimalUTD", table)
    shipped = (
        "**The same of the shipped value_rl**, ratios of 1/4 to 8, six performances, where a step is priced at 1e6 FLOPs, about "
        f"an update of 64 transitions: {_inside(table)}. {_failed(fit)}\n\n{_intervals(fit, names)}\n\n"
        f"{_backtest('OptimalUTD', table, {'two highest budgets': _dearest})}"
    )
    return "\n\n".join([gym, humanoid, shipped, _published_budgets(), picture.split("\n\n")[-1]])


def _inside(table: hl.Optima) -> str:
    inside = int(table.frame["utd"].between(table.frame["utd_low"] * 1.001, table.frame["utd_high"] * 0.999).sum())
    return f"{inside} of {len(table)} lie within what was tried, the others at its end"


def _dearest(frame: pd.DataFrame) -> pd.Series:
    """The two largest budgets of each task."""
    return frame.groupby("task")["budget"].rank(ascending=False) <= 2


def _published_budgets() -> str:
    """The law fitted to the ratios that the published point fits call cheapest, the two largest budgets withheld."""
    rows = []
    for name, published in (("Gym", GYM), ("DMC", DMC)):
        frame = cheapest(published)
        lower, beyond = frame.iloc[:-2], frame.iloc[-2:]
        fit = hl.fit(L.OptimalUTD(), hl.Optima.from_frame(lower, estimated=("utd",)), seed=0, progress=False)
        low, middle, high = np.quantile(fit.draws["exponent_budget"], [0.05, 0.5, 0.95])
        for budget, utd in beyond.itertuples(index=False):
            expected = fit.predict({"budget": budget}).table.loc["utd"]
            rows.append({
                "suite": name, "exponent published": published["published"][1], "lower": low, "median": middle, "upper": high,
                "withheld budget": budget, "cheapest there": utd, "expected, lower": expected["lower"],
                "expected, median": expected["median"], "expected, upper": expected["upper"],
            })  # fmt: skip
    return (
        "**Budgets withheld, from the published point fits.** The cheapest ratios that the fits of arXiv 2502.04327 give at ten "
        "performances, the law fitted to the lower eight and asked for the two highest, as in the paper. Its exponents beside "
        "the published ones, 0.62 and -0.74, and the ratios beside those withheld:\n\n"
        + law_page.markdown(pd.DataFrame(rows))
    )


def _noise() -> str:
    fit, picture = _fitted("NoiseGrowth", tables.noise_windows())
    parts = {
        "losses below 0.1": lambda f: f["loss"] < 0.1,
        "largest batch size": lambda f: f["task"].str.contains(" 256"),
    }
    return (
        "The shipped digits_noise below 1.2 nats: SGD and Adam at three batch sizes, three seeds each, every run a task. "
        "Above that the output weights leave zero, and the noise scale falls. How far the estimates themselves are right, "
        "and what they say of the best learning rate: [Noise scale, measured](../evidence/noise-scale.md).\n\n"
        + _intervals(fit, ["log_noise_scale", "noise_exponent_loss"]) + "\n\n"
        + _backtest("NoiseGrowth", tables.noise_windows(), parts) + "\n\n" + picture
    )  # fmt: skip


def _runs(name: str) -> str:
    sweep = hl.load_sweep("lm_adam")
    small = sweep.where(sweep.frame["data"] <= 2**20)
    fit = hl.fit(LAWS[name](), small, seed=0, progress=False)
    at = {"params": 98304, "data": 2**22}
    law_page.save(hl.plots.optima(fit, at=at), f"{name}_real.png")
    table = hl.sharpness(fit).reset_index()
    return (
        f"The shipped sweep lm_adam up to 2^20 bytes, predicted at 2^22. Failed checks: {', '.join(fit.check().failed) or 'none'}."
        f"\n\n{law_page.markdown(fit.predict(at).table.reset_index(names='optimum'))}\n\n![Optima](figures/{name}_real.png)\n\n"
        "How sharply the loss rises around the optimum, and how that changes with scale (`hl.sharpness`):\n\n"
        + law_page.markdown(table) + "\n\nWithheld scales of this and of a published sweep: [backtest](../evidence/backtest.md)."
    )  # fmt: skip


def _tied() -> str:
    """What tying the best batch size to the critical one costs or gains, by cells and by withheld horizons."""
    text = [_runs("TimeTransferTied")]
    laws = {name: LAWS[name]() for name in ("TimeTransfer", "TimeTransferTied")}
    for sweep, known in (("lm_adam", 2**20), ("lm_optimizers", 2**19)):
        runs = hl.load_sweep(sweep)
        fits = {name: hl.fit(law, runs, seed=0, progress=False) for name, law in laws.items()}
        found = hl.compare(fits, leave_out="run", seed=0, progress=False)
        free = fits["TimeTransfer"].tree["posterior"]
        apart = (free["critical_exponent_data"] - free["exponent_data"]).values
        low, middle, high = np.quantile(apart, (0.05, 0.5, 0.95))
        larger = runs.frame["data"] > known
        tested = hl.backtest(laws, runs, hold_out=lambda _, larger=larger: larger, seed=0, progress=False).table
        text.append(
            f"**{sweep}.** {found.sentence} Left free, kappa less b is {middle:.2g} (90 %: {low:.2g} to {high:.2g}). Horizons "
            f"above 2^{int(np.log2(known))} withheld:\n\n" + law_page.markdown(_by_law(tested, list(laws)))
        )
    return "\n\n".join(text)


def _by_law(tested: pd.DataFrame, laws: list[str]) -> pd.DataFrame:
    """Means over withheld cells of what each law lost, and of what its intervals held."""
    rows = tested[tested["method"].isin(laws) & (tested["risk"] == "cvar90")]
    columns = ["regret", "covered_learning_rate", "covered_batch_size", "covered_loss"]
    return rows.groupby("method")[columns].mean().reset_index(names="law")


def _three_term() -> str:
    rows = [three_term.least_squares(title, rows) for title, rows in three_term.tuned().items()]
    free = hl.fit(L.StepLaw(), public_sweep.load(), seed=0, progress=False)
    return (
        _runs("ThreeTerm") + "\n\n**The sum alone**, by least squares of ln loss (Huber, 1e-3) over the tuned losses of the published "
        "sweep of five sizes: the lowest loss at each size, horizon and batch size, one row a set of them. Single runs scatter by about "
        "0.002 nats (`rms` is of what the sum leaves); the paper's own fit, to other runs, has B* = 0.667 D^0.566.\n\n"
        + law_page.markdown(pd.DataFrame(rows)) + "\n\n**Do its sides agree?** StepLaw ties neither. Fitted to the published dense sweep, "
        "it says what the sum would have to be by the bowl over batch sizes, and how the lowest losses do level off:\n\n"
        + law_page.markdown(three_term.two_sides(free)) + "\n\n**Withheld scales, beside StepLaw** (`python benchmarks/three_term.py`; blocks and "
        "columns are those of the [backtest](../evidence/backtest.md), choices by CVaR(0.9), one draw of runs and of batch "
        "sizes). Shares are of the withheld cells; regret and widths are in nats, that of B* in data points.\n\n" + three_term.tables()
    )  # fmt: skip


TABLES: dict[str, Callable[[], object]] = {
    "NoiseGrowth": tables.noise_windows,
    "NoiseScale": lambda: tables.one_step_optima("learning_rate"),
    "LossImprovement": lambda: tables.one_step_optima("improvement"),
    "UTDHyperparameters": lambda: tables.gym("sweep").optima(),
    "UTDHyperparametersBySize": lambda: tables.humanoid().optima(),
    "DataEfficiency": lambda: tables.gym("tuned"),
    "DataEfficiencyByThreshold": lambda: tables.gym("tuned"),
    "DataEfficiencyBySize": lambda: tables.humanoid().best(),
    **dict.fromkeys((*CURVES, "BrokenPower"), tables.surge_optima),
    **dict.fromkeys(STEPS, tables.steps_to_loss),
    "StepsSmallBatch": tables.adam_steps,
    "ByOptimizer": tables.optimizer_optima,
    **dict.fromkeys(RUNS, lambda: hl.load_sweep("lm_adam")),
}
REAL: dict[str, Callable[[], str]] = {
    "NoiseGrowth": _noise,
    "NoiseScale": lambda: _one_step("NoiseScale", "learning_rate"),
    "LossImprovement": lambda: _one_step("LossImprovement", "improvement"),
    "BrokenPower": _compared,
    "ByOptimizer": _by_optimizer,
    "UTDHyperparameters": _gym_hyperparameters,
    "DataEfficiency": _gym_data,
    "DataEfficiencyByThreshold": _by_threshold,
    "OptimalUTD": _optimal,
    "StepsSmallBatch": _small_batch,
    **{name: partial(_surge, name) for name in CURVES},
    **{name: partial(_steps, name) for name in STEPS},
    **{name: partial(_sized, name) for name in SIZED},
    **{name: partial(_runs, name) for name in RUNS},
    "TimeTransferTied": _tied,
    "ThreeTerm": _three_term,
}
