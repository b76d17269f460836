"""What the critical batch size grows with, and whether small batches waste: into docs/evidence/critical-batch.md.

    HYPERLAW_PUBLIC_SWEEPS=<folder> python benchmarks/critical_batch.py

Without the variable the published curves are left out. Finished tables are kept in build/critical-batch.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import jax
import law_page
import numpy as np
import pandas as pd
import public_tables
from scipy.optimize import least_squares

import hyperlaw as hl
from hyperlaw.intervals import with_interval
from hyperlaw.models.laws import LAWS

PARTS = Path(__file__).parents[1] / "build" / "critical-batch"
PAGE = Path(__file__).parents[1] / "docs" / "evidence" / "critical-batch.md"
MARK = "<!-- measured -->\n"
GROWTH = {"loss": "CriticalBatchLoss", "data": "CriticalBatchData", "params": "CriticalBatchParams"}
REFERENCE = 256 * 512  # tokens: the batch size from which the published one scales linearly
CLASSIFIER, LANGUAGE = [1.0, 0.5, 0.2, 0.1, 0.05, 0.02], [2.75, 2.5, 2.3]


def shipped(sweep: str, task: str, losses: list[float]) -> hl.StepsToLoss:
    """Steps to losses of one task of a shipped sweep, with the data of each curve."""
    runs = hl.load_sweep(sweep)
    return runs.where(runs.frame["task"] == task).steps_to_loss(losses, seed=0).with_data()


TABLES: dict[str, Callable[[], hl.StepsToLoss]] = {
    "digits, Adam": lambda: shipped("digits", "adam", CLASSIFIER),
    "digits, SGD": lambda: shipped("digits", "sgd", CLASSIFIER),
    "lm_adam": lambda: shipped("lm_adam", "all", [2.5, 2.25, 2.0]),
    "lm_optimizers, AdamW": lambda: shipped("lm_optimizers", "adamw", LANGUAGE),
    "lm_optimizers, SGD": lambda: shipped("lm_optimizers", "sgd", LANGUAGE),
    "published, Adam": public_tables.steps_to_loss,
}


def answer(table: hl.StepsToLoss) -> list[dict[str, object]]:
    """Every number of one table, one a row: `part, law, value, error` or `lower, median, upper`."""
    over = [name for name in GROWTH if name in table.frame and table.frame[name].nunique() > 1]
    fits = {
        name: hl.fit(LAWS[name](), table, seed=0, progress=False)
        for name in ("StepsExamples", "StepsSmallBatch", *(GROWTH[one] for one in over))
    }
    rows: list[dict[str, object]] = [
        {"part": "table", "rows": len(table), "curves": len(table.tasks), "failed": _failed(fits)}
    ]
    for leave_out in ("run", "task"):
        found = hl.compare(fits, leave_out=leave_out, seed=0, progress=False)
        scores = pd.DataFrame({law: elpd.elpd_i.values for law, elpd in found.scores.items()})
        if leave_out == "task":
            scores = scores.groupby(found.scores["StepsExamples"].elpd_i["task"].values).sum()
        best = scores[[GROWTH[one] for one in over]].sum().idxmax()
        for law in fits:
            for against in ("StepsExamples", best):
                apart = scores[law] - scores[against]
                error = float(np.sqrt(len(apart) * apart.var()))
                rows.append(
                    {"part": leave_out, "law": law, "against": against, "value": float(apart.sum()), "error": error}
                )
    rows += _withheld("small", table, fits, _smallest_batches)
    rows += _withheld("large", table, fits, _largest_batches)
    rows += _withheld("known", table, fits, _largest_curve)
    return rows + _exponents(table, fits, over) + _least_squares(table)


def _smallest_batches(frame: pd.DataFrame) -> pd.Series:
    """The smallest batch size of every curve."""
    return frame["batch_size"] == frame.groupby("curve")["batch_size"].transform("min")


def _largest_batches(frame: pd.DataFrame) -> pd.Series:
    """The largest batch size of every curve."""
    return frame["batch_size"] == frame.groupby("curve")["batch_size"].transform("max")


def _largest_curve(frame: pd.DataFrame) -> pd.Series:
    """The curve of the most data among those of the most batch sizes, but for its two smallest."""
    curves = frame.groupby("curve")["batch_size"]
    number = curves.transform("count")
    full = frame.loc[number == number.max(), "data"]
    return (frame["data"] == full.max()) & (curves.rank() > 2)


def _withheld(part: str, table: hl.StepsToLoss, fits: dict[str, hl.Fit], hold_out: Callable) -> list[dict[str, object]]:
    found = hl.backtest({name: fit.law for name, fit in fits.items()}, table, seed=0, hold_out=hold_out, progress=False)
    summary = found.summary.reset_index().set_index("method")
    return [
        {"part": part, "law": law, "value": float(summary.loc[law, "log_score"] * summary.loc[law, "rows"]),
         "rows": int(summary.loc[law, "rows"]), "off": float(summary.loc[law, "error"]),
         "covered": float(summary.loc[law, "covered"])}
        for law in fits
    ]  # fmt: skip


def _exponents(table: hl.StepsToLoss, fits: dict[str, hl.Fit], over: list[str]) -> list[dict[str, object]]:
    """Exponents of the critical batch size, and of the one with 20 % more examples, per power of the covariate."""
    found = {}
    for name in over:
        fit = fits[GROWTH[name]]
        draws = {p.name: fit.draws[p.name].values for p in fit.law.own_parameters}
        found[f"B_crit, with {name}"] = draws[f"critical_exponent_{name}"]
        if name == "loss":
            grown = draws["critical_exponent_loss"]
            found["B_crit, with examples as the loss falls"] = grown / (grown + draws["steps_exponent_loss"])
        elif table.frame["batch_size"].min() <= REFERENCE <= table.frame["batch_size"].max():
            ends = np.log(np.array([table.frame[name].min(), table.frame[name].max()]))
            growth = draws[f"critical_exponent_{name}"]
            critical = [np.exp(draws["log_critical_batch"] + growth * (end - fit.pivot[name])) for end in ends]
            twenty = [
                hl.critical_batch_size(one, knee=draws["knee"], to_overhead=0.2, to_reference=REFERENCE)
                for one in critical
            ]
            found[f"20 % batch, with {name}"] = np.log(twenty[1] / twenty[0]) / (ends[1] - ends[0])
    found["knee"] = fits["StepsExamples"].draws["knee"].values
    small = fits["StepsSmallBatch"]
    ratio, knee = small.draws["log_small_ratio"].values, small.draws["knee"].values
    found["B_small / B_crit"] = np.exp(ratio)
    found["B_opt / B_crit"] = np.exp(ratio / (knee + 1))
    return [
        {"part": "exponent", "quantity": name} | dict(zip(("lower", "median", "upper"), _three(values), strict=True))
        for name, values in found.items()
    ]


# Natural log of what the steps are above the hyperbola's, from that of B and of B_small or B_min over the least B.
SMALL: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {
    "hyperbola": lambda x, s: np.zeros_like(x),
    "B_small": lambda x, s: np.logaddexp(0.0, x.min() + s - x),
    "B_min": lambda x, s: -np.log1p(-np.exp(x.min() - np.logaddexp(0.0, -s) - x)),  # below the least B that reached it
}


def _least_squares(table: hl.StepsToLoss) -> list[dict[str, object]]:
    """Root mean square of ln steps around each form, fitted to each curve of five batch sizes or more alone."""
    squares, count = dict.fromkeys(SMALL, 0.0), 0
    for _, curve in table.frame.groupby("curve"):
        x, y = np.log(curve["batch_size"].to_numpy()), np.log(curve["steps"].to_numpy())
        if len(x) < 5:  # four parameters
            continue
        count += len(x)
        for name, more in SMALL.items():

            def off(p: np.ndarray, x: np.ndarray = x, y: np.ndarray = y, more: Callable = more) -> np.ndarray:
                knee = np.exp(np.clip(p[2], -2, 2))
                return p[0] + np.logaddexp(0, knee * (p[1] - x)) / knee + more(x, np.clip(p[3], -20, 20)) - y

            starts = [[y.min(), critical, 0.0, s] for critical in np.quantile(x, [0.2, 0.5, 0.8]) for s in (-3.0, -1.0)]
            squares[name] += min(2 * least_squares(off, start).cost for start in starts)
    return [
        {"part": "squares", "law": n, "value": float(np.sqrt(s / count)), "rows": count} for n, s in squares.items()
    ]


def _three(values: np.ndarray) -> list[float]:
    return [float(one) for one in np.quantile(values, [0.05, 0.5, 0.95])]


def _failed(fits: dict[str, hl.Fit]) -> str:
    return "; ".join(f"{name}: {', '.join(fit.check().failed)}" for name, fit in fits.items() if fit.check().failed)


def page() -> str:
    """The tables of the page, from the parts that are there."""
    parts = {name: PARTS / f"{name}.json" for name in TABLES}
    found = {name: pd.DataFrame(json.loads(file.read_text())) for name, file in parts.items() if file.exists()}
    blocks = {
        "## Which of the three laws predicts": _growth_rows,
        "## Whether small batches waste": _small_rows,
        "## Exponents": _exponent_rows,
    }
    return "\n\n".join(
        f"{title}\n\n{law_page.markdown(pd.DataFrame([row for n, one in found.items() for row in rows_of(n, one)]))}"
        for title, rows_of in blocks.items()
    )


def _growth_rows(name: str, found: pd.DataFrame) -> list[dict[str, object]]:
    """Each law of growth behind the best of them, leaving out runs and curves; and on the largest curve."""
    rows = []
    size = found[found["part"] == "table"].iloc[0]
    for law in ("StepsExamples", *GROWTH.values()):
        one = found[found["law"] == law].set_index("part")
        if len(one):
            apart = {p: one.loc[p][one.loc[p, "against"].isin(GROWTH.values())].iloc[-1] for p in ("run", "task")}
            rows.append(
                {"curves": f"{name} ({int(size['curves'])}, {int(size['rows'])} rows)", "law": law}
                | {f"a left-out {what}": _error(apart[p]) for p, what in (("run", "row"), ("task", "curve"))}
                | {"largest curve, from two batch sizes": _nats(one.loc["known", "value"])}
            )  # fmt: skip
    return rows


def _small_rows(name: str, found: pd.DataFrame) -> list[dict[str, object]]:
    """`StepsSmallBatch` beside `StepsExamples`."""
    ahead = found.query("part == 'run' and law == 'StepsSmallBatch' and against == 'StepsExamples'").iloc[0]
    both = ("StepsExamples", "StepsSmallBatch")
    ends = {"smallest": "small", "largest": "large"}
    withheld = {end: found[found["part"] == part].set_index("law").loc[list(both)] for end, part in ends.items()}
    squares = found[found["part"] == "squares"].set_index("law")["value"]
    exponents = found[found["part"] == "exponent"].set_index("quantity")
    return [
        {
            "curves": name,
            "ahead on left-out rows": _error(ahead),
        }
        | {f"{end} batches": _nats(one["value"].diff().iloc[-1]) for end, one in withheld.items()}
        | {f"{end} held": " / ".join(f"{n:.0%}" for n in one["covered"]) for end, one in withheld.items()}
        | {
            "least squares": " / ".join(f"{squares[n]:.3f}" for n in SMALL),
        }
        | {quantity: _interval(exponents.loc[quantity]) for quantity in ("B_small / B_crit", "B_opt / B_crit")}
    ]


def _exponent_rows(name: str, found: pd.DataFrame) -> list[dict[str, object]]:
    exponents = found[found["part"] == "exponent"].set_index("quantity")
    shown = [quantity for quantity in exponents.index if "with" in quantity or quantity == "knee"]
    return [{"curves": name, "exponent of": q, "median and 90 %": _interval(exponents.loc[q])} for q in shown]


def _nats(value: float) -> str:
    return f"{round(value, 1) + 0.0:.1f}"  # a zero has no sign


def _error(row: pd.Series) -> str:
    return f"{row['value']:.1f} ({row['error']:.1f})" if row["error"] else "best"


def _interval(row: pd.Series) -> str:
    return with_interval(row["lower"], row["median"], row["upper"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", nargs="*", default=list(TABLES), help="names of tables; all when left out")
    PARTS.mkdir(parents=True, exist_ok=True)
    for chosen in parser.parse_args().tables:
        file = PARTS / f"{chosen}.json"
        if not file.exists():
            try:
                steps = TABLES[chosen]()
            except LookupError as error:
                print(f"{chosen}: {error}")
                continue
            file.write_text(json.dumps(answer(steps), indent=1))
        above, mark, _ = PAGE.read_text().partition(MARK)
        PAGE.write_text(f"{above}{mark}\n{page()}\n")
        jax.clear_caches()
