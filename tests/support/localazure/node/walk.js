/**
 * A safe rollout by @azure/arm-machinelearning: nothing in it knows local Azure.
 *
 * `node walk.js ASSETS`, with the address and the credentials of Azure in the environment. ASSETS is JSON:
 * {"code": ID, "environment": ID, "models": [ID, ID]}. A line of JSON is printed for each step.
 */

import { AzureMachineLearningWorkspaces } from "@azure/arm-machinelearning";
import { DefaultAzureCredential } from "@azure/identity";

const { env } = process;
const assets = JSON.parse(process.argv[2]);
const here = env.AZURE_AUTHORITY_HOST;
const client = new AzureMachineLearningWorkspaces(new DefaultAzureCredential(), env.AZURE_SUBSCRIPTION_ID, {
  endpoint: here,
  credentialScopes: `${here}/.default`,
});
const workspace = [env.AZURE_RESOURCE_GROUP, env.AZUREML_WORKSPACE_NAME];
const endpoint = [...workspace, "by-node"];
const { onlineEndpoints, onlineDeployments } = client;
const often = { updateIntervalInMs: 200 };

const say = (step, value) => console.log(JSON.stringify([step, value]));

async function names(listed) {
  const found = [];
  for await (const one of listed) found.push(one.name);
  return found.sort();
}

const setTraffic = (traffic) =>
  onlineEndpoints.beginCreateOrUpdateAndWait(
    ...endpoint,
    { location: "local", properties: { authMode: "Key", traffic } },
    often,
  );

const deploy = (name, model, capacity) =>
  onlineDeployments.beginCreateOrUpdateAndWait(
    ...endpoint,
    name,
    {
      location: "local",
      sku: { name: "Default", capacity },
      properties: {
        endpointComputeType: "Managed",
        model,
        codeConfiguration: { codeId: assets.code, scoringScript: "score.py" },
        environmentId: assets.environment,
        instanceType: "Standard_DS3_v2",
      },
    },
    often,
  );

async function score(deployment) {
  const { scoringUri } = (await onlineEndpoints.get(...endpoint)).properties;
  const { primaryKey } = await onlineEndpoints.listKeys(...endpoint);
  const pinned = deployment ? { "azureml-model-deployment": deployment } : {};
  const headers = { "Authorization": `Bearer ${primaryKey}`, "Content-Type": "application/json", ...pinned };
  const response = await fetch(scoringUri, { method: "POST", headers, body: '{"x": 1}' });
  return [response.status, response.headers.get("azureml-model-deployment"), (await response.json()).y];
}

say("endpoint", (await setTraffic({})).properties.provisioningState);
say("blue", (await deploy("blue", assets.models[0], 1)).properties.provisioningState);
await setTraffic({ blue: 100 });
say("served", await score());
say("green", (await deploy("green", assets.models[1], 1)).properties.provisioningState);
say("deployments", await names(onlineDeployments.list(...endpoint)));
say("green by name", await score("green"));
for (const traffic of [{ blue: 90, green: 10 }, { blue: 0, green: 100 }]) {
  await setTraffic(traffic);
  say("traffic", (await onlineEndpoints.get(...endpoint)).properties.traffic);
}
say("served", await score());
const scaled = await onlineDeployments.beginUpdateAndWait(
  ...endpoint,
  "green",
  { sku: { name: "Default", capacity: 2 } },
  often,
);
say("instances", scaled.sku.capacity);
try {
  await onlineDeployments.get(...endpoint, "yellow");
} catch (error) {
  say("missing", [error.statusCode, error.code, error.details.error.details[0].code]);
}
await onlineDeployments.beginDeleteAndWait(...endpoint, "blue", often);
say("deployments", await names(onlineDeployments.list(...endpoint)));
say("listed", (await names(onlineEndpoints.list(...workspace))).includes("by-node"));
await onlineEndpoints.beginDeleteAndWait(...endpoint, often);
say("left", (await names(onlineEndpoints.list(...workspace))).includes("by-node"));
