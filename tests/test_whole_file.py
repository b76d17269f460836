"""Whatever the package writes is written whole or not at all."""

import os
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pytest
from matplotlib.figure import Figure

from hyperlaw.plots.style import save
from hyperlaw.whole_file import write_whole


@pytest.fixture
def full(monkeypatch):
    """A disk with no room."""

    def fails(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fails)


def test_a_file_takes_the_place_of_another(tmp_path):
    path = tmp_path / "fit.nc"
    for content in (b"first", b"second"):
        write_whole(path, content)
        assert path.read_bytes() == content
    assert os.listdir(tmp_path) == ["fit.nc"]


@pytest.mark.usefixtures("full")
def test_what_cannot_be_written_leaves_what_was_there(tmp_path):
    path = tmp_path / "fit.nc"
    path.write_bytes(b"first")
    said = (
        r"could not be written to .*fit\.nc: No space left on device. It needs 1\.5 MB, and what was there is unchanged"
    )
    with pytest.raises(OSError, match=said):
        write_whole(path, b"x" * 1_500_000)
    assert path.read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["fit.nc"]


@pytest.mark.usefixtures("full")
def test_so_are_pictures(tmp_path):
    with pytest.raises(OSError, match="No space left on device"):
        save(Figure(), tmp_path / "plan.png")
    assert os.listdir(tmp_path) == []


def test_a_picture_has_the_kind_that_its_name_says(tmp_path):
    for name, start in (("plan.png", b"\x89PNG"), ("plan.PDF", b"%PDF"), ("plan.svg", b"<?xml")):
        save(Figure(), tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(start)


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "latest.csv").symlink_to(tmp_path / "monday.csv")
    write_whole(tmp_path / "latest.csv", pd.DataFrame({"loss": [2.0]}).to_csv(index=False).encode())
    assert (tmp_path / "latest.csv").is_symlink()
    assert pd.read_csv(tmp_path / "monday.csv")["loss"].tolist() == [2.0]


def test_of_a_folder_that_is_not_there_it_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"could not be written to .*gone.*: No such file or directory"):
        write_whole(tmp_path / "gone" / "fit.nc", b"")


def test_a_name_may_be_as_long_as_the_disk_allows(tmp_path):
    write_whole(tmp_path / ("n" * 255), b"all")
    assert (tmp_path / ("n" * 255)).read_bytes() == b"all"
    with pytest.raises(OSError, match=r"could not be written to .*: File name too long"):
        write_whole(tmp_path / ("n" * 256), b"all")


def test_a_path_with_a_nul_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"a path must not hold a NUL character, received .*fit.*Write it elsewhere"):
        write_whole(tmp_path / "fit\0.nc", b"")


def test_threads_may_write_the_same_file(tmp_path):
    contents = [bytes([i]) * 100_000 for i in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda content: write_whole(tmp_path / "fit.nc", content), contents * 20))
    assert (tmp_path / "fit.nc").read_bytes() in contents
    assert os.listdir(tmp_path) == ["fit.nc"]


def test_who_may_read_it_stays_as_it_was(tmp_path):
    path = tmp_path / "fit.nc"
    path.write_bytes(b"first")
    path.chmod(0o600)
    write_whole(path, b"second")
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
def test_what_is_no_file_stays_what_it_is(tmp_path):
    """Where root writes to /dev/null, it must not become a file."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit(pipe.read_bytes)
        write_whole(pipe, b"first")
        assert read.result() == b"first"
    assert pipe.is_fifo()
    assert os.listdir(tmp_path) == ["pipe"]


def test_links_that_go_round_become_a_file(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    write_whole(tmp_path / "a", b"first")
    assert (tmp_path / "a").read_bytes() == b"first"
