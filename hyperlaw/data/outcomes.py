"""What became of each run: which runs count, what a missing loss means, and in what unit a loss is."""

import re
from collections.abc import Mapping

import numpy as np
import pandas as pd

from hyperlaw.data import checks
from hyperlaw.data.columns import listed
from hyperlaw.data.numerals import as_number
from hyperlaw.quote import quote, some_of

# The state of a run, in the words of trackers and schedulers; hyphens and blanks are as underscores, case is nothing.
FINISHED = ("finished", "complete", "completed", "success", "succeeded", "done", "ok", "terminated")
UNFINISHED = (
    "running", "crashed", "failed", "fail", "killed", "preempted", "preempting", "canceled", "cancelled", "timeout",
    "timed_out", "out_of_memory", "oom", "node_fail", "pending", "queued", "scheduled", "waiting", "in_progress",
    "pruned", "stopped", "interrupted", "aborted", "error", "errored", "died",
)  # fmt: skip
DIVERGED = ("diverged", "nan", "exploded")
NATS, PERPLEXITY = "nats", "perplexity"
UNITS = (NATS, "bits per byte", PERPLEXITY, "error rate")
# A "loss" of these names gets better as it rises, unless one of the others is in the name too.
_HIGHER = re.compile(
    r"(?:^|[^a-z])([a-z]*acc(?:uracy)?|returns?|rewards?|scores?|f1|auc|auroc|bleu|rouge|m_?ap|iou|psnr|r2|precision|recall|"
    r"exact.?match|win.?rate|top.?[15]|pass.?[0-9]+|log.?likelihood)(?:$|[^a-z0-9])"
)
_FALLS = re.compile(r"error|loss|nll|1\s?-|minus|neg")
# A loss so many times the lowest of the worst cell is that of no model, trained or not.
BEYOND = 20.0


def states(values: pd.Series) -> pd.Series:
    """States in the words above: "TrialState.COMPLETE" and "CANCELLED+" too."""
    known = {value: _state(str(value)) for value in values.unique()}
    return values.map(known).astype(object)


def _state(said: str) -> str:
    return re.sub(r"[\s-]+", "_", said.strip().lower().rpartition(".")[2].strip("+ "))


def state_column(frame: pd.DataFrame) -> str | None:
    """The column called state or status, in any case, whose values are all states; None where there is none."""
    for column in frame.columns:
        if str(column).lower() in ("state", "status") and list(frame.columns).count(column) == 1:
            values = frame[column]
            known = {type(value) for value in values.astype(object)}
            if str(column) == "State" or (
                known == {str} and set(states(values)) <= {*FINISHED, *UNFINISHED, *DIVERGED}
            ):
                return str(column)
    return None


def finished(
    table: pd.DataFrame, found: Mapping[str, str], untrained_loss: float | None, notes: list[str]
) -> pd.DataFrame:
    """The runs that finished, and those that diverged; these are marked in `diverged`. Notes what is left out.

    A run diverged whose state says so, that is marked, or whose loss is infinite or above `untrained_loss`.

    Parameters
    ----------
    table
        With the columns `state`, `loss` (numbers), and `diverged` where runs are marked.
    found
        Their names in the source.
    untrained_loss
        Loss of a model before training, if it is known.
    notes
        Gets one sentence a state.

    Raises
    ------
    ValueError
        When a state is missing or unknown, or no run is left.
    """
    said = states(checks.labels(table["state"], found["state"]))
    unknown = sorted(set(said) - {*FINISHED, *UNFINISHED, *DIVERGED})
    if unknown:
        raise ValueError(
            f"column {quote(found['state'])} holds the state of each run, but "
            f"{some_of(map(quote, unknown), most=5)} is none. "
            f"A run that counts is one of {', '.join((*FINISHED, *DIVERGED))}; one that does not is one of "
            f"{', '.join(UNFINISHED)}. Map others to these: "
            f"df[{quote(found['state'])}].replace({{{quote(unknown[0])}: 'finished'}})."
        )
    diverged = said.isin(DIVERGED) | np.isinf(table["loss"]) | (table["loss"] > (untrained_loss or np.inf))
    if "diverged" in table:
        diverged |= checks.booleans(table["diverged"], found["diverged"])
    keep = said.isin(FINISHED) | diverged
    if not keep.any():
        raise ValueError(f"no run finished: column {quote(found['state'])} holds {some_of(sorted(set(said)))} alone.")
    for state, count in said[~keep].value_counts().items():
        notes.append(f"{count} left out: {state}")
    return table.assign(diverged=diverged)[keep]


def unit_of(loss_unit: str) -> str:
    """The unit of a loss as the package writes it; ValueError where it is no text."""
    if not isinstance(loss_unit, str) or not loss_unit.strip():
        raise ValueError(
            f"loss_unit must say in what unit the loss is, such as {', '.join(UNITS)}; received {quote(loss_unit)}."
        )
    plain = loss_unit.strip().lower()
    return PERPLEXITY if plain == "ppl" else plain if plain in UNITS else loss_unit.strip()


def losses(values: pd.Series, column: str, unit: str) -> pd.Series:
    """Losses as floats, NaN where there is none; perplexities become nats.

    Raises
    ------
    ValueError
        When the column is named after what gets better as it rises or after a perplexity, or holds percentages, or
        text; when a perplexity is below 1.
    """
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", str(column)).lower()
    percent = values.dtype.kind not in "biufc" and any(
        isinstance(value, str) and value.rstrip().endswith("%") for value in values.astype(object)
    )
    percent = percent or name.endswith("%")
    if percent or (_HIGHER.search(name) and not _FALLS.search(name)):
        raise ValueError(
            f"loss: column {quote(column)} looks like {'a percentage' if percent else 'a score'}, which may get better "
            "as it rises; a loss gets better as it falls. Of an accuracy in percent make the error rate, df['error'] = "
            "1 - df[name].astype(str).str.rstrip('%').astype(float) / 100, and pass loss='error', loss_unit='error "
            "rate'. Returns and rewards of reinforcement learning belong into hl.Curves. If the column does fall as "
            "models get better, rename it."
        )
    if unit == NATS and re.search(r"ppl|perplexity", name):
        raise ValueError(
            f"loss: column {quote(column)} looks like a perplexity: pass loss_unit='perplexity', which takes its "
            "natural log. If it holds nats, rename it."
        )
    read = checks.numbers(values, column)
    if unit != PERPLEXITY:
        return read
    low = read < 1
    if low.any():
        raise ValueError(
            f"loss_unit='perplexity', but column {quote(column)} is below 1 in {low.sum()} rows, first "
            f"{read[low].iloc[0]:g}: a perplexity is exp(loss). Leave loss_unit out if the column is in nats."
        )
    return np.log(read)


def untrained(loss: float | str | None, unit: str) -> float | None:
    """The loss of a model before training, in nats where it is a perplexity.

    Raises
    ------
    ValueError
        When it is no loss.
    """
    if loss is None:
        return None
    value = as_number(loss, "untrained_loss")
    if not (np.isfinite(value) and value > (1 if unit == PERPLEXITY else 0)):
        raise ValueError(
            f"untrained_loss must be a finite loss above zero, received {quote(loss)}: that of a model before "
            "training, such as the natural log of the size of the vocabulary."
        )
    return float(np.log(value)) if unit == PERPLEXITY else value


def settled(
    table: pd.DataFrame, found: Mapping[str, str], scales: list[str], untrained_loss: float | None, notes: list[str]
) -> pd.DataFrame:
    """The runs that count, with `diverged`, and no loss where they did; arguments as for the functions below."""
    if "state" not in table:  # else `finished` has marked them
        marked = checks.booleans(table["diverged"], found["diverged"]) if "diverged" in table else False
        table = table.assign(diverged=np.isinf(table["loss"]) | marked)
    table = without_lost(table, scales, "state" in table, notes)
    table = table.assign(diverged=diverged(table, scales, untrained_loss, notes))
    return table.assign(loss=table["loss"].where(~table["diverged"]))


def without_lost(table: pd.DataFrame, scales: list[str], stated: bool, notes: list[str]) -> pd.DataFrame:
    """The runs without those whose loss is missing though a higher learning rate finished. Notes them.

    Divergence sets in above some learning rate, which grows with the batch size: a run without a loss below a rate that
    finished (in its cell, at its batch size or a smaller one) was preempted or lost. What `diverged` marks stays; so do
    they where a column has `stated` that they finished, and are noted.
    """
    known = table["diverged"]
    missing = table["loss"].isna() & ~known
    if not missing.any():
        return table
    rates = table[["batch_size", "learning_rate"]].assign(
        cell=table.groupby(["task", *scales]).ngroup(), row=np.arange(len(table))
    )
    # The highest rate that finished at each batch size or a smaller one, looked up for every run without a loss.
    finished = rates[table["loss"].notna() & ~known].groupby(["cell", "batch_size"])["learning_rate"].max()
    top = finished.groupby("cell").cummax().rename("above").reset_index().sort_values("batch_size")
    gone = pd.merge_asof(rates[missing].sort_values("batch_size"), top, on="batch_size", by="cell")
    lost = pd.Series(False, table.index)
    lost.iloc[gone.loc[gone["above"] > gone["learning_rate"], "row"]] = True
    if not lost.any():
        return table
    rows = ", ".join(map(str, table.index[lost][:5])) + (", ..." if lost.sum() > 5 else "")
    if stated:
        notes.append(f"{lost.sum()} taken as diverged: finished without a loss, though higher learning rates have one "
                     f"(rows {rows})")  # fmt: skip
        return table
    notes.append(
        f"{lost.sum()} left out: no loss though higher learning rates finished, so not diverged (rows {rows}; "
        "if they were, mark them in a column diverged)"
    )
    return table[~lost]


def diverged(table: pd.DataFrame, scales: list[str], untrained_loss: float | None, notes: list[str]) -> pd.Series:
    """Which runs diverged: marked so in `diverged`, without a finite loss, or with one that no model has.

    That is one above `untrained_loss`, the loss of a model before training; left out, above 20 times the lowest loss of
    the worst cell, at a learning rate above that of the best run of its own. Notes how many.

    Raises
    ------
    ValueError
        When no run is left.
    """
    finite = np.isfinite(table["loss"])
    if not finite.any():
        raise ValueError("no run has a finite loss: the column is empty, or every run diverged. Name another one.")
    cell = table.groupby(["task", *scales]).ngroup()
    loss = table["loss"].where(finite, np.inf)
    lowest = loss.groupby(cell).transform("min")
    limit = untrained_loss or BEYOND * float(lowest[np.isfinite(lowest)].max())
    beyond = finite & ~table["diverged"] & (loss > limit) & (limit > 0)
    if beyond.any() and untrained_loss is None:
        best = loss.groupby(cell).transform("idxmin")
        beyond &= table["learning_rate"] > table["learning_rate"].loc[best].to_numpy()
    if untrained_loss and beyond.sum() == finite.sum():
        raise ValueError(
            f"all {len(table)} runs end above untrained_loss, {untrained_loss:g}: it must be the loss of a model "
            "before training, in the unit of the column."
        )
    if beyond.any():
        said = "that of an untrained model" if untrained_loss else f"{BEYOND:g} times the lowest of the worst cell"
        notes.append(f"{beyond.sum()} taken as diverged: a loss above {limit:.3g}, {said}")
    return table["diverged"] | beyond | ~finite


def best_over(
    table: pd.DataFrame, beside: pd.DataFrame, names: list[str], key: list[str], notes: list[str]
) -> pd.DataFrame:
    """The best run of each setting over the values of other columns. Notes how many were kept, and what that does.

    Raises
    ------
    ValueError
        When a name is no column, or runs repeat each other in these columns too.
    """
    absent = [name for name in names if name not in beside]
    if absent:
        raise ValueError(
            f"tune_over must list columns that nothing else is read from, received {quote(names)}. "
            f"{listed(list(beside))}"
        )
    said = some_of(names)
    tuned = pd.concat([table[key], beside.loc[table.index, names].astype(object).map(quote)], axis=1)
    twice = tuned.duplicated(keep=False)
    if twice.any():
        rows = ", ".join(map(str, table.index[twice][:4]))
        raise ValueError(
            f"{twice.sum()} rows repeat another run, of equal {said} too (first rows {rows}): the luckiest of them "
            "would be kept. Drop the repeats, or name a seed column if they are repeats with other seeds."
        )
    order = table["loss"].where(~table["diverged"], np.inf).sort_values(kind="stable").index
    kept = table.loc[order].drop_duplicates(key).index
    if len(kept) < len(table):
        notes.append(
            f"{len(table) - len(kept)} left out: of each setting the best over {said} is kept, whose loss is a little "
            "low, the more so the more values were tried"
        )
    return table.loc[table.index.isin(kept)]
