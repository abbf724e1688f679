"""Sign-in by OpenID Connect: authorization code, PKCE, state and nonce; and who has signed in so far."""

import secrets
from datetime import datetime, timedelta
from typing import Any

import httpx2
from authlib.integrations.starlette_client import OAuthError
from joserfc.errors import JoseError
from starlette.requests import Request
from starlette.responses import Response

from saferollout.approvals.person import Person
from saferollout.domain.text import one_line
from saferollout.rollout.record import now
from saferollout_cli.page.provider import Provider, failed, unreachable
from saferollout_cli.page.settings import Settings

SESSION_S = 3600
"""How long somebody may look without signing in again."""
PEOPLE = 10_000
"""How many sign-ins are kept; the oldest is forgotten first."""


class SignIn:
    """Who has signed in. It is kept in this process: after a restart people sign in again."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._people: dict[str, tuple[Person, datetime]] = {}
        self._provider = Provider(settings, settings.client_id, settings.client_secret)

    async def begin(self, request: Request, run: str, *, fresh: bool) -> Response:
        """Send the browser to the provider; `fresh` wants a new proof from somebody who is signed in there already."""
        request.session.update({"run": run, "fresh": fresh})
        wanted: dict[str, Any] = {"prompt": "login", "max_age": self._settings.max_age_s} if fresh else {}
        try:
            answered: Response = await self._provider.client.authorize_redirect(
                request, f"{self._settings.url}/signed-in", **wanted
            )
        except (httpx2.HTTPError, ValueError):
            raise unreachable() from None
        return answered

    async def finish(self, request: Request) -> str:
        """Take up who comes back from the provider; return the run that the person wants to see, empty for the list.

        Raises:
            Trouble: The sign-in failed, or proves too little.
        """
        run, fresh = str(request.session.get("run", "")), bool(request.session.get("fresh"))
        if request.query_params.get("iss", self._settings.issuer) != self._settings.issuer:
            raise failed("the answer came from another provider")
        try:
            token = await self._provider.client.authorize_access_token(request, claims_options=self._provider.expected)
            claims = await self._provider.claims(token)
        except (OAuthError, JoseError) as error:
            raise failed(one_line(str(error))) from None
        except (httpx2.HTTPError, ValueError):
            raise unreachable() from None
        person = self._provider.person_of(claims, fresh=fresh)
        self.end(request)
        word = secrets.token_urlsafe(32)
        request.session.update({"person": word, "csrf": secrets.token_urlsafe(32)})
        self._people[word] = (person, now() + timedelta(seconds=SESSION_S))
        while len(self._people) > PEOPLE:
            del self._people[next(iter(self._people))]
        return run

    def person(self, request: Request) -> Person | None:
        """Who has signed in; None if nobody, or too long ago."""
        person, until = self._people.get(str(request.session.get("person", "")), (None, now()))
        return person if until > now() else None

    def is_fresh(self, person: Person) -> bool:
        """Whether the person has proved lately enough who they are."""
        return self._provider.is_fresh(person)

    def end(self, request: Request) -> None:
        """Forget who has signed in, and all else that the browser's session holds."""
        self._people.pop(str(request.session.get("person", "")), None)
        request.session.clear()
