"""Readers of experiment trackers: runs go in as a tracker keeps them, a plain DataFrame comes out.

One file a source, with one public function each: `mlflow.read_mlflow`, `optuna.read_optuna`,
`tensorboard.read_tensorboard`, `wandb.read_wandb`. Their clients are optional extras (`pip install 'hyperlaw[mlflow]'`)
and are imported when a function is called. Runs are never changed. All keep one contract:

**One row a run** (`history` left out). Columns, in this order:

- `run` (the tracker's id, as text), `run_name`, and `state` where the tracker keeps one;
- every hyperparameter under its own name, nested ones with dots (`optimizer.lr`), lists as JSON text;
- the final value of every metric under its own name.

A metric that has the name of a hyperparameter, or of a column above, is `metrics.<name>`; a hyperparameter that has the
name of a column above is `params.<name>`. A `UserWarning` says so. A column of text is turned into numbers (or into
booleans) where each of its values is one: "0.001", "1e-3", "NaN", "true".

**One row a logged point** (`history=["loss", "tokens"]`). Columns `run`, `run_name`, `state`, `step`, the metrics, then
the hyperparameters. Metrics that were logged at the same step share a row; a step at which none was logged has none.

**Steps.** Where a run logged a step more than once, or went back to earlier ones (it was restarted), the latest value
of each step is kept; where all points have one step (none was given), they are numbered in the order logged. A
`UserWarning` names the run. Histories are read in full, and a `UserWarning` names what the tracker has thinned out or
what breaks off.

**States** are one of `finished, running, crashed, failed, killed, preempted`:

| state | MLflow | Optuna | Weights & Biases | TensorBoard |
|---|---|---|---|---|
| finished | FINISHED | COMPLETE | finished | no column |
| running | RUNNING, SCHEDULED | RUNNING, WAITING | running, pending, preempting | |
| crashed | | | crashed, or offline and without an end | |
| failed | FAILED | FAIL | failed | |
| killed | KILLED | PRUNED | killed | |
| preempted | | | preempted | |

A word that is not in the table is kept, in lower-case letters.

**`where`** keeps runs: a mapping from a column that describes runs (`run`, `run_name`, `state`, a hyperparameter) to
the value, or the list of values, that it must have. `{"state": "finished", "optimizer": ["adam", "adamw"]}`. Numbers
may be given as text; None stands for a missing value.

**`final`** says how a metric's final value is taken from its history: `"last"`; `"mean:10"`, the mean of the last ten
logged points (of all, where there are fewer); `"smooth:100"`, an exponential moving average with a half-life of 100
logged points, without bias towards the first. A metric of which only one value is kept has that value. A point that is
NaN counts: it makes a mean NaN. The minimum is refused, because it lies below the expectation of a noisy curve.

**Errors.** ImportError when the client is not installed. ValueError or FileNotFoundError when nothing is found (the
text says what was looked for and what is there), an argument is not one of the above, or a metric was never logged.
"""
