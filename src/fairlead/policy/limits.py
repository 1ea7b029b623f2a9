"""What a name, a text and a message may weigh: LiveKit's own limits."""

IDENTITY_LENGTH = 256
NAME_LENGTH = 256
ROOM_NAME_LENGTH = 256
METADATA_BYTES = 512 * 1024
ATTRIBUTES_BYTES = 64 * 1024
"""Keys and values together."""
DATA_TRACK_NAME_BYTES = 256
"""Of a data track's name, and of its schema's."""
DATA_TRACK_ENCODING_BYTES = 32
"""Of the name of an encoding that is none of LiveKit's."""


def attributes_size(attributes: dict[str, str]) -> int:
    """Bytes of all keys and values."""
    return sum(len(key.encode()) + len(value.encode()) for key, value in attributes.items())
