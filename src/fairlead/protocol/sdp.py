"""Session descriptions as lines: what an offer says of its m-lines, and small edits of an answer.

The text is edited line by line and never rebuilt, so that whatever is not understood here stays as
it was written, byte for byte. (`sdp-transform` on PyPI, the port of the JavaScript library, was
looked at: it parses into a grammar of its own and writes the text anew, in another order.)

Sources: RFC 8866 (SDP), RFC 8829 (JSEP), RFC 8830 (msid), RFC 8853 (simulcast), RFC 7587 (Opus).
"""

from __future__ import annotations

from typing import Literal

import msgspec

MAX_SDP_BYTES = 512 * 1024
MAX_SECTIONS = 512
"""m-lines of one description."""

Direction = Literal["sendrecv", "sendonly", "recvonly", "inactive"]
DIRECTIONS: tuple[Direction, ...] = ("sendrecv", "sendonly", "recvonly", "inactive")


class BadSdp(Exception):
    """A session description that can't be used; the message is one sentence."""


class MediaSection(msgspec.Struct, frozen=True, kw_only=True):
    """One m-line of a description."""

    mid: str
    kind: str
    """``audio``, ``video`` or ``application``."""
    direction: Direction
    rejected: bool = False
    """Its port is 0 and it is not bundled: stopped for good."""
    stream: str = ""
    """The first word of a=msid."""
    track: str = ""
    """The second word of a=msid: the id of the sender's MediaStreamTrack."""
    rids: list[str] = msgspec.field(default_factory=list)
    """What is sent in simulcast, in the order of a=simulcast, pauses (``~``) stripped."""
    codecs: list[str] = msgspec.field(default_factory=list)
    """``opus``, ``vp8``, ...: lower case, in order of preference."""

    @property
    def sends(self) -> bool:
        """Whether the describing side sends on it."""
        return not self.rejected and self.direction in ("sendrecv", "sendonly")

    @property
    def receives(self) -> bool:
        """Whether the describing side receives on it."""
        return not self.rejected and self.direction in ("sendrecv", "recvonly")


class SectionEdit(msgspec.Struct, frozen=True, kw_only=True):
    """What to change in one m-line. None leaves a thing as it is."""

    msid: tuple[str, str] | None = None
    """(stream, track)."""
    clear_msid: bool = False
    direction: Direction | None = None
    prefer: str | None = None
    """A codec whose payload types come first."""
    dtx: bool | None = None
    """Opus: ask for discontinuous transmission."""
    stereo: bool | None = None
    """Opus: ask for stereo at up to 510 kbit/s."""


def read(text: str) -> list[MediaSection]:
    """Every m-line of a description, in order. Raises `BadSdp`."""
    if len(text) > MAX_SDP_BYTES:
        raise BadSdp(f"the session description is over {MAX_SDP_BYTES} bytes")
    if not text.startswith("v="):
        raise BadSdp("the session description does not start with v=")
    session, *media = _split(text)
    if len(media) > MAX_SECTIONS:
        raise BadSdp(f"the session description has {len(media)} m-lines, {MAX_SECTIONS} may be")
    inherited = _direction(session, "sendrecv")
    sections = [_section(lines, inherited) for lines in media]
    mids = [section.mid for section in sections]
    if len(set(mids)) != len(mids) or "" in mids:
        raise BadSdp("each m-line needs an a=mid of its own")
    return sections


def edit(text: str, edits: dict[str, SectionEdit]) -> str:
    """The description with the m-lines of ``edits`` (by mid) changed and all else kept."""
    newline = "\r\n" if "\r\n" in text else "\n"
    session, *media = _split(text)
    for lines in media:
        wanted = edits.get(_value(lines, "a=mid:"))
        if wanted is not None:
            _edit_section(lines, wanted)
    return "".join(line + newline for line in session + [x for lines in media for x in lines])


def _edit_section(lines: list[str], wanted: SectionEdit) -> None:
    if wanted.direction is not None:
        _replace_direction(lines, wanted.direction)
    if wanted.msid is not None or wanted.clear_msid:
        lines[:] = [line for line in lines if not _names_msid(line)]
    if wanted.msid is not None:
        place = next(i for i, line in enumerate(lines) if line.startswith("a=mid:")) + 1
        lines.insert(place, f"a=msid:{wanted.msid[0]} {wanted.msid[1]}")
    if wanted.prefer is not None:
        _prefer(lines, wanted.prefer)
    if wanted.dtx is not None or wanted.stereo is not None:
        _tune_opus(lines, wanted)


def _split(text: str) -> list[list[str]]:
    """The session's lines, then those of each m-line."""
    blocks: list[list[str]] = [[]]
    for line in text.replace("\r\n", "\n").split("\n"):
        if not line:
            continue
        if line.startswith("m="):
            blocks.append([])
        blocks[-1].append(line)
    return blocks


def _section(lines: list[str], inherited: Direction) -> MediaSection:
    words = lines[0][2:].split()
    if len(words) < 3:
        raise BadSdp(f"the m-line {lines[0][:60]!r} is too short")
    msid = _value(lines, "a=msid:").split() or _ssrc_msid(lines)
    stream, track = [*msid, "", ""][:2]
    return MediaSection(
        mid=_value(lines, "a=mid:"),
        kind=words[0],
        direction=_direction(lines, inherited),
        rejected=words[1] == "0" and "a=bundle-only" not in lines,
        stream="" if stream == "-" else stream,
        track=track,
        rids=_rids(lines),
        codecs=_codecs(lines, words[3:]),
    )


def _value(lines: list[str], prefix: str) -> str:
    return next((line[len(prefix) :].strip() for line in lines if line.startswith(prefix)), "")


def _direction(lines: list[str], default: Direction) -> Direction:
    return next((d for line in lines for d in DIRECTIONS if line == f"a={d}"), default)


def _replace_direction(lines: list[str], direction: Direction) -> None:
    for index, line in enumerate(lines):
        if line[2:] in DIRECTIONS and line.startswith("a="):
            lines[index] = f"a={direction}"
            return
    lines.append(f"a={direction}")


def _ssrc_msid(lines: list[str]) -> list[str]:
    """The form that RFC 8830 replaced: ``a=ssrc:1 msid:stream track``."""
    for line in lines:
        if line.startswith("a=ssrc:"):
            _, _, attribute = line.partition(" ")
            if attribute.startswith("msid:"):
                return attribute[len("msid:") :].split()
    return []


def _names_msid(line: str) -> bool:
    if line.startswith("a=msid:"):
        return True
    return line.startswith("a=ssrc:") and line.partition(" ")[2].startswith("msid:")


def _rids(lines: list[str]) -> list[str]:
    sent = [
        line[len("a=rid:") :].split()[0]
        for line in lines
        if line.startswith("a=rid:") and line[len("a=rid:") :].split()[1:2] == ["send"]
    ]
    words = _value(lines, "a=simulcast:").split()
    listed: list[str] = []
    for way, names in zip(words[::2], words[1::2], strict=False):
        if way == "send":
            # Alternatives of one layer are joined by commas: the first is what is sent.
            listed = [name.split(",")[0].lstrip("~") for name in names.split(";")]
    return [rid for rid in listed if rid in sent] or sent


def _codecs(lines: list[str], payloads: list[str]) -> list[str]:
    names = _rtpmap(lines)
    seen: dict[str, None] = {}
    for payload in payloads:
        if payload in names:
            seen[names[payload]] = None
    return list(seen)


def _rtpmap(lines: list[str]) -> dict[str, str]:
    """Payload type to codec name."""
    names = {}
    for line in lines:
        if line.startswith("a=rtpmap:"):
            payload, _, encoding = line[len("a=rtpmap:") :].partition(" ")
            names[payload] = encoding.partition("/")[0].strip().lower()
    return names


def _prefer(lines: list[str], codec: str) -> None:
    names = _rtpmap(lines)
    words = lines[0].split(" ")
    first = [payload for payload in words[3:] if names.get(payload) == codec]
    if first:
        rest = [payload for payload in words[3:] if payload not in first]
        lines[0] = " ".join(words[:3] + first + rest)


def _tune_opus(lines: list[str], wanted: SectionEdit) -> None:
    payload = next((p for p, name in _rtpmap(lines).items() if name == "opus"), None)
    if payload is None:
        return
    prefix = f"a=fmtp:{payload} "
    for index, line in enumerate(lines):
        if line.startswith(prefix):
            lines[index] = prefix + _opus_parameters(line[len(prefix) :], wanted)
            return
    parameters = _opus_parameters("", wanted)
    if parameters:
        place = next(i for i, x in enumerate(lines) if x.startswith(f"a=rtpmap:{payload} ")) + 1
        lines.insert(place, prefix + parameters)


def _opus_parameters(text: str, wanted: SectionEdit) -> str:
    parameters = {
        part.partition("=")[0].strip(): part.partition("=")[2].strip()
        for part in text.split(";")
        if part.strip()
    }
    if wanted.dtx is not None:
        parameters.pop("usedtx", None)
        if wanted.dtx:
            parameters["usedtx"] = "1"
    if wanted.stereo is not None:
        parameters.pop("stereo", None)
        if wanted.stereo:
            parameters["stereo"] = "1"
            parameters["maxaveragebitrate"] = "510000"
    return ";".join(f"{key}={value}" if value else key for key, value in parameters.items())
