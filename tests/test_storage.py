"""Saved fits: small, written whole or not at all, the same when loaded, in every format that was ever written."""

import gzip
import json
import os
import pickle
from pathlib import Path

import arviz_stats as az
import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from conftest import TRUTH, grid, simulate
from made_fit import REASON, made_fit

import hyperlaw as hl
from hyperlaw.inference import storage
from hyperlaw.models.likelihoods.base import LIKELIHOODS

GOLDEN = sorted((Path(__file__).parent / "golden").glob("format-*/*.nc.gz"))


@pytest.fixture(scope="module")
def made():
    """A fit made in this process, none of whose draws are alike."""
    law = hl.laws.StepLaw()
    runs = simulate(law, grid(("adam", "sgd"), rates=5, batches=2), seed=0, truth=TRUTH | {"divergence_threshold": 1.7})
    scattered = {p.name: 0.05 * abs(TRUTH[p.name]) + 1e-3 for p in hl.likelihood(law, runs).parameter_list}
    return made_fit(law, runs, TRUTH, scattered=scattered, draws=50, whole=True)


@pytest.fixture
def file(made, tmp_path):
    made.save(tmp_path / "fit.nc")
    return tmp_path / "fit.nc"


@pytest.mark.parametrize("golden", GOLDEN, ids=[f"{path.parent.name} {path.name[:-6]}" for path in GOLDEN])
def test_a_fit_of_every_format_loads_and_says_what_it_said(golden, tmp_path):
    told = json.loads(golden.with_name(golden.name.replace(".nc.gz", ".json")).read_text())
    file = tmp_path / "fit.nc"
    file.write_bytes(gzip.decompress(golden.read_bytes()))
    fit = hl.load_fit(file)
    assert (fit.law.name, len(fit.table), fit.table.earlier_digests[1]) == (told["law"], told["rows"], told["digest"])
    assert {name: float(draws.mean()) for name, draws in fit.draws.items()} == pytest.approx(told["means"], rel=1e-12)
    predicted = pd.DataFrame(told["predicted"])
    pd.testing.assert_frame_equal(fit.predict(told["at"]).table, predicted, rtol=1e-6)
    assert float(fit.row_densities.mean()) == pytest.approx(told["log_likelihood"], rel=1e-6)
    stats = fit.tree["sample_stats"]
    assert (int(stats["diverging"].sum()), float(stats["acceptance_rate"].mean())) == (
        told["diverging"],
        pytest.approx(told["acceptance"], rel=1e-12),
    )
    assert max(float(r_hat.max()) for r_hat in az.rhat(fit.draws).values()) == pytest.approx(told["rhat"], rel=1e-9)
    fit.save(file)  # from here on it is of the present format
    assert hl.load_fit(file).draws.identical(fit.draws)


def test_there_is_a_golden_file_of_every_format_and_kind_of_table():
    first = {"crossings": 1, "optima": 1, "runs": 1, "steps_to_loss": 1, "noise_measurements": 2}
    assert set(first) == set(LIKELIHOODS)
    assert {str(path.relative_to(path.parents[1])) for path in GOLDEN} == {
        f"format-{number}/{kind}.nc.gz" for kind, since in first.items() for number in range(since, storage.FORMAT + 1)
    }


def test_a_loaded_fit_says_what_it_said_before(made, file):
    loaded = hl.load_fit(file)
    assert loaded.table.options == made.table.options
    pd.testing.assert_frame_equal(loaded.check().table, made.check().table)
    at = {"params": 8e6, "data": 4e9, "task": "adam"}
    pd.testing.assert_frame_equal(loaded.predict(at).table, made.predict(at).table)
    before, after = (hl.decide(fit, at=at, risk=hl.CVaR(0.9), despite=REASON) for fit in (made, loaded))
    pd.testing.assert_frame_equal(after.table, before.table)
    assert after.setting == before.setting


def test_a_loaded_fit_compares_as_the_one_that_was_saved(fit, tmp_path):
    fit.save(tmp_path / "fit.nc")
    scores = hl.compare({"saved": fit, "loaded": hl.load_fit(tmp_path / "fit.nc")}, seed=0).table
    assert scores.loc["saved", "elpd"] == scores.loc["loaded", "elpd"]


def test_what_follows_from_the_draws_is_not_stored_and_computed_when_looked_at(made, file):
    assert file.stat().st_size < 1.1 * made.draws.nbytes + 1e6  # what netCDF says of some 120 variables
    with xr.open_datatree(file, engine="h5netcdf") as opened:
        assert set(opened.children) == {"posterior", "sample_stats", "constant_data"}
        assert opened.attrs["format"] == storage.FORMAT
    tree = hl.load_fit(file).tree
    for name, group in made.tree.children.items():
        assert tree[name].sizes == group.sizes
        assert set(tree[name].data_vars) == set(group.data_vars)
    assert not tree["log_likelihood"]["loss"].variable._in_memory
    some = tree["log_likelihood"]["loss"].isel(draw=slice(3, 40, 7), run=[4, 1]).values
    whole = made.tree["log_likelihood"]["loss"].values
    np.testing.assert_array_equal(some, whole[:, 3:40:7][..., [4, 1]])
    assert "format" not in tree.attrs


def test_a_loaded_fit_travels_to_other_processes(made, file):
    there = pickle.loads(pickle.dumps(hl.load_fit(file)))
    np.testing.assert_array_equal(there.row_densities, made.row_densities)


def test_a_quantity_of_the_users_own_is_kept(made, file):
    made.save(file)
    with_group(file, "posterior", lambda d: d.assign(ratio=d["noise"] / d["noise_growth"]))
    loaded = hl.load_fit(file)
    loaded.save(file)
    tree = hl.load_fit(file).tree.load()
    np.testing.assert_array_equal(tree["posterior"]["ratio"], made.draws["noise"] / made.draws["noise_growth"])
    assert "ratio" not in tree["prior"]


def test_what_cannot_be_written_leaves_the_old_file_and_the_fit(made, file, monkeypatch):
    before = file.read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match=r"not be written to .*fit\.nc: No space left on device\. It needs .* MB"):
            made.save(file)
    assert file.read_bytes() == before
    assert os.listdir(file.parent) == ["fit.nc"]
    with pytest.raises(NotADirectoryError, match=r"could not be written to .*: Not a directory"):
        made.save(file / "fit.nc")
    with pytest.raises(FileNotFoundError, match=r"could not be written to .*none.*: No such file or directory"):
        made.save(file.parent / "none" / "fit.nc")
    made.save(file)
    assert hl.load_fit(file).draws.identical(made.draws)


def test_a_link_stays_a_link(made, file):
    link = file.with_name("latest.nc")
    link.symlink_to(file)
    made.save(link)
    assert link.is_symlink()
    assert hl.load_fit(link).seed == made.seed


def changed(file, **attrs):
    """The file with other attributes; None takes one away."""
    with h5py.File(file, "r+") as opened:
        for name, value in attrs.items():
            del opened.attrs[name]
            if value is not None:
                opened.attrs[name] = value


def with_group(file, group, change):
    """The file with another group."""
    with xr.open_datatree(file, engine="h5netcdf") as opened:
        tree = opened.load()
    tree[group] = change(tree[group].to_dataset())
    tree.to_netcdf(file, engine="h5netcdf")


def refused(file, text):
    with pytest.raises(ValueError, match=text):
        hl.load_fit(file)


@pytest.fixture
def other(tmp_path):
    """A fit of crossings, as a file: few variables, and cells among them."""
    file = tmp_path / "other.nc"
    golden = Path(__file__).parent / "golden" / f"format-{storage.FORMAT}" / "crossings.nc.gz"
    file.write_bytes(gzip.decompress(golden.read_bytes()))
    return file


def test_a_later_format_is_refused(other):
    changed(other, format=storage.FORMAT + 1, versions=json.dumps({"hyperlaw": "9.1"}))
    refused(other, r"written by hyperlaw 9\.1 in format 3, and this version reads formats up to 2\. Update hyperlaw")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (lambda whole: b"", "cannot be read as netCDF"),
        (lambda whole: b"learning_rate,loss\n0.1,2.3\n", "cannot be read as netCDF"),
        (lambda whole: whole[: len(whole) // 2], "cannot be read as netCDF"),
        (lambda whole: whole[:-1000], "cannot be read as netCDF"),
        (lambda whole: whole[:4096] + bytes(100_000) + whole[104_096:], "cannot be read"),
    ],
    ids=["empty", "a table", "half", "without its end", "zeros in the middle"],
)
def test_what_is_no_whole_netcdf_is_refused(other, content, text):
    other.write_bytes(content(other.read_bytes()))
    refused(other, text)


@pytest.mark.parametrize("unit", ["2048", 0, None, np.nan])
def test_a_unit_that_is_none_is_refused(file, unit):
    changed(file, table_options=json.dumps({"batch_unit": unit}))
    refused(file, "its table cannot be read .*batch_unit must be finite and above zero")


@pytest.mark.parametrize(
    ("attrs", "text"),
    [
        ({"law": None}, "it has no law or no data"),
        ({"law": 3}, "holds a fit of '3', which is not among the laws"),
        ({"format": "new"}, "its format or versions cannot be read"),
        ({"versions": None}, "its format or versions cannot be read"),
        ({"versions": "0.1"}, "its format or versions cannot be read"),
        ({"columns": "loss"}, "its table cannot be read"),
        ({"columns": json.dumps(["data", "colour"])}, "its table cannot be read"),
        ({"table": "curves"}, "its (table|model) cannot be read|is damaged"),
        ({"table": 5.0}, "its table cannot be read"),
        ({"table_options": "[]"}, "its table cannot be read"),
        ({"data": None}, "is damaged: its runs are not those"),
        ({"priors": "[1]"}, "its model cannot be read"),
        ({"priors": json.dumps({"cell_sd": json.dumps({"distribution": "biject_to"})})}, "its model cannot be read"),
        (
            {
                "priors": json.dumps(
                    {"cell_sd": json.dumps({"distribution": "enable_validation", "is_validate": False})}
                )
            },
            "'enable_validation' is no distribution of NumPyro",
        ),
        (
            {"priors": json.dumps({"cell_sd": json.dumps({"distribution": "LKJ", "dimension": 10**6})})},
            "LKJ takes concentration, and not dimension=1000000",
        ),
        (
            {"priors": json.dumps({"cell_sd": json.dumps({"distribution": "Normal", "loc": [0.0] * 10**4})})},
            r"Normal takes loc, scale, and not loc=\[0\.0, 0\.0, .*\.\.\.",
        ),
        ({"pooling": json.dumps({"cell_sd": "partial"})}, "its model cannot be read"),
        ({"options": json.dumps({"window": "wide"})}, "its model cannot be read"),
        ({"over": json.dumps(["width"])}, "cannot be read"),
        ({"pivot": json.dumps({"params": 1.0})}, "its model cannot be read"),
        ({"pivot": None}, "its model cannot be read"),
        ({"seed": "first"}, "its model cannot be read"),
        ({"seed": -1}, "seed must be an integer of 0 or more, received -1"),
        ({"settings": json.dumps({"chains": 2})}, "its model cannot be read"),
    ],
)
def test_attributes_that_are_not_those_of_a_fit_are_refused(other, attrs, text):
    changed(other, **attrs)
    refused(other, text)


@pytest.mark.parametrize(
    ("group", "change", "text"),
    [
        ("posterior", lambda d: d.drop_vars("data_bend"), "whose DataEfficiency had no data_bend"),
        ("posterior", lambda d: d.drop_vars("deviation_cell"), "its posterior has no deviation_cell"),
        ("posterior", lambda d: d.assign(cell_sd=d["cell_sd"].astype(str)), "cell_sd must be finite numbers"),
        ("posterior", lambda d: d.assign(cell_sd=d["cell_sd"] * np.nan), "cell_sd must be finite numbers"),
        (
            "posterior",
            lambda d: d.assign(cell_sd=d["deviation_cell"]),
            "cell_sd must be .* it holds .* with dims .*cell",
        ),
        ("posterior", lambda d: d.isel(cell=slice(3)), "its draws cannot be read"),
        ("posterior", lambda d: d.isel(draw=slice(9)), "statistic .* must hold a number for each draw"),
        ("sample_stats", lambda d: d.drop_vars("diverging"), "its draws cannot be read .*diverging"),
        ("sample_stats", lambda d: d.assign(energy=d["energy"].astype(str)), "statistic energy must hold a number"),
        ("constant_data", lambda d: d.assign(data=d["data"].astype(str)), "is damaged"),
        ("constant_data", lambda d: d.drop_vars("utd"), "its table cannot be read"),
        ("constant_data", lambda d: d.isel(row=slice(5)), "its runs are not those it was fitted to"),
    ],
)
def test_groups_that_are_not_those_of_a_fit_are_refused(other, group, change, text):
    with_group(other, group, change)
    refused(other, text)


def test_a_file_without_draws_is_refused(other):
    with xr.open_datatree(other, engine="h5netcdf") as opened:
        tree = opened.load()
    del tree["sample_stats"]
    tree.to_netcdf(other, engine="h5netcdf")
    refused(other, "its draws cannot be read .*sample_stats")


@pytest.mark.parametrize("path", ["x" * 5000, "a\x00b", "\ud800.nc", "no\nfile.nc", ""], ids=repr)
def test_a_path_of_no_file_is_refused_in_words(path):
    with pytest.raises(FileNotFoundError, match="there is no fit at ") as found:
        hl.load_fit(path)
    assert str(found.value).isprintable()
    assert len(str(found.value)) < 600
