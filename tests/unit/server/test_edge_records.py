"""The queue of records to write: order kept, repeats dropped."""

from __future__ import annotations

import anyio
import pytest

from fairlead.server.edge_records import RecordQueue
from fairlead.types import RegionSetsRecord, RoomRecord

pytestmark = pytest.mark.anyio


def room(name: str, version: int) -> RoomRecord:
    return RoomRecord(node=1, name=name, sid="RM_x", created_at=1, version=version, info=b"")


async def test_of_writes_in_a_row_the_last_is_kept() -> None:
    queue = RecordQueue()
    for version in (1, 2, 3):
        queue.put(room("a", version))
    queue.put(room("b", 1))
    queue.delete(room("a", 3))
    queue.delete(room("a", 3))
    queue.put(room("a", 4))
    assert queue.take() == [
        (True, room("a", 3)),
        (False, room("a", 3)),
        (True, room("a", 4)),
        (True, room("b", 1)),
    ]
    assert queue.take() == []


async def test_of_region_sets_the_last_is_kept() -> None:
    queue = RecordQueue()
    for sets in ([["jakarta"]], [["jakarta"], ["singapore"]], []):
        queue.put(RegionSetsRecord(node=1, sets=sets))
    assert queue.take() == [(True, RegionSetsRecord(node=1, sets=[]))]


async def test_drained_means_written() -> None:
    queue = RecordQueue()
    written: list[tuple[bool, object]] = []

    async def write() -> None:
        while True:
            await queue.waiting()
            for change in queue.take():
                await anyio.lowlevel.checkpoint()
                written.append(change)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(write)
        with anyio.fail_after(5):
            await queue.drained()
            for version in range(3):
                queue.put(room("a", version))
                queue.put(room("b", version))
                await queue.drained()
                assert len(written) == 2 * (version + 1)
        tasks.cancel_scope.cancel()
