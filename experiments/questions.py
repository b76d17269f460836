"""What the shipped sweeps say of the field's questions: `python -m experiments.questions`, into docs/evidence.

Every answer is a posterior, with the checks that its fit failed.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pandas as pd

import hyperlaw as hl
from experiments.loop_rl import tables
from experiments.page import markdown

PAGE = Path(__file__).parents[1] / "docs" / "evidence" / "questions.md"
MARK = "<!-- answers -->\n"
LOSSES = [1.0, 0.5, 0.2, 0.1, 0.05, 0.02]


def curves_over_batches(title: str, optima: hl.Optima) -> str:
    """Which curve the best learning rate follows over batch sizes, each scale a task."""
    laws = [hl.laws.BrokenPower(), hl.laws.NoiseScale(), hl.laws.Surge(), hl.laws.SurgeExact()]
    fits = {law.name: hl.fit(law, optima, seed=0, draws=500) for law in laws}
    compared = hl.compare(fits, leave_out="task", seed=0)
    slopes = [
        {"slope of ln eta*": where, **_row(fits["BrokenPower"], name)}
        for where, name in (("below the turn", "ridge_small_batch"), ("above the turn", "ridge_large_batch"))
    ]
    rows = [
        {"law": str(name), "elpd": f"{row['elpd']:.1f}", "behind": f"{row['elpd_diff']:.1f}"}
        | {"standard error": f"{row['dse']:.1f}", "failed checks": ", ".join(fits[str(name)].check().failed) or "none"}
        for name, row in compared.table.iterrows()
    ]
    return (
        f"## {title}\n\n{len(optima)} optima of {len(optima.tasks)} scales, each left out in turn. "
        f"{compared.sentence}\n\n"
        f"{markdown(rows)}\n\n{markdown(slopes)}\n"
    )


def critical_batch_over_data() -> str:
    """The exponent kappa of the critical batch size with data."""
    rows = []
    for sweep, task in (("lm_adam", "all"), ("lm_optimizers", "adamw"), ("lm_optimizers", "sgd")):
        runs = hl.load_sweep(sweep)
        fit = hl.fit(hl.laws.TimeTransfer(), runs.where(runs.frame["task"] == task), seed=0)
        name = f"{sweep}, {task}" if task != "all" else sweep
        rows.append({"sweep": name, **_row(fit, "critical_exponent_data"), **_failed(fit)})
    return (
        "## Is the critical batch size proportional to the data?\n\nTimeTransfer's exponent kappa; its prior is "
        f"Normal(0.7, 0.35), and 1 is proportional.\n\n{markdown(rows)}\n"
    )


def sharpness_over_scale() -> str:
    """How the cost of missing the optimum changes with data and size."""
    rows = []
    for sweep, task in (("lm_adam", "all"), ("lm_optimizers", "adamw"), ("lm_optimizers", "sgd")):
        runs = hl.load_sweep(sweep)
        fit = hl.fit(hl.laws.StepLaw(), runs.where(runs.frame["task"] == task), seed=0)
        name = f"{sweep}, {task}" if task != "all" else sweep
        for quantity, row in hl.sharpness(fit).iterrows():
            if str(quantity).startswith("exponent"):
                rows.append({"sweep": name, "quantity": str(quantity), **_three(row), **_failed(fit)})
        large = fit.tree["posterior"]["ridge_large_batch"].values
        rows.append({"sweep": name, "quantity": "slope above the best batch size", **_interval(large), **_failed(fit)})
    return (
        "## Does the loss forgive more at scale, and does the rate fall above the best batch size?\n\nStepLaw on whole "
        "loss surfaces: exponents of the cost of a factor of two, negative where larger runs forgive more, and the "
        f"slope of ln eta* over ln B far above the best batch size.\n\n{markdown(rows)}\n"
    )


def steps_and_examples() -> str:
    """The critical batch size of the classifier as its loss falls."""
    digits, rows = hl.load_sweep("digits"), []
    for task in digits.tasks:
        runs = digits.where(digits.frame["task"] == task)
        fit = hl.fit(hl.laws.CriticalBatchLoss(), runs.steps_to_loss(LOSSES, seed=0), seed=0, draws=500)
        rows += [
            {"optimizer": task, "quantity": "knee (1 as published)", **_row(fit, "knee"), **_failed(fit)},
            {"optimizer": task, "quantity": "exponent of B_crit with falling loss"}
            | {**_row(fit, "critical_exponent_loss"), **_failed(fit)},
        ]
    return f"## How does the critical batch size of the classifier grow as its loss falls?\n\n{markdown(rows)}\n"


def slopes_over_utd() -> str:
    """The slopes of the best batch size and learning rate with the updates-to-data ratio."""
    optima, _ = tables()
    fit = hl.fit(hl.laws.UTDHyperparameters(), optima, seed=0)
    rows = [
        {"slope": label, **_row(fit, name), **_failed(fit)}
        for label, name in (("s_B, batch size", "exponent_utd"), ("s_eta, learning rate", "rate_exponent_utd"))
    ]
    return (
        "## Are the slopes over the updates-to-data ratio near -0.3?\n\nOf the population of environments, from "
        f"{len(optima)} optima.\n\n{markdown(rows)}\n"
    )


def _row(fit: hl.Fit, name: str) -> dict[str, str]:
    return _interval(fit.tree["posterior"][name].values)


def _interval(values: np.ndarray) -> dict[str, str]:
    low, middle, high = np.quantile(values, [0.05, 0.5, 0.95])
    return {"lower": f"{low:.2f}", "median": f"{middle:.2f}", "upper": f"{high:.2f}"}


def _three(row: pd.Series) -> dict[str, str]:
    return {side: f"{row[side]:.2f}" for side in ("lower", "median", "upper")}


def _failed(fit: hl.Fit) -> dict[str, str]:
    return {"failed checks": ", ".join(fit.check().failed) or "none"}


def sections() -> dict[str, Callable[[], str]]:
    """The sections of the page, the quickest first."""
    optimizers, digits = hl.load_sweep("lm_optimizers"), hl.load_sweep("digits")
    small = optimizers.where(optimizers.frame["data"] <= 2**19)
    middle = digits.where(digits.frame["data"].isin([2**12, 2**13, 2**14]))

    def curves(title: str, runs: hl.Runs, task: str, *scales: str) -> Callable[[], str]:
        optima = runs.where(runs.frame["task"] == task).optima(by_batch=True).as_tasks(*scales)
        return lambda: curves_over_batches(title, optima)

    return {
        "utd": slopes_over_utd,
        "steps": steps_and_examples,
        "digits-adam": curves("Adam, classifier: does its best rate fall at large batches?", middle, "adam", "data"),
        "digits-sgd": curves("SGD, classifier", middle, "sgd", "data"),
        "lm-adamw": curves("AdamW, language model", small, "adamw", "data", "params"),
        "lm-sgd": curves("SGD, language model", small, "sgd", "data", "params"),
        "critical": critical_batch_over_data,
        "sharpness": sharpness_over_scale,
    }


def main(parts: Path) -> None:
    """Answer what has no answer under `parts` yet, and write the page after each, below what a person wrote."""
    parts.mkdir(parents=True, exist_ok=True)
    answers = sections()
    for name, answer in answers.items():
        part = parts / f"{name}.md"
        if not part.exists():
            part.write_text(answer())
        done = [parts / f"{other}.md" for other in answers]
        above, mark, _ = PAGE.read_text().partition(MARK)
        PAGE.write_text("\n".join([above + mark, *(file.read_text() for file in done if file.exists())]))
        jax.clear_caches()  # many programs in one process exhaust the compiler's memory


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", type=Path, default=Path("build/questions"), help="folder of finished answers")
    main(parser.parse_args().parts)
