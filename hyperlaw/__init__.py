"""hyperlaw: Bayesian scaling laws for learning rate, batch size and updates-to-data ratio.

Small runs go in; a posterior over how the best settings scale comes out; and from it a setting for one
large run, chosen under a stated attitude to risk. `import hyperlaw as hl`.
"""

import numpyro as _numpyro

# ArviZ leaves a lazily loaded numpyro behind. If a submodule of it were imported first, Python would run
# numpyro.distributions twice and numpyro would break; touching any attribute loads it properly.
_ = _numpyro.__version__

from hyperlaw import laws as laws
from hyperlaw.data.runs import Runs as Runs
from hyperlaw.data.sweeps import load_sweep as load_sweep
from hyperlaw.data.sweeps import sweeps as sweeps
from hyperlaw.decision.choice import Choice as Choice
from hyperlaw.decision.decide import decide as decide
from hyperlaw.decision.risk import CVaR as CVaR
from hyperlaw.decision.risk import Mean as Mean
from hyperlaw.decision.risk import Quantile as Quantile
from hyperlaw.decision.risk import WorstCase as WorstCase
from hyperlaw.diagnostics.compare import compare as compare
from hyperlaw.inference.fit import Fit as Fit
from hyperlaw.inference.fit import fit as fit
from hyperlaw.inference.prior_predict import prior_predict as prior_predict
from hyperlaw.inference.storage import load_fit as load_fit
