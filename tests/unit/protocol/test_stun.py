"""STUN as the doctor writes and reads it."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.protocol import stun

TRANSACTION = bytes(range(12))
REQUEST = stun.write(stun.BINDING, TRANSACTION, [(stun.USERNAME, b"ours:theirs")])


@given(st.lists(st.tuples(st.integers(0, 0xFFFF), st.binary(max_size=40)), max_size=6))
def test_what_is_written_is_read(attributes: list[tuple[int, bytes]]) -> None:
    message = stun.read(stun.write(stun.ALLOCATE, TRANSACTION, attributes))
    assert (message.kind, message.transaction) == (stun.ALLOCATE, TRANSACTION)
    first: dict[int, bytes] = {}
    for name, value in attributes:
        first.setdefault(name, value)
    assert message.attributes == first


@given(st.binary(max_size=80))
def test_no_bytes_do_more_than_be_refused(data: bytes) -> None:
    try:
        stun.read(data)
    except stun.BadStun:
        return
    assert data[4:8] == stun.COOKIE.to_bytes(4, "big")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        REQUEST[:-1],
        REQUEST + b"\0",
        b"\x80" + REQUEST[1:],
        REQUEST[:4] + b"\0\0\0\0" + REQUEST[8:],
        REQUEST[:22] + b"\xff\xff" + REQUEST[24:],
    ],
)
def test_lengths_that_lie_and_other_protocols_are_refused(data: bytes) -> None:
    with pytest.raises(stun.BadStun):
        stun.read(data)


@pytest.mark.parametrize("host", ["203.0.113.5", "2001:db8::5"])
def test_addresses_are_masked_and_come_back(host: str) -> None:
    value = stun.address(host, 7882, TRANSACTION)
    assert value[2:4] != (7882).to_bytes(2, "big")
    assert stun.read_address(value, TRANSACTION) == (host, 7882)
    with pytest.raises(stun.BadStun):
        stun.read_address(value[:-1], TRANSACTION)


def test_a_check_is_signed_up_to_its_signature_and_ends_with_a_fingerprint() -> None:
    check = stun.ice_check(TRANSACTION, "theirs:ours", "password")
    message = stun.read(check)
    signed = check.index(message.attributes[stun.INTEGRITY]) - 4
    length = (signed + 24 - stun.HEADER).to_bytes(2, "big")
    covered = check[:2] + length + check[4:signed]
    expected = hmac.new(b"password", covered, hashlib.sha1).digest()
    assert message.attributes[stun.INTEGRITY] == expected
    assert check[-8:-4] == b"\x80\x28\0\x04"


def test_a_stream_tells_how_long_its_first_message_is() -> None:
    assert stun.whole(REQUEST[:3]) is None
    assert stun.whole(REQUEST[:4]) == len(REQUEST)
