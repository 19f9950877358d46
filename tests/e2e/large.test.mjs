// Answers of megabytes: a worker reads them at their end, and the record still comes before the last bytes (src/README.md, step 9).
import { test, describe, before, beforeEach } from 'node:test';
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { startProvider } from './lib/provider.mjs';
import { connect, request } from './lib/client.mjs';
import { gatewayFor, postern } from './lib/gateway.mjs';
import { waitFor } from './lib/wait.mjs';
import * as b from './lib/bodies.mjs';

const CHAT = '/openai/v1/chat/completions';
const MB = 1024 * 1024;
const JSON_TYPE = { 'Content-Type': 'application/json' };
const ALONE = { UV_THREADPOOL_SIZE: '1' }; // one worker: what waits for it waits in a row

let provider, gateway;
before(async () => {
  provider = await startProvider();
  gateway = await gatewayFor(provider, {
    env: ALONE,
    config: { gateways: { patient: { on_disconnect: 'finish' }, other: { cache: { mode: 'off' } }, sealed: { log: { seal: true } } } },
  });
});
beforeEach(() => provider.reset());

let serial = 0;
const fresh = (more) => b.chatRequest(`at length ${++serial}`, more);
const ask = (body, options = {}) => request(gateway, { path: CHAT, body, headers: { Authorization: 'Bearer sk-large' }, ...options });
const long = (n, text = 'Hello ') => JSON.stringify(b.completion(text.repeat(Math.ceil(n / text.length))));
// Many small values: reading these takes some hundredths of a second.
const dense = (n = 6 * MB) => JSON.stringify(b.completion('x', { numbers: Array.from({ length: n / 2 }, () => 1) }));
const verdict = (reply) => reply.header('cf-aig-cache-status');
const filesUnder = (dir) => fs.readdirSync(dir, { recursive: true, withFileTypes: true }).filter((f) => f.isFile()).map((f) => path.join(f.parentPath ?? f.path, f.name));

// Several answers whose last bytes have come while the one worker still reads the first of them: { reply, connection, body, text }
async function queued(to, n, route = CHAT) {
  const text = dense();
  const last = 1000;
  const all = [];
  for (let i = 0; i < n; i++) {
    const body = fresh();
    const connection = await connect(to);
    const taken = provider.next();
    const reply = connection.request({ path: route, body, headers: { Authorization: 'Bearer sk-large' } });
    const rq = await taken;
    rq.done().head(200, { ...JSON_TYPE, 'Content-Length': text.length });
    rq.write(text.slice(0, -last));
    all.push({ reply, connection, body, rq, text });
  }
  for (const one of all) await waitFor(() => one.reply.length >= text.length - last, 'all but the end has come');
  for (const one of all) await one.rq.write(text.slice(-last));
  await request(to, { path: '/-/healthz' }); // a turn of the loop behind them
  return all;
}

describe('an answer of 5 MB', () => {
  test('is in the log, whole and counted, when the client has it', async () => {
    const own = await gatewayFor(provider);
    const text = long(5 * MB);
    provider.answer = (rq) => rq.json(text);
    const body = fresh();
    const reply = await request(own, { path: CHAT, body });
    await own.kill9();
    assert.ok(reply.text === text, 'the answer is what was sent');
    const again = await own.restart();
    const record = await again.log(reply);
    assert.deepEqual([record.tokens_in, record.tokens_out, record.ending, record.response_size], [19, 10, '--', text.length]);
    assert.deepEqual([record.request, record.response === text], [JSON.stringify(body), true]);
    await again.stop();
  });

  test('comes from the cache the second time, with its numbers', async () => {
    const text = long(5 * MB);
    provider.answer = (rq) => rq.json(text);
    const body = fresh();
    const replies = [await ask(body), await ask(body)];
    assert.deepEqual(replies.map(verdict), ['MISS', 'HIT']);
    for (const reply of replies) {
      assert.ok(reply.text === text, 'the answer is what was sent');
      const record = await gateway.log(reply);
      assert.deepEqual([record.tokens_in, record.tokens_out], [19, 10]);
    }
    assert.equal(provider.requests.length, 1);
  });

  test('in chunks, as a stream, to a path that nobody knows, with bytes that are no JSON', async () => {
    const text = long(2 * MB);
    const events = Array.from({ length: 2000 }, (_, i) => `data: {"choices":[{"delta":{"content":"${'word '.repeat(200)}${i}"}}]}\n\n`);
    const cases = [
      [(rq) => rq.events([text.slice(0, MB), text.slice(MB)], { headers: JSON_TYPE }), text, {}, 10],
      [(rq) => rq.events([...events, 'data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":7}}\n\n', 'data: [DONE]\n\n']), null, { body: fresh({ stream: true }) }, 7],
      [(rq) => rq.json(text), text, { path: '/openai/v1/unheard/of' }, null],
      [(rq) => rq.reply(200, JSON_TYPE, text.slice(0, -2)), text.slice(0, -2), {}, null],
    ];
    for (const [answer, wanted, options, tokens] of cases) {
      provider.answer = answer;
      const reply = await ask(options.body ?? fresh(), options);
      if (wanted !== null) assert.ok(reply.text === wanted, 'the answer is what was sent');
      const record = await gateway.log(reply);
      assert.deepEqual([record.status_code, record.ending, record.tokens_out, record.response === reply.text], [200, '--', tokens, true]);
    }
  });

  test('a key in the midst of it is nowhere in the log', async () => {
    const own = await gatewayFor(provider, { config: { gateways: { default: { cache: { mode: 'off' } } } } });
    const key = `sk-proj-${randomBytes(24).toString('hex')}`;
    const filler = 'Hello '.repeat(3 * MB / 6);
    provider.answer = (rq) => rq.json(b.completion(`${filler} ${key} ${filler}`));
    const reply = await request(own, { path: CHAT, body: fresh({ key_of_mine: `${filler} ${key}` }) });
    const record = await own.log(reply);
    assert.ok(reply.text.includes(key));
    for (const kept of [record.request, record.response]) {
      assert.ok(kept.includes('Hello  sk-proj-***') || kept.includes('Hello  ***'), kept.slice(filler.length, filler.length + 300));
      assert.ok(!kept.includes(key.slice(8)), 'the key is in the record');
    }
    await own.stop();
    for (const f of filesUnder(path.join(own.data, 'log'))) assert.ok(!fs.readFileSync(f).includes(key.slice(8)), f);
  });

  test('sealed: a megabyte of it is kept, for its caller', async () => {
    const text = long(2 * MB);
    provider.answer = (rq) => rq.json(text);
    const reply = await ask(fresh(), { path: `/v1/acc/sealed${CHAT}` });
    const id = reply.header('cf-aig-log-id');
    const record = await gateway.log(reply);
    assert.equal(record.tokens_out, 10);
    assert.ok(!JSON.stringify(record).includes('Hello Hello'), 'it is not to be read without the key');
    const { stdout } = await postern(['logs', '--data', gateway.data, '--json', id, '--unseal-env', 'KEY'], { env: { KEY: 'sk-large' } });
    assert.ok(JSON.parse(stdout).response === text.slice(0, MB), 'with it, a megabyte');
  });
});

test('a request of 2 MB that is refused is logged with its body', async () => {
  const own = await gatewayFor(provider, { config: { providers: { nobody: { base_url: 'http://127.0.0.1:1' } } } });
  const body = fresh({ more: 'Hello '.repeat(MB / 3) });
  const reply = await request(own, { path: '/nobody/v1/chat/completions', body });
  assert.equal(reply.status, 502);
  const record = await own.log(reply);
  assert.deepEqual([record.request === JSON.stringify(body), record.response], [true, reply.text]);
  await own.stop();
});

describe('while the worker reads', () => {
  test('a client that leaves: the record says so, nothing is stored, the others get theirs', async () => {
    const all = await queued(gateway, 3);
    const { connection, reply, body } = all[2];
    const id = reply.header('cf-aig-log-id');
    connection.abort();
    for (const one of all.slice(0, 2)) assert.ok((await one.reply.whole()).text === one.text);
    const record = await gateway.logWhere((r) => r.id === id);
    assert.deepEqual([record.ending, record.truncated, record.tokens_out], ['CS', true, 10]);
    assert.equal(verdict(await ask(body)), 'MISS');
    for (const one of all) one.connection.close();
  });

  test('with on_disconnect: finish the answer is stored all the same', async () => {
    const route = `/v1/acc/patient${CHAT}`;
    const all = await queued(gateway, 3, route);
    const { connection, reply, body, text } = all[2];
    connection.abort();
    const record = await gateway.logWhere((r) => r.id === reply.header('cf-aig-log-id'));
    assert.deepEqual([record.ending, record.tokens_out], ['CS', 10]);
    const again = await ask(body, { path: route });
    assert.deepEqual([verdict(again), again.text === text], ['HIT', true]);
    for (const one of all) one.connection.close();
  });

  test('who asks the same then follows, and gets it whole', async () => {
    const all = await queued(gateway, 3);
    const { body, text } = all[2];
    const follower = await ask(body);
    assert.deepEqual([verdict(follower), follower.text === text], ['HIT', true]);
    assert.equal(provider.requests.length, 3);
    for (const one of all) one.connection.close();
  });

  test('SIGTERM: each client gets its answer, each answer its record', async () => {
    const own = await gatewayFor(provider, { env: ALONE });
    const all = await queued(own, 3);
    own.signal('SIGTERM');
    for (const one of all) assert.ok((await one.reply.whole()).text === one.text);
    await own.stop();
    for (const one of all) {
      const record = await own.log(one.reply);
      assert.deepEqual([record.ending, record.tokens_out, record.response.length], ['--', 10, one.text.length]);
    }
  });

  test('the end of a drain: clients are cut, the records are written', async () => {
    const own = await gatewayFor(provider, { env: ALONE, config: { limits: { drain: '0s' } } });
    const all = await queued(own, 3);
    own.signal('SIGTERM');
    const ends = await Promise.all(all.map((one) => one.reply.whole().then(() => 'whole', () => 'cut')));
    await own.stop();
    assert.equal(ends[2], 'cut');
    for (const [i, one] of all.entries()) {
      const record = await own.log(one.reply);
      assert.deepEqual([record.truncated, record.tokens_out], [ends[i] === 'cut', 10], `answer ${i}: ${record.ending}`);
    }
  });
});
