// Who gets a place and who does not: limits.connections with its guests, addresses apart, trusted proxies, and what is left
// when the process may have few descriptors.
import { test, describe, before, beforeEach } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { startProvider } from './lib/provider.mjs';
import { connect, request } from './lib/client.mjs';
import { gatewayFor, tempDirectory } from './lib/gateway.mjs';
import { chatRequest } from './lib/bodies.mjs';
import { foreignAddress, turnedAway } from './lib/places.mjs';
import { SLOW, settled, waitFor } from './lib/wait.mjs';

const CHAT = '/openai/v1/chat/completions';
const MODELS = '/openai/v1/models';
const HEALTH = '/-/healthz';
const here = foreignAddress();
let provider;
before(async () => {
  provider = await startProvider();
});
beforeEach(() => provider.reset());
const limited = (limits, more) => gatewayFor(provider, { config: { limits, ...more } });

async function busy(gateway, n) {
  const all = [];
  for (let i = 0; i < n; i++) {
    const c = await connect(gateway);
    const reply = c.request({ path: MODELS });
    all.push({ c, reply, rq: await provider.next() });
  }
  return all;
}
async function finish(all) {
  for (const { rq } of all) rq.json({});
  for (const { c, reply } of all) {
    assert.equal((await reply.whole()).status, 200);
    c.close();
  }
}
// Connections that begin a request and do not go on.
async function halfHeads(gateway, n, options) {
  const all = [];
  for (let i = 0; i < n; i++) {
    const c = await connect(gateway, options);
    await c.send('GET /openai/v1/mod');
    all.push(c);
  }
  return all;
}

describe('limits.connections', () => {
  test('a connection that waits for its next request gives its place to a new one, the longest waiting first', async () => {
    const gateway = await limited({ connections: 3 });
    const idle = [];
    for (let i = 0; i < 3; i++) {
      const c = await connect(gateway);
      assert.equal((await c.request({ path: MODELS }).whole()).status, 200);
      idle.push(c);
    }
    const late = await connect(gateway);
    assert.equal((await late.request({ path: MODELS }).whole()).status, 200);
    await idle[0].closed();
    assert.equal(idle[0].extra.length, 0);
    for (const c of [idle[1], idle[2], late]) assert.equal((await c.request({ path: MODELS }).whole()).status, 200, 'the others stay');
    for (const c of [...idle, late]) c.close();
    await gateway.stop();
  });

  test('health is answered while every place is taken, also behind many who say nothing', async () => {
    const gateway = await limited({ connections: 4 });
    const held = await busy(gateway, 4);
    const silent = await halfHeads(gateway, 40);
    for (let i = 0; i < 5; i++) assert.equal((await request(gateway, { path: HEALTH })).status, 200);
    assert.equal((await request(gateway, { path: '/-/readyz' })).status, 200);
    assert.ok((await gateway.metric('postern_client_connections')) < 20, 'the silent ones were let go');
    assert.ok((await gateway.metric('postern_limit_hits_total{limit="connections"}')) >= 30);
    await finish(held);
    await waitFor(async () => (await request(gateway, { path: MODELS })).status === 200, 'a place again');
    for (const c of silent) c.close();
    await gateway.stop();
  });

  test('a guest is asked to leave after its answer, and a refusal leaves a record', async () => {
    const gateway = await limited({ connections: 1 });
    const held = await busy(gateway, 1);
    const c = await connect(gateway);
    const health = await c.request({ path: HEALTH }).whole();
    assert.equal(health.header('connection'), 'close');
    await c.closed();
    const reply = await request(gateway, { path: CHAT, body: chatRequest('no place') });
    assert.equal(reply.status, 503);
    assert.equal(reply.header('postern-error'), 'overloaded');
    assert.match(reply.json.error.message, /limits\.connections/);
    const record = await gateway.log(reply);
    assert.deepEqual([record.status_code, record.ending, record.end_reason], [503, 'GR', 'overloaded']);
    assert.equal(provider.requests.length, 1, 'nothing went to the provider');
    await finish(held);
    await gateway.stop();
  });

  test('a refused upload is answered, not cut', async () => {
    const gateway = await limited({ connections: 1 });
    const held = await busy(gateway, 1);
    const reply = await request(gateway, { path: '/openai/v1/files', body: Buffer.alloc(500_000), headers: { 'Content-Type': 'application/octet-stream' } });
    assert.equal(reply.status, 503);
    await finish(held);
    await gateway.stop();
  });
});

describe('limits.connections_per_address', () => {
  test('loopback is exempt, and so is a Unix socket', async () => {
    const socket = path.join(tempDirectory(), 's');
    const gateway = await limited({ connections_per_address: 2 }, { listen: ['127.0.0.1:0', `unix:${socket}`] });
    for (const to of gateway.endpoints) await finish(await busy(to, 6));
    assert.equal(await gateway.metric('postern_limit_hits_total{limit="connections_per_address"}'), 0);
    await gateway.stop();
  });

  const skip = here === undefined && 'this machine has no address but loopback ones';
  test('another address has so many, also after some have come and gone, and does not take those of others', { skip }, async () => {
    const gateway = await limited({ connections_per_address: 3 }, { listen: ['127.0.0.1:0', '0.0.0.0:0'] });
    const to = gateway.endpoints[1];
    const over = () => turnedAway(to, { address: here });
    const all = await halfHeads(to, 3, { address: here });
    await over();
    all.pop().close();
    await waitFor(async () => (await gateway.metric('postern_client_connections')) <= 3, 'one has gone'); // two, and who asks
    all.push(...(await halfHeads(to, 1, { address: here })));
    await over();
    assert.equal((await request(to, { path: MODELS })).status, 200, 'loopback on the same listener');
    assert.equal(await gateway.metric('postern_limit_hits_total{limit="connections_per_address"}'), 2);
    for (const c of all) c.close();
    await gateway.stop();
  });

  test('a trusted proxy is exempt, and after a reload that trusts it no more the places add up', { skip }, async () => {
    const gateway = await limited({ connections_per_address: 2 }, { listen: ['127.0.0.1:0', '0.0.0.0:0'], trusted_proxies: [`${here}/32`] });
    const to = gateway.endpoints[1];
    const connections = (n, what) => waitFor(async () => (await gateway.metric('postern_client_connections')) === n, what); // with the one that asks
    const exempt = await halfHeads(to, 5, { address: here });
    await connections(6, 'five are in');
    const file = path.join(gateway.data, '..', `${path.basename(gateway.data)}.yaml`);
    fs.writeFileSync(file, JSON.stringify({ ...JSON.parse(fs.readFileSync(file)), trusted_proxies: [] }));
    gateway.signal('SIGHUP');
    await waitFor(() => gateway.stderr.includes('new settings'), 'the reload');
    const counted = await halfHeads(to, 2, { address: here });
    await connections(8, 'two more are in');
    await turnedAway(to, { address: here });
    for (const c of exempt) c.close();
    await connections(3, 'the exempt ones have gone');
    await turnedAway(to, { address: here });
    for (const c of counted) c.close();
    await connections(1, 'all have gone');
    const again = await halfHeads(to, 2, { address: here });
    for (const c of again) c.close();
    await gateway.stop();
  });
});

describe('trusted_proxies', () => {
  // 127.0.0.2 plays the proxy, 127.0.0.1 anybody else.
  const proxy = { from: '127.0.0.2' };
  let gateway;
  before(async () => {
    gateway = await gatewayFor(provider, { config: { trusted_proxies: ['127.0.0.2', '10.0.0.0/8'] } });
  });
  const clientOf = async (headers, options) => {
    const reply = await request(gateway, { path: MODELS, headers, ...options });
    assert.equal(reply.status, 200);
    return (await gateway.log(reply)).client;
  };

  test('who is trusted tells the client, from the right, past other proxies', async () => {
    assert.equal(await clientOf({ 'X-Forwarded-For': '192.0.2.7' }, proxy), '192.0.2.7');
    assert.equal(await clientOf({ 'X-Forwarded-For': '6.6.6.6, 192.0.2.7, 10.1.2.3' }, proxy), '192.0.2.7');
    assert.equal(await clientOf({ Forwarded: 'for="[2001:db8::7]:99";proto=https' }, proxy), '2001:db8::7');
  });
  test('where it tells nothing, or two things, the record has the proxy', async () => {
    assert.equal(await clientOf({}, proxy), '127.0.0.2');
    assert.equal(await clientOf({ 'X-Forwarded-For': 'unknown' }, proxy), '127.0.0.2');
    assert.equal(await clientOf({ 'X-Forwarded-For': '192.0.2.7', Forwarded: 'for=6.6.6.6' }, proxy), '127.0.0.2');
  });
  test('another peer is not believed', async () => {
    assert.equal(await clientOf({ 'X-Forwarded-For': '192.0.2.7', Forwarded: 'for=192.0.2.7', 'X-Real-IP': '192.0.2.7' }, {}), '127.0.0.1');
  });
  test('each request of a connection is told apart', async () => {
    const c = await connect(gateway, proxy);
    for (const client of ['192.0.2.1', '192.0.2.2']) {
      const reply = await c.request({ path: MODELS, headers: { 'X-Forwarded-For': client } }).whole();
      assert.equal((await gateway.log(reply)).client, client);
    }
    c.close();
  });
  test('none of it goes to the provider', async () => {
    await clientOf({ 'X-Forwarded-For': '192.0.2.7', Forwarded: 'for=192.0.2.7', 'X-Real-IP': '1.1.1.1', 'X-Forwarded-Proto': 'https', 'True-Client-IP': '1.1.1.1' }, proxy);
    assert.doesNotMatch(provider.last.rawHead, /forwarded|real-ip|true-client|192\.0\.2\.7/i);
  });
});

describe('few descriptors', () => {
  const cpu = (pid) => {
    const fields = fs.readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
    return (Number(fields[11]) + Number(fields[12])) * 10; // ms, at 100 ticks a second
  };
  const open = (pid) => fs.readdirSync(`/proc/${pid}/fd`).length;
  const softLimit = (pid) => fs.readFileSync(`/proc/${pid}/limits`, 'utf8').match(/Max open files\s+(\S+)\s+(\S+)/).slice(1);

  test('the soft limit is raised to the hard one at start', async () => {
    const gateway = await gatewayFor(provider, { wrap: ['prlimit', '--nofile=64:512'] });
    assert.deepEqual(softLimit(gateway.pid), ['512', '512']);
    await gateway.stop();
  });

  test('128 of them, 200 clients: no spin, health answers, store and log go on, and all is well afterwards', async () => {
    const gateway = await gatewayFor(provider, { wrap: ['prlimit', '--nofile=128'] });
    assert.deepEqual(softLimit(gateway.pid), ['128', '128']);
    const first = await request(gateway, { path: CHAT, body: chatRequest('kept'), headers: { Authorization: 'Bearer k' } });
    const crowd = await halfHeads(gateway, 200);
    await settled(() => open(gateway.pid), 'the crowd has come in');
    const began = cpu(gateway.pid);
    const since = performance.now();
    for (let i = 0; i < 10; i++) assert.equal((await request(gateway, { path: HEALTH })).status, 200);
    const refused = await request(gateway, { path: MODELS });
    assert.equal(refused.status, 503);
    assert.equal((await gateway.log(refused)).ending, 'GR', 'the log takes a record, and tells it');
    await new Promise((resolve) => setTimeout(resolve, 1000)); // a second in which nothing happens
    const share = (cpu(gateway.pid) - began) / (performance.now() - since);
    assert.ok(share < 0.2 * SLOW, `${Math.round(share * 100)} % of a processor`);
    assert.ok(open(gateway.pid) < 128, `${open(gateway.pid)} descriptors`);
    for (const c of crowd) c.close();
    await waitFor(async () => (await gateway.metric('postern_client_connections')) <= 1, 'the crowd has gone');
    const again = await request(gateway, { path: CHAT, body: chatRequest('kept'), headers: { Authorization: 'Bearer k' } });
    assert.equal(again.header('cf-aig-cache-status'), 'HIT');
    assert.deepEqual(again.body, first.body);
    await finish(await busy(gateway, 20));
    assert.equal(await gateway.metric('postern_log_records_lost_total'), 0);
    await gateway.stop();
  });

  test('idle connections to providers make room when there are many providers', async () => {
    const others = await Promise.all(Array.from({ length: 6 }, () => startProvider()));
    const providers = Object.fromEntries(others.map((p, i) => [`p${i}`, { base_url: p.url }]));
    const gateway = await gatewayFor(provider, { wrap: ['prlimit', '--nofile=128'], config: { providers } });
    for (let round = 0; round < 6; round++) {
      const slug = `p${round}`;
      const all = await Promise.all(Array.from({ length: 12 }, async () => {
        const c = await connect(gateway);
        const rq = others[round].next();
        const reply = c.request({ path: `/${slug}/x` });
        return { c, reply, rq: await rq };
      }));
      await finish(all);
    }
    assert.ok(open(gateway.pid) < 100, `${open(gateway.pid)} descriptors`);
    await gateway.stop();
  });
});
