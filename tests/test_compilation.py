"""Compiled programs are kept for the next process, where JAX is not told otherwise."""

import os
import subprocess
import sys

import pytest

COMPILE = """
import warnings
import jax, jax.numpy as jnp
from hyperlaw.models.likelihoods import base

def long(x):
    for i in range(40):
        x = jnp.sort(jnp.sin(x) * i) + jnp.linalg.cholesky(jnp.eye(len(x)) * (2 + jnp.abs(x)))[0]
    return x

with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    jax.jit(long)(jnp.ones(5)).block_until_ready()
print([str(w.message)[:60] for w in said], jax.config.jax_compilation_cache_dir, sep="|")
"""


@pytest.fixture
def process(tmp_path):
    """Compiles something in a new process; returns what was warned of, and where JAX keeps programs."""

    def run(**environment):
        mine = {k: v for k, v in os.environ.items() if not k.startswith("JAX_")}
        mine |= {
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "XDG_CACHE_HOME": str(tmp_path),
            "HOME": str(tmp_path),
        } | environment
        done = subprocess.run([sys.executable, "-c", COMPILE], env=mine, capture_output=True, text=True, check=True)
        return done.stdout.strip().splitlines()[-1].split("|")

    return run


def kept(tmp_path):
    return sorted(path for path in tmp_path.rglob("*-cache") if path.stat().st_size)


def test_programs_are_kept_and_a_half_written_one_is_warned_of(process, tmp_path):
    said, folder = process()
    assert said == "[]"
    assert folder.startswith(str(tmp_path))
    assert folder.endswith("hyperlaw")
    programs = kept(tmp_path)
    assert programs
    before = [path.stat().st_mtime_ns for path in programs]
    assert process()[0] == "[]"
    assert set(before) <= {path.stat().st_mtime_ns for path in kept(tmp_path)}  # read, not written again
    for path in programs:
        path.write_bytes(path.read_bytes()[:100])
    assert "Error reading persistent compilation cache entry" in process()[0]


def test_a_folder_that_jax_was_given_stays_and_keeping_can_be_turned_off(process, tmp_path):
    given = tmp_path / "given"
    assert process(JAX_COMPILATION_CACHE_DIR=str(given))[1] == str(given)
    assert process(HYPERLAW_KEEP_PROGRAMS="0")[1] == "None"
    assert not (tmp_path / "hyperlaw").exists()


LOWERED = """
import hashlib, jax
import hyperlaw as hl
from hyperlaw.inference.example import example
from hyperlaw.inference.programs import Programs

model = hl.likelihood(hl.laws.StepLaw(), "runs")
table = example(model)
with jax.enable_x64(True):
    text = Programs(model, 5).centre.lower(model.design(table), {}).as_text()
print(hashlib.sha256(text.encode()).hexdigest())
"""


def test_a_program_is_the_same_in_every_process():
    """Else none that was kept would be found: names of sets, say, come in another order in each process."""
    found = {
        subprocess.run(
            [sys.executable, "-c", LOWERED],
            env={**os.environ, "PYTHONHASHSEED": str(seed)}, capture_output=True, text=True, check=True,
        ).stdout.strip()
        for seed in (1, 2, 3)
    }  # fmt: skip
    assert len(found) == 1
