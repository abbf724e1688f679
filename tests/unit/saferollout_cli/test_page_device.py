"""What the approvals page believes of a sign-in with another device, whatever a provider says."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl
from uuid import uuid4

import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from saferollout.approvals.keys import PAGE_KEY
from saferollout_cli.page.device import DeviceSignIn, Pending
from saferollout_cli.page.settings import Settings
from saferollout_cli.page.trouble import Trouble
from tests.support.signing import make_pem

ISSUER, CLIENT = "https://id.example.org", "commands"
ENVIRONMENT = {
    "SAFEROLLOUT_OIDC_ISSUER": ISSUER,
    "SAFEROLLOUT_OIDC_CLIENT_ID": "page",
    "SAFEROLLOUT_OIDC_CLIENT_SECRET": "the page's secret",
    "SAFEROLLOUT_OIDC_DEVICE_CLIENT_ID": CLIENT,
    "SAFEROLLOUT_PAGE_APPROVERS": "*",
}
KEY, OTHER_KEY = (RSAKey.generate_key(2048, {"kid": "1", "alg": "RS256", "use": "sig"}) for _ in range(2))


class FakeProvider:
    """Says of a person what a test wants: a real one would not say what is wrong."""

    def __init__(self) -> None:
        self.claims: dict[str, Any] = {}
        self.key = KEY
        self.errors: list[str] = []
        """What it answers before it gives a token."""
        self.nonce = ""
        self.asked: list[dict[str, str]] = []

    async def metadata(self, _: Request) -> JSONResponse:
        """Where its endpoints are."""
        return JSONResponse(
            {
                "issuer": ISSUER,
                "jwks_uri": f"{ISSUER}/keys",
                "token_endpoint": f"{ISSUER}/token",
                "device_authorization_endpoint": f"{ISSUER}/device",
            }
        )

    async def keys(self, _: Request) -> JSONResponse:
        """Its public key."""
        return JSONResponse({"keys": [KEY.as_dict(private=False)]})

    async def device(self, request: Request) -> JSONResponse:
        """Begin a sign-in."""
        fields = dict(parse_qsl((await request.body()).decode()))
        self.nonce = fields["nonce"]
        self.asked.append(fields | {"authorization": request.headers.get("authorization", "")})
        return JSONResponse(
            {"device_code": "d", "user_code": "ABCD", "verification_uri": f"{ISSUER}/device", "interval": 1}
        )

    async def token(self, request: Request) -> JSONResponse:
        """Give the person's token."""
        self.asked.append(dict(parse_qsl((await request.body()).decode())))
        if self.errors:
            return JSONResponse({"error": self.errors.pop(0)}, 400)
        now = int(time.time())
        said = {"iss": ISSUER, "aud": CLIENT, "sub": "1", "iat": now, "exp": now + 60, "auth_time": now}
        said |= {"email": "ann@example.org", "email_verified": True} | self.claims
        claims = {name: value for name, value in said.items() if value is not None}
        signed = jwt.encode({"alg": "RS256", "kid": "1"}, claims, self.key)
        return JSONResponse({"access_token": "a", "token_type": "Bearer", "id_token": signed})


@pytest.fixture
def provider() -> FakeProvider:
    """A provider that says what is right."""
    return FakeProvider()


@pytest.fixture
def sign_in(provider: FakeProvider) -> DeviceSignIn:
    """The page's side."""
    made = DeviceSignIn(Settings.read(ENVIRONMENT | {PAGE_KEY: make_pem()}, "http://127.0.0.1:8100"))
    app = Starlette(
        routes=[
            Route("/.well-known/openid-configuration", provider.metadata),
            Route("/keys", provider.keys),
            Route("/device", provider.device, methods=["POST"]),
            Route("/token", provider.token, methods=["POST"]),
        ]
    )
    assert made.provider is not None
    made.provider.client.client_kwargs["transport"] = httpx2.ASGITransport(app)
    return made


async def begun(sign_in: DeviceSignIn) -> Pending:
    """A sign-in that the provider is to be asked about now."""
    said = await sign_in.begin(uuid4(), {})
    pending = sign_in.find(said["sign_in"])
    pending.next_at = 0
    return pending


async def test_a_client_without_a_secret_signs_people_in(sign_in: DeviceSignIn, provider: FakeProvider) -> None:
    """Only the page's own client has the page's secret; a new proof is asked for, which binds the sign-in."""
    person = await sign_in.look(await begun(sign_in))
    assert person is not None
    assert (person.issuer, person.subject, person.name) == (ISSUER, "1", "ann@example.org")
    device, token = provider.asked
    assert (device["client_id"], device["authorization"], device["prompt"]) == (CLIENT, "", "login")
    assert (device["max_age"], len(device["nonce"]) > 16) == ("300", True)
    assert (token["client_id"], token["device_code"]) == (CLIENT, "d")


WRONG: dict[str, tuple[Callable[[FakeProvider], dict[str, Any]], str]] = {
    "another audience": (lambda _: {"aud": "page"}, "aud"),
    "for another, by our leave": (lambda _: {"aud": "other", "azp": CLIENT}, "aud"),
    "another issuer": (lambda _: {"iss": "https://evil.example"}, "iss"),
    "expired": (lambda _: {"exp": int(time.time()) - 1000}, "expired"),
    "another sign-in's": (lambda provider: {"nonce": f"{provider.nonce}x"}, "another sign-in"),
    "an old proof": (lambda _: {"auth_time": int(time.time()) - 400}, "too long ago"),
    "a proof to come": (lambda _: {"auth_time": int(time.time()) + 400}, "too long ago"),
    "no proof": (lambda _: {"auth_time": None}, "claim auth_time"),
    "an address that nobody has verified": (lambda _: {"email_verified": None}, "not verified"),
}


@pytest.mark.parametrize("wrong", WRONG)
async def test_what_proves_too_little_is_refused(sign_in: DeviceSignIn, provider: FakeProvider, wrong: str) -> None:
    """Each claim of the ID token counts."""
    pending = await begun(sign_in)
    provider.claims, said = WRONG[wrong][0](provider), WRONG[wrong][1]
    with pytest.raises(Trouble) as refused:
        await sign_in.look(pending)
    assert said in refused.value.text


async def test_a_token_that_somebody_else_has_signed_is_refused(sign_in: DeviceSignIn, provider: FakeProvider) -> None:
    """The provider's published key decides."""
    provider.key = OTHER_KEY
    with pytest.raises(Trouble, match="did not succeed"):
        await sign_in.look(await begun(sign_in))


async def test_the_nonce_may_come_back(sign_in: DeviceSignIn, provider: FakeProvider) -> None:
    """Some providers repeat it."""
    pending = await begun(sign_in)
    provider.claims = {"nonce": provider.nonce}
    assert await sign_in.look(pending) is not None


async def test_what_fails_after_a_sign_in_is_tried_again(
    sign_in: DeviceSignIn, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The provider gives its token once: the person is remembered, as long as the proof is fresh."""
    pending = await begun(sign_in)
    person = await sign_in.look(pending)
    asked = len(provider.asked)
    assert person is not None
    assert await sign_in.look(pending) == person
    assert len(provider.asked) == asked
    monkeypatch.setattr("saferollout_cli.page.provider.now", lambda: person.signed_in_at + timedelta(seconds=301))
    with pytest.raises(Trouble) as refused:
        await sign_in.look(pending)
    assert "too long ago" in refused.value.text


async def test_the_provider_is_asked_at_its_own_pace(sign_in: DeviceSignIn, provider: FakeProvider) -> None:
    """Not before its interval is over, and five seconds less often after each *slow down*."""
    pending = await begun(sign_in)
    provider.errors = ["authorization_pending", "slow_down", "slow_down"]
    assert await sign_in.look(pending) is None
    for waits_s in (6, 11):
        pending.next_at = 0
        looked_at = time.monotonic()
        assert await sign_in.look(pending) is None
        assert pending.interval_s == waits_s
        assert pending.next_at >= looked_at + waits_s
        asked = len(provider.asked)
        assert await sign_in.look(pending) is None
        assert len(provider.asked) == asked


@pytest.mark.parametrize(("error", "status"), [("access_denied", 403), ("expired_token", 410), ("invalid_grant", 403)])
async def test_a_sign_in_ends(sign_in: DeviceSignIn, provider: FakeProvider, error: str, status: int) -> None:
    """Refused, too late, or used already."""
    provider.errors = [error]
    with pytest.raises(Trouble) as ended:
        await sign_in.look(await begun(sign_in))
    assert ended.value.status == status


async def test_sign_ins_under_way_are_bounded(sign_in: DeviceSignIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever begins many keeps nobody else's from ending."""
    first = await begun(sign_in)
    monkeypatch.setattr("saferollout_cli.page.device.MANY", 2)
    await begun(sign_in)
    with pytest.raises(Trouble, match="Too many people"):
        await sign_in.begin(uuid4(), {})
    assert await sign_in.look(first) is not None
    sign_in.forget(first)
    await sign_in.begin(uuid4(), {})
