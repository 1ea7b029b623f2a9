"""`fairlead up`: one node."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import anyio
import msgspec
import typer

from fairlead.cli.console import print_json, tell
from fairlead.cli.failure import FAILED, Failure, failing
from fairlead.cli.remote import Json
from fairlead.server import config as configs
from fairlead.server.config import Config
from fairlead.server.state import Ready
from fairlead.server.toml import ConfigError


def up(
    file: Annotated[
        str, typer.Option("--config", help="Configuration file (docs/config.md); - reads stdin.")
    ] = "",
    port: Annotated[
        int | None, typer.Option(help=f"HTTP and websocket port; {configs.DEFAULT_PORT}.")
    ] = None,
    bind: Annotated[str | None, typer.Option(help="Address to listen on; 127.0.0.1.")] = None,
    region: Annotated[str | None, typer.Option(help="The region's name: jakarta.")] = None,
    node_id: Annotated[
        int | None, typer.Option(help="1 to 65535, different for every node of a network.")
    ] = None,
    nats: Annotated[
        str | None, typer.Option(help="The region's own NATS server; else one is started.")
    ] = None,
    peer: Annotated[
        list[str] | None, typer.Option(help="Another region's cell: frankfurt=nats://HOST:PORT.")
    ] = None,
    tls_cert: Annotated[
        str | None, typer.Option(help="Certificate in PEM: one TCP port (443) for everything.")
    ] = None,
    tls_key: Annotated[str | None, typer.Option(help="Its key in PEM.")] = None,
    host: Annotated[str | None, typer.Option(help="The name in the certificate.")] = None,
    json: Json = False,
) -> None:
    """Run one node until interrupted."""
    with failing(ConfigError):
        text = sys.stdin.read() if file == "-" else ""
        config = configs.parse(text, "stdin") if file == "-" else Config()
        if file and file != "-":
            config = configs.read(Path(file))
        config = _with_options(config, port, bind, region, node_id, nats, peer or [])
        config = _with_front(config, tls_cert, tls_key, host)
        configs.check(config)
    # Imported late: the packet path is not needed to read `--help` or a configuration.
    with failing(ImportError, status=FAILED):
        from fairlead.server import run

    def announce(ready: Ready) -> None:
        if json:
            print_json(ready)
            return
        tell(f"{ready.region} is up at {ready.url}")
        if not config.keys:
            key, secret = next(iter(configs.DEVELOPMENT_KEYS.items()))
            tell(f"API key {key}, secret {secret}: for development only")

    with failing(run.NodeFailed, status=FAILED):
        anyio.run(run.serve, config, announce)


def _with_options(
    config: Config,
    port: int | None,
    bind: str | None,
    region: str | None,
    node_id: int | None,
    nats: str | None,
    peers: list[str],
) -> Config:
    given = {"port": port, "bind": bind, "region": region, "id": node_id}
    node = msgspec.structs.replace(
        config.node, **{name: value for name, value in given.items() if value is not None}
    )
    cell = config.cell if nats is None else msgspec.structs.replace(config.cell, nats=nats)
    cells = dict(config.cells)
    for entry in peers:
        name, equals, url = entry.partition("=")
        if not equals or not url.startswith(("nats://", "tls://")):
            raise Failure(f"--peer {entry!r} is not REGION=nats://HOST:PORT")
        cells[name] = url
    return msgspec.structs.replace(config, node=node, cell=cell, cells=cells)


def _with_front(
    config: Config, certificate: str | None, key: str | None, host: str | None
) -> Config:
    given = {"certificate": certificate, "key": key, "host": host}
    front = msgspec.structs.replace(
        config.front, **{name: value for name, value in given.items() if value is not None}
    )
    return msgspec.structs.replace(config, front=front)
