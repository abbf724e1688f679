"""Managed identities other than the application's, such as those of deployments."""

import httpx
import pytest
from starlette.routing import Route

from localazure.arm.app import build
from localazure.arm.identity import Identity, new_key
from localazure.arm.ids import Scope
from localazure.arm.managed_identity import PATH, ManagedIdentity

IDENTITY = Identity("https://local", "tenant", "application", "secret", new_key())
MANAGED = ManagedIdentity(IDENTITY, b"key")


@pytest.fixture
def http() -> httpx.AsyncClient:
    """A client of an application that gives tokens and has a resource."""
    scope = Scope("subscription", "local", "local")

    async def one(*_: object) -> httpx.Response:
        raise AssertionError("nobody without a role gets here")

    routes = [Route("/subscriptions/{subscription}", one, methods=["GET"])]
    app = build(scope, IDENTITY, "local", MANAGED.routes(), routes)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://local")


async def test_another_principal_gets_its_own_tokens_which_may_not_manage(http: httpx.AsyncClient) -> None:
    """403, in ARM's words; the secret of one is good for no other."""
    header = {"secret": MANAGED.header("principal.1")}
    answer = await http.get(PATH, params={"resource": "r", "clientid": "mine"}, headers=header)
    assert answer.json()["client_id"] == "mine"
    token = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    refused = await http.get("/subscriptions/subscription?api-version=2022-12-01", headers=token)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "AuthorizationFailed")
    assert "The client 'principal.1' with object id 'principal.1' does not have authorization" in refused.text
    forged = {"secret": MANAGED.header("principal.1").replace("principal.1", "application")}
    assert (await http.get(PATH, params={"resource": "r"}, headers=forged)).status_code == 401
