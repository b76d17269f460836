"""The package as it is handed on: what it declares, what the wheel and the source archive hold, and that they work."""

import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import hyperlaw as hl

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
LOCKED = re.findall(r"^([a-z0-9._-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE)


def plain(name: str) -> str:
    """A name as indices compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_version_stands_in_one_place():
    assert "version" in PROJECT["dynamic"]
    source = (ROOT / "hyperlaw/__init__.py").read_text()
    assert re.findall(r'^__version__ = "(.+)"$', source, re.MULTILINE) == [hl.__version__]
    assert f"## [{hl.__version__}]" in (ROOT / "CHANGELOG.md").read_text()


def test_every_dependency_has_its_licence_listed():
    listed = re.findall(
        r"^\| ([a-z0-9.-]+) \| [^|]+ \| [^|]+ \|$", (ROOT / "docs/licences.md").read_text(), re.MULTILINE
    )
    asked = {plain(Requirement(one).name) for some in (PROJECT["dependencies"], *EXTRAS.values()) for one in some}
    assert listed[0] == "package"
    assert listed[1:] == sorted(asked)


def test_the_least_versions_are_those_declared():
    said = subprocess.run(
        [sys.executable, ROOT / "tests/least_versions.py"], capture_output=True, text=True, check=True
    )
    lines = said.stdout.splitlines()
    assert len(lines) == len(PROJECT["dependencies"])
    assert "numpyro==0.22" in lines
    assert "arviz==1.3" in lines


@pytest.mark.parametrize("extra", EXTRAS)
def test_what_is_asked_for_is_locked(extra):
    for asked in EXTRAS[extra] + PROJECT["dependencies"]:
        assert plain(Requirement(asked).name) in LOCKED, asked


@pytest.mark.parametrize("extra", [extra for extra in EXTRAS if extra != "dev"])
def test_development_has_every_extra_as_it_is_asked_for(extra):
    assert set(EXTRAS[extra]) <= set(EXTRAS["dev"])


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> tuple[Path, Path]:
    """The wheel and the source archive, made from a copy of what is in the repository."""
    folder = tmp_path_factory.mktemp("built")
    for file in tracked("."):
        (folder / "copy" / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / file, folder / "copy" / file)
    build = [sys.executable, "-W", "ignore", "-m", "build", "--no-isolation", "--outdir", folder, folder / "copy"]
    made = subprocess.run(build, capture_output=True, text=True)
    assert made.returncode == 0, made.stdout + made.stderr
    (wheel,), (archive,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, archive


def tracked(folder: str) -> list[str]:
    """Files of the repository that are there, new ones included."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", folder]
    found = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return [file for file in found if (ROOT / file).is_file()]


@pytest.mark.slow
def test_the_wheel_holds_all_of_the_package_and_nothing_else(built):
    with zipfile.ZipFile(built[0]) as wheel:
        held = [name for name in wheel.namelist() if ".dist-info/" not in name]
    assert sorted(held) == sorted(tracked("hyperlaw"))
    assert built[0].stat().st_size < 20e6


@pytest.mark.slow
def test_the_source_archive_holds_what_a_build_needs(built):
    with tarfile.open(built[1]) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert {*tracked("hyperlaw"), "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md"} <= held
    assert not [name for name in held if name.startswith(("tests", "docs", "benchmarks"))]


SHORT = """
import hyperlaw as hl
from hyperlaw.demo import LARGE, SMALL

assert not hl.__file__.startswith(ROOT), hl.__file__
runs = hl.load_sweep("lm_adam")
frame = runs.frame
small = runs.where((frame["data"] <= SMALL) & (frame["seed"] == 0) & (frame["data"] >= 2**18))
fit = hl.fit(hl.laws.StepLaw(), small, seed=0, chains=2, draws=50, warmup=100, progress=False)
fit.save("fit.nc")
choice = hl.decide(hl.load_fit("fit.nc"), at=LARGE, risk=hl.CVaR(0.9), despite="far too few draws")
choice.plot().savefig("choice.png")
print(choice.setting)
"""


@pytest.mark.slow
def test_it_works_where_it_is_installed(built, tmp_path):
    """In an environment of its own, outside the repository; the libraries are those of this one."""
    place = tmp_path / "environment"
    venv.create(place, with_pip=True)
    python = place / "bin" / "python"
    wheel, site = built[0], Path(sysconfig.get_path("purelib", vars={"base": place, "platbase": place}))
    run([python, "-m", "pip", "install", "--no-deps", "--no-index", "--quiet", wheel], tmp_path)
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib"))
    assert run([place / "bin" / "hyperlaw", "--version"], tmp_path).split()[-1] == hl.__version__
    assert "lm_adam" in run([place / "bin" / "hyperlaw", "sweeps"], tmp_path)
    assert "learning_rate" in run([python, "-c", f"ROOT = {str(ROOT)!r}\n{SHORT}"], tmp_path)
    assert (tmp_path / "choice.png").stat().st_size > 10_000


def run(command: list, folder: Path) -> str:
    """What a command says; it must succeed."""
    # Of this environment nothing but the libraries: neither its path nor its warnings.
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env={"PATH": "/usr/bin:/bin", "HOME": str(folder)}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
