"""Tables of training runs: checked, in the package's own words, immutable."""

# Loaded together, so that `hyperlaw.data.table.TABLES` knows every kind.
from hyperlaw.data import crossings as crossings
from hyperlaw.data import curves as curves
from hyperlaw.data import noise_measurements as noise_measurements
from hyperlaw.data import optima as optima
from hyperlaw.data import runs as runs
from hyperlaw.data import steps_to_loss as steps_to_loss
