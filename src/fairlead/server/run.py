"""One node process: packet threads, cell, edge, routes and API, started and ended in order."""

from __future__ import annotations

import asyncio
import secrets
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing

import anyio
import structlog
from starlette.applications import Starlette
from starlette.routing import Route

from fairlead.cells.binary import CellBroken
from fairlead.cells.cell import NatsCells
from fairlead.cells.embedded import embedded
from fairlead.core import Node
from fairlead.protocol import node as packets
from fairlead.rooms.state.ice_servers import Turn
from fairlead.rooms.state.settings import Settings
from fairlead.server import http, log, node_key, pages, signalling
from fairlead.server.admin import admin_routes, guarded
from fairlead.server.api.app import Api
from fairlead.server.api.directory import Directory
from fairlead.server.api.metrics import metrics_route
from fairlead.server.api.operator import Operator
from fairlead.server.api.room_service import RoomService
from fairlead.server.config import Config, EmulationSection
from fairlead.server.controller import RouteKeeper
from fairlead.server.edge import Edge, steady_clock
from fairlead.server.records import Records
from fairlead.server.state import NodeState, Ready, StreamState
from fairlead.server.webhooks import Webhooks
from fairlead.telemetry.node import Measures
from fairlead.types import NodeRecord

SYNC_S = 10.0
"""Longest wait for the own cell before clients are let in; a node serves without it too."""
GOODBYE_S = 2
"""Seconds that connections have to end after everyone was sent away."""

logger = structlog.get_logger(__name__)


class NodeFailed(Exception):
    """The node could not start; its text is one plain sentence."""


async def serve(config: Config, announce: Callable[[Ready], None]) -> None:
    """Run a node until SIGTERM or SIGINT. Raises `NodeFailed`, `ConfigError`."""
    log.set_up(config.log)
    async with _running(config) as node:
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            announce(Ready(node=config.node.id, region=config.node.region, url=node.url))
            async for _ in signals:
                break
        logger.info("ending: everyone is sent away to join again")
        await node.edge.stop()
        await node.webhooks.stop()


class RunningNode:
    """The parts of a node, wired to one another."""

    def __init__(
        self,
        config: Config,
        core: Node,
        cells: NatsCells,
        record: NodeRecord,
        settings: Settings,
        front: int | None,
    ) -> None:
        """``record`` is what the others know of the node; ``front`` where its front passes HTTP."""
        self.url = record.url
        self._config = config
        self._cells = cells
        self._started_at = time.monotonic()
        self._counters: dict[str, int] = {}
        self._counted_at = self._started_at
        self._emulation: dict[tuple[int, int], EmulationSection] = {}
        """By node and port pair, -1 for all of its pairs."""
        self._directory = directory = Directory()
        clock = steady_clock()
        hook = config.webhook
        secret = config.effective_keys.get(hook.api_key, "")
        self.webhooks = Webhooks(hook.urls, hook.api_key, secret, clock)
        self.edge = Edge(
            settings,
            node=core,
            cells=Records(cells, directory),
            keys=config.effective_keys,
            clock=clock,
            listen=self._hear,
            limit=lambda record: self.routes.limit(record),
            announce=self.webhooks.announce,
        )
        self.routes = RouteKeeper(record, cells, self.edge.tell, config.mesh.settings)
        operator = Operator(config.node.id, cells, self.edge.operate)
        cells.serve(operator.answer)
        service = RoomService(config.node.id, directory, operator, config.node.region, config.rules)
        api = Api(config.effective_keys, service, clock)
        self.app = Starlette(
            routes=[
                *signalling.routes(self.edge),
                *api.routes(),
                *pages.routes(),
                *admin_routes(config.admin.token, self.state, self.emulate, self.edge.drain),
                Route(
                    "/metrics", guarded(config.admin.token, metrics_route(self.measures).endpoint)
                ),
            ],
            middleware=signalling.middleware(front),
        )
        for section in config.emulation:
            self.emulate(section)

    def emulate(self, section: EmulationSection) -> None:
        """Set the weather of the emulated way to another node."""
        if section.pair is None:
            self._emulation = {
                at: one for at, one in self._emulation.items() if at[0] != section.node
            }
        self._emulation[section.node, -1 if section.pair is None else section.pair] = section
        self.edge.tell(
            packets.SetEmulation(
                node=section.node,
                pair=section.pair,
                delay_ms=section.delay_ms,
                jitter_ms=section.jitter_ms,
                loss=section.loss,
                rate_kbps=section.rate_kbps,
                cut=section.cut,
            )
        )

    def state(self) -> NodeState:
        """The node, now."""
        controller, epoch = self.routes.obeyed
        return NodeState(
            node=self._config.node.id,
            region=self._config.node.region,
            url=self.url,
            uptime_s=time.monotonic() - self._started_at,
            links=sorted(self.routes.links, key=lambda link: link.node),
            routes=self.routes.explain(),
            controller=controller,
            epoch=epoch,
            streams=self._streams(),
            rooms=self.edge.room_count,
            participants=self.edge.session_count,
            drain=self.edge.drained,
            tasks=len(asyncio.all_tasks()),
            counters=self._counters,
            counted_s=self._counted_at - self._started_at,
            routing=self.routes.counts,
            emulation=[section for _, section in sorted(self._emulation.items())],
        )

    def measures(self) -> Measures:
        """The same in figures, for a scraper."""
        controller, epoch = self.routes.obeyed
        return Measures(
            counters=self._counters,
            links=self.routes.links,
            routes=self.routes.explain(),
            controller=controller,
            epoch=epoch,
            routing=self.routes.counts,
            rooms=self._directory.room_count,
            participants=self._directory.participant_count,
            sessions=self.edge.session_count,
            cells=self._cells.connected(),
            cell_counts=self._cells.counts(),
        )

    def _streams(self) -> list[StreamState]:
        node = self._config.node.id
        return [
            StreamState(
                room=room,
                track=track.sid,
                kind=track.kind,
                layers=len(track.layers),
                to=[other for other in self._directory.holders(room) if other != node],
                regions=sorted(self._directory.regions(room)),
            )
            for room, track in self._directory.published(node)
        ]

    def _hear(self, event: packets.Event) -> None:
        self.routes.node_said(event)
        if isinstance(event, packets.Counters):
            self._counters = event.counts
            self._counted_at = time.monotonic()


@asynccontextmanager
async def _running(config: Config) -> AsyncIterator[RunningNode]:
    """A node that serves clients; its parts end with the block, the last started first."""
    node = config.node
    async with AsyncExitStack() as stack:
        try:
            listener = stack.enter_context(http.listen(node.bind, node.port))
        except OSError as error:
            raise NodeFailed(
                f"port {node.port} of {node.bind} can't be listened on ({error.strerror}): "
                "stop what uses it, or give another --port"
            ) from None
        listeners = [listener]
        if config.front_port is not None:
            listeners.append(stack.enter_context(http.listen("127.0.0.1", 0)))
        front = listeners[-1].getsockname()[1] if len(listeners) > 1 else None
        secret = config.turn.secret.encode() or secrets.token_bytes(32)
        core = stack.enter_context(closing(_packet_path(config, secret, front)))
        url = node.url or config.url_at(listener.getsockname()[1], core.front_port)
        cell = config.cell.nats or await _own_cell(config, stack)
        cells = NatsCells(node=node.id, region=node.region, url=cell, peers=config.cells)
        record = NodeRecord(
            node=node.id,
            region=node.region,
            url=url,
            mesh_addresses=config.mesh_addresses(core.mesh_ports),
            mesh_key=core.public_key,
            started_at=int(time.time() * 1000),
            country=node.country,
            provider=node.provider,
            location=config.location,
            controller=node.controller,
            relay=node.relay,
        )
        settings = _settings(config, core, secret)
        parts = RunningNode(config, core, cells, record, settings, front)
        await stack.enter_async_context(cells.running())
        await cells.put(record)
        tasks = await stack.enter_async_context(anyio.create_task_group())
        stack.callback(tasks.cancel_scope.cancel)
        tasks.start_soon(parts.routes.run)
        tasks.start_soon(parts.webhooks.run)
        await tasks.start(parts.edge.run)
        with anyio.move_on_after(SYNC_S) as late:
            await cells.synced()
        if late.cancelled_caught:
            logger.warning("the own cell does not answer: serving without it", after_s=SYNC_S)
        web = signalling.server_config(parts.app, timeout_graceful_shutdown=GOODBYE_S)
        await stack.enter_async_context(http.serving(web, *listeners))
        yield parts


def _packet_path(config: Config, secret: bytes, front: int | None) -> Node:
    node, turn = config.node, config.turn
    start = packets.NodeConfig(
        node=node.id,
        workers=node.workers,
        bind=node.bind,
        udp_port=config.udp_port,
        tcp_port=config.tcp_port,
        mesh_port=config.mesh_port,
        mesh_ports=node.mesh_ports,
        addresses=config.addresses,
        private_key=node_key.read_or_make(node.private_key_file),
        seed=node.seed,
        turn=None
        if config.turn_port is None
        else packets.TurnConfig(
            port=config.turn_port,
            secret=secret,
            max_allocations=turn.max_allocations,
            max_per_user=turn.max_per_user,
        ),
        front=None
        if config.front_port is None or front is None
        else packets.FrontConfig(
            port=config.front_port,
            web_port=front,
            certificate=config.front.certificate,
            key=config.front.key,
        ),
    )
    try:
        return Node(packets.encode(start))
    except ValueError as error:
        raise NodeFailed(str(error)) from None
    except OSError as error:
        last = config.mesh_port + node.mesh_ports - 1 if config.mesh_port else 0
        mesh = f"{config.mesh_port} to {last}" if last > config.mesh_port else config.mesh_port
        ports = f"{config.udp_port} (UDP), {config.tcp_port} (TCP) and {mesh} (UDP)"
        if config.turn_port is not None:
            ports += f", {config.turn_port} (TURN, UDP and TCP)"
        if config.front_port is not None:
            ports += f", {config.front_port} (TCP, the front)"
        raise NodeFailed(
            f"the packet path can't have ports {ports} of {node.bind} ({error.strerror}): "
            "stop what uses them, or give others in [node], [turn] and [front]"
        ) from None


async def _own_cell(config: Config, stack: AsyncExitStack) -> str:
    directory = config.cell_directory
    try:
        server = await stack.enter_async_context(
            embedded(directory, config.cell_port, config.cell.token)
        )
    except CellBroken as error:
        raise NodeFailed(str(error)) from None
    return server.url


def _settings(config: Config, core: Node, secret: bytes) -> Settings:
    turn = None
    if core.turn_port:
        urls = config.turn_urls(core.turn_port, core.front_port)
        turn = Turn(urls=urls, secret=secret, ttl=config.turn.ttl_s)
    return Settings(
        node=config.node.id,
        region=config.node.region,
        auto_create=config.room.auto_create,
        empty_timeout=config.room.empty_timeout_s,
        departure_timeout=config.room.departure_timeout_s,
        max_participants=config.room.max_participants,
        rules=config.rules,
        most_audio=config.room.subscription_limit_audio,
        most_video=config.room.subscription_limit_video,
        adopt=config.room.adopt_sessions,
        webhooks=bool(config.webhook.urls),
        scenes=config.known_scenes,
        turn=turn,
    )
