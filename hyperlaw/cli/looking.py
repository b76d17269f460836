"""Verbs that show what there is: `demo`, `laws`, `sweeps`."""

from pathlib import Path
from typing import Annotated

import typer

from hyperlaw.cli.output import blocks, print_json, records, writable
from hyperlaw.quote import quote


def _seed(text: str) -> int:
    """A seed, refused where it is a name: that of a column, most likely."""
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(
            f"it must be a whole number, received {quote(text)}. The column of the seeds of runs is --seed-column."
        ) from None


Seed = Annotated[int, typer.Option(parser=_seed, metavar="<int>", help="Determines every draw.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output, and nothing else there.")]


def demo(
    folder: Annotated[Path, typer.Option(help="Where demo.png and demo.nc are written.")] = Path(),
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Turn a shipped sweep into a setting for a larger run, and score it against runs really made."""
    for name in ("demo.png", "demo.nc"):
        writable(folder / name, "--folder")
    from hyperlaw.demo import demo as run_demo

    choice = run_demo(folder, seed, stderr=json)
    if json:
        typer.echo(choice.to_json())


def laws(json: Json = False) -> None:
    """List the laws: what each says, predicts and needs."""
    import hyperlaw as hl

    table = hl.laws.table()
    if json:
        print_json(records(table))
    else:
        blocks(table, "says")


def sweeps(json: Json = False) -> None:
    """List the sweeps that ship with the package."""
    import hyperlaw as hl

    table = hl.sweeps()
    if json:
        print_json(records(table))
    else:
        blocks(table, "what")
