// More TLS handshakes at once than are done at once: net/handshakes_int.h. security.md 1.2, 6.
import { test, describe } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import { connect, request } from './lib/client.mjs';
import { startGateway } from './lib/gateway.mjs';
import { makeCertificates } from './lib/certificates.mjs';
import { foreignAddress, turnedAway } from './lib/places.mjs';
import { isSlow, waitFor } from './lib/wait.mjs';

const HEALTH = '/-/healthz';
const LIMIT = 'postern_limit_hits_total{limit="handshakes"}';
const CLIENTS = isSlow ? 300 : 1500;
const LONG_MS = 120_000;
const MB = 1 << 20;
const pki = makeCertificates();
const secure = { ca: fs.readFileSync(pki.ca) };
const here = foreignAddress();

// `descriptors`: 64 are the process' own; a sixteenth of the rest are handshakes, three quarters of these have an engine.
const gatewayWith = (limits, { descriptors, address = '127.0.0.1:0' } = {}) => startGateway({
  wrap: descriptors === undefined ? undefined : ['prlimit', `--nofile=${64 + descriptors}`],
  config: { limits, listen: ['127.0.0.1:0', { address, tls: { certificate: pki.leaf.cert, key: pki.leaf.key } }] },
});
const plain = (gateway) => gateway.endpoints[0];
const ask = (gateway) => request(gateway.endpoints[1], { path: HEALTH, tls: secure, headers: { Connection: 'close' }, ms: LONG_MS });

// Connections that say these bytes and nothing more, and are there or on their way.
function crowd(gateway, n, bytes, address = '127.0.0.1') {
  const all = Array.from({ length: n }, () => {
    const socket = net.connect({ host: address, port: gateway.endpoints[1].port }, () => socket.write(bytes));
    return socket.on('error', () => {});
  });
  return { all, leave: () => all.forEach((s) => s.destroy()) };
}
const HALF_A_HELLO = Buffer.from([22, 3, 1, 2, 0, 1]);

describe('a storm of TLS clients', () => {
  for (const descriptors of [undefined, 4096]) {
    test(`${CLIENTS} that connect at once all get an answer${descriptors ? ', 192 at a time' : ''}`, async () => {
      const gateway = await gatewayWith({ tls_timeout: '120s' }, { descriptors });
      const statuses = await Promise.all(Array.from({ length: CLIENTS }, () => ask(gateway).then((reply) => reply.status, (e) => e.message)));
      assert.deepEqual([...new Set(statuses)], [200]);
      assert.equal(await gateway.metric(LIMIT), 0, 'nobody was ended');
      await gateway.stop();
    });
  }

  test('those who wait for their turn cost next to nothing, and one who speaks gets through a crowd that does not', async () => {
    const gateway = await gatewayWith({ tls_timeout: '4s' }, { descriptors: 4096 });
    const before = (await request(plain(gateway), { path: HEALTH })) && gateway.memory('RssAnon');
    const half = crowd(gateway, 1200, HALF_A_HELLO);
    await waitFor(() => fs.readdirSync(`/proc/${gateway.pid}/fd`).length > 250, 'as many as are taken');
    const reply = await ask(gateway);
    assert.equal(reply.status, 200);
    const grown = (gateway.memory('RssAnon') - before) / MB;
    if (!isSlow) assert.ok(grown < 192 * 0.045 + 4, `${grown.toFixed(1)} MB`);
    assert.ok((await gateway.metric(LIMIT)) > 0, 'who did not go on gave its turn up');
    half.leave();
    await gateway.stop();
  });

  test('who says nothing, while others come, gives its place up; while none does, it has its whole time', async () => {
    const gateway = await gatewayWith({ tls_timeout: '4s' }, { descriptors: 128 });
    const silent = crowd(gateway, 8, '');
    const reply = await ask(gateway);
    assert.equal(reply.status, 200);
    assert.ok((await gateway.metric(LIMIT)) >= 1);
    silent.leave();
    const few = crowd(gateway, 8, '');
    const ended = await gateway.metric(LIMIT);
    await waitFor(async () => (await gateway.metric('postern_limit_hits_total{limit="tls_timeout"}')) >= 8, 'all are ended by their time-out', 60_000);
    assert.equal(await gateway.metric(LIMIT), ended);
    few.leave();
    await gateway.stop();
  });

  const skip = here === undefined && 'this machine has no address but loopback ones';
  test('a handshake takes a place of its address, and gives it back', { skip }, async () => {
    const gateway = await gatewayWith({ connections_per_address: 3, tls_timeout: '120s' }, { address: '0.0.0.0:0' });
    const to = gateway.endpoints[1];
    const two = crowd(gateway, 2, HALF_A_HELLO, here);
    await waitFor(() => two.all.every((s) => !s.connecting), 'they are connected');
    const third = await connect(to, { address: here, tls: secure });
    await turnedAway(to, { address: here });
    assert.equal((await ask(gateway)).status, 200, 'loopback on the same listener');
    two.leave();
    await waitFor(() => connect(to, { address: here, tls: secure }).then((c) => [c.close(), true].at(1), () => false), 'a place again');
    third.close();
    await gateway.stop();
  });
});
