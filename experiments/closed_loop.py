"""The loop closed: settings chosen from small runs alone, written down, then scored against large runs really made.

    python -m experiments.closed_loop freeze lm     choices and intervals from the small scales, into docs/evidence
    python -m experiments.closed_loop score lm      the page, beside what the large runs measured

and the same for `rl`. What is frozen is never written over: a frozen file is evidence only if it is older than the look
at the large runs. `--anew` writes it again where a sweep itself has changed.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments import loop_lm, loop_rl

FOLDER = Path(__file__).parents[1] / "docs" / "evidence"
FROZEN = FOLDER / "closed-loop"
PAGE = FOLDER / "closed-loop.md"
LOOPS: dict[str, tuple[Callable[[], dict[str, Any]], Callable[[dict[str, Any], Path], str]]] = {
    "lm": (loop_lm.freeze, loop_lm.score),
    "rl": (loop_rl.freeze, loop_rl.score),
}


def freeze(name: str, anew: bool) -> Path:
    """Write the choices of one loop down.

    Raises
    ------
    FileExistsError
        When they are written already and `anew` is false.
    """
    file = FROZEN / f"{name}.json"
    if file.exists() and not anew:
        raise FileExistsError(f"{file} holds the choices of {name} already; pass --anew to make and write them again.")
    FROZEN.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(LOOPS[name][0](), indent=1) + "\n")
    return file


def score(name: str) -> Path:
    """Put the scores of one loop between its marks on the page.

    Raises
    ------
    FileNotFoundError
        When nothing was frozen.
    """
    file = FROZEN / f"{name}.json"
    if not file.exists():
        raise FileNotFoundError(f"nothing is frozen for {name}: run `python -m experiments.closed_loop freeze {name}`.")
    text = LOOPS[name][1](json.loads(file.read_text()), FROZEN)
    start, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
    before, _, rest = PAGE.read_text().partition(start)
    _, _, after = rest.partition(end)
    PAGE.write_text(f"{before}{start}\n{text}\n{end}{after}")
    return PAGE


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("do", choices=["freeze", "score"])
    parser.add_argument("loop", choices=list(LOOPS))
    parser.add_argument("--anew", action="store_true", help="write frozen choices over")
    asked = parser.parse_args()
    print(f"Wrote {freeze(asked.loop, asked.anew) if asked.do == 'freeze' else score(asked.loop)}.")
