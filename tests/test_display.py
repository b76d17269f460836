"""What objects say of themselves: short text for a terminal, and HTML for a notebook that stands by itself."""

import dataclasses
import inspect
import re
from functools import cache
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from decisions import AT, QUESTIONS, made, questions
from made_fit import REASON
from test_result_plots import a_backtest

import hyperlaw as hl
from hyperlaw.decision.pareto import Setting
from hyperlaw.diagnostics.spec import NOTHING
from hyperlaw.display import ROWS, View, as_html, as_text, ends, few, figures, short
from hyperlaw.models.law import LAWS

VOID = {"meta", "img", "br"}


class Parsed(HTMLParser):
    """Tags that are open, every attribute, and the text; an error where a tag is closed that is not open."""

    def __init__(self, html):
        super().__init__()
        self.open, self.attributes, self.text, self.tags = [], [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1] != "style":
            self.text.append(data)


@cache
def objects():
    """One of each kind, by name."""
    fits = made()
    step, data, steps = (fits[name] for name in ("StepLaw", "DataEfficiency", "StepsExamples"))
    found = {name: ask(despite=REASON) for name, ask in questions(fits).items()}
    choice = found["decide"]
    scores = pd.DataFrame({"regret": [0.1, np.nan], "name": ["a", "b"]})
    shown = {
        "runs": step.runs, "optima": step.runs.optima(), "crossings": data.table, "steps": steps.table,
        "curves": hl.load_sweep("value_rl"), "fit": step, "fit of values": data, "checks": step.check(),
        "prediction": step.predict(AT), "score": choice.score({"learning_rate": 1e-3, "batch_size": 2**14}),
        "backtest": dataclasses.replace(a_backtest(), withheld="withheld <the> largest"),
        "comparison": hl.Comparison(scores, "a is better", {"a": None, "b": None}, scores, scores.head(0)),
        "sensitivity": hl.Sensitivity(scores, scores, "Nothing moves."),
        "many": hl.ManyFits({}, {}, pd.DataFrame({"ok": [True, False], "failed": ["", "no"]}, ["a", "b"])),
        "setting": Setting({"utd": 2.0}, pd.DataFrame({"median": [1e15]}, ["budget"]), None, ["utd"], 0.1, hl.Mean()),
    } | {name: law() for name, law in LAWS.items()}  # fmt: skip
    return shown | found


NAMES = [
    "runs", "optima", "crossings", "steps", "curves", "fit", "fit of values", "checks", "prediction", "score",
    "backtest", "comparison", "sensitivity", "many", "setting", *LAWS, *QUESTIONS,
]  # fmt: skip
PICTURED = {"runs", "fit", "fit of values", "backtest", *QUESTIONS}


def test_every_object_is_asked():
    assert list(objects()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_html_stands_by_itself(name):
    """No reference to a file or a network, nothing open, no id that another output could have, and small."""
    html = objects()[name]._repr_html_()
    assert len(html) < 100_000
    parsed = Parsed(html)
    assert not parsed.open
    names = [attribute for attribute, _ in parsed.attributes]
    assert not {"id", "href"} & set(names)
    assert "script" not in parsed.tags
    sources = [value for attribute, value in parsed.attributes if attribute == "src"]
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert len(sources) == (name in PICTURED)
    assert "url(" not in html
    assert "@import" not in html


@pytest.mark.parametrize("name", NAMES)
def test_text_fits_a_terminal(name):
    text = str(objects()[name])
    assert max(map(len, text.splitlines())) <= 100
    assert 2 <= len(text.splitlines()) < 120
    assert "Dataset" not in text
    assert text.splitlines()[0].split(":")[0] in " ".join(Parsed(objects()[name]._repr_html_()).text)


def test_a_law_is_short_where_it_is_one_of_many():
    assert repr(hl.laws.StepLaw(over=("width",))) == "StepLaw(over=('width',))"
    assert "B* = exp(log_batch_size) · (N / N_0)^exponent_params" in str(hl.laws.StepLaw())


def test_runs_show_their_ranges():
    runs = made()["StepLaw"].runs
    losses = [figures(float(end)) for end in (runs.frame["loss"].min(), runs.frame["loss"].max())]
    said = f"learning_rate 0.0005 to 0.002; batch_size 8192 to 1.638e4; loss {losses[0]} to {losses[1]}"
    assert said in repr(runs)


def checks(*status):
    rows = [(f"check {i}", float(i), ">= 9", s, "" if s == "PASS" else f"Do {i}.") for i, s in enumerate(status)]
    return hl.Checks(pd.DataFrame(rows, columns=["check", "value", "threshold", "status", "advice"]))


def test_checks_begin_with_a_verdict():
    said = "Every check passes: nothing that they look at speaks against this fit."
    assert repr(checks("PASS", "PASS")) == f"{said}\n2 of 2 checks pass; .table has all."
    text = repr(checks("PASS", "REVIEW", "PASS"))
    assert text.startswith("Look at 1 check before you rely on this fit; none failed.\n2 of 3 checks pass")
    assert text.endswith("\n\nREVIEW  check 1: 1 (must be >= 9)\n  Do 1.")
    text = repr(checks("REVIEW", "FAIL", "PASS", "FAIL"))
    assert text.startswith("Do not use this fit. Failed: check 1; check 3.\n1 of 4 checks pass")
    assert text.index("FAIL  check 3") < text.index("REVIEW  check 0")
    assert "Failed: check 0; check 1; check 2; and 2 more." in repr(checks(*["FAIL"] * 5))
    assert "The 2 checks that pass" in checks("PASS", "REVIEW", "PASS")._repr_html_()


def test_a_value_that_cannot_be_computed_is_none():
    table = checks("FAIL").table.assign(value=np.nan, advice=NOTHING)
    assert "check 0: none (must be >= 9)" in repr(hl.Checks(table))


def test_a_prediction_of_a_fit_that_failed_says_so(fit, rough):
    found = rough.predict(AT)
    assert not found.checks_ok
    assert found.failed == rough.check().failed
    for text in (repr(found), found._repr_html_()):
        assert f"This fit failed its checks: {few(found.failed)}." in " ".join(text.split())
    good = fit.predict(AT)
    assert good.checks_ok == fit.check().ok
    assert good.checks_ok
    assert "failed its checks" not in repr(good)


def test_summary_has_what_the_law_is_about(fit):
    found = fit.summary()
    assert list(found.index) == [p.name for p in fit.law.own_parameters]
    assert list(found.columns) == ["median", "lower", "upper", "unit", "r_hat", "ess", "meaning"]
    assert (found["lower"] < found["median"]).all()
    assert (found["median"] < found["upper"]).all()
    assert found["ess"].min() >= 400
    assert found.loc["exponent_data", "median"] == pytest.approx(float(fit.draws["exponent_data"].median()))


@pytest.mark.parametrize("door", ["check", "predict", "equation", "summary", "save"])
def test_doors_of_a_fit_say_all_where_they_are(door):
    text = inspect.getdoc(getattr(hl.Fit, door))
    assert "see `hyperlaw." not in text
    assert re.search(r"^(Returns|Parameters)\n-+$", text, re.MULTILINE)


@pytest.mark.parametrize("of", [hl.Choice.plot, hl.Choice.explain, hl.Frontier.plot])
def test_so_do_those_of_decisions(of):
    assert "Returns\n-------" in inspect.getdoc(of)
    assert "see `hyperlaw." not in inspect.getdoc(of)


def test_what_data_hold_is_escaped():
    bad = "<script>alert(1)</script>\"'&"
    table = pd.DataFrame({bad: [bad, 1.0]}, [bad, "x"])
    view = View(bad, bad, facts={bad: bad}, sections={bad: bad}, tables={bad: table}, folded={bad: table})
    parsed = Parsed(as_html(view))
    assert "script" not in parsed.tags
    assert "".join(parsed.text).count(bad) == 14
    assert as_text(view).count(bad) == 10


def test_tables_can_be_sorted_by_what_they_hold():
    """By the number behind a rounded value, and not where there is none."""
    html = as_html(View("title", tables={"": pd.DataFrame({"a": [1.23456, np.nan, np.inf], "b": ["x", "y", "z"]})}))
    assert re.findall(r"<td([^>]*)>([^<]*)</td>", html) == [
        (' class="hl-n" data-n="1.23456"', "1.235"), ("", "x"), ("", ""), ("", "y"), ("", "inf"), ("", "z"),
    ]  # fmt: skip
    assert html.count("onclick=") == 1


def test_long_tables_are_cut_with_a_word():
    view = View("title", tables={"": pd.DataFrame({"a": range(ROWS + 12)})})
    assert as_text(view).endswith("\n... and 12 further rows")
    assert "and 12 further rows" in as_html(view)
    assert as_html(view).count("<tr>") == ROWS + 1


FIGURES = {
    0.00210004: "0.0021", 2.1e-5: "2.1e-5", 128.0: "128", 65536.0: "6.554e4", 9999.6: "1e4", 1.4e12: "1.4e12",
    0.0: "0", -0.5: "-0.5", float("inf"): "inf", float("nan"): "", 7: "7", True: "yes", None: "", "a": "a",
}  # fmt: skip


@pytest.mark.parametrize("value", FIGURES, ids=str)
def test_figures(value):
    assert figures(value) == FIGURES[value]


def test_figures_of_fewer_digits():
    assert [figures(value, 2) for value in (224.3, 0.0031, 131072.0, 9960.0)] == ["220", "0.0031", "1.3e5", "1e4"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(3e-5, "3e-05"), (0.003, "0.003"), (1024, "1024"), (9999, "9999"), (24576, "24.6k"), (999_900, "1M"),
     (2**20, "1.05M"), (7e9, "7B"), (1.4e12, "1.4T"), (1e5, "100k"), (1e19, "1e19")],
)  # fmt: skip
def test_short_numbers(value, text):
    assert short(value) == text


def test_ends_of_a_scale():
    assert ends(pd.Series([98304, 24576])) == "24.6k to 98.3k"
    assert ends(pd.Series([2.0, 2.0])) == "2"
