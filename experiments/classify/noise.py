"""Measure the noise of gradients along training: `python -m experiments.classify.noise`.

At points of one run of every (optimizer, batch size, seed), at a learning rate that the sweep found good, the squared
norms of the gradients of 16 small and of 16 big batches, drawn with replacement, are logged as a training loop would.
With 1,024 images the gradient of each can be had too: `gradient` and `trace` are |G|^2 and tr(Sigma) without any
error of drawing. What ends in `_curvature` is the same of quadratic forms, g'Hg in place of |g|^2, H the Hessian of the
loss of all images.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax.flatten_util import ravel_pytree

from experiments import parts
from experiments.classify.digits import Digits
from experiments.classify.train import Params, loss, trained

SEEDS = [0, 1, 2]
SMALL, BIG, REPEATS = 16, 256, 16
HORIZONS = [2**e for e in range(8, 15)]
# Best of the sweep at 2^12 to 2^14 images, by optimizer and batch size.
RATES = {
    ("sgd", 4): 2.0**-2, ("sgd", 32): 2.0**-0.5, ("sgd", 256): 1.0,
    ("adam", 4): 2.0**-7, ("adam", 32): 2.0**-5.5, ("adam", 256): 2.0**-4,
}  # fmt: skip
NORMS = ("small", "big", "gradient", "trace")
MEASURED = ("loss", *NORMS, *(f"{name}_curvature" for name in NORMS))
TYPES = dict.fromkeys(MEASURED, "float32")


@dataclass(frozen=True)
class Group:
    """Runs that share a compiled program: one optimizer, one batch size, all seeds."""

    optimizer: str
    batch_size: int

    @property
    def file(self) -> str:
        """Name of the part that holds this group's measurements."""
        return f"noise-{self.optimizer}-{self.batch_size}.csv"

    @property
    def rows(self) -> int:
        """One for each seed, horizon and repeat."""
        return len(SEEDS) * len(HORIZONS) * REPEATS


@jax.jit
def measure(params: Params, key: jax.Array, images: jax.Array, classes: jax.Array) -> dict[str, jax.Array]:
    """What one set of weights is measured by: each of `MEASURED`, of shape (REPEATS,) or a scalar."""
    flat, shaped = ravel_pytree(params)

    def of(weights: jax.Array, image: jax.Array, label: jax.Array) -> jax.Array:
        return loss(shaped(weights), image, label)

    def one(image: jax.Array, label: jax.Array) -> jax.Array:
        return jax.grad(of)(flat, image[None], label[None])

    def form(direction: jax.Array) -> jax.Array:
        return direction @ jax.jvp(lambda weights: jax.grad(of)(weights, images, classes), (flat,), (direction,))[1]

    gradients = jax.lax.map(lambda pair: one(*pair), (images, classes), batch_size=128)
    mean = gradients.mean(0)
    drawn = {
        name: jax.lax.map(
            lambda rows: gradients[rows].mean(0), jax.random.randint(stream, (REPEATS, size), 0, len(images))
        )
        for name, size, stream in zip(("small", "big"), (SMALL, BIG), jax.random.split(key), strict=True)
    }
    found = {"loss": of(flat, images, classes)}
    for ending, quadratic in (("", lambda g: g @ g), ("_curvature", form)):
        found |= {f"{name}{ending}": jax.lax.map(quadratic, averaged) for name, averaged in drawn.items()}
        found[f"gradient{ending}"] = quadratic(mean)
        found[f"trace{ending}"] = jax.lax.map(quadratic, gradients - mean, batch_size=64).mean()
    return found


def measurements(digits: Digits, group: Group) -> pd.DataFrame:
    """One row a measurement: `run`, `small_batch`, `big_batch`, what was trained and how far, and `MEASURED`."""
    images, classes = jnp.asarray(digits.images), jnp.asarray(digits.classes)
    rate, windows = RATES[group.optimizer, group.batch_size], []
    weights = trained(digits, group.optimizer, group.batch_size, [rate], HORIZONS, SEEDS)
    for data, params in zip(HORIZONS, weights, strict=True):
        for place, seed in enumerate(SEEDS):
            key = jax.random.fold_in(jax.random.key(seed), data)
            found = measure(jax.tree.map(lambda x, place=place: x[place, 0], params), key, images, classes)
            about = {"optimizer": group.optimizer, "batch_size": group.batch_size, "learning_rate": rate, "seed": seed}
            about |= {"run": f"{group.optimizer} {group.batch_size}, seed {seed}", "small_batch": SMALL}
            about |= {"big_batch": BIG, "step": data // group.batch_size, "data": data, "repeat": np.arange(REPEATS)}
            windows.append(pd.DataFrame(about | {name: np.asarray(found[name], float) for name in MEASURED}))
    table = pd.concat(windows).sort_values(["seed", "data", "repeat"], ignore_index=True)
    return table.drop(columns="repeat")


def groups() -> list[Group]:
    """All groups, in the order in which they are measured."""
    return [Group(optimizer, batch_size) for optimizer, batch_size in RATES]


def trainer() -> tuple[Callable[[Group], pd.DataFrame], dict[str, str]]:
    """What measures a group, and the digest of the images it is trained on."""
    digits = Digits.from_sklearn()
    return lambda group: measurements(digits, group), {"digits": digits.digest}


if __name__ == "__main__":
    parts.do(parts.parser(__doc__).parse_args(), "digits_noise", groups(), TYPES, trainer)
