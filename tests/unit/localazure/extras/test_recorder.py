"""What a recording shows, and what it hides."""

import pytest

from localazure.extras.recorder import MASK, masked


@pytest.mark.parametrize(
    "name",
    ["primaryKey", "secondaryKey", "keyValue", "access_token", "accessToken", "client_secret", "sasUri", "sasToken"],
)
def test_secrets_are_masked_by_their_name(name: str) -> None:
    """At any depth, in lists too."""
    assert masked({"a": [{name: "hush", "b": 1}]}) == {"a": [{name: MASK, "b": 1}]}


def test_environment_variables_are_masked_whatever_their_names() -> None:
    """Names stay; of values nothing does, at any depth, in lists too."""
    told = {"LEVEL": "hush", "n": 1, "more": {"a": ["hush"]}, "none": None}
    hidden = {"LEVEL": MASK, "n": MASK, "more": {"a": [MASK]}, "none": None}
    body = {"value": [{"properties": {"environmentVariables": told, "environmentId": "x"}}]}
    assert masked(body) == {"value": [{"properties": {"environmentVariables": hidden, "environmentId": "x"}}]}
    assert masked({"environmentVariables": ["hush"]}) == {"environmentVariables": [MASK]}


def test_secrets_in_texts_are_masked() -> None:
    """A signature in an address, a token in a header; what is around them stays."""
    assert masked({"uri": "https://a/b?se=1&sig=abc%3D&sp=r"}) == {"uri": f"https://a/b?se=1&sig={MASK}&sp=r"}
    assert masked("curl -H 'Authorization: Bearer abc.def' x") == f"curl -H 'Authorization: Bearer {MASK}' x"
    assert masked("--extra-index-url https://me:hush@a:8/b") == f"--extra-index-url https://me:{MASK}@a:8/b"
    assert masked("https://a:8/b?c=d@e") == "https://a:8/b?c=d@e"


def test_what_is_no_secret_stays() -> None:
    """Names that only look like one, too."""
    body = {"keyType": "Primary", "authMode": "Key", "skipToken": "2", "tokens": 3, "monkey": "x"}
    assert masked(body) == body
