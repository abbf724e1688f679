"""Codes: those of RFC 6238, a little early or late, and no others."""

import base64
import re
from datetime import UTC, datetime

import pytest

from saferollout.approvals import totp

SECRET = base64.b32encode(b"12345678901234567890").decode()
AT = datetime(2009, 2, 13, 23, 31, 30, tzinfo=UTC)
"""1234567890, for which the RFC has the code 89005924."""


@pytest.mark.parametrize("code", ["005924", "005 924"])
def test_the_codes_are_those_of_the_rfc(code: str) -> None:
    """Any authenticator app shows the same; people write them in two groups."""
    assert totp.step_of(SECRET, code, AT) == 1234567890 // 30


@pytest.mark.parametrize(("off_s", "counts"), [(-60, False), (-30, True), (30, True), (60, False)])
def test_a_clock_may_be_off_by_half_a_minute(off_s: int, counts: bool) -> None:
    """What is older could have been read over a shoulder."""
    at = datetime.fromtimestamp(AT.timestamp() + off_s, UTC)

    assert (totp.step_of(SECRET, "005924", at) is not None) == counts


@pytest.mark.parametrize("code", ["", "000000", "89005924", "٠٠٥٩٢٤", "ä" * 6])
def test_what_is_not_the_code_is_wrong(code: str) -> None:
    """Also what no app shows."""
    assert totp.step_of(SECRET, code, AT) is None


def test_a_secret_is_new_each_time_and_has_160_bits() -> None:
    """The RFC's length."""
    secrets = {totp.new_secret() for _ in range(9)}

    assert len(secrets) == 9
    assert {len(base64.b32decode(secret)) for secret in secrets} == {20}
    assert totp.uri(SECRET, "Ann Lee").startswith(f"otpauth://totp/Safe%20Rollout:Ann%20Lee?secret={SECRET}")


@pytest.mark.parametrize("name", ["Ann Lee", "ann.lee@example.com", "Zoë", "李", "x" * 60])
def test_every_name_has_a_variable_and_a_block(name: str) -> None:
    """Stores take words only; two people never share one."""
    assert re.fullmatch(r"SAFEROLLOUT_TOTP_[A-Z0-9_]+", totp.variable_of(name))
    assert re.fullmatch(r"saferollout-totp-[a-z0-9]+(-[a-z0-9]+)*", totp.block_of(name))
    assert totp.variable_of(name) == totp.variable_of(name.upper().lower())
    assert totp.variable_of(name) != totp.variable_of(f"{name}.")
