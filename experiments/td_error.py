"""Where over-fitting limits the batch size: `python -m experiments.td_error`, into docs/evidence/td-error.md.

Training and validation TD error of the double DQN over critic widths and batch sizes, which Fu et al. 2025 (arXiv
2508.14881) look at: what is held out are transitions that the same policy saw in a second environment.
"""

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from experiments.page import markdown
from experiments.value_rl.tasks import TASKS
from experiments.value_rl.train import train

PAGE = Path(__file__).parents[1] / "docs" / "evidence" / "td-error.md"
MARK = "<!-- answers -->\n"
ENVIRONMENTS, WIDTHS, BATCH_SIZES = ("Catch-bsuite", "CartPole-v1"), (8, 32, 128), (8, 32, 128)
UTD, LEARNING_RATE, SEEDS = 2.0, 2.0**-10, [0, 1, 2, 3, 4]
LATE = 0.75  # share of a run from which on errors are averaged
ERRORS = ("td_error", "td_error_validation")


def logged() -> pd.DataFrame:
    """Curves of all runs, with `width`."""
    tasks = [task for task in TASKS if task.name in ENVIRONMENTS]

    return pd.concat(
        train(task, UTD, batch, [LEARNING_RATE], SEEDS, width=width, validate=True).assign(width=width)
        for task, width, batch in product(tasks, WIDTHS, BATCH_SIZES)
    )


def errors(curves: pd.DataFrame) -> pd.DataFrame:
    """Mean of what was logged late in each run, TD errors in logs; one row a run."""
    late = curves[curves["data"] > LATE * curves.groupby("task")["data"].transform("max")]
    late = late.assign(**{name: np.log(late[name]) for name in ERRORS})
    return late.groupby(["task", "width", "batch_size", "seed"])[[*ERRORS, "performance"]].mean()


def by_batch_size(runs: pd.DataFrame) -> list[dict[str, str]]:
    """Each environment, width and batch size: errors, their ratio with its standard error over seeds, and returns."""
    rows = []
    for (task, width, batch), seeds in runs.groupby(["task", "width", "batch_size"]):
        ratio = seeds["td_error_validation"] - seeds["td_error"]
        spread = seeds.std() / np.sqrt(len(seeds))
        rows.append(
            {
                "environment": task, "width": str(width), "batch size": str(batch),
                **{
                    name: f"{np.exp(seeds[column].mean()):.2g} ({spread[column]:.2f})"
                    for name, column in zip(("training", "validation"), ERRORS, strict=True)
                },
                "validation / training": f"{np.exp(ratio.mean()):.2f} ({ratio.std() / np.sqrt(len(ratio)):.2f})",
                "return": f"{seeds['performance'].mean():.3g} ({spread['performance']:.2g})",
            }
        )  # fmt: skip
    return rows


def trends(runs: pd.DataFrame) -> list[dict[str, str]]:
    """Slopes of the log errors over the log batch size, at each environment and width, with standard errors."""
    rows = []
    for (task, width), own in runs.groupby(["task", "width"]):
        x = np.log(own.index.get_level_values("batch_size").to_numpy(float))
        row = {"environment": task, "width": str(width)}
        for name, column in zip(("training", "validation"), ERRORS, strict=True):
            (slope, _), covariance = np.polyfit(x, own[column], 1, cov=True)
            row[f"{name}, slope"] = f"{slope:.2f} ({np.sqrt(covariance[0, 0]):.2f})"
        means = own["td_error_validation"].groupby("batch_size").mean()
        rows.append(row | {"least validation error at batch size": str(means.idxmin())})
    return rows


def main() -> None:
    """Write the page, below what a person wrote."""
    runs = errors(logged())
    above, mark, _ = PAGE.read_text().partition(MARK)
    answers = [
        "## Over batch sizes\n\nGeometric means over the last quarter of the runs and over seeds; in brackets the "
        f"standard error over seeds, of TD errors that of the logarithm.\n\n{markdown(by_batch_size(runs))}\n",
        "## How errors move with the batch size\n\nSlopes in logs, with their standard errors.\n\n"
        f"{markdown(trends(runs))}\n",
    ]
    PAGE.write_text("\n".join([above + mark, *answers]))


if __name__ == "__main__":
    main()
