"""Equation, parameters, prior predictive, recovery and real data of every law, into docs/laws/<law>.md.

    HYPERLAW_PUBLIC_SWEEPS=<folder> python benchmarks/law_evidence.py

Without the variable what was measured on published sweeps stays as it is. `make calibrate` writes the calibrations.
"""

import argparse

import arviz_stats as az
import jax
import law_page
import law_real
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

import hyperlaw as hl
from hyperlaw.inference.bands import moving
from hyperlaw.inference.example import example
from hyperlaw.inference.simulate import simulate, simulated_table
from hyperlaw.models.law import Law
from hyperlaw.models.laws import LAWS
from hyperlaw.plots.style import BLUE, NAMES, ORANGE, log_ticks
from hyperlaw.plots.values import QUANTITIES


def prior(name: str) -> None:
    """What the law expects before any data, beside what was measured where a table is at hand."""
    law, table, real = _with_table(name)
    found = hl.prior_predict(law, table, seed=0)
    figure = (
        hl.plots.losses(found, group="prior") if "runs" in law.tables else _prior_picture(law, found.table, table, real)
    )
    law_page.save(figure, f"{name}_prior.png")
    seen = "as measured" if real else "of an example; its values only place the priors"
    law_page.write(
        name, "prior",
        f"5 to 95 % of what the prior expects at the settings {seen}.\n\n![Prior predictive](figures/{name}_prior.png)",
    )  # fmt: skip


def recovery(name: str) -> None:
    """Posterior of every parameter against its true value, for one simulated table."""
    law = LAWS[name]()
    truth, arrays = simulate(law, example(law), seed=1)
    fit = hl.fit(law, simulated_table(truth, arrays), seed=1, progress=False)
    posterior, true = fit.tree["posterior"].dataset, truth.tree["posterior"].dataset
    names = [p.name for p in law.own_parameters]
    rows = []
    for parameter in names:
        draws, value = posterior[parameter].values.ravel(), float(true[parameter].values.ravel()[0])
        low, middle, high = np.quantile(draws, [0.05, 0.5, 0.95])
        rows.append({"parameter": parameter, "truth": value, "lower": low, "median": middle, "upper": high})
    table = pd.DataFrame(rows).assign(inside=lambda f: (f["lower"] <= f["truth"]) & (f["truth"] <= f["upper"]))
    ess = float(az.ess(posterior[names]).to_array().min())
    law_page.write(
        name, "recovery",
        f"Truth drawn from the prior, a table of {len(fit.table)} rows drawn from the law, {int(table['inside'].sum())} of "
        f"{len(table)} own parameters inside their 90 % interval; smallest effective sample size {ess:.0f}; failed checks: "
        f"{', '.join(fit.check().failed) or 'none'}. One table: the calibration below asks the same of 256.\n\n"
        f"{law_page.markdown(table)}",
    )  # fmt: skip


def real(name: str) -> None:
    """The law on real data; nothing where it has none or the published sweeps are not at hand."""
    if name in law_real.REAL:
        try:
            law_page.write(name, "real data", law_real.REAL[name]())
        except LookupError as error:
            print(f"{name}: {error}")


def _with_table(name: str) -> tuple[Law, object, bool]:
    try:
        if name in law_real.TABLES:
            table = law_real.TABLES[name]()
            return LAWS[name](), table, True
    except LookupError as error:
        print(f"{name}: {error}")
    return LAWS[name](), example(LAWS[name]()), False


def _prior_picture(law: Law, found: pd.DataFrame, table: object, real: bool) -> Figure:
    frame = table.frame  # type: ignore[attr-defined]
    x = frame[moving(law)].to_numpy(float)
    quantities = found["quantity"].unique()
    figure = Figure(figsize=(4.6 * len(quantities), 3.2), layout="constrained")
    for ax, quantity in zip(figure.subplots(1, len(quantities), squeeze=False)[0], quantities, strict=True):
        rows = found[found["quantity"] == quantity].reset_index(drop=True)
        aside = x * np.exp(np.linspace(-0.1, 0.1, len(x)))
        ax.vlines(aside, rows["prior_lower"], rows["prior_upper"], color=BLUE, alpha=0.35, lw=1.5, label="prior, 90 %")
        ax.plot(aside, rows["prior_median"], ".", color=BLUE, ms=3)
        if real:
            ax.plot(aside, rows["seen"], "o", color=ORANGE, ms=3, label="measured")
        ax.set(
            xscale="log",
            yscale="log",
            xlabel=NAMES.get(moving(law), moving(law)),
            ylabel=QUANTITIES.get(quantity, quantity),
        )
        log_ticks(ax.xaxis)
        ax.legend(fontsize=8, frameon=False)
    return figure


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("laws", nargs="*", default=list(LAWS), help="names of laws; all when left out")
    law_page.write_surface()
    for law_name in arguments.parse_args().laws:
        print(law_name, flush=True)
        law_page.write_equation(law_name)
        for section in (prior, recovery, real):
            section(law_name)
        jax.clear_caches()  # the compiled programs of all laws together do not fit into memory
