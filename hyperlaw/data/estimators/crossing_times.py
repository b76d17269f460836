"""`crossing_times`: when the mean of several learning curves reaches a performance, and how sure that is."""

import numpy as np


def crossing_times(
    curves: list[tuple[np.ndarray, np.ndarray]],
    thresholds: np.ndarray,
    bootstrap: int,
    generator: np.random.Generator,
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Crossings of one setting; how is written at `Curves.crossings`.

    Parameters
    ----------
    curves
        Steps (ascending) and performance of each seed.
    thresholds
        Ascending, shape (threshold,).
    bootstrap
        Number of draws of the seeds.
    generator
        What draws them.

    Returns
    -------
    tuple
        Columns `data`, `error`, `reached`, `start`, `limit`, `seeds` by name, one entry a threshold; and the crossing
        in each draw, infinite where never reached, shape (threshold, draw).

    Raises
    ------
    ValueError
        When the seeds have fewer than two logged steps in common.
    """
    steps, values = _on_one_grid(curves)
    seeds = len(values)
    drawn = generator.multinomial(seeds, np.full(seeds, 1 / seeds), size=bootstrap) / seeds
    means = np.vstack([values.mean(axis=0), drawn @ values])
    first = _first_at(means, thresholds)
    times = np.append(steps, np.inf)[first]
    crossing, draws = times[0], times[1:].T
    limit = steps[-1]

    reached = np.isfinite(crossing)
    data = np.where(reached, crossing, limit)
    places = np.minimum(first[0], len(steps) - 1)
    floor = np.minimum(np.diff(steps)[np.maximum(places - 1, 0)] / data, 1) / np.sqrt(12)
    error = np.array([_spread(row, limit) for row in draws]) * np.sqrt(seeds / max(seeds - 1, 1))
    columns = {
        "data": data,
        "error": np.maximum(error, floor),
        "reached": reached,
        "start": np.full(len(thresholds), steps[0]),
        "limit": np.full(len(thresholds), limit),
        "seeds": np.full(len(thresholds), seeds),
    }
    return columns, draws


def _first_at(means: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """First step at which the isotonic regression of each curve is at a threshold or above, shape (curve, threshold).

    The regression stays below a threshold exactly for as long as the sum of what is above it falls: the step is where
    that sum is lowest, which needs no regression.
    """
    sums = np.pad(np.cumsum(means, axis=1), ((0, 0), (1, 0)))
    return np.argmin(sums[:, None] - thresholds[:, None] * np.arange(sums.shape[1]), axis=2)


def _on_one_grid(curves: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    start, end = max(steps[0] for steps, _ in curves), min(steps[-1] for steps, _ in curves)
    within = [steps[(steps >= start) & (steps <= end)] for steps, _ in curves]
    grid = min(within, key=len)
    if len(grid) < 2:
        raise ValueError(
            f"its {len(curves)} seeds have {len(grid)} logged steps in common, from {start:g} (the last to start) to "
            f"{end:g} (the first to end); two are needed. Leave out seeds that stopped early or started late."
        )
    return grid, np.array([np.interp(grid, steps, values) for steps, values in curves])


def _spread(draws: np.ndarray, limit: float) -> float:
    reached = np.isfinite(draws)
    counted = draws[reached] if reached.mean() >= 0.5 else np.minimum(draws, limit)
    return float(np.log(counted).std(ddof=1))
