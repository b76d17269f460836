import re

import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
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
from hyperlaw.inference.space import seen


@pytest.fixture(scope="module")
def moved():
    """The sampler's programs, a space whose members are seen from hardly to well, and its plain sites at a place."""
    runs = hl.Runs.from_frame(grid(("adam", "sgd"), rates=3, batches=3))
    model = hl.likelihood(hl.laws.StepLaw(), runs)
    design, programs = model.design(runs), Programs(model, 5)
    with jax.enable_x64(True):
        centre = np.asarray(programs.centre(design, {}))
        sds = {name: np.exp(site) for name, site in programs.unravel(design)(centre).items()}
        shares = dict(zip(model.members, np.linspace(0.1, 1, len(model.members)), strict=True))
        variances = {
            name: np.full(site.shape, shares[name] * sds[model.members[name]] ** 2 if name in shares else 0.0)
            for name, site in programs._zeros(design).items()
        }
        space = programs.seen(design, centre, jax.flatten_util.ravel_pytree(variances)[0])

    @jax.jit
    def plain(place):
        sites, _ = programs._constrain(place, space)
        return unconstrain_fn(
            model.model, (design,), {}, {name: sites[name] for name in programs.unravel(design)(place)}
        )

    return model, space, programs, plain


def around(programs, space):
    """A place some way off the centre, where populations are narrower and wider than usual."""
    centre = np.asarray(programs.centre(space.design, {}))
    return centre + 0.3 * np.random.default_rng(0).standard_normal(centre.shape)


def test_coordinates_keep_the_density_but_for_their_volume(moved):
    model, space, programs, plain = moved
    with jax.enable_x64(True):
        place = around(programs, space)
        sites, ours = plain(place), programs.unravel(space.design)(place)
        other = {name for name in ours if np.abs(sites[name] - ours[name]).max() > 1e-9}
        trend = ("optimal_loss", *(f"optimal_loss_slope_{c}" for c in model.law.covariates))
        shifted = {f"{name}{of}" for name in trend for of in ("", "_task")}
        members = {name for name in ours if name.endswith("_task") or "_deviation_" in name} & model.members.keys()
        assert other == shifted | members
        density = jax.jit(lambda z: potential_energy(model.model, (space.design,), {}, z))(sites)
        flat = jax.jit(jax.jacfwd(lambda place: jax.flatten_util.ravel_pytree(plain(place))[0]))
        _, log_volume = np.linalg.slogdet(flat(place))
        assert abs(log_volume) > 0.1
        ours = programs.gradient(place, *jax.tree.flatten(space))[0]
        assert float(ours) == pytest.approx(float(density) - log_volume)


def test_shifts_keep_volumes(moved):
    _, space, programs, _ = moved
    with jax.enable_x64(True):
        as_sampled = programs.as_sampled(space.design)

        @jax.jit
        @jax.jacfwd
        def flat(place):
            return jax.flatten_util.ravel_pytree(programs._sites(place, as_sampled)[0])[0]

        assert np.linalg.det(flat(around(programs, space))) == pytest.approx(1)


def test_shifts_keep_volumes_of_a_law_that_settles_a_part_by_what_is_shifted():
    """Such as one of a loss that falls as a power of scale, without a least one."""

    class Settling(hl.laws.StepLaw):
        def settled(self, p):
            return {
                "optimal_loss_slope_data": 0.3 * p["optimal_loss"], "optimal_loss_coupling": 1 / p["optimal_loss"],
                "optimal_loss_exponent_params": 3 * p["optimal_loss_slope_params"],
            }  # fmt: skip

    frame = grid(data=(1e8, 2e8, 1.6e9), rates=3, batches=3)
    runs = hl.Runs.from_frame(frame.assign(loss=3 - 1e-10 * frame["data"]))
    model = hl.likelihood(Settling(), runs)
    programs = Programs(model, 5)
    with jax.enable_x64(True):
        space = programs.as_sampled(model.design(runs))
        place = around(programs, space)
        flat = jax.jit(jax.jacfwd(lambda place: jax.flatten_util.ravel_pytree(programs._sites(place, space)[0])[0]))
        assert np.linalg.det(flat(place)) == pytest.approx(1, abs=1e-10)
        draws = {name: value[0] for name, value in programs.constrain(place[None, None], space)[0].items()}
        np.testing.assert_allclose(programs.unconstrain(space.design, draws)[0], place, atol=1e-9)


def test_members_are_as_wide_at_every_standard_deviation_of_their_population():
    """Two values around zero with errors of 0.2 and 5, of a population whose standard deviation is usually 1."""
    usual, errors = 1.0, np.array([0.2, 5.0])
    variance = lambda sd: 1 / (1 / errors**2 + 1 / sd**2)  # noqa: E731
    space = seen(None, {"member": np.zeros(2), "sd": np.log(usual)}, {"member": variance(usual)}, {"member": "sd"})
    np.testing.assert_allclose(space.own["member"], [25 / 26, 1 / 26])
    widths = []
    for sd in (0.9, 1.1):
        stretch = np.exp(space.log_stretch({"sd": np.log(sd)}, {"member": "sd"})["member"])
        widths.append(np.sqrt(variance(sd)) / stretch)
    np.testing.assert_allclose(widths[0], widths[1], rtol=2e-3)
    as_it_is = np.sqrt(variance(0.9) / variance(1.1))
    assert as_it_is[1] < 0.9  # what data say little of is narrower where its population is


def test_members_whose_sd_has_another_site_than_its_log_are_sampled_as_they_are():
    runs = hl.Runs.from_frame(grid(rates=3, batches=3))
    for prior, held in ((dist.HalfNormal(0.1), True), (dist.Uniform(0.0, 1.0), False)):
        model = hl.likelihood(hl.laws.StepLaw(), runs, priors={"data_sd_learning_rate": prior})
        programs = Programs(model.bare, 5)
        with jax.enable_x64(True):
            space = programs.as_sampled(model.design(runs))
        assert ("data_deviation_learning_rate" in space.own) is held
        assert "data_deviation_batch_size" in space.own


def test_earlier_draws_start_where_they_were(moved):
    _, space, programs, _ = moved
    with jax.enable_x64(True):
        place, as_sampled = around(programs, space), programs.as_sampled(space.design)
        draws = {name: value[0] for name, value in programs.constrain(place[None, None], as_sampled)[0].items()}
        again = programs.unconstrain(space.design, draws)
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
        start = first_places(programs, design, model.scale_sites, 4, np.random.default_rng(0))
        noise = np.array([programs.unravel(design)(place)["noise"] for place in start.places])
        middle = design.priors["noise"]
    assert (np.abs(noise - middle.loc) < 4 * middle.scale).all()
    assert np.sqrt(np.diag(start.covariance)).max() <= 1 + 1e-9


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


def test_a_posterior_of_too_many_dimensions_is_refused(moved):
    _, space, programs, _ = moved
    with jax.enable_x64(True):
        assert programs.dimensions(space.design) == len(programs.centre(space.design, {}))
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


@pytest.fixture
def told():
    """Samples a law of few parameters to simulated optima: what was reported meanwhile, and the statistics."""
    law = hl.laws.OptimalUTD()
    table = example_of(hl.likelihood(law, "optima"), 1)
    _, design = simulate(law, table, seed=0)

    def run(settings):
        heard = []
        with jax.enable_x64(True):
            report = lambda *what: heard.append(what)  # noqa: E731
            _, stats = sample(hl.likelihood(law, table), design, seed=0, settings=settings, report=report)
        return heard, stats

    return run


def test_what_is_being_done_is_told_with_its_share(told):
    heard, stats = told(Settings(2, 100, 100, 0.5, 5))
    shares, notes = zip(*heard, strict=True)
    assert shares[-1] == 1
    assert max(shares[:-1]) < 1  # a bar that was full once stands still
    assert list(dict.fromkeys(note.split(",")[0] for note in notes)) == ["warming up", "100 draws of each chain"]
    lost = int(stats["diverging"].sum())
    assert notes[-1] == "100 draws of each chain" + (f", {lost} divergence{'s' * (lost > 1)}" if lost else "")


def test_that_draws_begin_anew_is_told(told, monkeypatch):
    monkeypatch.setattr("hyperlaw.inference.sampler.CARE", (0.05, 0.9))
    heard, stats = told(Settings(2, 100, 100, None, 5))
    assert any(re.fullmatch(r"\d+ divergences?: again with smaller steps", note) for _, note in heard)
    assert (stats["target_accept"] == 0.9).all()
