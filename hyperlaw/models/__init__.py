"""Laws, their parameters, and how a law meets a table."""

from hyperlaw.models.broken_power import BrokenPower
from hyperlaw.models.by_optimizer import ByOptimizer
from hyperlaw.models.compute_law import ComputeLaw
from hyperlaw.models.critical_batch import CriticalBatchData, CriticalBatchLoss, CriticalBatchParams
from hyperlaw.models.data_efficiency import DataEfficiency, DataEfficiencyBySize
from hyperlaw.models.law import Law
from hyperlaw.models.loss_improvement import LossImprovement
from hyperlaw.models.noise_scale import NoiseScale
from hyperlaw.models.optimal_utd import OptimalUTD
from hyperlaw.models.square_root import SquareRoot
from hyperlaw.models.step_law import StepLaw
from hyperlaw.models.steps_examples import StepsExamples
from hyperlaw.models.surge import Surge
from hyperlaw.models.surge_exact import SurgeExact
from hyperlaw.models.time_transfer import TimeTransfer
from hyperlaw.models.utd_hyperparameters import UTDHyperparameters, UTDHyperparametersBySize

LAWS: dict[str, type[Law]] = {
    law.__name__: law
    for law in (
        StepLaw, ComputeLaw, TimeTransfer, NoiseScale, SquareRoot, Surge, SurgeExact, BrokenPower, ByOptimizer,
        LossImprovement, StepsExamples, CriticalBatchLoss, CriticalBatchData, CriticalBatchParams, UTDHyperparameters,
        UTDHyperparametersBySize, DataEfficiency, DataEfficiencyBySize, OptimalUTD,
    )
}  # fmt: skip
