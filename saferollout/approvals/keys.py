"""Keys that sign decisions and what follows from them: Ed25519, so that whoever checks needs the public half alone."""

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_der_public_key

from saferollout.domain.errors import ConfigError, Problem

KEY = "SAFEROLLOUT_SIGNING_KEY"
KEY_FILE = "SAFEROLLOUT_SIGNING_KEY_FILE"
PAGE_KEY = "SAFEROLLOUT_PAGE_KEY"
"""The key of the approvals page; a worker needs its public half."""
PAGE_KEY_FILE = "SAFEROLLOUT_PAGE_KEY_FILE"
REMEDY = "make one with `openssl genpkey -algorithm ed25519`; several may follow each other, the first one signs"

_ARMOR = re.compile(r"-----BEGIN [A-Z ]+-----(.*?)-----END [A-Z ]+-----", re.DOTALL)


@dataclass(frozen=True)
class Keyring:
    """The keys that are trusted; the first private one signs. A public one checks only."""

    private: tuple[Ed25519PrivateKey, ...] = ()
    public: tuple[Ed25519PublicKey, ...] = ()

    @classmethod
    def read(cls, text: str, source: str) -> "Keyring":
        """Read keys as PEM, one after the other, or each as its DER in base64 on a line of its own.

        Args:
            text: The keys.
            source: Where they come from, for what is said if one is wrong; a key itself is never quoted.

        Raises:
            ConfigError: One is not an Ed25519 key, or there is none.
        """
        blocks = _ARMOR.findall(text) or text.split()
        if not blocks:
            raise ConfigError(Problem("environment", source, "holds no key", REMEDY))
        private: list[Ed25519PrivateKey] = []
        public: list[Ed25519PublicKey] = []
        for number, block in enumerate(blocks, 1):
            key = _load(block)
            if isinstance(key, Ed25519PrivateKey):
                private.append(key)
            elif isinstance(key, Ed25519PublicKey):
                public.append(key)
            else:
                problem = f"key {number} of {len(blocks)} is not an Ed25519 key without a password"
                raise ConfigError(Problem("environment", source, problem, REMEDY))
        return cls(tuple(private), tuple(public) + tuple(key.public_key() for key in private))

    def __bool__(self) -> bool:
        """Whether a signature can be checked at all."""
        return bool(self.public)

    @property
    def signs(self) -> bool:
        """Whether there is a private key."""
        return bool(self.private)

    def sign(self, message: bytes) -> str:
        """Return the signature in base64url without padding, 86 characters; empty without a private key."""
        return _encoded(self.private[0].sign(message)) if self.private else ""

    def has_signed(self, signature: str, message: bytes) -> bool:
        """Whether one of the keys made the signature."""
        return self.signer_of(signature, message) is not None

    def signer_of(self, signature: str, message: bytes) -> str | None:
        """The id of the key that made the signature; None if none did."""
        try:
            raw = base64.b64decode(signature + "=" * (-len(signature) % 4), altchars=b"-_", validate=True)
        except (ValueError, binascii.Error):
            return None
        for key in self.public:
            try:
                key.verify(raw, message)
            except InvalidSignature:
                continue
            return id_of(key)
        return None

    @property
    def signer(self) -> str:
        """The id of the key that signs; empty if none does."""
        return id_of(self.private[0].public_key()) if self.private else ""


def id_of(key: Ed25519PublicKey) -> str:
    """What a key is called: 16 hex digits of its public half's SHA-256."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def from_environment(environment: Mapping[str, str], key: str = KEY) -> Keyring | None:
    """The keys that the environment holds or names a file of; None if it says nothing of keys.

    Args:
        environment: The variables.
        key: The one that may hold them; the one with the same name and `_FILE` may name their file.

    Raises:
        ConfigError: They cannot be read.
    """
    if text := environment.get(key):
        return Keyring.read(text, key)
    if not (name := environment.get(key_file := f"{key}_FILE")):
        return None
    try:
        text = Path(name).read_text(encoding="ascii")
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not a text file"
        problem = f"{name} cannot be read: {why}"
        raise ConfigError(Problem("environment", key_file, problem, "name a file of keys in PEM")) from None
    return Keyring.read(text, key_file)


def _load(block: str) -> object:
    try:
        der = base64.b64decode("".join(block.split()), validate=True)
    except (ValueError, binascii.Error):
        return None
    for load in (lambda: load_der_private_key(der, None), lambda: load_der_public_key(der)):
        try:
            return load()
        except (ValueError, TypeError, UnsupportedAlgorithm):
            continue
    return None


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
