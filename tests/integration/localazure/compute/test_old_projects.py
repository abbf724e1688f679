"""A project of some years ago: another Python, old pins, and a script that asks for a token of its identity."""

from azure.ai.ml import MLClient
from azure.ai.ml.entities import (
    CodeConfiguration,
    Environment,
    ManagedOnlineDeployment,
    ManagedOnlineEndpoint,
    Model,
)

from tests.support.localazure.arm import Arm
from tests.support.localazure.sdk import SUPPORT

CONDA = {"dependencies": ["python=3.10", "scikit-learn=1.2.2", {"pip": ["azure-identity"]}]}
HELD = "numpy<2 is installed, because this was built before numpy 2: scikit-learn 1.2.2."


def test_an_old_project_serves(client: MLClient, arm: Arm) -> None:
    """On the Python that it names, with a numpy that suits its pins, and with tokens of its endpoint's identity.

    What was done for the pins is in the log, and in the message of a failure.
    """
    client.online_endpoints.begin_create_or_update(ManagedOnlineEndpoint(name="old", auth_mode="key")).result()
    client.online_deployments.begin_create_or_update(
        ManagedOnlineDeployment(
            name="blue",
            endpoint_name="old",
            model=Model(name="old", version="1", path=SUPPORT / "project/models/v1"),
            code_configuration=CodeConfiguration(code=str(SUPPORT / "old"), scoring_script="score.py"),
            environment=Environment(name="old", version="1", image="local/none", conda_file=CONDA),
            instance_type="Standard_DS3_v2",
            instance_count=1,
        )
    ).result()
    answer = arm.score("old", {}, "blue").json()
    assert (answer["python"], answer["sklearn"], answer["y"]) == ("3.10", "1.2.2", [5])
    assert answer["numpy"].startswith("1.")
    principal = arm.get("onlineEndpoints/old")["identity"]["principalId"]
    assert answer["identities"] == [[principal, "https://storage.azure.com"]] * 3
    logs = arm.call("POST", "onlineEndpoints/old/deployments/blue/getLogs", {"tail": 1000}).json()["content"]
    assert HELD in logs

    body = arm.get("onlineEndpoints/old/deployments/blue")
    body["properties"]["environmentVariables"] = {"BREAK_INIT": "1"}
    failed = arm.run("PUT", "onlineEndpoints/old/deployments/blue", body)["error"]
    assert (failed["code"], failed["message"].endswith(f" {HELD}")) == ("ResourceNotReady", True), failed
    arm.run("DELETE", "onlineEndpoints/old")
