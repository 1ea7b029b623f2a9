"""What one session publishes: tracks asked for, bound to m-lines, live, and gone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from livekit.protocol.models import (
    AudioTrackFeature,
    Encryption,
    SimulcastCodecInfo,
    TrackInfo,
    TrackSource,
    TrackType,
    VideoLayer,
    VideoQuality,
)
from livekit.protocol.rtc import AddTrackRequest

from fairlead.protocol.node import AddTrack, Layer
from fairlead.protocol.sdp import MediaSection, SectionEdit
from fairlead.types import TrackLayer, TrackRecord

SOURCE_LETTERS = {
    TrackSource.CAMERA: "C",
    TrackSource.MICROPHONE: "M",
    TrackSource.SCREEN_SHARE: "S",
    TrackSource.SCREEN_SHARE_AUDIO: "s",
}
QUALITIES = {"q": 0, "h": 1, "f": 2}
MAX_LAYERS = 3
SDK_CODEC = "vp8"
"""What SDKs ask for when the app does not choose."""
BEST = 2
"""Quality of the best layer."""


class Publication:
    """One track of a session. `mid` is None until an offer carries it."""

    def __init__(self, sid: str, request: AddTrackRequest) -> None:
        self.sid = sid
        self.cids = {request.cid} | {codec.cid for codec in request.simulcast_codecs if codec.cid}
        self.cid = request.cid
        self.info = _info(sid, request)
        self.mid: str | None = None
        self.layers: list[Layer] = []
        self.live = False
        self.heard = False
        """Its publisher was told of the first subscriber."""
        self.place: str | None = None
        """The m-line that it had at another edge."""
        self.needed = BEST
        """The best quality that anybody needs, -1 for none."""
        self.told_needed = BEST
        """The same as its publisher knows it: at first it sends everything."""
        self.heard_needed = False
        """Its publisher was told."""
        self.tag = 0
        """Of the room's set of regions, as the node last heard it."""

    @classmethod
    def moved(cls, info: TrackInfo, cid: str) -> Publication:
        """A track that another edge took, live already."""
        track = cls(info.sid, AddTrackRequest(cid=cid))
        track.info.CopyFrom(info)
        track.cids |= {codec.cid for codec in info.codecs if codec.cid}
        track.place = info.mid
        track.live = track.heard = True
        return track

    @property
    def kind(self) -> str:
        return kind_name(self.info.type)

    @property
    def red(self) -> bool:
        """Whether sound may be sent redundantly: what is encrypted end to end is opened only as
        its publisher packed it."""
        return not self.info.disable_red and self.info.encryption == Encryption.NONE

    @property
    def record(self) -> TrackRecord:
        """What other nodes need to subscribe to it."""
        return TrackRecord(
            sid=self.sid,
            kind=self.kind,
            layers=[TrackLayer(stream=x.stream, quality=x.quality) for x in self.layers],
            red=self.red,
        )

    def command(self, room: bytes, publisher: int, tag: int) -> AddTrack:
        """What the node is told of it, once it is bound; again when the tag changes."""
        self.tag = tag
        return AddTrack(
            track=self.sid,
            room=room,
            kind="audio" if self.kind == "audio" else "video",
            layers=self.layers,
            publisher=publisher,
            tag=tag,
            red=self.red,
        )

    def bind(self, section: MediaSection, new_stream: Callable[[], int]) -> None:
        """Take an m-line; each encoding that it sends becomes a stream."""
        self.mid = section.mid
        self.info.mid = section.mid
        rids = section.rids[:MAX_LAYERS]
        if rids:
            self.info.simulcast = True
            self.layers = [
                Layer(stream=new_stream(), rid=rid, quality=quality)
                for rid, quality in zip(rids, _qualities(rids), strict=True)
            ]
            # Clients name them in any order; the node takes them from the lowest to the best.
            self.layers.sort(key=lambda layer: layer.quality)
        else:
            self.layers = [Layer(stream=new_stream(), rid=None, quality=0)]

    def renew(self, new_stream: Callable[[], int]) -> None:
        """Its encodings become other streams: who has the old ones hears no more of it."""
        self.layers = [
            Layer(stream=new_stream(), rid=layer.rid, quality=layer.quality)
            for layer in self.layers
        ]

    def go_live(self, mime: str) -> None:
        """The first packet came: what it carries is known."""
        self.live = True
        self.info.mime_type = mime
        if not self.info.codecs:
            self.info.codecs.append(SimulcastCodecInfo(cid=self.cid, layers=list(self.info.layers)))
        codec = self.info.codecs[0]
        codec.mime_type = mime
        codec.mid = self.mid or ""

    def answer_edit(self, section: MediaSection, first: Sequence[str] = ()) -> SectionEdit:
        """How the answer to its m-line should read. ``first``: the codecs that its device is best
        at, which go before what SDKs ask for when an app asks for none."""
        if self.kind == "video":
            mime = next((c.mime_type for c in self.info.codecs if c.mime_type), "")
            wanted = mime.partition("/")[2].lower()
            if wanted in ("", SDK_CODEC):
                wanted = next((codec for codec in first if codec in section.codecs), wanted)
            return SectionEdit(prefer=wanted or None)
        features = self.info.audio_features
        return SectionEdit(
            prefer="opus" if self.info.disable_red else "red",
            dtx=AudioTrackFeature.TF_NO_DTX not in features,
            stereo=AudioTrackFeature.TF_STEREO in features,
        )


class Publications:
    """Every track of one session, those waiting for an offer included."""

    def __init__(self) -> None:
        self.by_sid: dict[str, Publication] = {}
        self._sections: list[MediaSection] = []
        self._retired: dict[str, tuple[str, str]] = {}
        """M-lines whose track was ended while they send it, and the ids they send it under."""

    def pending(self) -> list[Publication]:
        """Asked for and not bound yet, oldest first."""
        return [track for track in self.by_sid.values() if track.mid is None]

    def live(self) -> list[Publication]:
        return [track for track in self.by_sid.values() if track.live]

    def waiting(self, cid: str) -> Publication | None:
        """The unbound track that was asked for with this cid."""
        return next((track for track in self.pending() if track.cid == cid), None)

    def by_mid(self, mid: str) -> Publication | None:
        return next((track for track in self.by_sid.values() if track.mid == mid), None)

    def add(self, track: Publication) -> None:
        self.by_sid[track.sid] = track

    def remove(self, sid: str) -> Publication | None:
        track = self.by_sid.pop(sid, None)
        section = next((x for x in self._sections if track and x.mid == track.mid), None)
        if section is not None and section.sends:
            self._retired[section.mid] = (section.stream, section.track)
        return track

    def match(self, sections: list[MediaSection]) -> tuple[list[Publication], list[Match]]:
        """Hold the tracks against an offer's m-lines: which tracks ended, and which m-line each
        waiting track gets. Nothing is changed but the memory of the m-lines."""
        self._sections = sections
        by_mid = {section.mid: section for section in sections}
        self._retired = {x.mid: self._retired[x.mid] for x in sections if self._is_retired(x)}
        waiting = {track.sid: track for track in self.pending()}
        gone: list[Publication] = []
        for track in self.by_sid.values():
            if track.mid is None:
                continue
            section = by_mid.get(track.mid)
            if section is None or not section.sends or self._replaced(track, section, waiting):
                gone.append(track)
        taken = {track.mid for track in self.by_sid.values() if track not in gone}
        free = [x for x in sections if x.sends and x.kind != "application" and x.mid not in taken]
        return gone, self._pair(free, list(waiting.values()))

    def match_late(self) -> list[Match]:
        """M-lines of the last offer for tracks that were asked for after it."""
        taken = {track.mid for track in self.by_sid.values()}
        free = [x for x in self._sections if x.sends and x.mid not in taken]
        return self._pair([x for x in free if x.kind != "application"], self.pending())

    def _pair(self, free: list[MediaSection], waiting: list[Publication]) -> list[Match]:
        return _pair(free, waiting, {x.mid for x in free if self._is_retired(x)})

    def _is_retired(self, section: MediaSection) -> bool:
        ids = (section.stream, section.track)
        return section.sends and self._retired.get(section.mid) == ids

    def _replaced(
        self, track: Publication, section: MediaSection, waiting: dict[str, Publication]
    ) -> bool:
        """The m-line now carries another track that was asked for."""
        if not section.track or section.track in track.cids:
            return False
        return any(section.track in other.cids for other in waiting.values())


Match = tuple[Publication, MediaSection]


def kind_name(track_type: int) -> str:
    """``audio`` or ``video``."""
    return "audio" if track_type == TrackType.AUDIO else "video"


def track_prefix(request: AddTrackRequest) -> str:
    """The start of a track's sid, which tells people its kind and source."""
    kind = "A" if request.type == TrackType.AUDIO else "V"
    return f"TR_{kind}{SOURCE_LETTERS.get(request.source, '')}"


def _pair(free: list[MediaSection], waiting: list[Publication], retired: set[str]) -> list[Match]:
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


def _qualities(rids: list[str]) -> list[int]:
    if all(rid in QUALITIES for rid in rids):
        return [QUALITIES[rid] for rid in rids]
    return list(range(len(rids)))


def _info(sid: str, request: AddTrackRequest) -> TrackInfo:
    kind = kind_name(request.type)
    features = list(request.audio_features)
    if request.stereo and AudioTrackFeature.TF_STEREO not in features:
        features.append(AudioTrackFeature.TF_STEREO)
    if request.disable_dtx and AudioTrackFeature.TF_NO_DTX not in features:
        features.append(AudioTrackFeature.TF_NO_DTX)
    layers = list(request.layers)
    if not layers and kind == "video":
        layers = [VideoLayer(quality=VideoQuality.HIGH, width=request.width, height=request.height)]
    return TrackInfo(
        sid=sid,
        type=request.type,
        name=request.name,
        muted=request.muted,
        width=request.width,
        height=request.height,
        disable_dtx=AudioTrackFeature.TF_NO_DTX in features,
        source=request.source,
        layers=layers,
        codecs=[
            SimulcastCodecInfo(
                mime_type=_mime(kind, codec.codec),
                cid=codec.cid,
                layers=codec.layers or layers,
                video_layer_mode=codec.video_layer_mode,
            )
            for codec in request.simulcast_codecs
        ],
        stereo=AudioTrackFeature.TF_STEREO in features,
        disable_red=request.disable_red,
        encryption=request.encryption,
        stream=request.stream,
        audio_features=features,
        backup_codec_policy=request.backup_codec_policy,
        packet_trailer_features=request.packet_trailer_features,
    )


def _mime(kind: str, codec: str) -> str:
    """``vp8`` or ``video/vp8`` to ``video/VP8``."""
    name = codec.rpartition("/")[2]
    if not name:
        return ""
    return f"{kind}/{name.upper() if kind == 'video' else name.lower()}"
