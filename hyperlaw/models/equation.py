"""A law's equation as a template: lines of text whose fields are its parameters and the pivots of its covariates.

    B* = {log_batch_size:exp} · (D / {data})^{exponent_data}

A parameter that is a natural log is written as its exponential with `:exp`; a covariate that is scaled linearly has a
middle, `{threshold}`, and a half range, `{threshold_unit}`. `·` multiplies, `^` raises to a power, a star marks what is
best, and a name may have an index, as in `B_noise`. A line may use what lines before it define.
"""

import re
from collections.abc import Callable, Iterable
from string import Formatter

# How the quantities of the package are written.
SYMBOLS = {
    "params": "N", "width": "W", "data": "D", "utd": "sigma", "loss": "L", "budget": "F", "threshold": "J",
    "optimizer": "optimizer", "batch_size": "B",
}  # fmt: skip
# Best batch size B*, of whichever powers, and what a learning rate loses or gains at another batch size.
RIDGE = "(2 / (1 + B* / B))^{ridge_small_batch} · ((1 + B / B*) / 2)^{ridge_large_batch}"
GREEK = ("eta", "sigma", "gamma")
FUNCTIONS = ("exp", "ln")


def power(covariate: str, exponent: str) -> str:
    """A factor of a template: a covariate over its pivot, to the power of a parameter."""
    return f" · ({SYMBOLS[covariate]} / {{{covariate}}})^{{{exponent}}}"


def fields(lines: Iterable[str]) -> list[str]:
    """Names of the fields of a template."""
    return [name for line in lines for _, name, _, _ in Formatter().parse(line) if name]


def written(line: str, field: Callable[[str, bool], str], *, latex: bool = False) -> str:
    """A line of a template; `field` writes one, given its name and whether its exponential is asked."""
    parts = []
    for text, name, spec, _ in Formatter().parse(line):
        parts.append(_latex(text) if latex else text)
        if name:
            value = field(name, spec == "exp")
            parts.append(f"{{{_latex_numbers(value)}}}" if latex else value)
    return "".join(parts)


def symbolic(line: str) -> str:
    """A line with the names of its parameters, and a pivot as the symbol of its covariate with an index 0."""
    return written(line, lambda name, exp: f"exp({name})" if exp else f"{SYMBOLS[name]}_0" if name in SYMBOLS else name)


def _latex(text: str) -> str:
    text = re.sub(r"([A-Za-z]+)(?:_(\w+))?(\*?)", _latex_name, text).replace("·", r"\cdot")
    return re.sub(r"\^(?:\(([^()]*)\)|([\w.]+))", lambda found: f"^{{{found[1] or found[2]}}}", text)


def _latex_name(found: re.Match[str]) -> str:
    """A name with its index and its star, or a function."""
    name, index, star = found[1], found[2], found[3]
    if name in (*GREEK, *FUNCTIONS):
        name = f"\\{name} "
    elif len(name) > 1:
        name = f"\\mathrm{{{name}}}"
    below = f"_{{\\mathrm{{{index.replace('_', r'\ ')}}}}}" if index else ""
    return f"{name}{below}{'^*' if star else ''}"


def _latex_numbers(text: str) -> str:
    return re.sub(r"e(-?\d+)", r"\\times 10^{\1}", text.replace(" [", r"\,[").replace(", ", r",\,"))
