"""`first_places`: where chains start, and a first covariance, by a Laplace approximation that falls into no funnel."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
import scipy.optimize
from jax.flatten_util import ravel_pytree

from hyperlaw.inference.mass import SHARED, groups_of
from hyperlaw.inference.programs import Programs
from hyperlaw.inference.space import Space
from hyperlaw.models.likelihoods.base import Design

STEP = 1e-4  # of the differences that make the curvature
STRIDE, STRIDES = 200, 10
WIDEST = 0.5  # standard deviation of the log of a scale


class Start(NamedTuple):
    """Where to begin: a place for each chain, shape (chain, dimension); their covariance; its groups; the space.

    Groups are those of `mass_matrix`; sites without a shape are what they share.
    """

    places: np.ndarray
    covariance: np.ndarray
    groups: np.ndarray
    space: Space


def first_places(
    programs: Programs, design: Design, held: frozenset[str], chains: int, rng: np.random.Generator
) -> Start:
    """Where chains start, drawn from a Laplace approximation.

    Sites `held` scale deviations or scatter. They stay at their prior means while the mode is looked for: free, they
    would shrink towards zero with what they scale, a mode without mass. The width of each is that of its own curvature
    there, one half (about that of its prior) at most. Prior means are the usual standard deviations of the space too.

    Raises
    ------
    numpy.linalg.LinAlgError
        When the posterior is not finite at the mode.
    """
    start = laplace(programs, design, held)
    scatter = rng.standard_normal((chains, len(start.groups)))
    return start._replace(places=start.places + scatter @ np.linalg.cholesky(start.covariance).T)


def laplace(programs: Programs, design: Design, held: frozenset[str]) -> Start:
    """Mode, as the one place, of the posterior with some sites held, covariance and groups there, and the space."""
    point = np.array(programs.centre(design, {}))
    unravel = programs.unravel(design)
    sites = unravel(point)
    fixed = np.asarray(ravel_pytree({n: np.full(np.shape(z), n in held) for n, z in sites.items()})[0], bool)
    scalar = np.asarray(ravel_pytree({n: np.full(np.shape(z), np.ndim(z) == 0) for n, z in sites.items()})[0], bool)
    free = np.flatnonzero(~fixed)
    # Once: to take it apart costs more than a gradient.
    arrays, structure = jax.tree.flatten(programs.as_sampled(design))

    def energy(z: np.ndarray) -> tuple[float, np.ndarray]:
        full = point.copy()
        full[free] = z
        value, gradient = jax.device_get(programs.gradient(full, arrays, structure))
        return float(value), gradient[free]

    mode, root, hessian = _minimum(energy, point[free])
    point[free] = mode
    shifts = STEP * np.eye(len(point))[fixed]
    slopes = [[programs.gradient(point + way * d, arrays, structure)[1] for way in (1, -1)] for d in shifts]
    curvature = [float(up @ d - down @ d) / (2 * STEP**2) for (up, down), d in zip(slopes, shifts, strict=True)]
    covariance = np.zeros((len(point), len(point)))
    covariance[fixed, fixed] = 1 / np.maximum(curvature, 1 / WIDEST**2)
    covariance[np.ix_(free, free)] = root @ root.T
    groups = np.full(len(point), SHARED)
    groups[free] = groups_of(hessian, scalar[free])
    variances = np.zeros(len(point))
    variances[free] = 1 / np.maximum(np.diag(hessian), np.finfo(float).tiny)
    return Start(point, covariance, groups, programs.seen(design, point, variances))


def _minimum(energy: Callable[[np.ndarray], tuple[float, np.ndarray]], start: np.ndarray) -> tuple[np.ndarray, ...]:
    """Where an energy is lowest, a root of its inverse curvature there, and that curvature.

    Between strides the axes are laid along the curvature: in their own units the parameters differ by a factor of a
    thousand, and a search would take thousands of steps.
    """
    place, root = start, np.eye(len(start))
    for _ in range(STRIDES):

        def along(steps: np.ndarray, place: np.ndarray = place, root: np.ndarray = root) -> tuple[float, np.ndarray]:
            value, gradient = energy(place + root @ steps)
            return value, root.T @ gradient

        found = scipy.optimize.minimize(
            along, np.zeros(len(start)), jac=True, method="L-BFGS-B", options={"maxiter": STRIDE}
        )
        place = place + root @ found.x
        shifts = STEP * np.eye(len(start))
        hessian = np.array([(energy(place + d)[1] - energy(place - d)[1]) / (2 * STEP) for d in shifts])
        values, vectors = np.linalg.eigh((hessian + hessian.T) / 2)
        # A direction that the mode leaves flat is taken to be as wide as a unit prior.
        root = vectors / np.sqrt(np.maximum(values, 1.0))
        if found.nit < STRIDE:
            break
    return place, root, hessian
