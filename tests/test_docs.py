"""What the documents point at is there. That their code runs: `tests/test_docs_run.py`."""

import ast
import functools
import inspect
import re
import shlex
import subprocess
import sys
import tomllib
from importlib.util import find_spec

import pytest
from pages import PAGES, ROOT, SHOWN, VERBS, blocks, commands, name

import hyperlaw as hl
from hyperlaw.diagnostics import check
from hyperlaw.models import identifiability
from hyperlaw.models.law import LAWS

LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")
NAME = re.compile(r"\bhl\.((?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*)")


def test_there_are_pages():
    assert {"README.md", "CHANGELOG.md", "CONTRIBUTING.md"} < {page.name for page in PAGES}
    assert sum(len(LINK.findall(page.read_text())) for page in PAGES) > 50


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page):
    missing = [target for target in LINK.findall(page.read_text()) if not (page.parent / target).exists()]
    assert not missing


@pytest.mark.parametrize("law", [law for law, found in LAWS.items() if found.__module__.startswith("hyperlaw.")])
def test_every_law_page_says_first_whether_to_trust_it(law):
    text = (ROOT / "docs" / "laws" / f"{law}.md").read_text()
    assert text.startswith(f"# {law}\n\n**Whether to trust it.** ")


def test_no_picture_of_the_documents_is_left_out_of_the_repository():
    pictures = [str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.png")]
    ignored = subprocess.run(["git", "check-ignore", "--", *pictures], cwd=ROOT, capture_output=True, text=True)
    assert pictures
    assert ignored.stdout == ""


def public(path: str) -> object:
    """What `hl.path` is; AttributeError where there is none."""
    return functools.reduce(getattr, path.split("."), hl)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_names_of_the_package_exist(page):
    for path in sorted(set(NAME.findall(page.read_text()))):
        public(path)


@pytest.mark.parametrize("page", SHOWN, ids=name)
def test_calls_take_their_arguments(page):
    """Every call of a name of the package, in code that is run or not."""
    code = [ast.parse(block.code) for block in blocks(page) if block.language == "python"]
    for call in [node for tree in code for node in ast.walk(tree) if isinstance(node, ast.Call)]:
        called = ast.unparse(call.func)
        if called.startswith("hl."):
            arguments = {keyword.arg: None for keyword in call.keywords}
            inspect.signature(public(called.removeprefix("hl."))).bind(*call.args, **arguments)


@pytest.mark.parametrize("page", SHOWN, ids=name)
def test_code_imports_what_it_uses(page, tmp_path):
    """Every name is bound in its block or in one before it."""
    (tmp_path / "page.py").write_text("\n".join(b.code for b in blocks(page) if b.language == "python"))
    ruff = [sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache", "--select", "F821,E9"]
    checked = subprocess.run([*ruff, tmp_path / "page.py"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout


def test_no_code_escapes_the_tests():
    """Code is marked python or shell; what is not run says why."""
    for page in PAGES:
        languages = re.findall(r"^```(\S*)[^\n]*\n.*?^```", page.read_text(), re.DOTALL | re.MULTILINE)
        assert not {"py", "pycon", "bash", "sh", "console"} & set(languages), page
    assert sum(block.reason is not None for page in SHOWN for block in blocks(page)) < 6


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_exist(page):
    """Verbs, targets of make, extras, modules and scripts that a page names on a line of their own."""
    targets = set(re.findall(r"^([a-z-]+)[a-z -]*:", (ROOT / "Makefile").read_text(), re.MULTILINE))
    extras = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
    for line in commands(page):
        words = shlex.split(line, comments=True)
        words = words[1:] if "=" in words[0] else words
        if words[0] == "hyperlaw":
            assert words[1] in VERBS, line
        elif words[0] == "make":
            assert set(words[1:]) <= targets, line
        elif words[0] == "pip":
            asked = re.findall(r"\[(.+?)\]", line)
            assert {extra for some in asked for extra in some.split(",")} <= extras, line
        elif words[0].startswith("python") and words[1] == "-m":
            assert find_spec(words[2]), line
        elif words[0] == "python":
            assert (ROOT / words[1]).is_file(), line


@pytest.mark.parametrize("page", SHOWN, ids=name)
def test_code_fits_the_page(page):
    assert not [
        line
        for block in blocks(page)
        if block.language == "python"
        for line in block.code.splitlines()
        if len(line) > 92
    ]


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 90


def test_every_public_name_is_in_the_reference():
    listed = set(re.findall(r"^   ([A-Za-z_.]+)$", (ROOT / "docs/api.md").read_text(), re.MULTILINE))
    modules = {"plots", "laws", "__version__"}
    assert set(hl.__all__) - modules <= listed
    assert {f"plots.{picture}" for picture in public_of(hl.plots)} <= listed
    for path in listed:
        functools.reduce(getattr, path.split("."), hl)


def public_of(module) -> list[str]:
    return [word for word, value in vars(module).items() if inspect.isfunction(value) and not word.startswith("_")]


def check_names() -> list[str]:
    """Every check in the code, as a pattern: what is filled in is anything."""
    found = []
    for module in (check, identifiability):
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("Spec", "Contrast"):
                said = node.args[0]
                if isinstance(said, ast.JoinedStr):
                    parts = (re.escape(v.value) if isinstance(v, ast.Constant) else ".+" for v in said.values)
                    found.append("".join(parts))
                elif isinstance(said, ast.Constant):
                    found.append(re.escape(said.value))
    return found


def test_every_check_is_explained():
    page = (ROOT / "docs/checks.md").read_text()
    explained = [
        said for line in re.findall(r"^\*\*`.*", page, re.MULTILINE) for said in re.findall(r"\*\*`(.+?)`\*\*", line)
    ]
    patterns = check_names()
    assert len(patterns) > 20
    for pattern in patterns:
        assert any(re.fullmatch(pattern, said) for said in explained), pattern
    for said in explained:
        assert any(re.fullmatch(pattern, said) for pattern in patterns), said


def test_every_verb_is_explained():
    told = set(re.findall(r"^\| `hyperlaw (\w+)", (ROOT / "docs/sources.md").read_text(), re.MULTILINE))
    assert told == set(VERBS)
