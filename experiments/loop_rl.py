"""The closed loop of value-based RL: batch size, learning rate and data at updates-to-data ratios never fitted."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import hyperlaw as hl
from experiments.page import markdown
from hyperlaw.data.vocabulary import HYPERPARAMETERS
from hyperlaw.diagnostics.baselines.values import least_squares_data, separate_regression, shared_regression
from hyperlaw.plots.style import log_ticks

# Returns of the untrained network, and of a task that is solved, or nearly: tasks that share a law need one unit.
SOLVED = {
    "CartPole-v1": (9.0, 500.0),
    "Catch-bsuite": (-0.6, 1.0),
    "FourRooms-misc": (0.2, 1.0),
    "Pendulum-v1": (-1400.0, -150.0),
}
SWEEP = "value_rl"
# Ratios fitted; all batch sizes were tried up to 4 alone, and an optimum averaged over fewer would be another.
SMALL, WHOLE = (0.25, 8.0), (0.25, 4.0)
# Half and a fifth of the smallest ratio.
TARGETS = [(task, utd) for utd in (0.125, 0.05) for task in sorted(SOLVED)]
# Performances that the best settings reach at every small ratio: easy, middling, good.
THRESHOLDS = [40.0, 55.0, 70.0]


def curves_of(low: float, high: float) -> hl.Curves:
    """The curves of ratios from `low` to `high`, in one unit: 0 is the untrained network, 100 a task that is solved."""
    frame = hl.load_sweep(SWEEP).frame
    frame = frame[frame["utd"].between(low, high)]
    ends = frame["task"].map(SOLVED)
    untrained, solved = ends.str[0], ends.str[1]
    performance = 100 * (frame["performance"] - untrained) / (solved - untrained)
    return hl.Curves.from_frame(frame.assign(performance=performance.astype(float)))


def tables() -> tuple[hl.Optima, hl.Crossings]:
    """What the small ratios say: optima of the settings, and the data that the best settings needed."""
    crossings = curves_of(*SMALL).crossings(THRESHOLDS, seed=0)
    return crossings.where(crossings.frame["utd"].between(*WHOLE)).optima(), crossings.best()


def freeze() -> dict[str, Any]:
    """Best settings and data to each performance at the withheld ratios, from the ratios 1/4 to 8."""
    optima, best = tables()
    settings = hl.fit(hl.laws.UTDHyperparameters(), optima, seed=0)
    data = hl.fit(hl.laws.DataEfficiency(), best, seed=0)
    questions = []
    for task, utd in TARGETS:
        at = {"task": task, "utd": utd}
        expected = [data.predict(at | {"threshold": level}).table.loc["data"] for level in THRESHOLDS]
        rows = pd.DataFrame([at | {"threshold": level} for level in THRESHOLDS])
        points = best.frame.assign(value=best.frame["data"])
        by_hand = least_squares_data(points, rows, ["utd", "threshold"])
        questions.append(
            at
            | {
                "intervals": settings.predict(at).table.to_dict("index"),
                "data": [interval.to_dict() for interval in expected],
                "least_squares_data": None if by_hand is None else np.exp(by_hand[0]).tolist(),
                "recipes": _recipes(optima.frame, at),
            }
        )
    checks = {fit.law.name: fit.check() for fit in (settings, data)}
    return {
        "digest": optima.digest,
        "optima": len(optima),
        "failed": {name: check.failed for name, check in checks.items()},
        "review": {
            name: check.table.loc[check.table["status"] == "REVIEW", "check"].tolist() for name, check in checks.items()
        },
        "questions": questions,
    }


def score(frozen: dict[str, Any], folder: Path) -> str:
    """Markdown: each choice and interval beside the runs at the withheld ratios; a picture into `folder`."""
    questions = frozen["questions"]
    ratios = [question["utd"] for question in questions]
    curves = curves_of(min(ratios), max(ratios))
    frame, held, lost = curves.frame, [], []
    figure, axes = plt.subplots(1, 2, figsize=(13, 4))
    for i, question in enumerate(questions):
        task, utd = question["task"], question["utd"]
        cell = curves.where((frame["task"] == task) & (frame["utd"] == utd))
        crossings = cell.crossings(THRESHOLDS, seed=0)
        place = {"environment": task, "ratio": f"{utd:g}"}
        found = _level(crossings)
        optimum = crossings.optima(found).frame.iloc[0]
        for name in HYPERPARAMETERS:
            held.append(place | _held(name, question["intervals"][name], optimum[name], optimum[f"{name}_error"]))
        least = crossings.best().frame.set_index("threshold")
        for interval, level in zip(question["data"], THRESHOLDS, strict=True):
            row = least.loc[level]
            held.append(place | _held(f"data to {level:g}", interval, row["data"], row["error"], row["reached"]))
        reached = crossings.frame[crossings.frame["level"] == found]
        chosen = {name: question["intervals"][name]["median"] for name in HYPERPARAMETERS}
        for method, setting in {"posterior": chosen, **question["recipes"]}.items():
            lost.append(place | {"performance": f"{THRESHOLDS[found]:g}", "method": method} | _lost(reached, setting))
        for ax, name in zip(axes, HYPERPARAMETERS, strict=True):
            interval = question["intervals"][name]
            ax.plot([i, i], [interval["lower"], interval["upper"]], color="0.6", lw=6, solid_capstyle="butt")
            ax.plot(i, interval["median"], "k_", ms=14)
            value, times = optimum[name], np.exp(1.645 * optimum[f"{name}_error"])
            ax.errorbar(i, value, [[value - value / times], [value * times - value]], fmt="o", color="C1", ms=4)
    for ax, name in zip(axes, HYPERPARAMETERS, strict=True):
        labels = [f"{q['task'].split('-')[0]}\n{q['utd']:g}" for q in questions]
        ax.set(yscale="log", ylabel=name.replace("_", " "), xticks=range(len(labels)))
        ax.set_xticklabels(labels, fontsize=8)
        log_ticks(ax.yaxis)
    figure.tight_layout()
    figure.savefig(folder / "rl.png", dpi=110)
    plt.close(figure)
    failed, review = (
        "; ".join(f"{law}: {', '.join(checks) or 'none'}" for law, checks in frozen[status].items())
        for status in ("failed", "review")
    )
    return (
        f"`{SWEEP}`: UTDHyperparameters fitted to {frozen['optima']} optima at ratios 1/4 to 4 (digest "
        f"{frozen['digest'][:12]}), DataEfficiency to the data that the best settings needed at 1/4 to 8. Failed "
        f"checks: {failed}. To review: {review}.\n\n"
        "What was lost: data to the highest performance reached, of the tried setting nearest to the chosen one, over "
        f"that of the best tried:\n\n{markdown(lost)}\n\n"
        "What the intervals held (90 %; measured with one standard deviation of its logarithm; `>` where it was not "
        "reached). The intervals are of the value itself; the last column counts the error of its measurement too:"
        f"\n\n{markdown(held)}\n\n"
        "![Intervals in grey, medians as lines, measured optima in colour with their error](closed-loop/rl.png)\n"
    )


def _recipes(optima: pd.DataFrame, at: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Shared and separate regressions in logs (arXiv 2502.04327), and the optimum of the nearest ratio again."""
    row = pd.DataFrame([at])
    own = optima[optima["task"] == at["task"]]
    nearest = own.iloc[np.abs(np.log(own["utd"] / at["utd"])).argmin()]
    settings = {"optimum of the nearest ratio": {name: float(nearest[name]) for name in HYPERPARAMETERS}}
    for label, recipe in (("shared regression", shared_regression), ("separate regression", separate_regression)):
        said = {name: recipe(optima.assign(value=optima[name]), row, ["utd"]) for name in HYPERPARAMETERS}
        settings[label] = {name: float(np.exp(value[0][0])) for name, value in said.items() if value is not None}
    return settings


def _level(crossings: hl.Crossings) -> int:
    """Highest rank of a threshold that half of the settings reach, 0 where none is."""
    shares = crossings.frame.groupby("level")["reached"].mean()
    return int(shares.index[shares >= 0.5].max()) if (shares >= 0.5).any() else 0


def _held(name: str, interval: dict[str, float], value: float, error: float, reached: bool = True) -> dict[str, str]:
    """A row of what was expected and measured; `error` is the standard deviation of the measured logarithm."""
    low, middle, high = (np.log(interval[side]) for side in ("lower", "median", "upper"))
    away, more = np.log(value) - middle, 1.645 * error

    def inside(below: float, above: float) -> str:
        return "yes" if (-below <= away or not reached) and away <= above else "no"

    return {
        "quantity": name,
        **{side: f"{interval[side]:.3g}" for side in ("lower", "median", "upper")},
        "measured": f"{'' if reached else '> '}{value:.3g} ({error:.2f})",
        "inside": inside(middle - low, high - middle),
        "with its error": inside(float(np.hypot(middle - low, more)), float(np.hypot(high - middle, more))),
    }


def _lost(reached: pd.DataFrame, setting: dict[str, float]) -> dict[str, str]:
    """Data needed by the tried setting nearest in logs, over the least of all."""
    logs = np.log(reached[list(HYPERPARAMETERS)].to_numpy())
    nearest = reached.iloc[((logs - np.log([setting[name] for name in HYPERPARAMETERS])) ** 2).sum(axis=1).argmin()]
    ratio = nearest["data"] / reached.loc[reached["reached"], "data"].min()
    return {
        "batch size": f"{setting['batch_size']:.3g}",
        "learning rate": f"{setting['learning_rate']:.2g}",
        "data, times the best": f"{ratio:.2f}" if nearest["reached"] else f"> {ratio:.2f}",
    }
