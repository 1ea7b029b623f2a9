"""Tokens: JWTs signed with an API key's secret (HS256), read and made."""

from __future__ import annotations

import base64
import hashlib
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import jwt
import msgspec
from jwt.types import Options
from jwt.warnings import InsecureKeyLengthWarning

from fairlead.policy.grants import KINDS, Denied, Grants, SipGrant, VideoGrant

ALGORITHM = "HS256"
LEEWAY = 60
"""Seconds that two clocks may differ."""
DEFAULT_TTL = 6 * 3600
"""Seconds a token lasts when nobody says."""
BODY_TTL = 300
"""Seconds for which a message's token vouches for it."""
MAX_TOKEN_BYTES = 64 * 1024

# The development secret is short; `server.config` refuses short ones off loopback.
warnings.filterwarnings("ignore", category=InsecureKeyLengthWarning)


class Claims(msgspec.Struct, kw_only=True, rename="camel", omit_defaults=True):
    """The payload as it stands in the token."""

    iss: str = ""
    sub: str = ""
    jti: str = ""
    exp: float | None = None
    nbf: float | None = None
    name: str = ""
    kind: str = ""
    kind_details: list[str] = msgspec.field(default_factory=list)
    metadata: str = ""
    attributes: dict[str, str] | None = None
    video: VideoGrant | None = None
    sip: SipGrant | None = None
    room_config: dict[str, Any] | None = None
    room_preset: str = ""
    sha256: str = ""


def verify(token: str, keys: Mapping[str, str], now: float) -> Grants:
    """Check a token against the secrets of ``keys`` (API key to secret) at ``now`` (Unix seconds).

    Raises `Denied` with status 401 and a sentence that never holds the token.
    """
    if not token:
        raise Denied("no token: send Authorization: Bearer TOKEN or ?access_token=TOKEN")
    if len(token) > MAX_TOKEN_BYTES:
        raise Denied(f"the token is over {MAX_TOKEN_BYTES} bytes")
    claims = _claims(token, keys)
    if claims.exp is None:
        raise Denied("the token has no expiry: set its exp claim")
    if now > claims.exp + LEEWAY:
        raise Denied("the token has expired: make a new one")
    if claims.nbf is not None and now < claims.nbf - LEEWAY:
        raise Denied("the token is not valid yet: check the clocks")
    kind = claims.kind.lower() or "standard"
    if kind not in KINDS:
        raise Denied(f"the token has the unknown kind {kind!r}: use one of {', '.join(KINDS)}")
    return Grants(
        api_key=claims.iss,
        identity=claims.sub or claims.jti,
        name=claims.name,
        kind=kind,
        kind_details=claims.kind_details,
        metadata=claims.metadata,
        attributes=claims.attributes or {},
        video=claims.video,
        sip=claims.sip or SipGrant(),
        room_config=_json(claims.room_config),
        room_preset=claims.room_preset,
        not_before=int(claims.nbf or 0),
        expires_at=int(claims.exp),
    )


def sign(grants: Grants, secret: str, now: float, ttl: int = DEFAULT_TTL) -> str:
    """A token that says what ``grants`` says, valid for ``ttl`` seconds from ``now``."""
    claims = Claims(
        iss=grants.api_key,
        sub=grants.identity,
        exp=int(now) + ttl,
        nbf=int(now),
        name=grants.name,
        kind="" if grants.kind == "standard" else grants.kind,
        kind_details=grants.kind_details,
        metadata=grants.metadata,
        attributes=grants.attributes or None,
        video=grants.video,
        sip=None if grants.sip == SipGrant() else grants.sip,
        room_config=msgspec.json.decode(grants.room_config) if grants.room_config else None,
        room_preset=grants.room_preset,
    )
    with _short_secrets():
        return jwt.encode(msgspec.to_builtins(claims), _bytes(secret), algorithm=ALGORITHM)


def sign_body(api_key: str, secret: str, body: bytes, now: float) -> str:
    """A token that vouches for a message: its ``sha256`` claim is the body's hash."""
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    claims = Claims(iss=api_key, nbf=int(now), exp=int(now) + BODY_TTL, sha256=digest)
    with _short_secrets():
        return jwt.encode(msgspec.to_builtins(claims), _bytes(secret), algorithm=ALGORITHM)


def mint(
    api_key: str,
    secret: str,
    *,
    identity: str,
    now: float,
    video: VideoGrant,
    name: str = "",
    metadata: str = "",
    attributes: Mapping[str, str] | None = None,
    kind: str = "standard",
    room_config: str = "",
    ttl: int = DEFAULT_TTL,
) -> str:
    """A new token for ``identity``, valid for ``ttl`` seconds from ``now`` (Unix seconds).
    ``room_config`` is a RoomConfiguration as JSON."""
    grants = Grants(
        api_key=api_key,
        identity=identity,
        name=name,
        kind=kind,
        metadata=metadata,
        attributes=dict(attributes or {}),
        video=video,
        room_config=room_config,
    )
    return sign(grants, secret, now, ttl)


def _claims(token: str, keys: Mapping[str, str]) -> Claims:
    options: Options = {
        "verify_signature": True,
        "verify_exp": False,
        "verify_nbf": False,
        "verify_iat": False,
        "verify_aud": False,
        "verify_sub": False,
        "verify_jti": False,
    }
    try:
        unverified = jwt.decode(token, options={"verify_signature": False})
        issuer = unverified.get("iss")
        secret = keys.get(issuer) if isinstance(issuer, str) else None
        if secret is None:
            raise Denied("the token's API key (its iss claim) is not known here")
        with _short_secrets():
            payload = jwt.decode(token, _bytes(secret), algorithms=[ALGORITHM], options=options)
        return msgspec.convert(payload, Claims)
    except jwt.InvalidSignatureError:
        raise Denied("the token was not signed with its API key's secret") from None
    except jwt.InvalidAlgorithmError:
        raise Denied(f"the token is not signed with {ALGORITHM}") from None
    except (jwt.PyJWTError, ValueError):
        raise Denied("the token can't be read: it is not a LiveKit access token") from None
    except msgspec.ValidationError as error:
        raise Denied(f"the token has a claim of the wrong type: {error}") from None


@contextmanager
def _short_secrets() -> Iterator[None]:
    """The development pair has a short secret; that real ones are long is checked as they are
    configured."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", jwt.InsecureKeyLengthWarning)
        yield


def _bytes(secret: str) -> bytes:
    return secret.encode()


def _json(value: dict[str, Any] | None) -> str:
    return msgspec.json.encode(value).decode() if value is not None else ""
