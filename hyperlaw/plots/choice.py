"""The picture of a choice: the law on its way to the target, and what being wrong would cost."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hyperlaw.data.vocabulary import HYPERPARAMETERS
from hyperlaw.decision.decided import Decided
from hyperlaw.plots.optima import draw_cells, draw_law, groups_of, law_label, log_log, of_task
from hyperlaw.plots.risk_surface import SETTINGS, draw_regret, draw_risk, several_batch_sizes
from hyperlaw.plots.style import apart, legend_below, named, page


def plot_choice(choice: Decided) -> Figure:
    """Draw a choice.

    Above: best learning rate and batch size of each fitted cell, the law's 90 % predictive band at the sizes of the
    target, the same without the drift of its exponents, thin lines for its medians at the sizes of the runs, and the
    recommended setting. Below: risk over the candidates, hatched where
    a constraint forbids them; regret along the learning rate. What cannot be drawn over a single batch size is left
    out.

    Parameters
    ----------
    choice
        What `hl.decide` returned.

    Returns
    -------
    Figure
        A matplotlib figure of two to four axes.
    """
    along = choice.trajectory
    moves = [name for name in HYPERPARAMETERS if (along[f"{name}_upper"] > along[f"{name}_lower"]).any()]
    costs = [draw_risk, draw_regret] if several_batch_sizes(choice) else [draw_regret]
    count = len(moves) + len(costs)
    figure, axes = page(-(-count // 2), 2, height=1.2 + 2.4 * -(-count // 2))
    for ax, name in zip(axes.flat, moves, strict=False):
        _law(ax, choice, name)
    for ax, draw in zip(axes.flat[len(moves) :], costs, strict=False):
        draw(ax, choice)
    for ax in axes.flat[count:]:
        ax.remove()
    legend_below(figure, columns=3)
    return figure


def _law(ax: Axes, choice: Decided, name: str) -> None:
    moving = choice.trajectory.columns[0]
    heaviest = choice.laws["weight"].idxmax()
    cells = of_task(choice.cells[choice.cells["law"] == heaviest], choice.at)
    others = [c for c in choice.extrapolation.index if c != moving and c in cells]
    for law, (colour, _) in apart(list(choice.laws.index)).items():
        along = choice.trajectory[choice.trajectory["law"] == law]
        label = law_label(others, choice.at, named(law) if len(choice.laws) > 1 else "law")
        draw_law(ax, along, name, colour=colour, label=label)
    levels = choice.levels[choice.levels["law"] == heaviest]
    draw_cells(ax, cells, groups_of(cells, others, choice.at), name, moving, levels)
    colour, marker = SETTINGS["recommended"]
    ax.plot(choice.at[moving], choice.setting[name], marker, ms=14, color=colour, mec="white", label="recommended",
            zorder=4)  # fmt: skip
    log_log(ax, moving, name)
