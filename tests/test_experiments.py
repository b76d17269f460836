import numpy as np
import pandas as pd
import pytest

import hyperlaw as hl
from experiments.lm.corpus import Corpus
from experiments.lm.designs import OptimizerGroup, lm_adam, lm_optimizers
from experiments.lm.model import BASE_WIDTH, CONTEXT, VOCABULARY, hidden_params, init, learning_rate_scale
from experiments.lm.train import OPTIMIZERS, UNTRAINED_LOSS, train


@pytest.fixture(scope="module")
def corpus():
    return Corpus.from_standard_library()


def test_corpus_is_the_same_every_time(corpus):
    assert corpus.digest == Corpus.from_standard_library().digest
    assert len(corpus.train) > 2**22
    rows = corpus.sequences(CONTEXT, seed=0)
    assert rows.shape[1] == CONTEXT + 1
    assert np.array_equal(rows, corpus.sequences(CONTEXT, seed=0))
    assert not np.array_equal(rows, corpus.sequences(CONTEXT, seed=1))


def test_maximal_update_parametrisation():
    import jax

    scale = learning_rate_scale(4 * BASE_WIDTH)
    assert scale["mlp_in"] == scale["output"] == 0.25
    assert scale["token"] == 1
    params = init(jax.random.key(0), BASE_WIDTH)
    hidden = sum(params[name].size for name in ("attention_in", "attention_out", "mlp_in", "mlp_out"))
    assert hidden == hidden_params(BASE_WIDTH)
    assert params["output"].shape == (BASE_WIDTH, VOCABULARY)


def test_maximal_update_parametrisation_of_sgd():
    scale = learning_rate_scale(4 * BASE_WIDTH, "sgd")
    assert scale["token"] == scale["position"] == 4
    assert scale["attention_in"] == scale["mlp_out"] == 1
    assert scale["output"] == 0.25
    for optimizer in ("adam", "adamw", "sgd"):
        assert set(learning_rate_scale(BASE_WIDTH, optimizer).values()) == {1}


def test_training_learns_and_records_divergence(corpus):
    table = train(corpus, 32, 512, [2.0**-7, 2.0**3], [2**15, 2**16], seed=0)
    good, bad = (table[table["learning_rate"] == rate] for rate in (2.0**-7, 2.0**3))
    assert len(table) == 4
    assert good["loss"].iloc[1] < good["loss"].iloc[0] < UNTRAINED_LOSS
    assert bad["diverged"].all()
    assert not good["diverged"].any()
    assert table["steps"].tolist() == [64, 64, 128, 128]
    again = train(corpus, 32, 512, [2.0**-7, 2.0**3], [2**15, 2**16], seed=0)
    pd.testing.assert_frame_equal(table, again)


@pytest.mark.parametrize(("optimizer", "rate"), [("adamw", 2.0**-7), ("sgd", 2.0**-2)])
def test_both_optimizers_learn_and_diverge(corpus, optimizer, rate):
    table = train(corpus, 16, 512, [rate, 2.0**3], [2**14, 2**15], seed=0, optimizer=optimizer, warmup=2**11)
    good, bad = (table[table["learning_rate"] == r]["loss"] for r in (rate, 2.0**3))
    assert good.iloc[1] < good.iloc[0] < UNTRAINED_LOSS
    assert (bad > UNTRAINED_LOSS).all()


def test_weight_decay_shrinks_what_has_no_gradient():
    import jax.numpy as jnp

    weights, still = {"w": jnp.ones(2)}, {"w": jnp.zeros(2)}
    update = {name: rule.update(still, rule.init(weights), weights)[0]["w"][0] for name, rule in OPTIMIZERS.items()}
    assert update == {"adam": 0, "adamw": pytest.approx(0.1), "sgd": 0}


def test_horizon_beyond_the_text_is_refused(corpus):
    with pytest.raises(ValueError, match="is longer than the text"):
        train(corpus, 32, 512, [1e-3], [2**30], seed=0)


def test_design_of_the_optimizers():
    groups = lm_optimizers()
    assert len({g.file for g in groups}) == len(groups) == 55
    small, large = ([g for g in groups if g.scale == scale] for scale in ("small", "large"))
    assert {(g.optimizer, g.width) for g in small} == {(o, w) for o in ("adamw", "sgd") for w in (16, 32, 64)}
    assert {g.width for g in small if g.seed == 1} == {32}
    assert max(g.horizons[-1] for g in large) == 8 * max(g.horizons[-1] for g in small)
    assert {g.batch_size for g in large if g.optimizer == "adamw"} == {128, 256, 512, 1024}
    assert {g.batch_size for g in large if g.optimizer == "sgd"} == {64, 128, 256}
    for group in small:
        assert len(group.learning_rates) >= 9
        assert group.learning_rates == sorted(set(group.learning_rates))
        assert all(h * 0.75 % group.batch_size == 0 for h in group.horizons)


def test_learning_rates_follow_the_batch_size():
    def middles(optimizer):
        return [OptimizerGroup("small", 16, batch, 0, optimizer).learning_rates[4] for batch in (32, 128, 512)]

    assert middles("adamw") == [2.0**-8.5, 2.0**-7.5, 2.0**-6.5]
    assert middles("sgd") == [2.0**-5, 2.0**-3, 2.0**-2]


def test_shipped_sweep_is_what_the_trainer_makes():
    runs = hl.load_sweep("lm_adam").frame
    small = runs[runs["data"] <= 2**20]
    assert small["learning_rate"].nunique() >= 7
    assert small["batch_size"].nunique() >= 5
    assert small["data"].nunique() >= 5
    assert small["params"].nunique() == 2
    assert runs["data"].max() == 4 * small["data"].max()
    assert runs["diverged"].any()
    assert len(runs) == sum(g.rows for g in lm_adam())
