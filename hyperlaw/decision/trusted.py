"""`refuse_failed`: no decision from a fit that failed its checks, unless a reason is given."""

from collections.abc import Mapping

from hyperlaw.inference.fit import Fit


def refuse_failed(fits: Mapping[str, Fit], despite: str | None) -> None:
    """Refuse fits that failed a check.

    Parameters
    ----------
    fits
        By the names that the error is to call them.
    despite
        Reason for deciding all the same.

    Raises
    ------
    RuntimeError
        When a fit failed a check and no reason is given.
    """
    if despite:
        return
    failed = {name: fit.check().failed for name, fit in fits.items()}
    for name, checks in failed.items():
        if checks:
            raise RuntimeError(
                f"the fit of {name} failed {len(checks)} of its checks ({', '.join(checks)}), so its intervals cannot "
                'be trusted. See its check() for what to do, or pass despite="reason" to decide all the same.'
            )
