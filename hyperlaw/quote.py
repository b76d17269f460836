"""What sentences and pictures quote of data: values, texts and lists of names, however long or strange they are."""

from collections.abc import Iterable
from itertools import islice

LONGEST = 80
LONGEST_PATH = 200
MOST = 20
ROW = 300


def quote(value: object) -> str:
    """The value as Python writes it, cut in the middle where it is longer than 80 characters, on one printable line."""
    try:
        text = repr(value)
    except Exception:  # of a class that cannot describe itself, or an integer of thousands of digits
        text = f"<{type(value).__name__}>"
    return one_line(text)


def one_line(value: object, longest: int = LONGEST) -> str:
    """The text of a value on one printable line, cut in the middle where it is longer."""
    text = " ".join(str(value).split())
    if not text.isprintable():
        text = "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)
    end = longest // 4
    return text if len(text) <= longest else f"{text[: longest - end - 3]}...{text[-end:]}"


def path_line(path: object) -> str:
    """A path on one printable line, cut in the middle where it is longer than 200 characters."""
    return one_line(path, LONGEST_PATH)


def some_of(names: Iterable[object], most: int = MOST) -> str:
    """Names in a row, at most so many and none beyond 300 characters or so, or "none"."""
    shown: list[str] = []
    for name in islice(names, most + 1):
        if len(shown) == most or sum(map(len, shown)) > ROW:
            return ", ".join([*shown, "..."])
        shown.append(one_line(name))
    return ", ".join(shown) or "none"
