"""The laws, as `hl.laws`; `hl.laws.table()` lists what each predicts and needs. A law of your own: `register`."""

import pandas as pd

from hyperlaw.models.law import LAWS as LAWS
from hyperlaw.models.law import register as register
from hyperlaw.models.law import says
from hyperlaw.models.laws.broken_power import BrokenPower as BrokenPower
from hyperlaw.models.laws.by_optimizer import ByOptimizer as ByOptimizer
from hyperlaw.models.laws.compute_law import ComputeLaw as ComputeLaw
from hyperlaw.models.laws.critical_batch import CriticalBatchData as CriticalBatchData
from hyperlaw.models.laws.critical_batch import CriticalBatchLoss as CriticalBatchLoss
from hyperlaw.models.laws.critical_batch import CriticalBatchParams as CriticalBatchParams
from hyperlaw.models.laws.data_efficiency import DataEfficiency as DataEfficiency
from hyperlaw.models.laws.data_efficiency import DataEfficiencyBySize as DataEfficiencyBySize
from hyperlaw.models.laws.data_efficiency import DataEfficiencyByThreshold as DataEfficiencyByThreshold
from hyperlaw.models.laws.loss_improvement import LossImprovement as LossImprovement
from hyperlaw.models.laws.noise_growth import NoiseGrowth as NoiseGrowth
from hyperlaw.models.laws.noise_scale import NoiseScale as NoiseScale
from hyperlaw.models.laws.optimal_utd import OptimalUTD as OptimalUTD
from hyperlaw.models.laws.square_root import SquareRoot as SquareRoot
from hyperlaw.models.laws.step_law import StepLaw as StepLaw
from hyperlaw.models.laws.steps_examples import StepsExamples as StepsExamples
from hyperlaw.models.laws.steps_small_batch import StepsSmallBatch as StepsSmallBatch
from hyperlaw.models.laws.surge import Surge as Surge
from hyperlaw.models.laws.surge_exact import SurgeExact as SurgeExact
from hyperlaw.models.laws.three_term import ThreeTerm as ThreeTerm
from hyperlaw.models.laws.time_transfer import TimeTransfer as TimeTransfer
from hyperlaw.models.laws.time_transfer import TimeTransferTied as TimeTransferTied
from hyperlaw.models.laws.utd_hyperparameters import UTDHyperparameters as UTDHyperparameters
from hyperlaw.models.laws.utd_hyperparameters import UTDHyperparametersBySize as UTDHyperparametersBySize


def table() -> pd.DataFrame:
    """One row a registered law: what it says, what it predicts, the tables it is fitted to, the columns it needs."""
    rows = [
        {
            "law": name,
            "says": says(law),
            "predicts": ", ".join(law.predicts),
            "fitted to": ", ".join(law.tables),
            "needs": ", ".join([*law.covariates, *(["batch_size"] if law.needs_batch_size else [])]),
        }
        for name, law in LAWS.items()
    ]
    return pd.DataFrame(rows).set_index("law")
