"""Where commands print: results on standard output, progress on standard error."""

from __future__ import annotations

import sys
from typing import Any

import msgspec
from rich.console import Console

out = Console()


def tell(text: str) -> None:
    """A line of progress on standard error, as it is."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def print_json(value: Any) -> None:
    """One line of JSON on standard output, at once."""
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
    sys.stdout.flush()
