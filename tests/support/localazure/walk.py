"""Microsoft's safe rollout of an online endpoint, as a plain azure-ai-ml script: nothing in it knows local Azure.

`python walk.py PROJECT REQUEST`, with the address and the credentials of Azure in the environment.
"""

import json
import os
import sys
from pathlib import Path

import httpx
from azure.ai.ml import MLClient, load_online_deployment, load_online_endpoint
from azure.core.exceptions import ResourceNotFoundError
from azure.identity import DefaultAzureCredential


def main(project: Path, request: Path) -> None:
    """Walk through the steps of the rollout, and print what each has led to."""
    client = MLClient(
        DefaultAzureCredential(),
        os.environ["AZURE_SUBSCRIPTION_ID"],
        os.environ["AZURE_RESOURCE_GROUP"],
        os.environ["AZUREML_WORKSPACE_NAME"],
    )

    # 1 create the endpoint
    endpoint = client.online_endpoints.begin_create_or_update(load_online_endpoint(project / "endpoint.yml")).result()
    name = endpoint.name
    print("1 endpoint", endpoint.provisioning_state)

    # 2 create blue, with all traffic
    blue = client.online_deployments.begin_create_or_update(
        load_online_deployment(project / "blue-deployment.yml")
    ).result()
    endpoint.traffic = {"blue": 100}
    client.online_endpoints.begin_create_or_update(endpoint).result()
    print("2 blue", blue.provisioning_state, client.online_endpoints.invoke(name, request_file=request))

    # 3 confirm that both exist
    print("3 exist", client.online_endpoints.get(name).name, client.online_deployments.get("blue", name).name)

    # 4 scale blue
    blue = client.online_deployments.get("blue", name)
    blue.instance_count = 2
    blue = client.online_deployments.begin_create_or_update(blue).result()
    print("4 blue has", blue.instance_count)

    # 5 create green
    client.online_deployments.begin_create_or_update(load_online_deployment(project / "green-deployment.yml")).result()
    print("5 green", client.online_deployments.get("green", name).provisioning_state)

    # 6 green has no traffic
    endpoint = client.online_endpoints.get(name)
    print("6 traffic", json.dumps(endpoint.traffic, sort_keys=True))

    # 7 invoke green directly, by HTTP and by name (`invoke` then goes on pinning: a trap of the SDK)
    key = client.online_endpoints.get_keys(name).primary_key
    headers = {"Authorization": f"Bearer {key}", "azureml-model-deployment": "green"}
    answer = httpx.post(endpoint.scoring_uri, json=json.loads(request.read_text()), headers=headers)
    print("7 green says", answer.status_code, answer.json()["y"])
    print("7 green says", client.online_endpoints.invoke(name, request_file=request, deployment_name="green"))

    # 8 mirror to green, and stop
    endpoint.traffic = {"blue": 100}
    endpoint.mirror_traffic = {"green": 10}
    endpoint = client.online_endpoints.begin_create_or_update(endpoint).result()
    print("8 mirrored", endpoint.mirror_traffic)
    endpoint.mirror_traffic = {"green": 0}
    client.online_endpoints.begin_create_or_update(endpoint).result()

    # 9, 10 shift the traffic
    for step, traffic in ((9, {"blue": 90, "green": 10}), (10, {"blue": 0, "green": 100})):
        endpoint = client.online_endpoints.get(name)
        endpoint.traffic = traffic
        client.online_endpoints.begin_create_or_update(endpoint).result()
        print(step, "traffic", json.dumps(client.online_endpoints.get(name).traffic, sort_keys=True))

    # 11 delete blue
    client.online_deployments.begin_delete("blue", name).result()
    print("11 left", [deployment.name for deployment in client.online_deployments.list(name)])

    # 12 delete the endpoint
    client.online_endpoints.begin_delete(name).result()
    try:
        client.online_endpoints.get(name)
    except ResourceNotFoundError:
        print("12 gone")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
