"""hyperlaw: Bayesian scaling laws for learning rate, batch size and updates-to-data ratio.

Small runs go in; a posterior over how the best settings scale comes out; and from it a setting for one
large run, chosen under a stated attitude to risk. `import hyperlaw as hl`.

The public names stand in `__init__.pyi`, and are loaded when they are first asked for.
"""

import warnings as _warnings

import lazy_loader

with _warnings.catch_warnings():
    # In a notebook without ipywidgets numpyro's own progress bar would complain, which is never shown.
    _warnings.filterwarnings("ignore", "IProgress not found")
    import numpyro as _numpyro

    # ArviZ leaves a lazily loaded numpyro behind. If a submodule of it were imported first, Python would run
    # numpyro.distributions twice and numpyro would break; touching any attribute loads it properly.
    _ = _numpyro.__version__

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["__version__"]
