"""Laws, their parameters and priors, and how the rows of a table scatter around them."""

from hyperlaw.models import laws as laws
