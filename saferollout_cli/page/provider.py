"""The OpenID provider: whether it is the one that is configured, and what it says of a person."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
from authlib.integrations.starlette_client import OAuth

from saferollout.approvals.approvers import NAME_LENGTH
from saferollout.approvals.person import Person
from saferollout.config.approvals import GROUP, ROLE
from saferollout.domain.errors import AzureFailed, ConfigError, Problem, words_of
from saferollout.domain.text import one_line
from saferollout.rollout.record import now
from saferollout_cli.page.settings import ISSUER, NAME_CLAIM, Settings
from saferollout_cli.page.trouble import Trouble

SKEW = timedelta(seconds=60)
"""How far the provider's clock may be ahead."""
TIMEOUT_S = 20.0


class Provider:
    """The provider as one of its clients sees it."""

    def __init__(self, settings: Settings, client_id: str, client_secret: str | None) -> None:
        """`client_secret` is None where the provider trusts the client without one."""
        self.settings = settings
        self.scope = " ".join(dict.fromkeys(["openid", *settings.scope.split()]))
        kwargs: dict[str, Any] = {"scope": self.scope, "code_challenge_method": "S256", "timeout": TIMEOUT_S}
        if client_secret is None:
            kwargs["token_endpoint_auth_method"] = "none"  # noqa: S105  # the name of a way
        self.client: Any = OAuth().register(
            "provider",
            client_id=client_id,
            client_secret=client_secret,
            server_metadata_url=f"{settings.issuer.rstrip('/')}/.well-known/openid-configuration",
            client_kwargs=kwargs,
        )
        self.expected = {
            "iss": {"essential": True, "value": settings.issuer},
            "aud": {"essential": True, "value": client_id},
        }
        """What an ID token must say."""

    async def check(self) -> None:
        """Check that the provider answers as the one that is configured.

        Raises:
            ConfigError: It calls itself something else, or does not speak OpenID Connect.
            AzureFailed: It does not answer.
        """
        issuer = self.settings.issuer
        try:
            metadata = await self.client.load_server_metadata()
        except httpx2.RequestError as error:
            msg = f"the OpenID provider {issuer} does not answer: {one_line(words_of(error))}"
            raise AzureFailed(msg, retryable=True) from None
        except (httpx2.HTTPStatusError, ValueError):
            metadata = {}
        if metadata.get("issuer") != issuer:
            found = metadata.get("issuer")
            problem = f"{issuer} calls itself {found}" if found else f"{issuer} is not an OpenID provider"
            remedy = "write the issuer as the provider's .well-known/openid-configuration does"
            raise ConfigError(Problem("environment", ISSUER, problem, remedy))

    async def claims(self, token: dict[str, Any]) -> dict[str, Any]:
        """What the provider says of the person, its ID token before all else."""
        if not (claims := dict(token.get("userinfo") or {})):
            raise failed("the provider gave no ID token")
        if "userinfo_endpoint" in await self.client.load_server_metadata():
            more = dict(await self.client.userinfo(token=token))
            if more.get("sub") != claims["sub"]:
                raise failed("the provider's userinfo is another person's")
            if claims.get("email", more.get("email")) != more.get("email"):
                more.pop("email_verified", None)  # it is said of another address
            claims = more | claims
        return claims

    def person_of(self, claims: dict[str, Any], *, fresh: bool) -> Person:
        """Whom the claims describe; `fresh` wants a proof that is not too old.

        Raises:
            Trouble: They say too little.
        """
        claim = self.settings.name_claim
        name = claims.get(claim)
        if claim == "email" and claims.get("email_verified") is not True:
            raise failed(f"the provider has not verified your e-mail address; {NAME_CLAIM} can name another claim")
        if not isinstance(name, str) or not one_line(name):
            raise failed(f"the provider says nothing in the claim {claim}, which {NAME_CLAIM} names")
        if len(one_line(name)) > NAME_LENGTH:
            raise failed(f"your name in the claim {claim} is longer than {NAME_LENGTH} characters")
        at = claims.get("auth_time")
        person = Person(
            issuer=self.settings.issuer,
            subject=str(claims["sub"]),
            name=one_line(name),
            full_name=one_line(str(claims.get("name") or "")),
            memberships=(*_listed(claims, "groups", GROUP), *_listed(claims, "roles", ROLE)),
            signed_in_at=datetime.fromtimestamp(at if isinstance(at, int) else 0, UTC),
        )
        if fresh and not self.is_fresh(person):
            why = "it does not say so (claim auth_time)" if "auth_time" not in claims else "that was too long ago"
            raise failed(f"the provider must say when you last proved who you are, and {why}")
        return person

    def is_fresh(self, person: Person) -> bool:
        """Whether the person has proved lately enough who they are."""
        age = now() - person.signed_in_at
        return -SKEW <= age <= timedelta(seconds=self.settings.max_age_s)


def _listed(claims: dict[str, Any], claim: str, prefix: str) -> list[str]:
    given = claims.get(claim) or []
    return [f"{prefix}{one}" for one in ([given] if isinstance(given, str) else given) if isinstance(one, str)]


def failed(why: str) -> Trouble:
    """A sign-in that did not succeed."""
    return Trouble(403, "The sign-in did not succeed", f"{why[:1].upper()}{why[1:]}.", ("Sign in again", "/sign-in"))


def unreachable() -> Trouble:
    """A provider that fails."""
    text = "The sign-in provider does not answer as it should. Try again in a minute."
    return Trouble(502, "Nobody can sign in now", text, ("Sign in again", "/sign-in"))
