"""Session descriptions: read, and edited without touching anything else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.protocol.sdp import (
    MAX_SDP_BYTES,
    MAX_SECTIONS,
    BadSdp,
    MediaSection,
    SectionEdit,
    edit,
    read,
)

CAMERA = """v=0\r
o=- 1 2 IN IP4 127.0.0.1\r
s=-\r
t=0 0\r
a=group:BUNDLE 0 cam 2\r
m=audio 9 UDP/TLS/RTP/SAVPF 111 63\r
a=mid:0\r
a=recvonly\r
a=rtpmap:111 opus/48000/2\r
a=fmtp:111 minptime=10;useinbandfec=1\r
a=rtpmap:63 red/48000/2\r
a=fmtp:63 111/111\r
m=video 9 UDP/TLS/RTP/SAVPF 96 97 98\r
a=mid:cam\r
a=sendonly\r
a=msid:- 3f2a-track\r
a=rtpmap:96 VP8/90000\r
a=rtpmap:97 rtx/90000\r
a=rtpmap:98 H264/90000\r
a=x-google-flag:conference\r
a=rid:q send\r
a=rid:h send\r
a=rid:f send\r
a=simulcast:send q;~h;f,g\r
m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r
a=mid:2\r
a=sctp-port:5000\r
"""


def test_read() -> None:
    assert read(CAMERA) == [
        MediaSection(mid="0", kind="audio", direction="recvonly", codecs=["opus", "red"]),
        MediaSection(
            mid="cam",
            kind="video",
            direction="sendonly",
            track="3f2a-track",
            rids=["q", "h", "f"],
            codecs=["vp8", "rtx", "h264"],
        ),
        MediaSection(mid="2", kind="application", direction="sendrecv"),
    ]


def test_the_old_form_of_msid() -> None:
    text = CAMERA.replace("a=msid:- 3f2a-track", "a=ssrc:5 cname:x\r\na=ssrc:5 msid:st tr")
    section = read(text)[1]
    assert (section.stream, section.track) == ("st", "tr")
    edited = edit(text, {"cam": SectionEdit(clear_msid=True)})
    assert "msid:st" not in edited
    assert "a=ssrc:5 cname:x" in edited


def test_rejected_and_bundled() -> None:
    stopped = read(CAMERA.replace("m=video 9", "m=video 0"))[1]
    assert stopped.rejected
    assert not stopped.sends
    text = CAMERA.replace("m=video 9", "m=video 0")
    text = text.replace("a=mid:cam", "a=mid:cam\r\na=bundle-only")
    assert read(text)[1].sends


def test_rids_without_a_simulcast_line() -> None:
    assert read(CAMERA.replace("a=simulcast:send q;~h;f,g\r\n", ""))[1].rids == ["q", "h", "f"]


def test_no_edit_changes_nothing() -> None:
    assert edit(CAMERA, {}) == CAMERA
    assert edit(CAMERA, {"9": SectionEdit(direction="inactive")}) == CAMERA


def test_msid_and_direction() -> None:
    edited = edit(CAMERA, {"0": SectionEdit(msid=("PA_x|TR_y", "TR_y"), direction="sendonly")})
    section = read(edited)[0]
    assert (section.stream, section.track, section.direction) == ("PA_x|TR_y", "TR_y", "sendonly")
    back = edit(edited, {"0": SectionEdit(clear_msid=True, direction="recvonly")})
    assert back == CAMERA


def test_a_direction_that_was_not_written() -> None:
    edited = edit(CAMERA, {"2": SectionEdit(direction="inactive")})
    assert read(edited)[2].direction == "inactive"


def test_a_codec_comes_first() -> None:
    edited = edit(CAMERA, {"cam": SectionEdit(prefer="h264"), "0": SectionEdit(prefer="none")})
    assert "m=video 9 UDP/TLS/RTP/SAVPF 98 96 97\r\n" in edited
    assert "m=audio 9 UDP/TLS/RTP/SAVPF 111 63\r\n" in edited


def test_opus() -> None:
    tuned = edit(CAMERA, {"0": SectionEdit(dtx=True, stereo=True)})
    assert (
        "a=fmtp:111 minptime=10;useinbandfec=1;usedtx=1;stereo=1;maxaveragebitrate=510000\r\n"
        in tuned
    )
    plain = edit(tuned, {"0": SectionEdit(dtx=False)})
    assert "usedtx" not in plain
    assert "stereo=1" in plain
    bare = CAMERA.replace("a=fmtp:111 minptime=10;useinbandfec=1\r\n", "")
    assert "a=rtpmap:111 opus/48000/2\r\na=fmtp:111 usedtx=1\r\n" in edit(
        bare, {"0": SectionEdit(dtx=True)}
    )
    assert edit(bare, {"0": SectionEdit(dtx=False)}) == bare


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "v=0\r\nm=audio\r\n",
        "v=0\r\nm=audio 9 X 1\r\n",
        "v=0\r\nm=audio 9 X 1\r\na=mid:0\r\nm=audio 9 X 1\r\na=mid:0\r\n",
        "v=0\r\n" + "m=audio 9 X 1\r\n" * (MAX_SECTIONS + 1),
        "v=0\r\n" + " " * MAX_SDP_BYTES,
    ],
    ids=["empty", "nonsense", "short line", "no mid", "same mid", "many lines", "long"],
)
def test_what_cannot_be_used_says_so(text: str) -> None:
    with pytest.raises(BadSdp):
        read(text)


LINES = st.lists(
    st.one_of(
        st.sampled_from(CAMERA.split("\r\n")),
        st.text(alphabet="am=:sdirx 0123/;~,", max_size=12),
    ),
    max_size=40,
)


@given(LINES)
def test_anything_is_read_and_edited_or_refused(lines: list[str]) -> None:
    text = "v=0\r\n" + "\r\n".join(lines)
    try:
        sections = read(text)
    except BadSdp:
        return
    edits = {
        x.mid: SectionEdit(
            msid=("a|b", "b"), direction="inactive", prefer="opus", dtx=True, stereo=True
        )
        for x in sections
    }
    edited = read(edit(text, edits))
    assert [x.mid for x in edited] == [x.mid for x in sections]
    assert all((x.stream, x.track, x.direction) == ("a|b", "b", "inactive") for x in edited)
