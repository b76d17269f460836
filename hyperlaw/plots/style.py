"""What the pictures share: colours, axis labels, and short names of cells."""

from math import log10

from matplotlib import colormaps
from matplotlib.axis import Axis
from matplotlib.colors import ListedColormap
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from hyperlaw.data.runs import Runs

# Okabe-Ito: told apart in print and by the colour-blind.
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#595959"
CHAINS = [BLUE, "#E69F00", "#009E73", "#CC79A7", "#56B4E9", ORANGE]
# Sequential, from dark to light, without the end that paper swallows.
SEQUENTIAL = ListedColormap(colormaps["viridis"](range(220)))
# The ground of a plane, light where the loss is low: what is drawn on it stays visible at the dark end.
GROUND = ListedColormap(colormaps["Blues"](range(140)))
AXIS = {"learning_rate": "learning rate", "batch_size": "batch size (data points)"}
SCALE = {"data": "data points seen", "params": "parameters", "width": "width", "utd": "updates per environment step"}


def short(value: float) -> str:
    """A number as people write scales: 0.003, 1024, 24.6k, 1.05M, 7B, 1.4T."""
    for unit, suffix in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= max(0.9995 * unit, 1e4):
            return f"{float(f'{value / unit:.3g}'):g}{suffix}"
    return f"{value:.4g}"


def cell_name(runs: Runs, cell: int) -> str:
    """Name of a cell: its task, where there are several, and its scales."""
    row = runs.cells.loc[cell]
    task = [str(row["task"])] if len(runs.tasks) > 1 else []
    return ", ".join(task + [f"{name} {short(row[name])}" for name in runs.scales])


def log_ticks(axis: Axis) -> None:
    """Ticks of a log axis whose limits are set: few enough not to touch, and in plain numbers."""
    low, high = axis.get_view_interval()
    decades = log10(high / low)
    steps = (1,) if decades > 2.5 else (1, 3) if decades > 1.2 else (1, 2, 5) if decades > 0.6 else (1, 1.5, 2, 3, 5, 7)
    axis.set_major_locator(LogLocator(subs=steps))
    axis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    axis.set_minor_formatter(NullFormatter())
