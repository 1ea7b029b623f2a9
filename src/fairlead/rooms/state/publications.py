"""Every track of one session, those waiting for an offer included, held against its m-lines."""

from __future__ import annotations

from collections.abc import Iterator

from fairlead.protocol.sdp import MediaSection
from fairlead.rooms.state.publication import Publication
from fairlead.rooms.state.rendition import Rendition


class Publications:
    """All that a session publishes, or is about to."""

    def __init__(self) -> None:
        self.by_sid: dict[str, Publication] = {}
        self._sections: list[MediaSection] = []
        self._retired: dict[str, tuple[str, str]] = {}
        """M-lines whose track was ended while they send it, and the ids they send it under."""

    def renditions(self) -> Iterator[Rendition]:
        for track in self.by_sid.values():
            yield from track.renditions

    def pending(self) -> list[Rendition]:
        """Asked for and not bound yet, by their tracks the oldest first."""
        return [rendition for rendition in self.renditions() if rendition.waits]

    def live(self) -> list[Publication]:
        return [track for track in self.by_sid.values() if track.live]

    def waiting(self, cid: str) -> Publication | None:
        """The unbound track that was asked for with this cid."""
        return next((x for x in self.by_sid.values() if x.primary.waits and x.cid == cid), None)

    def uses(self, cid: str) -> bool:
        """Whether something is sent, or about to be, under this cid."""
        return any(cid in rendition.cids for rendition in self.renditions())

    def by_mid(self, mid: str) -> Rendition | None:
        return next((x for x in self.renditions() if x.mid == mid), None)

    def by_name(self, name: str) -> Rendition | None:
        """What the node calls so."""
        return next((x for x in self.renditions() if x.name == name), None)

    def of(self, rendition: Rendition) -> Publication:
        return self.by_sid[rendition.sid]

    def add(self, track: Publication) -> None:
        self.by_sid[track.sid] = track

    def remove(self, sid: str) -> Publication | None:
        track = self.by_sid.pop(sid, None)
        for rendition in track.bound if track is not None else []:
            self.retire(rendition)
        return track

    def retire(self, rendition: Rendition) -> None:
        """What an m-line still sends is ended."""
        section = next((x for x in self._sections if x.mid == rendition.mid), None)
        if section is not None and section.sends:
            self._retired[section.mid] = (section.stream, section.track)

    def match(self, sections: list[MediaSection]) -> tuple[list[Rendition], list[Match]]:
        """Hold the tracks against an offer's m-lines: what ended, and which m-line each gets that
        waits. Nothing is changed but the memory of the m-lines."""
        self._sections = sections
        by_mid = {section.mid: section for section in sections}
        self._retired = {x.mid: self._retired[x.mid] for x in sections if self._is_retired(x)}
        waiting = self.pending()
        gone: list[Rendition] = []
        for rendition in self.renditions():
            if rendition.mid is None:
                continue
            section = by_mid.get(rendition.mid)
            if section is None or not section.sends or _replaced(rendition, section, waiting):
                gone.append(rendition)
        taken = {x.mid for x in self.renditions() if x not in gone}
        free = [x for x in sections if x.sends and x.kind != "application" and x.mid not in taken]
        return gone, self._pair(free, waiting)

    def match_late(self) -> list[Match]:
        """M-lines of the last offer for tracks that were asked for after it."""
        taken = {rendition.mid for rendition in self.renditions()}
        free = [x for x in self._sections if x.sends and x.mid not in taken]
        return self._pair([x for x in free if x.kind != "application"], self.pending())

    def _pair(self, free: list[MediaSection], waiting: list[Rendition]) -> list[Match]:
        return _pair(free, waiting, {x.mid for x in free if self._is_retired(x)})

    def _is_retired(self, section: MediaSection) -> bool:
        ids = (section.stream, section.track)
        return section.sends and self._retired.get(section.mid) == ids


Match = tuple[Rendition, MediaSection]


def _replaced(rendition: Rendition, section: MediaSection, waiting: list[Rendition]) -> bool:
    """The m-line now carries another track that was asked for."""
    if not section.track or section.track in rendition.cids:
        return False
    return any(section.track in other.cids for other in waiting)


def _pair(free: list[MediaSection], waiting: list[Rendition], retired: set[str]) -> list[Match]:
    """By the id in a=msid first; what is left goes by kind, in order (some browsers change the
    id when a track is put on a connection), but not to a retired m-line."""
    pairs: list[Match] = []
    for section in free:
        named = next((t for t in waiting if t.place == section.mid), None)
        named = named or next(
            (t for t in waiting if section.track and section.track in t.cids), None
        )
        named = named or next((t for t in waiting if section.stream in t.cids), None)
        if named is not None and named.kind == section.kind:
            waiting.remove(named)
            pairs.append((named, section))
    matched = {section.mid for _, section in pairs}
    for section in free:
        if section.mid in matched | retired:
            continue
        same = next((track for track in waiting if track.kind == section.kind), None)
        if same is not None:
            waiting.remove(same)
            pairs.append((same, section))
    return pairs
