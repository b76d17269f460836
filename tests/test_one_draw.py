import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
from scipy.stats import ks_2samp

from hyperlaw.inference.one_draw import one_draw

DRAWS = 4000


def model(location):
    centre = numpyro.sample("centre", dist.Normal(location, 2.0))
    spread = numpyro.sample("spread", dist.LogNormal(0.0, 0.5))
    shape = numpyro.sample("shape", dist.Gamma(2.0, 3.0))
    with numpyro.plate("cell", 3):
        value = numpyro.sample("value", dist.Normal(centre, spread))
        numpyro.deterministic("twice", 2 * value)
        numpyro.sample("measured", dist.StudentT(5.0, value, shape), obs=np.zeros(3))


def test_draws_are_those_of_numpyro():
    ours = jax.vmap(lambda key: one_draw(numpyro.handlers.uncondition(model), key, 1.0))(
        jax.random.split(jax.random.key(0), DRAWS)
    )
    theirs = numpyro.infer.Predictive(numpyro.handlers.uncondition(model), num_samples=DRAWS)(jax.random.key(1), 1.0)
    assert set(ours) == set(theirs)
    for name, drawn in theirs.items():
        assert ours[name].shape == drawn.shape
        first, second = (np.asarray(values).reshape(DRAWS, -1)[:, 0] for values in (ours[name], drawn))
        assert ks_2samp(first, second).pvalue > 1e-3, name
    np.testing.assert_allclose(ours["twice"], 2 * ours["value"])


def test_sites_do_not_share_their_noise():
    drawn = jax.vmap(lambda key: one_draw(model, key, 0.0))(jax.random.split(jax.random.key(2), DRAWS))
    standard = (drawn["value"] - drawn["centre"][:, None]) / drawn["spread"][:, None]
    columns = np.column_stack([drawn["centre"], np.log(drawn["spread"]), standard])
    off = np.corrcoef(columns.T) - np.eye(5)
    assert np.abs(off).max() < 4 / np.sqrt(DRAWS)
