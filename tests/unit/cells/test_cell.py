"""Two regions on real nats-servers: what one writes the other hears, through restarts and cuts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import anyio
import nats
import pytest

from fairlead.cells import key, view, watch
from fairlead.cells.cell import NatsCells
from fairlead.cells.change import CellLost, CellSynced, Change, RecordGone, RecordPut
from fairlead.cells.connection import BUCKET, open_bucket
from fairlead.cells.embedded import Embedded, embedded
from fairlead.cells.request import NoAnswer
from tests.unit.cells import records

pytestmark = pytest.mark.anyio

PATIENCE = 20.0
"""Seconds until a test gives up; nothing is asserted on how long anything takes."""


async def hear(changes: AsyncIterator[Change], *wanted: Change) -> list[Change]:
    """Read until each of ``wanted`` was heard; returns all that was."""
    heard: list[Change] = []
    missing = list(wanted)
    with anyio.fail_after(PATIENCE):
        while missing:
            change = await anext(changes)
            heard.append(change)
            if change in missing:
                missing.remove(change)
    return heard


@asynccontextmanager
async def pair(tmp_path: Path) -> AsyncIterator[tuple[Embedded, NatsCells, NatsCells]]:
    """Jakarta's server, and the cells of node 1 (Jakarta) and node 2 (Frankfurt)."""
    async with (
        embedded(tmp_path / "jakarta") as jakarta,
        embedded(tmp_path / "frankfurt") as frankfurt,
    ):
        one = NatsCells(
            node=1, region="jakarta", url=jakarta.url, peers={"frankfurt": frankfurt.url}
        )
        two = NatsCells(
            node=2, region="frankfurt", url=frankfurt.url, peers={"jakarta": jakarta.url}
        )
        async with one.running(), two.running():
            yield jakarta, one, two


async def test_records_come_change_and_go(tmp_path: Path) -> None:
    async with pair(tmp_path) as (_, one, two), aclosing(two.changes()) as changes:
        await one.put(records.participant(1))
        await one.put(records.room(1))
        await one.put(records.node(1))
        await hear(
            changes,
            RecordPut(record=records.node(1)),
            RecordPut(record=records.room(1)),
            RecordPut(record=records.participant(1)),
        )
        await one.put(records.participant(1, info=b"new"))
        await hear(changes, RecordPut(record=records.participant(1, info=b"new")))
        await one.delete(records.participant(1))
        await hear(changes, RecordGone(kind="participant", node=1, room="shop", sid="PA_1"))


async def test_a_later_reader_gets_what_stands_and_links_go_to_the_topology(
    tmp_path: Path,
) -> None:
    async with pair(tmp_path) as (_, one, two):
        await one.put(records.node(1))
        topological = [
            records.links(1),
            records.region_sets(1, ["jakarta"]),
            records.routes(1, target=1),
            records.routes(1, target=2),
            records.controller(1),
        ]
        for record in topological:
            await one.put(record)
        await one.flushed()
        async with aclosing(two.topology()) as topology:
            await hear(topology, *(RecordPut(record=record) for record in topological))
        await one.put(records.room(1))
        async with aclosing(two.changes()) as changes:
            heard = await hear(
                changes, RecordPut(record=records.node(1)), RecordPut(record=records.room(1))
            )
            # That the cell is synced may come between them, or not yet.
            puts = [put for put in heard if isinstance(put, RecordPut)]
            assert not [put for put in puts if put.record in topological]


async def test_a_node_that_stops_takes_its_records_back(tmp_path: Path) -> None:
    async with (
        embedded(tmp_path) as server,
        NatsCells(node=2, region="jakarta", url=server.url).running() as two,
        aclosing(two.changes()) as changes,
    ):
        async with NatsCells(node=1, region="jakarta", url=server.url).running() as one:
            await one.put(records.node(1))
            await one.put(records.room(1))
            await hear(changes, RecordPut(record=records.room(1)))
        await hear(
            changes,
            RecordGone(kind="room", node=1, room="shop", sid="RM_shop"),
            RecordGone(kind="node", node=1),
        )


async def test_a_cell_that_restarts_empty_is_filled_again(tmp_path: Path) -> None:
    async with pair(tmp_path) as (jakarta, one, two), aclosing(two.changes()) as changes:
        await one.put(records.node(1))
        await one.put(records.participant(1, "PA_stays"))
        await one.put(records.participant(1, "PA_leaves"))
        await hear(
            changes,
            RecordPut(record=records.participant(1, "PA_stays")),
            RecordPut(record=records.participant(1, "PA_leaves")),
        )
        await jakarta.stop()
        await hear(changes, CellLost(region="jakarta"))
        # Cut off, the edge goes on serving: what it says now is heard after the cut.
        await one.delete(records.participant(1, "PA_leaves"))
        await one.put(records.participant(1, "PA_comes"))
        await jakarta.start()
        heard = await hear(
            changes,
            CellSynced(region="jakarta"),
            RecordPut(record=records.participant(1, "PA_comes")),
            RecordGone(kind="participant", node=1, room="shop", sid="PA_leaves"),
        )
        assert not any(
            isinstance(change, RecordGone) and change.sid == "PA_stays" for change in heard
        )


async def test_an_embedded_server_that_is_killed_comes_back_on_its_port(tmp_path: Path) -> None:
    async with pair(tmp_path) as (jakarta, one, two), aclosing(two.changes()) as changes:
        await one.put(records.node(1))
        await hear(changes, RecordPut(record=records.node(1)))
        port, pid = jakarta.port, jakarta.pid
        assert jakarta._process is not None
        jakarta._process.kill()
        await hear(changes, CellLost(region="jakarta"), CellSynced(region="jakarta"))
        await one.put(records.room(1))
        await hear(changes, RecordPut(record=records.room(1)))
        assert jakarta.port == port
        assert jakarta.pid != pid


async def test_a_node_deletes_what_its_earlier_run_left(tmp_path: Path) -> None:
    async with embedded(tmp_path) as server:
        crashed = NatsCells(node=1, region="jakarta", url=server.url)
        with anyio.CancelScope() as crash:
            async with crashed.running():
                await crashed.put(records.node(1))
                await crashed.put(records.participant(1, "PA_old"))
                await crashed.flushed()
                crashed._connections.clear()  # a crash takes nothing back
                crash.cancel()
        async with (
            NatsCells(node=2, region="jakarta", url=server.url).running() as two,
            aclosing(two.changes()) as changes,
        ):
            await hear(changes, RecordPut(record=records.participant(1, "PA_old")))
            again = NatsCells(node=1, region="jakarta", url=server.url)
            await again.put(records.node(1, started_at=2))
            async with again.running():
                await hear(
                    changes,
                    RecordPut(record=records.node(1, started_at=2)),
                    RecordGone(kind="participant", node=1, room="shop", sid="PA_old"),
                )


async def test_a_crashed_node_is_gone_when_its_lease_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(view, "LEASE", 0.5)
    async with (
        embedded(tmp_path) as server,
        NatsCells(node=2, region="jakarta", url=server.url).running() as two,
        aclosing(two.changes()) as changes,
    ):
        client = await nats.connect(server.url)
        _, bucket = await open_bucket(client)
        for record in (records.node(1), records.participant(1)):
            await bucket.put(key.key_of(record), key.encode(record))
        await hear(changes, RecordPut(record=records.participant(1)))
        await hear(
            changes,
            RecordGone(kind="participant", node=1, room="shop", sid="PA_1"),
            RecordGone(kind="node", node=1),
        )
        await client.close()


async def test_nothing_is_left_of_deleted_records(tmp_path: Path) -> None:
    async with embedded(tmp_path) as server:
        cells = NatsCells(node=1, region="jakarta", url=server.url)
        async with cells.running():
            for serial in range(200):
                await cells.put(records.participant(1, f"PA_{serial}"))
            await cells.flushed()
            for serial in range(200):
                await cells.delete(records.participant(1, f"PA_{serial}"))
            await cells.put(records.room(1))
            await cells.flushed()
            client = await nats.connect(server.url)
            _, bucket = await open_bucket(client)
            assert await bucket.keys() == [key.key_of(records.room(1))]
            await client.close()


async def test_what_a_peer_writes_wrongly_is_counted_and_the_rest_heard(tmp_path: Path) -> None:
    async with (
        embedded(tmp_path) as server,
        NatsCells(node=2, region="jakarta", url=server.url).running() as two,
        aclosing(two.changes()) as changes,
    ):
        client = await nats.connect(server.url)
        _, bucket = await open_bucket(client)
        for name, value in {
            "nonsense": b"x",
            "node.zero": b"x",
            "node.99999999": b"x",
            "node.3": b"\xff not msgpack",
            "participant.00.3": b"\x80",
            "room.00.3": b"",
            "node.4": b"\x81\xa4node\x04",
        }.items():
            await bucket.put(name, value)
        async with NatsCells(node=1, region="jakarta", url=server.url).running() as one:
            await one.put(records.node(1))
            await hear(changes, RecordPut(record=records.node(1)))
        assert two.counts()["malformed"] == 7
        await client.close()


async def test_two_processes_with_one_node_id_are_noticed(tmp_path: Path) -> None:
    async with embedded(tmp_path) as server:
        first = NatsCells(node=1, region="jakarta", url=server.url)
        second = NatsCells(node=1, region="jakarta", url=server.url)
        async with first.running(), second.running():
            await first.put(records.node(1, started_at=1))
            await first.flushed()
            await second.put(records.node(1, started_at=2))
            await second.flushed()
            await first.put(records.node(1, started_at=1))
            await first.flushed()
            assert first.counts()["conflicts"] >= 1


async def test_questions_are_answered_across_regions(tmp_path: Path) -> None:
    async with (
        embedded(tmp_path / "a") as jakarta,
        embedded(tmp_path / "b") as frankfurt,
    ):
        one = NatsCells(
            node=1, region="jakarta", url=jakarta.url, peers={"frankfurt": frankfurt.url}
        )
        two = NatsCells(
            node=2, region="frankfurt", url=frankfurt.url, peers={"jakarta": jakarta.url}
        )

        async def handler(question: bytes) -> bytes:
            if question == b"fail":
                raise RuntimeError("on purpose")
            if question == b"hang":
                await anyio.sleep_forever()
            return b"two: " + question

        two.serve(handler)
        await two.put(records.node(2, "frankfurt"))
        async with one.running(), two.running(), aclosing(one.changes()) as changes:
            await hear(changes, RecordPut(record=records.node(2, "frankfurt")))
            assert await one.request(2, b"hello") == b"two: hello"
            assert await two.request(2, b"self") == b"two: self"
            with pytest.raises(NoAnswer, match="could not answer"):
                await one.request(2, b"fail")
            with pytest.raises(NoAnswer, match=r"within 0\.2 s"):
                await one.request(2, b"hang", 0.2)
            with pytest.raises(NoAnswer, match="not known"):
                await one.request(3, b"hello")
            with pytest.raises(NoAnswer, match="too many"):
                await one.request(2, bytes(3_000_000))
            assert await one.request(2, bytes(1_000_000)) == b"two: " + bytes(1_000_000)
            await frankfurt.stop()
            await hear(changes, CellLost(region="frankfurt"))
            with pytest.raises(NoAnswer, match="can't be reached"):
                await one.request(2, b"hello")


async def test_another_region_can_be_joined_and_left_while_running(tmp_path: Path) -> None:
    async with (
        embedded(tmp_path / "a") as jakarta,
        embedded(tmp_path / "b") as frankfurt,
        NatsCells(node=1, region="jakarta", url=jakarta.url).running() as one,
        NatsCells(node=2, region="frankfurt", url=frankfurt.url).running() as two,
        aclosing(one.changes()) as changes,
    ):
        await two.put(records.node(2, "frankfurt"))
        one.connect("frankfurt", frankfurt.url)
        await hear(changes, RecordPut(record=records.node(2, "frankfurt")))
        assert one.connected() == {"jakarta": True, "frankfurt": True}
        one.disconnect("frankfurt")
        await hear(changes, RecordGone(kind="node", node=2))
        assert one.connected() == {"jakarta": True}


async def test_a_watch_of_a_bucket_that_was_taken_away_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "SILENCE", 3.0)
    async with pair(tmp_path) as (jakarta, one, two), aclosing(two.changes()) as changes:
        await one.put(records.node(1))
        await one.put(records.room(1))
        await hear(changes, RecordPut(record=records.room(1)))
        client = await nats.connect(jakarta.url)
        await client.jetstream().delete_key_value(BUCKET)
        await client.close()
        await one.put(records.participant(1))
        await hear(changes, RecordPut(record=records.participant(1)))


async def test_a_record_too_large_for_the_cell_is_counted_and_the_earlier_stands(
    tmp_path: Path,
) -> None:
    async with pair(tmp_path) as (_, one, two), aclosing(two.changes()) as changes:
        await one.put(records.node(1))
        await one.put(records.participant(1))
        await one.put(records.participant(1, info=bytes(1_100_000)))
        await hear(changes, RecordPut(record=records.participant(1)))
        assert one.counts()["too_large"] == 1
