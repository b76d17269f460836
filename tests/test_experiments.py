import numpy as np
import pandas as pd
import pytest

import hyperlaw as hl
from experiments.lm import sweep
from experiments.lm.corpus import Corpus
from experiments.lm.model import BASE_WIDTH, CONTEXT, VOCABULARY, hidden_params, init, learning_rate_scale
from experiments.lm.train import UNTRAINED_LOSS, train


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
    assert scale["mlp_in"] == 0.25
    assert scale["token"] == 1
    params = init(jax.random.key(0), BASE_WIDTH)
    hidden = sum(params[name].size for name in ("attention_in", "attention_out", "mlp_in", "mlp_out"))
    assert hidden == hidden_params(BASE_WIDTH)
    assert params["output"].shape == (BASE_WIDTH, VOCABULARY)


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


def test_horizon_beyond_the_text_is_refused(corpus):
    with pytest.raises(ValueError, match="is longer than the text"):
        train(corpus, 32, 512, [1e-3], [2**30], seed=0)


def test_sweep_goes_on_where_it_stopped(tmp_path, monkeypatch):
    tiny = [sweep.Group("small", 32, batch, 0) for batch in (256, 512)]
    monkeypatch.setattr(sweep, "groups", lambda: tiny)
    trained = []

    def fake(corpus, width, batch_size, learning_rates, horizons, seed):
        trained.append(batch_size)
        if len(trained) == 2:
            raise KeyboardInterrupt
        return pd.DataFrame({"batch_size": [batch_size], "loss": [2.0]})

    monkeypatch.setattr(sweep, "train", fake)
    with pytest.raises(KeyboardInterrupt):
        sweep.run(tmp_path, 0, 1)
    sweep.run(tmp_path, 0, 1)
    assert trained == [256, 512, 512]
    assert sweep.collect(tmp_path, tmp_path / "all.parquet")["batch_size"].tolist() == [256, 512]


def test_collecting_nothing_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no finished group under .*: run the sweep first"):
        sweep.collect(tmp_path, tmp_path / "all.parquet")


def test_shipped_sweep_is_what_the_trainer_makes():
    runs = hl.load_sweep("lm_adam").frame
    small = runs[runs["data"] <= 2**20]
    assert small["learning_rate"].nunique() >= 7
    assert small["batch_size"].nunique() >= 5
    assert small["data"].nunique() >= 5
    assert small["params"].nunique() == 2
    assert runs["data"].max() == 4 * small["data"].max()
    assert runs["diverged"].any()
    expected = sum(len(g.learning_rates) * len(g.horizons) for g in sweep.groups())
    assert len(runs) == expected
