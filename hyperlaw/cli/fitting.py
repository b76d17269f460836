"""Verbs of fits: `fit`, `check`, `compare`, `backtest`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hyperlaw.cli.errors import FAILED
from hyperlaw.cli.looking import Json, Seed
from hyperlaw.cli.output import print_json, records, say, show, show_checks, told, writable
from hyperlaw.cli.parsing import priors
from hyperlaw.cli.tables import Words, with_words
from hyperlaw.whole_file import write_whole

if TYPE_CHECKING:
    from hyperlaw.diagnostics.spec import Checks
    from hyperlaw.fits import Fit
    from hyperlaw.models.law import Law


def law_names(incomplete: str) -> list[str]:
    """Laws that begin so: for completion."""
    from hyperlaw.models.laws import LAWS

    return [name for name in LAWS if name.startswith(incomplete)]


TableFile = Annotated[
    str, typer.Argument(metavar="TABLE", help="Text with separators, JSON or Parquet, gzipped or not; - reads stdin.")
]
Saved = Annotated[Path, typer.Argument(metavar="FIT", help="A fit that `hyperlaw fit` wrote.")]
LAW = typer.Option(help="A law in any case; `hyperlaw laws` lists them.", autocompletion=law_names)


@with_words
def fit(
    table: TableFile,
    *,
    out: Annotated[Path, typer.Option(help="Where the fit is written (netCDF).")],
    law: Annotated[str, LAW] = "StepLaw",
    words: Words,
    prior: Annotated[
        list[str] | None, typer.Option(help="e.g. --prior 'exponent_data=Normal(0.5,0.1)'; repeatable.")
    ] = None,
    window: Annotated[
        float | None, typer.Option(help="Of runs: how far above the lowest loss a run still counts (default 1).")
    ] = None,
    draws: Annotated[
        int | None, typer.Option(help="Draws of each chain, a multiple of 50; left out, as many as checks ask for.")
    ] = None,
    warmup: Annotated[int, typer.Option(help="Warm-up iterations of each chain, a multiple of 100.")] = 300,
    chains: Annotated[int, typer.Option(help="Number of chains.")] = 4,
    target_accept: Annotated[float | None, typer.Option(help="Left out, 0.9, and more where draws diverge.")] = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Fit a law to a table, print its checks, and save it."""
    import hyperlaw as hl

    chosen: Any = _law(law)
    if window is not None:
        chosen = hl.LossSurface(chosen, window=window)
    given = priors(prior)
    writable(out, "--out")
    rows = words.read(table, seed)
    say(repr(rows), err=True)
    fitted = hl.fit(
        chosen, rows, seed=seed, priors=given, draws=draws, warmup=warmup, chains=chains, target_accept=target_accept
    )
    fitted.save(out)
    checks = fitted.check()
    if json:
        print_json(_about(fitted) | {"written": str(out)} | told(checks))
    else:
        _show(fitted)
        show_checks(checks)
        say(f"Wrote {out}.")
    _leave(checks)


def check(saved: Saved, *, json: Json = False) -> None:
    """Print the checks of a saved fit."""
    import hyperlaw as hl

    fitted = hl.load_fit(saved)
    checks = fitted.check()
    if json:
        print_json(_about(fitted) | told(checks))
    else:
        _show(fitted)
        show_checks(checks)
    _leave(checks)


def compare(
    saved: Annotated[list[Path], typer.Argument(metavar="FIT FIT...", help="Two fits or more to the same table.")],
    *,
    leave_out: Annotated[str, typer.Option(help="What is predicted without being seen: run, task or scale.")] = "run",
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Say which of several laws predicts better what it has not seen."""
    import hyperlaw as hl

    found = hl.compare(load_several(saved), leave_out=leave_out, seed=seed)
    if json:
        print_json(
            {
                "sentence": found.sentence,
                "table": records(found.table),
                "by_group": records(found.by_group),
                "refits": records(found.refits),
            }
        )
    else:
        show(found.table)
        typer.echo()
        say(found.sentence)


@with_words
def backtest(
    table: TableFile,
    *,
    law: Annotated[list[str], LAW],
    hold_out: Annotated[
        str, typer.Option(help="largest (scale), largest:2 (its two largest values), or task (each in turn).")
    ] = "largest",
    words: Words,
    sparse: Annotated[int | None, typer.Option(help="Of runs: keep this many of each cell, drawn at random.")] = None,
    repeats: Annotated[int, typer.Option(help="How often to draw them.")] = 1,
    out: Annotated[Path | None, typer.Option(help="Where every row of the scores is written (CSV).")] = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Withhold the largest scales, fit the rest, choose or predict there, and score beside recipes by hand."""
    import hyperlaw as hl

    laws = {one.name: one for one in map(_law, law)}
    writable(out, "--out")
    rows = words.read(table, seed)
    say(repr(rows), err=True)
    found = hl.backtest(laws, rows, seed=seed, hold_out=hold_out, sparse=sparse, repeats=repeats)
    if json:
        print_json({"withheld": found.withheld, "summary": records(found.summary), "table": records(found.table)})
    else:
        say(f"Backtest, {found.withheld}.")
        show(found.summary)
    if out is not None:
        write_whole(out, found.table.to_csv(index=False).encode())
        say(f"Wrote {out}.", err=True)


def load_several(saved: list[Path]) -> "dict[str, Fit]":
    """Saved fits by the name of their law, or by that of their file where two have one law."""
    import hyperlaw as hl

    fits = [hl.load_fit(path) for path in saved]
    names = [fitted.law.name for fitted in fits]
    if len(set(names)) < len(names):
        names = [str(path) for path in saved]
    if len(set(names)) < len(names):
        raise typer.BadParameter("a fit was given twice.", param_hint="FIT")
    return dict(zip(names, fits, strict=True))


def _law(name: str) -> "Law":
    """A law by its name, in any case."""
    from hyperlaw.models import laws  # noqa: F401  registers those of the package
    from hyperlaw.models.law import as_law

    return as_law(name)


def _show(fitted: "Fit") -> None:
    """Print what a fit is of, and its law with its numbers."""
    say(f"{fitted.headline} {fitted.table.headline}\n\n{fitted.equation()}\n\n")


def _about(fitted: "Fit") -> dict[str, Any]:
    """A fit for JSON."""
    return {
        "law": fitted.law.name, "table": fitted.table.headline, "notes": list(getattr(fitted.table, "notes", ())),
        "chains": fitted.shape[0], "draws": fitted.shape[1], "seed": fitted.seed,
    }  # fmt: skip


def _leave(checks: "Checks") -> None:
    """End with the exit status of a failed check, where one failed."""
    if not checks.ok:
        raise typer.Exit(FAILED)
