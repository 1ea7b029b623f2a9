"""One codec of a published track: the m-line that it comes on, its layers, what is needed of it.

A track has one, or a second as its backup. The node knows each as a track of its own; clients see
one track with several codecs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fairlead.policy.overload import Encoding
from fairlead.protocol.node import Layer
from fairlead.protocol.sdp import MediaSection
from fairlead.types import TrackLayer

QUALITIES = {"q": 0, "h": 1, "f": 2}
MAX_LAYERS = 3
NONE = -1
Source = tuple[int, int | None]
SEPARATOR = "."
"""Between a track's sid, which never has it, and the codec of its backup."""


def backup_id(sid: str, codec: str) -> str:
    """The name under which nodes know a track's backup."""
    return f"{sid}{SEPARATOR}{codec}"


def track_sid(rendition: str) -> str:
    """The sid of the track that a rendition is of."""
    return rendition.partition(SEPARATOR)[0]


class Rendition:
    """`mid` is None until an offer carries it."""

    def __init__(self, name: str, codec: str, kind: str, cid: str, told: int) -> None:
        self.name = name
        """As nodes know it."""
        self.codec = codec
        """``vp8``: as its publisher calls it; empty if it never said."""
        self.kind = kind
        self.cid = cid
        """Empty while its publisher only holds it out."""
        self.cids = {cid} if cid else set()
        self.mid: str | None = None
        self.place: str | None = None
        """The m-line that it had at another edge."""
        self.layers: list[Layer] = []
        self.sources: dict[int, Source] = {}
        """The SSRCs of its layers and of what is sent again of them, by quality."""
        self.live = False
        self.tag = 0
        """Of the room's set of regions, as the node last heard it."""
        self.encoding = Encoding()
        """What its publisher's device bears of it."""
        self.needed = told
        """The best quality that anybody needs, -1 for none."""
        self.told_needed = told
        """The same as its publisher knows it."""
        self.heard_needed = False
        """Its publisher was told."""

    @property
    def sid(self) -> str:
        return track_sid(self.name)

    @property
    def waits(self) -> bool:
        """It was asked for and has no m-line yet."""
        return self.mid is None and bool(self.cid)

    def bind(self, section: MediaSection, new_stream: Callable[[], int]) -> None:
        """Take an m-line; each encoding that it sends becomes a stream."""
        self.mid = section.mid
        rids = section.rids[:MAX_LAYERS]
        if not rids:
            self.layers = [Layer(stream=new_stream(), rid=None, quality=0)]
            return
        self.layers = [
            Layer(stream=new_stream(), rid=rid, quality=quality)
            for rid, quality in zip(rids, _qualities(rids), strict=True)
        ]
        # Clients name them in any order; the node takes them from the lowest to the best.
        self.layers.sort(key=lambda layer: layer.quality)

    def renew(self, new_stream: Callable[[], int]) -> None:
        """Its encodings become other streams: who has the old ones hears no more of it."""
        self.layers = [
            Layer(stream=new_stream(), rid=layer.rid, quality=layer.quality)
            for layer in self.layers
        ]


def recorded(rendition: Rendition) -> list[TrackLayer]:
    """Layers as other nodes need to know them."""
    return [
        TrackLayer(stream=layer.stream, quality=layer.quality, ssrc=ssrc, rtx=rtx)
        for layer in rendition.layers
        for ssrc, rtx in [rendition.sources.get(layer.quality, (None, None))]
    ]


def sources_of(layers: Sequence[TrackLayer]) -> dict[int, Source]:
    """What another node recorded of their SSRCs, by quality."""
    return {x.quality: (x.ssrc, x.rtx) for x in layers if x.ssrc is not None}


def _qualities(rids: list[str]) -> list[int]:
    if all(rid in QUALITIES for rid in rids):
        return [QUALITIES[rid] for rid in rids]
    return list(range(len(rids)))
