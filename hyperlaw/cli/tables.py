"""The options that name what a table holds, and the table that they make: the same for every verb that takes one."""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from hyperlaw.cli.parsing import kept, number, numbers, pairs
from hyperlaw.cli.sources import Source, read_address
from hyperlaw.quote import one_line, quote

if TYPE_CHECKING:
    import pandas as pd

    from hyperlaw.data.table import Table


class Kind(StrEnum):
    """What a table may hold."""

    RUNS = "runs"
    OPTIMA = "optima"
    CROSSINGS = "crossings"
    STEPS_TO_LOSS = "steps-to-loss"
    NOISE_MEASUREMENTS = "noise-measurements"
    GRADIENT_NORMS = "gradient-norms"
    CURVES = "curves"


class Made(StrEnum):
    """What may be made of it, for a law to be fitted to."""

    OPTIMA = "optima"
    BY_BATCH = "optima-by-batch"
    STEPS_TO_LOSS = "steps-to-loss"
    BEST = "best"


def _option(text: str) -> Any:
    return typer.Option(help=text)


Text = str | None
Texts = list[str] | None


@dataclass(frozen=True, kw_only=True)
class Words:
    """One option a field. A column of counts may also be given as a number, the same in every row: 8192, 1e9, 7B."""

    source: Annotated[Source, _option("Where TABLE is; `hyperlaw sources` says how each is named.")] = Source.FILE
    experiment: Annotated[Text, _option("Name of an MLflow experiment, or of an Optuna study.")] = None
    final: Annotated[Text, _option("Of trackers, a metric's final value: last, mean:10 or smooth:100.")] = None
    kind: Annotated[Kind, _option("What the rows are.")] = Kind.RUNS
    learning_rate: Annotated[Text, _option("Column of learning rates.")] = None
    batch_size: Annotated[Text, _option("Column of batch sizes, or a number.")] = None
    batch_unit: Annotated[float | None, _option("Data points in one unit of batch size.")] = None
    loss: Annotated[Text, _option("Column of final losses; of steps-to-loss, of the losses reached.")] = None
    loss_unit: Annotated[Text, _option("nats (default), 'bits per byte', perplexity, 'error rate' or another.")] = None
    untrained_loss: Annotated[float | None, _option("Loss before training: a run that ends above it diverged.")] = None
    performance: Annotated[Text, _option("Of curves: column of returns, higher is better.")] = None
    data: Annotated[Text, _option("Column of data points seen, or a number.")] = None
    steps: Annotated[Text, _option("Column of optimizer steps, in place of --data.")] = None
    params: Annotated[Text, _option("Column of parameter counts, or a number.")] = None
    width: Annotated[Text, _option("Column of model widths, or a number.")] = None
    utd: Annotated[Text, _option("Column of updates-to-data ratios, or a number.")] = None
    task: Annotated[Text, _option("Column of tasks.")] = None
    seed_column: Annotated[Text, _option("Column of the seeds of runs (--seed is that of the draws).")] = None
    run: Annotated[Text, _option("Column that says which rows are one run.")] = None
    diverged: Annotated[Text, _option("Column that marks diverged runs.")] = None
    state: Annotated[Text, _option("Column of states: finished, crashed, preempted, ...")] = None
    tune_over: Annotated[Texts, _option("Column of a further hyperparameter whose best is kept; repeatable.")] = None
    column: Annotated[
        Texts, _option("WORD=COLUMN for every other word, e.g. --column threshold=level; repeatable.")
    ] = None
    estimated: Annotated[Texts, _option("Of optima: which of its hyperparameters were measured; repeatable.")] = None
    where: Annotated[
        Texts, _option("Rows to keep, e.g. --where optimizer=adam --where 'step>=1000'; =, !=, <, <=, >, >=.")
    ] = None
    thresholds: Annotated[Text, _option("Of curves: performances to reach, e.g. 300,500.")] = None
    losses: Annotated[Text, _option("For --make steps-to-loss: losses to reach, e.g. 3.2,3.0.")] = None
    make: Annotated[
        Made | None,
        _option("What to fit instead: of runs their optima or steps-to-loss; of curves or crossings optima, or best."),
    ] = None

    def read(self, address: str, seed: int) -> "Table":
        """The table at an address; made into another where that is asked for."""
        import hyperlaw as hl

        kinds: dict[str, Any] = {"runs": hl.Runs, "optima": hl.Optima, "crossings": hl.Crossings, "curves": hl.Curves,
                 "steps-to-loss": hl.StepsToLoss, "noise-measurements": hl.NoiseMeasurements}  # fmt: skip
        readers = {name: kind.from_frame for name, kind in kinds.items()}
        readers["gradient-norms"] = hl.NoiseMeasurements.from_norms
        frame = read_address(address, self.source, self.experiment, self.final, self._history())
        rows = len(frame)
        frame = kept(frame, self.where)
        if self.where:
            typer.echo(f"{len(frame)} of {rows} rows kept by --where.", err=True)
        reader = readers[self.kind]
        return self._made(reader(frame, **self._named(frame, set(inspect.signature(reader).parameters))), seed)

    def _history(self) -> list[str] | None:
        """Of curves in a tracker, the metrics whose history is asked for."""
        if self.source is Source.FILE or self.kind is not Kind.CURVES:
            return None
        return [self.performance or "performance", *([self.data] if self.data not in (None, "step") else [])]

    def _named(self, frame: "pd.DataFrame", known: set[str]) -> dict[str, Any]:
        """Arguments of the reader, refused where it has no such word."""
        ours = {"source", "experiment", "final", "kind", "column", "where", "thresholds", "losses", "make"}
        given: dict[str, Any] = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in ours}
        given["seed"] = given.pop("seed_column")
        if self._history():
            given["data"] = given["data"] or "step"
        given = {word: value for word, value in given.items() if value is not None}
        for word, column in pairs(self.column, "--column", "threshold=level"):
            quantity, _, end = word.rpartition("_")
            if end in known & {"error", "low", "high"} and quantity and self.kind is Kind.OPTIMA:
                given.setdefault(end, {})[quantity] = column
            else:
                given[word] = column
        strange = sorted(set(given) - known | {"frame"} & set(given))
        if strange:
            words = ", ".join(sorted(known - {"frame"}))
            raise typer.BadParameter(
                f"a table of {self.kind} has no {one_line(strange[0])}; its words are: {words}.", param_hint="--kind"
            )
        if "estimated" in given:
            given["estimated"] = tuple(given["estimated"])
        return {word: _column_or_number(word, value, frame) for word, value in given.items()}

    def _made(self, table: Any, seed: int) -> "Table":
        """The table itself, or what `--make` asks for; of curves the crossings."""
        levels = self._levels("thresholds", needed=self.kind is Kind.CURVES)
        losses = self._levels("losses", needed=self.make is Made.STEPS_TO_LOSS)
        if levels:
            typer.echo(repr(table), err=True)
            table = table.crossings(levels, seed=seed)
        if self.make is None:
            return table
        makers: dict[str, dict[Made, Callable[[], Table]]] = {
            "runs": {
                Made.OPTIMA: lambda: table.optima(),
                Made.BY_BATCH: lambda: table.optima(by_batch=True),
                Made.STEPS_TO_LOSS: lambda: table.steps_to_loss(losses, seed=seed),
            },
            "crossings": {Made.OPTIMA: lambda: table.optima(), Made.BEST: lambda: table.best()},
        }
        can = makers.get(table.kind, {})
        if self.make not in can:
            raise typer.BadParameter(
                f"{self.make} cannot be made of {self.kind}; what can is: {', '.join(can) or 'nothing'}.",
                param_hint="--make",
            )
        typer.echo(repr(table), err=True)
        return can[self.make]()

    def _levels(self, name: str, *, needed: bool) -> list[float]:
        """Numbers behind an option that is given if, and only if, it is needed."""
        text: str | None = getattr(self, name)
        option = f"--{name}"
        if needed and text is None:
            raise typer.BadParameter("it is needed here: numbers with commas between them.", param_hint=option)
        if text is not None and not needed:
            of = "--kind curves" if name == "thresholds" else "--make steps-to-loss"
            raise typer.BadParameter(f"it is for {of} alone.", param_hint=option)
        return numbers(text, option) if text is not None else []


def _column_or_number(word: str, value: Any, frame: "pd.DataFrame") -> Any:
    """What was typed: a column where there is one of that name, else a number where the word may be one."""
    from hyperlaw.data.vocabulary import COUNTS

    if word == "window":  # of gradient norms: a count, never a column
        count = number(value, "window", "--column")
        return int(count) if count.is_integer() else count
    if not isinstance(value, str) or word not in (*COUNTS, "learning_rate", "utd") or value in frame:
        return value
    if not value.lstrip("+-.")[:1].isdigit():
        return value
    return number(value, f"the column {quote(value)} is not in the table, and a number", f"--{word.replace('_', '-')}")


def with_words(verb: Callable[..., None]) -> Callable[..., None]:
    """Give a verb the options of `Words`: it takes them as one argument, `words`."""
    fields = dataclasses.fields(Words)
    hints = get_type_hints(Words, include_extras=True)
    options = [
        inspect.Parameter(f.name, inspect.Parameter.KEYWORD_ONLY, default=f.default, annotation=hints[f.name])
        for f in fields
    ]

    @functools.wraps(verb)
    def taken(**given: Any) -> None:
        verb(words=Words(**{f.name: given.pop(f.name) for f in fields}), **given)

    own: Sequence[inspect.Parameter] = [
        p for p in inspect.signature(verb, eval_str=True).parameters.values() if p.name != "words"
    ]
    taken.__signature__ = inspect.Signature([*own, *options])  # type: ignore[attr-defined]
    taken.__annotations__ = {p.name: p.annotation for p in (*own, *options)}
    return taken
