"""Sweeps that ship with the package: real runs, made by the trainers under `experiments/`."""

from dataclasses import dataclass
from importlib.resources import as_file, files
from typing import Literal, overload

import pandas as pd

from hyperlaw.data.curves import Curves
from hyperlaw.data.noise_measurements import NoiseMeasurements
from hyperlaw.data.runs import Runs
from hyperlaw.display import ends
from hyperlaw.quote import quote

_OVER_SCALES = ("StepLaw", "ComputeLaw", "TimeTransfer", "TimeTransferTied", "ThreeTerm")
_OVER_BATCHES = ("BrokenPower", "NoiseScale", "SquareRoot", "Surge", "SurgeExact")
_OF_STEPS = ("StepsExamples", "StepsSmallBatch", "CriticalBatchLoss")


@dataclass(frozen=True)
class _Sweep:
    """A Parquet file beside this module: what it is, the table it makes, the laws it can test, its column of tasks."""

    what: str
    kind: type[Runs] | type[Curves] | type[NoiseMeasurements]
    laws: tuple[str, ...]
    task: str | None = None


_SWEEPS = {
    "lm_adam": _Sweep(
        "byte-level language model, Adam; learning rate x batch size x data x width", Runs,
        (*_OVER_SCALES, *_OVER_BATCHES, *_OF_STEPS),
    ),
    "digits": _Sweep(
        "small classifier of digits, SGD and Adam; learning rate x batch size x data", Runs,
        (*_OVER_BATCHES, "ByOptimizer", *_OF_STEPS), task="optimizer",
    ),
    "digits_noise": _Sweep(
        "squared norms of gradients as that classifier is trained; optimizer x batch size x data",
        NoiseMeasurements, ("NoiseGrowth",), task="run",
    ),
    "lm_optimizers": _Sweep(
        "byte-level language model, AdamW and SGD; learning rate x batch size x data x width", Runs,
        (*_OVER_SCALES, *_OVER_BATCHES, *_OF_STEPS), task="optimizer",
    ),
    "value_rl": _Sweep(
        "double DQN on four small environments; updates-to-data ratio x batch size x learning rate", Curves,
        ("UTDHyperparameters", "DataEfficiency", "OptimalUTD"),
    ),
}  # fmt: skip


def sweeps() -> pd.DataFrame:
    """Shipped sweeps, one row each.

    Returns
    -------
    DataFrame
        Index `name`; columns `what`, `kind` (that of what `load_sweep` returns), `rows`, `tasks`, `scales`
        (with their ranges) and `laws` (names in `hl.laws` that it can test: on itself, or on the optima, steps to a
        loss or crossings made of it).
    """
    rows = []
    for name, sweep in _SWEEPS.items():
        table = load_sweep(name)
        rows.append(
            {
                "name": name,
                "what": sweep.what,
                "kind": sweep.kind.__name__,
                "rows": len(table),
                "tasks": ", ".join(table.tasks),
                "scales": ", ".join(f"{scale} {ends(table.frame[scale])}" for scale in table.scales),
                "laws": ", ".join(sweep.laws),
            }
        )
    return pd.DataFrame(rows).set_index("name")


@overload
def load_sweep(name: Literal["lm_adam", "digits", "lm_optimizers"]) -> Runs: ...
@overload
def load_sweep(name: Literal["value_rl"]) -> Curves: ...
@overload
def load_sweep(name: Literal["digits_noise"]) -> NoiseMeasurements: ...
@overload
def load_sweep(name: str) -> Runs | Curves | NoiseMeasurements: ...
def load_sweep(name: str) -> Runs | Curves | NoiseMeasurements:
    """A shipped sweep, all scales; `sweeps` lists them, and what each holds is in `docs/sweeps`.

    Raises
    ------
    ValueError
        When there is no sweep of that name.
    """
    if name not in _SWEEPS:
        raise ValueError(f"there is no sweep {quote(name)}; the sweeps are: {', '.join(_SWEEPS)}.")
    sweep = _SWEEPS[name]
    with as_file(files(__name__) / f"{name}.parquet") as path:
        frame = pd.read_parquet(path)
    if sweep.kind is Curves:
        return Curves.from_frame(frame, task=sweep.task)
    if sweep.kind is NoiseMeasurements:
        return NoiseMeasurements.from_norms(frame, task=sweep.task)
    # Rows that differ in the data alone are one run, read at several horizons.
    run = [c for c in (sweep.task, "params", "width", "learning_rate", "batch_size", "seed") if c in frame]
    return Runs.from_frame(frame.assign(run=frame.groupby(run).ngroup()), task=sweep.task)
