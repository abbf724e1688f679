"""What the form of an approval shows."""

import pytest

from saferollout.approvals.question import brief


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("CliV2AnonymousEnvironment:0123456789abcdef0123456789abcdef", "01234567…"),
        ("01234567-89ab-cdef-0123-456789abcdef:1", "01234567…"),
        ("minimal-py311-inference:37", "minimal-py311-inference:37"),
        ("sklearn:1", "sklearn:1"),
        ("", ""),
    ],
)
def test_a_version_is_shown_whole(version: str, expected: str) -> None:
    """Only the hash that is an anonymous asset's name is cut: whoever decides sees which version was resolved."""
    assert brief(version) == expected
