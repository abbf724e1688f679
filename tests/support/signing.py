"""Keys for tests, made anew each time."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from saferollout.approvals.keys import Keyring


def make_pem() -> str:
    """A private key, as `openssl genpkey -algorithm ed25519` prints it."""
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def public_pem(pem: str) -> str:
    """The public half of the first key."""
    key = make_keys(pem).public[0]
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def make_keys(*pems: str) -> Keyring:
    """A ring of these keys, or of a new one."""
    return Keyring.read("\n".join(pems) or make_pem(), "test")
