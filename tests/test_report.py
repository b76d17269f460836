"""Pages of choices and frontiers: what stands in them, and what a real browser makes of them."""

import itertools
import json
import os
import re
import shutil
from dataclasses import replace
from html import escape
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from conftest import TARGET, TRUTH, grid
from made_fit import REASON, made_fit
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait
from test_frontier import known
from typer.testing import CliRunner

import hyperlaw as hl
from hyperlaw.cli import app
from hyperlaw.diagnostics.sensitivity import prior_sensitivity
from hyperlaw.report import choice as choice_module
from hyperlaw.report import ladders
from hyperlaw.report.ladders import what_if_of
from hyperlaw.report.what_if import SAME, Packed, answer, costs

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
HOSTILE = ("</script><script>alert(1)</script>", "\"><img src=x onerror='alert(2)'>")
RISKS = {"Mean": lambda level: hl.Mean(), "Quantile": hl.Quantile, "CVaR": hl.CVaR}
SCATTER = {"log_learning_rate": 0.1, "log_batch_size": 0.2, "exponent_data": 0.05, "skew_learning_rate": 0.05}


def wall(learning_rate, batch_size, at):
    return batch_size


wall.__name__ = HOSTILE[0]


@pytest.fixture(scope="module")
def rated():
    """A choice over the width alone, from one batch size."""
    frame = grid(sizes=(64, 128, 256), data=(1e8,), batches=1).rename(columns={"params": "width"})
    runs = hl.Runs.from_frame(
        frame.drop(columns="data").assign(loss=2 + 0.1 * np.log(frame["learning_rate"] / 1e-3) ** 2)
    )
    law = hl.laws.StepLaw(over=("width",))
    truth = {name.replace("params", "width"): value for name, value in TRUTH.items()}
    fit = made_fit(law, runs, truth, scattered=SCATTER, draws=300)
    return hl.decide(fit, {"width": 1024}, risk="mean", despite=REASON)


@pytest.fixture(scope="module")
def hostile():
    """Two laws, hostile names of laws and tasks, a constraint and a reason; divergence has a price."""
    runs = hl.Runs.from_frame(pd.concat(grid(tasks=(task,), rates=5, batches=4) for task in HOSTILE))
    fits = {
        name: made_fit(hl.laws.StepLaw(), runs, TRUTH | {"log_learning_rate": rate}, scattered=SCATTER, draws=200)
        for name, rate in zip(HOSTILE, np.log([1e-3, 1.3e-3]), strict=True)
    }
    return hl.decide(
        fits, {"params": 1.6e7, "data": 6.4e9, "task": HOSTILE[1]}, risk="quantile:0.875", weights="equal",
        subject_to=[hl.AtMost(wall, 1e6), hl.OneOf("batch_size", multiples_of=1024), hl.Chance("diverge", at_most=0.2)],
        diverge_cost=1.0, despite=HOSTILE[0],
    )  # fmt: skip


@pytest.fixture(scope="module")
def frontier():
    fits = {"efficiency": known(hl.laws.DataEfficiency()), "hyperparameters": known(hl.laws.UTDHyperparameters())}
    return hl.frontier(
        fits, performance=[500.0, 700.0], cost=hl.Budget(delta=1e9), params=1e5, task="first", despite=HOSTILE[1]
    )


@pytest.fixture(scope="module")
def written(choice, rated, hostile, frontier, tmp_path_factory):
    """The page of each, and what its sliders go by."""
    folder, made = tmp_path_factory.mktemp("pages"), []
    found = {"choice": choice, "rated": rated, "hostile": hostile, "frontier": frontier}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choice_module, "what_if_of", lambda one: made.append(what_if_of(one)) or made[-1])
        for name, one in found.items():
            if name == "hostile":  # the other has as many targets as there are
                patch.setattr(ladders, "RUNGS", {2: (2, 1)})
            one.report(folder / f"{name}.html", command=f"hyperlaw report {HOSTILE[0]}")
    return {name: folder / f"{name}.html" for name in found}, dict(zip(found, made, strict=False))


@pytest.fixture
def pages(written):
    """The page of each, by name."""
    return written[0]


@pytest.fixture
def held(written):
    """What the sliders of each page go by."""
    return written[1]


def test_doubts_name_what_parameters_mean(choice, pages):
    """A page is read by people who have not met the names of parameters."""
    (law,) = choice.fits.values()
    table = prior_sensitivity(law, choice.at).table
    assert table["diagnosis"].any()
    page = pages["choice"].read_text()
    for parameter in table.loc[table["diagnosis"] != "", "mostly"]:
        (meaning,) = (p.meaning for p in law.likelihood.parameter_list if p.name == parameter)
        assert escape(f"(mostly the prior of {meaning})") in page
        assert f"the prior of {parameter}" not in page


@pytest.fixture
def short(monkeypatch):
    """Few targets, and a sensitivity that is told instead of computed: it is returned."""
    scaled = pd.DataFrame({"prior": [0.1], "likelihood": [0.2], "diagnosis": [""], "mostly": [""]}, ["loss"])
    asked = hl.Sensitivity(scaled, None, "The priors were asked.")
    monkeypatch.setattr(ladders, "RUNGS", {1: (1, 1), 2: (1, 1)})
    monkeypatch.setattr(choice_module, "prior_sensitivity", lambda *_: asked)
    return asked


class Parts(HTMLParser):
    """Tags with their attributes, and the text of each element that has an id."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self._inside = [], {}, None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag in ("script", "h1", "h2", "h3", "caption"):
            self._inside = dict(attrs).get("id", tag)

    def handle_data(self, data):
        if self._inside is not None:
            self.texts[self._inside] = self.texts.get(self._inside, "") + data

    def handle_endtag(self, tag):
        self._inside = None


CHOICE = ["set", "trust", "sure", "wrong", "whatif", "law", "risk", "loss", "formula", "checks", "far", "priors",
          "recipes", "origin"]  # fmt: skip


def test_a_choice_says_first_what_to_set_and_last_where_it_comes_from(pages, choice):
    text = pages["choice"].read_text(encoding="utf-8")
    parts = Parts(text)
    assert [attrs["id"] for tag, attrs in parts.tags if tag == "h2"] == CHOICE
    assert text.startswith("<!doctype html>")
    assert "B* = " in text
    assert choice.provenance["data"] in text
    assert "None of" in text or "All " in text
    levels = [int(tag[1]) for tag, _ in parts.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    fetched = [v for _, attrs in parts.tags for n, v in attrs.items() if n in ("src", "href")]
    assert [one for one in fetched if not one.startswith("#")] == ["data:,"]
    places = {attrs["id"] for _, attrs in parts.tags if "id" in attrs}
    assert {one[1:] for one in fetched if one.startswith("#")} <= places


def test_draws_take_three_megabytes_at_most(pages, held):
    for name, what in held.items():
        data = Parts(pages[name].read_text(encoding="utf-8")).texts["what-if-data"]
        assert len(data) <= 3_000_000
        assert json.loads(data)["draws"] == what.draws
    assert held["rated"].draws == 600
    assert held["hostile"].draws == 400


def test_no_part_that_was_not_asked_for(choice, rated, short, tmp_path):
    row = {"learning_rate": 1e-3, "batch_size": 256.0, "params": 1e5, "data": 1e6, "new_cell": False, "cost": 1.0}
    table = pd.DataFrame([row | {"reduction": 0.001, "untrusted": 0.0, "cumulated": 0.001}], index=[7])
    runs = hl.NextRuns(table, table, None, 0.01, 0.005, hl.Mean())
    rated.report(tmp_path / "r.html", next_runs=runs, sensitivity=short)
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "What to run next" in text
    assert runs.sentence.split(";")[0] in text
    assert "The priors were asked." in text
    assert "Made by" not in text
    elsewhere = {"params": 98304, "data": 2**21}
    for name, one in (("next_runs", runs), ("sensitivity", short)):
        with pytest.raises(
            ValueError, match=rf"{name} is of another target than the choice: of params 98\.3k, data 2\.1M"
        ):
            choice.report(tmp_path / "r.html", **{name: replace(one, at=elsewhere)})
    assert "of the unit in which the table gave it" not in text
    given = {"learning_rate": [3e-3, 4e-3], "batch_size": [128, 256]}
    fit = choice.fits["StepLaw"]
    fit = replace(fit, table=replace(fit.table, batch_unit=32.0))
    bare = hl.decide(fit, TARGET, risk="mean", candidates=given)
    bare.report(tmp_path / "b.html")
    text = (tmp_path / "b.html").read_text(encoding="utf-8")
    assert f"The batch size is {bare.setting['batch_size'] / 32:g} x 32 data points: so many of the unit" in text
    assert "The candidates were given" in text
    assert "what-if-data" not in text
    assert "against the best of the given candidates" in text
    assert 'id="chart-risk"' in text
    given = {"learning_rate": [3e-3, 4e-3], "batch_size": [128, 128]}
    hl.decide(choice.fits["StepLaw"], TARGET, risk="mean", candidates=given).report(tmp_path / "b.html")
    text = (tmp_path / "b.html").read_text(encoding="utf-8")
    assert 'id="chart-risk"' not in text


def test_a_page_is_written_whole_or_not_at_all(frontier, tmp_path, monkeypatch):
    path = tmp_path / "f.html"
    path.write_text("before")

    def fails(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(
        OSError, match=r"not be written to .*f\.html: No space left on device\. It needs .* MB, and what"
    ):
        frontier.report(path)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]
    monkeypatch.undo()
    frontier.report(path)
    assert "<!doctype html>" in path.read_text(encoding="utf-8")
    assert list(tmp_path.iterdir()) == [path]


def test_a_path_that_cannot_be_written_is_refused_before_anything_is_computed(choice, frontier, tmp_path):
    for one in (choice, frontier):
        with pytest.raises(ValueError, match=r"its name must end in \.html, received 'r\.pdf'"):
            one.report(tmp_path / "r.pdf")
        with pytest.raises(FileNotFoundError, match=r"there is no folder .*gone\. Make it, or name a file"):
            one.report(tmp_path / "gone" / "r.html")
        (tmp_path / "is.html").mkdir(exist_ok=True)
        with pytest.raises(IsADirectoryError, match="it is a folder"):
            one.report(tmp_path / "is.html")


def test_regrets_of_the_page_are_those_of_the_choice(choice, rated, hostile, held):
    """Draws are taken evenly, none is averaged, and 16 bits are enough."""
    for name, one in (("choice", choice), ("rated", rated), ("hostile", hostile)):
        what = held[name]
        found = answer(what, what.start, np.inf, hl.Mean())
        full = one.pricing.price({n: np.array([v]) for n, v in one.setting.items()}).regret[:, 0]
        rows = ((np.arange(what.draws) + 0.5) * len(full) // what.draws).astype(int)
        np.testing.assert_allclose(found.kept, full[rows], rtol=0.02, atol=1e-5)
        assert (found.regret.mean() <= found.kept.mean() * (1 + 1e-9)) or one.subject_to
        if what.allowed[what.target(what.start)].any() and not one.subject_to:  # at its own target the choice stays
            assert answer(what, what.start, np.inf, one.risk).setting == what.setting
        width = one.intervals.loc["learning_rate", "upper"] / one.intervals.loc["learning_rate", "lower"]
        ends = (
            found.intervals.loc["learning_rate", ["lower", "upper"]]
            / one.intervals.loc["learning_rate", ["lower", "upper"]]
        )
        assert (np.abs(np.log(ends)) < 0.15 * np.log(width)).all() or one.batch_size_set is not None
        assert set(one.setting) == set(what.setting)


def test_a_limit_on_the_batch_size_and_the_constraints_hold(held, hostile):
    what = held["hostile"]
    limit = float(np.median(what.batch_size))
    found = answer(what, what.start, limit, hl.CVaR(0.9))
    assert found.setting["batch_size"] <= limit
    assert (what.batch_size % 1024 == 0).all()
    free = answer(what, what.start, np.inf, hl.CVaR(0.9))
    assert costs(free.regret)["cvar90"] <= (1 + SAME) * costs(found.regret)["cvar90"]
    assert answer(what, what.start, what.batch_size[0] / 2, hl.Mean()) is None
    away = answer(held["choice"], held["choice"].start, held["choice"].batch_size[0], hl.Mean())
    assert away.at_batch
    assert what.setting == hostile.setting


def test_ladders_hold_the_target_and_the_largest_runs(held, choice, rated):
    ladder = held["choice"].ladder
    assert list(ladder) == ["params", "data"]
    assert [ladder[n][i] for n, i in zip(ladder, held["choice"].start, strict=True)] == [choice.at[n] for n in ladder]
    assert ladder["data"][0] == pytest.approx(choice.extrapolation.loc["data", "highest"])
    assert ladder["data"][-1] > TARGET["data"]
    assert held["rated"].batch_size.tolist() == [rated.setting["batch_size"]]


@pytest.mark.parametrize("width", [2.0, 2e10])
def test_ladders_end_where_targets_do(rated, width):
    (fit,) = rated.fits.values()
    far = hl.decide(fit, {"width": width}, risk="mean", despite=REASON)
    (rungs,) = what_if_of(far).ladder.values()
    assert (rungs.min() >= 1, rungs.max() <= 256e8) == (True, True)
    assert width in rungs


def test_sixteen_bits():
    values = np.array([[-3.0, 2.5], [0.1, 7.0]])
    np.testing.assert_allclose(Packed.of(values)[:], values, atol=10 / 65535 / 2)
    assert (Packed.of(np.full(3, 2.0))[:] == 2.0).all()


@pytest.mark.usefixtures("short")
def test_verbs(fit, frontier, tmp_path, monkeypatch):
    run = CliRunner().invoke
    fit.save(tmp_path / "fit.nc")
    at = ["--at", "params=98304", "--at", "data=4194304"]
    said = run(app, ["report", str(tmp_path / "fit.nc"), *at, "--out", str(tmp_path / "r.pdf")])
    assert said.exit_code == 2
    assert "its name must end in .html, received 'r.pdf'" in " ".join(said.stderr.split())
    asked = ["report", str(tmp_path / "fit.nc"), *at, "--at-most", "steps=1.5e4", "--risk", "mean", "--json"]
    out = tmp_path / "made" / "r.html"
    said = run(app, [*asked, "--out", str(out)])
    assert said.exit_code == 0, said.output
    told = json.loads(said.stdout)
    assert told["written"] == str(out)
    assert "AtMost(steps, 15000)" in out.read_text(encoding="utf-8")
    monkeypatch.setattr(hl, "load_fit", lambda path: path)
    monkeypatch.setattr(hl, "frontier", lambda *_, **__: frontier)
    asked = ["frontier", "a.nc", "b.nc", "--performance", "500", "--delta", "1e9", "--report", str(tmp_path / "f.html")]
    said = run(app, asked)
    assert said.exit_code == 0, said.output
    assert "Data and compute for performance 500, 700" in (tmp_path / "f.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def browser():
    """A real browser; without one these tests are skipped, but in continuous integration they fail."""
    if not (CHROMIUM and DRIVER):
        why = "no chromium and chromedriver: apt-get install chromium chromium-driver"
        pytest.fail(why) if os.environ.get("CI") else pytest.skip(why)
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


INKS = "return [...document.querySelectorAll('.chart .xtick text')].map(t => getComputedStyle(t).fill)"


def look(browser, path, *, width=1440, scheme="light", media=""):
    """Open a page at a width, in a scheme and on a medium."""
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                            {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False})  # fmt: skip
    prefers = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": [prefers]})
    browser.get(path.as_uri())
    return browser.execute_script


def move(browser, **values):
    """Set controls by their ids, as a user would, and give what the page then says."""
    return json.loads(
        browser.execute_async_script(
            """const [values, done] = arguments;
            for (const [id, value] of Object.entries(values)) {
              const control = document.getElementById(id);
              control.value = value;
              control.dispatchEvent(new Event("input", {bubbles: true}));
            }
            requestAnimationFrame(() => requestAnimationFrame(() =>
              done(document.getElementById("what-if").dataset.answer)));
            """,
            values,
        )
    )


@pytest.mark.parametrize("name", ["choice", "rated", "hostile", "frontier"])
def test_a_browser_has_nothing_to_complain_of(browser, pages, name):
    """No error, no request that leaves the page, nothing wider than the window; charts in the scheme of the reader."""
    for width in (390, 1440):
        for scheme, ink in (("light", "rgb(26, 26, 26)"), ("dark", "rgb(230, 230, 230)")):
            browser.get_log("performance")
            run = look(browser, pages[name], width=width, scheme=scheme)
            assert run("return document.documentElement.scrollWidth") == width
            assert browser.get_log("browser") == []
            events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
            asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
            assert {url.split(":")[0] for url in asked} <= {"file", "data", "blob"}
            assert asked.count(pages[name].as_uri()) == 1
            assert run("return getComputedStyle(document.body).color") == ink
            assert set(run(INKS)) == {ink}
            boxes = run(
                "return [...document.querySelectorAll('.chart')].map(c => c.querySelector('.main-svg') !== null)"
            )
            assert boxes
            assert all(boxes)


@pytest.mark.parametrize("name", ["choice", "rated", "hostile"])
def test_sliders_give_the_numbers_of_python(browser, pages, held, name):
    what = held[name]
    look(browser, pages[name])
    levels = json.loads(browser.find_element(By.ID, "what-if-data").get_attribute("textContent"))["levels"]
    rng, seen = np.random.default_rng(0), set()
    sizes = [len(rungs) for rungs in what.ladder.values()]
    for turn in range(15):
        place = what.start if turn < 3 else tuple(int(rng.integers(size)) for size in sizes)
        limit = len(what.batch_size) if turn % 3 == 0 else int(rng.integers(len(what.batch_size)))
        attitude, level = list(RISKS)[turn % 3], int(rng.integers(len(levels)))
        controls = {f"rung-{i}": rung for i, rung in enumerate(place)} | {"attitude": attitude, "level": level}
        single = len(what.batch_size) == 1
        found = move(browser, **controls | ({} if single else {"limit": limit}))
        most = np.inf if single or limit == len(what.batch_size) else what.batch_size[limit]
        want = answer(what, place, most, RISKS[attitude](levels[level]))
        assert (found is None) == (want is None)
        if want is None:
            continue
        assert found["setting"] == pytest.approx(want.setting, rel=1e-12)
        assert found["at_batch"] == want.at_batch
        for row, ends in found["intervals"].items():
            np.testing.assert_allclose(ends, want.intervals.loc[row], rtol=1e-9)
        for key, regret in (("costs", want.regret), ("kept", want.kept)):
            assert found[key] == pytest.approx(costs(regret), rel=1e-8)
        assert found["p_diverge"] == pytest.approx(want.p_diverge, rel=1e-8)
        seen.add(tuple(want.setting.values()))
    assert len(seen) > 5
    assert browser.get_log("browser") == []


def test_the_page_begins_where_the_report_stands_and_can_go_back(browser, pages, choice, held):
    run = look(browser, pages["choice"])
    told = "return document.getElementById('what-if').dataset.answer"
    first = WebDriverWait(browser, 30).until(lambda _: run(told))  # a busy machine takes a while
    assert "CVaR(0.9)" in browser.find_element(By.ID, "what-if-state").text
    assert move(browser, attitude="Mean", **{"rung-1": 0}) != json.loads(first)
    browser.find_element(By.CSS_SELECTOR, "button[type=reset]").click()
    assert WebDriverWait(browser, 30).until(lambda _: run(told) == first)
    note = browser.find_element(By.CSS_SELECTOR, ".note").text
    assert f"{held['choice'].draws} of {len(choice.priced.prices.regret)} draws" in note


def test_keys_move_the_sliders(browser, pages):
    look(browser, pages["choice"])
    slider = browser.find_element(By.ID, "rung-1")
    before = slider.get_attribute("aria-valuetext")
    browser.execute_script("arguments[0].focus()", slider)
    slider.send_keys(Keys.ARROW_RIGHT)
    browser.execute_async_script("const done = arguments[0]; setTimeout(done, 100)")
    assert slider.get_attribute("aria-valuetext") != before
    assert browser.find_element(By.CSS_SELECTOR, "output[for='rung-1']").text == slider.get_attribute("aria-valuetext")
    slider.send_keys(Keys.TAB)
    assert browser.switch_to.active_element.get_attribute("id") == "limit"


def read_aloud(browser):
    """What a screen reader reads: nothing until Chromium has made it, some time after the page."""
    nodes = browser.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    return nodes if any(not n["ignored"] and n["role"]["value"] == "heading" for n in nodes) else None


@pytest.mark.parametrize("name", ["choice", "frontier"])
def test_every_control_and_picture_has_a_name(browser, pages, name):
    look(browser, pages[name])
    nodes = WebDriverWait(browser, 30).until(read_aloud)
    roles = {"slider", "combobox", "button", "image", "img", "region", "table", "heading", "DisclosureTriangle"}
    named = [(n["role"]["value"], n.get("name", {}).get("value", "")) for n in nodes if not n["ignored"]]
    asked = [(role, words) for role, words in named if role in roles]
    assert {"table", "heading"} < {role for role, _ in asked}
    assert all(words.strip() for _, words in asked), asked
    if name == "choice":
        assert sum(role == "slider" for role, _ in asked) == 4


def test_on_paper_the_sliders_are_gone_and_their_state_is_said(browser, pages):
    look(browser, pages["choice"], media="print", scheme="dark", width=700)  # A4 between margins
    assert not browser.find_element(By.ID, "what-if-form").is_displayed()
    assert browser.find_element(By.ID, "what-if-state").is_displayed()
    run = browser.execute_script
    assert run("return getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    run("window.dispatchEvent(new Event('beforeprint'))")
    assert run("return document.querySelectorAll('details:not([open])').length") == 0
    assert run("return document.documentElement.scrollWidth") == 700
    assert run("return Math.max(...[...document.querySelectorAll('.chart .main-svg')].map(s => s.clientWidth))") == 660
    assert set(run(INKS)) == {"rgb(26, 26, 26)"}
    run("window.dispatchEvent(new Event('afterprint'))")
    assert set(run(INKS)) == {"rgb(230, 230, 230)"}


@pytest.mark.parametrize("name", ["hostile", "frontier"])
def test_hostile_strings_are_text(browser, pages, name):
    run = look(browser, pages[name])
    assert run("return document.images.length") == 0
    assert run("return [...document.scripts].filter(s => s.textContent.startsWith('alert')).length") == 0
    text = run("return document.body.textContent")
    assert f"hyperlaw report {HOSTILE[0]}" in text
    if name == "hostile":
        assert all(words in text for words in HOSTILE)
        assert f"AtMost({HOSTILE[0]}, 1e+06)" in text
        assert HOSTILE[1] in run("return document.querySelector('h1').textContent")
