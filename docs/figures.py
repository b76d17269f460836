"""The pictures of docs/concepts.md: `hyperlaw demo`, then `python docs/figures.py demo.nc`."""

import sys
from pathlib import Path

import numpy as np
import scipy.stats as stats
from matplotlib.figure import Figure

import hyperlaw as hl
from hyperlaw.demo import LARGE
from hyperlaw.display import short
from hyperlaw.plots.style import AXIS, BLUE, CHAINS, GREY, ORANGE, SEQUENTIAL, log_ticks

FOLDER = Path(__file__).parent / "figures"
CELL = {"params": 98304, "data": 2**20}
SETTING = 512  # batch size of the one whose regret is shown


def cell(fit: hl.Fit) -> Figure:
    """The runs of one cell."""
    frame = fit.runs.frame
    runs = frame[(frame["params"] == CELL["params"]) & (frame["data"] == CELL["data"]) & ~frame["diverged"]]
    mean = runs.groupby(["batch_size", "learning_rate"])["loss"].mean()
    lowest, edge = runs["loss"].min(), float(np.asarray(fit.surface.edges(fit.runs))[runs.index[0]])
    figure = Figure(figsize=(8, 4.6), layout="constrained")
    ax = figure.subplots()
    batches = mean.index.levels[0]
    for i, batch in enumerate(batches):
        curve = mean[batch]
        ax.plot(curve.index, curve, "o-", ms=4, color=SEQUENTIAL(i / (len(batches) - 1)), label=short(batch))
    ax.axhline(edge, color=GREY, ls="--", lw=1)
    ax.text(0.145, edge + 0.02, 'edge of the window:\nabove it, "at least so bad"', va="bottom", ha="right", fontsize=9,
            bbox={"fc": "white", "ec": "none", "alpha": 0.85, "pad": 1})  # fmt: skip
    batch, rate = mean.idxmin()
    ax.plot(rate, mean.min(), "*", ms=16, color=ORANGE, zorder=5)
    ax.annotate("lowest of the cell", (rate, mean.min()), (rate * 1.5, mean.min() - 0.12), fontsize=9,
                arrowprops={"arrowstyle": "-", "color": GREY})  # fmt: skip
    rate, loss = mean[SETTING].index[1], mean[SETTING].iloc[1]
    ax.axhline(mean.min(), color=ORANGE, lw=0.8)
    ax.annotate("", (rate, mean.min()), (rate, loss), arrowprops={"arrowstyle": "<->", "color": ORANGE})
    ax.text(rate, mean.min() - 0.02, "regret of\nthis setting", ha="center", va="top", fontsize=9, color=ORANGE)
    ax.set(xscale="log", xlabel=AXIS["learning_rate"], ylabel="loss (nats)", xlim=(8e-4, 0.15))
    ax.set(ylim=(lowest - 0.2, edge + 0.5))
    ax.set_title(f"One cell: {short(CELL['params'])} parameters, {short(CELL['data'])} bytes")
    log_ticks(ax.xaxis)
    ax.legend(title="batch size (bytes)", fontsize=9, loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    return figure


def law(fit: hl.Fit) -> Figure:
    """The best learning rate of the cells, and the law out to the target."""
    choice = hl.decide(fit, at=LARGE, risk=hl.CVaR(0.9))
    along, cells = choice.trajectory, choice.cells
    figure = Figure(figsize=(8, 4.6), layout="constrained")
    ax = figure.subplots()
    ax.fill_between(
        along["data"], along["learning_rate_lower"], along["learning_rate_upper"], color=BLUE, alpha=0.2, lw=0
    )
    ax.plot(along["data"], along["learning_rate_median"], color=BLUE)
    for k, (params, some) in enumerate(cells.groupby("params")):
        middle = some["learning_rate_median"]
        reach = np.stack([middle - some["learning_rate_lower"], some["learning_rate_upper"] - middle])
        ax.errorbar(some["data"] * (1.04 if k else 0.96), middle, reach, fmt="os"[k], ms=5, capsize=2,
                    color=BLUE if k else GREY, mfc=BLUE if k else "white",
                    label=f"cells of {short(params)} parameters")  # fmt: skip
    interval = choice.intervals.loc["learning_rate"]
    ax.errorbar(LARGE["data"], interval["median"],
                [[interval["median"] - interval["lower"]], [interval["upper"] - interval["median"]]],
                fmt="*", ms=14, capsize=3, color=ORANGE, label="target: a new cell, 90 %")  # fmt: skip
    ax.axvline(fit.runs.frame["data"].max() * 1.3, color=GREY, ls=":", lw=1)
    ax.text(fit.runs.frame["data"].max() * 1.36, ax.get_ylim()[1], "beyond the runs", va="top", fontsize=9, color=GREY)
    ax.set(xscale="log", yscale="log", xlabel="data (bytes)", ylabel="best learning rate",
           title=f"The law at {short(LARGE['params'])} parameters: median, and 90 % for a new cell")  # fmt: skip
    for axis in (ax.xaxis, ax.yaxis):
        log_ticks(axis)
    ax.legend(fontsize=9, frameon=False, loc="lower left")
    return figure


def task() -> Figure:
    """A sketch of partial pooling: three tasks, their population, a new task."""
    x = np.linspace(-0.2, 1.2, 400)
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    ax = figure.subplots()
    for (name, mean, sd), colour in zip(
        (("task with many runs", 0.42, 0.04), ("task with fewer", 0.55, 0.07), ("task with few", 0.52, 0.12)),
        (CHAINS[0], CHAINS[2], CHAINS[3]), strict=True,
    ):  # fmt: skip
        ax.plot(x, stats.norm.pdf(x, mean, sd), color=colour, label=name)
    ax.fill_between(x, stats.t.pdf(x, 4, 0.5, 0.17), color=GREY, alpha=0.25, lw=0, label="a new task: the population")
    ax.set(xlabel="exponent of the best batch size with data", ylabel="density", yticks=[], ylim=(0, None),
           title="Each task has its own exponent, drawn from a population (a sketch)")  # fmt: skip
    ax.legend(fontsize=9, frameon=False)
    return figure


def risk(fit: hl.Fit) -> Figure:
    """Regrets of the choice and of reusing the best small setting, at the demo's target."""
    choice = hl.decide(fit, at=LARGE, risk=hl.CVaR(0.9))
    reused = choice.table.loc["reuse_best", ["learning_rate", "batch_size"]].to_dict()
    settings = {"the choice": choice.setting, "the small runs' best, reused": reused}
    figure = Figure(figsize=(8, 4.6), layout="constrained")
    for ax, (name, setting) in zip(figure.subplots(2, 1, sharex=True), settings.items(), strict=True):
        regret = (
            fit.predict(LARGE, candidates={n: np.array([v]) for n, v in setting.items()}).draws["regret"].values.ravel()
        )
        ax.hist(regret, bins=np.linspace(0, 0.15, 76), color=BLUE, alpha=0.5, density=True)
        marks = {"mean": hl.Mean(), "90 % quantile": hl.Quantile(0.9), "CVaR(0.9)": hl.CVaR(0.9)}
        for (mark, measure), style in zip(marks.items(), ("-", "--", ":"), strict=True):
            value = float(measure(regret[:, None])[0])
            ax.axvline(value, color=ORANGE, ls=style, label=f"{mark}: {value:.4f}")
        ax.set(yticks=[], xlim=(0, 0.15))
        ax.set_title(
            f"{name}: learning rate {setting['learning_rate']:.4f}, batch size {setting['batch_size']:.0f}", fontsize=10
        )
        ax.legend(fontsize=9, frameon=False)
    ax.set_xlabel("regret at the target (nats)")
    return figure


def main(path: str) -> None:
    """Write all of them into docs/figures."""
    fit = hl.load_fit(path)
    FOLDER.mkdir(exist_ok=True)
    for name, figure in (("cell", cell(fit)), ("law", law(fit)), ("task", task()), ("risk", risk(fit))):
        figure.savefig(FOLDER / f"{name}.png", dpi=120)


if __name__ == "__main__":
    main(sys.argv[1])
