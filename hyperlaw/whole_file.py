"""Files that are written whole or not at all."""

import os
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from shutil import copymode

from hyperlaw.quote import path_line


def write_whole(path: Path, content: bytes) -> None:
    """Write a file beside its place, and put it there once all of it is on the disk.

    Whoever reads `path` meanwhile, or after the computer was switched off, has the old file or the new one. A link
    stays a link, and a file keeps who may read it; what is no file, such as /dev/null, is written to as it is.

    Raises
    ------
    ValueError
        When the path holds a NUL character.
    OSError
        When it cannot be written there, in words. What was there is unchanged.
    """
    if "\0" in str(path):
        raise ValueError(f"a path must not hold a NUL character, received {path_line(path)}. Write it elsewhere.")
    place = Path(os.path.realpath(path))
    part = place.with_name(f".{token_hex(8)}.part")  # threads and machines may write the same file
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            path.write_bytes(content)
            return
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if place.is_file():
            copymode(place, part)
        part.replace(place)
    except OSError as error:
        raise type(error)(
            error.errno,
            f"it could not be written to {path_line(path)}: {error.strerror}. It needs {len(content) / 1e6:.2g} MB, "
            "and what was there is unchanged: make room, or write it elsewhere",
        ) from error
    finally:
        with suppress(OSError):  # it has its place, or never had one
            part.unlink()
