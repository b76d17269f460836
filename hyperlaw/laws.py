"""The laws, as `hl.laws`; `hl.laws.table()` lists what each predicts and needs."""

import pandas as pd

from hyperlaw.models import LAWS
from hyperlaw.models.broken_power import BrokenPower as BrokenPower
from hyperlaw.models.by_optimizer import ByOptimizer as ByOptimizer
from hyperlaw.models.compute_law import ComputeLaw as ComputeLaw
from hyperlaw.models.critical_batch import CriticalBatchData as CriticalBatchData
from hyperlaw.models.critical_batch import CriticalBatchLoss as CriticalBatchLoss
from hyperlaw.models.critical_batch import CriticalBatchParams as CriticalBatchParams
from hyperlaw.models.data_efficiency import DataEfficiency as DataEfficiency
from hyperlaw.models.data_efficiency import DataEfficiencyBySize as DataEfficiencyBySize
from hyperlaw.models.loss_improvement import LossImprovement as LossImprovement
from hyperlaw.models.noise_scale import NoiseScale as NoiseScale
from hyperlaw.models.optimal_utd import OptimalUTD as OptimalUTD
from hyperlaw.models.square_root import SquareRoot as SquareRoot
from hyperlaw.models.step_law import StepLaw as StepLaw
from hyperlaw.models.steps_examples import StepsExamples as StepsExamples
from hyperlaw.models.surge import Surge as Surge
from hyperlaw.models.surge_exact import SurgeExact as SurgeExact
from hyperlaw.models.time_transfer import TimeTransfer as TimeTransfer
from hyperlaw.models.utd_hyperparameters import UTDHyperparameters as UTDHyperparameters
from hyperlaw.models.utd_hyperparameters import UTDHyperparametersBySize as UTDHyperparametersBySize


def table() -> pd.DataFrame:
    """One row a law: what it says, what it predicts, the tables it is fitted to, and the columns that it needs."""
    rows = [
        {
            "law": name,
            "says": (law.__doc__ or "").splitlines()[0],
            "predicts": ", ".join(law.predicts),
            "fitted to": ", ".join(law.tables),
            "needs": ", ".join([*law.covariates, *(["batch_size"] if law.needs_batch_size else [])]),
        }
        for name, law in LAWS.items()
    ]
    return pd.DataFrame(rows).set_index("law")
