"""Data tracks as values: what a session publishes and hears of them, and how a room has one."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from livekit.protocol.models import DataTrackInfo

from fairlead.protocol.node import AddDataTrack
from fairlead.rooms.state.absence import MAX_UNPUBLISHED
from fairlead.types import DataTrackRecord

if TYPE_CHECKING:
    from fairlead.rooms.state.remote import RemoteParticipant
    from fairlead.rooms.state.session import Session

SID_PREFIX = "DTR_"
MAX_HANDLE = 2**16 - 1


class DataPublication:
    """One data track of a session."""

    def __init__(self, info: DataTrackInfo, stream: int = 0) -> None:
        self.info = info
        self.stream = stream
        """0 while its publisher moves here: nothing can come of it."""
        self.tag = 0
        """Of the room's set of regions, as the node last heard it."""

    @property
    def sid(self) -> str:
        return self.info.sid

    @property
    def record(self) -> DataTrackRecord:
        """What other nodes need to subscribe to it."""
        return DataTrackRecord(sid=self.sid, stream=self.stream)

    def command(self, publisher: int, tag: int) -> AddDataTrack:
        """What the node is told of it; again when the tag changes."""
        self.tag = tag
        return AddDataTrack(
            track=self.sid,
            stream=self.stream,
            publisher=publisher,
            handle=self.info.pub_handle,
            tag=tag,
        )


class DataTrack:
    """A data track of a room; ``publisher`` is who sends it, here or elsewhere."""

    def __init__(self, sid: str, publisher: Session | RemoteParticipant, stream: int) -> None:
        self.sid = sid
        self.publisher = publisher
        self.stream = stream
        self.subscribers: set[int] = set()
        """Sessions that hear it."""

    @property
    def streams(self) -> dict[str, list[int]]:
        """Those that it comes in, by the name that nodes know it by."""
        return {self.sid: [self.stream]} if self.stream else {}

    def command(self, tag: int) -> AddDataTrack:
        """What the node is told of it where another node publishes it."""
        return AddDataTrack(track=self.sid, stream=self.stream, tag=tag)


class DataTracks:
    """What one session has to do with data tracks."""

    def __init__(self) -> None:
        self.published: dict[int, DataPublication] = {}
        """By the handle that its client gave each."""
        self.ended: deque[DataTrackInfo] = deque(maxlen=MAX_UNPUBLISHED)
        """Those that the server ended: its client may not have heard so."""
        self.wishes: dict[str, bool] = {}
        """Tracks that its client asked for, or asked to be spared."""
        self.heard: dict[str, int] = {}
        """Tracks that it hears, each with the handle in the packets that it gets."""
        self.refused: set[str] = set()
        """Tracks that it was told their publisher does not allow it."""
        self.over_limit = False
        """A track waits until it hears fewer."""
        self.untold = False
        """Its client has to be told what it hears."""
        self.recorded: list[str] = []
        """What its record says of `asked_for`."""
        self._last_handle = 0

    @property
    def asked_for(self) -> list[str]:
        """Of the tracks that it hears, those that its client named."""
        return sorted(sid for sid in self.heard if self.wishes.get(sid))

    def infos(self) -> list[DataTrackInfo]:
        return [publication.info for publication in self.published.values()]

    def records(self) -> list[DataTrackRecord]:
        return [publication.record for publication in self.published.values()]

    def by_sid(self, sid: str) -> DataPublication | None:
        return next((one for one in self.published.values() if one.sid == sid), None)

    def start(self, sid: str) -> int:
        """It hears a track: under this handle, which was not used of late."""
        used = set(self.heard.values())
        handle = self._last_handle
        while handle == self._last_handle or handle in used:
            handle = handle % MAX_HANDLE + 1
        self._last_handle = self.heard[sid] = handle
        return handle

    def stop(self, sid: str) -> bool:
        """It hears a track no more; False if it did not."""
        return self.heard.pop(sid, None) is not None

    def move(self) -> None:
        """It is in another room from now on."""
        self.wishes.clear()
        self.refused.clear()
        self.over_limit = False
