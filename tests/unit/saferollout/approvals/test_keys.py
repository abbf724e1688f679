"""Keys: what is read as one, which of them signs, and what is never said of them."""

import base64
import subprocess
from pathlib import Path

import pytest

from saferollout.approvals.keys import KEY, KEY_FILE, Keyring, from_environment
from saferollout.domain.errors import ConfigError
from tests.support.signing import make_keys, make_pem, public_pem


def test_a_key_of_openssl_signs() -> None:
    """The command that the documentation names makes a key that is read."""
    pem = subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519"], capture_output=True, text=True, check=True)
    keys = make_keys(pem.stdout)

    signature = keys.sign(b"text")

    assert len(signature) == 86
    assert keys.has_signed(signature, b"text")
    assert not keys.has_signed(signature, b"another text")
    assert not keys.has_signed(signature[:-2], b"text")
    assert not keys.has_signed("", b"text")
    assert not keys.has_signed("ä?", b"text")


def test_keys_rotate() -> None:
    """The first key signs; what an older one has signed holds as long as it is in the ring."""
    old, new = make_pem(), make_pem()
    before = make_keys(old).sign(b"text")
    both = make_keys(new, old)

    assert both.has_signed(before, b"text")
    assert make_keys(new).has_signed(both.sign(b"text"), b"text")
    assert not make_keys(new).has_signed(before, b"text")
    assert both.signer_of(before, b"text") == make_keys(old).signer


def test_a_public_key_checks_and_does_not_sign() -> None:
    """Whoever only checks gets nothing that could forge."""
    pem = make_pem()
    public = make_keys(public_pem(pem))

    assert public.has_signed(make_keys(pem).sign(b"text"), b"text")
    assert (public.signs, public.sign(b"text"), public.signer) == (False, "", "")
    assert bool(public)
    assert not Keyring()


def test_a_key_fits_into_a_line() -> None:
    """Where a variable can hold no line breaks, its base64 alone is enough, one key a word."""
    pems = make_pem(), make_pem()
    lines = " ".join(pem.splitlines()[1] for pem in pems)

    assert Keyring.read(lines, KEY).signer == make_keys(pems[0]).signer
    assert len(Keyring.read(lines, KEY).public) == 2


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "holds no key"),
        ("a-secret-password", "key 1 of 1 is not an Ed25519 key"),
        (base64.b64encode(b"a-secret-password").decode(), "key 1 of 1 is not an Ed25519 key"),
        ("-----BEGIN PRIVATE KEY-----\n!\n-----END PRIVATE KEY-----", "key 1 of 1 is not an Ed25519 key"),
    ],
)
def test_what_is_not_a_key_is_refused_unquoted(text: str, problem: str) -> None:
    """The variable is named, what it holds is not repeated."""
    with pytest.raises(ConfigError, match=f"{KEY}: {problem}") as caught:
        Keyring.read(text, KEY)

    assert "secret" not in str(caught.value)
    assert "openssl genpkey -algorithm ed25519" in str(caught.value)


def test_the_environment_holds_keys_or_names_a_file(tmp_path: Path) -> None:
    """Both say the same; nothing is said where neither is set, and a file that is not there is named."""
    pem = make_pem()
    (tmp_path / "key.pem").write_text(pem)
    by_file = from_environment({KEY_FILE: str(tmp_path / "key.pem")})
    by_value = from_environment({KEY: pem})

    assert by_file is not None
    assert by_value is not None
    assert by_file.signer == by_value.signer == make_keys(pem).signer
    assert from_environment({}) is None
    with pytest.raises(ConfigError, match=f"{KEY_FILE}: .*none.pem cannot be read: No such file"):
        from_environment({KEY_FILE: str(tmp_path / "none.pem")})
