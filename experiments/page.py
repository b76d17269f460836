"""Tables for the pages under `docs`."""

import pandas as pd


def markdown(rows: list[dict[str, str]]) -> str:
    """A Markdown table of rows of text, the columns in the order in which they first appear."""
    table = pd.DataFrame(rows).fillna("")
    lines = [list(table.columns), ["---"] * table.shape[1], *table.to_numpy().tolist()]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
