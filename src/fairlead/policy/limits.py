"""What a name, a text and a message may weigh: LiveKit's own limits."""

IDENTITY_LENGTH = 256
NAME_LENGTH = 256
ROOM_NAME_LENGTH = 256
METADATA_BYTES = 512 * 1024
ATTRIBUTES_BYTES = 64 * 1024
"""Keys and values together."""


def attributes_size(attributes: dict[str, str]) -> int:
    """Bytes of all keys and values."""
    return sum(len(key.encode()) + len(value.encode()) for key, value in attributes.items())
