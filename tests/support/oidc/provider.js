// The certified provider, with its own sign-in form: any password is right, and a login is a person of PEOPLE.
// It prints its address once it listens. Arguments: the client's redirect address, its secret, people as JSON.
import { createServer } from "node:http";
import Provider from "oidc-provider";

const [redirect, secret, people] = process.argv.slice(2);
const PEOPLE = JSON.parse(people);
const server = createServer();
server.listen(0, "127.0.0.1", () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [{ client_id: "approvals", client_secret: secret, redirect_uris: [redirect] }],
    claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name", "groups", "roles"] },
    cookies: { keys: ["a key of the tests"] },
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
  server.on("request", provider.callback());
  console.log(issuer);
});
