"""Files that a new deployment is made of, where the storage does not take them."""

from pathlib import Path

import pytest

from localazure.testing import LocalAzure
from saferollout.azure.client import Client
from saferollout.azure.workspace import Workspace
from saferollout.config.project import resolve_workspace
from saferollout.domain.errors import AzureFailed
from tests.support.localazure.arm import Arm

NAME = "uploads"


@pytest.mark.timeout(120)
def test_a_file_that_is_not_taken_fails_the_creation(
    azure: LocalAzure, arm: Arm, project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """It is reported, and not waited for without end; nothing draws bars."""
    arm.endpoint(NAME)
    (project / "code" / "new.py").write_text("# never uploaded before\n")
    workspace = Workspace(Client(resolve_workspace(None)))
    refused = {"status": 403, "code": "AuthorizationFailure", "method": "PUT", "path": "/storage.blob*/**/new.py"}

    with azure.chaos.answer(**refused) as fault:  # type: ignore[arg-type]  # by their names
        with pytest.raises(AzureFailed, match="could not create deployment green: AuthorizationFailure") as failed:
            workspace.create_deployment(project / "green-deployment.yml", NAME, "green", assets={}, tags={})
        assert fault.hits == 1

    assert failed.value.status == 403
    assert "it/s" not in capfd.readouterr().err
    arm.run("DELETE", f"onlineEndpoints/{NAME}")
