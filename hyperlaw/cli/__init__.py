"""The command line: `hyperlaw VERB`, in the words of the package; a file a group of verbs."""

from typing import Annotated

import typer

from hyperlaw.cli.deciding import decide, frontier, next_runs, predict, report, score
from hyperlaw.cli.errors import STATUS, plainly
from hyperlaw.cli.fitting import backtest, check, compare, fit
from hyperlaw.cli.looking import demo, laws, sweeps
from hyperlaw.cli.sources import sources

# Rich markup would take what stands between colons for an emoji.
app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, epilog=STATUS, pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)  # fmt: skip

for _verb in (demo, laws, sweeps, sources, fit, check, compare, backtest, predict, decide, report, score):
    app.command()(plainly(_verb))
app.command("next")(plainly(next_runs))
app.command()(plainly(frontier))


def _version(asked: bool) -> None:
    if asked:
        import hyperlaw as hl

        typer.echo(f"hyperlaw {hl.__version__}")
        raise typer.Exit


@app.callback()
def about(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which.")] = False,
) -> None:
    """From small runs to a setting for the large one."""
