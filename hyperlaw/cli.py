"""The command line: `hyperlaw demo | fit | decide`, in the words of the package."""

from pathlib import Path
from typing import Annotated

import typer

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
    from hyperlaw.models import LAWS

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
    at: Annotated[list[str], typer.Option(help="Target, e.g. --at params=7e9 --at data=1.4e12.")],
    cvar: Annotated[float, typer.Option(help="Minimise the mean regret of the worst 1 - q of the draws.")] = 0.9,
    despite: Annotated[str | None, typer.Option(help="Reason for deciding although checks failed.")] = None,
    json: Annotated[bool, typer.Option(help="Print JSON.")] = False,
    plot: Annotated[Path | None, typer.Option(help="Where the picture is written.")] = None,
) -> None:
    """Choose a setting for one large run from a saved fit."""
    import hyperlaw as hl

    target = _target(at)
    with _plainly():
        choice = hl.decide(hl.load_fit(saved), at=target, risk=hl.CVaR(cvar), despite=despite)
    typer.echo(choice.to_json() if json else repr(choice))
    if plot is not None:
        choice.plot().savefig(plot, dpi=120)


def _target(pairs: list[str]) -> dict[str, float | str]:
    target: dict[str, float | str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise typer.BadParameter(f"{pair!r} is not NAME=VALUE, such as data=1.4e12.", param_hint="--at")
        try:
            target[name] = value if name == "task" else float(value)
        except ValueError:
            raise typer.BadParameter(f"{name} must be a number, received {value!r}.", param_hint="--at") from None
    return target


class _plainly:
    """Errors that a user can mend are printed without a traceback."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, ValueError | TypeError | RuntimeError | FileNotFoundError):
            typer.echo(f"hyperlaw: {error}", err=True)
            raise typer.Exit(2) from error
