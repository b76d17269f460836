"""Compiled programs are kept in the user's cache folder, so that the second process starts at once.

JAX keeps what it compiles only where it is told to. A first fit of a law is mostly compiling; with the programs kept,
the next process reads them. Parallel processes may share the folder: files are locked while they are written, and an
entry that cannot be read is compiled again with a warning. It is bounded, and those least used go first.

A folder that JAX was given (`JAX_COMPILATION_CACHE_DIR`, or its configuration) is left as it is. The environment
variable `HYPERLAW_KEEP_PROGRAMS=0` turns this off.
"""

import os

import jax
from jax.experimental.compilation_cache import compilation_cache
from platformdirs import user_cache_dir

AT_MOST = 2**30  # bytes


def keep_programs() -> None:
    """Let JAX keep compiled programs, unless it does so already or is not to."""
    if os.environ.get("HYPERLAW_KEEP_PROGRAMS") == "0" or jax.config.jax_compilation_cache_dir is not None:
        return
    jax.config.update("jax_compilation_cache_dir", user_cache_dir("hyperlaw", appauthor=False))
    jax.config.update("jax_compilation_cache_max_size", AT_MOST)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.05)
    compilation_cache.reset_cache()  # something else may have been compiled before
