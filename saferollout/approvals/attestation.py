"""Attestation: one signed document that says what was rolled out, what let it pass, and who decided.

It is an in-toto Statement v1 in a DSSE envelope, which other tools read, too.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from saferollout.approvals.keys import Keyring
from saferollout.domain.errors import Refused

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "urn:saferollout:rollout:v1"
PAYLOAD = "application/vnd.in-toto+json"


def make_statement(subjects: Mapping[str, str], predicate: Mapping[str, Any]) -> dict[str, Any]:
    """A statement about what was rolled out.

    Args:
        subjects: The SHA-256 of each part, in hex, by its name.
        predicate: What is said of it.
    """
    return {
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": digest}} for name, digest in subjects.items()],
        "predicateType": PREDICATE,
        "predicate": dict(predicate),
    }


def seal(statement: Mapping[str, Any], keys: Keyring) -> dict[str, Any]:
    """The signed envelope of a statement."""
    payload = json.dumps(statement, sort_keys=True).encode()
    signature = _standard(keys.sign(_encoding(payload)))
    return {
        "payloadType": PAYLOAD,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [{"keyid": keys.signer, "sig": signature}],
    }


def open_sealed(text: str, keys: Keyring) -> tuple[dict[str, Any], str]:
    """Return the statement of an envelope, and the id of the key that signed it.

    Raises:
        Refused: It is not such an envelope, or none of the keys has signed it.
    """
    try:
        envelope = json.loads(text)
        payload = base64.b64decode(envelope["payload"], validate=True)
        kind = envelope["payloadType"]
        signatures = [str(one["sig"]).replace("+", "-").replace("/", "_").rstrip("=") for one in envelope["signatures"]]
    except (ValueError, KeyError, TypeError, RecursionError, binascii.Error):
        msg = "this is not a signed attestation: an envelope with payload, payloadType and signatures"
        raise Refused(msg) from None
    signer = next(filter(None, (keys.signer_of(signature, _encoding(payload)) for signature in signatures)), None)
    if kind != PAYLOAD or signer is None:
        msg = "the attestation does not hold: it was changed, or none of the known keys has signed it"
        raise Refused(msg)
    statement = json.loads(payload)
    if not isinstance(statement, dict) or (statement.get("_type"), statement.get("predicateType")) != (
        STATEMENT,
        PREDICATE,
    ):
        msg = f"this is signed, but is not a statement about a rollout ({PREDICATE})"
        raise Refused(msg)
    return statement, signer


def _encoding(payload: bytes) -> bytes:
    """What DSSE signs: the type and the payload, each with its length."""
    kind = PAYLOAD.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def _standard(signature: str) -> str:
    """A signature in base64 with padding, as DSSE wants it."""
    text = signature.replace("-", "+").replace("_", "/")
    return text + "=" * (-len(text) % 4)
