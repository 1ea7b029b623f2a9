"""`fairlead doctor`: what keeps clients from getting through, and what to do about it."""

from __future__ import annotations

import re
import ssl
import time
from pathlib import Path
from secrets import token_hex
from typing import Annotated
from urllib.parse import urlsplit

import anyio
import typer
from rich.text import Text

from fairlead.cli.console import out, print_json
from fairlead.cli.failure import Failure, failing
from fairlead.cli.remote import Json
from fairlead.policy import tokens
from fairlead.policy.grants import VideoGrant
from fairlead.server import config as configs
from fairlead.server.config import DEVELOPMENT_KEYS, Config
from fairlead.server.doctor import host, visit
from fairlead.server.doctor.finding import Finding, Report, report
from fairlead.server.toml import ConfigError

ROOM, IDENTITY = "fairlead-doctor", "doctor"
TOKEN_TTL_S = 120
LINK_TTL_S = 3_600
MARKS = {"ok": ("ok", "green"), "warning": ("!", "yellow"), "failed": ("FAILED", "red")}


def doctor(
    url: Annotated[
        str, typer.Option(help="Look as a client at this server: wss://live.example.com.")
    ] = "",
    file: Annotated[
        str, typer.Option("--config", help="Look at this machine and the node of this file.")
    ] = "",
    api_key: Annotated[str, typer.Option(help="Of the server at --url.")] = "",
    api_secret: Annotated[str, typer.Option(help="Of the server at --url.")] = "",
    token: Annotated[str, typer.Option(help="Instead of a key: one that may join a room.")] = "",
    ca: Annotated[
        str, typer.Option("--ca", help="Trust this certificate too, a file in PEM.")
    ] = "",
    link: Annotated[
        bool, typer.Option("--link", help="Print a link that tries each way from a browser.")
    ] = False,
    json: Json = False,
) -> None:
    """Try each way to the server and say what to fix. Status 0: all is well; 1: something is
    to be fixed; 2: bad input."""
    context = _trust(ca)
    if url:
        if urlsplit(url).scheme not in ("ws", "wss", "http", "https") or not urlsplit(url).hostname:
            raise Failure(f"--url {url!r} is no server: give one as wss://live.example.com")
        key, secret = _pair(api_key, api_secret)
        if link:
            _show_link(url, token or _mint_for_link(key, secret), json)
            return
        joining = token or _mint(key, secret)
        target, findings = url, anyio.run(visit.visit, url, joining, context)
    else:
        with failing(ConfigError):
            config = configs.read(Path(file)) if file else Config()
            configs.check(config)
        if link:
            key, secret = next(iter(config.effective_keys.items()))
            _show_link(config.url, token or _mint_for_link(key, secret), json)
            return
        target, findings = file or "this machine", anyio.run(_both, config, context)
    result = report(target, findings)
    if json:
        print_json(result)
    else:
        _show(result)
    raise typer.Exit(result.status)


async def _both(config: Config, context: ssl.SSLContext) -> list[Finding]:
    findings, running = await host.examine(config)
    if running:
        key, secret = next(iter(config.effective_keys.items()))
        findings += await visit.visit(config.url, _mint(key, secret), context)
    return findings


def _trust(ca: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca:
        try:
            context.load_verify_locations(ca)
        except (OSError, ssl.SSLError):
            raise Failure(f"--ca {ca} holds no certificate: give a file in PEM") from None
    return context


def _pair(key: str, secret: str) -> tuple[str, str]:
    if bool(key) != bool(secret):
        raise Failure("--api-key and --api-secret go together: give both, or --token")
    return (key, secret) if key else next(iter(DEVELOPMENT_KEYS.items()))


def _mint(key: str, secret: str) -> str:
    video = VideoGrant(room_join=True, room=ROOM, hidden=True)
    return _sign(key, secret, IDENTITY, TOKEN_TTL_S, video)


def _mint_for_link(key: str, secret: str) -> str:
    """Whoever has the link can try the ways and nothing else; two links don't end each other."""
    video = VideoGrant(
        room_join=True,
        room=ROOM,
        hidden=True,
        can_publish=False,
        can_publish_data=False,
        can_subscribe=False,
    )
    return _sign(key, secret, f"browser-{token_hex(4)}", LINK_TTL_S, video)


def _sign(key: str, secret: str, identity: str, ttl: int, video: VideoGrant) -> str:
    return tokens.mint(
        key, secret, identity=identity, name=identity, now=time.time(), ttl=ttl, video=video
    )


def _show_link(server: str, token: str, json: bool) -> None:
    """Behind the #, which no server sees and no log has."""
    page = re.sub("^ws", "http", server).rstrip("/")
    link = f"{page}/doctor#token={token}"
    if json:
        print_json({"link": link})
    else:
        typer.echo(link)


def _show(result: Report) -> None:
    wide = max(len(one.name) for one in result.findings)
    for one in result.findings:
        mark, colour = MARKS.get(one.verdict, ("-", "dim"))
        line = Text.assemble((f"{mark:>6}", colour), f"  {one.name:<{wide}}  {one.says}")
        out.print(line, soft_wrap=True)
        if one.fix:
            out.print(Text(f"{'':>6}  {'':<{wide}}  {one.fix}", style="bold"), soft_wrap=True)
    out.print(Text(result.summary), soft_wrap=True)
