"""The node's private key for its links, kept in a file of its owner's."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from fairlead.server.toml import ConfigError

KEY_BYTES = 32


def read_or_make(name: str) -> bytes:
    """The key of a file, made there if absent; empty (a new key each start) without a name.

    Raises `ConfigError`.
    """
    if not name:
        return b""
    path = Path(name)
    try:
        if not path.exists():
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(secrets.token_bytes(KEY_BYTES))
        key = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"node.private_key_file {path}: {error.strerror}") from None
    if len(key) != KEY_BYTES:
        raise ConfigError(
            f"node.private_key_file {path} has {len(key)} bytes, a key has {KEY_BYTES}: "
            "remove it to have a new one made"
        )
    return key
