"""The least versions of what the package needs, as constraints of pip: `python tests/least_versions.py > least.txt`."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]

for text in PROJECT["dependencies"]:
    asked = Requirement(text)
    (least,) = re.findall(r">=([0-9.]+)", str(asked.specifier))
    print(f"{asked.name}=={least}")  # noqa: T201
