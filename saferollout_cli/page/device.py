"""Sign-in with another device (RFC 8628): who answers on a command line proves who they are in a browser anywhere.

The page is the provider's client here, too: neither its secret nor a token of the person leaves it.
"""

import asyncio
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import httpx2
from authlib.integrations.starlette_client import OAuthError
from joserfc.errors import JoseError

from saferollout.approvals.person import Person
from saferollout.domain.text import one_line
from saferollout_cli.page.provider import Provider, failed, unreachable
from saferollout_cli.page.settings import DEVICE_CLIENT_ID, Settings
from saferollout_cli.page.trouble import Trouble

GRANT = "urn:ietf:params:oauth:grant-type:device_code"
INTERVAL_S = 5.0
"""How often a provider that does not say it is asked, and by how much longer its *slow down* makes that: RFC 8628."""
LIVES_S = 900.0
"""How long a sign-in may take at most, whatever the provider says."""
MANY = 100
"""How many sign-ins may be under way at once: anybody can begin one who knows what is asked."""


@dataclass
class Pending:
    """A sign-in that has begun, and the answer that it is for."""

    run: UUID
    form: Mapping[str, str]
    code: str
    """The device code, which the provider takes once."""
    nonce: str
    interval_s: float
    ends: float
    """On the monotonic clock, as `next_at`."""
    next_at: float
    person: Person | None = None
    """Who has signed in: the provider says it once, and what follows may have to be tried again."""
    done: dict[str, Any] | None = None
    """What came of it, for whoever asks again since the reply got lost."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class DeviceSignIn:
    """The sign-ins under way. They are kept in this process."""

    def __init__(self, settings: Settings) -> None:
        self._max_age_s = settings.max_age_s
        self._pending: dict[str, Pending] = {}
        self.provider: Provider | None = None
        """None where nobody may answer by command."""
        if settings.device_client_id:
            is_own = settings.device_client_id == settings.client_id
            self.provider = Provider(settings, settings.device_client_id, settings.client_secret if is_own else None)

    def check(self) -> None:
        """Check that people may answer by command at all.

        Raises:
            Trouble: They may not.
        """
        self._known()

    async def begin(self, run: UUID, form: Mapping[str, str]) -> dict[str, Any]:
        """Let the provider make a code for a person to enter; return what the command line shows and asks with."""
        provider = self._known()
        self._forget()
        if len(self._pending) >= MANY:
            raise Trouble(503, "Too many people sign in now", "Try again in some minutes.")
        nonce = secrets.token_urlsafe(16)
        said = await self._request(
            provider, {"nonce": nonce, "max_age": str(self._max_age_s), "prompt": "login", "scope": provider.scope}
        )
        interval_s = _seconds(said.get("interval"), INTERVAL_S)
        lives_s = min(LIVES_S, _seconds(said.get("expires_in"), LIVES_S))
        at = time.monotonic()
        word = secrets.token_urlsafe(32)
        self._pending[word] = Pending(
            run, form, str(said["device_code"]), nonce, interval_s, at + lives_s, at + interval_s
        )
        return {
            "sign_in": word,
            "address": str(said["verification_uri"]),
            "code": str(said["user_code"]),
            "interval_s": interval_s,
            "lives_s": lives_s,
        }

    def find(self, word: str) -> Pending:
        """The sign-in that was begun under this word.

        Raises:
            Trouble: There is none, or its time is over.
        """
        self._forget()
        if (found := self._pending.get(word)) is None:
            raise Trouble(410, "The time to sign in is over", "Nothing was answered. Begin again.")
        return found

    def forget(self, pending: Pending) -> None:
        """Let nobody go on with it."""
        self._pending = {word: one for word, one in self._pending.items() if one is not pending}

    async def look(self, pending: Pending) -> Person | None:
        """Who has signed in lately; None while nobody has: then `interval_s` says when to ask again.

        Raises:
            Trouble: The sign-in failed, or proves too little.
        """
        provider, at = self._known(), time.monotonic()
        if pending.person and not provider.is_fresh(pending.person):
            raise failed("you have signed in too long ago; nothing was answered")
        if pending.person or at < pending.next_at:
            return pending.person
        pending.next_at = at + pending.interval_s
        try:
            token = await provider.client.fetch_access_token(grant_type=GRANT, device_code=pending.code)
            # a provider need not repeat the nonce here; whatever it repeats must be this one
            token["userinfo"] = await provider.client.parse_id_token(token, None, provider.expected)
            claims = await provider.claims(token)
        except OAuthError as error:
            return self._wait(pending, error)
        except JoseError as error:
            raise failed(one_line(str(error))) from None
        except (httpx2.HTTPError, ValueError):
            raise unreachable() from None
        if token["userinfo"].get("nonce", pending.nonce) != pending.nonce:
            raise failed("the provider's answer is one to another sign-in")
        pending.person = provider.person_of(claims, fresh=True)
        return pending.person

    @staticmethod
    def _wait(pending: Pending, error: OAuthError) -> None:
        """Take up what the provider says instead of a token."""
        match error.error:
            case "authorization_pending":
                return
            case "slow_down":
                pending.interval_s += INTERVAL_S
                pending.next_at += INTERVAL_S
            case "access_denied":
                raise failed("it was refused at the provider; nothing was answered")
            case "expired_token":
                raise Trouble(410, "The time to sign in is over", "Nothing was answered. Begin again.")
            case _:
                raise failed(one_line(str(error)))

    async def _request(self, provider: Provider, wanted: dict[str, str]) -> dict[str, Any]:
        client = provider.client
        try:
            metadata = await client.load_server_metadata()
            if not (url := metadata.get("device_authorization_endpoint")):
                raise Trouble(501, "Not with this provider", "It has no sign-in with another device.")
            auth = (client.client_id, client.client_secret) if client.client_secret else None
            answered = await client.post(
                url, withhold_token=True, auth=auth, data=wanted | {"client_id": client.client_id}
            )
            said = answered.json()
        except (httpx2.HTTPError, ValueError):
            raise unreachable() from None
        if not isinstance(said, dict) or not {"device_code", "user_code", "verification_uri"} <= said.keys():
            why = one_line(str(said.get("error") if isinstance(said, dict) else answered.status_code))
            raise failed(f"the provider lets nobody sign in with another device: {why}")
        return said

    def _known(self) -> Provider:
        if self.provider is None:
            text = f"Whoever runs this page can allow it with {DEVICE_CLIENT_ID}; answer in a browser."
            raise Trouble(501, "Nobody can answer by command here", text)
        return self.provider

    def _forget(self) -> None:
        """Drop sign-ins that can no longer be finished."""
        at = time.monotonic()
        self._pending = {word: one for word, one in self._pending.items() if one.ends > at}


def _seconds(said: object, default: float) -> float:
    return float(said) if isinstance(said, int | float) and said > 0 else default
