"""Keys of made-up records."""

from podium.keys import digest_bytes


def key(name: str) -> str:
    return digest_bytes(name.encode())
