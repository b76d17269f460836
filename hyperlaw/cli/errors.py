"""Errors that a user can mend: in the words of the command line, without a traceback, with an exit status."""

import functools
from collections.abc import Callable
from typing import Any

import typer

from hyperlaw.cli.output import say
from hyperlaw.cli.wording import as_options

FAILED, WRONG, MISSING = 1, 2, 3
STATUS = """Exit status:

\b
  0  all is well
  1  a check of the fit failed: `fit` and `check` say which; `decide` and the others refuse such a fit
  2  wrong input: an option, a table, a target, or a file that cannot be read or written
  3  something is not installed that this table or verb needs

A Python traceback is a fault of hyperlaw: please report it."""


def plainly[**P](verb: Callable[P, None]) -> Callable[P, None]:
    """A verb whose errors are one line on standard error and an exit status, where a user can mend them."""

    @functools.wraps(verb)
    def said(*given: P.args, **named: P.kwargs) -> None:
        try:
            verb(*given, **named)
        except ImportError as error:
            _leave(error, MISSING)
        except RuntimeError as error:
            # What `hyperlaw.decision.trusted` raises of a fit that failed its checks; typer's own go their way.
            if isinstance(error, typer.Exit | typer.Abort):
                raise
            _leave(error, FAILED)
        except BrokenPipeError:  # whoever reads has seen enough, such as `head`
            raise
        except (ValueError, TypeError, OSError, EOFError) as error:
            _leave(error, WRONG)

    return said


def _leave(error: BaseException, status: int) -> Any:
    say(f"hyperlaw: {as_options(str(error))}", err=True)
    raise typer.Exit(status) from error
