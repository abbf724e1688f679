"""An answer as the approvals page signs it: bound to its question, to what was shown, and to who has signed in.

Whoever reaches Prefect's API can send any answer; none but the page can sign one.
"""

import base64
import binascii
import hashlib
from datetime import datetime

from saferollout.approvals.keys import Keyring
from saferollout.approvals.person import Person
from saferollout.domain.endpoint import Choice, Value

PAGE_URL = "SAFEROLLOUT_PAGE_URL"
"""Where people find the approvals page."""
MAX_LENGTH = 16_000
"""Of a signed answer."""
_CONTEXT = b"saferollout answer 1\n"
UNKNOWN = "it was not given at the approvals page: no known page key has signed it"
OTHER = "the approvals page has signed another answer: not this {}"


class SignedAnswer(Value):
    """What was answered, to what, and by whom."""

    flow_run: str
    question: str
    """What Prefect keeps the answer under; no other question of the run has the same."""
    evidence: str
    """The question's digest."""
    evidence_text: str
    """The digest of all that the page showed: see `digest_of`."""
    decision: Choice
    approver: str
    comment: str
    person: Person
    at: datetime


def digest_of(text: str) -> str:
    """SHA-256 of a question's markdown, in hex."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def seal(answer: SignedAnswer, keys: Keyring) -> str:
    """The answer with its signature, as one word."""
    payload = answer.model_dump_json().encode()
    return f"{base64.urlsafe_b64encode(payload).decode()}.{keys.sign(_CONTEXT + payload)}"


def open_sealed(word: str, keys: Keyring) -> SignedAnswer | None:
    """The answer that one of the keys has signed; None if none did."""
    text, _, signature = word.partition(".")
    try:
        payload = base64.b64decode(text, altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        return None
    return SignedAnswer.model_validate_json(payload) if keys.has_signed(signature, _CONTEXT + payload) else None


def difference(signed: SignedAnswer, expected: dict[str, str]) -> str:
    """Why what was signed is not the answer that was given; empty if it is.

    Args:
        signed: What the page has signed.
        expected: What it must say, by the name of the field.
    """
    other = [name for name, value in expected.items() if getattr(signed, name) != value]
    if signed.person.name != signed.approver:
        other.append("approver")
    return OTHER.format(" ".join(other[0].split("_"))) if other else ""
