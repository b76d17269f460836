"""`critical_batch_size`: one critical batch size in the terms of another definition.

Examples to a loss grow with the batch size, E = E_min (1 + (B / B_crit)^k)^(1/k). A definition is the batch size that
needs a share o more of them than a reference batch size R does:

    E(B) = (1 + o) E(R)   =>   B^k = (1 + o)^k R^k + ((1 + o)^k - 1) B_crit^k.

With the published knee k = 1 (McCandlish et al. 2018, arXiv 1812.06162) that is B = o B_crit + (1 + o) R: B_crit itself
has o = 1 and R = 0, twice the fewest examples; and 20 % more data than linear scaling from 256 sequences (Zhang et al.
2024, arXiv 2410.21676) is 0.2 B_crit + 307 sequences.
"""

import numpy as np
from numpy.typing import ArrayLike

from hyperlaw.quote import quote


def critical_batch_size(
    batch_size: ArrayLike,
    *,
    overhead: float | None = None,
    reference: float = 0.0,
    to_overhead: float | None = None,
    to_reference: float = 0.0,
    knee: ArrayLike = 1.0,
) -> np.ndarray:
    """A critical batch size of one definition in the terms of another.

    A definition is an overhead and a reference: the batch size that needs so much more examples than the reference
    batch size does, such as 0.2 more than 256 sequences. A reference of 0 stands for the fewest examples of any batch
    size. Where no overhead is given, B_crit is meant: `exp(log_critical_batch)` of `StepsExamples` and its kin, which
    with a knee of 1 is an overhead of 1, twice the fewest examples.

    Posterior draws give draws back. `hl.trade_off(fit, at, ...).draws` has `critical_batch_size` and `knee` of a curve.

    Parameters
    ----------
    batch_size
        Critical batch size, or draws of it of any shape; in one unit with the references.
    overhead, reference
        The definition that it has.
    to_overhead, to_reference
        The definition that is asked for.
    knee
        How sharply the curve bends at B_crit: a number, or draws beside those of `batch_size`.

    Returns
    -------
    array
        Batch size of the definition asked for, of the shape of `batch_size` and `knee` together.

    Raises
    ------
    ValueError
        When neither definition has an overhead, a reference has none, a number is not what it must be, the batch
        size lies where its definition allows none, or the answer is no finite number.

    Examples
    --------
    What 20 % more data than linear scaling from 256 sequences allow, and what such a measurement says of B_crit:

    >>> hl.critical_batch_size(1000, to_overhead=0.2, to_reference=256)
    array(507.2)
    >>> hl.critical_batch_size(507.2, overhead=0.2, reference=256)
    array(1000.)
    """
    if overhead is None and to_overhead is None:
        raise ValueError(
            "critical_batch_size converts between definitions, but received B_crit for both. Give overhead= where the "
            "batch size has another definition, or to_overhead= where another is asked for."
        )
    size, bend = _above_zero("batch_size", batch_size), _above_zero("knee", knee)
    try:
        np.broadcast_shapes(size.shape, bend.shape)
    except ValueError:
        raise ValueError(
            f"batch_size and knee must be draws of one shape, or a number; received shapes {size.shape} and "
            f"{bend.shape}."
        ) from None
    log_batch = np.log(size)
    more, start = _definition(overhead, reference, "")
    to_more, to_start = _definition(to_overhead, to_reference, "to_")
    critical = log_batch if overhead is None else _to_critical(log_batch, bend, more, start)
    with np.errstate(over="ignore"):
        found = np.asarray(
            np.exp(critical if to_overhead is None else _from_critical(critical, bend, to_more, to_start))
        )
    if not (np.isfinite(found) & (found > 0)).all():
        raise ValueError(
            f"in that definition the critical batch size is {found.min():.3g} to {found.max():.3g}, beyond what a "
            f"number can hold: received batch sizes of {size.min():.3g} to {size.max():.3g} and knees of "
            f"{bend.min():.3g} to {bend.max():.3g}. A knee is near 1; give batch sizes in data points."
        )
    return found


def _from_critical(critical: np.ndarray, knee: np.ndarray, more: float, start: float) -> np.ndarray:
    """Natural log of the batch size, from those of B_crit, of 1 + overhead, and of that times the reference."""
    return np.asarray(np.logaddexp(knee * start, _log_expm1(knee * more) + knee * critical) / knee)


def _to_critical(log_batch: np.ndarray, knee: np.ndarray, more: float, start: float) -> np.ndarray:
    """Natural log of B_crit: the inverse of `_from_critical`."""
    below = log_batch <= start
    if below.any():
        draws = f", {below.sum()} of {below.size} draws too low" if below.size > 1 else ""
        raise ValueError(
            f"a batch size with an overhead of {np.expm1(more):.3g} over {np.exp(start - more):g} must be above "
            f"{np.exp(start):g}, where examples would grow in proportion to it; received {np.exp(log_batch.min()):g}"
            f"{draws}. Give batch_size and reference in one unit."
        )
    beyond = knee * log_batch + np.log(-np.expm1(knee * (start - log_batch)))
    return np.asarray((beyond - _log_expm1(knee * more)) / knee)


def _log_expm1(x: np.ndarray) -> np.ndarray:
    """Natural log of exp(x) - 1, without overflow."""
    return np.asarray(x + np.log(-np.expm1(-x)))


def _definition(overhead: float | None, reference: float, prefix: str) -> tuple[float, float]:
    """Natural logs of 1 + overhead, and of that times the reference; of B_crit itself nothing is asked."""
    start = _numbers(reference)
    if start.ndim or not (np.isfinite(start) and start >= 0):
        raise ValueError(
            f"{prefix}reference must be a batch size, or 0 for the fewest examples of any; received {quote(reference)}."
        )
    if overhead is None:
        if start:
            raise ValueError(
                f"{prefix}reference={quote(reference)} is part of a definition that has an overhead: give "
                f"{prefix}overhead= too, or leave it out."
            )
        return np.nan, np.nan
    share = _numbers(overhead)
    if share.ndim or not (np.isfinite(share) and share > 0):
        raise ValueError(f"{prefix}overhead must be a share above zero, such as 0.2; received {quote(overhead)}.")
    more = float(np.log1p(share))
    return more, more + float(np.log(start)) if start else -np.inf


def _above_zero(name: str, value: ArrayLike) -> np.ndarray:
    numbers = _numbers(value)
    if not numbers.size or not (np.isfinite(numbers) & (numbers > 0)).all():
        raise ValueError(f"{name} must be finite and above zero; received {quote(value)}.")
    return numbers


def _numbers(value: ArrayLike) -> np.ndarray:
    """The value as an array; not a number where it is none."""
    try:
        return np.asarray(value, float)
    except (TypeError, ValueError):
        return np.array(np.nan)
