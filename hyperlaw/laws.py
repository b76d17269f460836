"""The laws, as `hl.laws`."""

from hyperlaw.models.step_law import StepLaw as StepLaw
from hyperlaw.models.time_transfer import TimeTransfer as TimeTransfer
