"""Tables made from published sweeps, which the project does not ship: the folder is in HYPERLAW_PUBLIC_SWEEPS.

MNIST one-step losses (TatianaUshakova/batch-size-lr-scaling), steps to a loss (Zhang et al. 2024, arXiv 2410.21676),
learning curves of SAC on Gym (Rybkin et al. 2025, arXiv 2502.04327) and of SimbaV2 on HumanoidBench (Fu et al. 2025,
arXiv 2508.14881).
"""

import os
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

import hyperlaw as hl

# Returns that stand for 1000, and the ten performances of the paper: 1000 - logspace(log10 700, log10 200, 10).
GYM = {"Ant-v4": 6625, "HalfCheetah-v4": 9800, "Humanoid-v4": 6450, "Walker2d-v4": 4950}
GYM_THRESHOLDS = [float(j) for j in np.round(1000 - np.logspace(np.log10(700), np.log10(200), 10), 1)]
HUMANOID_THRESHOLDS = {"h1-crawl-v0": [450.0, 550.0, 650.0, 750.0], "h1-stand-v0": [200.0, 400.0, 600.0, 750.0]}
DRAWS, ONE_STEP_ERROR = 200, 0.05


def _read(name: str) -> pd.DataFrame:
    folder = os.environ.get("HYPERLAW_PUBLIC_SWEEPS")
    if not folder:
        raise LookupError("HYPERLAW_PUBLIC_SWEEPS is not set: published sweeps are left out.")
    return pd.read_csv(Path(folder) / name)


@cache
def one_step() -> pd.DataFrame:
    """Best learning rate and improvement of one SGD step at each batch size, with bootstrap errors over samples."""
    frame = _read("mnist_sgd_one_step.csv")
    frame["gain"] = frame["loss_before"] - frame["loss_after"]
    rng, rows = np.random.default_rng(0), []
    for (step, batch), group in frame.groupby(["checkpoint_step", "batch_size"]):
        gains = group.pivot_table(index="seed", columns="learning_rate", values="gain")
        drawn = [gains.iloc[rng.integers(0, len(gains), len(gains))].mean() for _ in range(DRAWS)]
        best = [np.log(draw.idxmax()) for draw in drawn]
        most = [np.log(max(draw.max(), 1e-9)) for draw in drawn]
        rows.append(
            {
                "task": f"step {step}", "batch_size": batch, "learning_rate": np.exp(np.mean(best)),
                # Learning rates were tried in steps of about 15 %.
                "learning_rate_error": np.hypot(np.std(best), ONE_STEP_ERROR),
                "improvement": gains.mean().max(), "improvement_error": max(np.std(most), ONE_STEP_ERROR / 5),
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def one_step_optima(quantity: str) -> hl.Optima:
    """That table with one of `learning_rate` and `improvement` as what was measured."""
    other = "improvement" if quantity == "learning_rate" else "learning_rate"
    return hl.Optima.from_frame(one_step().drop(columns=[other, f"{other}_error"]), estimated=(quantity,))


@cache
def steps_to_loss() -> hl.StepsToLoss:
    """Steps of five language models to a loss; data are the fewest examples of any batch size."""
    frame = _read("lm_steps_to_loss.csv").dropna(axis=1, how="all")
    return hl.StepsToLoss.from_frame(frame, loss="goal_loss", batch_unit=512).with_data()


def adam_steps() -> hl.StepsToLoss:
    """Steps to three losses of the shipped sweep lm_adam, which both of its widths reach."""
    return hl.load_sweep("lm_adam").steps_to_loss([2.5, 2.25, 2.0], seed=0)


@cache
def gym(which: str) -> hl.Crossings:
    """Crossings of SAC on four Gym environments: `sweep` over batch sizes and learning rates, or `tuned`."""
    frame = _read(f"rl_gym_{which}_curves.csv.gz")
    frame["performance"] = frame["return"] / frame["env"].map(GYM) * 1000
    return hl.Curves.from_frame(frame, task="env", data="env_step").crossings(GYM_THRESHOLDS, seed=0)


@cache
def cheapest_ratios(price: hl.Budget, params: float) -> hl.Optima:
    """Cheapest ratio at each performance of the tuned curves and what it costs, one task an environment.

    The bottom of a parabola through the log costs of all ratios tried, with its error from the errors of the
    crossings; a bottom beyond them is one-sided.
    """
    return _cheapest(gym("tuned").frame.assign(params=params), dict.fromkeys(GYM, price))


# FLOPs an environment step (arXiv 2508.14881).
HUMANOID_PRICES = {"h1-crawl-v0": hl.Budget(delta=5e11), "h1-stand-v0": hl.Budget(delta=1e11)}
# Of the shipped double DQN: a step is worth about an update of 64 transitions.
SHIPPED_PRICE = hl.Budget(delta=1e6)
SHIPPED_PARAMS = {"CartPole-v1": 1282, "Catch-bsuite": 2787, "FourRooms-misc": 2884, "Pendulum-v1": 1349}


@cache
def cheapest_of_humanoid() -> hl.Optima:
    """The same of the curves over critic sizes at the published prices, one task an environment and critic size."""
    frame = humanoid().best().frame
    sized = frame["task"] + frame["params"].map(" {:.2g}".format)
    prices = {task: HUMANOID_PRICES[task.split()[0]] for task in sized.unique()}
    return _cheapest(frame.assign(task=sized), prices)


@cache
def cheapest_of_shipped() -> hl.Optima:
    """The same of the best settings of the shipped value_rl."""
    frame = shipped_crossings().frame
    frame = frame.assign(params=frame["task"].map(SHIPPED_PARAMS))
    return _cheapest(frame, dict.fromkeys(SOLVED, SHIPPED_PRICE))


def _cheapest(frame: pd.DataFrame, prices: dict[str, hl.Budget]) -> hl.Optima:
    """Cheapest ratio of each task and threshold that three ratios or more reached; `frame` has `params` too."""
    rng, rows = np.random.default_rng(0), []
    for (task, _), group in frame.query("reached").groupby(["task", "threshold"]):
        if len(group) < 3:
            continue
        utd = np.log(group["utd"].to_numpy())
        total = prices[task].total(group["utd"], group["batch_size"], group["data"], group["params"])
        cost = np.log(total.to_numpy())
        drawn = cost + group["error"].to_numpy() * rng.standard_normal((DRAWS, len(group)))
        bottoms = [_bottom(utd, one) for one in (cost, *drawn)]
        rows.append(
            {
                "task": task, "budget": np.exp(cost.min()), "utd": np.exp(bottoms[0]), "utd_error": np.std(bottoms[1:]),
                "utd_low": np.exp(utd.min()), "utd_high": np.exp(utd.max()),
            }
        )  # fmt: skip
    # Two performances that were passed between the same logged points are one row.
    frame = pd.DataFrame(rows).drop_duplicates(["task", "budget"])
    return hl.Optima.from_frame(frame, estimated=("utd",))


def _bottom(x: np.ndarray, y: np.ndarray) -> float:
    """Where a parabola through points is lowest within them."""
    bend, slope, _ = np.polyfit(x, y, 2)
    if bend <= 0:
        return float(x[y.argmin()])
    return float(np.clip(-slope / (2 * bend), x.min(), x.max()))


@cache
def humanoid() -> hl.Crossings:
    """Crossings of SimbaV2 on two HumanoidBench tasks over ratios, critic sizes and batch sizes."""
    frame = _read("rl_humanoid_width_curves.csv.gz").drop(columns="width")
    curves = hl.Curves.from_frame(frame, data="env_step", performance="value")
    return curves.crossings(HUMANOID_THRESHOLDS, seed=0)


# Returns of the untrained network, and of a task that is solved or nearly, which are 0 and 100.
SOLVED = {
    "CartPole-v1": (9.0, 500.0), "Catch-bsuite": (-0.6, 1.0), "FourRooms-misc": (0.2, 1.0),
    "Pendulum-v1": (-1400.0, -150.0),
}  # fmt: skip
SHIPPED_THRESHOLDS = [float(j) for j in range(30, 81, 10)]


@cache
def shipped_crossings() -> hl.Crossings:
    """Data to six performances that the best settings of the shipped value_rl needed, ratios of 1/4 and more."""
    frame = hl.load_sweep("value_rl").frame.query("utd >= 0.25")
    ends = frame["task"].map(SOLVED)
    performance = 100 * (frame["performance"] - ends.str[0]) / (ends.str[1] - ends.str[0])
    curves = hl.Curves.from_frame(frame.assign(performance=performance.astype(float)))
    return curves.crossings(SHIPPED_THRESHOLDS, seed=0).best()


@cache
def surge_optima() -> hl.Optima:
    """Best learning rate at each batch size of the shipped sweep, one task a horizon (and width)."""
    return hl.load_sweep("lm_adam").optima(by_batch=True).as_tasks("data", "params", "width")


def optimizer_optima() -> hl.Optima:
    """Best learning rate of SGD and Adam at each batch size of the shipped sweep digits, one task a horizon."""
    digits = hl.load_sweep("digits")
    middle = digits.where(digits.frame["data"].isin([2**12, 2**13, 2**14]))
    table = middle.optima(by_batch=True).as_tasks("data")
    optimizer = table.frame["task"].str.split(",").str[0]
    return hl.Optima.from_frame(table.frame.assign(optimizer=optimizer), estimated=table.estimated)


def noise_windows() -> hl.NoiseMeasurements:
    """Windows of the shipped digits_noise from where the noise scale grows: below 1.2 nats."""
    table = hl.load_sweep("digits_noise")
    return table.where(table.frame["loss"] < 1.2)
