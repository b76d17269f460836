"""`what_if_of`: the draws of a choice for its page, over ladders of targets, batch sizes and learning rates."""

import itertools
from collections.abc import Iterable

import jax
import numpy as np

from hyperlaw.data.vocabulary import At
from hyperlaw.decision.candidates import Limits
from hyperlaw.decision.constraints import ROUNDING, Candidates, Constraint, OneOf, limits, shortfalls
from hyperlaw.decision.decided import Decided
from hyperlaw.decision.mixture import Part, mix, part
from hyperlaw.decision.pricing import Pricing
from hyperlaw.inference.cells import FARTHEST
from hyperlaw.inference.predict import span
from hyperlaw.models.likelihoods.surface import BELOW, GIVEN, best_learning_rate, cell_shape
from hyperlaw.progress import track
from hyperlaw.report.what_if import OPTIMUM, Packed, Place, WhatIf

# Rungs below and above the target, by the number of sliders.
RUNGS = {1: (12, 6), 2: (4, 2)}
BATCHES, RATES = 20, 121
# Base64 of all draws together, so that the page holds less than 3 MB of them.
LARGEST = 2_900_000
PER_DRAW = ("skew_learning_rate", "skew_batch_size", BELOW, "divergence_threshold", "divergence_width")
SHARPNESS = ("sharpness_learning_rate", "sharpness_batch_size")


def what_if_of(choice: Decided) -> WhatIf | None:
    """Draws for the page, thinned evenly until they fit; None where the user gave the candidates.

    Given candidates are judged against the best of them, and say nothing of other targets.
    """
    if choice.priced.given:
        return None
    ladder, start = _ladder(choice)
    targets = [choice.at | dict(zip(ladder, map(float, at), strict=True)) for at in itertools.product(*ladder.values())]
    rows = _rows(len(choice.pricing.laws), len(targets))
    cells = [_parts(choice, at, rows) for at in track(targets, "report: targets")]
    sizes = _batch_sizes(choice, cells)
    ridge = np.array([_ridge(parts, sizes) for parts in cells])
    near = np.quantile(ridge, [0.005, 0.995], axis=-1)
    rates = _ladder_of(choice, "learning_rate", np.exp([near[0].min(), near[1].max()]), RATES)
    inside = (near[0][..., None] <= np.log(rates)) & (np.log(rates) <= near[1][..., None])
    allowed = np.array(
        [
            some & _kept_to(choice, Pricing(parts, choice.diverge_cost), at, (sizes, rates), some)
            for some, parts, at in zip(inside, cells, targets, strict=True)
        ]
    )
    found = WhatIf(
        ladder=ladder,
        start=start,
        setting=choice.setting,
        learning_rate=rates,
        batch_size=sizes,
        allowed=allowed,
        per_draw={
            name: Packed.of(_joined(one.p.get(name, np.zeros(len(one))) for one in cells[0])) for name in PER_DRAW
        },
        at_target={name: Packed.of(values) for name, values in _at_targets(cells).items()},
        ridge=Packed.of(ridge),
        diverge_cost=choice.diverge_cost,
    )
    # Of all draws it keeps to the constraints, whatever the thinned ones say.
    allowed[found.target(start), sizes == choice.setting["batch_size"], rates == choice.setting["learning_rate"]] = True
    return found


def _ladder(choice: Decided) -> tuple[dict[str, np.ndarray], Place]:
    """Values of the covariates that have a slider, and the target's place: the two furthest beyond the runs.

    Evenly spaced in logs, from the largest that was fitted to beyond the target; where the target is not four times as
    large, from a quarter of it.
    """
    scales = choice.extrapolation.drop(index="batch_size", errors="ignore")
    chosen = scales["decades"].sort_values(ascending=False, kind="stable").index[: max(RUNGS)]
    below, above = RUNGS[len(chosen)]
    ladder = {}
    for name, row in scales.loc[scales.index.isin(chosen)].iterrows():
        ratio = max(row["target"] / row["highest"], 4.0) ** (1 / below)
        # No further than a target may lie, and counts are one at least.
        least, most = max(row["lowest"] / 10**FARTHEST, 1.0), row["highest"] * 10**FARTHEST
        ladder[str(name)] = np.clip(row["target"] * ratio ** np.arange(-below, above + 1), least, most)
    return ladder, (below,) * len(ladder)


def _rows(draws: int, targets: int) -> np.ndarray:
    """Which draws are kept: evenly spaced, as many as fit."""
    bytes_each = 4 / 3 * 2 * (targets * (len(OPTIMUM) + len(SHARPNESS) + BATCHES + 1) + len(PER_DRAW))
    count = min(draws, int(LARGEST / bytes_each))
    return (np.arange(count) + 0.5) * draws // count


def _parts(choice: Decided, at: At, rows: np.ndarray) -> list[Part]:
    """The kept draws of each law at a target, mixed as those of the choice."""
    every = [part(name, fit, at)[0] for name, fit in choice.fits.items()]
    mixed, before, kept = mix(every, choice.weights, next(iter(choice.fits.values())).seed), 0, []
    for one in mixed:
        own = rows[(rows >= before) & (rows < before + len(one))] - before
        before += len(one)
        kept.append(one.take(own.astype(int)))
    return kept


def _batch_sizes(choice: Decided, cells: list[list[Part]]) -> np.ndarray:
    """From below the best at the smallest target to above the best at the largest; or the only one that was used."""
    if GIVEN in choice.parts[0].p:
        return np.array([choice.setting["batch_size"]])
    reach = np.concatenate([span(one.optimum["batch_size"], 2) for parts in cells for one in parts])
    return _ladder_of(choice, "batch_size", reach, BATCHES)


def _ladder_of(choice: Decided, name: str, reach: np.ndarray, count: int) -> np.ndarray:
    """Evenly spaced in logs, or of those that are allowed, and the chosen one."""
    values = np.geomspace(reach.min(), reach.max(), count)
    for rule in choice.subject_to:
        if isinstance(rule, OneOf) and rule.quantity == name:
            values = rule.allowed(values)
            values = values[np.unique(np.linspace(0, len(values) - 1, count).astype(int))]
    return np.unique(np.append(values, choice.setting[name]))


def _ridge(parts: list[Part], sizes: np.ndarray) -> np.ndarray:
    """Natural log of the best learning rate at each batch size, shape (batch size, draw)."""
    with jax.enable_x64(True):
        best = [best_learning_rate(one.law, one.p, one.x, np.log(sizes)[:, None]) for one in parts]
    return np.concatenate([np.broadcast_to(b, (len(sizes), len(p))) for b, p in zip(best, parts, strict=True)], axis=1)


def _at_targets(cells: list[list[Part]]) -> dict[str, np.ndarray]:
    """`WhatIf.at_target`, by name."""
    with jax.enable_x64(True):
        shapes = [[cell_shape(one.law, one.p, one.x) for one in parts] for parts in cells]
    found = {name: [_joined(one.optimum[name] for one in parts) for parts in cells] for name in OPTIMUM}
    found |= {name: [np.log(_joined(getattr(one, name) for one in of)) for of in shapes] for name in SHARPNESS}
    return {name: np.array(values) for name, values in found.items()}


def _kept_to(
    choice: Decided, pricing: Pricing, at: At, ladders: tuple[np.ndarray, np.ndarray], asked: np.ndarray
) -> np.ndarray:
    """Which of the settings that are asked about keep to the constraints, shape (batch size, learning rate)."""
    ends = _ends(choice.subject_to, at)
    sizes, rates = ladders
    kept = np.zeros(asked.shape, bool)
    if ends is None:
        return kept
    (least_rate, most_rate), (least_batch, most_batch) = ends["learning_rate"], ends["batch_size"]
    kept |= ((sizes >= least_batch * (1 - ROUNDING)) & (sizes <= most_batch * (1 + ROUNDING)))[:, None]
    kept &= (rates >= least_rate * (1 - ROUNDING)) & (rates <= most_rate * (1 + ROUNDING))
    places = np.nonzero(kept & asked)
    if choice.subject_to and len(places[0]):
        prices = pricing.price({"batch_size": sizes[places[0]], "learning_rate": rates[places[1]]})
        missed = shortfalls(choice.subject_to, Candidates(prices, at, pricing))
        kept[places] = (missed <= ROUNDING).all(axis=0)
    return kept


def _ends(subject_to: list[Constraint], at: At) -> Limits | None:
    """The limits of the constraints at a target; None where they leave nothing there."""
    try:
        return limits(subject_to, at)
    except ValueError:
        return None


def _joined(values: Iterable[np.ndarray]) -> np.ndarray:
    """Draws of all laws, one after the other."""
    return np.concatenate([np.asarray(value, float) for value in values])
