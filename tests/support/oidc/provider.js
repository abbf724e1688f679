// The certified provider, with its own sign-in form: any password is right, and a login is a person of PEOPLE.
// It prints its address once it listens. Arguments: the client's redirect address, its secret, people as JSON, and the
// file that gets a line for each secret that it has given out.
import { appendFileSync } from "node:fs";
import { createServer } from "node:http";
import Provider from "oidc-provider";

const [redirect, secret, people, issued] = process.argv.slice(2);
const PEOPLE = JSON.parse(people);
const DEVICE = "urn:ietf:params:oauth:grant-type:device_code";
const INTERVAL_S = 1;
let deviceCodeLives = 600;
const server = createServer();
server.listen(0, "127.0.0.1", () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: "approvals",
        client_secret: secret,
        redirect_uris: [redirect],
        grant_types: ["authorization_code", DEVICE],
      },
    ],
    claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name", "groups", "roles"] },
    cookies: { keys: ["a key of the tests"] },
    features: { deviceFlow: { enabled: true } },
    ttl: { DeviceCode: () => deviceCodeLives },
    findAccount: (_, login) => ({ accountId: login, claims: () => ({ sub: login, ...PEOPLE[login] }) }),
    // nobody is asked for consent; and whoever is not asked to prove it anew has signed in here an hour ago
    async loadExistingGrant({ oidc }) {
      if (oidc.params.max_age === undefined) oidc.session.loginTs -= 3600;
      const grant = new oidc.provider.Grant({ clientId: oidc.client.clientId, accountId: oidc.session.accountId });
      grant.addOIDCScope("openid email profile");
      await grant.save();
      return grant;
    },
  });
  // a provider may want a certain pace, and say so: this one is short of patience once for each device
  const hurried = new Set();
  provider.use(async (ctx, next) => {
    if (ctx.path.startsWith("/lives/")) {
      deviceCodeLives = Number(ctx.path.split("/")[2]);
      ctx.body = "";
      return;
    }
    await next();
    if (ctx.path === "/device/auth" && ctx.body?.device_code) ctx.body.interval = INTERVAL_S;
    const code = ctx.oidc?.params?.device_code;
    if (ctx.body?.error === "authorization_pending" && !hurried.has(code)) {
      hurried.add(code);
      ctx.body = { error: "slow_down" };
    }
    for (const name of ["id_token", "access_token", "refresh_token", "device_code"]) {
      if (issued && ctx.body?.[name]) appendFileSync(issued, `${ctx.body[name]}\n`);
    }
  });
  server.on("request", provider.callback());
  console.log(issuer);
});
