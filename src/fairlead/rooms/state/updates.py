"""Participant updates, cut into messages of a bearable size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from livekit.protocol.models import ParticipantInfo
from livekit.protocol.rtc import ParticipantUpdate

MAX_UPDATE_BYTES = 128 * 1024


def chunks(infos: Iterable[ParticipantInfo]) -> Iterator[ParticipantUpdate]:
    """The infos in order, in updates of at most `MAX_UPDATE_BYTES` (or one info that is larger
    by itself)."""
    batch: list[ParticipantInfo] = []
    size = 0
    for info in infos:
        weight = info.ByteSize()
        if batch and size + weight > MAX_UPDATE_BYTES:
            yield ParticipantUpdate(participants=batch)
            batch, size = [], 0
        batch.append(info)
        size += weight
    if batch:
        yield ParticipantUpdate(participants=batch)
