"""Writes one node's records into its own cell, and all of them again when the cell was away."""

from __future__ import annotations

from collections.abc import Mapping

import anyio
import structlog
from nats.js import JetStreamContext, api
from nats.js.errors import APIError, NotFoundError
from nats.js.kv import KeyValue

from fairlead.cells import key as keys
from fairlead.cells.change import AnyRecord, kind_of
from fairlead.cells.connection import BUCKET, MARKER_TTL
from fairlead.types import NodeRecord, RoomRecord

LEASE_INTERVAL = 2.0
"""Seconds between renewals of the node record."""
RENEW_INTERVAL = 300.0
"""Seconds between renewals of every other record."""
TTL = {
    "node": 6,
    "links": 30,
    "controller": 30,
    "room": 900,
    "participant": 900,
    "regions": 900,
    "routes": 900,
}
"""Seconds after which the cell itself forgets a record that nobody renews."""
BATCH = 32
"""Keys written at the same time; writes of one key follow each other."""

_STREAM = f"KV_{BUCKET}"
_WRONG_LAST = (10071, 10164)
"""JetStream's codes for "another wrote since the revision that you know"."""

log = structlog.get_logger(__name__)


class Writer:
    """What this node says of itself. While the cell is away, the last value of a key wins."""

    def __init__(self, node: int) -> None:
        self._node_key = f"node.{node}"
        self._truth: dict[str, tuple[AnyRecord, bytes]] = {}
        """By key: the record and its value."""
        self._dirty: dict[str, None] = {}
        """Keys to write, oldest first; no more of them than records that were put."""
        self._wake = anyio.Event()
        self._clean = anyio.Event()
        self._revisions: dict[str, int] = {}
        self.counts = {"written": 0, "conflicts": 0, "too_large": 0}

    def put(self, record: AnyRecord) -> None:
        """Say a record, or renew it. One over `keys.MAX_VALUE` is counted and not said; what was
        said before stands. Raises ValueError for a sid that can't be part of a key."""
        key = keys.key_of(record)
        value = keys.encode(record)
        if len(value) > keys.MAX_VALUE:
            self.counts["too_large"] += 1
            log.warning("a record is too large for the cell", kind=kind_of(record), size=len(value))
            return
        self._truth[key] = (record, value)
        self._touch(key)

    def delete(self, record: AnyRecord) -> None:
        """Take a record back; the one said last at its key, whatever its values."""
        key = keys.key_of(record)
        self._truth.pop(key, None)
        self._touch(key)

    def clear(self) -> None:
        """Take everything back, the node record last."""
        others = [key for key in self._truth if key != self._node_key]
        for key in [*others, self._node_key]:
            self._truth.pop(key, None)
            self._touch(key)

    async def flushed(self) -> None:
        """Return when the cell has all that was said."""
        await self._clean.wait()

    async def run(
        self, stream: JetStreamContext, bucket: KeyValue, found: Mapping[str, int]
    ) -> None:
        """Write until the connection ends. ``found``: this node's keys in the cell, with their
        revisions; what is there but not true is from an earlier run and goes."""
        if self._clean.is_set():
            self._clean = anyio.Event()
        self._revisions = dict(found)
        self._dirty = dict.fromkeys([*self._truth, *found])
        self._dirty.pop(self._node_key, None)
        await self._write_dirty(stream, bucket)
        # Last, since it tells the others that the rest is complete.
        await self._write(stream, bucket, self._node_key)
        self._settle()
        async with anyio.create_task_group() as group:
            group.start_soon(self._renew_node, stream, bucket)
            group.start_soon(self._renew_all)
            while True:
                await self._wake.wait()
                self._wake = anyio.Event()
                await self._write_dirty(stream, bucket)
                self._settle()

    def _settle(self) -> None:
        if not self._dirty:
            self._clean.set()

    def _touch(self, key: str) -> None:
        self._dirty[key] = None
        if self._clean.is_set():
            self._clean = anyio.Event()
        self._wake.set()

    async def _renew_node(self, stream: JetStreamContext, bucket: KeyValue) -> None:
        while True:
            await anyio.sleep(LEASE_INTERVAL)
            if self._node_key in self._truth and self._node_key not in self._dirty:
                await self._write(stream, bucket, self._node_key)

    async def _renew_all(self) -> None:
        while True:
            await anyio.sleep(RENEW_INTERVAL)
            self._dirty |= dict.fromkeys(self._truth)
            self._wake.set()

    async def _write_dirty(self, stream: JetStreamContext, bucket: KeyValue) -> None:
        while self._dirty:
            batch = list(self._dirty)[:BATCH]
            for key in batch:
                del self._dirty[key]
            async with anyio.create_task_group() as group:
                for key in batch:
                    group.start_soon(self._write, stream, bucket, key)

    async def _write(self, stream: JetStreamContext, bucket: KeyValue, key: str) -> None:
        said = self._truth.get(key)
        if said is None:
            await bucket.purge(key, msg_ttl=MARKER_TTL)
            self._revisions.pop(key, None)
            return
        kind = key.partition(".")[0]
        record, value = said
        if isinstance(record, RoomRecord | NodeRecord):
            await self._compare_and_set(stream, key, value)
        else:
            await stream.publish(_subject(key), value, msg_ttl=TTL[kind])
        self.counts["written"] += 1

    async def _compare_and_set(self, stream: JetStreamContext, key: str, value: bytes) -> None:
        """Write over the revision that we know. A conflict is either the cell's own mark of an
        expired lease, or a second process with our node id: then say so, and write all the
        same."""
        for _ in range(3):
            try:
                ack = await stream.publish(
                    _subject(key),
                    value,
                    headers={
                        api.Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value: str(
                            self._revisions.get(key, 0)
                        )
                    },
                    msg_ttl=TTL[key.partition(".")[0]],
                )
            except APIError as refusal:
                if refusal.err_code not in _WRONG_LAST:
                    raise
                self.counts["conflicts"] += 1
                self._revisions[key] = await self._last(stream, key)
                continue
            self._revisions[key] = ack.seq
            return
        raise TimeoutError

    async def _last(self, stream: JetStreamContext, key: str) -> int:
        """The revision of what stands at a key, 0 for nothing."""
        try:
            message = await stream.get_last_msg(_STREAM, _subject(key))
        except NotFoundError:
            return 0
        record, _ = self._truth.get(key, (None, b""))
        if message.data and isinstance(record, NodeRecord):
            try:
                other = keys.decode(key, message.data)
            except keys.Malformed:
                return message.seq or 0
            if isinstance(other, NodeRecord) and other.started_at != record.started_at:
                log.error(
                    "another process writes as this node: give each node an id of its own",
                    node=record.node,
                )
        return message.seq or 0


def _subject(key: str) -> str:
    return f"$KV.{BUCKET}.{key}"
