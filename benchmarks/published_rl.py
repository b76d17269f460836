"""Point fits of the data efficiency and the batch size that arXiv 2502.04327 released, and the budget law they give."""

import numpy as np
import pandas as pd

import hyperlaw as hl

# Fits of arXiv 2502.04327 (its repository's outputs): exponent, offset and least data of each performance, in units of
# `median`; log10 best batch size at ratio 1 of each environment and the slope they share.
GYM = {
    "fits": [
        (0.757241, 0.118228, 0.319181), (0.823960, 0.189957, 0.370109), (0.783023, 0.270050, 0.409147),
        (0.752116, 0.356756, 0.469960), (0.744822, 0.463622, 0.527683), (0.691197, 0.669360, 0.565191),
        (0.701409, 0.910347, 0.667471), (0.579533, 1.590896, 0.658788), (0.755905, 1.628248, 0.899016),
        (0.700377, 2.289519, 1.030821),
    ],
    "median": 210512, "batch": (2.61892, 2.61491, 2.49577, 2.50892), "slope": -0.30961, "range": (0.25, 16),
    "delta": 4e9, "params": 1.5e5, "below": 700, "published": (2.62e-9, 0.620), "beyond": (0.128, 0.218),
}  # fmt: skip
DMC = {
    "fits": [
        (0.876090, 0.316678, 0.215589), (0.855494, 0.360312, 0.302300), (0.892606, 0.392343, 0.390065),
        (0.962961, 0.419837, 0.489586), (0.917244, 0.479608, 0.547123), (0.968066, 0.504568, 0.639645),
        (1.002270, 0.516090, 0.763502), (1.147403, 0.493397, 0.920504), (1.132598, 0.533892, 1.001377),
        (1.089585, 0.573867, 1.100103),
    ],
    "median": 72539, "batch": (2.72250, 2.76674, 2.10034, 2.78011, 2.64581, 2.72949, 2.46955), "slope": -0.48793,
    "range": (0.25, 8), "delta": 1e10, "params": 4.92e6, "below": 800, "published": (3.02e11, -0.738),
    "beyond": (-0.004, -0.041),
}  # fmt: skip


def cheapest(published: dict) -> pd.DataFrame:
    """Cheapest ratio and its budget at each of the ten performances, as the paper finds them: columns `budget, utd`."""
    utd = np.geomspace(*published["range"], 100)
    batch = np.mean([10**b * utd ** published["slope"] for b in published["batch"]], axis=0)
    price, rows = hl.Budget(delta=published["delta"]), []
    for alpha, beta, least in published["fits"]:
        data = published["median"] * (least + (utd / beta) ** -alpha)
        cost = price.total(utd, batch, data, published["params"])
        rows.append({"budget": cost.min(), "utd": utd[cost.argmin()]})
    return pd.DataFrame(rows)
