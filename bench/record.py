"""`make bench`: the whole performance record of the project on this machine, in one file.

Each part is a program of `bench/` that prints rows as JSON; what one can't measure here is noted,
and the others go on. Written to bench/results/DATE-MACHINE.json and printed as one table.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import node
from bench.row import Row, print_rows
from fairlead.lab.load.process import machine

RESULTS = Path(__file__).parent / "results"
PART_S = 3_600.0


def parts(options: argparse.Namespace) -> dict[str, list[str]]:
    """The programs, by name, and what they are told."""
    against: list[str] = []
    if options.against:
        against = ["--against", options.against, "--key", options.key, "--secret", options.secret]
        against += ["--pid", str(options.pid)] if options.pid else []
    seconds = ["--seconds", str(options.seconds)]
    counts = ["--subscribers", str(options.subscribers), "--joins", str(options.joins)]
    return {
        "node": ["bench.node", *seconds, *counts, *against],
        "relay": ["bench.relay", *seconds],
        "mesh": ["bench.mesh", "--kills", str(options.kills), "--healthy", "120"],
        "last mile": ["bench.access"],
    }


def measure(command: list[str]) -> tuple[list[Row], str]:
    """Run a part. Returns its rows, and why it ended early if it did."""
    print(f"bench: {' '.join(command)}", file=sys.stderr)
    try:
        done = subprocess.run(
            [sys.executable, "-m", *command, "--json"],
            stdout=subprocess.PIPE,
            text=True,
            timeout=PART_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return [], f"it took over {PART_S:.0f} s"
    try:
        rows = [Row(**row) for row in json.loads(done.stdout)]
    except (ValueError, TypeError):
        return [], f"it ended with status {done.returncode} and without figures"
    return rows, f"it ended with status {done.returncode}" if done.returncode else ""


def path_of(at: datetime, facts: dict[str, str | int]) -> Path:
    """The record's file: the day, and the machine in a word."""
    name = re.sub(r"[^a-z0-9]+", "-", f"{facts['cpu']} {facts['cores']} cores".lower())
    return RESULTS / f"{at:%Y-%m-%d}-{name.strip('-')}.json"


def main() -> int:
    """Run, print and write. Returns the exit status: 1 if a part could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m bench.record", description=__doc__)
    node.add_arguments(parser)
    parser.add_argument("--kills", type=int, default=100, help="simulated, of the mesh")
    parser.add_argument("--only", nargs="+", help="these parts: node, relay, mesh, last mile")
    options = parser.parse_args()
    chosen = parts(options)
    unknown = set(options.only or ()) - chosen.keys()
    if unknown:
        parser.error(f"there is no part {sorted(unknown)[0]!r}; there are {', '.join(chosen)}")
    at, facts = datetime.now(UTC), machine()
    record: dict[str, Any] = {
        "at": at.isoformat(timespec="seconds"),
        "machine": facts,
        "against": options.against,
        "parts": {},
    }
    path, found, failed = path_of(at, facts), [], 0
    RESULTS.mkdir(exist_ok=True)
    for name, command in chosen.items():
        if options.only and name not in options.only:
            continue
        rows, why = measure(command)
        found += rows
        if why:
            failed += 1
            found.append(Row(what=f"{name}: not measured to the end", value="-", note=why))
        record["parts"][name] = {"rows": [asdict(row) for row in rows], "failed": why}
        # Part by part: an interrupt leaves what is there.
        path.write_text(json.dumps(record, indent=1) + "\n")
    print_rows(found, as_json=False, title=f"{facts['cpu']}, {facts['cores']} cores")
    print(f"written to {path}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
