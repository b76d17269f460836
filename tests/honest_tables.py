"""Honest tables of every kind, and a case: one such table on its way in."""

import math
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import pandas as pd

import hyperlaw as hl

NUMBERS = {
    "runs": ("learning_rate", "batch_size", "data", "params", "loss"),
    "optima": ("learning_rate", "batch_size", "data", "params", "learning_rate_error"),
    "curves": ("utd", "data", "performance"),
    "crossings": ("utd", "threshold", "data", "error", "start", "limit"),
    "steps_to_loss": ("batch_size", "steps", "loss", "params", "error"),
}
LABELS = ("task", "seed", "reached", "diverged")
READERS = {
    "runs": hl.Runs, "optima": hl.Optima, "curves": hl.Curves, "crossings": hl.Crossings,
    "steps_to_loss": hl.StepsToLoss,
}  # fmt: skip


def honest(kind: str) -> pd.DataFrame:
    """A table without a fault: two tasks, and numbers that no shorter text stands for."""
    tasks = ("first", "second")
    if kind == "runs":
        rows = [
            {"task": t, "params": 3e6, "data": d, "batch_size": b, "learning_rate": 1e-3 * 3**i, "seed": s,
             "loss": 3.1 - 0.01 * math.log(d) + 0.07 * (i - 0.1) ** 2 + 0.013 * math.log(b / 90) ** 2 + 0.001 * s}
            for t, d, b, i, s in product(tasks, (1e7, 4e7), (64, 256), (-1, 0, 1), (1, 2))
        ]  # fmt: skip
        return pd.DataFrame(rows).assign(diverged=False)
    if kind == "optima":
        rows = [
            {"task": t, "params": n, "data": d, "learning_rate": 0.1 / d**0.3, "batch_size": round(3 * d**0.4),
             "learning_rate_error": 0.1 + 1e-9 * d}
            for t, n, d in product(tasks, (1e6, 3e6), (1e7, 4e7))
        ]  # fmt: skip
    elif kind == "curves":
        rows = [
            {"task": t, "utd": u, "seed": s, "data": 1000 * i, "performance": 700 * i / (i + 3) + u + s / 7}
            for t, u, s, i in product(tasks, (1, 2), (0, 1), range(1, 6))
        ]
    elif kind == "crossings":
        rows = [
            {"task": t, "utd": u, "threshold": j, "data": 5e4 * j / 300 / u**0.3, "error": 0.05 + u / 700,
             "start": 100.5, "limit": 9e5, "reached": True}
            for t, u, j in product(tasks, (1, 2, 4), (300, 500))
        ]  # fmt: skip
    else:
        rows = [
            {"task": t, "params": n, "batch_size": b, "steps": 900 * (1 + 1e5 / b), "loss": 3.3, "error": 0.03}
            for t, n, b in product(tasks, (1e6, 3e6), (2**15, 2**16, 2**17))
        ]
    return pd.DataFrame(rows)


@dataclass
class Case:
    """A table on its way in: what was done to it, how it is handed over, and whether it may still be taken."""

    kind: str
    frame: pd.DataFrame
    door: str = "frame"
    done: list[str] = field(default_factory=list)
    arguments: dict[str, Any] = field(default_factory=dict)
    faultless: bool = True  # and so to be taken
    must_refuse: bool = False

    def __repr__(self) -> str:
        return f"{self.kind} by {self.door}: {'; '.join(self.done) or 'as it is'}"
