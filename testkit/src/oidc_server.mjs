// A real OpenID Connect provider for tests: oidc-provider from npm. Signs tokens for the client `robot` with whatever claims
// a test asks for; told over its standard input to take new keys, or to be away.
import http from 'node:http';
import readline from 'node:readline';
import { Provider } from 'oidc-provider';
import { exportJWK, generateKeyPair } from 'jose';

const audience = process.argv[2];
let issuer, current, away = false, asked = 0;

async function provider() {
  const { privateKey } = await generateKeyPair('RS256', { extractable: true });
  const jwk = { ...(await exportJWK(privateKey)), alg: 'RS256', use: 'sig' };
  return new Provider(issuer, {
    jwks: { keys: [jwk] },
    clients: [{
      client_id: 'robot', client_secret: 'robots-secret', grant_types: ['client_credentials'],
      redirect_uris: [], response_types: [],
    }],
    ttl: { ClientCredentials: 3600 },
    extraTokenClaims: (ctx) => JSON.parse(ctx.oidc.body.claims_of_test ?? '{}'),
    extraParams: ['claims_of_test'],
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (ctx, resource) => ({
          scope: '', audience: resource === 'urn:shop' ? audience : resource,
          accessTokenTTL: 3600, accessTokenFormat: 'jwt', jwt: { sign: { alg: 'RS256' } },
        }),
      },
    },
  });
}
const server = http.createServer((req, res) => {
  if (req.url === '/test/asked') { res.end(String(asked)); return; }
  if (req.url === '/jwks') asked += 1;
  if (away) { res.statusCode = 503; res.end(); return; }
  current.callback()(req, res);
});
server.listen(0, '127.0.0.1', async () => {
  issuer = `http://127.0.0.1:${server.address().port}`;
  current = await provider();
  console.log(issuer);
  for await (const command of readline.createInterface({ input: process.stdin })) {
    if (command === 'rotate') current = await provider();
    if (command === 'away') away = true;
    if (command === 'back') away = false;
    console.log('done');
  }
  process.exit(0);
});
