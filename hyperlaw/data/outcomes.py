"""What became of each run: which runs count, what a missing loss means, and in what unit a loss is."""

import re

import numpy as np
import pandas as pd

from hyperlaw.data import checks

# The state of a run, in the words of trackers and schedulers; hyphens and blanks are as underscores, case is nothing.
FINISHED = ("finished", "complete", "completed", "success", "succeeded", "done")
UNFINISHED = (
    "running", "crashed", "failed", "fail", "killed", "preempted", "preempting", "canceled", "cancelled", "timeout",
    "out_of_memory", "pending", "queued", "scheduled", "waiting", "pruned", "stopped", "interrupted",
)  # fmt: skip
NATS = "nats"
UNITS = ("nats", "bits per byte", "perplexity", "error rate")
# A "loss" of these names gets better as it rises.
_HIGHER = re.compile(r"(?:^|[^a-z])(acc|accuracy|return|returns|reward|rewards|score|f1|auc|bleu|win_rate)(?:$|[^a-z])")
# A loss this many times the middle one of the table is that of no model, trained or not.
BEYOND = 20.0


def finished(table: pd.DataFrame, column: str, notes: list[str]) -> pd.DataFrame:
    """The runs that finished, and those that diverged: marked so, or with an infinite loss. Notes what is left out.

    Parameters
    ----------
    table
        With the columns `state`, `loss`, and `diverged` where runs are marked.
    column
        Name of the column of states.
    notes
        Gets one sentence a state.

    Raises
    ------
    ValueError
        When a state is missing or unknown, or no run is left.
    """
    states = checks.text(table["state"], column).str.strip().str.lower().str.replace(r"[\s-]+", "_", regex=True)
    unknown = sorted(set(states) - {*FINISHED, *UNFINISHED})
    if unknown:
        raise ValueError(
            f"column {column!r} holds the state of each run, but {', '.join(map(repr, unknown[:5]))} is none. A run "
            f"that counts is one of {', '.join(FINISHED)}; one that does not is one of {', '.join(UNFINISHED)}."
        )
    diverged = np.isinf(checks.numbers(table["loss"], "loss"))
    if "diverged" in table:
        diverged |= checks.booleans(table["diverged"], "diverged")
    keep = states.isin(FINISHED) | diverged
    if not keep.any():
        raise ValueError(f"no run finished: column {column!r} holds {', '.join(sorted(set(states)))} alone.")
    for state, count in states[~keep].value_counts().items():
        notes.append(f"{count} left out: {state}")
    return table[keep]


def losses(values: pd.Series, column: str, unit: str) -> pd.Series:
    """Losses as floats, NaN where there is none; perplexities become nats.

    Raises
    ------
    ValueError
        When the unit is no text, the column is named after what gets better as it rises or holds percentages, or holds
        text; when a perplexity is below 1.
    """
    if not isinstance(unit, str) or not unit.strip():
        raise ValueError(f"loss_unit must say in what unit the loss is, such as {', '.join(UNITS)}; received {unit!r}.")
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", str(column)).lower()
    percent = values.dtype.kind not in "biufc" and values.astype(str).str.strip().str.endswith("%").any()
    percent = percent or name.endswith("%")
    if percent or (_HIGHER.search(name) and "error" not in name and "loss" not in name):
        raise ValueError(
            f"loss: column {column!r} looks like {'a percentage' if percent else 'a score'}, which may get better as "
            "it rises; a loss gets better as it falls. Of an accuracy in percent make the error rate, df['error'] = "
            "1 - df[name].astype(str).str.rstrip('%').astype(float) / 100, and pass loss='error', "
            "loss_unit='error rate'. Returns and rewards of reinforcement learning belong into hl.Curves."
        )
    read = checks.numbers(values, column)
    if unit != "perplexity":
        return read
    low = read < 1
    if low.any():
        raise ValueError(
            f"loss_unit='perplexity', but column {column!r} is below 1 in {low.sum()} rows, first "
            f"{read[low].iloc[0]:g}: a perplexity is exp(loss). Leave loss_unit out if the column is in nats."
        )
    return np.log(read)


def without_lost(table: pd.DataFrame, scales: list[str], notes: list[str]) -> pd.DataFrame:
    """The runs without those whose loss is missing though a higher learning rate finished. Notes them.

    Divergence sets in above some learning rate: a run without a loss below one that finished (in its cell, at its batch
    size) was preempted or lost. What `diverged` marks stays.
    """
    rate, known = table["learning_rate"], table["diverged"]
    finished = rate.where(np.isfinite(table["loss"]) & ~known, 0.0)
    reached = finished.groupby([table[name] for name in ("task", *scales, "batch_size")]).transform("max")
    lost = table["loss"].isna() & ~known & (rate < reached)
    if lost.any():
        rows = ", ".join(map(str, table.index[lost][:5])) + (", ..." if lost.sum() > 5 else "")
        notes.append(
            f"{lost.sum()} left out: no loss though higher learning rates finished, so not diverged (rows {rows}; "
            "if they were, mark them in a column diverged)"
        )
    return table[~lost]


def diverged(table: pd.DataFrame, scales: list[str], untrained_loss: float | None, notes: list[str]) -> pd.Series:
    """Which runs diverged: marked so in `diverged`, without a finite loss, or with one that no model has.

    That is one above `untrained_loss`, the loss of a model before training; left out, above 20 times the middle loss of
    the table, at a learning rate above that of the best run of its cell. Notes how many.

    Raises
    ------
    ValueError
        When `untrained_loss` is no loss.
    """
    if untrained_loss is not None and not (np.isfinite(untrained_loss) and untrained_loss > 0):
        raise ValueError(
            f"untrained_loss must be a finite loss above zero, received {untrained_loss!r}: that of a model before "
            "training, such as the natural log of the size of the vocabulary."
        )
    finite = np.isfinite(table["loss"])
    limit = untrained_loss or BEYOND * float(table.loc[finite, "loss"].abs().median())
    beyond = finite & ~table["diverged"] & (table["loss"] > limit)
    if beyond.any() and untrained_loss is None:
        cell = [table[name] for name in ("task", *scales)]
        best = table["loss"].where(finite, np.inf).groupby(cell).transform("idxmin")
        beyond &= table["learning_rate"] > table["learning_rate"].loc[best].to_numpy()
    if beyond.any():
        said = "that of an untrained model" if untrained_loss else f"{BEYOND:g} times the middle loss"
        notes.append(f"{beyond.sum()} taken as diverged: a loss above {limit:.3g}, {said}")
    return table["diverged"] | beyond | ~finite


def best_over(
    table: pd.DataFrame, beside: pd.DataFrame, names: list[str], key: list[str], notes: list[str]
) -> pd.DataFrame:
    """The best run of each setting over the values of other columns. Notes how many were kept, and what that does.

    Raises
    ------
    ValueError
        When a name is no column.
    """
    absent = [name for name in names if name not in beside]
    if absent or isinstance(names, str):
        raise ValueError(
            f"tune_over must list columns that nothing else is read from, received {names!r}; there are: "
            f"{', '.join(map(str, beside.columns[:20])) or 'none'}."
        )
    order = table["loss"].where(~table["diverged"], np.inf).sort_values(kind="stable").index
    kept = table.loc[order].drop_duplicates(key).index
    if len(kept) < len(table):
        notes.append(
            f"{len(table) - len(kept)} left out: of each setting the best over {', '.join(names)} is kept, whose loss "
            "is a little low, the more so the more values were tried"
        )
    return table.loc[table.index.isin(kept)]
