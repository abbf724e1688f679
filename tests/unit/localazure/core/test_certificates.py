"""The stand-in's own certificate authority."""

import ssl
import stat
from pathlib import Path

import certifi
import pytest
from cryptography import x509

from localazure.core import certificates


def test_the_bundle_trusts_what_was_trusted_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The roots of certifi, the roots that the shell names, and the stand-in's: nothing else in that shell breaks."""
    corporate = certificates.ensure(tmp_path / "corporate")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "corporate" / "authority.pem"))
    certificates.ensure(tmp_path / "node")
    monkeypatch.setenv("NODE_EXTRA_CA_CERTS", str(tmp_path / "node" / "authority.pem"))
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    own = certificates.ensure(tmp_path / "own")
    trusted = roots(own.bundle)
    assert roots(Path(certifi.where())) <= trusted
    assert roots(tmp_path / "corporate" / "authority.pem") <= trusted
    assert roots(tmp_path / "node" / "authority.pem") <= trusted
    assert roots(tmp_path / "own" / "authority.pem") <= trusted
    assert corporate.key.read_bytes() != own.key.read_bytes()


def test_a_second_start_keeps_the_certificate(tmp_path: Path) -> None:
    """Clients that hold the bundle go on working."""
    first = certificates.ensure(tmp_path)
    before = first.certificate.read_bytes(), first.key.read_bytes()
    second = certificates.ensure(tmp_path)
    assert (second.certificate.read_bytes(), second.key.read_bytes()) == before


def test_a_damaged_certificate_is_made_anew(tmp_path: Path) -> None:
    """And not a reason to fail."""
    certificates.ensure(tmp_path).certificate.write_text("damaged")
    renewed = certificates.ensure(tmp_path)
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(renewed.certificate, renewed.key)


def test_another_host_gets_a_certificate_of_its_own(tmp_path: Path) -> None:
    """For its address or name alone; what is for loopback has loopback's other names, too."""
    loopback = {"127.0.0.1", "localhost", "::1"}
    for host, expected in (("192.0.2.2", {"192.0.2.2"}), ("a.example", {"a.example"}), ("127.0.0.1", loopback)):
        certificate = x509.load_pem_x509_certificate(certificates.ensure(tmp_path, host).certificate.read_bytes())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert {str(name.value) for name in names} == expected


def test_the_key_is_the_owner_s(tmp_path: Path) -> None:
    """Nobody else on the machine can pretend to be the stand-in."""
    assert stat.S_IMODE(certificates.ensure(tmp_path).key.stat().st_mode) == 0o600


def roots(path: Path) -> set[bytes]:
    """The certificates in a PEM file."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(path)
    return set(context.get_ca_certs(binary_form=True))
