"""Seconds and peak memory of a decision between 10,000 settings: `python benchmarks/decide.py FIT.nc`.

Reported beside the wall time is the processor time of this process, which other work on the machine does not change.
"""

import argparse
import resource
import sys
import time
from collections.abc import Callable

import numpy as np

import hyperlaw as hl
from hyperlaw.decision.mixture import part
from hyperlaw.decision.pricing import Pricing

RISKS = (hl.Mean(), hl.Quantile(0.9), hl.CVaR(0.9), hl.WorstCase(), hl.Entropic(10.0))


def main() -> None:
    """Price, weigh and decide, each twice: the first call compiles."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("fit", help="a fit of runs whose covariates are params and data (hyperlaw demo writes one)")
    parser.add_argument("--params", type=float, default=98304)
    parser.add_argument("--data", type=float, default=2**22)
    parser.add_argument("--candidates", type=int, default=10_000)
    options = parser.parse_args()
    fit, at = hl.load_fit(options.fit), {"params": options.params, "data": options.data}
    rng = np.random.default_rng(0)
    fitted, _ = part("law", fit, at)
    candidates = {
        name: np.exp(np.median(fitted.optimum[name]) + 0.3 * rng.standard_normal(options.candidates))
        for name in ("learning_rate", "batch_size")
    }
    print(f"{options.candidates} candidates x {len(fitted)} draws; before: {_peak():.2f} GB")
    for _ in range(2):
        prices = _timed("price", lambda: Pricing([fitted], None).price(candidates))
    for risk in RISKS:
        _timed(str(risk), lambda risk=risk, regret=prices.regret: risk(regret))
    del prices
    _timed("fit.check", fit.check)
    for _ in range(2):
        _timed("decide, all of it", lambda: hl.decide(fit, at, risk=hl.CVaR(0.9), candidates=candidates).setting)
    _timed("decide, own grid", lambda: hl.decide(fit, at, risk=hl.CVaR(0.9)).setting)


def _timed(name: str, work: Callable):  # noqa: ANN202
    wall, busy = time.perf_counter(), time.process_time()
    result = work()
    wall, busy = time.perf_counter() - wall, time.process_time() - busy
    print(f"{name:24} {wall:6.2f} s wall, {busy:6.2f} s processor; peak {_peak():.2f} GB")
    return result


def _peak() -> float:
    """Largest resident memory of this process so far: kilobytes on Linux, bytes on macOS."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e9 if sys.platform == "darwin" else 1e6)


if __name__ == "__main__":
    main()
