"""Thousands of honest and hostile tables through every reader: what was taken, what refused, and what went wrong.

`make fuzz` runs 10,000. The generator and what must hold stand in `tests/hostile_tables.py`, and what is done to
a table in `tests/hostile_changes.py`; the tests run a thousand.
Ends with status 1 where anything went wrong, after one line for each kind of it.
"""

import argparse
import re
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from honest_tables import Case
from hostile_tables import cases, outcome


def main() -> int:
    """Run them; 1 where anything went wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    found: Counter[str] = Counter()
    wrong: dict[str, list[str]] = {}

    with tempfile.TemporaryDirectory() as folder:

        @seed(asked.seed)
        @settings(
            max_examples=asked.tables, database=None, deadline=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(cases())
        def one(case: Case) -> None:
            said = outcome(case, Path(folder))
            found[said.partition(":")[0]] += 1
            if ":" in said:
                wrong.setdefault(re.sub(r"[0-9.e+-]{2,}", "#", said)[:90], []).append(f"{case!r}: {said}")

        began = time.monotonic()
        one()
    print(f"{found.total()} tables in {time.monotonic() - began:.0f} s: {dict(found)}")
    for some in sorted(wrong.values(), key=len, reverse=True):
        print(f"{len(some)} times, first {some[0][:400]!a}")
    return int(bool(wrong))


if __name__ == "__main__":
    raise SystemExit(main())
