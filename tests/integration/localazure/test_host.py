"""A local Azure that listens elsewhere than on 127.0.0.1."""

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from localazure.testing import LocalAzure
from tests.support.localazure.arm import Arm, wait_for
from tests.support.localazure.sdk import register

OTHER_LOOPBACK = "127.0.0.2"
_OF_THE_MACHINE = [
    found.address
    for addresses in psutil.net_if_addrs().values()
    for found in addresses
    if found.family == socket.AF_INET and not found.address.startswith("127.")
]


@pytest.mark.parametrize("host", [OTHER_LOOPBACK, *_OF_THE_MACHINE[:1]])
def test_it_is_where_it_should_be(host: str, tmp_path: Path) -> None:
    """By every address that it gives out, and by its certificate; when it is started again elsewhere, all is there."""
    with LocalAzure(tmp_path, "--host", host, timing="instant") as azure, Arm(azure.environ) as arm:
        uri = arm.endpoint("hosted")
        assets = register(azure.environ)
        arm.deploy("hosted", "blue", assets)
        context = (
            f"https://{httpx.URL(arm.url).netloc.decode()}/azureml-blobstore/context/"  # as the SDK puts it together
        )
        arm.call("PUT", "environments/built/versions/1", {"properties": {"build": {"contextUri": context}}})
        code = assets.code.removeprefix(arm.workspace + "/")
        before = arm.get(code)["properties"]["codeUri"]
        assert uri.startswith(f"https://{host}:")
        given = [value for value in azure.environ.values() if value.startswith("https://")]
        assert {httpx.URL(value).host for value in given} == {host}
        assert "127.0.0.1" not in arm.http.get(azure.environ["ARM_CLOUD_METADATA_URL"]).text
        assert arm.score("hosted", {}, "blue", **{"x-request-id": "mine"}).headers["x-request-id"] != "mine"
        by_port = listening(azure)
        assert {by_port.pop(httpx.URL(address).port) for address in (uri, arm.url)} == {host}
        assert set(by_port.values()) == {"127.0.0.1"}  # the instance
        warned = f"whoever reaches {host} reaches this local Azure" in (tmp_path / "stderr.log").read_text()
        assert warned == (host != OTHER_LOOPBACK)
    with LocalAzure(tmp_path, timing="instant") as azure, Arm(azure.environ) as arm:
        wait_for(lambda: arm.score("hosted", {}, "blue").status_code, lambda status: status == 200)
        assert set(listening(azure).values()) == {"127.0.0.1"}
        assert httpx.URL(before).host == host
        after = arm.get(code)["properties"]["codeUri"]
        assert after.startswith(f"{arm.url}/")
        built = arm.get("environments/built/versions/1")["properties"]["build"]["contextUri"]
        assert (built.startswith(f"{arm.url}/"), built.endswith("/azureml-blobstore/context/")) == (True, True)
        for uri in (before, after):  # both mean the files that are there
            assert arm.call("PUT", code, {"properties": {"codeUri": uri}}).status_code == 200
        assert register(azure.environ) == assets
        arm.deploy("hosted", "green", assets, model=2)
        arm.deploy("hosted", "blue", assets, model=2)
        assert [arm.score("hosted", {"x": 1}, name).json()["y"] for name in ("blue", "green")] == [3, 3]


@pytest.mark.parametrize("host", [OTHER_LOOPBACK, *_OF_THE_MACHINE[:1]])
@pytest.mark.parametrize("path", ["/", "/?part=now", "/metrics"])
def test_what_needs_no_token_is_for_loopback(path: str, host: str, azure_at: dict[str, Arm]) -> None:
    """Whoever does not come over it needs the admin API's, whatever a header says; that of the management is none."""
    arm = azure_at[host]
    bare = httpx.get(arm.url + path, verify=arm.tls, headers={"X-Forwarded-For": "127.0.0.1"})
    assert bare.status_code == (200 if host == OTHER_LOOPBACK else 401)
    assert arm.http.get(path).status_code == bare.status_code
    token = arm.environ["LOCALAZURE_ADMIN_TOKEN"]
    assert arm.http.get(path, headers={"Authorization": f"Bearer {token}"}).status_code == 200
    assert httpx.get(arm.url + path, verify=arm.tls, auth=("whoever", token)).status_code == 200
    for wrong in ("", f"{token}1", "ö"):
        assert httpx.get(arm.url + path, verify=arm.tls, auth=("whoever", wrong)).status_code == bare.status_code


@pytest.fixture(scope="module")
def azure_at() -> Iterator[dict[str, Arm]]:
    """A local Azure on each address."""
    with contextlib.ExitStack() as running:
        found = {}
        for host in (OTHER_LOOPBACK, *_OF_THE_MACHINE[:1]):
            azure = running.enter_context(LocalAzure(None, "--host", host, timing="instant"))
            found[host] = running.enter_context(Arm(azure.environ))
        yield found


def listening(azure: LocalAzure) -> dict[int | None, str]:
    """The address by port, of all that local Azure has started."""
    leash = psutil.Process(azure.pid)
    return {
        connection.laddr.port: connection.laddr.ip
        for process in [leash, *leash.children(recursive=True)]
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
