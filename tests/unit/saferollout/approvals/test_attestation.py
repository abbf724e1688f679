"""The attestation: who has the public key can check it, and any change of it shows."""

import base64
import json

import pytest

from saferollout.approvals.attestation import PREDICATE, make_statement, open_sealed, seal
from saferollout.domain.errors import Refused
from tests.support.signing import make_keys, make_pem, public_pem

PEM = make_pem()
STATEMENT = make_statement({"model:2": "ab" * 32}, {"outcome": "promoted"})
SEALED = seal(STATEMENT, make_keys(PEM))


def test_a_statement_comes_out_as_it_went_in() -> None:
    """An in-toto statement in a DSSE envelope, checked by the public half."""
    statement, signer = open_sealed(json.dumps(SEALED), make_keys(public_pem(PEM)))

    assert statement == STATEMENT
    assert signer == SEALED["signatures"][0]["keyid"]
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["subject"] == [{"name": "model:2", "digest": {"sha256": "ab" * 32}}]


def test_the_signature_is_the_standards() -> None:
    """DSSE signs the type and the payload with their lengths, and writes base64 with padding: other tools check it."""
    payload = base64.b64decode(SEALED["payload"])
    signed = b"DSSEv1 28 application/vnd.in-toto+json %d %s" % (len(payload), payload)

    make_keys(PEM).public[0].verify(base64.b64decode(SEALED["signatures"][0]["sig"], validate=True), signed)


@pytest.mark.parametrize(
    "changed",
    [
        SEALED | {"payload": base64.b64encode(json.dumps(STATEMENT | {"predicate": {}}).encode()).decode()},
        SEALED | {"payloadType": "text/plain"},
        SEALED | {"signatures": []},
        SEALED | {"signatures": [{"sig": "A" * 88}]},
        SEALED | {"payload": "?"},
        {},
        [],
        seal(STATEMENT, make_keys(make_pem())),
        seal({"_type": "x", "predicateType": PREDICATE}, make_keys(PEM)),
    ],
)
def test_what_was_changed_does_not_hold(changed: object) -> None:
    """Nor does what somebody else has signed, or what is signed and says something else."""
    with pytest.raises(Refused):
        open_sealed(json.dumps(changed), make_keys(PEM))
