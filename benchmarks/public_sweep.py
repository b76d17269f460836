"""Published sweeps of language models, which the project does not ship: the folder is in HYPERLAW_PUBLIC_SWEEPS.

AdamW over learning rate and batch size, dense and at five sizes (Step Law, arXiv 2503.04715; the five sizes as
collected for arXiv 2604.22753), and a sweep of the learning rate alone ((Mis)Fitting, arXiv 2502.18969).
"""

import os
from pathlib import Path

import pandas as pd

import hyperlaw as hl

DIVERGED_ABOVE = 4.0
STEP_LAW = {"learning_rate": "lr", "batch_size": "bs", "data": "D", "params": "N", "loss": "smooth loss"}
LEAST_RATES = 3


def _read(name: str) -> pd.DataFrame:
    return pd.read_csv(Path(os.environ["HYPERLAW_PUBLIC_SWEEPS"]) / name)


def load() -> hl.Runs:
    """The dense sweep; runs above a loss of 4 nats count as diverged."""
    frame = _read("lm_adamw_dense.csv")
    frame["diverged"] = frame["smooth loss"] > DIVERGED_ABOVE
    return hl.Runs.from_frame(frame, batch_unit=2048, **STEP_LAW)


def sizes() -> hl.Runs:
    """The sweep of five sizes."""
    return hl.Runs.from_frame(_read("lm_adamw_sizes.csv"), batch_unit=2048, **STEP_LAW)


def rate_only() -> hl.Runs:
    """The sweep of the learning rate alone, at one batch size; cells with fewer than three rates are left out."""
    frame = _read("lm_rate_only.csv")
    frame = frame.assign(batch=frame["tokens"] / frame["total_steps"], repeat=frame.index)
    rates = frame.groupby(["N", "tokens"])["peak_lr"].transform("nunique")
    return hl.Runs.from_frame(
        frame[rates >= LEAST_RATES],
        batch_unit=1,
        learning_rate="peak_lr",
        batch_size="batch",
        data="tokens",
        params="N",
        seed="repeat",
    )
