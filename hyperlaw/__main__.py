"""`python -m hyperlaw` is `hyperlaw`."""

from hyperlaw.cli import app

app(prog_name="hyperlaw")
