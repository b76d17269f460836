"""The published sweep `lm_adamw_dense.csv` (Step Law, arXiv 2503.04715), which the project does not ship."""

import os
from pathlib import Path

import pandas as pd

import hyperlaw as hl

DIVERGED_ABOVE = 4.0


def load() -> hl.Runs:
    """Read it from the folder that `HYPERLAW_PUBLIC_SWEEPS` names; runs above a loss of 4 nats count as diverged."""
    frame = pd.read_csv(Path(os.environ["HYPERLAW_PUBLIC_SWEEPS"]) / "lm_adamw_dense.csv")
    frame["diverged"] = frame["smooth loss"] > DIVERGED_ABOVE
    columns = {"learning_rate": "lr", "batch_size": "bs", "data": "D", "params": "N", "loss": "smooth loss"}
    return hl.Runs.from_frame(frame, batch_unit=2048, **columns)
