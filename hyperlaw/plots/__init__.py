"""Pictures: one file each; every function returns a figure and computes nothing.

Here are those of a fit or a choice. What `hl.frontier`, `hl.trade_off`, `hl.schedule`, `hl.next_runs`, `hl.backtest`
and `hl.compare` return has a picture of its own: `.plot()`.
"""

from hyperlaw.plots.losses import losses as losses
from hyperlaw.plots.optima import optima as optima
from hyperlaw.plots.residuals import residuals as residuals
from hyperlaw.plots.risk_surface import risk_surface as risk_surface
from hyperlaw.plots.sampling import sampling as sampling
from hyperlaw.plots.surface import surface as surface
from hyperlaw.plots.values import values as values
