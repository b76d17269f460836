import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pytest
from conftest import TRUTH, example_of, grid
from numpyro.infer.util import potential_energy, unconstrain_fn
from threadpoolctl import threadpool_limits

import hyperlaw as hl
from hyperlaw.inference.enough import enough
from hyperlaw.inference.mode import first_places
from hyperlaw.inference.programs import Programs
from hyperlaw.inference.sampler import Settings, sample
from hyperlaw.inference.simulate import simulate


@pytest.fixture(scope="module")
def shifted():
    """The sampler's programs, their arrays, and the unshifted coordinates of a place in its own."""
    runs = hl.Runs.from_frame(grid(("adam", "sgd"), rates=3, batches=3))
    model = hl.likelihood(hl.laws.StepLaw(), runs)
    arrays = model.design(runs)
    programs = Programs(model, 5)

    @jax.jit
    def plain(place):
        sites, _ = programs._constrain(place, arrays)
        return unconstrain_fn(
            model.model, (arrays,), {}, {name: sites[name] for name in programs.unravel(arrays)(place)}
        )

    return model, arrays, programs, plain


def test_shifted_coordinates_keep_the_density(shifted):
    model, arrays, programs, plain = shifted
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        centre = np.asarray(programs.centre(arrays, {}))
        place = centre + 0.3 * rng.standard_normal(centre.shape)
        unshifted, ours = plain(place), programs.unravel(arrays)(place)
        moved = {name for name in ours if np.abs(unshifted[name] - ours[name]).max() > 1e-9}
        assert moved == {f"optimal_loss_slope_{c}{of}" for c in model.law.covariates for of in ("", "_task")}
        density = jax.jit(lambda z: potential_energy(model.model, (arrays,), {}, z))(unshifted)
        ours = programs.gradient(place, *jax.tree.flatten(arrays))[0]
        assert float(ours) == pytest.approx(float(density))


def test_shifts_keep_volumes(shifted):
    _, arrays, programs, plain = shifted
    with jax.enable_x64(True):
        place = jnp.asarray(programs.centre(arrays, {}))
        flat = jax.jit(jax.jacfwd(lambda place: jax.flatten_util.ravel_pytree(plain(place))[0]))
        assert np.linalg.det(flat(place)) == pytest.approx(1)


def test_earlier_draws_start_where_they_were(shifted):
    _, arrays, programs, _ = shifted
    with jax.enable_x64(True):
        place = np.asarray(programs.centre(arrays, {}))
        draws = {name: value[0] for name, value in programs.constrain(place[None, None], arrays)[0].items()}
        again = programs.unconstrain(arrays, draws)
    np.testing.assert_allclose(again[0], place, atol=1e-9)


def test_chains_do_not_start_in_a_spike():
    """Three runs a cell can be met exactly: the noise would vanish, and the density grow without bound."""
    frame = grid(rates=3, batches=3)
    rate, batch = (frame[name].rank(method="dense").astype(int) for name in ("learning_rate", "batch_size"))
    frame = frame[rate % 3 == 2 * batch % 3]  # three settings a cell, off a line
    runs = hl.Runs.from_frame(frame.assign(loss=3 + np.random.default_rng(0).normal(0, 0.01, len(frame))))
    model = hl.likelihood(hl.laws.StepLaw(), runs)
    with jax.enable_x64(True):
        design, programs = model.design(runs), Programs(model, 5)
        places, mass, _ = first_places(programs, design, model.scale_sites, 4, np.random.default_rng(0))
        noise = np.array([programs.unravel(design)(place)["noise"] for place in places])
        middle = design.priors["noise"]
    assert (np.abs(noise - middle.loc) < 4 * middle.scale).all()
    assert np.sqrt(np.diag(mass)).max() <= 1 + 1e-9


def test_enough_is_what_the_checks_ask_for():
    rng = np.random.default_rng(0)
    many, few = rng.standard_normal((4, 1000, 5)), rng.standard_normal((4, 60, 5))
    assert enough({"many": many, "scalar": many[..., 0]})
    assert not enough({"few": few})
    apart = many + np.array([0, 0, 0, 0.5])[:, None, None]
    assert not enough({"many": many, "apart": apart})
    assert not enough({"many": many, "stuck": np.ones((4, 1000))})
    tails = many.copy()
    tails[2:] *= 3  # the same middle, other tails: ranks see it, a plain R-hat does not
    assert not enough({"tails": tails})


@pytest.mark.parametrize("kind", ["runs", "optima"])
def test_what_the_law_says_at_four_times_the_largest_scales_is_sampled_as_well(kind):
    law = hl.laws.StepLaw()
    model = hl.likelihood(law, kind)
    table = hl.Runs.from_frame(grid(rates=3, batches=3)) if kind == "runs" else example_of(model, 1)
    design = model.design(table)
    x = {name: float(values.max()) + np.log(4) for name, values in design.covariates.items()}
    p = TRUTH | {f"drift_{q}_{c}": 0.1 for q in law.predicts for c in x}
    added = sum(0.1 * value**2 / 2 for value in x.values())
    found = model.beyond(p, design)
    batch = float(law.log_batch_size(p, x)) + added
    assert float(found["batch_size beyond"]) == pytest.approx(batch, rel=1e-5)
    rate = float(law.log_learning_rate(p, x, law.log_batch_size(p, x))) + added
    assert float(found["learning_rate beyond"]) == pytest.approx(rate, rel=1e-5)


def test_a_posterior_of_too_many_dimensions_is_refused(shifted):
    _, arrays, programs, _ = shifted
    with jax.enable_x64(True):
        assert programs.dimensions(arrays) == len(programs.centre(arrays, {}))
    many = 1.1 ** np.arange(50)
    frame = grid(sizes=1e6 * many, data=1e8 * many, rates=3, batches=2)
    runs = hl.Runs.from_frame(frame.assign(loss=2 + 0.1 * np.log(frame["learning_rate"] / 1e-3) ** 2))
    with pytest.raises(ValueError, match=r"a posterior of 1\d,\d\d\d dimensions, .* at most 10,000 can be sampled"):
        hl.fit(hl.laws.StepLaw(), runs, seed=0, progress=False)


def test_draws_do_not_depend_on_the_threads_of_linear_algebra():
    """The number is the whole process's: what ran before may have left it at another."""
    runs = hl.Runs.from_frame(grid(rates=4, batches=3))
    model, drawn = hl.likelihood(hl.laws.StepLaw(), runs), []
    for threads in (1, None):
        with jax.enable_x64(True), threadpool_limits(threads):
            sites, _ = sample(
                model, model.design(runs), seed=0, settings=Settings(2, 100, 50, None, 5), report=lambda *_: None
            )
        drawn.append(sites["log_learning_rate"])
    np.testing.assert_array_equal(*drawn)


def test_only_the_first_table_of_a_shape_is_run_through_numpyro(monkeypatch):
    """Calibration samples in several threads, and NumPyro has one stack of handlers for all of them."""
    law = hl.laws.OptimalUTD()
    table = example_of(hl.likelihood(law, "optima"), 1)
    model = hl.likelihood(law, table)
    settings, entered = Settings(2, 100, 50, None, 5), []
    enter = numpyro.primitives.Messenger.__enter__
    monkeypatch.setattr(
        numpyro.primitives.Messenger, "__enter__", lambda handler: (entered.append(handler), enter(handler))[1]
    )
    for seed in (0, 1):
        _, design = simulate(law, table, seed=seed)
        entered.clear()  # to simulate goes through NumPyro as well
        with jax.enable_x64(True):
            sample(model, design, seed=seed, settings=settings, report=lambda *_: None)
        assert bool(entered) == (seed == 0), entered
