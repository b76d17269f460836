"""Laws, their parameters, and how a law meets a table of runs."""

from hyperlaw.models.law import Law
from hyperlaw.models.step_law import StepLaw
from hyperlaw.models.time_transfer import TimeTransfer

LAWS: dict[str, type[Law]] = {law.__name__: law for law in (StepLaw, TimeTransfer)}
