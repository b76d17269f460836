"""Simulation-based calibration of every law, into docs/laws/<law>.md.

    python benchmarks/calibrate.py --simulations 256

Each law is given the settings of a small table of the size of published ones (`hyperlaw.inference.example`). Finished
simulations are kept in build/calibrate and a stopped run goes on with the rest; a change of a law starts its own anew.
"""

import argparse
import shutil
from pathlib import Path

import jax
import law_page

import hyperlaw as hl
from hyperlaw.inference.example import example
from hyperlaw.models.laws import LAWS

# Laws that came after the others were calibrated: so do their seeds.
LATER = ["DataEfficiencyByThreshold", "StepsSmallBatch", "ThreeTerm", "TimeTransferTied"]
FOLDER = Path(__file__).parents[1] / "build" / "calibrate"


def calibrated(name: str, simulations: int) -> hl.Calibration:
    """The law's calibration, gone on with where a run stopped."""
    law, folder = LAWS[name](), FOLDER / name
    order = [other for other in LAWS if other not in LATER] + LATER
    table, seed = example(law), order.index(name)  # laws that shared a seed would share their luck
    try:
        return hl.calibrate(law, table, simulations=simulations, seed=seed, folder=folder)
    except ValueError as error:
        if "holds a calibration with another law" not in str(error):
            raise
        shutil.rmtree(folder)
        return hl.calibrate(law, table, simulations=simulations, seed=seed, folder=folder)


def main(names: list[str], simulations: int) -> None:
    """Calibrate the named laws, those of measured values first: they take a minute or two each."""
    for name in sorted(names, key=lambda name: LAWS[name].tables[0] == "runs"):
        found = calibrated(name, simulations)
        print(f"{name}: {found}")
        law_page.write_calibration(name, found)
        jax.clear_caches()  # the compiled programs of all laws together do not fit into memory


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--simulations", type=int, default=256)
    arguments.add_argument("laws", nargs="*", default=list(LAWS), help="names of laws; all when left out")
    given = arguments.parse_args()
    main(given.laws, given.simulations)
