"""`fairlead lab`: field tests of any LiveKit-compatible server."""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import anyio
import msgspec
import typer
from rich.table import Table

from fairlead.cli.console import out, tell
from fairlead.cli.failure import FAILED, Failure, failing
from fairlead.lab.field import browsers, campaign, networks, report, scenario
from fairlead.lab.field.browsers import NoBrowser
from fairlead.lab.field.networks import NoNetworks
from fairlead.lab.field.run import Result, RunFailed, Servers, own_servers
from fairlead.lab.field.scenario import WAYS, Scenario
from fairlead.lab.world import WorldFailed
from fairlead.server.config import DEVELOPMENT_KEYS
from fairlead.server.toml import ConfigError

app = typer.Typer(help="Field tests: what people hear on bad networks.", no_args_is_help=True)


@app.command("list")
def list_() -> None:
    """The scenarios that come with Fairlead."""
    table = Table("scenario", "s", "what happens", box=None)
    for name, one in scenario.shipped().items():
        table.add_row(name, f"{one.seconds:.0f}", one.summary)
    out.print(table)


@app.command("run")
def run(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="SCENARIO...", help="Names, or paths of files.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that come with Fairlead.")] = False,
    url: Annotated[
        str, typer.Option(help="A server to test, ws://10.98.0.1:PORT; our own world if absent.")
    ] = "",
    api_key: Annotated[str, typer.Option(envvar="LIVEKIT_API_KEY", help="API key.")] = "",
    api_secret: Annotated[
        str, typer.Option(envvar="LIVEKIT_API_SECRET", help="Its secret.", show_default=False)
    ] = "",
    repeats: Annotated[int, typer.Option(min=1, max=50, help="Runs of each that count.")] = 1,
    seed: Annotated[int, typer.Option(help="Of the first run; the next ones follow.")] = 1,
    html: Annotated[
        Path | None, typer.Option("--report", help="Write a page with everything.")
    ] = None,
    json: Annotated[Path | None, typer.Option("--json", help="Write the figures.")] = None,
    serve: Annotated[
        str, typer.Option(help="Start this command beside the tests; it must listen at --url.")
    ] = "",
) -> None:
    """Run field tests. Ends with status 1 if a limit is missed, 3 if no run of one counted."""
    if importlib.util.find_spec("livekit") is None:
        raise Failure("the lab needs the LiveKit SDK: pip install 'fairlead[lab]'")
    with failing(ConfigError):
        chosen = list(scenario.shipped()) if everything else names or []
        scenarios = {one.name: one for one in map(scenario.find, chosen)}
    if not scenarios:
        raise Failure("no scenario is named: `fairlead lab list` has them, or give --all")
    if any(one.client == "chromium" for one in scenarios.values()):
        with failing(NoBrowser):
            browsers.check()
    if bool(url) != bool(serve):
        raise Failure("--url and --serve go together: the lab starts the server in its own network")
    default = next(iter(DEVELOPMENT_KEYS.items()))
    key = (api_key, api_secret) if api_key else default
    with failing(NoNetworks, status=FAILED):
        networks.enter(sys.argv[1:])
        results = anyio.run(_all, scenarios, url, serve, key, repeats, seed)
    if json is not None:
        json.write_bytes(msgspec.json.format(msgspec.json.encode(results)))
        tell(f"figures: {json}")
    if html is not None:
        html.write_text(report.page(scenarios, results, url or "Fairlead"), "utf-8")
        tell(f"report: {html}")
    _print(results)
    verdicts = {report.verdict(runs) for runs in results.values()}
    if "miss" in verdicts:
        raise typer.Exit(1)
    if "void" in verdicts:
        raise typer.Exit(3)


async def _all(
    scenarios: dict[str, Scenario],
    url: str,
    serve: str,
    key: tuple[str, str],
    repeats: int,
    seed: int,
) -> dict[str, list[Result]]:
    results: dict[str, list[Result]] = {}
    with tempfile.TemporaryDirectory(prefix="fairlead-lab-") as folder:
        for name, one in scenarios.items():
            results[name] = []
            try:
                with failing(RunFailed, WorldFailed, status=FAILED):
                    async with _servers(one, url, serve, key) as servers:
                        await campaign.repeat(
                            one, servers, repeats, seed, Path(folder), tell, results[name]
                        )
            except Failure as failure:  # the others are due all the same
                tell(f"{name}: {failure}")
    return results


@asynccontextmanager
async def _servers(
    one: Scenario, url: str, serve: str, key: tuple[str, str]
) -> AsyncIterator[Servers]:
    if not url:
        async with own_servers(one, tell) as servers:
            yield servers
        return
    async with campaign.served(serve, url):
        yield Servers((url, url), *key)


def _print(results: dict[str, list[Result]]) -> None:
    heads = ("swallowed", "longest", "made up", "mouth to ear", "pictures", "stood", "verdict")
    table = Table("scenario", "way", *heads, box=None)
    for name, runs in results.items():
        for way in WAYS:
            found = report.summary(runs, way)
            cells = ["-"] * 6
            if found is not None:
                cells = [
                    f"{found.swallowed[0]:.1%}",
                    f"{found.longest_s[0]:.2f} s",
                    f"{found.concealed[0]:.1%}",
                    f"{found.delay_ms[0]:.0f} ms",
                    "-" if found.fps is None else f"{found.fps[0]:.1f} /s",
                    "-" if found.stall_s is None else f"{found.stall_s[0]:.1f} s",
                ]
            table.add_row(
                name if way == "up" else "",
                way,
                *cells,
                report.verdict(runs) if way == "up" else "",
            )
    out.print(table)
