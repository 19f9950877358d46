// Every number of `limits` and `upstream`, one case just under it and one just over: what the client sees, how the
// connection ends, what the record says, which metric counts it. The last test holds the table against the schema.
import { test, describe, before, after } from 'node:test';
import { setTimeout as elapse } from 'node:timers/promises'; // here time itself is what is tested
import { spawn } from 'node:child_process';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import { startProvider, startRaw } from './lib/provider.mjs';
import { connect, request } from './lib/client.mjs';
import { gatewayFor, postern } from './lib/gateway.mjs';
import { makeCertificates } from './lib/certificates.mjs';
import { chatRequest, completion } from './lib/bodies.mjs';
import { SLOW, deferred, waitFor, within } from './lib/wait.mjs';
import { foreignAddress, turnedAway } from './lib/places.mjs';

const CHAT = '/openai/v1/chat/completions';
const MODELS = '/openai/v1/models';
const LONG = '30s'; // of limits that a case must not meet
const pki = makeCertificates();
const secure = { ca: fs.readFileSync(pki.ca) };
const here = foreignAddress();
let provider;
let number = 0;
before(async () => {
  provider = await startProvider();
});

// ---- what the cases are made of ----

const id = () => `case-${++number}`;
const head = (lines) => `${lines.join('\r\n')}\r\n\r\n`;
const post = (path, eventId, length) =>
  head([`POST ${path} HTTP/1.1`, 'Host: x', 'Content-Type: application/json', `cf-aig-event-id: ${eventId}`, `Content-Length: ${length}`]);

async function sent(gateway, bytes, options) {
  const c = await connect(gateway, options);
  const reply = c.expect('GET');
  c.send(bytes);
  await reply.whole();
  return { c, reply };
}

const fine = ({ c, reply }) => {
  assert.equal(reply.status, 200);
  c?.close();
};

// A request line, or a head, of n bytes in all.
const line = (n) => head([`GET /openai/v1/${'x'.repeat(n - 'GET /openai/v1/ HTTP/1.1'.length)} HTTP/1.1`, 'Host: x']);
const sized = (n) => {
  const empty = head([`GET ${MODELS} HTTP/1.1`, 'Host: x', 'X-Filler: ']).length;
  return head([`GET ${MODELS} HTTP/1.1`, 'Host: x', `X-Filler: ${'f'.repeat(n - empty)}`]);
};
const many = (n) => head([`GET ${MODELS} HTTP/1.1`, 'Host: x', ...Array.from({ length: n - 1 }, (_, i) => `X-${i}: y`)]);

const chatOf = (n) => {
  const empty = JSON.stringify(chatRequest('')).length;
  return JSON.stringify(chatRequest('a'.repeat(n - empty)));
};

// Sends a body of n bytes in pieces; stops when the answer is there.
async function trickle(gateway, { length, piece, every, path = CHAT }) {
  const eventId = id();
  const body = path === CHAT ? chatOf(length) : 'b'.repeat(length);
  const c = await connect(gateway);
  const reply = c.expect('POST');
  let isOver = false;
  reply.onEnd.promise.then(() => (isOver = true), () => (isOver = true));
  await c.send(post(path, eventId, length));
  for (let i = 0; i < length && !isOver; i += piece) {
    await c.send(body.slice(i, i + piece));
    await elapse(every);
  }
  await reply.whole();
  return { c, reply, eventId };
}

// Clients that have sent n bytes of a longer body, and the gateway has read them.
async function unfinished(gateway, count, n) {
  const all = [];
  for (let i = 0; i < count; i++) {
    const c = await connect(gateway);
    await c.send(post(CHAT, id(), 2 * n) + chatOf(2 * n).slice(0, n));
    all.push(c);
  }
  await request(gateway, { path: '/-/healthz' });
  return all;
}

// Answers that wait for release().
function held(gateway, n, options) {
  const all = Array.from({ length: n }, async () => {
    const c = await connect(gateway, options);
    const reply = c.request({ path: MODELS });
    const rq = await provider.next();
    return { c, reply, rq };
  });
  return Promise.all(all);
}
async function release(all) {
  for (const { rq } of all) rq.json({});
  for (const { c, reply } of all) fine({ c, reply: await reply.whole() });
}

// A server that never takes a connection: it listens, it is stopped, and its queue is full.
async function deafServer() {
  const child = spawn(process.execPath, ['-e', 'const s = require("net").createServer(); s.listen({port: 0, host: "127.0.0.1", backlog: 1}, () => console.log(s.address().port))'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const port = deferred();
  child.stdout.once('data', (b) => port.resolve(Number(b)));
  const n = await within(port.promise, 'a server');
  child.kill('SIGSTOP');
  const fillers = Array.from({ length: 8 }, () => net.connect({ host: '127.0.0.1', port: n }).on('error', () => {}));
  await waitFor(() => fillers.some((s) => !s.connecting), 'the first connection in its queue');
  return {
    port: n,
    close: () => {
      for (const s of fillers) s.destroy();
      child.kill('SIGKILL');
    },
  };
}

const aStream = async (gateway, more = {}) => {
  const eventId = id();
  const c = await connect(gateway);
  const reply = c.request({ path: CHAT, body: chatRequest(eventId, { stream: true }), headers: { 'cf-aig-event-id': eventId }, ...more });
  const rq = await provider.next();
  return { c, reply, rq, eventId };
};

// ---- the table ----
// set: the settings. under: passes. over: gives what the runner looks at: { c, reply, eventId }.
// Expected of `over`: status and word; closes; ending, reason (of the record; ending null: there is none); metric.
// Times are longer than this process, which plays both sides, waits on a busy machine for its turn.
const timeOut = { upstream: { first_byte: '1500ms', idle: '1500ms' } };
const rows = [
  { key: 'limits.request_line', set: { limits: { request_line: '1KB' } },
    under: async (g) => fine(await sent(g, line(1024))),
    over: (g) => sent(g, line(1025)),
    status: 414, word: 'uri-too-long', closes: true, ending: null, metric: 'head' },
  { key: 'limits.header_size', set: { limits: { header_size: '4KB' } },
    under: async (g) => fine(await sent(g, sized(4096))),
    over: (g) => sent(g, sized(4097)),
    status: 431, word: 'headers-too-large', closes: true, ending: null, metric: 'head' },
  { key: 'limits.headers', set: { limits: { headers: 20 } },
    under: async (g) => fine(await sent(g, many(20))),
    over: (g) => sent(g, many(21)),
    status: 431, word: 'headers-too-large', closes: true, ending: null, metric: 'head' },
  { key: 'limits.body', set: { limits: { body: '2KB' } }, // no refusal: the body streams through, uncached
    under: async (g) => {
      const reply = await request(g, { path: CHAT, body: chatOf(2048) });
      assert.equal(reply.header('cf-aig-cache-status'), 'MISS');
      fine({ reply });
    },
    over: async (g) => {
      const eventId = id();
      const reply = await request(g, { path: CHAT, body: chatOf(2049), headers: { 'cf-aig-event-id': eventId } });
      assert.equal(reply.header('cf-aig-cache-status'), 'BYPASS');
      assert.equal(provider.last.length, 2049);
      return { reply, eventId };
    },
    status: 200, ending: '--' },
  { key: 'limits.connections', set: { limits: { connections: 3 } },
    under: async (g) => release(await held(g, 3)),
    over: async (g) => {
      const all = await held(g, 3);
      const eventId = id();
      const c = await connect(g);
      const reply = await c.request({ path: MODELS, headers: { 'cf-aig-event-id': eventId } }).whole();
      assert.equal(reply.header('retry-after'), '5');
      await release(all);
      return { c, reply, eventId };
    },
    status: 503, word: 'overloaded', closes: true, ending: 'GR', reason: 'overloaded', metric: 'connections' },
  { key: 'limits.connections_per_address', set: { listen: ['127.0.0.1:0', '0.0.0.0:0'], limits: { connections_per_address: 2 } },
    skip: here === undefined && 'this machine has no address but loopback ones',
    under: async (g) => release(await held(g.endpoints[1], 2, { address: here })),
    over: async (g) => {
      const all = await held(g.endpoints[1], 2, { address: here });
      await turnedAway(g.endpoints[1], { address: here });
      await release(all);
      return {};
    },
    ending: null, metric: 'connections_per_address' },
  { key: 'limits.header_timeout', set: { limits: { header_timeout: '1500ms', keepalive_idle: LONG } },
    under: async (g) => {
      const c = await connect(g);
      const reply = c.expect();
      await c.send(`GET ${MODELS} HTTP/1.1\r\n`);
      await elapse(100);
      await c.send('Host: x\r\n\r\n');
      fine({ c, reply: await reply.whole() });
    },
    over: (g) => sent(g, `GET ${MODELS} HTTP/1.1\r\nHost: x\r\n`),
    status: 408, word: 'request-timeout', closes: true, ending: null, metric: 'header_timeout' },
  { key: 'limits.tls_timeout', set: { listen: ['127.0.0.1:0', { address: '127.0.0.1:0', tls: { certificate: pki.leaf.cert, key: pki.leaf.key } }], limits: { tls_timeout: '1500ms' } },
    under: async (g) => {
      const c = await connect(g.endpoints[1], { tls: secure });
      await elapse(2000); // the handshake is over: the limit does not count any more
      fine({ c, reply: await c.request({ path: MODELS }).whole() });
    },
    over: async (g) => {
      const c = await connect(g.endpoints[1]);
      c.send(Buffer.from([0x16, 0x03, 0x01])); // of a ClientHello, and no more
      await c.closed();
      assert.equal(c.extra.length, 0);
      return { c };
    },
    closes: true, ending: null, metric: 'tls_timeout' },
  { key: 'limits.body_idle', set: { limits: { body_idle: '1500ms', body_min_rate: 0 } },
    under: async (g) => fine(await trickle(g, { length: 300, piece: 50, every: 300 })),
    over: async (g) => {
      const eventId = id();
      const c = await connect(g);
      const reply = c.expect('POST');
      c.send(`${post(CHAT, eventId, 100)}{"model"`);
      return { c, reply: await reply.whole(), eventId };
    },
    status: 408, word: 'body-stall', closes: true, ending: 'TB', reason: 'body-stall', metric: 'body_idle' },
  { key: 'limits.body_min_rate', set: { limits: { body_grace: '1s', body_min_rate: 500, body_idle: LONG } },
    under: async (g) => fine(await trickle(g, { length: 4000, piece: 200, every: 100 })), // 2000 a second
    over: (g) => trickle(g, { length: 2000, piece: 5, every: 60 }), // 80 a second
    status: 408, word: 'body-stall', closes: true, ending: 'TB', reason: 'body-stall', metric: 'body_idle' },
  { key: 'limits.body_grace', set: { limits: { body_grace: '2500ms', body_min_rate: 1000000, body_idle: LONG } },
    under: async (g) => fine(await trickle(g, { length: 300, piece: 100, every: 50 })), // too slow, but not for long
    over: (g) => trickle(g, { length: 3000, piece: 10, every: 50, path: '/openai/v1/files' }),
    status: 408, word: 'body-stall', closes: true, ending: 'TA', reason: 'body-stall', metric: 'body_idle' },
  { key: 'limits.keepalive_idle', set: { limits: { keepalive_idle: '1500ms' } },
    under: async (g) => {
      const c = await connect(g);
      for (let i = 0; i < 3; i++) {
        assert.equal((await c.request({ path: MODELS }).whole()).status, 200);
        await elapse(100);
      }
      c.close();
    },
    over: async (g) => {
      const c = await connect(g);
      assert.equal((await c.request({ path: MODELS }).whole()).status, 200);
      await c.closed();
      assert.equal(c.extra.length, 0, 'no 408: nothing was asked');
      return { c };
    },
    closes: true },
  { key: 'limits.keepalive_requests', set: { limits: { keepalive_requests: 3 } },
    under: async (g) => {
      const c = await connect(g);
      for (let i = 0; i < 2; i++) assert.equal((await c.request({ path: MODELS }).whole()).header('connection'), undefined);
      c.close();
    },
    over: async (g) => {
      const c = await connect(g);
      for (let i = 0; i < 2; i++) await c.request({ path: MODELS }).whole();
      const reply = await c.request({ path: MODELS }).whole();
      assert.equal(reply.header('connection'), 'close');
      return { c, reply };
    },
    status: 200, closes: true },
  { key: 'limits.write_stall', set: { limits: { write_stall: '1500ms' } },
    under: async (g) => {
      const c = await connect(g);
      const reply = c.request({ path: '/openai/v1/files/steady/content' });
      reply.keep = false;
      const SIZE = 20_000_000;
      const rq = await provider.next();
      rq.head(200, { 'Content-Length': SIZE });
      const flood = rq.write(Buffer.alloc(SIZE));
      rq.done();
      await reply.head();
      for (let i = 0; i < 8; i++) { // reads a little, time and again
        c.socket.pause();
        await elapse(250);
        c.socket.resume();
        await elapse(5);
      }
      await reply.whole(20_000);
      await flood;
      c.close();
    },
    over: async (g) => {
      const eventId = id();
      const c = await connect(g);
      const reply = c.request({ path: '/openai/v1/files/stalled/content', headers: { 'cf-aig-event-id': eventId } });
      const rq = await provider.next();
      c.socket.pause();
      rq.head(200, { 'Content-Length': 100_000_000 });
      rq.write(Buffer.alloc(100_000_000));
      await rq.aborted();
      c.socket.resume();
      await reply.cut();
      return { c, eventId, isCut: true };
    },
    closes: true, ending: 'TD', reason: 'write-stall', metric: 'write_stall' },
  { key: 'limits.drain', set: { limits: { drain: '1500ms' } }, ends: true,
    under: async () => {
      const g = await gatewayFor(provider, { config: { limits: { drain: LONG } } });
      const { reply, rq } = await aStream(g);
      const s = rq.stream();
      s.send(': begun\n\n');
      await reply.has('begun');
      g.signal('SIGTERM');
      await waitFor(() => connect(g).then((x) => x.close(), () => true), 'no new connections');
      s.send('data: [DONE]\n\n');
      s.end();
      await reply.whole();
      await g.stop();
    },
    over: async (g) => {
      const { c, reply, rq, eventId } = await aStream(g);
      rq.stream().send(': begun\n\n');
      await reply.has('begun');
      g.signal('SIGTERM');
      await reply.cut();
      await g.stop();
      return { c, eventId, isCut: true };
    },
    closes: true, ending: 'GD', reason: 'shutting-down' },
  { key: 'limits.half_close', set: { limits: { half_close: true } },
    under: async (g) => { // FIN behind a whole request: the answer comes all the same
      const c = await connect({ path: undefined, port: g.port });
      c.socket.allowHalfOpen = true;
      const reply = c.request({ path: MODELS });
      c.end();
      (await provider.next()).json({});
      fine({ reply: await reply.whole() });
      assert.equal(reply.header('connection'), 'close');
      await c.closed();
    },
    over: async () => { // without the setting it means that nobody waits
      const g = await gatewayFor(provider);
      const eventId = id();
      const c = await connect(g);
      c.request({ path: MODELS, headers: { 'cf-aig-event-id': eventId } });
      const rq = await provider.next();
      c.end();
      await rq.aborted();
      const record = await g.logWhere((r) => r.event_id === eventId);
      assert.deepEqual([record.status_code, record.ending, record.end_reason], [499, 'CA', 'client-gone']);
      await c.closed();
      await g.stop();
      return {};
    } },
  { key: 'limits.memory', set: { limits: { memory: '1MB' } },
    under: async () => {
      const g = await gatewayFor(provider, { config: { limits: { memory: '64GB' } } });
      fine({ reply: await request(g, { path: MODELS }) });
      await g.stop();
    },
    over: async (g) => {
      const uploads = await unfinished(g, 40, 50_000); // that are held: 2 MB
      await waitFor(async () => (await request(g, { path: '/-/readyz' })).text === 'degraded\n', 'the memory is noticed');
      const eventId = id();
      const reply = await request(g, { path: MODELS, headers: { 'cf-aig-event-id': eventId } });
      assert.equal(reply.header('retry-after'), '5');
      assert.equal((await request(g, { path: '/-/healthz' })).status, 200);
      for (const c of uploads) c.close();
      return { reply, eventId };
    },
    status: 503, word: 'overloaded', ending: 'GR', reason: 'overloaded', metric: 'memory' },
  { key: 'upstream.connect', set: async (row) => {
      row.deaf = await deafServer();
      return { upstream: { connect: '1500ms' }, providers: { deaf: { base_url: `http://127.0.0.1:${row.deaf.port}` } } };
    },
    under: async (g) => fine({ reply: await request(g, { path: MODELS }) }),
    over: async (g, row) => {
      const eventId = id();
      const reply = await request(g, { path: '/deaf/x', headers: { 'cf-aig-event-id': eventId } });
      row.deaf.close();
      return { reply, eventId };
    },
    status: 504, word: 'upstream-connect-timeout', ending: 'TA', reason: 'upstream-connect-timeout', metric: 'upstream_connect' },
  { key: 'upstream.tls', set: async (row) => {
      row.mute = await startRaw(() => {});
      row.slow = await startProvider({ tls: { cert: fs.readFileSync(pki.leaf.cert), key: fs.readFileSync(pki.leaf.key) } });
      return { upstream: { tls: '2s', ca: pki.ca },
        providers: { mute: { base_url: `https://localhost:${row.mute.port}` }, secure: { base_url: `https://localhost:${row.slow.port}` } } };
    },
    under: async (g) => {
      fine({ reply: await request(g, { path: '/secure/x' }) });
    },
    over: async (g) => {
      const eventId = id();
      const reply = await request(g, { path: '/mute/x', headers: { 'cf-aig-event-id': eventId } });
      return { reply, eventId };
    },
    status: 504, word: 'upstream-connect-timeout', ending: 'TA', reason: 'upstream-connect-timeout', metric: 'upstream_connect' },
  { key: 'upstream.first_byte', set: timeOut,
    under: async (g) => {
      const c = await connect(g);
      const reply = c.request({ path: CHAT, body: chatRequest('soon') });
      const rq = await provider.next();
      await elapse(60);
      rq.json(completion());
      fine({ c, reply: await reply.whole() });
    },
    over: async (g) => {
      const { c, reply, rq, eventId } = await aStream(g);
      await reply.whole();
      await rq.aborted();
      c.close();
      return { reply, eventId };
    },
    status: 504, word: 'upstream-timeout', ending: 'TA', reason: 'upstream-timeout', metric: 'upstream_timeout' },
  { key: 'upstream.idle', set: timeOut,
    under: async (g) => {
      const { c, reply, rq } = await aStream(g);
      const s = rq.stream();
      for (let i = 0; i < 10; i++) {
        s.send(': still there\n\n');
        await elapse(200);
      }
      s.send('data: [DONE]\n\n');
      s.end();
      fine({ c, reply: await reply.whole() });
    },
    over: async (g) => {
      const { c, reply, rq, eventId } = await aStream(g);
      rq.stream().send(': begun\n\n');
      await reply.has('begun');
      await reply.cut();
      await rq.aborted();
      return { c, eventId, isCut: true };
    },
    closes: true, ending: 'TD', reason: 'upstream-timeout', metric: 'upstream_timeout' },
  { key: 'upstream.pool_idle', set: { upstream: { pool_idle: '1500ms' } },
    under: async (g) => {
      await request(g, { path: MODELS });
      const { connection } = provider.last;
      await request(g, { path: MODELS });
      assert.equal(provider.last.connection, connection, 'the same connection again');
    },
    over: async (g) => {
      await request(g, { path: MODELS });
      const { socket } = provider.last;
      await waitFor(() => socket.destroyed, 'the end of the idle connection');
      return {};
    } },
];

// ---- the runner ----

const hits = (g, limit) => g.metric(`postern_limit_hits_total{limit="${limit}"}`);

async function judge(row, gateway, out, since) {
  if (row.status !== undefined) {
    assert.equal(out.reply.status, row.status);
    assert.equal(out.reply.header('postern-error'), row.word);
  }
  if (row.word !== undefined) assert.match(out.reply.header('content-type'), /json/);
  if (row.closes) await out.c.closed();
  if (row.ending === null) {
    assert.equal((await gateway.logs('--limit', '10000')).length, since.records, 'no record');
  } else if (row.ending !== undefined) {
    const record = await gateway.logWhere((r) => r.event_id === out.eventId);
    assert.equal(record.ending, row.ending);
    assert.equal(record.end_reason, row.reason ?? 'ok');
    assert.equal(record.truncated, out.isCut ?? false);
    if (row.status !== undefined) assert.equal(record.status_code, row.status);
  }
  const more = row.metric === undefined || row.ends ? 1 : (await hits(gateway, row.metric)) - since.hits;
  assert.ok(row.key === 'limits.memory' ? more >= 1 : more === 1, `counted ${more} times`); // uploads met that one too
}

for (const row of rows) {
  describe(row.key, { skip: row.skip || false }, () => {
    let gateway;
    before(async () => {
      const config = typeof row.set === 'function' ? await row.set(row) : row.set;
      gateway = await gatewayFor(provider, { config });
    });
    after(async () => {
      row.deaf?.close();
      if (!row.ends) await gateway.stop();
    });
    test('just under', async () => {
      provider.reset();
      const before = row.metric === undefined ? 0 : await hits(gateway, row.metric);
      await row.under(gateway, row);
      if (row.metric !== undefined) assert.equal(await hits(gateway, row.metric), before);
    });
    test('just over', async () => {
      provider.reset();
      const since = {
        hits: row.metric === undefined ? 0 : await hits(gateway, row.metric),
        records: row.ending === null ? await stillRecords(gateway, row) : 0,
      };
      await judge(row, gateway, await row.over(gateway, row), since);
    });
  });
}

// How many records there are before a case that adds none; those that it makes besides are counted in.
async function stillRecords(gateway, row) {
  const extra = row.key === 'limits.connections_per_address' ? 2 : 0; // the two that hold the places
  return (await gateway.logs('--limit', '10000')).length + extra;
}

test('no limit is left out of this table', async () => {
  const { stdout } = await postern(['check', '--schema']);
  const schema = JSON.parse(stdout).properties;
  // no limits; and one that takes a second server: takeover.test.mjs holds both its sides
  const words = ['upstream.ca', 'upstream.proxy', 'upstream.no_proxy', 'limits.takeover_drain'];
  const keys = ['limits', 'upstream'].flatMap((s) => Object.keys(schema[s].properties).map((k) => `${s}.${k}`)).filter((k) => !words.includes(k));
  assert.deepEqual(rows.map((r) => r.key).sort(), keys.sort());
});
