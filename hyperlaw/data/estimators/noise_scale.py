"""`noise_scale`: how noisy gradients are, from their squared norms at a small and a big batch.

    E|G_B|^2 = |G|^2 + tr(Sigma) / B,   so   |G|^2     = (B_big |G_big|^2 - B_small |G_small|^2) / (B_big - B_small)
                                             tr(Sigma) = (|G_small|^2 - |G_big|^2) / (1 / B_small - 1 / B_big)

McCandlish et al. 2018 (arXiv 1812.06162, appendix A.1): both are unbiased, and B_noise = tr(Sigma) / |G|^2 is the
quotient of their means. That quotient is heavy-tailed: what |G|^2 leaves of its error, B_noise has in its denominator,
and an estimate of |G|^2 may be zero or below. So a noise scale is stated where |G|^2 is known to a third of itself,
with the error of its natural log. Elsewhere the estimate only says that B_noise is large: what is stated is then the
noise scale at which it is half as likely as a boundless one, and the value is one-sided. Both forms are the likelihood
of a normal estimate of |G|^2 seen in ln B_noise, near enough for the likelihood of all measured values to take them:
from windows that were clear at two standard errors, laws came out too flat. A joint model of both estimates would need
a likelihood of its own.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from hyperlaw.data.numerals import as_number
from hyperlaw.quote import quote

CLEAR = 3.0  # standard errors of |G|^2 above zero from which on the natural log of the quotient is nearly normal
IMPOSSIBLE = 8.0  # standard errors of |G|^2 below zero that no luck explains: of 8 measurements, 1 in 20,000 times
CENTRE = 3 / 8  # density of Student's t with 4 degrees of freedom at its centre: what one-sided values scatter by


class NoiseEstimate(NamedTuple):
    """What `noise_scale` returns.

    Attributes
    ----------
    noise_scale
        tr(Sigma) / G'G, G the true gradient, in the unit of the batches; where `one_sided`, what it is at least.
        Infinite for a single pair of norms that gives no G'G above zero.
    error
        Standard deviation of its natural log; NaN for a single pair of norms.
    one_sided
        Whether G'G is not clearly above zero.
    squared_gradient, trace
        Means of the unbiased estimates of G'G and tr(Sigma); what to average over steps where one step is measured.
    """

    noise_scale: float
    error: float
    one_sided: bool
    squared_gradient: float
    trace: float


def noise_scale(small: ArrayLike, big: ArrayLike, *, small_batch: float, big_batch: float) -> NoiseEstimate:
    """Estimate the noise scale of the gradient from squared norms that a training loop has logged.

    Numbers in, numbers out: gradients of JAX, PyTorch or anything else, as long as their squared norms are sums over
    all parameters. Where the gradient is averaged over workers, or micro-batches are accumulated, `small` is the mean
    squared norm of the parts and `big` that of their average. With gradients of single examples, `small` is the mean of
    their squared norms, and `small_batch` is 1.

    With g'Hg in place of g'g, H the Hessian at the same weights, the estimate is tr(H Sigma) / G'HG. Where that
    Hessian has many negative directions, as at the start of training, neither need be above zero, and it means nothing.

    Parameters
    ----------
    small, big
        Squared norms of the gradient of a small and of a big batch, at the same weights: numbers, or arrays of shape
        (measurement,) over repeated batches or over near steps: their scatter gives the error, so let there be 8 or
        more.
    small_batch, big_batch
        Their batch sizes, in one unit. What is returned is in that unit.

    Raises
    ------
    ValueError
        When the norms are not pairs of finite numbers, the batches are not one below the other, or the norms do not
        fall with the batch size, on average, or fall faster than it grows.
    """
    of_small, of_big = (np.atleast_1d(np.asarray(values, float)) for values in (small, big))
    if of_small.shape != of_big.shape or of_small.ndim != 1 or not of_small.size:
        raise ValueError(
            f"small and big must be pairs of squared norms, received shapes {np.shape(small)} and {np.shape(big)}. "
            "Give a number each, or two arrays of equal length."
        )
    for name, values in (("small", of_small), ("big", of_big)):
        if not np.isfinite(values).all():
            first = int(np.argmin(np.isfinite(values)))
            raise ValueError(
                f"{name} must hold finite squared norms, received {values[first]} at position {first}. Leave out steps "
                "whose gradient overflowed."
            )
    small_batch = as_number(small_batch, "small_batch", count=True)
    big_batch = as_number(big_batch, "big_batch", count=True)
    if not (np.isfinite(big_batch) and 0 < small_batch < big_batch):
        raise ValueError(
            "small_batch must be above zero and below big_batch, both finite, received "
            f"{quote(small_batch)} and {quote(big_batch)}."
        )
    gradients = (big_batch * of_big - small_batch * of_small) / (big_batch - small_batch)
    traces = (of_small - of_big) / (1 / small_batch - 1 / big_batch)
    gradient, trace = float(gradients.mean()), float(traces.mean())
    if len(gradients) == 1:
        clear = gradient > 0
        return NoiseEstimate(trace / gradient if clear else np.inf, np.nan, not clear, gradient, trace)
    if trace <= 0:
        raise ValueError(
            f"squared norms must fall with the batch size, but small averages {of_small.mean():.3g} and big "
            f"{of_big.mean():.3g} over {len(gradients)} measurements: no noise is seen. Are they swapped, sums over "
            "examples instead of means, or norms that are not squared? (Of g'Hg: the curvature is negative there.)"
        )
    covariance = np.cov(gradients, traces) / len(gradients)
    if not covariance[0, 0] > 0:
        raise ValueError(
            f"all {len(gradients)} measurements are the same, so no error can be told. Give each its own batches."
        )
    if gradient < -IMPOSSIBLE * np.sqrt(covariance[0, 0]):
        raise ValueError(
            f"squared norms cannot fall faster than the batch size grows, but small averages {of_small.mean():.3g} and "
            f"big {of_big.mean():.3g} at batches of {small_batch:.10g} and {big_batch:.10g}. Are these the batches "
            "that each gradient was averaged over, all workers and accumulated parts counted? (Of g'Hg: the curvature "
            "is negative there.)"
        )
    return NoiseEstimate(*_quotient(gradient, trace, covariance), gradient, trace)


def _quotient(gradient: float, trace: float, covariance: np.ndarray) -> tuple[float, float, bool]:
    """Noise scale, error of its natural log, and whether it is one-sided, from both estimates and their covariance."""
    sd = float(np.sqrt(covariance[0, 0]))
    if gradient > CLEAR * sd:
        relative = np.array([-1 / gradient, 1 / trace])
        return trace / gradient, float(np.sqrt(relative @ covariance @ relative)), False
    # Where a normal error of G'G makes the estimate half as likely as at G'G = 0, and as steep as it is there.
    least = gradient + float(np.sqrt(gradient**2 + 2 * np.log(2) * sd**2))
    steep = least * (least - gradient) / sd**2
    return trace / least, float(np.hypot(2 * CENTRE / steep, np.sqrt(covariance[1, 1]) / trace)), True
