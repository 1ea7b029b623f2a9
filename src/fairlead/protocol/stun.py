"""STUN and TURN as the doctor asks them (RFC 8489, RFC 8656, and RFC 8445 for ICE's own check).

Only what a client needs to see whether a way works; the server's side is in `crates/turn`.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import struct
import zlib

import msgspec

COOKIE = 0x2112A442
HEADER = 20
TRANSACTION_BYTES = 12

BINDING, ALLOCATE, SEND, CREATE_PERMISSION = 0x001, 0x003, 0x006, 0x008
INDICATION, SUCCESS, FAILURE = 0x010, 0x100, 0x110
DATA_INDICATION = 0x007 | INDICATION

USERNAME, INTEGRITY, ERROR, REALM, NONCE = 0x0006, 0x0008, 0x0009, 0x0014, 0x0015
PEER, DATA, RELAYED, REQUESTED_TRANSPORT, MAPPED = 0x0012, 0x0013, 0x0016, 0x0019, 0x0020
PRIORITY, FINGERPRINT, CONTROLLING = 0x0024, 0x8028, 0x802A
UDP = b"\x11\0\0\0"


class BadStun(Exception):
    """Bytes that are no STUN message."""


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One message; of an attribute that is there twice, the first."""

    kind: int
    """Method and class, as on the wire."""
    transaction: bytes
    attributes: dict[int, bytes] = {}

    @property
    def error(self) -> int | None:
        """The code of a refusal."""
        value = self.attributes.get(ERROR, b"")
        return value[2] * 100 + value[3] if len(value) >= 4 else None


def write(
    kind: int,
    transaction: bytes,
    attributes: list[tuple[int, bytes]],
    key: bytes | None = None,
    *,
    fingerprint: bool = False,
) -> bytes:
    """A message, signed if there is a key."""
    body = b"".join(_attribute(*attribute) for attribute in attributes)
    if key is not None:
        signed = _header(kind, len(body) + 24, transaction) + body
        body += _attribute(INTEGRITY, hmac.new(key, signed, hashlib.sha1).digest())
    if fingerprint:
        crc = zlib.crc32(_header(kind, len(body) + 8, transaction) + body) ^ 0x5354554E
        body += _attribute(FINGERPRINT, struct.pack("!I", crc))
    return _header(kind, len(body), transaction) + body


def read(data: bytes) -> Message:
    """Raises `BadStun`."""
    if len(data) < HEADER:
        raise BadStun("it is shorter than a header")
    kind, length, cookie = struct.unpack_from("!HHI", data)
    if kind >> 14 or cookie != COOKIE or length % 4 or HEADER + length != len(data):
        raise BadStun("its header is none of STUN")
    attributes: dict[int, bytes] = {}
    at = HEADER
    while at + 4 <= len(data):
        name, size = struct.unpack_from("!HH", data, at)
        if at + 4 + size > len(data):
            raise BadStun("an attribute ends beyond it")
        attributes.setdefault(name, data[at + 4 : at + 4 + size])
        at += 4 + size + -size % 4
    return Message(kind=kind, transaction=data[8:HEADER], attributes=attributes)


def whole(data: bytes) -> int | None:
    """How many bytes the first message of a stream has; None before its header is there."""
    if len(data) < 4:
        return None
    return HEADER + int(struct.unpack_from("!H", data, 2)[0])


def ice_check(transaction: bytes, ufrags: str, password: str) -> bytes:
    """A connectivity check (RFC 8445 section 7.2): ``ufrags`` is ``theirs:ours``."""
    return write(
        BINDING,
        transaction,
        [
            (USERNAME, ufrags.encode()),
            (PRIORITY, struct.pack("!I", 1)),
            (CONTROLLING, bytes(8)),
        ],
        password.encode(),
        fingerprint=True,
    )


def long_term_key(username: str, realm: str, password: str) -> bytes:
    """RFC 8489 section 9.2.2."""
    return hashlib.md5(f"{username}:{realm}:{password}".encode(), usedforsecurity=False).digest()


def address(host: str, port: int, transaction: bytes) -> bytes:
    """The value of an XOR-…-ADDRESS."""
    ip = ipaddress.ip_address(host)
    mask = struct.pack("!I", COOKIE) + transaction
    packed = bytes(a ^ b for a, b in zip(ip.packed, mask, strict=False))
    return struct.pack("!xBH", 1 if ip.version == 4 else 2, port ^ (COOKIE >> 16)) + packed


def read_address(value: bytes, transaction: bytes) -> tuple[str, int]:
    """Raises `BadStun`."""
    if len(value) not in (8, 20):
        raise BadStun("an address has a wrong length")
    mask = struct.pack("!I", COOKIE) + transaction
    packed = bytes(a ^ b for a, b in zip(value[4:], mask, strict=False))
    port = struct.unpack_from("!H", value, 2)[0] ^ (COOKIE >> 16)
    return str(ipaddress.ip_address(packed)), port


def _header(kind: int, length: int, transaction: bytes) -> bytes:
    return struct.pack("!HHI", kind, length, COOKIE) + transaction


def _attribute(name: int, value: bytes) -> bytes:
    return struct.pack("!HH", name, len(value)) + value + bytes(-len(value) % 4)
