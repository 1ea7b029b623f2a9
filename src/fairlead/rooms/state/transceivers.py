"""Which m-line carries what to a client, when the client offers and when the server does.

In one connection the client makes every offer: what it offers to receive is filled, and it is
asked for more m-lines when they don't suffice. In two connections the server offers those of the
subscriber's, one offer at a time.
"""

from __future__ import annotations

from typing import Literal

from fairlead.protocol.node import Section
from fairlead.protocol.sdp import MediaSection

Kind = Literal["audio", "video"]


class ClientLines:
    """One connection: the m-lines that the client offered to receive on."""

    def __init__(self) -> None:
        self._wanted: dict[str, Kind] = {}
        self._carried: dict[str, str] = {}
        self._sections: dict[str, MediaSection] = {}
        self._stale = False
        self.awaiting_offer = True
        """The client is about to offer: it joined, or it was asked to."""

    def want(self, track: str, kind: Kind) -> None:
        self._wanted[track] = kind

    def unwant(self, track: str) -> None:
        self._wanted.pop(track, None)
        for mid, carried in list(self._carried.items()):
            if carried == track:
                del self._carried[mid]
                self._stale = True

    def carried(self) -> dict[str, str]:
        return dict(self._carried)

    def keep(self, carried: dict[str, str]) -> None:
        """Another edge filled these m-lines (mid to track): they stay so."""
        self._carried.update(carried)

    def fill(self, sections: list[MediaSection]) -> tuple[dict[str, str], list[str]]:
        """Fill an offer: what is carried from now on (mid to track), and the tracks whose m-line
        the client closed."""
        self.awaiting_offer = False
        self._stale = False
        self._sections = {section.mid: section for section in sections}
        closed = []
        for mid, track in list(self._carried.items()):
            section = self._sections.get(mid)
            if section is None or not section.receives:
                del self._carried[mid]
                closed.append(track)
        new: dict[str, str] = {}
        free = self._free()
        for track, kind in self._unplaced().items():
            section = next((x for x in free if x.kind == kind), None)
            if section is not None:
                free.remove(section)
                new[section.mid] = track
        self._carried.update(new)
        return new, closed

    def requirement(self) -> tuple[int, int] | None:
        """(audio, video) m-lines to ask for beyond those that are free; None if no offer is
        needed or one is on its way. Taken as asked."""
        unplaced = self._unplaced()
        if self.awaiting_offer or not (unplaced or self._stale):
            return None
        self.awaiting_offer = True
        free = [section.kind for section in self._free()]
        kinds = list(unplaced.values())
        audio = max(0, kinds.count("audio") - free.count("audio"))
        video = max(0, kinds.count("video") - free.count("video"))
        return audio, video

    def idle(self) -> set[str]:
        """The mids that the client would receive on and that carry nothing."""
        return {section.mid for section in self._free()}

    def _unplaced(self) -> dict[str, Kind]:
        placed = set(self._carried.values())
        return {track: kind for track, kind in self._wanted.items() if track not in placed}

    def _free(self) -> list[MediaSection]:
        """A m-line that also sends belongs to what it publishes."""
        return [
            section
            for section in self._sections.values()
            if not section.rejected
            and section.direction == "recvonly"
            and section.kind in ("audio", "video")
            and section.mid not in self._carried
        ]


class _Line:
    """One m-line of the server's offers."""

    def __init__(self, kind: Kind, track: str) -> None:
        self.mid: str | None = None
        self.kind = kind
        self.track: str | None = track
        self.sent: str | None = None
        """The track that the client accepted on it."""
        self.taken = False
        """The client answered an offer that has it."""


class ServerLines:
    """Two connections: the m-lines of the subscriber connection, in the order of the offers."""

    def __init__(self) -> None:
        self._lines: list[_Line] = []
        self._offer_id = 0
        self._asked: list[tuple[_Line, str | None]] = []
        self._agreed: list[tuple[_Line, str | None]] = []
        """Those of the last offer that was answered."""
        self.outstanding = False
        self._changed = True
        """True at first: the connection itself needs an offer."""
        self._renewed = True
        """An offer is needed even if nothing changed."""

    @property
    def offer_id(self) -> int:
        """Of the last offer."""
        return self._offer_id

    def want(self, track: str, kind: Kind) -> None:
        self._changed = True
        line = next((x for x in self._lines if x.kind == kind and x.track is None), None)
        # A line whose end the client has not heard of yet may go straight to another track: its
        # msid changes in one offer.
        if line is not None:
            line.track = track
        else:
            self._lines.append(_Line(kind, track))

    def unwant(self, track: str) -> None:
        asked = [line for line, _ in self._asked]
        for line in list(self._lines):
            if line.track == track:
                line.track = None
                line.sent = None
                self._changed = True
                if line not in asked:
                    self._lines.remove(line)

    def carried(self) -> dict[str, str]:
        return {x.mid: x.track for x in self._lines if x.mid is not None and x.track is not None}

    def offer(self) -> list[Section] | None:
        """The sections of a new offer, None if none is needed or one is outstanding."""
        if self.outstanding or not self._changed:
            return None
        self._changed = False
        asked = [(line, line.track) for line in self._lines]
        carries = all(line.sent == line.track for line in self._lines)
        if carries and asked == self._agreed and not self._renewed:
            return None  # what came has gone again
        self._renewed = False
        self.outstanding = True
        self._offer_id += 1
        self._asked = asked
        return [
            Section(mid=line.mid, kind=line.kind, active=track is not None)
            for line, track in self._asked
        ]

    def offered(self, mids: list[str]) -> None:
        """The node named the m-lines of the offer asked for."""
        for (line, _), mid in zip(self._asked, mids, strict=True):
            line.mid = mid

    def renew(self) -> None:
        """Another offer is needed though nothing changed: ICE restarts."""
        self._changed = self._renewed = True

    def asked_mids(self) -> set[str]:
        """The m-lines of the outstanding offer."""
        return {line.mid for line, _ in self._asked if line.mid is not None}

    def lose(self) -> None:
        """The client never got the outstanding offer: what was new in it is not there."""
        self.outstanding = False
        self._renewed = True
        self._asked = []
        for line in self._lines:
            line.mid = line.mid if line.taken else None
        self._lines = [x for x in self._lines if x.taken or x.track is not None]

    def idle(self) -> set[str]:
        """The mids that carry nothing."""
        return {x.mid for x in self._lines if x.mid is not None and x.track is None}

    def answered(self) -> dict[str, str]:
        """The client took the offer: what is carried anew (mid to track). A line that went to
        another track since waits for the offer that says so."""
        self.outstanding = False
        self._agreed = self._asked
        new: dict[str, str] = {}
        for line, track in self._asked:
            line.taken = line.mid is not None
            if line.mid is None or track is None or line.track != track or line.sent == track:
                continue
            line.sent = track
            new[line.mid] = track
        return new
