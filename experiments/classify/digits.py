"""The digits: 1,024 of scikit-learn's 1,797 handwritten ones, so that every batch size is a power of two."""

import hashlib
from dataclasses import dataclass

import numpy as np
from sklearn.datasets import load_digits

IMAGES = 1024
PIXELS, CLASSES = 64, 10
WHITE = 16


@dataclass(frozen=True)
class Digits:
    """Images to train on, their classes, and a digest that identifies both.

    Attributes
    ----------
    images
        Grey values from 0 to 1, `float32` of shape (image, PIXELS).
    classes
        Whole numbers from 0 to 9, `int32` of shape (image,).
    digest
        SHA-256 of both, in hex: runs are comparable only between equal digests.
    """

    images: np.ndarray
    classes: np.ndarray
    digest: str

    @classmethod
    def from_sklearn(cls) -> "Digits":
        """Read them from the installed scikit-learn; which of them are used is always the same."""
        source = load_digits()
        chosen = np.random.default_rng(0).permutation(len(source.target))[:IMAGES]
        images = (source.data[chosen] / WHITE).astype(np.float32)
        classes = source.target[chosen].astype(np.int32)
        return cls(images, classes, hashlib.sha256(images.tobytes() + classes.tobytes()).hexdigest())

    def order(self, length: int, seed: int) -> np.ndarray:
        """Positions of the first `length` images seen: every epoch in a new order, one after the other."""
        rng = np.random.default_rng(seed)
        epochs = -(-length // len(self.images))
        return np.concatenate([rng.permutation(len(self.images)) for _ in range(epochs)])[:length]
