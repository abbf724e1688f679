"""The certificate authority of one local Azure: its own key, one server certificate, and the bundle clients trust."""

import datetime
import os
import re
import ssl
from dataclasses import dataclass
from pathlib import Path

import certifi
import trustme
from cryptography import x509

from localazure.core.host import LOOPBACK

LOOPBACK_NAMES = {LOOPBACK, "localhost", "::1"}

TRUST_NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For clients that speak plain HTTP: each would read all roots that this machine trusts, which takes 15 ms."""

_AUTHORITY = "authority.pem"
_RENEW_BEFORE = datetime.timedelta(days=7)
_LIFE = datetime.timedelta(days=365)


@dataclass(frozen=True)
class Certificates:
    """Paths of the PEM files; the key is readable by its owner only."""

    certificate: Path
    key: Path
    bundle: Path


def ensure(directory: Path, host: str = LOOPBACK) -> Certificates:
    """Make the files in `directory`, or take those that are there, still valid, and for the name or address `host`.

    The authority's own private key is used once and never written: nobody can sign more with it. The bundle holds
    certifi's roots, the roots that this shell already trusts (SSL_CERT_FILE, REQUESTS_CA_BUNDLE, NODE_EXTRA_CA_CERTS),
    and the authority, so that every other https address goes on working in a shell that exports it.

    Returns:
        Where they are.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    files = Certificates(directory / "server.pem", directory / "server-key.pem", directory / "bundle.pem")
    authority = directory / _AUTHORITY
    names = LOOPBACK_NAMES if host in LOOPBACK_NAMES else {host}
    if not (authority.exists() and files.key.exists() and _valid(files.certificate, names)):
        expires = datetime.datetime.now(datetime.UTC) + _LIFE
        issuer = trustme.CA(organization_name="Local Azure", organization_unit_name="stand-in on this machine")
        server = issuer.issue_cert(*sorted(names), common_name=host, not_after=expires)
        _write(files.key, server.private_key_pem.bytes(), mode=0o600)
        _write(files.certificate, b"".join(pem.bytes() for pem in server.cert_chain_pems))
        _write(authority, issuer.cert_pem.bytes())
    _write(files.bundle, _bundle(authority, exclude=files.bundle))
    return files


def trusting_only(environ: dict[str, str]) -> dict[str, str]:
    """The variables of a local Azure for clients that reach nothing else.

    They refuse whoever else answers, and each of their connections reads one root instead of certifi's 140.
    """
    authority = str(Path(environ["SSL_CERT_FILE"]).with_name(_AUTHORITY))
    return environ | dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"), authority)


def _valid(path: Path, names: set[str]) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError):
        return False
    in_time = certificate.not_valid_after_utc > datetime.datetime.now(datetime.UTC) + _RENEW_BEFORE
    return in_time and {str(name.value) for name in found} == names


def _bundle(authority: Path, exclude: Path) -> bytes:
    sources = [Path(certifi.where())]
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"):
        value = os.environ.get(name)
        if value and Path(value).is_file() and Path(value).resolve() != exclude.resolve():
            sources.append(Path(value))
    sources.append(authority)
    blocks: dict[bytes, None] = {}  # an ordered set: the same root is in several of the files
    for source in sources:
        for block in re.findall(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", source.read_bytes(), re.S):
            blocks.setdefault(block)
    return b"\n".join(blocks) + b"\n"


def _write(path: Path, content: bytes, mode: int = 0o644) -> None:
    temporary = path.with_suffix(".new")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
        file.write(content)
    temporary.replace(path)
