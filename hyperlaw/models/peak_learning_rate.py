"""`peak_learning_rate`: the learning rate at the top of the curve, from a noise scale and one tuned pair or more."""

import numpy as np
from numpy.typing import ArrayLike

from hyperlaw.quote import quote

OPTIMIZERS = ("sgd", "adam")


def peak_learning_rate(
    noise_scale: ArrayLike, learning_rate: ArrayLike, batch_size: ArrayLike, *, optimizer: str
) -> np.ndarray:
    """Largest best learning rate over batch sizes, from the noise scale and tuned pairs.

    For SGD the mean over pairs of eta (1 + B_noise / B); for Adam of eta / 2 (sqrt(B_noise / B) + sqrt(B / B_noise)):
    Li et al. 2024 (arXiv 2405.14578, eqs. 23 and 24). A noise scale given as posterior draws, such as
    `exp(fit.tree["posterior"]["log_noise_scale"])` or the critical batch size of `StepsExamples`, gives draws back:
    its uncertainty is carried over.

    Parameters
    ----------
    noise_scale
        Noise scale in data points: a number, or draws of any shape.
    learning_rate, batch_size
        The tuned pairs: numbers, or arrays of shape (pair,); batch size in data points.
    optimizer
        `"sgd"` or `"adam"`.

    Returns
    -------
    array
        Peak learning rate, of the shape of `noise_scale`.

    Raises
    ------
    ValueError
        When the optimizer is unknown, a value is not finite and above zero, or the pairs do not match.
    """
    if optimizer not in OPTIMIZERS:
        raise ValueError(f"optimizer must be one of {', '.join(OPTIMIZERS)}, received {quote(optimizer)}.")
    noise, rate, batch = (np.asarray(values, float) for values in (noise_scale, learning_rate, batch_size))
    for name, values in (("noise_scale", noise), ("learning_rate", rate), ("batch_size", batch)):
        if not (np.isfinite(values) & (values > 0)).all() or values.size == 0:
            raise ValueError(f"{name} must be finite and above zero, received {values.ravel()[:3].tolist()}.")
    rate, batch = np.atleast_1d(rate), np.atleast_1d(batch)
    if rate.shape != batch.shape or rate.ndim != 1:
        raise ValueError(f"learning_rate and batch_size must be pairs, received shapes {rate.shape} and {batch.shape}.")
    ratio = noise[..., None] / batch
    factor = 1 + ratio if optimizer == "sgd" else (np.sqrt(ratio) + 1 / np.sqrt(ratio)) / 2
    return np.asarray((rate * factor).mean(axis=-1))
