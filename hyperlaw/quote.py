"""`quote`: a value as sentences quote it, however long or strange it is."""

LONGEST = 80


def quote(value: object) -> str:
    """The value as Python writes it, cut in the middle where it is longer than 80 characters, on one printable line."""
    try:
        text = repr(value)
    except Exception:  # of a class that cannot describe itself, or an integer of thousands of digits
        text = f"<{type(value).__name__}>"
    text = " ".join(text.split())
    if len(text) > LONGEST:
        text = f"{text[: LONGEST - 25]}...{text[-20:]}"
    return text if text.isprintable() else text.encode("ascii", "backslashreplace").decode()
