"""The command line: `hyperlaw demo | fit | decide`, in the words of the package."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from hyperlaw.decision.constraints import Constraint
    from hyperlaw.risk import Risk

app = typer.Typer(help="From small runs to a setting for the large one.", no_args_is_help=True, add_completion=False)

Seed = Annotated[int, typer.Option(help="Determines every draw.")]


@app.command()
def demo(
    folder: Annotated[Path, typer.Option(help="Where demo.png and demo.nc are written.")] = Path(),
    seed: Seed = 0,
) -> None:
    """Turn a shipped sweep into a setting for a larger run, and score it against runs really made."""
    from hyperlaw.demo import demo as run_demo

    run_demo(folder, seed)


@app.command()
def fit(
    table: Annotated[Path, typer.Argument(help="CSV or Parquet file, one row a run.")],
    *,
    out: Annotated[Path, typer.Option(help="Where the fit is written (netCDF).")],
    law: Annotated[str, typer.Option(help="A law of hl.laws.")] = "StepLaw",
    seed: Seed = 0,
    learning_rate: Annotated[str, typer.Option(help="Column of learning rates.")] = "learning_rate",
    batch_size: Annotated[str, typer.Option(help="Column of batch sizes.")] = "batch_size",
    batch_unit: Annotated[float | None, typer.Option(help="Data points in one unit of batch size.")] = None,
    loss: Annotated[str, typer.Option(help="Column of final losses, nats.")] = "loss",
    data: Annotated[str | None, typer.Option(help="Column of data points seen.")] = None,
    params: Annotated[str | None, typer.Option(help="Column of parameter counts.")] = None,
    task: Annotated[str | None, typer.Option(help="Column of tasks.")] = None,
    diverged: Annotated[str | None, typer.Option(help="Column that marks diverged runs.")] = None,
) -> None:
    """Fit a law to a table of runs, print its checks, and save it."""
    import hyperlaw as hl
    from hyperlaw.models.laws import LAWS

    if law not in LAWS:
        raise typer.BadParameter(f"{law!r} is no law; the laws are: {', '.join(LAWS)}.", param_hint="--law")
    read = hl.Runs.from_parquet if table.suffix == ".parquet" else hl.Runs.from_csv
    with _plainly():
        runs = read(
            table, learning_rate=learning_rate, batch_size=batch_size, batch_unit=batch_unit, loss=loss,
            data=data, params=params, task=task, diverged=diverged,
        )  # fmt: skip
        fitted = hl.fit(LAWS[law](), runs, seed=seed)
    typer.echo(repr(fitted))
    checks = fitted.check()
    typer.echo(repr(checks))
    fitted.save(out)
    typer.echo(f"Wrote {out}.")
    if not checks.ok:
        raise typer.Exit(1)


@app.command()
def decide(
    saved: Annotated[Path, typer.Argument(help="A fit that `hyperlaw fit` wrote.")],
    *,
    at: Annotated[list[str], typer.Option(help="Target, e.g. --at params=7e9 --at data=1.4e12.")],
    risk: Annotated[
        str, typer.Option(help="mean, worst, cvar:Q or quantile:Q (Q from 0 to 1), or entropic:A: of the regret.")
    ] = "cvar:0.9",
    at_most: Annotated[list[str] | None, typer.Option(help="Constraint, e.g. --at-most steps=2e5; repeatable.")] = None,
    at_least: Annotated[list[str] | None, typer.Option(help="Constraint, e.g. --at-least batch_size=1e6.")] = None,
    batch_multiple_of: Annotated[float | None, typer.Option(help="Unit of the batch size, data points.")] = None,
    max_diverge: Annotated[float | None, typer.Option(help="Highest probability to diverge that is allowed.")] = None,
    diverge_cost: Annotated[float | None, typer.Option(help="What a diverged run loses, nats.")] = None,
    despite: Annotated[str | None, typer.Option(help="Reason for deciding although checks failed.")] = None,
    json: Annotated[bool, typer.Option(help="Print JSON.")] = False,
    plot: Annotated[Path | None, typer.Option(help="Where the picture is written.")] = None,
) -> None:
    """Choose a setting for one large run from a saved fit."""
    import hyperlaw as hl

    target: dict[str, float | str] = {
        name: value if name == "task" else _number(name, value, "--at") for name, value in _pairs(at, "--at")
    }
    with _plainly():
        bounds: list[Constraint] = [
            *(hl.AtMost(name, bound) for name, bound in _numbers(at_most or [], "--at-most")),
            *(hl.AtLeast(name, bound) for name, bound in _numbers(at_least or [], "--at-least")),
            *([] if batch_multiple_of is None else [hl.OneOf("batch_size", multiples_of=batch_multiple_of)]),
            *([] if max_diverge is None else [hl.Chance("diverge", at_most=max_diverge)]),
        ]
        attitude = _risk(risk)
        choice = hl.decide(
            hl.load_fit(saved), target, risk=attitude, subject_to=bounds, diverge_cost=diverge_cost, despite=despite
        )
    typer.echo(choice.to_json() if json else repr(choice))
    if plot is not None:
        choice.plot().savefig(plot, dpi=120)


def _pairs(texts: list[str], option: str) -> list[tuple[str, str]]:
    """NAME=VALUE, taken apart."""
    pairs = []
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise typer.BadParameter(f"{text!r} is not NAME=VALUE, such as data=1.4e12.", param_hint=option)
        pairs.append((name, value))
    return pairs


def _numbers(texts: list[str], option: str) -> list[tuple[str, float]]:
    return [(name, _number(name, value, option)) for name, value in _pairs(texts, option)]


def _number(name: str, text: str, option: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"{name} must be a number, received {text!r}.", param_hint=option) from None


def _risk(text: str) -> "Risk":
    """A risk by name, with its level behind a colon."""
    import hyperlaw as hl

    without: dict[str, Risk] = {"mean": hl.Mean(), "worst": hl.WorstCase()}
    with_level: dict[str, Callable[[float], Risk]] = {"cvar": hl.CVaR, "quantile": hl.Quantile, "entropic": hl.Entropic}
    name, colon, level = text.partition(":")
    if not colon and name in without:
        return without[name]
    if not colon or name not in with_level:
        raise typer.BadParameter(
            f"{text!r} is no risk; use mean, worst, cvar:0.9, quantile:0.9 or entropic:10.", param_hint="--risk"
        )
    return with_level[name](_number(name, level, "--risk"))


class _plainly:
    """Errors that a user can mend are printed without a traceback."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, ValueError | TypeError | RuntimeError | FileNotFoundError):
            typer.echo(f"hyperlaw: {error}", err=True)
            raise typer.Exit(2) from error
