// Coalescing, design.md 4.2: identical requests at the same time share one upstream call.
import { test, describe, before, beforeEach } from 'node:test';
import assert from 'node:assert/strict';
import { startProvider } from './lib/provider.mjs';
import { connect, request } from './lib/client.mjs';
import { gatewayFor } from './lib/gateway.mjs';
import * as b from './lib/bodies.mjs';
import { SLOW, waitFor } from './lib/wait.mjs';

let provider, gateway;
before(async () => {
  provider = await startProvider();
  gateway = await gatewayFor(provider, {
    config: { gateways: { alone: { cache: { coalesce: false } }, small: { cache: { max_entry: '256KB' } } } },
  });
});
beforeEach(() => provider.reset());

let serial = 0;
const fresh = (more) => b.chatRequest(`together ${++serial}`, more);
const CHAT = '/openai/v1/chat/completions';
const at = (name) => `/v1/acc/${name}${CHAT}`;
const asking = (body, { path = CHAT, key = 'sk-one', headers = {} } = {}) => ({ path, body, headers: { Authorization: `Bearer ${key}`, ...headers } });
const ask = (body, options) => request(gateway, asking(body, options));
const verdict = (reply) => reply.header('cf-aig-cache-status');
const metric = async (name) => {
  const { text } = await request(gateway, { path: '/-/metrics' });
  return Number(text.match(new RegExp(`^${name} (\\d+)$`, 'm'))[1]);
};
// n exchanges wait (and the one that asks for the metrics)
const waiting = (n) => waitFor(async () => (await metric('postern_exchanges_active')) > n, `${n} exchanges wait`);
const next = (n) => Array.from({ length: n }, () => provider.next());
const event = (word) => `data: {"choices":[{"delta":{"content":"${word}"}}]}\n\n`;

// A leader and a follower of one stream, each on its connection, both with its first event.
async function pair(path = CHAT) {
  const body = fresh({ stream: true });
  const [taken] = next(1);
  const [one, two] = [await connect(gateway), await connect(gateway)];
  const leader = one.request(asking(body, { path }));
  const rq = await taken;
  const stream = rq.stream();
  stream.send(event('a'));
  await leader.has('"a"');
  const follower = two.request(asking(body, { path }));
  await follower.has('"a"');
  return { body, rq, stream, one, two, leader, follower };
}

describe('one flight', () => {
  test('many identical requests reach the provider once: one MISS, the others HITs with the same bytes', async () => {
    const n = 1000 / SLOW;
    const body = fresh();
    const text = JSON.stringify(b.completion());
    const [taken] = next(1);
    const all = Array.from({ length: n }, () => ask(body));
    const rq = await taken;
    await waiting(n);
    rq.json(text);
    const replies = await Promise.all(all);
    assert.equal(provider.requests.length, 1);
    assert.ok(replies.every((r) => r.status === 200 && r.text === text));
    assert.equal(replies.filter((r) => verdict(r) === 'MISS').length, 1);
    assert.equal(replies.filter((r) => verdict(r) === 'HIT').length, n - 1);
    const records = await gateway.logs('--limit', String(n));
    assert.equal(records.filter((r) => r.cached).length, n - 1);
    assert.ok(records.every((r) => r.ending === '--' && r.tokens_out > 0));
    assert.ok(records.filter((r) => r.cached).every((r) => r.cost === 0 && r.attempts === 0));
    const hit = records.find((r) => r.cached);
    const [shown] = await gateway.logs(hit.id);
    assert.deepEqual([shown.request, shown.response], [JSON.stringify(body), text]);
  });

  test('a stream: a follower gets what has arrived, then each event as it comes', async () => {
    const { body, stream, leader, follower } = await pair();
    for (const word of ['b', 'c']) {
      stream.send(event(word));
      await leader.has(`"${word}"`);
      await follower.has(`"${word}"`);
    }
    stream.send('data: [DONE]\n\n');
    stream.end();
    await leader.whole();
    await follower.whole();
    assert.equal(follower.text, leader.text);
    assert.deepEqual([verdict(leader), verdict(follower)], ['MISS', 'HIT']);
    assert.equal((await ask(body)).text, leader.text);
    assert.equal(provider.requests.length, 1);
  });

  test('events that came together go to a follower as one piece, not each by itself', async () => {
    const { rq, stream, follower } = await pair();
    const events = Array.from({ length: 100 }, (_, i) => event(`n${i}`));
    const before = follower.pieces.length;
    rq.socket.cork();
    events.forEach((e) => stream.send(e));
    stream.send('data: [DONE]\n\n');
    rq.socket.uncork();
    await follower.has('[DONE]');
    stream.end();
    await follower.whole();
    assert.equal(follower.text, [event('a'), ...events, 'data: [DONE]\n\n'].join(''));
    // one, unless a socket on the way cut it
    assert.ok(follower.pieces.length - before <= 10, `${follower.pieces.length - before} pieces`);
  });

  test('a leader whose client leaves goes on for who follows', async () => {
    const { body, stream, one, leader, follower } = await pair();
    one.abort();
    await leader.cut();
    await gateway.logWhere((r) => r.id === follower.header('cf-aig-log-id')).catch(() => {});
    stream.send(event('b'));
    await follower.has('"b"');
    stream.send('data: [DONE]\n\n');
    stream.end();
    await follower.whole();
    assert.equal(verdict(await ask(body)), 'HIT');
    const record = await gateway.log(leader);
    assert.equal(record.ending[0], 'C');
  });

  test('when the last follower leaves too, the provider sees it', async () => {
    const { rq, one, two, leader, follower } = await pair();
    one.abort();
    two.abort();
    await rq.aborted();
    for (const reply of [leader, follower]) {
      const record = await gateway.logWhere((r) => r.id === reply.header('cf-aig-log-id'));
      assert.equal(record.truncated, true);
      assert.equal(record.ending[0], 'C');
    }
  });

  test('an answer that cannot have a body is not shared: it would be written with one', async () => {
    const body = fresh();
    const [taken] = next(1);
    const all = Array.from({ length: 3 }, () => ask(body));
    const rq = await taken;
    await waiting(3);
    provider.answer = (own) => own.write('HTTP/1.1 204 No Content\r\n\r\n');
    rq.write('HTTP/1.1 204 No Content\r\n\r\n');
    for (const reply of [...(await Promise.all(all)), await ask(body)]) {
      assert.equal(reply.status, 204);
      assert.deepEqual(['transfer-encoding', 'content-length'].map((name) => reply.header(name)), [undefined, undefined]);
    }
  });

  test('an HTTP/1.0 client follows too', async () => {
    const body = JSON.stringify(fresh({ stream: true }));
    const [taken] = next(1);
    const first = ask(body);
    const rq = await taken;
    const stream = rq.stream();
    const old = await connect(gateway);
    const reply = old.expect('POST');
    old.send(`POST ${CHAT} HTTP/1.0\r\nAuthorization: Bearer sk-one\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    stream.send(event('a'));
    await reply.has('"a"');
    stream.send('data: [DONE]\n\n');
    stream.end();
    await reply.whole();
    assert.equal(reply.header('transfer-encoding'), undefined);
    assert.equal(reply.text, (await first).text);
  });
});

describe('a leader that fails', () => {
  for (const status of [429, 500]) {
    test(`is answered ${status}: one follower goes next, the others wait for it`, async () => {
      const body = fresh();
      const taken = next(2);
      const all = [1, 2, 3].map(() => ask(body));
      const first = await taken[0];
      await waiting(3);
      first.reply(status, { 'Content-Type': 'application/json' }, '{"error":{"message":"no"}}');
      (await taken[1]).json(b.completion());
      const replies = await Promise.all(all);
      assert.equal(provider.requests.length, 2);
      assert.deepEqual(replies.map((r) => r.status).sort(), [200, 200, status]);
      assert.deepEqual(replies.map(verdict).sort(), ['HIT', 'MISS', 'MISS']);
    });
  }

  test('twice: then each goes alone', async () => {
    const body = fresh();
    const taken = next(4);
    const all = [1, 2, 3, 4].map(() => ask(body));
    const first = await taken[0];
    await waiting(4);
    first.reply(500, {}, '{}');
    (await taken[1]).reply(500, {}, '{}');
    const [third, fourth] = [await taken[2], await taken[3]];
    third.json(b.completion());
    fourth.json(b.completion());
    assert.deepEqual((await Promise.all(all)).map((r) => r.status).sort(), [200, 200, 500, 500]);
    assert.equal(provider.requests.length, 4);
  });

  test('whose connection breaks before the answer: a follower goes next', async () => {
    // on a connection of its own: one from the pool would be replaced first
    const cold = await startProvider();
    const taken = [cold.next(), cold.next()];
    const other = await gatewayFor(cold);
    const body = fresh();
    const all = [1, 2].map(() => request(other, asking(body)));
    const first = await taken[0];
    await waitFor(async () => /^postern_exchanges_active 3$/m.test((await request(other, { path: '/-/metrics' })).text), 'both wait');
    first.reset();
    (await taken[1]).json(b.completion());
    assert.deepEqual((await Promise.all(all)).map((r) => r.status).sort(), [200, 502]);
  });

  test('is cut in the middle: its followers are cut too, visibly, and nothing is stored', async () => {
    const { body, rq, leader, follower } = await pair();
    rq.reset();
    await leader.cut();
    await follower.cut();
    provider.answer = (r) => r.events(['data: [DONE]\n\n']);
    assert.equal(verdict(await ask(body)), 'MISS');
  });
});

describe('who does not share', () => {
  const apart = async (...requests) => {
    const taken = next(requests.length);
    const all = requests.map((r) => r());
    for (const rq of await Promise.all(taken)) rq.json(b.completion());
    assert.ok((await Promise.all(all)).every((r) => r.status === 200));
  };

  test('two credentials, equal but for one character', async () => {
    const body = fresh();
    const key = `sk-${'k'.repeat(64)}`;
    await apart(() => ask(body, { key: `${key}1${key}` }), () => ask(body, { key: `${key}2${key}` }));
  });

  test('requests that do not read the cache, or do not store', async () => {
    const body = fresh();
    await apart(
      () => ask(body),
      () => ask(body, { headers: { 'cf-aig-skip-cache': 'true' } }),
      () => ask(body, { headers: { 'Cache-Control': 'no-store' } }),
    );
  });

  test('a gateway with coalesce: false', async () => {
    const body = fresh();
    await apart(() => ask(body, { path: at('alone') }), () => ask(body, { path: at('alone') }));
  });
});

test('a follower that does not read holds up nobody, and past max_entry is cut visibly', async () => {
  const { stream, two, leader, follower } = await pair(at('small'));
  leader.keep = false;
  follower.keep = false;
  two.socket.pause();
  const piece = Buffer.alloc(64 * 1024, 'x');
  const before = gateway.memory('RssAnon');
  for (let sent = 0; sent < 32 * 1024 * 1024; sent += piece.length) await stream.send(piece);
  stream.end();
  await leader.whole();
  assert.ok(gateway.memory('RssAnon') - before < 16 * 1024 * 1024 * SLOW, 'nothing of it is held for the one that lags');
  two.socket.resume();
  await follower.cut();
  const record = await gateway.log(follower);
  assert.deepEqual([record.cached, record.truncated], [true, true]);
});
