"""Files that are made to harm whoever loads a fit: nothing outside them is read, and nothing without end unpacked."""

import gzip
from pathlib import Path

import h5py
import numpy as np
import pytest

import hyperlaw as hl
from hyperlaw.inference import storage


@pytest.fixture
def file(tmp_path):
    """A fit of crossings, as a file."""
    golden = Path(__file__).parent / "golden" / f"format-{storage.FORMAT}" / "crossings.nc.gz"
    path = tmp_path / "fit.nc"
    path.write_bytes(gzip.decompress(golden.read_bytes()))
    return path


def elsewhere(file):
    """Another file, of numbers that are nobody's business."""
    secret = file.with_name("secret.h5")
    with h5py.File(secret, "w") as opened:
        opened["numbers"] = np.arange(30.0)
    secret.with_suffix(".raw").write_bytes(np.arange(30.0).tobytes())
    return str(secret)


def virtual(opened, secret):
    layout = h5py.VirtualLayout(shape=(30,), dtype="f8")
    layout[:] = h5py.VirtualSource(secret, "numbers", shape=(30,))
    opened.create_virtual_dataset("posterior/noise", layout)


def long_texts(opened, kind):
    """Many texts, all of them the same one of a megabyte: each is written once and then pointed to."""
    numbers = np.zeros(400, int)
    if kind == "variable":
        made = opened.create_dataset("posterior/note", len(numbers), h5py.string_dtype(), compression="gzip")
        made[0] = "x" * 10**6
    else:
        opened["posterior"].attrs.create("note", ["x" * 10**6] + [""] * 399, dtype=h5py.string_dtype())


HOSTILE = {
    "an external link": (
        lambda opened, secret: opened["posterior"].__setitem__("noise", h5py.ExternalLink(secret, "numbers")),
        "'noise' in '/posterior' is a link to another place",
    ),
    "an external group": (
        lambda opened, secret: opened.__setitem__("prior", h5py.ExternalLink(secret, "/")),
        "'prior' in '/' is a link to another place",
    ),
    "a soft link": (
        lambda opened, _: opened["posterior"].__setitem__("noise", h5py.SoftLink("/posterior/draw")),
        "is a link to another place",
    ),
    "external storage": (
        lambda opened, secret: opened.create_dataset(
            "posterior/noise", (30,), "f8", external=[(secret.replace(".h5", ".raw"), 0, 240)]
        ),
        "the values of '/posterior/noise' lie in other files",
    ),
    "a virtual variable": (virtual, "the values of '/posterior/noise' lie in other files"),
    "a group that holds itself": (
        lambda opened, _: opened["posterior"].__setitem__("noise", opened["posterior"]),
        "'/posterior/noise' is neither a variable nor a group of variables",
    ),
    "the file within itself": (
        lambda opened, _: opened.__setitem__("again", opened["/"]),
        "is neither a variable nor a group of variables",
    ),
    "a stored type": (
        lambda opened, _: opened.__setitem__("type", np.dtype("f8")),
        "'/type' is neither a variable nor a group of variables",
    ),
    "references": (
        lambda opened, _: opened.create_dataset("posterior/noise", (3,), h5py.ref_dtype),
        "'/posterior/noise' holds dtype.* where a fit has numbers or text",
    ),
    "a compound": (
        lambda opened, _: opened.create_dataset("posterior/noise", (3,), [("a", "f8"), ("b", "i4")]),
        "where a fit has numbers or text",
    ),
    "bytes": (
        lambda opened, _: opened.create_dataset("posterior/noise", (3,), np.dtype("V4")),
        "where a fit has numbers or text",
    ),
    "lists of numbers": (
        lambda opened, _: opened.create_dataset("posterior/noise", (3,), h5py.vlen_dtype("f8")),
        "where a fit has numbers or text",
    ),
    "nothing": (
        lambda opened, _: opened.__setitem__("posterior/noise", h5py.Empty("f8")),
        "where a fit has numbers or text",
    ),
    "a reference as an attribute": (
        lambda opened, _: opened.attrs.__setitem__("of", opened["posterior"].ref),
        "the attribute 'of' of '/' is neither a number nor text",
    ),
    "another compression": (
        lambda opened, _: opened.create_dataset("posterior/noise", data=np.zeros(99), compression="lzf"),
        "is packed by another method",
    ),
    "numbers that were never written": (
        lambda opened, _: opened.create_dataset("posterior/noise", (3 * 10**9,), "f8"),
        r"unpack to 24,00. MB or more, and a fit in a file of .* MB has 268 MB at most",
    ),
    "small numbers": (
        lambda opened, _: opened.create_dataset("posterior/noise", (10**8,), "i1", chunks=(10**6,), compression=9),
        r"unpack to 80. MB or more",
    ),
    "one huge chunk": (
        lambda opened, _: opened.create_dataset("posterior/noise", (1,), "f8", chunks=(10**8,), maxshape=(None,)),
        r"unpack to 80. MB or more",
    ),
    "a long text": (lambda opened, _: long_texts(opened, "variable"), r"unpack to 1,60. MB or more"),
    "a long attribute": (lambda opened, _: long_texts(opened, "attribute"), r"unpack to .* MB or more"),
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_points_elsewhere_or_unpacks_without_end_is_refused_unread(file, kind, monkeypatch):
    change, text = HOSTILE[kind]
    secret = elsewhere(file)
    with h5py.File(file, "r+") as opened:
        change(opened, secret)
    monkeypatch.setattr(storage.xr, "open_datatree", None)
    with pytest.raises(ValueError, match=text) as found:
        hl.load_fit(file)
    said = str(found.value)
    assert "was not written by fit.save, and nothing in it was read" in said
    assert len(said) < 600
