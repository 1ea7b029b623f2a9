"""Reads one cell's bucket: every entry there is, then every change, as inputs of the view."""

from __future__ import annotations

from collections.abc import Callable

import anyio
from nats.js.kv import KeyValue

from fairlead.cells.view import Entry, Input, Listed, Opened

SILENCE = 15.0
"""Seconds without an entry after which a watch counts as broken: each node renews its own every
2 s, so only an empty cell, or one whose bucket was taken away, is as silent."""


async def watch(
    bucket: KeyValue,
    cell: str,
    tell: Callable[[Input], None],
    revision: Callable[[str, int], None] = lambda _key, _revision: None,
) -> None:
    """Tell a cell's entries until the connection ends; ``revision`` hears each key's number.
    Raises TimeoutError after `SILENCE`."""
    watcher = await bucket.watchall()
    tell(Opened(cell=cell))
    # Nothing to stop at the end: the consumer goes with the session's connection.
    while True:
        with anyio.fail_after(SILENCE):
            entry = await anext(watcher)
        if entry is None:
            tell(Listed(cell=cell))
            continue
        deleted = entry.operation is not None
        if entry.revision is not None and not deleted:
            revision(entry.key, entry.revision)
        tell(Entry(cell=cell, key=entry.key, value=None if deleted else entry.value or b""))
