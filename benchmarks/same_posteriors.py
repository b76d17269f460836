"""Whether two versions of the package sample the same posteriors: every law, the same tables, several seeds.

    python benchmarks/same_posteriors.py draw build/now.json
    PYTHONPATH=<folder of another version> python benchmarks/same_posteriors.py draw build/then.json
    python benchmarks/same_posteriors.py compare build/then.json build/now.json

`draw` fits each law to shipped runs, or to rows made here around a simple power, and keeps mean, standard deviation and
Monte Carlo error of every scalar in the posterior; a stopped call goes on. `compare` asks of each whether the means,
pooled over seeds, differ by more than their Monte Carlo errors explain, allowing for how many are asked.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import arviz_stats as az
import jax
import numpy as np
import pandas as pd
from scipy.stats import norm

import hyperlaw as hl

L = hl.laws
LEVEL = 0.01
# Parts of the names that parameters had before they had their present ones, in the order in which they are replaced.
RENAMED = {
    "cell_floor": "cell_optimal_loss", "floor_spread": "cell_sd_optimal_loss", "floor": "optimal_loss",
    "cliff_width": "divergence_width", "cliff": "divergence_threshold", "_task_spread": "_task_sd",
    "spread_cell": "cell_sd", "spread_": "cell_sd_", "scatter_": "residual_sd_",
}  # fmt: skip


def _small() -> hl.Runs:
    runs = hl.load_sweep("lm_adam")
    return runs.where(runs.frame["data"] <= 2**18)


def _small_of_two() -> hl.Runs:
    runs = hl.load_sweep("lm_optimizers")
    return runs.where((runs.frame["data"] <= 2**16) & (runs.frame["seed"] == 0))


def _curves() -> hl.Optima:
    return _small().optima(by_batch=True).as_tasks("params", "width", "data")


def _two_optimizers() -> hl.Optima:
    runs = hl.load_sweep("digits")
    optima = runs.where(runs.frame["data"].isin([4096, 16384, 65536, 262144])).optima(by_batch=True).as_tasks("data")
    frame = optima.frame
    return hl.Optima.from_frame(
        frame.assign(optimizer=frame["task"].str.partition(",")[0]), estimated=("learning_rate",), batch_unit=1
    )


def _around(columns: dict[str, list[float]], value: str, slopes: dict[str, float], level: float) -> pd.DataFrame:
    """Every combination of the columns in three tasks, with a power of them and 5 % of scatter as `value`."""
    rng = np.random.default_rng(0)
    index = pd.MultiIndex.from_product([["a", "b", "c"], *columns.values()], names=["task", *columns])
    frame = index.to_frame(index=False)
    logs = sum(slope * np.log(frame[name] / frame[name].median()) for name, slope in slopes.items())
    apart = frame["task"].map({"a": -0.1, "b": 0.0, "c": 0.1})
    return frame.assign(**{value: level * np.exp(logs + apart + 0.05 * rng.standard_normal(len(frame)))})


def _hyperparameters(sized: bool) -> hl.Optima:
    columns = {"utd": [1.0, 2.0, 4.0, 8.0]} | ({"params": [1e6, 4e6, 1.6e7]} if sized else {})
    frame = _around(columns, "learning_rate", {"utd": -0.3}, 5e-4)
    frame["batch_size"] = 256 * (frame["utd"] / 2.8) ** -0.4 * (frame["learning_rate"] / 5e-4) ** 0.1
    return hl.Optima.from_frame(
        frame.assign(learning_rate_error=0.1, batch_size_error=0.1, correlation=0.3), batch_unit=1
    )


def _crossings(sized: bool) -> hl.Crossings:
    columns = {"utd": [1.0, 2.0, 4.0, 8.0]} | ({"params": [1e6, 4e6, 1.6e7]} if sized else {})
    columns |= {"threshold": [300.0, 500.0, 700.0]}
    slopes = {"utd": -0.3, "threshold": 1.0} | ({"params": -0.2} if sized else {})
    return hl.Crossings.from_frame(_around(columns, "data", slopes, 2e5).assign(error=0.05, limit=4e5).pipe(_censored))


def _censored(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(reached=frame["data"] < frame["limit"], data=np.minimum(frame["data"], frame["limit"]))


def _steps() -> hl.StepsToLoss:
    rng, rows = np.random.default_rng(1), []
    for i, (loss, params, data) in enumerate([(3.4, 1e8, 2e9), (3.2, 2e8, 4e9), (3.0, 4e8, 8e9), (2.8, 8e8, 16e9)]):
        batch = 2.0 ** np.arange(15, 24)
        steps = 5e3 * 1.3**i * (1 + 4e5 * 1.5**i / batch) * np.exp(0.04 * rng.standard_normal(len(batch)))
        rows.append(pd.DataFrame({"task": f"curve {i}", "loss": loss, "params": params, "data": data,
                                  "batch_size": batch, "steps": steps, "error": 0.03}))  # fmt: skip
    return hl.StepsToLoss.from_frame(pd.concat(rows, ignore_index=True), batch_unit=1)


def _improvement() -> hl.Optima:
    frame = _around({"batch_size": list(2.0 ** np.arange(4, 12))}, "improvement", {}, 0.02)
    frame["improvement"] /= 1 + 150 / frame["batch_size"]
    return hl.Optima.from_frame(frame.assign(improvement_error=0.05), estimated=("improvement",), batch_unit=1)


def _ratios() -> hl.Optima:
    frame = _around({"budget": list(10.0 ** np.arange(15, 20))}, "utd", {"budget": 0.4}, 2.0)
    return hl.Optima.from_frame(frame.assign(utd_error=0.1), estimated=("utd",))


CASES: dict[str, tuple[type, Callable[[], object]]] = {
    "StepLaw": (L.StepLaw, _small),
    "ComputeLaw": (L.ComputeLaw, _small),
    "TimeTransfer": (L.TimeTransfer, _small),
    "TimeTransferTied": (L.TimeTransferTied, _small),
    "StepLaw, two optimizers": (L.StepLaw, _small_of_two),
    "StepLaw, optima": (L.StepLaw, lambda: _small().optima()),
    "ComputeLaw, optima": (L.ComputeLaw, lambda: _small().optima()),
    "TimeTransfer, optima": (L.TimeTransfer, lambda: _small().optima()),
    "StepLaw, optima by batch": (L.StepLaw, lambda: _small().optima(by_batch=True)),
    "NoiseScale": (L.NoiseScale, _curves),
    "SquareRoot": (L.SquareRoot, _curves),
    "Surge": (L.Surge, _curves),
    "SurgeExact": (L.SurgeExact, _curves),
    "BrokenPower": (L.BrokenPower, _curves),
    "ByOptimizer": (L.ByOptimizer, _two_optimizers),
    "LossImprovement": (L.LossImprovement, _improvement),
    "StepsExamples": (L.StepsExamples, _steps),
    "StepsSmallBatch": (L.StepsSmallBatch, _steps),
    "CriticalBatchLoss": (L.CriticalBatchLoss, _steps),
    "CriticalBatchData": (L.CriticalBatchData, _steps),
    "CriticalBatchParams": (L.CriticalBatchParams, _steps),
    "UTDHyperparameters": (L.UTDHyperparameters, lambda: _hyperparameters(sized=False)),
    "UTDHyperparametersBySize": (L.UTDHyperparametersBySize, lambda: _hyperparameters(sized=True)),
    "DataEfficiency": (L.DataEfficiency, lambda: _crossings(sized=False)),
    "DataEfficiencyByThreshold": (L.DataEfficiencyByThreshold, lambda: _crossings(sized=False)),
    "DataEfficiencyBySize": (L.DataEfficiencyBySize, lambda: _crossings(sized=True)),
    "OptimalUTD": (L.OptimalUTD, _ratios),
}  # fmt: skip


def draw(out: Path, names: list[str], seeds: int) -> None:
    """Fit what is missing in `out`, and keep the posterior's moments there."""
    known = json.loads(out.read_text()) if out.exists() else {}
    for name in names:
        law, table = CASES[name]
        for seed in range(seeds):
            if f"{name} {seed}" in known:
                continue
            begun = time.perf_counter()
            fit = hl.fit(law(), table(), seed=seed, progress=False)
            known[f"{name} {seed}"] = {"seconds": time.perf_counter() - begun, "scalars": _moments(fit)}
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(json.dumps(known))
            print(f"{name}, seed {seed}: {known[f'{name} {seed}']['seconds']:.0f} s", flush=True)
        jax.clear_caches()


def _moments(fit: hl.Fit) -> dict[str, list[float]]:
    """Mean, its Monte Carlo error, standard deviation and its Monte Carlo error of every scalar."""
    scalars = {}
    for name, values in fit.tree["posterior"].dataset.items():
        flat = values.values.reshape(*values.shape[:2], -1)
        for i in range(flat.shape[-1]):
            one = flat[..., i]
            errors = [float(az.mcse(one, method=method)) for method in ("mean", "sd")]
            scalars[f"{name}[{i}]"] = [float(one.mean()), errors[0], float(one.std()), errors[1]]
    return scalars


def compare(then: Path, now: Path) -> bool:
    """Print one line a case; whether every posterior agrees."""
    first, second = json.loads(then.read_text()), json.loads(now.read_text())
    rows = []
    for name in CASES:
        both = [[v["scalars"] for key, v in one.items() if key.rpartition(" ")[0] == name] for one in (first, second)]
        if not all(both):
            rows.append({"case": name, "scalars": 0})
            continue
        old = [{_renamed(key): value for key, value in scalars.items()} for scalars in both[0]]
        missing = set(old[0]) ^ set(both[1][0])
        z = np.array([[_difference(old, both[1], key, i) for i in (0, 2)] for key in set(old[0]) & set(both[1][0])])
        worst = float(np.abs(z).max()) if z.size else np.nan  # a NaN does not agree
        rows.append(
            {
                "case": name, "scalars": len(z), "only in one": len(missing), "sd of z": float(np.nanstd(z)),
                "largest |z|": worst, "allowed": float(norm.isf(LEVEL / 2 / z.size)),
                "seconds then": np.mean([v["seconds"] for k, v in first.items() if k.rpartition(" ")[0] == name]),
                "seconds now": np.mean([v["seconds"] for k, v in second.items() if k.rpartition(" ")[0] == name]),
            }
        )  # fmt: skip
    table = pd.DataFrame(rows).set_index("case")
    print(table.to_string(float_format="{:.2f}".format))
    return bool(((table["largest |z|"] <= table["allowed"]) & (table["only in one"] == 0)).all())


def _renamed(scalar: str) -> str:
    name, bracket, index = scalar.partition("[")
    for old, new in RENAMED.items():
        name = name.replace(old, new)
    return name + bracket + index


def _difference(then: list, now: list, key: str, at: int) -> float:
    """Difference of two pooled moments over its Monte Carlo error; 0 where both never move."""
    means = [np.mean([one[key][at] for one in many]) for many in (then, now)]
    errors = [np.sqrt(np.sum([one[key][at + 1] ** 2 for one in many])) / len(many) for many in (then, now)]
    if means[0] == means[1]:
        return 0.0
    return float((means[1] - means[0]) / np.hypot(*errors))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("draw", "compare"))
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--cases", nargs="*", default=list(CASES))
    parser.add_argument("--seeds", type=int, default=2)
    given = parser.parse_args()
    if given.what == "draw":
        draw(given.files[0], given.cases, given.seeds)
    else:
        sys.exit(0 if compare(*given.files) else 1)
