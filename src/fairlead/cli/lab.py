"""`fairlead lab`: field tests of any LiveKit-compatible server."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Annotated

import anyio
import typer
from rich.table import Table

from fairlead.cli.console import out, tell
from fairlead.cli.failure import FAILED, Failure, failing
from fairlead.lab.field import (
    browsers,
    campaign,
    listening,
    networks,
    report,
    scenario,
    speech,
    transcripts,
)
from fairlead.lab.field.browsers import NoBrowser
from fairlead.lab.field.campaign import Campaign, Contender, Results
from fairlead.lab.field.networks import NoNetworks
from fairlead.lab.field.scenario import WAYS, Scenario
from fairlead.lab.field.speech import NoSpeech
from fairlead.lab.field.transcripts import NoTranscriber
from fairlead.lab.field.voice import COUNT
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
    serve: Annotated[
        str, typer.Option(help="Start this command beside the tests; it must listen at --url.")
    ] = "",
    against: Annotated[
        str, typer.Option(help="Another server for the same tests, beside the first.")
    ] = "",
    serve_against: Annotated[
        str, typer.Option(help="The command that starts it, listening at --against.")
    ] = "",
    api_key: Annotated[
        str, typer.Option(envvar="LIVEKIT_API_KEY", help="API key of servers that are not ours.")
    ] = "",
    api_secret: Annotated[
        str, typer.Option(envvar="LIVEKIT_API_SECRET", help="Its secret.", show_default=False)
    ] = "",
    repeats: Annotated[int, typer.Option(min=1, max=50, help="Runs of each that count.")] = 1,
    tries: Annotated[
        int, typer.Option(min=1, max=50, help="Give one up after so many that don't count.")
    ] = campaign.TRIES,
    seed: Annotated[int, typer.Option(help="Of the first run; the next ones follow.")] = 1,
    html: Annotated[
        Path | None, typer.Option("--report", help="Write a page with everything.")
    ] = None,
    json: Annotated[
        Path | None, typer.Option("--json", help="Write the figures, after each run.")
    ] = None,
    resume: Annotated[bool, typer.Option(help="Go on from what --json has.")] = False,
    transcribe: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Have a Whisper model (CTranslate2's) write down what is said."
        ),
    ] = None,
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
    languages = {one.voice for one in scenarios.values()} - {COUNT}
    for language in languages:
        with failing(NoSpeech):
            speech.of(language)
    if languages and not listening.installed():
        tell("ViSQOL is not here, so speech gets no score: pip install 'fairlead[quality]'")
    if resume and json is None:
        raise Failure("--resume needs --json: the file that the campaign was kept in")
    key, secret = (api_key, api_secret) if api_key else next(iter(DEVELOPMENT_KEYS.items()))
    contenders = [_contender(url, serve, "--url", "--serve", key, secret)]
    if against or serve_against:
        contenders.append(
            _contender(against, serve_against, "--against", "--serve-against", key, secret)
        )
    if transcribe is not None:
        with failing(NoTranscriber):
            transcripts.check(transcribe)
    results: Results = {}
    if json is not None and resume:
        with failing(ConfigError):
            results = campaign.kept(json)
    try:
        with failing(ConfigError), failing(NoNetworks, status=FAILED):
            networks.enter(sys.argv[1:])
            transcriber = transcripts.whisper(transcribe) if transcribe else None
            whole = Campaign(scenarios, contenders, repeats, seed, tries, transcriber)
            anyio.run(whole.go_on, results, tell, lambda: _keep(json, results))
    finally:
        _write(html, json, scenarios, results)
    _print(scenarios, contenders, results)
    first = contenders[0].name
    verdicts = {
        report.verdict(campaign.runs_of(results.get(name, []), first)) for name in scenarios
    }
    if "miss" in verdicts:
        raise typer.Exit(1)
    if "void" in verdicts:
        raise typer.Exit(3)


def _contender(
    url: str, serve: str, of_url: str, of_serve: str, key: str, secret: str
) -> Contender:
    if bool(url) != bool(serve):
        raise Failure(f"{of_url} and {of_serve} go together: the lab starts it in its own network")
    return Contender(url, url, serve, key, secret) if url else Contender(campaign.OURS)


def _keep(json: Path | None, results: Results) -> None:
    if json is not None:
        campaign.keep(json, results)


def _write(
    html: Path | None, json: Path | None, scenarios: dict[str, Scenario], results: Results
) -> None:
    """What there is, also where the campaign was interrupted."""
    if not any(results.values()):
        return
    if json is not None:
        campaign.keep(json, results)
        tell(f"figures: {json}")
    if html is not None:
        html.write_text(report.page(scenarios, results), "utf-8")
        tell(f"report: {html}")


def _print(scenarios: dict[str, Scenario], contenders: list[Contender], results: Results) -> None:
    heads = ("swallowed", "longest", "made up", "mouth to ear", "listening", "pictures", "stood")
    table = Table("scenario", "server", "way", *heads, "verdict", box=None)
    for name in scenarios:
        for contender in contenders:
            runs = campaign.runs_of(results.get(name, []), contender.name)
            for way in WAYS:
                first = way == "up"
                table.add_row(
                    name if first and contender is contenders[0] else "",
                    contender.name if first else "",
                    way,
                    *_cells(report.summary(runs, way)),
                    report.verdict(runs) if first else "",
                )
    out.print(table)


def _cells(found: report.Summary | None) -> list[str]:
    if found is None:
        return ["-"] * 7
    return [
        f"{found.swallowed[0]:.1%}",
        f"{found.longest_s[0]:.2f} s",
        f"{found.concealed[0]:.1%}",
        f"{found.delay_ms[0]:.0f} ms",
        "-" if found.listening is None else f"{found.listening[0]:.1f}",
        "-" if found.fps is None else f"{found.fps[0]:.1f} /s",
        "-" if found.stall_s is None else f"{found.stall_s[0]:.1f} s",
    ]
