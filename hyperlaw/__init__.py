"""hyperlaw: Bayesian scaling laws for learning rate, batch size and updates-to-data ratio.

Small runs go in; a posterior over how the best settings scale comes out; and from it a setting for one
large run, chosen under a stated attitude to risk. `import hyperlaw as hl`.
"""

import importlib

import numpyro as _numpyro

# ArviZ leaves a lazily loaded numpyro behind. If a submodule of it were imported first, Python would run
# numpyro.distributions twice and numpyro would break; touching any attribute loads it properly.
_ = _numpyro.__version__

from hyperlaw import laws as laws
from hyperlaw.data.crossings import Crossings as Crossings
from hyperlaw.data.curves import Curves as Curves
from hyperlaw.data.optima import Optima as Optima
from hyperlaw.data.runs import Runs as Runs
from hyperlaw.data.steps_to_loss import StepsToLoss as StepsToLoss
from hyperlaw.data.sweeps import load_sweep as load_sweep
from hyperlaw.data.sweeps import sweeps as sweeps
from hyperlaw.decision.budget import Budget as Budget
from hyperlaw.decision.choice import Choice as Choice
from hyperlaw.decision.constraints import AtLeast as AtLeast
from hyperlaw.decision.constraints import AtMost as AtMost
from hyperlaw.decision.constraints import Chance as Chance
from hyperlaw.decision.constraints import OneOf as OneOf
from hyperlaw.decision.decide import decide as decide
from hyperlaw.decision.frontier import frontier as frontier
from hyperlaw.decision.next_runs import NextRuns as NextRuns
from hyperlaw.decision.next_runs import next_runs as next_runs
from hyperlaw.decision.pareto import Frontier as Frontier
from hyperlaw.decision.schedule import Schedule as Schedule
from hyperlaw.decision.schedule import schedule as schedule
from hyperlaw.decision.trade_off import TradeOff as TradeOff
from hyperlaw.decision.trade_off import trade_off as trade_off
from hyperlaw.diagnostics.backtest import Backtest as Backtest
from hyperlaw.diagnostics.backtest import backtest as backtest
from hyperlaw.diagnostics.backtest_values import ValueBacktest as ValueBacktest
from hyperlaw.diagnostics.calibrate import Calibration as Calibration
from hyperlaw.diagnostics.calibrate import calibrate as calibrate
from hyperlaw.diagnostics.compare import Comparison as Comparison
from hyperlaw.diagnostics.compare import compare as compare
from hyperlaw.diagnostics.sensitivity import Sensitivity as Sensitivity
from hyperlaw.diagnostics.sensitivity import sensitivity as sensitivity
from hyperlaw.diagnostics.sharpness import sharpness as sharpness
from hyperlaw.inference.fit import Fit as Fit
from hyperlaw.inference.fit import fit as fit
from hyperlaw.inference.prior_predict import prior_predict as prior_predict
from hyperlaw.inference.storage import load_fit as load_fit
from hyperlaw.inference.tied_prior import tied_prior as tied_prior
from hyperlaw.inference.update import update as update
from hyperlaw.models.peak_learning_rate import peak_learning_rate as peak_learning_rate
from hyperlaw.risk import CVaR as CVaR
from hyperlaw.risk import Entropic as Entropic
from hyperlaw.risk import Mean as Mean
from hyperlaw.risk import Quantile as Quantile
from hyperlaw.risk import WorstCase as WorstCase


def __getattr__(name: str) -> object:
    """`hl.plots`, loaded when it is first asked for: matplotlib is slow to import."""
    if name == "plots":
        return importlib.import_module("hyperlaw.plots")
    raise AttributeError(f"module 'hyperlaw' has no attribute {name!r}")
