// A request that waits for a handshake with its provider takes a connection that another one gives back meanwhile. Before the provider
// stands a door that lets the first connection through and holds the others, each for as long as a test likes.
import { test, describe, before, beforeEach, afterEach } from 'node:test';
import assert from 'node:assert/strict';
import net from 'node:net';
import { startProvider, startRaw } from './lib/provider.mjs';
import { connect, request } from './lib/client.mjs';
import { startGateway } from './lib/gateway.mjs';
import { makeCertificates, tlsOptions } from './lib/certificates.mjs';
import { chatRequest, completion } from './lib/bodies.mjs';
import { acceptOf, askUpgrade, KEY } from './lib/websocket.mjs';
import { waitFor, within } from './lib/wait.mjs';

const CHAT = '/openai/v1/chat/completions';

let pki, provider, door, gateway;
let n = 0; // no two requests are the same

async function startDoor(port) {
  const held = [];
  const raw = await startRaw((socket) => {
    socket.pause();
    held.push(socket);
    if (held.length === 1) raw.letThrough(0);
  });
  raw.letThrough = (i) => {
    const inner = net.connect(port, '127.0.0.1');
    inner.on('error', () => {}).on('close', () => held[i].destroy());
    held[i].on('close', () => inner.destroy());
    held[i].pipe(inner).pipe(held[i]);
  };
  raw.refuse = (i) => held[i].destroy();
  raw.isOpen = (i) => {
    held[i].resume(); // of who is not read no end is seen
    return !held[i].destroyed;
  };
  raw.holds = (count) => waitFor(() => held.length >= count, `connection ${count} at the provider`);
  return raw;
}

const failures = async () => {
  const { text } = await request(gateway, { path: '/-/metrics' });
  return [...text.matchAll(/^postern_upstream_failures_total\{[^}]*\} (\d+)$/gm)].reduce((sum, [, v]) => sum + Number(v), 0);
};

// A request under way, and its client.
async function ask() {
  const c = await connect(gateway);
  return { c, reply: c.request({ path: CHAT, body: chatRequest(`wait ${n++}`) }) };
}
async function answered({ c, reply }, rq) {
  if (rq) await rq.json(completion());
  await reply.whole();
  assert.equal(reply.status, 200, reply.text);
  assert.deepEqual(reply.json, completion());
  c.close();
}

// The request that gets the connection of the one that is answered.
async function passedOn(one, rq) {
  const coming = provider.next();
  await answered(one, rq);
  return coming;
}

async function begin(upstream = {}) {
  door = await startDoor(provider.port);
  gateway = await startGateway({ config: {
    upstream: { ca: pki.ca, ...upstream },
    providers: { openai: { base_url: `https://localhost:${door.port}/v1` } },
  } });
  const first = await ask();
  return { first, rq: await provider.next() };
}

describe('a request that waits for its connection', () => {
  before(async () => {
    pki = makeCertificates();
    provider = await startProvider({ tls: tlsOptions(pki.leaf) });
  });
  beforeEach(() => provider.reset());
  afterEach(async () => {
    await gateway.stop();
    await door.close();
  });

  test('takes one that is given back, and what was made for it harms nobody when its time is over', async () => {
    const { first, rq } = await begin({ tls: '1500ms' });
    const second = await ask();
    await door.holds(2);
    const counted = [await gateway.metric('postern_upstream_reused_total'), await gateway.metric('postern_upstream_connects_total')];
    const again = await passedOn(first, rq);
    assert.equal(again.connection, rq.connection);
    await answered(second, again);
    assert.deepEqual([await gateway.metric('postern_upstream_reused_total'), await gateway.metric('postern_upstream_connects_total')], [counted[0] + 1, counted[1]]);
    const record = await gateway.log(second.reply);
    assert.deepEqual([record.status_code, record.ending, record.attempts, record.success], [200, '--', 1, true]);
    await waitFor(() => !door.isOpen(1), 'its handshake is given up');
    assert.equal(await failures(), 0);
    provider.answer = (r) => r.json(completion());
    await answered(await ask());
    assert.equal(door.connections, 2);
  });

  test('what was made for it serves the next one that waits, and both are kept', async () => {
    const { first, rq } = await begin();
    const second = await ask();
    await door.holds(2);
    const rq2 = await passedOn(first, rq);
    const third = await ask();
    await door.holds(3);
    door.letThrough(1);
    const rq3 = await provider.next();
    assert.notEqual(rq3.connection, rq2.connection);
    const record = await Promise.all([answered(second, rq2), answered(third, rq3)]).then(() => gateway.log(third.reply));
    assert.deepEqual([record.ending, record.attempts], ['--', 1]);
    const coming = [provider.next(), provider.next()];
    const both = [await ask(), await ask()];
    const asked = await Promise.all(coming);
    assert.deepEqual(new Set(asked.map((r) => r.connection)), new Set([rq2.connection, rq3.connection]));
    await Promise.all(asked.map((r) => r.json(completion())));
    for (const one of both) await answered(one);
    assert.equal(door.connections, 3);
  });

  test('those who wait are served in their order', async () => {
    const { first, rq } = await begin();
    const waiting = [];
    for (let i = 0; i < 5; i++) {
      waiting.push(await ask());
      await door.holds(i + 2);
    }
    let next = await passedOn(first, rq);
    for (let i = 0; i < 5; i++) {
      assert.equal(next.connection, rq.connection);
      assert.ok(next.text.includes(`wait ${n - 5 + i}"`), next.text);
      next = await (i < 4 ? passedOn : answered)(waiting[i], next);
    }
    assert.equal(provider.requests.length, 6);
  });

  test('whose client leaves takes nothing and keeps nothing', async () => {
    const { first, rq } = await begin();
    const second = await ask();
    await door.holds(2);
    second.c.close();
    await waitFor(() => !door.isOpen(1), 'the connection it waited for is closed');
    await answered(first, rq);
    const record = await gateway.logWhere((r) => r.ending === 'CA');
    assert.equal(record.attempts, 1);
    provider.answer = (r) => r.json(completion());
    await answered(await ask());
    assert.deepEqual(provider.requests.map((r) => r.connection), [rq.connection, rq.connection]);
  });

  test('a provider that refuses one of two who wait', async () => {
    const { first, rq } = await begin();
    const [second, third] = [await ask(), await door.holds(2).then(ask)];
    await door.holds(3);
    door.refuse(1);
    await second.reply.whole();
    assert.deepEqual([second.reply.status, second.reply.header('postern-error')], [502, 'upstream-tls']);
    assert.equal(await failures(), 1);
    const served = await passedOn(first, rq);
    assert.equal(served.connection, rq.connection);
    door.refuse(2); // what was made for who is served
    await answered(third, served);
    assert.equal(await failures(), 1);
    second.c.close();
  });

  test('nothing is given back in time: the time-out is its own', async () => {
    const { first, rq } = await begin({ tls: '300ms' });
    const second = await ask();
    await second.reply.whole();
    assert.deepEqual([second.reply.status, second.reply.header('postern-error')], [504, 'upstream-connect-timeout']);
    assert.equal((await gateway.log(second.reply)).ending, 'TA');
    second.c.close();
    await answered(first, rq);
  });

  test('one that was given back and is closed behind the request is replaced once', async () => {
    const { first, rq } = await begin();
    const second = await ask();
    await door.holds(2);
    const lost = await passedOn(first, rq);
    lost.done();
    lost.socket.destroy();
    await door.holds(3); // a new one, and no other
    door.letThrough(2);
    const again = await provider.next();
    assert.equal(again.text, lost.text);
    await answered(second, again);
    assert.equal((await gateway.log(second.reply)).attempts, 2);
  });

  test('a WebSocket has a connection of its own', async () => {
    const { first, rq } = await begin();
    const upgrade = askUpgrade(gateway);
    await door.holds(2);
    await answered(first, rq);
    provider.answer = (r) => r.json(completion());
    await answered(await ask()); // the connection is there for others
    assert.deepEqual(provider.requests.map((r) => r.connection), [rq.connection, rq.connection]);
    door.letThrough(1);
    const asked = await provider.next();
    assert.notEqual(asked.connection, rq.connection);
    assert.equal(asked.header('upgrade'), 'websocket');
    await asked.done().write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${acceptOf(KEY)}\r\n\r\n`);
    const { reply, socket } = await within(upgrade, 'the upgrade');
    assert.equal(reply.status, 101);
    socket.destroy();
  });

  test('a body that still comes is sent whole on the connection that was given back', async () => {
    const { first, rq } = await begin();
    const c = await connect(gateway);
    const reply = c.request({ method: 'PUT', path: '/openai/v1/blob', headers: { 'Content-Type': 'application/octet-stream', 'Content-Length': 300000 } });
    await c.send(Buffer.alloc(100000, 'a'));
    await door.holds(2);
    const coming = provider.nextHead();
    await answered(first, rq);
    const upload = await coming;
    assert.equal(upload.connection, rq.connection);
    await c.send(Buffer.alloc(200000, 'b'));
    await upload.onBody.promise;
    assert.equal(upload.length, 300000);
    await upload.reply(200, {}, 'taken');
    assert.equal((await reply.whole()).text, 'taken');
    c.close();
  });

  test('a hundred at once: all are answered, over fewer connections', async () => {
    const { first, rq } = await begin();
    const many = await Promise.all(Array.from({ length: 100 }, ask));
    await door.holds(2);
    provider.answer = (r) => r.json(completion());
    await answered(first, rq);
    for (const one of many) await answered(one);
    assert.equal(provider.requests.length, 101);
    assert.deepEqual(new Set(provider.requests.map((r) => r.connection)), new Set([rq.connection]));
  });
});
