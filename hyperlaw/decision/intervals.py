"""`intervals`: equal-tailed 90 % intervals of draws, as a table."""

from collections.abc import Hashable, Sequence

import pandas as pd
import xarray as xr

ENDS = {0.05: "lower", 0.5: "median", 0.95: "upper"}


def intervals(draws: xr.Dataset, over: Sequence[Hashable]) -> pd.DataFrame:
    """Columns `lower, median, upper` over the dims `over`; index `quantity`, and the other dims where there are any."""
    quantiles = draws.quantile(list(ENDS), over).to_array("quantity")
    rest = [dim for dim in quantiles.dims if dim not in ("quantity", "quantile")]
    table = quantiles.transpose(*rest, "quantity", "quantile")
    index = [pd.Index(table[dim].values, name=dim) for dim in (*rest, "quantity")]
    rows = pd.MultiIndex.from_product(index) if rest else index[0]
    return pd.DataFrame(table.values.reshape(-1, len(ENDS)), rows, list(ENDS.values()))
