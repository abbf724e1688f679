"""What nobody gets in by, and what nobody else on the machine can read."""

import socket
import ssl
import stat
import urllib.parse

import httpx
import pytest

from localazure.testing import LocalAzure
from tests.support.localazure.arm import Arm, Assets

BODY = {"location": "local", "properties": {"authMode": "Key"}}


def test_secrets_are_random(azure: LocalAzure, arm: Arm) -> None:
    """Those of two local Azures and of two endpoints differ, and are too long to be guessed."""
    arm.endpoint("random-one")
    arm.endpoint("random-two")
    keys = [arm.call("POST", f"onlineEndpoints/{name}/listKeys").json() for name in ("random-one", "random-two")]
    with LocalAzure() as other:
        secrets = [running.environ[name] for running in (azure, other) for name in _SECRETS]
    found = [*secrets, *(key for pair in keys for key in (pair["primaryKey"], pair["secondaryKey"]))]
    assert len(set(found)) == len(found) == 8
    assert min(map(len, found)) >= 40


_SECRETS = ("AZURE_CLIENT_SECRET", "LOCALAZURE_ADMIN_TOKEN")


def test_nobody_else_reads_the_state(azure: LocalAzure, arm: Arm, assets: Assets) -> None:
    """Keys, models, requests and logs: every file and folder is its owner's alone."""
    arm.endpoint("private")
    arm.deploy("private", "blue", assets)
    arm.score("private", {}, "blue")
    open_to_others = [
        str(path.relative_to(azure.state_dir))
        for path in azure.state_dir.rglob("*")
        if path.name != "stderr.log"  # the test's own
        and "azure-cli" not in path.parent.parts  # another program's, in a folder that is its owner's alone
        and not path.is_symlink()
        and not path.is_socket()
        and stat.S_IMODE(path.stat().st_mode) & 0o077
    ]
    assert open_to_others == []
    assert stat.S_IMODE(azure.state_dir.stat().st_mode) == 0o700
    arm.run("DELETE", "onlineEndpoints/private")


@pytest.mark.parametrize("name", ["..", ".", "-rf", "a b", "a\0b", "ä"])
def test_an_asset_s_name_is_no_path(name: str, arm: Arm) -> None:
    """It becomes the name of a folder."""
    quoted = urllib.parse.quote(name, safe="").replace(".", "%2E")
    for kind in ("models", "codes"):
        for path in (f"{kind}/{quoted}/versions/1", f"{kind}/fine/versions/{quoted}"):
            assert arm.call("PUT", path, {"properties": {}}).status_code == 400, path
            assert arm.call("POST", f"{path}/startPendingUpload", {}).status_code == 400, path


@pytest.mark.parametrize("name", ["../escape", "..%2F..%2Fescape", "a/b", "%2Ftmp"])
def test_an_endpoint_s_name_is_no_path(name: str, arm: Arm) -> None:
    """Nor a deployment's: they become names of folders, too."""
    for path in (f"onlineEndpoints/{name}", f"onlineEndpoints/private/deployments/{name}"):
        assert arm.call("PUT", path, BODY).status_code in (400, 404, 501), path


def test_two_assets_never_share_their_uploads(arm: Arm) -> None:
    """However alike name and version look together."""
    uris = {
        arm.call("POST", f"codes/{path}/startPendingUpload", {}).json()["blobReferenceForConsumption"]["blobUri"]
        for path in ("a-b/versions/1", "a/versions/b-1", "a_b/versions/1", f"{'x' * 80}/versions/1")
    }
    assert len(uris) == 4


def test_bodies_are_bounded(arm: Arm) -> None:
    """With and without a token, in length and in depth."""
    token = f"{arm.url}/{arm.environ['AZURE_TENANT_ID']}/oauth2/v2.0/token"
    assert httpx.post(token, content=b"a=" + b"b" * 100_000, verify=arm.tls).status_code == 413
    url = f"{arm.workspace}/onlineEndpoints/deep"
    assert arm.http.put(url, content=b'{"a":' * 200_000 + b"1" + b"}" * 200_000).status_code == 400
    admin = arm.environ["LOCALAZURE_ADMIN_URL"] + "/faults"
    headers = {"Authorization": f"Bearer {arm.environ['LOCALAZURE_ADMIN_TOKEN']}"}
    assert httpx.post(admin, content=b" " * 5_000_000, headers=headers, verify=arm.tls).status_code == 413


def test_a_blob_that_is_too_large_is_refused_before_it_is_sent(arm: Arm) -> None:
    """By the length that it says it has; a block list, when it has become too long."""
    answer = arm.call("POST", "codes/large/versions/1/startPendingUpload", {}).json()
    uri = urllib.parse.urlsplit(answer["blobReferenceForConsumption"]["credential"]["sasUri"])
    request = f"PUT {uri.path}/x?{uri.query} HTTP/1.1\r\nHost: {uri.netloc}\r\nContent-Length: {6 * 1024**3}\r\n\r\n"
    plain = socket.create_connection((uri.hostname, uri.port), timeout=10)
    with arm.tls.wrap_socket(plain, server_hostname=uri.hostname) as secure:
        secure.sendall(request.encode())
        assert secure.recv(100).startswith(b"HTTP/1.1 413 ")
    blocks = f"{arm.url}{uri.path}/x?{uri.query}&comp=blocklist"
    assert arm.scoring.put(blocks, content=b"<BlockList>" + b" " * 9_000_000).status_code == 413


def test_plain_http_and_other_names_get_nothing(azure: LocalAzure) -> None:
    """TLS alone is spoken, and the certificate is for loopback alone."""
    port = int(azure.environ["AZURE_AUTHORITY_HOST"].rpartition(":")[2])
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"http://127.0.0.1:{port}/")
    tls = ssl.create_default_context(cafile=azure.environ["SSL_CERT_FILE"])
    with socket.create_connection(("127.0.0.1", port)) as plain, pytest.raises(ssl.SSLCertVerificationError):
        tls.wrap_socket(plain, server_hostname="management.azure.com")
