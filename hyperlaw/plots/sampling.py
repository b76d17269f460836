"""Ranks and traces of the law's own parameters: whether the chains agree."""

from arviz_plots import PlotCollection, combine_plots, plot_rank, plot_trace

from hyperlaw.inference.posterior import Posterior
from hyperlaw.plots.style import CHAINS, DPI, PAGE, SMALL, readable

NARROWEST = 0.1


def sampling(fit: Posterior) -> PlotCollection:
    """Draw rank and trace of each of the law's own parameters, one colour a chain.

    Left: by how much the cumulative distribution of a chain's ranks differs from the uniform one, near 0 throughout
    where chains agree; black points mark where they differ by ArviZ's test at its 1 % level. Right: the draws in order,
    in the parameter's unit; triangles mark divergent ones.

    Parameters
    ----------
    fit
        A fitted law.

    Returns
    -------
    PlotCollection
        As ArviZ makes it with matplotlib: `.savefig(path)` writes it.
    """
    parameters = fit.law.own_parameters
    rank = {"visuals": {"remove_axis": False, "xlabel": {"text": "fractional rank"}}}
    # The default mark of divergent draws has no face, and matplotlib warns of its edge.
    trace = {"visuals": {"trace": {"width": 0.4}, "divergence": {"marker": "^"}}}
    picture = combine_plots(
        fit.tree,
        [(plot_rank, {"color": CHAINS} | rank), (plot_trace, {"color": CHAINS} | trace)],
        var_names=[parameter.name for parameter in parameters],
        plot_names=["rank", "trace"],
        backend="matplotlib",
        figure_kwargs={"figsize": (PAGE, 1.5 * len(parameters)), "dpi": DPI, "layout": "constrained"},
    )
    ranks, traces = (
        [picture.viz["plot"][parameter.name].sel(column=column).item() for parameter in parameters]
        for column in ("rank", "trace")
    )
    widest = max(NARROWEST, *(limit for ax in ranks for limit in ax.get_ylim()))
    for left, right, parameter in zip(ranks, traces, parameters, strict=True):
        left.set(ylim=(-widest, widest), ylabel="ECDF - uniform")
        right.set(xlabel="draw", ylabel=parameter.unit)
        for ax in (left, right):
            readable(ax)
        left.yaxis.label.set_size(SMALL)  # no taller than its axes
        for text in list(left.texts):  # p-values, which ArviZ writes across the titles
            text.remove()
    return picture
