import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from scipy.stats import ks_2samp

from hyperlaw.inference.one_draw import one_draw

DRAWS = 4000


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def model(location):
    centre = numpyro.sample("centre", dist.Normal(location, 2.0))
    spread = numpyro.sample("spread", dist.LogNormal(0.0, 0.5))
    shape = numpyro.sample("shape", dist.Gamma(2.0, 3.0))
    with numpyro.plate("cell", 3):
        value = numpyro.sample("value", dist.Normal(centre, spread))
        numpyro.deterministic("twice", 2 * value)
        numpyro.sample("measured", dist.StudentT(5.0, value, shape), obs=np.zeros(3))


def many(draw, seed):
    return jax.jit(jax.vmap(draw))(jax.random.split(jax.random.key(seed), DRAWS))


def test_draws_are_those_of_numpyro():
    blank = numpyro.handlers.uncondition(model)
    ours = many(lambda key: one_draw(blank, key, 1.0), 0)
    theirs = numpyro.infer.Predictive(blank, num_samples=DRAWS, parallel=True)(jax.random.key(1), 1.0)
    assert set(ours) == set(theirs)
    for name, drawn in theirs.items():
        assert ours[name].shape == drawn.shape
        columns = (np.asarray(values).reshape(DRAWS, -1).T for values in (ours[name], drawn))
        for first, second in zip(*columns, strict=True):
            assert ks_2samp(first, second).pvalue > 1e-4, name
    np.testing.assert_allclose(ours["twice"], 2 * ours["value"])


def test_sites_do_not_share_their_noise():
    drawn = many(lambda key: one_draw(model, key, 0.0), 2)
    standard = (drawn["value"] - drawn["centre"][:, None]) / drawn["spread"][:, None]
    columns = np.column_stack([drawn["centre"], np.log(drawn["spread"]), standard])
    off = np.corrcoef(columns.T) - np.eye(5)
    assert np.abs(off).max() < 4 / np.sqrt(DRAWS)
