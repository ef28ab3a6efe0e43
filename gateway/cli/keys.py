"""`keys`: a new key for a client, or the hash of one that is there."""

from __future__ import annotations

import json
import secrets
import sys

from gateway.auth.keys import SECRET_BYTES, hash_of, is_mistyped, make_key
from gateway.config.problems import ConfigError


def new(client: str) -> int:
    """Print a new key once, and what the configuration needs of it; returns 0."""
    key = make_key(secrets.token_bytes(SECRET_BYTES))
    print(
        f"{key}\n\nThis key is shown once. Hand it to the client, and paste its hash into `clients`:\n\n"
        f"clients:\n  - name: {json.dumps(client)}\n    keys:\n      - {hash_of(key)}"
    )
    return 0


def hash_key() -> int:
    """Print the hash of the key on standard input; returns 0. Raises ConfigError when there is none."""
    key = sys.stdin.read().strip()
    if not key or any(character.isspace() for character in key):
        raise ConfigError(["keys hash: give one key on standard input"])
    if is_mistyped(key):
        raise ConfigError(["keys hash: the key's checksum is wrong, so a character of it is; copy it again"])
    print(hash_of(key))
    return 0
