"""What a file of a fit may hold, looked at before any of its values are read.

HDF5 can point to other files, and unpacks a few megabytes into as many gigabytes as it likes. A fit needs neither: its
file has groups of plain numbers and text, all of them its own, and its draws hardly pack.
"""

from collections.abc import Iterator
from itertools import chain
from math import prod
from pathlib import Path

import h5py
import numpy as np

from hyperlaw.quote import quote

# What may be unpacked: so many times the file, of any file so many bytes. Draws of fits pack to a half at best.
TIMES, LEAST = 20, 2**28
WIDEST = 8  # bytes of a number once it is decoded, at least
TEXT = 64  # bytes of a text without letters
LETTER = 4  # bytes of a letter
FILTERS = (h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32)
# Attributes by which netCDF itself ties variables to their dimensions, within a file.
TIES = ("DIMENSION_LIST", "REFERENCE_LIST")


class Refused(ValueError):
    """What a file holds that a fit does not."""


def check_contents(path: Path) -> None:
    """Look through a file of HDF5 without reading its values.

    Raises
    ------
    Refused
        When it points elsewhere, or holds anything but groups of numbers and text, or more than a fit of its size can.
    OSError, RuntimeError
        When it is no such file.
    """
    size = path.stat().st_size
    most = max(LEAST, TIMES * size)
    with h5py.File(path, "r") as file:
        variables = [one for group in _groups(file) for one in _variables(group)]
        texts = [one for one in variables if one.dtype.kind == "O"]
        needed = 0
        for more in chain(
            map(_declared, variables),  # before anything is read
            *(_of_attributes(one, size, most) for one in (file, *file.values(), *variables)),
            (_of_text(one, size, most) for one in texts),
        ):
            needed += more
            if needed > most:
                raise Refused(
                    f"it would unpack to {needed / 1e6:,.0f} MB or more, and a fit in a file of {size / 1e6:.2g} MB "
                    f"has {most / 1e6:,.0f} MB at most"
                )


def _groups(file: h5py.File) -> Iterator[h5py.Group]:
    """The root, and the groups in it: no deeper."""
    yield file
    for name in _own(file):
        if isinstance(file[name], h5py.Group):
            yield file[name]


def _variables(group: h5py.Group) -> Iterator[h5py.Dataset]:
    """The variables of a group, each a plain one."""
    for name in _own(group):
        one = group[name]
        if isinstance(one, h5py.Group) and group.name == "/":
            continue
        if not isinstance(one, h5py.Dataset):
            raise Refused(f"{quote(one.name)} is neither a variable nor a group of variables")
        _check_variable(one)
        yield one


def _own(group: h5py.Group) -> Iterator[bytes]:
    """Names in a group, none of them a link to another place or file."""
    for name in group.id:
        if group.id.links.get_info(name).type != h5py.h5l.TYPE_HARD:
            raise Refused(f"{quote(name.decode(errors='replace'))} in {quote(group.name)} is a link to another place")
        yield name


def _check_variable(one: h5py.Dataset) -> None:
    """Refuse values that lie in other files, and all that are no numbers or text."""
    layout = one.id.get_create_plist()
    if one.is_virtual or layout.get_external_count():
        raise Refused(f"the values of {quote(one.name)} lie in other files")
    if one.shape is None or not _is_plain(one.dtype):
        raise Refused(f"{quote(one.name)} holds {quote(one.dtype)} where a fit has numbers or text")
    packed_by = {layout.get_filter(i)[0] for i in range(layout.get_nfilters())}
    if not packed_by <= set(FILTERS):
        raise Refused(f"{quote(one.name)} is packed by another method than netCDF's own")


def _is_plain(dtype: np.dtype) -> bool:
    """Whether a type is one of numbers or of text."""
    return h5py.check_string_dtype(dtype) is not None or (dtype.kind in "iuf" and not dtype.metadata)


def _declared(one: h5py.Dataset) -> int:
    """Bytes of its values once they are read, text without its letters; a chunk is unpacked whole."""
    count = max(one.size, prod(one.chunks or ()))
    return count * (TEXT if one.dtype.kind == "O" else max(one.dtype.itemsize, WIDEST))


def _of_attributes(one: h5py.Group | h5py.Dataset, size: int, most: int) -> Iterator[int]:
    """Bytes of each attribute; Refused where one is anything but numbers or text."""
    for name in one.attrs:
        attribute = one.attrs.get_id(name)
        count = prod(attribute.shape or ())
        yield count * attribute.dtype.itemsize
        if name in TIES:
            continue
        if attribute.shape is None or not _is_plain(attribute.dtype):
            raise Refused(f"the attribute {quote(name)} of {quote(one.name)} is neither a number nor text")
        if attribute.dtype.kind == "O":
            # Many texts may be one, as long as the file: they are not read to see it.
            yield LETTER * sum(map(len, np.ravel(one.attrs[name]))) if count * size <= most else count * size


def _of_text(one: h5py.Dataset, size: int, most: int) -> int:
    """Bytes of a variable of text as an array of equally long ones; so few are read at once that they fit."""
    if not one.shape:
        return LETTER * len(one[()])
    longest, at_once = 0, max(1, most // size)
    for before in np.ndindex(one.shape[:-1]):
        for start in range(0, one.shape[-1], at_once):
            longest = max(longest, *map(len, one[(*before, slice(start, start + at_once))]))
            if LETTER * longest * one.size > most:
                return LETTER * longest * one.size
    return LETTER * longest * one.size
