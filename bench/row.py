"""One line of a benchmark's table: what was measured, beside its target."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Row:
    """A figure and the target of DESIGN section 11 that it stands beside."""

    what: str
    value: str
    target: str = ""
    """Empty where there is none."""
    met: bool | None = None
    """None where there is no target."""
    note: str = ""
    figures: dict[str, Any] = field(default_factory=dict)
    """What the value was made of, for the record."""


def print_rows(rows: Iterable[Row], *, as_json: bool, title: str | None = None) -> None:
    """To standard output, as a table for people or JSON for scripts."""
    if as_json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
        return
    table = Table("what", "measured", "target", "met", "note", title=title)
    for row in rows:
        met = {True: "yes", False: "no", None: ""}[row.met]
        table.add_row(row.what, row.value, row.target, met, row.note)
    (Console() if sys.stdout.isatty() else Console(width=180)).print(table)
