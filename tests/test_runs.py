import warnings
from itertools import product

import numpy as np
import pandas as pd
import pytest

import hyperlaw as hl
from hyperlaw.models.law import LAWS

RATES = (1e-3, 2e-3, 4e-3, 8e-3)


def table(tasks=("all",), scales=(1e6, 1e7), batches=(32.0, 64.0)):
    rows = [
        {"task": task, "data": data, "batch_size": batch, "learning_rate": rate}
        for task, data, batch, rate in product(tasks, scales, batches, RATES)
    ]
    frame = pd.DataFrame(rows)
    distance = np.log(frame["learning_rate"] / 3e-3)
    return frame.assign(loss=2 + 10 / np.log(frame["data"]) + 0.1 * distance**2)


def repeated(frame, times=2):
    return pd.concat([frame] * times, ignore_index=True)


def test_own_words_need_no_arguments():
    runs = hl.Runs.from_frame(table())
    assert len(runs) == 16
    assert runs.scales == ("data",)
    assert list(runs.frame.columns) == [
        "learning_rate", "batch_size", "data", "task", "seed", "loss", "diverged", "cell"
    ]  # fmt: skip


def test_columns_of_other_names():
    source = table().rename(columns={"learning_rate": "lr", "batch_size": "bs", "data": "D", "loss": "smooth loss"})
    source["N"], source["group"], source["try"] = 1e5, "adam", 7
    runs = hl.Runs.from_frame(
        source, learning_rate="lr", batch_size="bs", data="D", params="N", loss="smooth loss", task="group", seed="try"
    )
    assert runs.scales == ("params", "data")
    assert runs.tasks == ("adam",)
    for word, column in {"learning_rate": "lr", "batch_size": "bs", "data": "D", "params": "N"}.items():
        np.testing.assert_array_equal(runs.frame[word], source[column])
    np.testing.assert_allclose(runs.frame["loss"], source["smooth loss"])
    assert (runs.frame["seed"] == 7).all()


def test_every_scale_is_kept_in_the_package_order():
    runs = hl.Runs.from_frame(table().assign(utd=1.0, width=64, params=1e5))
    assert runs.scales == ("params", "width", "data", "utd")
    assert list(runs.cells.columns[:5]) == ["task", "params", "width", "data", "utd"]


def test_misspelt_column_names_the_nearest_and_then_works_without_warnings():
    source = table().rename(columns={"learning_rate": "peak_learning_rate"})
    with pytest.raises(ValueError, match=r"learning_rate: there is no column 'learning_rate'\. Did you mean 'peak_lea"):
        hl.Runs.from_frame(source)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        runs = hl.Runs.from_frame(source, learning_rate="peak_learning_rate")
    np.testing.assert_array_equal(runs.frame["learning_rate"], source["peak_learning_rate"])


def test_numbers_as_text_are_read():
    runs = hl.Runs.from_frame(table().astype({"learning_rate": str}))
    np.testing.assert_array_equal(runs.frame["learning_rate"], table()["learning_rate"])


@pytest.mark.parametrize(("given", "factor"), [(None, 1), (1, 1), (2048, 2048), (0.5, 0.5)])
def test_batch_unit_gives_data_points(given, factor):
    runs = hl.Runs.from_frame(table(), batch_unit=given)
    np.testing.assert_allclose(runs.frame["batch_size"], table()["batch_size"] * factor)
    # It is kept, for the words of a choice.
    assert runs.batch_unit == runs.where(runs.frame["seed"] == 0).batch_unit == runs.options["batch_unit"] == factor


def test_batch_unit_one_keeps_small_batches_beside_many_tokens():
    runs = hl.Runs.from_frame(table(scales=(1e9, 1e10)), batch_unit=1)
    assert runs.frame["batch_size"].max() == 64


def test_batch_as_large_as_data_is_allowed():
    runs = hl.Runs.from_frame(table(scales=(64.0, 128.0)))
    assert len(runs) == 16


def test_labels_are_the_index_of_the_source():
    numbered = table().set_axis(range(100, 116))
    assert hl.Runs.from_frame(numbered).labels == list(range(100, 116))
    named = table().set_axis([f"run-{i}" for i in range(16)])
    runs = hl.Runs.from_frame(named)
    assert runs.labels[3] == "run-3"
    assert runs.frame.loc["run-3", "loss"] == named.loc["run-3", "loss"]


def test_order_of_rows_is_kept():
    shuffled = table().sample(frac=1, random_state=0)
    runs = hl.Runs.from_frame(shuffled)
    assert runs.labels == shuffled.index.tolist()
    np.testing.assert_array_equal(runs.frame["loss"], shuffled["loss"])


def test_an_index_with_repeats_is_replaced():
    runs = hl.Runs.from_frame(table().set_axis([0, 1] * 8))
    assert runs.labels == list(range(16))
    np.testing.assert_array_equal(runs.frame["loss"], table()["loss"])


@pytest.mark.parametrize("column", ["task", "data", "learning_rate"])
def test_an_index_may_share_a_name_with_a_column(column):
    runs = hl.Runs.from_frame(table().set_index(pd.RangeIndex(16, name=column)))
    assert runs.digest == hl.Runs.from_frame(table()).digest
    assert len(runs.cells) == 2


def test_source_is_neither_changed_nor_kept():
    source = table().assign(loss=np.where(np.arange(16) == 2, np.inf, 3.0))
    before = source.copy()
    runs = hl.Runs.from_frame(source, batch_unit=8)
    pd.testing.assert_frame_equal(source, before)
    digest = runs.digest
    source["learning_rate"] = 1.0
    np.testing.assert_array_equal(runs.frame["learning_rate"], before["learning_rate"])
    assert hl.Runs.from_frame(before, batch_unit=8).digest == digest


def test_changing_the_returned_frame_changes_nothing():
    runs = hl.Runs.from_frame(table())
    frame = runs.frame
    frame.loc[0, "loss"] = 99.0
    frame["learning_rate"] = 1.0
    assert runs.frame.loc[0, "loss"] == table().loc[0, "loss"]
    assert runs.frame["learning_rate"].nunique() == len(RATES)


def test_changing_the_returned_cells_changes_nothing():
    runs = hl.Runs.from_frame(table())
    cells = runs.cells
    cells.loc[0, "data"] = 7.0
    assert runs.cells["data"].tolist() == [1e6, 1e7]


def test_runs_cannot_be_assigned_to():
    runs = hl.Runs.from_frame(table())
    with pytest.raises(AttributeError):
        runs._frame = table()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_loss_that_is_not_finite_is_a_diverged_run(value):
    source = table()
    source.loc[3, "loss"] = value
    runs = hl.Runs.from_frame(source)
    assert len(runs) == 16
    assert runs.frame.index[runs.frame["diverged"]].tolist() == [3]
    assert np.isnan(runs.frame.loc[3, "loss"])
    assert runs.frame["loss"].isna().sum() == 1


def test_missing_loss_in_a_nullable_column_is_a_diverged_run():
    source = table().astype({"loss": "Float64"})
    source.loc[3, "loss"] = pd.NA
    assert hl.Runs.from_frame(source).frame["diverged"].sum() == 1


@pytest.mark.parametrize("kind", [bool, int, float, "boolean"])
def test_marked_runs_are_diverged_whatever_their_loss(kind):
    marks = pd.Series(np.arange(16) == 5).astype(kind)
    runs = hl.Runs.from_frame(table().assign(failed=marks), diverged="failed")
    assert runs.frame.index[runs.frame["diverged"]].tolist() == [5]
    assert np.isnan(runs.frame.loc[5, "loss"])


def test_marked_and_not_finite_runs_add_up():
    source = table().assign(diverged=np.arange(16) == 5)
    source.loc[9, "loss"] = np.inf
    runs = hl.Runs.from_frame(source)
    assert runs.frame.index[runs.frame["diverged"]].tolist() == [5, 9]
    assert runs.cells["diverged"].tolist() == [1, 1]


def test_defaults_are_one_task_and_seed_zero():
    runs = hl.Runs.from_frame(table().drop(columns="task"))
    assert runs.tasks == ("all",)
    assert (runs.frame["seed"] == 0).all()


def test_tasks_are_sorted_text():
    runs = hl.Runs.from_frame(table(tasks=(10, 2)), task="task")
    assert runs.tasks == ("10", "2")
    assert runs.frame["task"].iloc[0] == "10"


def test_seeds_tell_repeats_apart():
    runs = hl.Runs.from_frame(repeated(table()).assign(repeat=np.repeat([1, 2], 16)), seed="repeat")
    assert len(runs) == 32
    assert runs.frame["seed"].tolist() == [1] * 16 + [2] * 16
    assert runs.cells["runs"].tolist() == [16, 16]


def test_cells_differ_in_task_and_scale_only():
    source = table(tasks=("b", "a"))
    source.loc[0, "loss"] = np.inf
    cells = hl.Runs.from_frame(source).cells
    assert cells["task"].tolist() == ["a", "a", "b", "b"]
    assert cells["data"].tolist() == [1e6, 1e7, 1e6, 1e7]
    assert cells["runs"].tolist() == [8] * 4
    assert cells["diverged"].tolist() == [0, 0, 1, 0]
    lowest = source.groupby(["task", "data"])["loss"].min()
    np.testing.assert_allclose(cells["lowest_loss"], lowest)


def test_csv_and_parquet_read_the_same_runs(tmp_path):
    rng = np.random.default_rng(0)
    source = table()
    source = source.assign(loss=rng.normal(3, 0.1, 16), learning_rate=source["learning_rate"] * rng.uniform(1, 1.5, 16))
    source = source.rename(columns={"learning_rate": "lr", "data": "D"}).assign(seed=3)
    words = {"learning_rate": "lr", "data": "D", "batch_unit": 16}
    source.to_csv(tmp_path / "runs.csv", index=False)
    source.to_parquet(tmp_path / "runs.parquet")
    runs = hl.Runs.from_frame(source, **words)
    for other in (
        hl.Runs.from_csv(tmp_path / "runs.csv", **words),
        hl.Runs.from_parquet(tmp_path / "runs.parquet", **words),
    ):
        pd.testing.assert_frame_equal(other.frame, runs.frame, check_exact=True)
        assert other.digest == runs.digest


@pytest.mark.parametrize("word", ["data", "params", "width", "utd"])
def test_files_take_every_word(word, tmp_path):
    source = table().rename(columns={"data": "x", "learning_rate": "lr", "batch_size": "bs", "loss": "l", "task": "t"})
    source = repeated(source).assign(s=np.repeat([0, 1], 16), dead=np.arange(32) == 0)
    words = {
        word: "x", "learning_rate": "lr", "batch_size": "bs", "loss": "l", "task": "t", "seed": "s", "diverged": "dead"
    }  # fmt: skip
    source.to_csv(tmp_path / "runs.csv", index=False)
    source.to_parquet(tmp_path / "runs.parquet")
    for runs in (
        hl.Runs.from_csv(tmp_path / "runs.csv", **words),
        hl.Runs.from_parquet(tmp_path / "runs.parquet", **words),
    ):
        assert runs.scales == (word,)
        assert runs.digest == hl.Runs.from_frame(source, **words).digest
        assert runs.frame["diverged"].sum() == 1


def test_digest_is_that_of_the_values():
    runs = hl.Runs.from_frame(table())
    renamed = table().rename(columns={"loss": "final"}).set_axis([f"r{i}" for i in range(16)])
    assert hl.Runs.from_frame(table().assign(unused=1)).digest == runs.digest
    assert hl.Runs.from_frame(renamed, loss="final").digest == runs.digest
    assert hl.Runs.from_frame(table().astype({"batch_size": int, "data": int})).digest == runs.digest


def test_the_names_of_runs_change_no_digest_and_which_rows_are_one_does():
    runs = np.tile(np.arange(8), 2)  # each read at both horizons
    digest = hl.Runs.from_frame(table().assign(run=runs)).digest
    for names in (100 - runs, [f"{3 * i % 8}-trial" for i in runs]):
        assert hl.Runs.from_frame(table().assign(run=names)).digest == digest
    assert hl.Runs.from_frame(table().assign(run=np.arange(16))).digest != digest


@pytest.mark.parametrize("column", ["learning_rate", "batch_size", "data", "loss"])
def test_digest_differs_when_a_value_does(column):
    source = table()
    source.loc[source[column] == source.loc[4, column], column] *= 1.0000001
    changed = hl.Runs.from_frame(source)
    assert changed.digest != hl.Runs.from_frame(table()).digest


@pytest.mark.parametrize("change", [{"seed": 1}, {"task": "b"}, {"params": 5.0}, {"diverged": np.arange(16) == 0}])
def test_digest_differs_when_a_label_or_scale_does(change):
    assert hl.Runs.from_frame(table().assign(**change)).digest != hl.Runs.from_frame(table()).digest


def test_digest_differs_when_the_same_values_are_another_scale():
    source = table().rename(columns={"data": "x"})
    assert hl.Runs.from_frame(source, data="x").digest != hl.Runs.from_frame(source, params="x").digest


def test_where_keeps_runs_and_numbers_their_cells_anew():
    runs = hl.Runs.from_frame(table(tasks=("a", "b"), scales=(1e6, 1e7, 1e8)).set_axis(range(50, 98)))
    left = runs.where((runs.frame["data"] > 2e6) & (runs.frame["task"] == "b"))
    assert left.tasks == ("b",)
    assert left.cells["data"].tolist() == [1e7, 1e8]
    assert left.cells.index.tolist() == [0, 1]
    assert left.labels == list(range(82, 98))
    assert len(runs) == 48
    assert len(runs.cells) == 6


def test_where_all_is_the_same_runs():
    runs = hl.Runs.from_frame(table())
    assert runs.where(runs.frame["data"] > 0).digest == runs.digest


def test_notes_of_a_part_are_of_the_whole():
    frame = table()
    frame.loc[0, "loss"] = np.nan
    runs = hl.Runs.from_frame(frame)
    assert runs.notes
    part = runs.where(runs.frame["data"] > 0)
    again = part.where(part.frame["data"] > 0)
    assert part.notes == again.notes == tuple(f"of the whole table: {note}" for note in runs.notes)


def test_where_goes_by_label_not_by_order():
    runs = hl.Runs.from_frame(table(tasks=("a", "b")))
    keep = (runs.frame["task"] == "a").sort_values()
    assert runs.where(keep).tasks == ("a",)
    with pytest.raises(
        ValueError, match="keep must be a Series of booleans with one entry a row and the index of `frame`"
    ):
        runs.where(keep.iloc[1:])


def test_repr_counts_runs_cells_and_scales():
    source = table(tasks=("a", "b"))
    source.loc[0, "loss"] = np.inf
    said = "Runs: 32 runs (1 diverged) in 4 cells, 2 tasks; data 1M to 10M"
    assert hl.Runs.from_frame(source).headline == said


def test_shipped_sweeps_load_and_are_listed():
    listed = hl.sweeps()
    assert {"lm_adam", "digits"} <= set(listed.index)
    for name, row in listed.iterrows():
        table = hl.load_sweep(name)
        assert type(table).__name__ == row["kind"]
        assert len(table) == row["rows"]
        assert row["tasks"] == ", ".join(table.tasks)
        assert row["what"]
        assert [part.split()[0] for part in row["scales"].split(", ")] == list(table.scales)
    assert listed.loc["digits", "tasks"] == "adam, sgd"
    assert listed.loc["lm_adam", "scales"] == "params 24.6k to 98.3k, width 32 to 64, data 65.5k to 4.19M"


def test_shipped_sweeps_can_test_the_laws_that_are_listed():
    made_of = {"Runs": {"runs", "optima", "steps_to_loss"}, "Curves": {"crossings", "optima"}}
    made_of["NoiseMeasurements"] = {"noise_measurements"}
    for _, row in hl.sweeps().iterrows():
        for law in row["laws"].split(", "):
            assert set(LAWS[law].tables) & made_of[row["kind"]]
