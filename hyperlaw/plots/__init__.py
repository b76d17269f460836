"""Pictures: one file each; every function returns a figure and computes nothing."""

from hyperlaw.plots.losses import losses as losses
from hyperlaw.plots.optima import optima as optima
from hyperlaw.plots.sampling import sampling as sampling
from hyperlaw.plots.surface import surface as surface
from hyperlaw.plots.values import values as values
