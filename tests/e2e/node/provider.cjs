// An OpenID Connect provider, unlike Keycloak in all that a relying party might have taken for granted: another logout, opaque
// access tokens, an elliptic key, the client's secret in the body, and a group that is a text and no list.
"use strict";
const path = require("node:path");
const crypto = require("node:crypto");
const [port, back] = process.argv.slice(2);
const groups = { admin: "provenance-admins", reader: "readers", stranger: undefined };

(async () => {
  const { Provider } = await import(path.join(process.env.NODE_MODULES, "oidc-provider/lib/index.js"));
  const { privateKey } = crypto.generateKeyPairSync("ec", { namedCurve: "P-256" });
  const key = { ...privateKey.export({ format: "jwk" }), kid: "elliptic", use: "sig", alg: "ES256" };
  const provider = new Provider(`http://127.0.0.1:${port}`, {
    clients: [{
      client_id: "dashboard", client_secret: "the client's secret, for tests",
      redirect_uris: [`${back}callback`], post_logout_redirect_uris: [`${back}signed-out`],
      id_token_signed_response_alg: "ES256", token_endpoint_auth_method: "client_secret_post",
    }],
    clockTolerance: 0,
    clientAuthMethods: ["client_secret_post"],
    enabledJWA: { idTokenSigningAlgValues: ["ES256"] },
    jwks: { keys: [key] },
    cookies: { keys: ["a key of the test's own"] },
    scopes: ["openid", "email", "groups"],
    claims: { openid: ["sub"], email: ["email"], groups: ["groups"] },
    findAccount: (_, id) => ({
      accountId: id,
      claims: () => ({ sub: id, email: `${id}@example.com`, groups: groups[id] }),
    }),
    features: { devInteractions: { enabled: true }, rpInitiatedLogout: { enabled: true } },
  });
  // Tokens without a browser: for whom, and for how many seconds.
  provider.use(async (context, next) => {
    if (context.path !== "/make-token") return next();
    const { user, seconds } = context.query;
    const client = await provider.Client.find("dashboard");
    const grant = new provider.Grant({ clientId: "dashboard", accountId: user });
    grant.addOIDCScope("openid email groups");
    const token = new provider.AccessToken({
      client, accountId: user, grantId: await grant.save(), scope: "openid email groups", gty: "authorization_code",
      expiresIn: Number(seconds),
    });
    context.body = await token.save();
  });
  provider.listen(Number(port), "127.0.0.1");
})();
