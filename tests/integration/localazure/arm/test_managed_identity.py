"""Tokens for whoever runs in Azure, as azure-identity asks for them with nothing but the variables."""

import httpx
import jwt
import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import DefaultAzureCredential, ManagedIdentityCredential

from localazure.testing import LocalAzure
from tests.support.localazure.arm import Arm

ML = "https://ml.azure.com"


def principal_of(token: str) -> str:
    """Whom it is of."""
    claims = jwt.decode(token, options={"verify_signature": False})
    return f"{claims['oid']} for {claims['aud']}"


def get(arm: Arm, header: dict[str, str], **query: str) -> httpx.Response:
    """Ask for a token by plain HTTP."""
    return httpx.get(arm.environ["IDENTITY_ENDPOINT"], params=query, headers=header, verify=arm.tls)


def test_the_default_credential_needs_no_argument(arm: Arm) -> None:
    """Its tokens are the application's: they may manage."""
    application = arm.environ["AZURE_CLIENT_ID"]
    with DefaultAzureCredential() as credential:
        token, other = (credential.get_token(f"{audience}/.default").token for audience in (arm.url, ML))
    assert (principal_of(token), principal_of(other)) == (f"{application} for {arm.url}", f"{application} for {ML}")
    url = f"{arm.workspace}/onlineEndpoints"
    assert arm.http.get(url, headers={"Authorization": f"Bearer {token}"}).status_code == 200


def test_a_wrong_secret_or_another_identity_gets_no_token(arm: Arm, monkeypatch: pytest.MonkeyPatch) -> None:
    """azure-identity says why."""
    with pytest.raises(ClientAuthenticationError, match="No managed identity has the client id 'other'"):
        ManagedIdentityCredential(client_id="other").get_token(f"{ML}/.default")
    monkeypatch.setenv("IDENTITY_HEADER", "ä.b".encode().decode("latin-1"))
    with pytest.raises(ClientAuthenticationError, match="secret of the identity is missing or wrong"):
        DefaultAzureCredential().get_token(f"{ML}/.default")
    right = {"X-IDENTITY-HEADER": arm.environ["IDENTITY_HEADER"]}
    assert [get(arm, {}, resource=ML).status_code, get(arm, right).status_code] == [401, 400]


def test_compute_of_azure_ml_asks_in_a_way_of_its_own(
    azure: LocalAzure, arm: Arm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`MSI_ENDPOINT` and `MSI_SECRET`, by azure-identity and by the plain HTTP of Azure's examples."""
    for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("MSI_ENDPOINT", azure.environ["IDENTITY_ENDPOINT"])
    monkeypatch.setenv("MSI_SECRET", azure.environ["IDENTITY_HEADER"])
    with ManagedIdentityCredential(client_id=azure.environ["AZURE_CLIENT_ID"]) as credential:
        assert principal_of(credential.get_token(f"{ML}/.default").token).endswith(f"for {ML}")
    found = get(arm, {"secret": azure.environ["IDENTITY_HEADER"], "Metadata": "true"}, resource=ML).json()
    assert (found["token_type"], found["resource"], int(found["expires_on"]) > 0) == ("Bearer", ML, True)
