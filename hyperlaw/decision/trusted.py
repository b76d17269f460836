"""`trusted`: no decision from a fit that failed its checks, unless a reason is given."""

from collections.abc import Mapping

import pandas as pd

from hyperlaw.diagnostics.check import checked
from hyperlaw.diagnostics.spec import Checks, Status
from hyperlaw.inference.posterior import Posterior
from hyperlaw.inference.predict import FAR
from hyperlaw.quote import one_line

ALONE = "So far out only the law speaks, and no run has shown that it holds there. Add larger runs on the way."
BELOW_ZERO = "Every run has a loss above zero, and the law expects one below: so far out it does not hold."


def trusted(fits: Mapping[str, Posterior], despite: str | None) -> Checks:
    """The checks of all fits, by the names that the error is to call them.

    Parameters
    ----------
    fits
        Fits by name; of several, the names stand before those of the checks.
    despite
        Reason for deciding although checks failed.

    Raises
    ------
    RuntimeError
        When a fit failed a check and no reason is given.
    """
    found = {name: checked(fit) for name, fit in fits.items()}
    for name, checks in found.items():
        if not checks.ok and not despite:
            raise RuntimeError(
                f"the fit of {one_line(name)} failed {len(checks.failed)} of its checks ({', '.join(checks.failed)}), "
                "so its intervals cannot be trusted. See its check() for what to do, or pass "
                'despite="reason" to decide all the same.'
            )
    tables = [
        one.table.assign(check=f"{name}: " + one.table["check"]) if len(found) > 1 else one.table
        for name, one in found.items()
    ]
    return Checks(pd.concat(tables, ignore_index=True))


def of_target(checks: Checks, decades: float, best_loss: float, lowest_run: float) -> Checks:
    """The checks, and with them whether a target lies where runs say anything.

    Parameters
    ----------
    checks
        Of the fits.
    decades
        How far the target lies beyond the runs, at most.
    best_loss, lowest_run
        Median of the loss at the optimum there, and the lowest loss of any run.
    """
    rows = [_row("decades that the target lies beyond the runs, most", decades, f"<= {FAR:g}", decades > FAR, ALONE)]
    if lowest_run > 0:
        rows.append(_row("loss at the target, median", best_loss, "> 0", best_loss <= 0, BELOW_ZERO))
    return Checks(pd.concat([checks.table, pd.DataFrame(rows, columns=list(checks.table))], ignore_index=True))


def _row(name: str, value: float, threshold: str, review: bool, advice: str) -> tuple[str, float, str, Status, str]:
    return name, value, threshold, Status.REVIEW if review else Status.PASS, advice if review else ""
