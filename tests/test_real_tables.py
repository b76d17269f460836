"""Tables as people have them: each kind is read right, or refused with what to do."""

import gzip
import inspect
import re

import numpy as np
import pandas as pd
import pytest

import hyperlaw as hl
from hyperlaw.data.files import read_file

NAMES = {"learning_rate": "lr", "batch_size": "bs", "data": "tokens", "params": "N"}


def sweep(sizes=(2e7, 8e7), horizons=(4e8, 16e8), batches=(64 * 2048, 256 * 2048), rates=5):
    """A sweep whose best learning rate lies inside its grid."""
    rows = [
        {
            "N": n, "tokens": d, "bs": b, "lr": 1e-3 * 2.0**r,
            "loss": 3 - 0.1 * np.log(n / 2e7) - 0.1 * np.log(d / 4e8) + 0.02 * (r - (rates - 1) / 2) ** 2,
        }
        for n in sizes for d in horizons for b in batches for r in range(rates)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def read(frame, **words):
    return hl.Runs.from_frame(frame, **{**NAMES, **words})


def said(error):
    """A pattern that matches this text."""
    return re.escape(error)


class TestColumns:
    def test_what_is_the_same_in_every_run_is_a_number(self):
        frame = sweep(batches=(8192.0,))
        runs = read(frame.drop(columns="bs"), batch_size=8192)
        pd.testing.assert_frame_equal(runs.frame, read(frame).frame)

    def test_a_column_comes_before_a_number(self):
        frame = sweep().rename(columns={"bs": 2})
        pd.testing.assert_frame_equal(read(frame, batch_size=2).frame, read(sweep()).frame)
        with pytest.raises(TypeError, match="loss must be the name of a column, received int"):
            read(frame, loss=4)

    def test_what_is_named_for_one_word_is_not_looked_up_for_another(self):
        frame = pd.concat([sweep().assign(run=i, loss=lambda f, i=i: f["loss"] + i / 1e3) for i in range(3)])
        runs = read(frame.reset_index(drop=True), seed="run")
        assert sorted(runs.frame["seed"].unique()) == [0, 1, 2]

    def test_seeds_may_be_names_and_marks_may_be_text(self):
        parts = [sweep().assign(seed=name, diverged="False") for name in ("s1", "s2")]
        runs = read(pd.concat(parts, ignore_index=True))
        assert sorted(runs.frame["seed"].unique()) == [0, 1]
        arrow = sweep().assign(diverged=False).astype({"diverged": "bool[pyarrow]"})
        assert read(arrow).frame["diverged"].sum() == 0

    def test_a_series_is_no_name(self):
        frame = sweep()
        text = "batch_size must be the name of a column or one number for every row, received Series."
        with pytest.raises(TypeError, match=said(text)):
            read(frame, batch_size=frame["bs"])

    def test_an_absent_count_may_be_a_number(self):
        text = "batch_size: there is no column 'bs'. If it was the same in every run, give the number: batch_size=..."
        with pytest.raises(ValueError, match=said(text)):
            read(sweep().drop(columns="bs").assign(State="finished"))

    def test_text_is_never_suggested_for_a_number(self):
        frame = sweep().rename(columns={"bs": "train_batch_size"}).assign(batch_sizes="large")
        with pytest.raises(ValueError, match="Did you mean 'train_batch_size'"):
            read(frame, batch_size="batch_size")

    def test_at_most_twenty_columns_are_listed(self):
        frame = sweep().assign(**{f"metric_{i}": 0.0 for i in range(40)})
        with pytest.raises(ValueError, match=r"metric_14, and 25 more\.$"):
            read(frame, params="zzz")

    @pytest.mark.parametrize(
        ("text", "value"),
        [("7B", 7e9), ("1.4T", 1.4e12), ("32k", 32e3), ("20 M", 20e6), ("1,000,000", 1e6), ("1e9", 1e9), (" 5 ", 5.0)],
    )
    def test_counts_are_read_as_people_write_them(self, text, value):
        frame = sweep(sizes=(1.0, 1e15)).replace({"N": {1.0: text, 1e15: "1e15"}})
        assert sorted(set(read(frame.astype({"N": object})).frame["params"])) == sorted({value, 1e15})

    def test_rates_and_losses_may_be_text(self):
        frame = sweep()
        text = frame.assign(lr=frame["lr"].astype(str), loss=frame["loss"].astype(str))
        text.loc[4, "loss"] = "NaN"
        runs = read(text)
        assert runs.frame["diverged"].tolist() == [i == 4 for i in range(len(frame))]
        np.testing.assert_array_equal(runs.frame["learning_rate"], frame["lr"])

    @pytest.mark.parametrize(
        ("values", "kind"),
        [
            (pd.Timestamp("2026-01-01"), "dates"),
            (1e-3 + 0j, "complex numbers"),
            (True, "true or false"),
            (b"1e-3", "bytes"),
            (pd.Timedelta(1, "s"), "durations"),
        ],
    )
    def test_what_is_no_number_is_refused(self, values, kind):
        with pytest.raises(ValueError, match=f"column 'lr' must hold numbers, but holds {kind} in"):
            read(sweep().assign(lr=values))

    @pytest.mark.parametrize("dtype", ["Float64", "category", "float64[pyarrow]", "object", "string"])
    def test_every_kind_of_column_is_read(self, dtype):
        frame = sweep()
        runs = read(frame.astype({"lr": dtype, "loss": dtype}))
        np.testing.assert_allclose(runs.frame["loss"], frame["loss"])

    @pytest.mark.parametrize("index", ["labels", "dates", "several levels", "repeated"])
    def test_every_index_will_do(self, index):
        frame = sweep()
        kinds = {
            "labels": [f"run {i}" for i in range(len(frame))],
            "dates": pd.date_range("2026-01-01", periods=len(frame)),
            "several levels": pd.MultiIndex.from_arrays([frame["lr"], range(len(frame))]),
            "repeated": [0] * len(frame),
        }
        runs = read(frame.set_index(pd.Index(kinds[index])))
        np.testing.assert_array_equal(runs.frame.to_numpy(), read(frame).frame.to_numpy())

    @pytest.mark.parametrize("kind", ["list", "dict"])
    def test_tables_of_plain_python(self, kind):
        frame = sweep()
        table = frame.to_dict("records" if kind == "list" else "list")
        pd.testing.assert_frame_equal(read(table).frame, read(frame).frame)

    def test_no_table_is_refused(self):
        with pytest.raises(
            TypeError, match="a table must be a DataFrame, a dict of lists, a list of dicts or the path"
        ):
            read(3)


class TestFiles:
    @pytest.mark.parametrize(
        "write",
        [
            lambda f, p: f.to_csv(p, index=False),
            lambda f, p: f.to_csv(p, index=False, sep=";", decimal=","),
            lambda f, p: f.to_csv(p, index=False, sep=";"),
            lambda f, p: f.to_csv(p, index=False, sep="\t", encoding="utf-8-sig"),
            lambda f, p: f.to_csv(p, index=False, sep="|"),
            lambda f, p: f.to_csv(p, index=False, encoding="utf-16"),
            lambda f, p: f.to_json(p, orient="records", lines=True, double_precision=15),
            lambda f, p: f.to_json(p, orient="records", double_precision=15),
            lambda f, p: f.to_json(p, orient="columns", double_precision=15),
            lambda f, p: f.to_parquet(p),
            lambda f, p: p.write_bytes(gzip.compress(f.to_csv(index=False).encode())),
        ],
    )
    def test_content_decides_and_not_the_name(self, write, tmp_path):
        frame = sweep()
        write(frame, tmp_path / "runs.data")
        found = read_file(tmp_path / "runs.data")
        np.testing.assert_allclose(found[frame.columns].to_numpy(float), frame.to_numpy(float))

    def test_thousands_are_no_decimals(self, tmp_path):
        frame = sweep(horizons=(4e5, 16e5), batches=(1024.0, 4096.0))
        commas = frame.assign(bs=frame["bs"].map("{:,.0f}".format))
        commas.to_csv(tmp_path / "commas.tsv", sep="\t", index=False)
        points = commas.assign(bs=commas["bs"].str.replace(",", "."))
        points.to_csv(tmp_path / "points.csv", sep=";", decimal=",", index=False)
        for name in ("commas.tsv", "points.csv"):
            runs = read(tmp_path / name)
            assert sorted(runs.frame["batch_size"].unique()) == [1024, 4096]
            np.testing.assert_allclose(runs.frame["loss"], frame["loss"])

    def test_one_bad_cell_is_named_among_decimal_commas(self, tmp_path):
        frame = sweep().astype({"lr": object})
        frame.loc[3, "lr"] = "O,001"
        frame.to_csv(tmp_path / "runs.csv", sep=";", decimal=",", index=False)
        with pytest.raises(
            ValueError, match=said("column 'lr' must hold numbers, but holds text in 1 row: 3 ('O,001').")
        ):
            read(tmp_path / "runs.csv")

    def test_blank_lines_and_separators_at_the_end_are_passed_over(self, tmp_path):
        text = sweep().to_csv(index=False, sep=";")
        (tmp_path / "blank.csv").write_text("sep=;\n" + text + ";;;;\n;;;;\n")
        ended = text.replace("\n", ";\n").replace(";\n", "\n", 1)
        (tmp_path / "ended.csv").write_text(ended)
        for name in ("blank.csv", "ended.csv"):
            assert len(read(tmp_path / name)) == 40

    def test_nested_names_become_columns_with_dots(self, tmp_path):
        (tmp_path / "runs.jsonl").write_text('{"loss": 2.5, "optimizer": {"lr": 0.001}}\n')
        assert read_file(tmp_path / "runs.jsonl").columns.tolist() == ["loss", "optimizer.lr"]

    def test_two_columns_of_one_name_are_refused(self, tmp_path):
        (tmp_path / "runs.csv").write_text("lr,bs,tokens,N,loss, loss\n1e-3,64,1e9,1e7,3,4\n")
        with pytest.raises(ValueError, match="loss: the table has 2 columns named 'loss'"):
            read(tmp_path / "runs.csv")

    def test_refused(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="there is no file"):
            read_file(tmp_path / "none.csv")
        (tmp_path / "empty.csv").write_text("\n")
        with pytest.raises(ValueError, match="is empty: a line of column names and one row at least"):
            read_file(tmp_path / "empty.csv")
        (tmp_path / "half.json").write_text('{"loss": 2.5')
        with pytest.raises(ValueError, match="looks like JSON, but cannot be read as such"):
            read_file(tmp_path / "half.json")
        (tmp_path / "cut.gz").write_bytes(gzip.compress(b"lr,bs\n1,2\n" * 50)[:-9])
        with pytest.raises(ValueError, match="is damaged or cut off"):
            read_file(tmp_path / "cut.gz")
        (tmp_path / "lists.json").write_text("[[1, 2], [3, 4]]")
        with pytest.raises(ValueError, match="is JSON, but no table: write an array of objects"):
            read_file(tmp_path / "lists.json")
        (tmp_path / "binary").write_bytes(bytes([0x89, 0xFF, 0xFE, 0x00]))
        with pytest.raises(ValueError, match="is neither Parquet nor text in UTF-8"):
            read_file(tmp_path / "binary")

    @pytest.mark.parametrize("kind", [hl.Runs, hl.Optima, hl.Curves, hl.Crossings, hl.StepsToLoss])
    def test_every_table_reads_files(self, kind, tmp_path):
        (tmp_path / "other.csv").write_text("a;b\n1;2\n")
        for read_from in (kind.from_csv, kind.from_parquet):
            with pytest.raises(ValueError, match=r"The columns are: a, b\.|estimated must name"):
                read_from(tmp_path / "other.csv")

    def test_a_wide_table_is_refused_with_the_line_that_melts_it(self):
        wide = pd.DataFrame(
            {"Step": [0, 1], "sac_utd1__0 - return": [1.0, 2.0], "sac_utd1__0 - return__MIN": [1.0, 2.0]}
        )
        with pytest.raises(ValueError, match=said("df.melt('Step', [c for c in df if c.endswith(' - return')],")):
            hl.Curves.from_frame(wide, data="Step", performance="return")


class TestOutcomes:
    def test_runs_that_did_not_finish_are_left_out_and_counted(self):
        frame = sweep().assign(State="finished")
        more = frame.head(3).assign(State=["running", "crashed", "Preempted"], tokens=[np.nan, 4e8, 4e8], lr=0.5)
        runs = read(pd.concat([frame, more], ignore_index=True))
        assert len(runs) == len(frame)
        assert runs.notes == ("1 left out: running", "1 left out: crashed", "1 left out: preempted")
        assert "1 left out: crashed" in repr(runs)

    def test_a_state_decides_what_a_missing_loss_means(self):
        frame = sweep().assign(status="finished")
        frame.loc[[3, 4], "loss"] = np.nan
        frame.loc[3, "status"] = "killed"
        runs = read(frame, state="status")
        assert runs.frame.index[runs.frame["diverged"]].tolist() == [4]
        assert 3 not in runs.frame.index

    def test_an_infinite_loss_diverged_whatever_its_state(self):
        frame = sweep().assign(state="finished")
        frame.loc[4, ["loss", "state"]] = [np.inf, "failed"]
        assert read(frame).frame["diverged"].sum() == 1

    @pytest.mark.parametrize("name", ["status", "STATE", "Status"])
    def test_a_column_of_states_is_found_by_what_it_holds(self, name):
        frame = sweep().assign(**{name: "FINISHED"})
        frame.loc[0, name] = "TrialState.RUNNING"
        assert read(frame).notes == ("1 left out: running",)
        assert len(read(frame.assign(**{name: "CA"}))) == len(frame)

    def test_a_state_may_say_that_a_run_diverged(self):
        frame = sweep().assign(State="finished")
        frame.loc[4, ["State", "loss"]] = ["diverged", np.nan]
        frame.loc[9, ["State", "loss"]] = ["failed", 1e5]
        assert read(frame, untrained_loss=10.8).frame["diverged"].sum() == 2

    def test_a_finished_run_without_a_loss_is_said_to_have_diverged(self):
        frame = sweep().assign(State="finished")
        frame.loc[1, "loss"] = np.nan
        runs = read(frame)
        assert runs.frame["diverged"].sum() == 1
        assert runs.notes[0].startswith(
            "1 taken as diverged: finished without a loss, though higher learning rates have"
        )

    def test_half_of_the_losses_may_be_those_of_no_model(self):
        frame = sweep(rates=9)
        frame.loc[frame.groupby(["N", "tokens", "bs"]).cumcount() >= 4, "loss"] = 1e5
        assert read(frame).frame["diverged"].sum() == 40

    def test_a_loss_of_zero_is_no_reason(self):
        frame = sweep()
        frame["loss"] = np.where(frame["lr"] < 5e-3, 0.0, frame["loss"] / 100)
        assert read(frame).frame["diverged"].sum() == 0

    def test_no_loss_at_all_is_said(self):
        with pytest.raises(ValueError, match="no run has a finite loss: the column is empty, or every run diverged"):
            read(sweep().assign(loss=np.nan))
        with pytest.raises(ValueError, match="all 40 runs end above untrained_loss, 1: it must be the loss of a model"):
            read(sweep(), untrained_loss=1.0)

    def test_unknown_states_are_refused(self):
        with pytest.raises(ValueError, match=said("column 'State' holds the state of each run, but 'great' is none.")):
            read(sweep().assign(State="great"))
        with pytest.raises(ValueError, match="no run finished: column 'State' holds running alone"):
            read(sweep().assign(State="running"))

    def test_a_loss_lost_below_rates_that_finished_is_no_divergence(self):
        frame = sweep()
        frame.loc[[1, 4], "loss"] = np.nan  # the second and the highest learning rate of one batch size
        runs = read(frame)
        assert runs.frame.index[runs.frame["diverged"]].tolist() == [4]
        assert runs.notes[0].startswith(
            "1 left out: no loss though higher learning rates finished, so not diverged (rows 1;"
        )
        assert read(frame.assign(diverged=frame["loss"].isna())).frame["diverged"].sum() == 2

    def test_a_loss_of_no_model_diverged(self):
        frame = sweep()
        frame.loc[4, "loss"] = 1e4
        runs = read(frame)
        assert runs.frame.index[runs.frame["diverged"]].tolist() == [4]
        assert runs.notes == ("1 taken as diverged: a loss above 60, 20 times the lowest of the worst cell",)
        frame.loc[4, "loss"] = 11.5
        assert read(frame, untrained_loss=10.8).frame["diverged"].sum() == 1
        assert read(frame).frame["diverged"].sum() == 0
        with pytest.raises(ValueError, match="untrained_loss must be a finite loss above zero, received -1"):
            read(frame, untrained_loss=-1)

    def test_a_bad_loss_at_a_low_rate_is_no_divergence(self):
        frame = sweep()
        frame.loc[0, "loss"] = 100.0
        assert read(frame).frame["diverged"].sum() == 0


class TestLosses:
    @pytest.mark.parametrize(
        "name",
        ["Accuracy", "val/acc", "valacc", "episodic_return", "reward", "valScore", "top1 %", "mAP", "pass@1"],
    )
    def test_what_is_better_when_higher_is_refused(self, name):
        with pytest.raises(ValueError, match=said(f"loss: column {name!r} looks like a ")):
            read(sweep().rename(columns={"loss": name}), loss=name)

    def test_percentages_are_refused(self):
        frame = sweep()
        with pytest.raises(ValueError, match="looks like a percentage"):
            read(frame.assign(loss=(10 * frame["loss"]).map("{:.2f}%".format)))

    @pytest.mark.parametrize("name", ["loss", "accuracy_loss", "error rate", "1-acc", "one_minus_acc", "map_nll"])
    def test_losses_of_other_names_are_read(self, name):
        assert len(read(sweep().rename(columns={"loss": name}), loss=name)) == 40

    def test_a_loss_that_is_highest_in_the_middle_is_refused(self):
        frame = sweep()
        text = (
            "the loss is highest in the middle of the learning rates and lowest at their ends in 8 of 8 series of runs"
        )
        with pytest.raises(ValueError, match=said(text)):
            read(frame.assign(loss=4 - frame["loss"]))

    def test_perplexity_becomes_nats(self):
        frame = sweep()
        runs = read(frame.assign(loss=np.exp(frame["loss"])), loss_unit="perplexity")
        np.testing.assert_allclose(runs.frame["loss"], frame["loss"])
        assert runs.loss_unit == "nats"
        with pytest.raises(ValueError, match="loss_unit='perplexity', but column 'loss' is below 1"):
            read(frame.assign(loss=frame["loss"] / 10), loss_unit="perplexity")

    def test_a_perplexity_is_told_by_its_name(self):
        frame = sweep().assign(val_ppl=lambda f: np.exp(f["loss"]))
        with pytest.raises(ValueError, match="column 'val_ppl' looks like a perplexity: pass loss_unit='perplexity'"):
            read(frame, loss="val_ppl")
        frame.loc[4, "val_ppl"] = 60000.0
        runs = read(frame, loss="val_ppl", loss_unit="Perplexity", untrained_loss=50257)
        assert runs.loss_unit == "nats"
        assert runs.frame["diverged"].sum() == 1

    def test_other_units_are_kept(self):
        runs = read(sweep(), loss_unit="bits per byte")
        assert runs.loss_unit == "bits per byte"
        assert "loss in bits per byte" in runs.headline
        assert runs.where(runs.frame["params"] > 0).loss_unit == "bits per byte"
        with pytest.raises(ValueError, match="loss_unit must say in what unit the loss is"):
            read(sweep(), loss_unit="")


class TestScales:
    def test_data_that_differ_by_rounding_are_one_scale(self):
        frame = sweep(batches=(1e5, 3e5))
        whole = frame.assign(tokens=np.floor(frame["tokens"] / frame["bs"]) * frame["bs"])
        runs = read(whole)
        assert whole["tokens"].nunique() > 2
        assert len(runs.cells) == 4
        assert runs.notes[0].startswith(
            "data that differ by rounding to whole steps are one scale: 3.999e+08 to 4e+08 as"
        )

    def test_horizons_a_step_apart_of_one_run_stay(self):
        frame = sweep(horizons=(4e5, 8e5), batches=(1e5, 2e5))
        assert len(read(frame).cells) == 4

    def test_steps_are_multiplied(self):
        frame = sweep()
        steps = read(frame.assign(n=frame["tokens"] / frame["bs"]), data=None, steps="n")
        np.testing.assert_allclose(steps.frame["data"], frame["tokens"])
        with pytest.raises(ValueError, match=r"pass data= or steps=, not both"):
            read(frame, steps="bs")

    @pytest.mark.parametrize("name", ["train/global_step", "steps", "iterations"])
    def test_steps_are_no_data(self, name):
        with pytest.raises(
            ValueError, match=said(f"data: column {name!r} (4e+08 to 1.6e+09) looks like optimizer steps")
        ):
            read(sweep().rename(columns={"tokens": name}), data=name)

    def test_equal_steps_part_the_batch_sizes(self):
        frame = sweep(horizons=(1.0,), batches=(1e5, 2e5, 4e5))
        with pytest.raises(ValueError, match="every run made about 5e\\+03 steps, so that its data follows from its"):
            read(frame.assign(tokens=5000 * frame["bs"]))

    def test_sequences_beside_tokens_in_one_column_are_refused(self):
        frame = sweep()
        frame.loc[frame["N"] > 3e7, "bs"] /= 2048
        with pytest.raises(ValueError, match="some look like sequences, some like tokens"):
            read(frame)

    def test_two_further_hyperparameters_are_named(self):
        parts = [sweep().assign(wd=w, beta2=b) for w in (0, 0.1) for b in (0.9, 0.95)]
        with pytest.raises(ValueError, match=said("They differ in 'wd', 'beta2'. If that is a hyperparameter")):
            read(pd.concat(parts, ignore_index=True))

    def test_repeats_stay_repeats_when_the_best_is_kept(self):
        parts = [sweep().assign(wd=w, loss=lambda f, e=e: f["loss"] + e) for w in (0, 0.1) for e in (0, 0.01)]
        text = "160 rows repeat another run, of equal wd too (first rows 0, 1, 2, 3): the luckiest of them"
        with pytest.raises(ValueError, match=said(text)):
            read(pd.concat(parts, ignore_index=True), tune_over="wd")

    def test_epochs_are_no_data(self):
        with pytest.raises(ValueError, match="looks like epochs, not data points: multiply it by the number of points"):
            read(sweep().rename(columns={"tokens": "num epochs"}), data="num epochs")

    def test_many_steps_are_sequences_beside_tokens(self):
        frame = sweep(horizons=(1e8, 4e8), batches=(32.0, 128.0))
        with pytest.raises(ValueError, match="looks like sequences beside data in tokens"):
            read(frame)
        assert len(read(frame, batch_unit=1)) == len(frame)

    def test_horizons_of_one_batch_size_are_not_merged(self):
        runs = read(sweep(horizons=(1e6, 1.05e6, 4e6), batches=(6e4, 1.2e5)))
        assert len(runs.cells) == 6
        assert runs.notes == ()

    def test_readings_of_runs_in_whole_steps_are_merged_across_runs(self):
        frame = sweep(horizons=(1e8, 2e8, 4e8), batches=(1e5, 3e5))
        frame["run"] = frame.groupby(["N", "bs", "lr"]).ngroup()
        frame["tokens"] = np.floor(frame["tokens"] / frame["bs"]) * frame["bs"]
        assert len(read(frame).cells) == 6

    def test_rates_near_a_line_are_refused_too(self):
        frame = sweep(batches=(1e5, 2e5, 4e5, 8e5, 1.6e6), rates=1)
        rounded = dict(zip(sorted(frame["bs"].unique()), (1e-3, 1e-3, 2e-3, 2e-3, 4e-3), strict=True))
        with pytest.raises(ValueError, match="learning rate and batch size move together"):
            read(frame.assign(lr=frame["bs"].map(rounded)))

    def test_a_random_search_is_read(self):
        rng = np.random.default_rng(0)
        frame = pd.DataFrame({"lr": 10 ** rng.uniform(-5, -1, 200), "bs": rng.integers(4096, 262144, 200)})
        frame = frame.assign(tokens=rng.choice([1e8, 4e8], 200), N=1e7)
        frame["loss"] = 3 + 0.1 * (np.log10(frame["lr"]) + 3) ** 2
        frame.loc[frame["lr"].nlargest(4).index, "loss"] = np.nan
        slow = frame["lr"].nsmallest(3).index
        frame.loc[slow, "loss"] = np.nan
        runs = read(frame)
        assert runs.frame["diverged"].sum() >= 4
        assert not set(slow) & set(runs.frame.index[runs.frame["diverged"]])

    def test_rates_tied_to_batches_are_refused(self):
        frame = sweep(batches=(1e5, 2e5, 4e5), rates=1)
        tied = frame.assign(lr=1e-3 * np.sqrt(frame["bs"] / 1e5))
        with pytest.raises(ValueError, match="learning rate and batch size move together"):
            read(tied)

    def test_cells_of_unfinished_runs_are_told(self):
        frame = sweep()
        more = frame.head(2).assign(tokens=3e8)
        text = "Others of its size saw more data, so the runs there (rows 40, 41) may not have finished"
        with pytest.raises(ValueError, match=said(text)):
            read(pd.concat([frame, more], ignore_index=True))

    def test_a_third_hyperparameter_is_named(self):
        frame = pd.concat([sweep().assign(beta2=b, loss=lambda f, b=b: f["loss"] + b) for b in (0.9, 0.95)])
        frame = frame.assign(
            run_name=[f"run {i}" for i in range(len(frame))], lucky=np.round(frame["loss"].to_numpy(), 9)
        )
        with pytest.raises(
            ValueError,
            match=said("They differ in 'beta2'. If that is a hyperparameter, pass tune_over=['beta2'] to"),
        ):
            read(frame)
        best = read(frame, tune_over=["beta2"])
        np.testing.assert_allclose(best.frame["loss"], sweep()["loss"] + 0.9)
        assert best.notes[0].startswith("40 left out: of each setting the best over beta2 is kept")
        with pytest.raises(ValueError, match=said("tune_over must list columns that nothing else is read from")):
            read(frame, tune_over=["beta3"])


class TestOneScale:
    def test_runs_of_one_scale_have_optima_and_no_law(self):
        runs = read(sweep(sizes=(2e7,), horizons=(4e8,)))
        assert len(runs.optima()) == 1
        text = "a single scale (params = 2e+07, data = 4e+08): there is nothing to extrapolate from. The best setting"
        with pytest.raises(ValueError, match=said(text)):
            hl.fit(hl.laws.StepLaw(), runs, seed=0)

    def test_two_cells_do_not_tell_two_exponents(self):
        frame = pd.concat([sweep((2e7,), (4e8,)), sweep((8e7,), (16e8,))], ignore_index=True)
        text = "2 cells cannot tell the exponents of params and data apart, which move together in this table."
        with pytest.raises(ValueError, match=said(text)):
            hl.fit(hl.laws.StepLaw(), read(frame), seed=0)

    def test_runs_without_any_scale(self):
        frame = sweep(sizes=(2e7,), horizons=(4e8,), batches=(1e5,)).drop(columns=["N", "tokens"])
        runs = hl.Runs.from_frame(frame, learning_rate="lr", batch_size="bs")
        assert len(runs.optima(by_batch=True)) == 1
        with pytest.raises(ValueError, match=said("StepLaw needs params, data, which this table does not have")):
            hl.fit(hl.laws.StepLaw(), runs, seed=0)


class TestWhatIsTypedFirst:
    def test_a_frame_is_no_table(self):
        with pytest.raises(TypeError, match=said("received DataFrame. Make one first: runs = hl.Runs.from_frame(df,")):
            hl.fit(hl.laws.StepLaw(), sweep(), seed=0)

    def test_laws_by_class_and_name(self):
        runs = read(sweep())
        for law in (hl.laws.StepLaw, "StepLaw", "steplaw"):
            assert hl.likelihood(law, runs).law == hl.laws.StepLaw()
        with pytest.raises(ValueError, match=said("there is no law 'StepsLaw'. Did you mean 'StepLaw'?")):
            hl.likelihood("StepsLaw", runs)
        with pytest.raises(
            TypeError, match=r"law must be a law such as hl\.laws\.StepLaw\(\), or its name; received int"
        ):
            hl.likelihood(3, runs)


class TestLawsOverOtherScales:
    @pytest.mark.parametrize(
        ("scales", "over"),
        [({"N": "params"}, ("params",)), ({"N": "width"}, ("width",)), ({"tokens": "data"}, ("data",)),
         ({"N": "width", "tokens": "data"}, ("width", "data"))],
    )  # fmt: skip
    def test_step_law_is_stated_over_what_there_is(self, scales, over):
        frame = sweep(
            horizons=(4e8, 16e8) if "tokens" in scales else (4e8,), sizes=(2e7, 8e7) if "N" in scales else (2e7,)
        )
        columns = {word: column for column, word in scales.items()}
        runs = hl.Runs.from_frame(frame[[*scales, "lr", "bs", "loss"]], learning_rate="lr", batch_size="bs", **columns)
        model = hl.likelihood(hl.laws.StepLaw(), runs)
        assert model.law.covariates == over
        assert {f"rate_exponent_{name}" for name in over} <= set(model.parameters.index)
        assert not {p for p in model.parameters.index if p.endswith("_params")} or "params" in over

    def test_another_set_is_refused(self):
        text = "can be stated over ('params', 'data') or ('width', 'data') or ('data',), received over=('utd',)"
        with pytest.raises(ValueError, match=said(text)):
            hl.laws.TimeTransfer(over=("utd",))

    def test_a_refusal_names_laws_that_there_are(self):
        runs = read(sweep(horizons=(4e8,)), data=None)
        runs = hl.Runs.from_frame(runs.frame.drop(columns=["cell", "data"], errors="ignore"), batch_unit=1)
        with pytest.raises(ValueError, match=r"ComputeLaw needs data, .*, or fit StepLaw\."):
            hl.fit(hl.laws.ComputeLaw(), runs, seed=0)


def test_one_batch_size_of_optima_was_set_and_not_found():
    frame = pd.DataFrame({"width": [128, 512, 2048], "lr": [1e-3, 5e-4, 1e-4], "batch_size": 256})
    assert hl.Optima.from_frame(frame, learning_rate="lr").estimated == ("learning_rate",)
    assert hl.Optima.from_frame(frame, learning_rate="lr", batch_size=8192).estimated == ("learning_rate",)
    with pytest.raises(TypeError, match=said("error must name a column for each quantity, such as error={'learning")):
        hl.Optima.from_frame(frame, learning_rate="lr", error="sd")


def test_points_without_an_evaluation_are_left_out():
    points = pd.DataFrame({"data": [1.0, 2, 3, 4], "performance": [0.0, np.nan, "", 5.0], "seed": 0})
    curves = hl.Curves.from_frame(points, utd=1)
    assert len(curves) == 2
    assert curves.notes == ("2 rows left out: no performance was logged there",)
    with pytest.raises(ValueError, match="column 'performance' is empty in every row: no point was evaluated"):
        hl.Curves.from_frame(points.assign(performance=np.nan), utd=1)


@pytest.mark.parametrize("table", [hl.Runs, hl.Curves])
@pytest.mark.parametrize("source", ["mlflow", "optuna", "tensorboard", "wandb"])
def test_readers_of_trackers_take_every_word_of_a_frame(table, source):
    words = inspect.signature(table.from_frame).parameters
    reads = inspect.signature(getattr(table, f"from_{source}")).parameters
    for name, word in words.items():
        if name != "frame":
            assert name in reads
            assert reads[name].default == ("step" if table is hl.Curves and name == "data" else word.default)
