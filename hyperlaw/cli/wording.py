"""The texts of the package in the words of the command line: options and verbs in place of Python."""

import re

# Arguments of the functions behind the verbs that are options of the same name.
ARGUMENTS = (
    "learning_rate", "batch_size", "batch_unit", "loss", "loss_unit", "untrained_loss", "performance", "data", "steps",
    "params", "width", "utd", "task", "run", "diverged", "state", "tune_over", "estimated", "draws", "warmup", "chains",
    "target_accept", "window", "despite", "weights", "leave_out", "hold_out", "diverge_cost", "cost",
)  # fmt: skip
_VALUE = r"""'[^']*'|"[^"]*"|\[[^\]]*\]|\([^)]*\)|<[^>]*>|\.\.\.|-?\d+(?:\.\d+)?(?:e[+-]?\d+)?"""
_ARGUMENT = re.compile(rf"""(?<![\w.\[{{"'-])({"|".join(ARGUMENTS)}|seed)=({_VALUE})?(?![\w(])""")
# What Python is told, and how the command line has it; in this order.
PHRASES = (
    (r"[Ss]ee its check\(\) for what to do", "`hyperlaw check FIT` says what to do"),
    (r"\(fit\.check\(\)\)", "(hyperlaw check FIT)"),
    (r"fit\.check\(\)", "hyperlaw check FIT"),
    (r"\(`\.checks` says why\)", "(hyperlaw check FIT says why)"),
    (r"Save one with fit\.save\('([^']*)'\)", r"Write one with hyperlaw fit TABLE --out \1"),
    (r"written by fit\.save", "written by hyperlaw fit"),
    (r" \(az\.loo\(fit\.by_row, pointwise=True\)\)", ""),
    (r"hl\.LossSurface\(law, window=([\d.]+)\)", r"with --window \1"),
    (r"hl\.next_runs", "hyperlaw next"),
    (r"\.table has all", "--json has all"),
    (r"hl\.compare", "hyperlaw compare"),
    (r"hl\.laws\.table\(\)", "hyperlaw laws"),
    (r"hl\.laws", "hyperlaw laws"),
    (r", or a value such as hl\.CVaR\(0\.9\)", ""),
    (r"hl\.Mean\(\)", "mean"),
    (r"hl\.CVaR\((q|[\d.]+)\)", r"cvar:\1"),
    (r"hl\.Chance\(\"diverge\", at_most=([\d.]+)\)", r"--max-diverge \1"),
    (r"`?hl\.update`?", "a fit"),
    (r"(hl\.sensitivity)", r"\1 (in Python)"),
    (r"hl\.Curves", "--kind curves"),
    (r"\bis runs\.(optima\([^)]*\))", r"is hl.Runs.\1, in Python"),
    (r"with `where`", "with --where"),
    (r"Pass by_batch=True", "Pass --make optima-by-batch"),
    (r"Read it with pandas and pass the DataFrame to from_frame", "Save it as text in UTF-8, Parquet or JSON"),
    (r"\bat\['(\w+)'\]", r"--at \1"),
    (r"^at must give", "--at must give"),
    (r"None for a new task", '--at "task=" for a new task'),
    (r"fits must be \{'efficiency': (.*?), 'hyperparameters': (.*?)\}", r"FIT must be \1, and HYPERPARAMETERS \2"),
    (r"in the call of frontier", "with --performance"),
    (r"as hl\.\w+\.from_frame did", "as the table has them"),
)


def as_options(text: str) -> str:
    """A text of the package with options and verbs in place of Python: "draws=4000" becomes "--draws 4000"."""
    for python, words in PHRASES:
        text = re.sub(python, words, text)
    return _ARGUMENT.sub(_option, text)


def _option(found: re.Match[str]) -> str:
    name, value = found[1], found[2] or ""
    if name == "seed" and value.startswith(("'", '"')):
        name = "seed_column"
    value = value.strip("()[],").replace("'", '"')
    plain = value.strip('"')
    value = plain if re.fullmatch(r"[\w.,/-]+", plain) and name != "despite" else value
    return f"--{name.replace('_', '-')} {value}".rstrip()
