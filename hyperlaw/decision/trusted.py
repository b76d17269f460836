"""`trusted`: no decision from a fit that failed its checks, unless a reason is given."""

from collections.abc import Mapping
from weakref import WeakKeyDictionary

import pandas as pd

from hyperlaw.diagnostics.check import check
from hyperlaw.diagnostics.spec import Checks
from hyperlaw.inference.posterior import Posterior

# Most of the seconds of a decision; a fit never changes, and several decisions are made from one.
_KNOWN: WeakKeyDictionary[Posterior, Checks] = WeakKeyDictionary()


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
    found = {name: _checked(fit) for name, fit in fits.items()}
    for name, checks in found.items():
        if not checks.ok and not despite:
            raise RuntimeError(
                f"the fit of {name} failed {len(checks.failed)} of its checks ({', '.join(checks.failed)}), so its "
                'intervals cannot be trusted. See its check() for what to do, or pass despite="reason" to decide all '
                "the same."
            )
    tables = [
        one.table.assign(check=f"{name}: " + one.table["check"]) if len(found) > 1 else one.table
        for name, one in found.items()
    ]
    return Checks(pd.concat(tables, ignore_index=True))


def _checked(fit: Posterior) -> Checks:
    if fit not in _KNOWN:
        _KNOWN[fit] = check(fit)
    return _KNOWN[fit]
