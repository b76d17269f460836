import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import grid
from jax.flatten_util import ravel_pytree
from numpyro.infer.util import potential_energy, unconstrain_fn

import hyperlaw as hl
from hyperlaw.inference.sampler import Programs


@pytest.fixture(scope="module")
def shifted():
    """The sampler's programs, their arrays, and the unshifted coordinates of a place in its own."""
    runs = hl.Runs.from_frame(grid(("adam", "sgd"), rates=3, batches=3))
    model = hl.likelihood(hl.laws.StepLaw(), runs)
    arrays = model.design(runs)
    programs = Programs(model, 50, 0.9, 5)

    @jax.jit
    def plain(place):
        sites = programs.constrain(jax.tree.map(lambda z: z[None, None], place), arrays)
        return unconstrain_fn(model.model, (arrays,), {}, {name: sites[name][0, 0] for name in place})

    return model, arrays, programs, plain


def test_shifted_coordinates_keep_the_density(shifted):
    model, arrays, programs, plain = shifted
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        place = {name: z + 0.3 * rng.standard_normal(np.shape(z)) for name, z in programs.centre(arrays, {}).items()}
        unshifted = plain(place)
        moved = {name for name in place if np.abs(unshifted[name] - place[name]).max() > 1e-9}
        assert moved == {f"optimal_loss_slope_{c}{of}" for c in model.law.covariates for of in ("", "_task")}
        density = jax.jit(lambda z: potential_energy(model.model, (arrays,), {}, z))(unshifted)
        assert float(programs.gradient(ravel_pytree(place)[0], arrays)[0]) == pytest.approx(float(density))


def test_shifts_keep_volumes(shifted):
    _, arrays, programs, plain = shifted
    with jax.enable_x64(True):
        flat, unravel = ravel_pytree(programs.centre(arrays, {}))
        slopes = jax.jit(jax.jacfwd(lambda place: ravel_pytree(plain(unravel(place)))[0]))(jnp.asarray(flat))
    assert np.linalg.det(slopes) == pytest.approx(1)


def test_earlier_draws_start_where_they_were(shifted):
    _, arrays, programs, _ = shifted
    with jax.enable_x64(True):
        place = programs.centre(arrays, {})
        draws = {n: v[0] for n, v in programs.constrain(jax.tree.map(lambda z: z[None, None], place), arrays).items()}
        again = programs.unconstrain(arrays, draws)
    for name, value in place.items():
        np.testing.assert_allclose(again[name][0], value, atol=1e-9)
