"""Prints what pip must install before the project itself: its dependencies and its test extra."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path(__file__).parents[1].joinpath("pyproject.toml").read_text())["project"]
lines = [*project["dependencies"], *project["optional-dependencies"]["test"]]
sys.stdout.write("\n".join(lines) + "\n")
