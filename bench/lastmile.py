"""What a person on a weak network hears and sees: ours beside any LiveKit-compatible server.

``python -m bench.lastmile [--against ws://10.98.0.1:7880 --serve-against COMMAND] [ROW...]``, or
``make bench-lastmile``: one table, each row run against ours and then against the other on the
same emulated networks with the same clients. What a busy machine spoils is void and run again;
an interrupted bench goes on with ``--resume``.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import numpy as np
from rich.console import Console
from rich.table import Table

from bench.lastmile_rows import Figure, Row, rows
from fairlead.lab.field import browsers, campaign, networks, report
from fairlead.lab.field.browsers import NoBrowser
from fairlead.lab.field.campaign import Campaign, Contender, Results
from fairlead.lab.field.networks import NoNetworks
from fairlead.lab.field.run import Result
from fairlead.lab.load.process import machine
from fairlead.server.config import DEVELOPMENT_KEYS
from fairlead.server.toml import ConfigError

RESULTS = Path(__file__).parent / "results"
NEVER = math.inf
"""Of a time until something that did not come."""
KNOWN = [row.scenario.name for row in rows()]


def values(runs: Sequence[Result], row: Row, figure: Figure) -> list[float]:
    """One a run that counts."""
    found = []
    for run in runs:
        if not run.complaints:
            value = figure.of(run.ways[row.way], run.seen[row.way])
            found.append(NEVER if value is None else value)
    return found


def met(figure: Figure, found: Sequence[float]) -> bool | None:
    """Whether the median reaches the target; None where there is none, or no run counted."""
    if figure.aim.target is None or not found:
        return None
    middle = float(np.median(found))
    return middle >= figure.aim.target if figure.more else middle <= figure.aim.target


def shown(figure: Figure, found: Sequence[float]) -> str:
    """The median, and all of several."""
    if not found:
        return "-"
    each = ["never" if value == NEVER else f"{value:.1f}" for value in sorted(found)]
    middle = float(np.median(found))
    text = "never" if middle == NEVER else f"{middle:.1f} {figure.unit}"
    return text if len(each) == 1 else f"{text} ({', '.join(each)})"


def record(
    results: Results, chosen: Sequence[Row], contenders: Sequence[Contender], options: Any
) -> dict[str, Any]:
    """For bench/results: everything that the table was made of."""
    table = []
    for row in chosen:
        runs = results.get(row.scenario.name, [])
        for figure in row.figures:
            by_server = {
                one.name: values(campaign.runs_of(runs, one.name), row, figure)
                for one in contenders
            }
            table.append(
                {
                    "row": row.scenario.name,
                    "figure": figure.name,
                    "unit": figure.unit,
                    "values": {
                        name: [None if value == NEVER else round(value, 3) for value in found]
                        for name, found in by_server.items()
                    },
                    "target": figure.aim.target,
                    "met": met(figure, by_server[contenders[0].name]),
                    "open_livekit_2026_11_22": figure.aim.record,
                }
            )
    void = {
        name: [
            f"{run.server}, seed {run.seed}: {run.complaints[0]}" for run in runs if run.complaints
        ]
        for name, runs in results.items()
    }
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "options": {"repeats": options.repeats, "seed": options.seed, "against": options.against},
        "rows": table,
        "void": {name: said for name, said in void.items() if said},
    }


def print_table(found: dict[str, Any], chosen: Sequence[Row], names: Sequence[str]) -> None:
    """For people."""
    title = "last mile; " + ", ".join(f"{name} {value}" for name, value in machine().items())
    table = Table("row", "figure", *names, "target", "met", "open LiveKit, the record", title=title)
    figures = [(row, figure) for row in chosen for figure in row.figures]
    before = ""
    for line, (row, figure) in zip(found["rows"], figures, strict=True):
        cells = []
        for name in names:
            each = [NEVER if value is None else value for value in line["values"][name]]
            cells.append(shown(figure, each))
        sign = ">=" if figure.more else "<="
        target = "" if figure.aim.target is None else f"{sign} {figure.aim.target:g}"
        said = {True: "yes", False: "no", None: ""}[line["met"]]
        first = row.scenario.name if row.scenario.name != before else ""
        before = row.scenario.name
        table.add_row(first, figure.name, *cells, target, said, figure.aim.record)
    (Console() if sys.stdout.isatty() else Console(width=180)).print(table)
    for name, said_void in found["void"].items():
        print(f"{name}: void: {'; '.join(said_void)}")


def contenders(options: Any) -> list[Contender]:
    """Ours, and the other if one is named."""
    found = [Contender(campaign.OURS)]
    if options.against:
        key, secret = next(iter(DEVELOPMENT_KEYS.items()))
        key, secret = options.api_key or key, options.api_secret or secret
        found.append(
            Contender(options.against, options.against, options.serve_against, key, secret)
        )
    return found


def arguments() -> argparse.Namespace:
    """Ends with status 2 where they make no sense."""
    parser = argparse.ArgumentParser(prog="python -m bench.lastmile", description=__doc__)
    parser.add_argument("row", nargs="*", help=f"of {', '.join(KNOWN)}; all if none is named")
    parser.add_argument("--against", default="", help="ws://10.98.0.1:PORT of another server")
    parser.add_argument("--serve-against", default="", help="the command that starts it")
    parser.add_argument("--api-key", default=os.environ.get("LIVEKIT_API_KEY", ""))
    parser.add_argument("--api-secret", default=os.environ.get("LIVEKIT_API_SECRET", ""))
    parser.add_argument("--repeats", type=int, default=1, help="runs of each that count")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tries", type=int, default=campaign.TRIES, help="runs that don't count")
    parser.add_argument("--client", choices=("chromium", "sdk"), default="chromium")
    parser.add_argument("--trace", default="", help="a recorded rate down, for the row L-trace")
    parser.add_argument("--trace-up", default="", help="and up")
    parser.add_argument("--report", type=Path, help="write a page with everything")
    parser.add_argument("--keep", type=Path, help="write all runs there, after each")
    parser.add_argument("--resume", action="store_true", help="go on from what --keep has")
    options = parser.parse_args()
    known = [row.scenario.name for row in _rows(options)]
    strangers = [name for name in options.row if name not in known]
    if strangers:
        parser.error(f"there is no row {strangers[0]!r}; there are {', '.join(known)}")
    if bool(options.against) != bool(options.serve_against):
        parser.error("--against and --serve-against go together: it runs in the lab's own network")
    for name in ("repeats", "tries"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} is {getattr(options, name)}: give 1 or more")
    if options.resume and not options.keep:
        parser.error("--resume needs --keep: the file that the runs were kept in")
    return options


def _rows(options: argparse.Namespace) -> list[Row]:
    traces = (str(Path(one).resolve()) if one else "" for one in (options.trace, options.trace_up))
    return rows(options.client, *traces)


def main() -> int:
    """Run and print. Returns the exit status."""
    options = arguments()
    chosen = [row for row in _rows(options) if not options.row or row.scenario.name in options.row]
    scenarios = {row.scenario.name: row.scenario for row in chosen}
    servers = contenders(options)
    try:
        if options.client == "chromium":
            browsers.check()
        results = campaign.kept(options.keep) if options.resume else {}
        networks.enter(sys.argv[1:], "bench.lastmile")
    except (NoBrowser, ConfigError, NoNetworks) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2

    def keep() -> None:
        if options.keep:
            campaign.keep(options.keep, results)

    whole = Campaign(scenarios, servers, options.repeats, options.seed, options.tries)
    try:
        anyio.run(whole.go_on, results, lambda text: print(text, file=sys.stderr), keep)
    except KeyboardInterrupt:
        print("bench: interrupted; here is what there is", file=sys.stderr)
    finally:
        found = record(results, chosen, servers, options)
        counted = any(not run.complaints for runs in results.values() for run in runs)
        if any(results.values()):
            print_table(found, chosen, [one.name for one in servers])
            if options.report:
                options.report.write_text(report.page(scenarios, results), "utf-8")
        if counted:
            file = RESULTS / f"lastmile-{datetime.now(UTC):%Y%m%d-%H%M%S}.json"
            file.write_text(json.dumps(found, indent=1) + "\n")
            print(f"written to bench/results/{file.name}")
    return 0 if counted else 3


if __name__ == "__main__":
    sys.exit(main())
