"""Run a sweep, or go on with it: `python -m experiments.lm.sweep`.

Every group of runs in a sweep's design (`designs.py`) is one file under `--parts`, so that the command may be stopped
and started again (`experiments.parts`). `--worker 0/2` takes every second group, for two processes on two cores. With
`--collect FILE` the parts are joined into the Parquet file that the package ships; with `--unpack FILE` the finished
groups in such a file become parts again, so that a fresh clone goes on from what is shipped.
"""

from collections.abc import Callable

import pandas as pd

from experiments import parts
from experiments.lm.corpus import Corpus
from experiments.lm.designs import DESIGNS, AdamGroup, OptimizerGroup
from experiments.lm.train import train

type AnyGroup = AdamGroup | OptimizerGroup


def trainer() -> tuple[Callable[[AnyGroup], pd.DataFrame], dict[str, str]]:
    """What trains a group, and the digest of the text it is trained on."""
    corpus = Corpus.from_standard_library()

    def trained(group: AnyGroup) -> pd.DataFrame:
        return train(
            corpus,
            group.width,
            group.batch_size,
            group.learning_rates,
            group.horizons,
            group.seed,
            optimizer=group.optimizer,
            warmup=group.warmup,
        )

    return trained, {"corpus": corpus.digest}


if __name__ == "__main__":
    parser = parts.parser(__doc__)
    parser.add_argument("--sweep", choices=DESIGNS, default="lm_adam")
    asked = parser.parse_args()
    parts.do(asked, asked.sweep, DESIGNS[asked.sweep](), {}, trainer)
