"""Throughput of many fits of like shape, and where the seconds of one go: `make many`.

    python benchmarks/many.py

Simulated sweeps of 200 runs without a fault (`clean_sweeps.drawn`: StepLaw, four sizes, two horizons, five learning
rates, five batch sizes) are fitted and checked: by a loop of `hl.fit`, by `hl.fit_many` in one process, and by
`hl.fit_many` with a pool of processes; in rounds, in each of which every way has the same sweeps in turn. All are
warm: one sweep was fitted before, in every process. In the loop the parts of a fit are timed too, and after it one
gradient of the posterior, alone and batched over sweeps. Writes the part of docs/evidence/speed.md between its marks.
"""

import argparse
import multiprocessing
import os
import platform
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
from clean_sweeps import LAW, Shape, drawn

import hyperlaw as hl
from hyperlaw.inference import posterior, programs, sampler

PAGE = Path(__file__).parents[1] / "docs" / "evidence" / "speed.md"
SHAPE = Shape(sweeps=1, tasks=1, sizes=4, horizons=2, rates=5, batches=5)
MARKS = re.compile(r"(<!-- many fits -->\n).*?(<!-- many fits end -->)", re.DOTALL)
BATCHES, GRADIENTS, REPEATS = (1, 4, 16, 64), 50, 7


def main() -> None:
    """Time every way, and write the part of the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--sweeps", type=int, default=4, help="in each round")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    parts: Counter[str] = Counter()
    rows = []
    with ProcessPoolExecutor(options.workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        first = drawn(SHAPE, 0)
        hl.fit(LAW, first, seed=0, progress=False).check()  # compiles, here and in every process
        hl.fit_many(LAW, [first] * options.workers, seed=0, executor=pool, progress=False)
        for number in range(options.rounds):
            seeds = range(number * options.sweeps, (number + 1) * options.sweeps)
            sweeps = {seed: drawn(SHAPE, seed) for seed in seeds}
            ways = {
                "a loop of `hl.fit`": partial(loop, sweeps, parts),
                "`hl.fit_many`, one process": partial(hl.fit_many, LAW, sweeps, seed=0, progress=False),
                f"`hl.fit_many`, {options.workers} processes": partial(
                    hl.fit_many, LAW, sweeps, seed=0, executor=pool, progress=False
                ),
            }
            turn = number % len(ways)  # each way is first, second and third in turn
            order = [*ways, *ways][turn : turn + len(ways)]
            took = {way: timed(ways[way]) / options.sweeps for way in order}
            rows.append({way: took[way] for way in ways})
            print(rows[-1], flush=True)
    text = page(pd.DataFrame(rows), parts, gradients(list(sweeps.values())), options.sweeps)
    PAGE.write_text(MARKS.sub(lambda found: f"{found[1]}\n{text}\n{found[2]}", PAGE.read_text()))
    print(text)


def timed(call: Callable[[], Any]) -> float:
    """Seconds that a call takes."""
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def loop(sweeps: dict[int, hl.Runs], parts: Counter[str]) -> None:
    """Fit and check one sweep after the other; adds up the seconds of the parts."""
    with (
        part(parts, "start", sampler, "first_places"),
        part(parts, "enough draws?", sampler, "enough"),
        part(parts, "tree", posterior, "posterior_tree"),
        part(parts, "checks", hl.Fit, "check"),
        part(parts, lambda run: "draws" if run._follow.kept else "warm-up", sampler._Stretch, "forth"),
    ):
        for runs in sweeps.values():
            hl.fit(LAW, runs, seed=0, progress=False).check()


@contextmanager
def part(parts: Counter[str], name: str | Callable[[Any], str], owner: Any, function: str) -> Iterator[None]:
    """Adds the seconds of a function to a part, while it lasts."""
    plain = getattr(owner, function)

    def measured(*given: Any, **named: Any) -> Any:
        begun = time.perf_counter()
        found = plain(*given, **named)
        parts[name if isinstance(name, str) else name(given[0])] += time.perf_counter() - begun
        return found

    setattr(owner, function, measured)
    yield
    setattr(owner, function, plain)


def gradients(sweeps: list[hl.Runs]) -> dict[int, float]:
    """Microseconds of a gradient of one sweep's posterior, by how many sweeps are batched."""
    model = hl.likelihood(LAW, sweeps[0])
    compiled, found = programs.programs_of(model.bare, 10), {}
    with jax.enable_x64(True):
        designs = [jax.tree.flatten(compiled.as_sampled(model.design(runs))) for runs in sweeps]
        structure = designs[0][1]
        place = compiled.centre(model.design(sweeps[0]), {})

        def slope(z: jax.Array, arrays: list[jax.Array]) -> jax.Array:
            return jax.grad(compiled._energy)(z, arrays, structure)

        def steps(z: jax.Array, arrays: list[jax.Array]) -> jax.Array:
            def step(z: jax.Array, _: None) -> tuple[jax.Array, None]:
                return z - 1e-9 * jax.vmap(slope)(z, arrays), None

            return jax.lax.scan(step, z, None, length=GRADIENTS)[0]

        program = jax.jit(steps)
        for count in BATCHES:
            chosen = [designs[i % len(designs)][0] for i in range(count)]
            stacked = [np.stack(some) for some in zip(*chosen, strict=True)]
            run = partial(program, *jax.device_put((np.repeat(place[None], count, 0), stacked)))
            each = [timed(lambda run=run: jax.block_until_ready(run())) for _ in range(1 + REPEATS)]
            found[count] = 1e6 * float(np.median(each[1:])) / GRADIENTS / count  # the first compiles
    return found


def page(seconds: pd.DataFrame, parts: Counter[str], gradient: dict[int, float], sweeps: int) -> str:
    """Markdown: throughput (seconds a fit, one row a round), the parts of the loop, and gradients."""
    base = seconds.iloc[:, 0]
    lines = [
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; simulated sweeps of 200 "
        f"runs, each fitted and checked, {sweeps} in each of {len(seconds)} rounds; medians (lowest to highest).",
        "", "| way | seconds a fit | throughput, times the loop |", "|---|---|---|",
    ]  # fmt: skip
    for way, each in seconds.items():
        ratio = base / each
        lines.append(
            f"| {way} | {each.median():.1f} ({each.min():.1f} to {each.max():.1f}) | "
            f"{ratio.median():.2f} ({ratio.min():.2f} to {ratio.max():.2f}) |"
        )
    fits, total = sweeps * len(seconds), sweeps * base.sum()
    spent = {**parts, "other": total - parts.total()}
    lines += ["", "| part of a fit in the loop | seconds, mean | share |", "|---|---|---|"]
    lines += [f"| {name} | {value / fits:.2f} | {100 * value / total:.0f} % |" for name, value in spent.items()]
    batched = ", ".join(f"{micro:.0f} by {n}" for n, micro in gradient.items())
    said = f"Microseconds of a gradient of one sweep, worked out one by one or so many at once: {batched}."
    return "\n".join([*lines, "", said, ""])


if __name__ == "__main__":
    main()
