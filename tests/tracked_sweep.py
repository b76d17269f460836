"""A small sweep to be logged in trackers: three learning rates, two batch sizes, two amounts of data, one size."""

import itertools

import numpy as np

import hyperlaw as hl

SETTINGS = [
    {"lr": lr, "batch": batch, "tokens": tokens, "params": 1_000_000}
    for lr, batch, tokens in itertools.product((0.0005, 0.001, 0.002), (32, 64), (100_000, 400_000))
]
STEPS = 20
# What `Runs` call the columns, but for the loss.
WORDS = {"learning_rate": "lr", "batch_size": "batch", "data": "tokens", "params": "params"}


def final_loss(setting):
    return 3 + 0.2 * abs(np.log2(setting["lr"] / 0.001)) + 0.01 * np.log2(setting["batch"]) - 1e-7 * setting["tokens"]


def curve(setting):
    """Losses at the steps 0, 10, 20, ...: they fall to the final one."""
    return [(10 * n, final_loss(setting) + (STEPS - 1 - n) / 10) for n in range(STEPS)]


def as_runs(frame, loss="loss"):
    """The whole way: `Runs` of what a reader gave, held against what was logged."""
    runs = hl.Runs.from_frame(frame, **WORDS, loss=loss)
    read = runs.frame.sort_values(["learning_rate", "batch_size", "data"])
    assert np.allclose(read["loss"], [final_loss(setting) for setting in SETTINGS])
    assert read["learning_rate"].tolist() == [setting["lr"] for setting in SETTINGS]
    return runs
