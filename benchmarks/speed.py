"""Seconds to a posterior that its checks let pass, against what a user would write: `make bench`.

    python benchmarks/speed.py

Every sampler is given the same density: StepLaw on the small scales of the shipped sweep `lm_adam`. Each runs in a
process of its own, several times, in turn: NumPyro's NUTS at its defaults, nutpie at its defaults on the same gradient
(where it is installed), and `hl.fit`; each cold (nothing compiled before) and warm (with the programs of an earlier
process). Counted are the seconds from the start of the process until every value in the posterior has R-hat of at most
1.01 and 400 effective draws in bulk and tails. A sampler that draws a fixed number is credited with those that were
enough. Writes the table of docs/evidence/speed.md.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

PAGE = Path(__file__).parents[1] / "docs" / "evidence" / "speed.md"
SEEDS, CHAINS, DRAWS = 20, 4, 1000
STARTED = "HYPERLAW_BENCH_STARTED"


def main() -> None:
    """Run every sampler in turn, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--one", choices=CHILDREN, help="one sampler in this process; prints what it measured")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=3, help="processes of each sampler, cold and warm")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(CHILDREN[options.one](options.seed)))
        return
    names = [name for name in SAMPLERS if name != "nutpie" or find_spec("nutpie")]
    rows = []
    for seed in range(options.repeats):
        for name in names:
            with tempfile.TemporaryDirectory() as folder:
                for start in ("cold", "warm"):
                    rows.append({"sampler": name, "start": start, **child(name, seed, folder)})
                    print(rows[-1], flush=True)
    with tempfile.TemporaryDirectory() as folder:
        again = child("twenty", 0, folder)
    text = page(pd.DataFrame(rows)) + (
        f"\nIn one process, {SEEDS} seeds after a first, medians: fit {again['fit']:.1f} s, decision with its checks "
        f"{again['decide']:.1f} s; {again['draws']:.0f} draws a chain, {again['steps']:.0f} leapfrog steps a draw; "
        f"{again['divergences']} divergences in all; checks passed {again['ok']} times.\n"
    )
    words, mark, _ = PAGE.read_text().partition("<!-- table -->")
    PAGE.write_text(f"{words}{mark}\n\n{text}")
    print(text)


def child(name: str, seed: int, folder: str) -> dict[str, Any]:
    """One sampler in a process of its own; compiled programs are kept in `folder`."""
    cache = {"JAX_COMPILATION_CACHE_DIR": folder, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.05"}
    command = [sys.executable, __file__, "--one", name, "--seed", str(seed)]
    environment = {**os.environ, **cache, STARTED: repr(time.time())}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def since_start() -> float:
    """Seconds since this process was asked for."""
    return time.time() - float(os.environ.get(STARTED, time.time()))


def small() -> Any:
    """The law and the runs."""
    import hyperlaw as hl

    runs = hl.load_sweep("lm_adam")
    return hl.laws.StepLaw(), runs.where(runs.frame["data"] <= 2**20)


def enough_after(sites: dict[str, np.ndarray]) -> int | None:
    """How many draws of each chain were enough; None where all of them were not."""
    from hyperlaw.inference.enough import enough
    from hyperlaw.inference.sampler import ASKED

    counts = [count for count in ASKED if count <= next(iter(sites.values())).shape[1]]
    return next((n for n in counts if enough({name: value[:, :n] for name, value in sites.items()})), None)


def ours(seed: int) -> dict[str, Any]:
    """`hl.fit` at its defaults, all that a fit holds included."""
    import hyperlaw as hl

    law, runs = small()
    fit = hl.fit(law, runs, seed=seed, progress=False)
    seconds, stats = since_start(), fit.group("sample_stats")
    sites = {str(name): value.values for name, value in fit.draws.items()}
    return measured(seconds, enough_after(sites), fit.shape[1], stats["n_steps"], stats["diverging"])


def numpyro_default(seed: int) -> dict[str, Any]:
    """NumPyro's NUTS at its defaults: 1,000 iterations of warm-up, 1,000 draws, four chains on as many host devices."""
    import numpyro

    numpyro.set_host_device_count(CHAINS)
    import jax
    from numpyro.infer import MCMC, NUTS

    import hyperlaw as hl

    law, runs = small()
    with jax.enable_x64(True):
        model = hl.likelihood(law, runs)
        design = model.design(runs)
        mcmc = MCMC(NUTS(model.model), num_warmup=DRAWS, num_samples=DRAWS, num_chains=CHAINS, progress_bar=False)
        mcmc.warmup(jax.random.key(seed), design, extra_fields=("num_steps",))
        jax.block_until_ready(mcmc.last_state)
        ready = since_start()
        mcmc.run(jax.random.key(seed + 1), design, extra_fields=("num_steps", "diverging"))
        sites = {name: np.asarray(value) for name, value in mcmc.get_samples(group_by_chain=True).items()}
        drawn = since_start()
        fields = {name: np.asarray(value) for name, value in mcmc.get_extra_fields(group_by_chain=True).items()}
    count = enough_after(sites)
    seconds = ready + (drawn - ready) * (count or DRAWS) / DRAWS
    return measured(seconds, count, count or DRAWS, fields["num_steps"], fields["diverging"])


def nutpie_default(seed: int) -> dict[str, Any]:
    """Nutpie at its defaults, on the density and gradient that JAX compiles of the same model."""
    import jax
    import nutpie
    from jax.flatten_util import ravel_pytree
    from numpyro.infer.util import constrain_fn, initialize_model

    import hyperlaw as hl

    law, runs = small()
    jax.config.update("jax_enable_x64", True)  # nutpie calls from threads of its own
    model = hl.likelihood(law, runs)
    design = jax.device_put(model.design(runs))
    found = initialize_model(jax.random.key(seed), model.model, model_args=(design,))
    flat, unravel = ravel_pytree(found.param_info.z)
    slope = jax.jit(jax.value_and_grad(lambda z: -found.potential_fn(unravel(z))))
    jax.block_until_ready(slope(flat))

    def density() -> Callable:
        def call(z: np.ndarray) -> tuple[float, np.ndarray]:
            value, gradient = slope(z)
            return float(value), np.asarray(gradient)

        return call

    def expand(*_: object) -> Callable:
        return lambda z: {"z": np.asarray(z)}

    compiled = nutpie.compiled_pyfunc.from_pyfunc(
        ndim=len(flat), make_logp_fn=density, make_expand_fn=expand, expanded_dtypes=[np.dtype("float64")],
        expanded_shapes=[(len(flat),)], expanded_names=["z"],
    )  # fmt: skip
    begun = since_start()
    tree = nutpie.sample(compiled, draws=DRAWS, chains=CHAINS, seed=seed, progress_bar=False, save_warmup=True)
    drawn = since_start()
    many = jax.jit(jax.vmap(jax.vmap(lambda z: constrain_fn(model.model, (design,), {}, unravel(z), True))))
    sites = {name: np.asarray(value) for name, value in many(np.asarray(tree["posterior"]["z"])).items()}
    stats, warm = tree["sample_stats"], tree["warmup_sample_stats"]
    steps, before = np.asarray(stats["n_steps"]), np.asarray(warm["n_steps"])
    count = enough_after(sites)
    share = (before.sum() + steps[:, : count or DRAWS].sum()) / (before.sum() + steps.sum())
    return measured(begun + (drawn - begun) * share, count, count or DRAWS, steps, np.asarray(stats["diverging"]))


def measured(seconds: float, count: int | None, draws: int, steps: Any, diverging: Any) -> dict[str, Any]:
    """What is kept of one run."""
    return {
        "seconds": round(seconds, 2), "enough": count is not None, "draws": draws,
        "steps": round(float(np.mean(steps)), 1), "divergences": int(np.sum(diverging)),
    }  # fmt: skip


def twenty(_: int) -> dict[str, Any]:
    """`hl.fit`, its checks and a decision, with one seed after the other: seconds once all is compiled, divergences."""
    import hyperlaw as hl

    law, runs = small()
    rows = []
    for seed in range(SEEDS + 1):
        begun = time.perf_counter()
        fit = hl.fit(law, runs, seed=seed, progress=False)
        fitted = time.perf_counter()
        choice = hl.decide(fit, {"params": 98304, "data": 2**22}, risk=hl.CVaR(0.9), despite="a benchmark")
        chosen = time.perf_counter()
        stats = fit.group("sample_stats")
        rows.append(
            {
                "fit": fitted - begun, "decide": chosen - fitted, "ok": choice.checks.ok, "draws": fit.shape[1],
                "divergences": int(stats["diverging"].sum()), "steps": float(stats["n_steps"].mean()),
            }
        )  # fmt: skip
    frame = pd.DataFrame(rows[1:])  # the first compiles
    return frame[["fit", "decide", "draws", "steps"]].median().round(2).to_dict() | {
        "ok": int(frame["ok"].sum()), "divergences": int(frame["divergences"].sum())
    }  # fmt: skip


SAMPLERS = {"hl.fit": ours, "NumPyro": numpyro_default, "nutpie": nutpie_default}
CHILDREN = SAMPLERS | {"twenty": twenty}


def page(frame: pd.DataFrame) -> str:
    """Markdown: medians over the repeats, and how many times longer than `hl.fit` a sampler takes."""
    repeats = len(frame.query("sampler == 'hl.fit' and start == 'cold'"))
    lines = [
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; medians of {repeats} runs.",
        "",
        "| sampler | start | seconds, median (lowest to highest) | times `hl.fit` | enough | draws a chain | "
        "leapfrog steps a draw | divergences |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for (name, start), rows in frame.groupby(["sampler", "start"], sort=False):
        base = frame.query("sampler == 'hl.fit' and start == @start")["seconds"].median()
        seconds = rows["seconds"]
        values = [
            name, start, f"{seconds.median():.1f} ({seconds.min():.1f} to {seconds.max():.1f})",
            f"{seconds.median() / base:.1f}", f"{rows['enough'].sum()} of {len(rows)}", f"{rows['draws'].median():.0f}",
            f"{rows['steps'].median():.0f}", rows["divergences"].sum(),
        ]  # fmt: skip
        lines.append(f"| {' | '.join(map(str, values))} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
