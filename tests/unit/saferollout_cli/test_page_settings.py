"""What the approvals page needs to know, and what it says where something is missing."""

from pathlib import Path

import pytest

from saferollout.approvals.keys import PAGE_KEY
from saferollout.domain.errors import ConfigError
from saferollout_cli.page.settings import Settings
from tests.support.signing import make_pem, public_pem

HERE = "http://127.0.0.1:8100"
WHOLE = {
    "SAFEROLLOUT_OIDC_ISSUER": "https://id.example.org",
    "SAFEROLLOUT_OIDC_CLIENT_ID": "page",
    "SAFEROLLOUT_OIDC_CLIENT_SECRET": "a secret",
    "SAFEROLLOUT_PAGE_APPROVERS": "ann@example.org, group:ml",
    PAGE_KEY: make_pem(),
}


def test_a_whole_environment_is_enough() -> None:
    """The rest has defaults; an address without TLS is one of this machine."""
    settings = Settings.read(WHOLE, HERE)
    assert settings.approvers == ("ann@example.org", "group:ml")
    assert (settings.url, settings.is_secure, settings.max_age_s, settings.name_claim) == (HERE, False, 300, "email")
    assert Settings.read(WHOLE | {"SAFEROLLOUT_PAGE_URL": "https://a.example.org/"}, HERE).is_secure


def test_all_that_is_missing_is_named_at_once() -> None:
    """With what to set it to."""
    with pytest.raises(ConfigError) as raised:
        Settings.read({}, HERE)
    assert {problem.key for problem in raised.value.problems} == set(WHOLE)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("SAFEROLLOUT_OIDC_ISSUER", "http://id.example.org", "is not protected by TLS"),
        ("SAFEROLLOUT_OIDC_ISSUER", "id.example.org", "is not an address"),
        ("SAFEROLLOUT_PAGE_URL", "http://10.0.0.1:8100", "is not protected by TLS"),
        ("SAFEROLLOUT_PAGE_URL", "https://a.example.org/approvals", "has a path"),
        ("SAFEROLLOUT_PAGE_MAX_AGE", "1d", "is not a number of seconds from 30 to 3600"),
        pytest.param(PAGE_KEY, public_pem(WHOLE[PAGE_KEY]), "or it holds public keys only", id="public"),
        (PAGE_KEY, "no key", "is not an Ed25519 key"),
    ],
)
def test_what_is_wrong_is_named(name: str, value: str, said: str) -> None:
    """And nothing else."""
    with pytest.raises(ConfigError, match=said) as raised:
        Settings.read(WHOLE | {name: value}, HERE)
    assert [problem.key for problem in raised.value.problems] == [name]


def test_secrets_may_be_in_files(tmp_path: Path) -> None:
    """One that is not there is named; a secret never is."""
    (tmp_path / "secret").write_text("a secret\n")
    (tmp_path / "key").write_text(WHOLE[PAGE_KEY])
    files = {
        "SAFEROLLOUT_OIDC_CLIENT_SECRET_FILE": str(tmp_path / "secret"),
        "SAFEROLLOUT_PAGE_KEY_FILE": str(tmp_path / "key"),
    }
    bare = {name: value for name, value in WHOLE.items() if f"{name}_FILE" not in files}
    assert Settings.read(bare | files, HERE).client_secret == "a secret"  # noqa: S105  # of this test
    (tmp_path / "secret").unlink()
    with pytest.raises(ConfigError, match=r"SAFEROLLOUT_OIDC_CLIENT_SECRET_FILE: .* cannot be read"):
        Settings.read(bare | files, HERE)
