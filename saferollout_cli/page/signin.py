"""Sign-in by OpenID Connect: authorization code, PKCE, state and nonce; and who has signed in so far."""

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
from authlib.integrations.starlette_client import OAuth, OAuthError
from joserfc.errors import JoseError
from starlette.requests import Request
from starlette.responses import Response

from saferollout.approvals.approvers import NAME_LENGTH
from saferollout.approvals.person import Person
from saferollout.config.approvals import GROUP, ROLE
from saferollout.domain.errors import AzureFailed, ConfigError, Problem
from saferollout.domain.text import one_line
from saferollout.rollout.record import now
from saferollout_cli.page.settings import ISSUER, NAME_CLAIM, Settings
from saferollout_cli.page.trouble import Trouble

SESSION_S = 3600
"""How long somebody may look without signing in again."""
PEOPLE = 10_000
"""How many sign-ins are kept; the oldest is forgotten first."""
SKEW = timedelta(seconds=60)
"""How far the provider's clock may be ahead."""
TIMEOUT_S = 20.0


class SignIn:
    """Who has signed in. It is kept in this process: after a restart people sign in again."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._people: dict[str, tuple[Person, datetime]] = {}
        scopes = list(dict.fromkeys(["openid", *settings.scope.split()]))
        self._provider: Any = OAuth().register(
            "provider",
            client_id=settings.client_id,
            client_secret=settings.client_secret,
            server_metadata_url=f"{settings.issuer.rstrip('/')}/.well-known/openid-configuration",
            client_kwargs={"scope": " ".join(scopes), "code_challenge_method": "S256", "timeout": TIMEOUT_S},
        )

    async def check(self) -> None:
        """Check that the provider answers as the one that is configured.

        Raises:
            ConfigError: It calls itself something else, or does not speak OpenID Connect.
            AzureFailed: It does not answer.
        """
        issuer = self._settings.issuer
        try:
            metadata = await self._provider.load_server_metadata()
        except httpx2.RequestError as error:
            msg = f"the OpenID provider {issuer} does not answer: {one_line(str(error)) or type(error).__name__}"
            raise AzureFailed(msg, retryable=True) from None
        except (httpx2.HTTPStatusError, ValueError):
            metadata = {}
        if metadata.get("issuer") != issuer:
            found = metadata.get("issuer")
            problem = f"{issuer} calls itself {found}" if found else f"{issuer} is not an OpenID provider"
            remedy = "write the issuer as the provider's .well-known/openid-configuration does"
            raise ConfigError(Problem("environment", ISSUER, problem, remedy))

    async def begin(self, request: Request, run: str, *, fresh: bool) -> Response:
        """Send the browser to the provider; `fresh` wants a new proof from somebody who is signed in there already."""
        request.session.update({"run": run, "fresh": fresh})
        wanted: dict[str, Any] = {"prompt": "login", "max_age": self._settings.max_age_s} if fresh else {}
        try:
            answered: Response = await self._provider.authorize_redirect(
                request, f"{self._settings.url}/signed-in", **wanted
            )
        except (httpx2.HTTPError, ValueError):
            raise _unreachable() from None
        return answered

    async def finish(self, request: Request) -> str:
        """Take up who comes back from the provider; return the run that the person wants to see, empty for the list.

        Raises:
            Trouble: The sign-in failed, or proves too little.
        """
        run, fresh = str(request.session.get("run", "")), bool(request.session.get("fresh"))
        if request.query_params.get("iss", self._settings.issuer) != self._settings.issuer:
            raise _failed("the answer came from another provider")
        try:
            token = await self._provider.authorize_access_token(request)
            claims = await self._claims(token)
        except (OAuthError, JoseError) as error:
            raise _failed(one_line(str(error))) from None
        except (httpx2.HTTPError, ValueError):
            raise _unreachable() from None
        person = self._person_of(claims)
        if fresh and not self.is_fresh(person):
            why = "it does not say so (claim auth_time)" if "auth_time" not in claims else "that was too long ago"
            raise _failed(f"the provider must say when you last proved who you are, and {why}")
        self.end(request)
        word = secrets.token_urlsafe(32)
        request.session.update({"person": word, "csrf": secrets.token_urlsafe(32)})
        self._people[word] = (person, now() + timedelta(seconds=SESSION_S))
        while len(self._people) > PEOPLE:
            del self._people[next(iter(self._people))]
        return run

    async def _claims(self, token: dict[str, Any]) -> dict[str, Any]:
        """What the provider says of the person, its ID token before all else."""
        if not (claims := dict(token.get("userinfo") or {})):
            raise _failed("the provider gave no ID token")
        if "userinfo_endpoint" in await self._provider.load_server_metadata():
            more = dict(await self._provider.userinfo(token=token))
            if more.get("sub") != claims["sub"]:
                raise _failed("the provider's userinfo is another person's")
            if claims.get("email", more.get("email")) != more.get("email"):
                more.pop("email_verified", None)  # it is said of another address
            claims = more | claims
        return claims

    def _person_of(self, claims: dict[str, Any]) -> Person:
        claim = self._settings.name_claim
        name = claims.get(claim)
        if claim == "email" and claims.get("email_verified") is not True:
            raise _failed(f"the provider has not verified your e-mail address; {NAME_CLAIM} can name another claim")
        if not isinstance(name, str) or not one_line(name):
            raise _failed(f"the provider says nothing in the claim {claim}, which {NAME_CLAIM} names")
        if len(one_line(name)) > NAME_LENGTH:
            raise _failed(f"your name in the claim {claim} is longer than {NAME_LENGTH} characters")
        at = claims.get("auth_time")
        return Person(
            issuer=self._settings.issuer,
            subject=str(claims["sub"]),
            name=one_line(name),
            full_name=one_line(str(claims.get("name") or "")),
            memberships=(*_listed(claims, "groups", GROUP), *_listed(claims, "roles", ROLE)),
            signed_in_at=datetime.fromtimestamp(at if isinstance(at, int) else 0, UTC),
        )

    def person(self, request: Request) -> Person | None:
        """Who has signed in; None if nobody, or too long ago."""
        person, until = self._people.get(str(request.session.get("person", "")), (None, now()))
        return person if until > now() else None

    def is_fresh(self, person: Person) -> bool:
        """Whether the person has proved lately enough who they are."""
        age = now() - person.signed_in_at
        return -SKEW <= age <= timedelta(seconds=self._settings.max_age_s)

    def end(self, request: Request) -> None:
        """Forget who has signed in, and all else that the browser's session holds."""
        self._people.pop(str(request.session.get("person", "")), None)
        request.session.clear()


def _listed(claims: dict[str, Any], claim: str, prefix: str) -> list[str]:
    given = claims.get(claim) or []
    return [f"{prefix}{one}" for one in ([given] if isinstance(given, str) else given) if isinstance(one, str)]


def _failed(why: str) -> Trouble:
    return Trouble(403, "The sign-in did not succeed", f"{why[:1].upper()}{why[1:]}.", ("Sign in again", "/sign-in"))


def _unreachable() -> Trouble:
    text = "The sign-in provider does not answer as it should. Try again in a minute."
    return Trouble(502, "Nobody can sign in now", text, ("Sign in again", "/sign-in"))
