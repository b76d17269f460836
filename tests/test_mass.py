"""The covariance that the sampler moves with: its groups, and what a few places say of it."""

import numpy as np
import pytest

from hyperlaw.inference.mass import SHARED, groups_of, mass_matrix

SHARES, OWN, GROUPS = 3, 8, 12
SIZE = SHARES + OWN * GROUPS
LABELS = np.concatenate([np.full(SHARES, SHARED), np.repeat(np.arange(GROUPS), OWN)])


@pytest.fixture(scope="module")
def precision():
    """Of groups that go with what they share, and with one another not."""
    rng = np.random.default_rng(0)
    curvature = np.zeros((SIZE, SIZE))
    for group in range(GROUPS):
        some = np.flatnonzero((group == LABELS) | (LABELS == SHARED))
        root = rng.standard_normal((len(some), len(some)))
        curvature[np.ix_(some, some)] += root @ root.T + np.eye(len(some))
    return curvature


def test_groups_are_what_the_curvature_joins(precision):
    np.testing.assert_array_equal(groups_of(precision, LABELS == SHARED), LABELS)
    joined = precision.copy()
    joined[SHARES, -1] = joined[-1, SHARES] = 1e-12  # however weakly
    found = groups_of(joined, LABELS == SHARED)
    assert found[SHARES] == found[-1]
    assert len(np.unique(found)) == GROUPS


def test_many_places_give_the_covariance_itself(precision):
    covariance = np.linalg.inv(precision)
    places = np.random.default_rng(1).multivariate_normal(np.zeros(SIZE), covariance, (4, 5_000))
    found = mass_matrix(places, np.eye(SIZE), LABELS)
    scale = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(found / np.outer(scale, scale), covariance / np.outer(scale, scale), atol=0.05)


def condition(precision, found):
    """How far apart the widest and the narrowest direction of the posterior are, measured with a covariance."""
    values = np.linalg.eigvals(precision @ found).real
    assert values.min() > 0
    return values.max() / values.min()


def test_few_places_say_more_of_groups_than_of_everything_at_once(precision):
    covariance = np.linalg.inv(precision)
    places = np.random.default_rng(1).multivariate_normal(np.zeros(SIZE), covariance, (4, 30))
    towards = np.diag(np.diag(covariance))
    everything, grouped = (mass_matrix(places, towards, groups) for groups in (np.zeros(SIZE), LABELS))
    assert condition(precision, grouped) < 0.5 * condition(precision, everything)


def test_one_group_is_everything_at_once(precision):
    places = np.random.default_rng(1).standard_normal((2, 40, SIZE))
    seen = np.cov(places.reshape(-1, SIZE), rowvar=False)
    expected = (80 * seen + SIZE * np.eye(SIZE)) / (80 + SIZE)
    for groups in (np.zeros(SIZE, int), np.full(SIZE, SHARED)):
        np.testing.assert_allclose(mass_matrix(places, np.eye(SIZE), groups), expected)
