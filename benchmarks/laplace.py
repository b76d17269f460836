"""How well a Laplace approximation stands in for NUTS: Pareto k of its importance weights.

    python benchmarks/laplace.py

Of StepLaw on simulated sweeps of 200 runs (those of `many.py`), and of laws of measured values on their example tables
with values drawn from the prior. Twice: with what scales deviations and scatter held at its prior mean while the mode
is looked for, as the sampler's start has it, and with everything free. Above 0.7 weights cannot be trusted.
"""

import jax
import numpy as np
from clean_sweeps import LAW, drawn
from many import SHAPE

import hyperlaw as hl
from hyperlaw.data.table import Table
from hyperlaw.decision.pareto_weights import pareto_weights
from hyperlaw.inference.example import example
from hyperlaw.inference.mode import laplace
from hyperlaw.inference.programs import programs_of
from hyperlaw.inference.simulate import simulate, simulated_table
from hyperlaw.models.law import Law

TABLES, DRAWS = 8, 4000
VALUE_LAWS = (hl.laws.SquareRoot(), hl.laws.StepsExamples(), hl.laws.UTDHyperparameters(), hl.laws.DataEfficiency())


def main() -> None:
    """Print a line a law."""
    print("| law | rows | dimensions | scales | Pareto k, median (lowest to highest) | at most 0.7 |")
    print("|---|---|---|---|---|---|")
    for law in (LAW, *VALUE_LAWS):
        if law is LAW:
            tables: list[Table] = [drawn(SHAPE, seed) for seed in range(TABLES)]
        else:
            tables = [simulated_table(*simulate(law, example(law), seed=seed)) for seed in range(TABLES)]
        for hold in (True, False):
            found = [pareto_k(law, table, hold, seed) for seed, table in enumerate(tables)]
            k = np.array([value for _, value in found])
            print(
                f"| {law.name} | {len(tables[0])} | {found[0][0]} | {'held' if hold else 'free'} | "
                f"{np.median(k):.2f} ({k.min():.2f} to {k.max():.2f}) | {(k <= 0.7).sum()} of {len(k)} |",
                flush=True,
            )


def pareto_k(law: Law, table: Table, hold: bool, seed: int) -> tuple[int, float]:
    """Dimensions, and Pareto k of the weights of draws from the approximation; infinite where there is none."""
    model = hl.likelihood(law, table)
    programs = programs_of(model.bare, 10)
    with jax.enable_x64(True):
        design = jax.device_put(model.design(table))
        arrays, structure = jax.tree.flatten(programs.as_sampled(design))
        try:
            start = laplace(programs, design, model.scale_sites if hold else frozenset())
            mode, root = start.places, np.linalg.cholesky(start.covariance)
        except np.linalg.LinAlgError:
            return len(np.asarray(programs.centre(design, {}))), np.inf
        normal = np.random.default_rng(seed).standard_normal((DRAWS, len(mode)))
        energy = jax.jit(lambda places: jax.lax.map(lambda z: programs._energy(z, arrays, structure), places))
        log_weights = 0.5 * (normal**2).sum(axis=1) - np.asarray(energy(mode + normal @ root.T))
    log_weights = np.where(np.isfinite(log_weights), log_weights, -1e300)
    return len(mode), float(pareto_weights(log_weights[None])[1][0])


if __name__ == "__main__":
    main()
