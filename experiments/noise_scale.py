"""How far to trust measured noise scales: `python -m experiments.noise_scale`, into docs/evidence/noise-scale.md.

On the classifier of digits, where the gradients of all examples are known too.
"""

from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import pandas as pd

import hyperlaw as hl
from experiments.page import markdown

PAGE = Path(__file__).parents[1] / "docs" / "evidence" / "noise-scale.md"
MARK = "<!-- answers -->\n"
GROWS_FROM = 1.2  # nats: before, output weights leave zero and the noise scale falls
LOSSES, HORIZONS, PLACES = [0.5, 0.2, 0.1], [2**11, 2**12, 2**13], 12
TUNED, HORIZON = 16, 2**12


def measured() -> pd.DataFrame:
    """The shipped measurements as windows, each beside what is exact there."""
    with as_file(files("hyperlaw.data.sweeps") / "digits_noise.parquet") as path:
        rows = pd.read_parquet(path)
    exact = rows.groupby(["run", "step"], as_index=False).first().drop(columns=["data", "loss"])
    return hl.load_sweep("digits_noise").frame.merge(exact, left_on=["task", "step"], right_on=["run", "step"])


def against_exact() -> str:
    """Errors of windows of 16 pairs of batches against the exact quotient."""
    windows, rows = measured(), []
    exact = windows["trace"] / windows["gradient"]
    curved = (windows["trace_curvature"] / windows["gradient_curvature"] / exact).where(lambda ratio: ratio > 0)
    for name, (low, high) in {"above 0.1": (0.1, 9.0), "0.03 to 0.1": (0.03, 0.1), "below 0.03": (0.0, 0.03)}.items():
        here = windows["loss"].between(low, high)
        seen = here & np.isinf(windows["high"])
        score = np.log(windows["noise_scale"] / exact)[seen] / windows["error"][seen]
        ends = curved[here].quantile([0.05, 0.5, 0.95])
        rows.append(
            {
                "loss (nats)": name, "windows": str(here.sum()), "one-sided": str((here & ~seen).sum()),
                "inside 90 %": f"{(score.abs() < 1.645).mean():.0%}", "mean standard score": f"{score.mean():.2f}",
                "with curvature over without": "{1:.2f} [{0:.2f}, {2:.2f}]".format(*ends),
            }
        )  # fmt: skip
    lost = windows[np.isfinite(windows["high"])]
    beyond = (exact[lost.index] >= lost["high"]).sum()
    return (
        f"## Are the estimates and their errors right?\n\n{len(windows)} windows of 16 pairs of batches of 16 and 256 "
        f"images, against the exact quotient at the same weights. Of {len(lost)} one-sided windows the truth lies "
        f"beyond in {beyond}. The last column is exact: what the curvature changes, 5 to 95 % of windows, without the "
        f"{int(curved.isna().sum())} in which G'HG or tr(H Sigma) is negative.\n\n{markdown(rows)}\n"
    )


def growth() -> dict[str, hl.Fit]:
    """NoiseGrowth of each optimizer, each run a task, from where the noise scale grows."""
    table = hl.load_sweep("digits_noise")
    late = table.frame["loss"] < GROWS_FROM
    return {
        name: hl.fit(hl.laws.NoiseGrowth(), table.where(late & table.frame["task"].str.startswith(name)), seed=0)
        for name in ("adam", "sgd")
    }


def tuned_runs(optimizer: str) -> pd.DataFrame:
    """Mean losses of the pair that was tuned at `HORIZON`, over data."""
    frame = hl.load_sweep("digits").frame
    own = frame[(frame["task"] == optimizer) & (frame["batch_size"] == TUNED)]
    best = own[own["data"] == HORIZON].groupby("learning_rate")["loss"].mean().idxmin()
    return own[own["learning_rate"] == best].groupby("data", as_index=False)["loss"].mean()


def places(optimizer: str, *, loss: float | None = None, data: float | None = None) -> list[dict]:
    """Losses at evenly spaced steps of a tuned run, to a loss or to a horizon: where the noise scale is averaged."""
    curve = tuned_runs(optimizer)
    end = data or float(np.interp(-np.log(loss), -np.log(curve["loss"]), curve["data"]))
    at = end * (np.arange(PLACES) + 0.5) / PLACES
    return [
        {"loss": float(np.exp(value)), "task": None} for value in np.interp(at, curve["data"], np.log(curve["loss"]))
    ]


def three_estimates(fits: dict[str, hl.Fit]) -> str:
    """The batch at which the best rate turns, the balance of steps and examples, and the gradients."""
    digits, rows = hl.load_sweep("digits"), []
    for optimizer, law in (("adam", hl.laws.Surge()), ("sgd", hl.laws.NoiseScale())):
        runs = digits.where(digits.frame["task"] == optimizer)
        optima = runs.where(runs.frame["data"].isin(HORIZONS)).optima(by_batch=True).as_tasks("data")
        turn = hl.fit(law, optima, seed=0)
        balance = hl.fit(hl.laws.StepsExamples(), runs.steps_to_loss(LOSSES, seed=0), seed=0)
        noise = fits[optimizer]
        for horizon in HORIZONS:
            own = np.exp(turn.draws["log_noise_scale_task"].sel(task=f"data {horizon:.4g}").values)
            rows.append(_row(optimizer, f"turn of the best rate at {horizon} images", own, turn))
        for loss in LOSSES:
            own = np.exp(balance.draws["log_critical_batch_task"].sel(task=f"loss {loss:.4g}").values)
            rows.append(_row(optimizer, f"steps and examples to a loss of {loss}", own, balance))
        for loss in LOSSES:
            own = np.mean([noise.predict(at).draws["noise_scale"] for at in places(optimizer, loss=loss)], axis=0)
            rows.append(_row(optimizer, f"gradients, mean over the steps to a loss of {loss}", own, noise))
    return f"## Three estimates of one number\n\n{markdown(rows)}\n"


def transferred(fits: dict[str, hl.Fit]) -> str:
    """The best rate at other batch sizes from one tuned pair, against what was best in the sweep."""
    digits, rows = hl.load_sweep("digits"), []
    for optimizer, fit in fits.items():
        runs = digits.where((digits.frame["task"] == optimizer) & (digits.frame["data"] == HORIZON))
        best = runs.optima(by_batch=True).frame.set_index("batch_size")
        pair = best.loc[TUNED]
        others = best.drop(index=TUNED)
        found = hl.transfer_rate(
            fit, places(optimizer, data=HORIZON), learning_rate=pair["learning_rate"], batch_size=TUNED,
            error=pair["learning_rate_error"], to=others.index, optimizer=optimizer, seed=0,
        )  # fmt: skip
        root = pair["learning_rate"] * np.sqrt(others.index / TUNED)
        said = {name: table.set_index("batch_size") for name, table in found.table.groupby("curve")}
        for name, table in said.items():
            rows.append(_missed(optimizer, f"{name}, measured noise scale", table["median"], others, table))
        rows.append(_missed(optimizer, "square root of the batch size", root, others))
        if optimizer == "sgd":
            linear = pair["learning_rate"] * others.index / TUNED
            rows.append(_missed(optimizer, "in proportion to the batch size", linear, others))
    return (
        f"## The best rate at other batch sizes, from one tuned pair\n\nTuned at {TUNED} images a step and {HORIZON} "
        "images; the noise scale is the mean over the steps of that run. Against the best rate of each other batch "
        "size in the sweep: mean distance in octaves, and the share of the 90 % intervals, widened by the error of "
        f"that best rate, that hold it.\n\n{markdown(rows)}\n"
    )


def _missed(optimizer: str, how: str, rate: pd.Series, best: pd.DataFrame, table: pd.DataFrame | None = None) -> dict:
    """How far a rule misses the best rates, up to 64 images a step and beyond."""
    off = np.log2(np.asarray(rate) / best["learning_rate"].to_numpy())
    large = best.index.to_numpy() > 64
    row = {"optimizer": optimizer, "rule": how, "octaves, to 64": f"{np.abs(off[~large]).mean():.2f}"}
    row["octaves, beyond"] = f"{np.abs(off[large]).mean():.2f}"
    if table is not None:
        half = np.log2(table["upper"] / table["lower"]).to_numpy() / 2
        reach = np.hypot(half, 1.645 * best["learning_rate_error"].to_numpy() / np.log(2))
        row["inside"] = f"{int((np.abs(off) < reach).sum())} of {len(off)}"
    return row


def _row(optimizer: str, what: str, draws: np.ndarray, fit: hl.Fit) -> dict[str, str]:
    low, middle, high = np.quantile(draws, [0.05, 0.5, 0.95])
    return {"optimizer": optimizer, "estimate of the noise scale (images)": what, "lower": f"{low:.0f}",
            "median": f"{middle:.0f}", "upper": f"{high:.0f}",
            "failed checks": ", ".join(fit.check().failed) or "none"}  # fmt: skip


def exponents(fits: dict[str, hl.Fit]) -> str:
    """The law's exponent, of measured and of exact noise scales."""
    windows, rows = measured(), []
    for optimizer, fit in fits.items():
        own = windows[windows["task"].str.startswith(optimizer) & (windows["loss"] < GROWS_FROM)]
        exact = hl.NoiseMeasurements.from_frame(
            own.assign(exact=own["trace"] / own["gradient"])[["task", "loss", "exact"]], noise_scale="exact"
        )
        of_exact = hl.fit(hl.laws.NoiseGrowth(), exact, seed=0)
        for name, one in (("measured", fit), ("exact", of_exact)):
            low, middle, high = np.quantile(one.draws["noise_exponent_loss"], [0.05, 0.5, 0.95])
            rows.append({"optimizer": optimizer, "noise scales": name, "lower": f"{low:.2f}", "median": f"{middle:.2f}",
                         "upper": f"{high:.2f}", "failed checks": ", ".join(one.check().failed) or "none"})  # fmt: skip
    return (
        f"## How does the noise scale grow as the loss falls?\n\nNoiseGrowth's exponent below {GROWS_FROM} nats.\n\n"
        f"{markdown(rows)}\n"
    )


def main() -> None:
    """Write the page, below what a person wrote."""
    fits = growth()
    answers = [against_exact(), exponents(fits), three_estimates(fits), transferred(fits)]
    above, mark, _ = PAGE.read_text().partition(MARK)
    PAGE.write_text("\n".join([above + mark, *answers]))


if __name__ == "__main__":
    main()
