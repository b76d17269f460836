"""`mass_matrix`: what the sampler takes as the covariance of a posterior, from its `groups_of`; and `one_thread`.

Ten tasks have some 500 parameters, and a warm-up 400 draws: the covariance of those draws is mostly noise, and steps
through it are short. But tasks know of one another only through what they share, so that each needs only its own
covariance, and how it goes with what is shared.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from scipy.sparse.csgraph import connected_components
from threadpoolctl import threadpool_limits

SHARED = -1  # the group of coordinates that all others may go with
_ONE = threading.Lock()


@contextmanager
def one_thread() -> Iterator[None]:
    """Linear algebra by one thread at a time.

    Another number of threads rounds otherwise, and draws would differ; the number is the process's, so that two which
    set it at once would leave it wrong. And matrices this small only make such threads wait for each other.
    """
    with _ONE, threadpool_limits(1):
        yield


def groups_of(curvature: np.ndarray, shared: np.ndarray) -> np.ndarray:
    """The group of each coordinate, a number, or -1 for those shared.

    Two coordinates are of one group where the curvature of the posterior joins them other than through those shared:
    given what is shared, groups are independent of one another.

    Parameters
    ----------
    curvature
        Of the posterior at its mode, of shape (dimension, dimension). What does not depend on each other is exactly 0.
    shared
        Which coordinates are shared, of shape (dimension,), booleans.
    """
    groups = np.full(len(shared), SHARED)
    own = np.flatnonzero(~shared)
    groups[own] = connected_components(curvature[np.ix_(own, own)] != 0, directed=False)[1]
    return groups


def mass_matrix(places: np.ndarray, towards: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Covariance of a posterior from places in it, where groups are independent of one another given what is shared.

    Every covariance that it is made of is drawn towards that of `towards` as if that had been seen in as many places
    as it has dimensions: with fewer places than dimensions their own would be singular.

    Parameters
    ----------
    places
        Draws of shape (chain, draw, dimension).
    towards
        A first covariance, of shape (dimension, dimension).
    groups
        As from `groups_of`.
    """
    shared, places = np.flatnonzero(groups == SHARED), places.reshape(-1, len(groups))
    if len(np.unique(groups[groups != SHARED])) < 2:
        return _shrunk(places, towards, np.arange(len(groups)))
    slopes = np.zeros((len(groups), len(shared)))  # of every coordinate on those shared
    slopes[shared] = np.eye(len(shared))
    covariance = np.zeros_like(towards)
    for group in np.unique(groups[groups != SHARED]):
        own = np.flatnonzero(groups == group)
        joint = _shrunk(places, towards, np.concatenate([shared, own]))
        common, between = np.split(joint[: len(shared)], [len(shared)], axis=1)
        slopes[own] = np.linalg.solve(common, between).T
        covariance[np.ix_(own, own)] = joint[len(shared) :, len(shared) :] - slopes[own] @ between
    return covariance + slopes @ _shrunk(places, towards, shared) @ slopes.T


def _shrunk(places: np.ndarray, towards: np.ndarray, some: np.ndarray) -> np.ndarray:
    """Covariance of some coordinates."""
    seen = np.atleast_2d(np.cov(places[:, some], rowvar=False))
    return (len(places) * seen + len(some) * towards[np.ix_(some, some)]) / (len(places) + len(some))
