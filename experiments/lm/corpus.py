"""The corpus: source text of the running Python's own standard library, as bytes."""

import hashlib
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SKIP = {"site-packages", "__pycache__", "test", "tests", "idle_test"}
HELD_OUT_EVERY = 20


@dataclass(frozen=True)
class Corpus:
    """Bytes to train on, bytes to validate on, and a digest that identifies both.

    Attributes
    ----------
    train, validation
        One-dimensional `uint8` arrays.
    digest
        SHA-256 of both, in hex: runs are comparable only between equal digests.
    """

    train: np.ndarray
    validation: np.ndarray
    digest: str

    @classmethod
    def from_standard_library(cls) -> "Corpus":
        """Read every non-test `.py` file; each 20th file is held out for validation.

        Files are ordered by the hash of their relative name, so that neighbouring text does not
        come from neighbouring modules and the split does not depend on the file system.
        """
        root = Path(sysconfig.get_paths()["stdlib"])
        names = (p for p in root.rglob("*.py") if not SKIP & set(p.relative_to(root).parts))
        files = sorted(names, key=lambda p: hashlib.sha256(str(p.relative_to(root)).encode()).digest())
        texts = [p.read_bytes() for p in files]
        held_out = b"\n".join(texts[::HELD_OUT_EVERY])
        trained = b"\n".join(t for i, t in enumerate(texts) if i % HELD_OUT_EVERY)
        digest = hashlib.sha256(trained + b"\0" + held_out).hexdigest()
        return cls(np.frombuffer(trained, np.uint8), np.frombuffer(held_out, np.uint8), digest)

    def sequences(self, length: int, seed: int) -> np.ndarray:
        """Training text cut into rows of `length` + 1 bytes, in an order drawn from `seed`.

        Each row holds `length` predicted bytes and the byte before the first of them.
        """
        rows = (len(self.train) - 1) // length
        starts = np.random.default_rng(seed).permutation(rows) * length
        return self.train[starts[:, None] + np.arange(length + 1)]

    def validation_sequences(self, length: int, rows: int) -> np.ndarray:
        """`rows` evenly spaced rows of the held-out text; the same for every run."""
        starts = np.linspace(0, len(self.validation) - length - 1, rows).astype(int)
        return self.validation[starts[:, None] + np.arange(length + 1)]
