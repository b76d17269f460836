"""Sweeps that can be stopped, whatever they train."""

import json
from pathlib import Path

import pandas as pd
import pytest

import hyperlaw as hl
from experiments import parts
from experiments.classify import sweep as classify
from experiments.lm.designs import AdamGroup, OptimizerGroup, lm_adam, lm_optimizers
from experiments.value_rl import sweep as value_rl

SHIPPED = Path(hl.__file__).parent / "data" / "sweeps"
SWEEPS = {
    "digits": (classify.groups(), classify.TYPES),
    "lm_adam": (lm_adam(), {}),
    "lm_optimizers": (lm_optimizers(), {}),
    "value_rl": (value_rl.groups(), value_rl.TYPES),
}


def test_a_sweep_goes_on_where_it_stopped(tmp_path):
    tiny, trained = [AdamGroup("small", 32, batch, 0) for batch in (256, 512)], []

    def train(group):
        trained.append(group.batch_size)
        if len(trained) == 2:
            raise KeyboardInterrupt
        return pd.DataFrame({"batch_size": [group.batch_size], "loss": [2.0]})

    with pytest.raises(KeyboardInterrupt):
        parts.run(tiny, tmp_path, 0, 1, train, {"corpus": "abc"})
    parts.run(tiny, tmp_path, 0, 1, train, {"corpus": "abc"})
    assert trained == [256, 512, 512]
    costs = [json.loads(line) for line in (tmp_path / "cost-0.jsonl").read_text().splitlines()]
    assert [(cost["batch_size"], cost["corpus"]) for cost in costs] == [(256, "abc"), (512, "abc")]
    assert parts.collect(tiny, tmp_path, tmp_path / "all.parquet", {})["batch_size"].tolist() == [256, 512]


def test_two_workers_share_the_groups(tmp_path):
    made = {worker: [] for worker in (0, 1)}
    for worker, groups in made.items():

        def train(group, groups=groups):
            groups.append(group)
            return pd.DataFrame({"loss": [2.0]})

        parts.run(lm_adam(), tmp_path, worker, 2, train, {})
    assert len(made[0]) + len(made[1]) == len(lm_adam()) == len(set(made[0]) | set(made[1]))


def test_the_optimizer_is_a_column_where_there_are_two(tmp_path):
    def train(group):
        return pd.DataFrame({"width": [group.width], "loss": [2.0]})

    pair = [OptimizerGroup("small", 16, 2048, 0, optimizer) for optimizer in ("adamw", "sgd")]
    parts.run(pair, tmp_path / "pair", 0, 1, train, {})
    table = parts.collect(pair, tmp_path / "pair", tmp_path / "pair.parquet", {})
    assert table["optimizer"].tolist() == ["adamw", "sgd"]
    alone = [AdamGroup("small", 16, 2048, 0)]
    parts.run(alone, tmp_path / "alone", 0, 1, train, {})
    assert "optimizer" not in parts.collect(alone, tmp_path / "alone", tmp_path / "alone.parquet", {})


@pytest.mark.parametrize("name", SWEEPS)
def test_a_fresh_clone_goes_on_from_the_shipped_file(tmp_path, name):
    (groups, types), shipped = SWEEPS[name], SHIPPED / f"{name}.parquet"
    assert len({group.file for group in groups}) == len(groups)
    assert parts.unpack(groups, tmp_path, shipped) == len(groups)
    again = parts.collect(groups, tmp_path, tmp_path / "again.parquet", types)
    pd.testing.assert_frame_equal(again, pd.read_parquet(shipped))
    assert parts.unpack(groups, tmp_path, shipped) == 0


def test_a_half_trained_group_is_not_taken(tmp_path):
    group = AdamGroup("small", 32, 256, 0)
    whole = pd.read_parquet(SHIPPED / "lm_adam.parquet")
    rows = whole[(whole["scale"] == "small") & (whole["width"] == 32) & (whole["batch_size"] == 256)]
    rows = rows[rows["seed"] == 0]
    rows.iloc[1:].to_parquet(tmp_path / "part.parquet")
    assert parts.unpack([group], tmp_path / "half", tmp_path / "part.parquet") == 0
    rows.to_parquet(tmp_path / "whole.parquet")
    assert parts.unpack([group], tmp_path / "full", tmp_path / "whole.parquet") == 1


def test_collecting_nothing_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no finished group under .*: run the sweep first"):
        parts.collect(lm_adam(), tmp_path, tmp_path / "all.parquet", {})
