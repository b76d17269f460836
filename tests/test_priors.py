"""Priors: how they are stored and placed, and how a user replaces them, the pooling of tasks too."""

import re

import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
import pandas as pd
import pytest
from conftest import RUNS_LAWS, grid

import hyperlaw as hl
from hyperlaw.models.law import LAWS
from hyperlaw.models.parameter import Parameter
from hyperlaw.models.prior import (
    AtBestLoss,
    AtGridCentre,
    InLossSpread,
    PerBestLoss,
    Placed,
    from_json,
    resolve,
    support,
    to_json,
    to_text,
)


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


@pytest.fixture(params=RUNS_LAWS)
def law(request):
    return LAWS[request.param]()


@pytest.fixture
def model(law):
    """The law and the losses of runs around it: what takes priors of both."""
    return hl.likelihood(law, "runs")


PRIORS = (
    dist.Normal(0.5, 0.1),
    dist.LogNormal(-1.2, 0.3),
    dist.Gamma(4.0, 0.5),
    dist.HalfNormal(0.3),
    dist.Uniform(0.1, 0.7),
    dist.StudentT(4.0, 0.1, 0.2),
    dist.Exponential(2.0),
    dist.Beta(2.0, 5.0),
    AtGridCentre("learning_rate", 1.5),
    AtBestLoss(3.0),
    InLossSpread(0.2, 1.2),
    PerBestLoss(-4.5, 4.0),
)


@pytest.mark.parametrize("prior", PRIORS, ids=to_text)
def test_priors_survive_json(prior):
    again = from_json(to_json(prior))
    assert type(again) is type(prior)
    assert to_text(again) == to_text(prior)
    assert to_json(again) == to_json(prior)
    if isinstance(prior, dist.Distribution):
        assert float(again.log_prob(0.3)) == pytest.approx(float(prior.log_prob(0.3)), rel=1e-5)
    else:
        assert again == prior


def test_priors_survive_json_to_the_last_digit():
    again = from_json(to_json(dist.Normal(1 / 3, 0.1)))
    assert (again.loc, again.scale) == (1 / 3, 0.1)


NOT_STORED = {
    "LeftTruncatedDistribution": dist.TruncatedNormal(0.3, 0.1, low=0.0),
    "TransformedDistribution": dist.TransformedDistribution(dist.Normal(0, 1), dist.transforms.ExpTransform()),
    "ImproperUniform": dist.ImproperUniform(dist.constraints.positive, (), ()),
}


PLACES = {"learning_rate": -6.0, "batch_size": 9.0, "loss": 2.5, "loss_sd": 0.2}
PLACED = {
    AtGridCentre("learning_rate", 1.5): dist.Normal(-6.0, 1.5),
    AtBestLoss(3.0): dist.Normal(2.5, 0.6),
    InLossSpread(0.5, 1.2): dist.LogNormal(np.log(0.1), 1.2),
    PerBestLoss(-4.5, 4.0): dist.Normal(-1.8, 1.6),
    dist.Gamma(4.0, 0.5): dist.Gamma(4.0, 0.5),
}


@pytest.mark.parametrize("prior", PLACED, ids=to_text)
def test_priors_are_placed_by_the_table_in_double_precision(prior):
    placed = resolve(prior, PLACES)
    assert to_text(placed) == to_text(PLACED[prior])
    assert {leaf.dtype for leaf in jax.tree.leaves(placed)} == {np.dtype(float)}
    assert support(prior) is placed.support


def test_losses_around_zero_place_no_prior_at_infinity():
    placed = resolve(PerBestLoss(-4.5, 4.0), PLACES | {"loss": -1e-9})
    assert to_text(placed) == "Normal(loc=-22.5, scale=20)"


@pytest.mark.parametrize("kind", NOT_STORED)
def test_a_prior_that_cannot_be_stored_is_refused(model, kind):
    text = (
        f"the prior of 'noise' cannot be stored with a fit: {kind} is not a plain distribution class of "
        "numpyro.distributions. Use for instance dist.LogNormal or dist.Gamma."
    )
    with pytest.raises(TypeError, match=re.escape(text)):
        model.with_priors({"noise": NOT_STORED[kind]})


def test_replaced_prior_shows_in_the_table(model):
    name = model.law.own_parameters[0].name
    other = model.with_priors({name: dist.Normal(0.25, 0.125), "skew_learning_rate": dist.Gamma(8.0, 2.0)})
    assert other.parameters.loc[name, "prior"] == "Normal(loc=0.25, scale=0.125)"
    assert other.parameters.loc["skew_learning_rate", "prior"] == "Gamma(concentration=8, rate=2)"
    rest = [p for p in model.parameters.index if p not in (name, "skew_learning_rate")]
    pd.testing.assert_frame_equal(other.parameters.loc[rest], model.parameters.loc[rest])
    assert "Normal(loc=0.25" not in model.parameters.loc[name, "prior"]
    assert type(other) is type(model)


def test_replaced_priors_add_up_and_the_last_wins(model):
    first = model.with_priors({"skew_learning_rate": dist.Gamma(8.0, 2.0), "noise": dist.LogNormal(-5.0, 1.0)})
    second = first.with_priors({"skew_learning_rate": dist.Gamma(9.0, 2.0)})
    assert second.parameters.loc["skew_learning_rate", "prior"] == "Gamma(concentration=9, rate=2)"
    assert second.parameters.loc["noise", "prior"] == "LogNormal(loc=-5, scale=1)"


def test_replaced_priors_reach_the_model(model):
    runs = hl.Runs.from_frame(grid(rates=3, batches=2))
    own = model.law.own_parameters[0].name
    narrow = model.with_priors({"skew_learning_rate": dist.Uniform(7.0, 7.001), own: dist.Normal(0.25, 1e-9)})
    trace = numpyro.handlers.trace(numpyro.handlers.seed(narrow.model, 0)).get_trace(narrow.design(runs))
    assert 7.0 <= trace["skew_learning_rate"]["value"] <= 7.001
    assert trace[own]["value"] == pytest.approx(0.25, abs=1e-7)


def test_equal_laws_are_one_key(law):
    kind, (a, b) = type(law), [p.name for p in law.own_parameters[:2]]
    assert law == kind()
    assert hash(law) == hash(kind())
    one, same = (kind(priors={a: dist.Normal(8.0, 2.0), b: dist.Normal(-5.0, 1.0)}) for _ in range(2))
    swapped = kind(priors={b: dist.Normal(-5.0, 1.0)}).with_priors({a: dist.Normal(8.0, 2.0)})
    assert one == same == swapped
    assert hash(one) == hash(same) == hash(swapped)
    assert one != law
    assert one != kind(priors={a: dist.Normal(8.0, 2.0), b: dist.Normal(-5.0, 1.5)})
    assert kind(pooling={a: "shared"}) not in (law, kind(pooling={a: "separate"}))
    assert one.bare == law
    assert law.bare is law


def test_different_laws_differ():
    assert hl.laws.StepLaw() != hl.laws.TimeTransfer()
    assert len({kind() for kind in LAWS.values()}) == len(LAWS)


def test_changing_the_given_priors_later_changes_nothing():
    priors, pooling = {"log_batch_size": dist.Normal(8.0, 2.0)}, {"log_batch_size": "shared"}
    law = hl.laws.StepLaw(priors=priors, pooling=pooling)
    key = law.key
    priors["exponent_data"] = dist.Normal(0.5, 1.0)
    pooling["exponent_data"] = "separate"
    assert law.key == key


def test_unknown_parameter_names_the_nearest(law, model):
    first = law.own_parameters[0].name
    text = f"{law.name} has no parameter 'nois'. Did you mean 'noise'? Its parameters are: {first}"
    with pytest.raises(ValueError, match=re.escape(text)):
        model.with_priors({"nois": dist.LogNormal(0, 1)})


def test_a_law_says_where_priors_of_the_scatter_go(law):
    text = (
        f"Its parameters are: {', '.join(p.name for p in law.own_parameters)}. Those of the scatter around a law are "
        "given to hl.fit(priors=...); hl.likelihood(law, table) lists all."
    )
    with pytest.raises(ValueError, match=re.escape(text)):
        law.with_priors({"noise": dist.LogNormal(0, 1)})


def test_unknown_parameter_without_a_near_name(law):
    text = f"{law.name} has no parameter 'zzzzzz'. Its parameters are: "
    with pytest.raises(ValueError, match=re.escape(text)):
        type(law)(priors={"zzzzzz": dist.LogNormal(0, 1)})


@pytest.mark.parametrize("prior", [0.5, "Normal", None, dist.Normal], ids=str)
def test_a_prior_that_is_no_distribution_is_refused(model, prior):
    with pytest.raises(
        TypeError, match=r"the prior of 'optimal_loss' must be a scalar NumPyro distribution .*, received "
    ):
        model.with_priors({"optimal_loss": prior})


def test_a_prior_that_is_no_scalar_is_refused(model):
    for prior in (dist.Normal(np.zeros(2), 1), dist.MultivariateNormal(np.zeros(2), np.eye(2))):
        with pytest.raises(TypeError, match=r"the prior of 'optimal_loss' must be a scalar NumPyro distribution"):
            model.with_priors({"optimal_loss": prior})


@pytest.mark.parametrize(
    ("prior", "text"),
    [
        (dist.Normal(0.1, 0.5), "Normal(loc=0.1, scale=0.5)"),
        (dist.Uniform(-1.0, 1.0), "Uniform(low=-1, high=1)"),
        (AtBestLoss(2.0), "Normal(mean lowest loss, 2 x its spread)"),
    ],
    ids=["normal", "uniform", "relative"],
)
def test_a_positive_parameter_needs_a_positive_prior(model, prior, text):
    message = (
        f"the prior of 'noise' must have positive support ({model.parameters.loc['noise', 'meaning']}), "
        f"received {text}. Use for instance dist.LogNormal."
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        model.with_priors({"noise": prior})


@pytest.mark.parametrize(
    "prior",
    [dist.HalfCauchy(0.1), dist.InverseGamma(1.0, 0.1), dist.Cauchy(0.5, 0.1), dist.Delta(1.0), dist.Poisson(1)],
)
def test_a_prior_without_a_density_or_a_mean_is_refused(model, prior):
    with pytest.raises(
        ValueError, match=r"the prior of 'noise' must be continuous and have a finite mean, at which the"
    ):
        model.with_priors({"noise": prior})


@pytest.mark.parametrize("sd", [0, -1.0, np.nan, "x"])
def test_a_spread_between_tasks_that_is_none_is_refused(sd):
    with pytest.raises(ValueError, match=r"group_sd of a must be a (finite )?number"):
        Parameter("a", "anything", "", dist.Normal(0, 1), "for trial", group_sd=sd)


@pytest.mark.parametrize("prior", [dist.HalfNormal(1.0), dist.Uniform(0.0, 1.0), InLossSpread(0.1, 1.0)], ids=to_text)
def test_positive_priors_are_taken(model, prior):
    assert model.with_priors({"noise": prior}).parameters.loc["noise", "prior"] == to_text(prior)


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("skew_learning_rate", "shared"),
        ("log_batch_size", "half"),
        ("nothing", "shared"),
        ("skew_learning_rate", "separate"),
    ],
)
def test_a_pooling_that_cannot_be_is_refused(model, name, how):
    several = [p.name for p in model.parameter_list if p.group_sd is not None]
    text = (
        f"pooling[{name!r}] = {how!r}: give partial, shared, separate for a parameter that is pooled over tasks: "
        f"{', '.join(several)}."
    )
    with pytest.raises(ValueError, match=re.escape(text)):
        hl.likelihood(model, "runs", pooling={name: how})


def test_pooling_shows_in_the_table_of_parameters(model):
    changed = hl.likelihood(model, "runs", pooling={"log_batch_size": "shared", "optimal_loss": "separate"})
    told = changed.parameters["pooled over"]
    assert told["log_batch_size"] == ""
    assert told["optimal_loss"] == "task"
    assert changed.separate == {"optimal_loss"}
    rest = [name for name in told.index if name != "log_batch_size"]
    pd.testing.assert_series_equal(told[rest], model.parameters.loc[rest, "pooled over"])


def test_no_task_of_a_positive_parameter_is_negative():
    """Also where the prior that replaces the default has two ends."""
    runs = hl.Runs.from_frame(grid(tasks=("a", "b")).assign(loss=3.0))
    model = hl.likelihood(hl.laws.StepLaw(), runs, priors={"sharpness_learning_rate": dist.Uniform(0.0, 1.0)})
    drawn = hl.prior_predict(model, runs, seed=0).draws["prior"]["sharpness_learning_rate_task"]
    assert drawn.sizes["task"] == 2
    assert (drawn > 0).all()


def test_placed_priors_are_taken_apart_by_name_and_put_together_again():
    placed = Placed(
        {f"p{9 - i}": prior for i, prior in enumerate(p for p in PRIORS if isinstance(p, dist.Distribution))}
    )
    numbers, structure = jax.tree.flatten(placed)
    again = jax.tree.unflatten(structure, numbers)
    assert list(again) == sorted(placed)
    assert {name: to_text(prior) for name, prior in again.items()} == {n: to_text(p) for n, p in placed.items()}
    gamma = jax.tree.leaves(Placed({"g": dist.Gamma(4.0, 0.5)}))
    assert gamma == [4.0, 0.5]  # concentration before rate, whatever order NumPyro has them in
    assert jax.tree.leaves(Placed({"b": dist.Normal(0.0, 1.0), "a": dist.Beta(2.0, 5.0)}))[-2:] == [0.0, 1.0]
