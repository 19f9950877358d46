// Sealed at rest, cache.seal: a copied data directory yields no prompt and no answer without the caller's key.
import { test, describe, before, beforeEach } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { randomBytes } from 'node:crypto';
import { startProvider } from './lib/provider.mjs';
import { request } from './lib/client.mjs';
import { gatewayFor, postern } from './lib/gateway.mjs';
import * as b from './lib/bodies.mjs';

let provider, gateway;
before(async () => {
  provider = await startProvider();
  gateway = await gatewayFor(provider, {
    config: { gateways: { default: { cache: { seal: true }, log: { payload: 'none' } }, open: { cache: { seal: false } }, log: { cache: { seal: true }, log: { payload: 'full', seal: true } } } },
  });
});
beforeEach(() => provider.reset());

const CHAT = '/openai/v1/chat/completions';
const ask = (body, key = 'sk-one', p = CHAT) => request(gateway, { path: p, body, headers: key ? { Authorization: `Bearer ${key}` } : {} });
const verdict = (reply) => reply.header('cf-aig-cache-status');
const canary = () => randomBytes(12).toString('hex');

function filesWith(word, directory = gateway.data) {
  const found = [];
  for (const entry of fs.readdirSync(directory, { withFileTypes: true })) {
    const file = path.join(directory, entry.name);
    if (entry.isDirectory()) found.push(...filesWith(word, file));
    else if (entry.isFile() && fs.readFileSync(file).includes(word)) found.push(file);
  }
  return found;
}
// Once the writer has committed what it was given.
async function settled() {
  await gateway.stop();
  gateway = await gateway.restart();
}

describe('a sealed answer', () => {
  for (const size of [10, 16_000, 40_000, 300_000, 3_000_000]) {
    test(`of ${size} bytes: a HIT for its caller, byte by byte, also after a restart; nothing of it on the disk`, async () => {
      const [prompt, secret] = [canary(), canary()];
      const body = b.chatRequest(prompt);
      const text = JSON.stringify({ ...b.completion(), padding: secret + 'x'.repeat(size) });
      provider.answer = (rq) => rq.json(text);
      assert.equal(verdict(await ask(body)), 'MISS');
      await settled();
      const reply = await ask(body);
      assert.deepEqual([verdict(reply), reply.text === text], ['HIT', true]);
      assert.deepEqual(filesWith(prompt), []);
      assert.deepEqual(filesWith(secret), []);
      assert.equal(verdict(await ask(body, 'sk-two')), 'MISS');
    });
  }

  test('the control: unsealed, the same search finds prompt and answer', async () => {
    const [prompt, secret] = [canary(), canary()];
    provider.answer = (rq) => rq.json({ ...b.completion(), id: secret });
    await ask(b.chatRequest(prompt), 'sk-one', `/v1/a/open${CHAT}`);
    await settled();
    assert.notDeepEqual(filesWith(prompt), []);
    assert.notDeepEqual(filesWith(secret), []);
  });

  test('of a stream is replayed as it was', async () => {
    const body = b.chatRequest(canary(), { stream: true });
    provider.answer = (rq) => rq.events(['data: {"choices":[{"delta":{"content":"a"}}]}\n\n', 'data: [DONE]\n\n']);
    const first = await ask(body);
    const second = await ask(body);
    assert.deepEqual([verdict(second), second.text], ['HIT', first.text]);
  });

  test('a large prompt is compared whole', async () => {
    const body = b.chatRequest(canary() + 'y'.repeat(100_000));
    await ask(body);
    assert.equal(verdict(await ask(body)), 'HIT');
  });

  test('without a credential nothing is stored', async () => {
    const body = b.chatRequest(canary());
    assert.equal(verdict(await ask(body, null)), 'BYPASS');
    assert.equal(verdict(await ask(body, null)), 'BYPASS');
  });
});

test('seal with scope: shared is refused', async () => {
  const r = await postern(['check', '--data', gateway.data, '--set', 'gateways.default.cache={seal: true, scope: shared}']);
  assert.equal(r.code, 1);
  assert.match(r.stderr, /gateways\.default\.cache\.seal is true while its scope is shared/);
});

describe('a sealed payload, log.seal', () => {
  const at = `/v1/a/log${CHAT}`;
  const show = async (id, env, ...more) => {
    const r = await postern(['logs', '--data', gateway.data, '--json', id, ...more], { env });
    return { ...r, record: r.code === 0 ? JSON.parse(r.stdout) : null };
  };

  test('is read with the caller\'s key, beside the server and without it, and not otherwise', async () => {
    const [prompt, secret] = [canary(), canary()];
    const body = b.chatRequest(prompt);
    provider.answer = (rq) => rq.json({ ...b.completion(), id: secret });
    const reply = await ask(body, 'sk-one', at);
    const hit = await ask(body, 'sk-one', at);
    assert.equal(verdict(hit), 'HIT');
    for (const id of [reply, hit].map((r) => r.header('cf-aig-log-id'))) {
      const closed = (await show(id)).record;
      assert.deepEqual([closed.request, closed.response, closed.request_sealed, closed.response_sealed], [null, null, true, true]);
      const open = (await show(id, { KEY: 'sk-one' }, '--unseal-env', 'KEY')).record;
      assert.deepEqual([open.request, open.response], [JSON.stringify(body), reply.text]);
      const other = (await show(id, { KEY: 'sk-two' }, '--unseal-env=KEY')).record;
      assert.deepEqual([other.request, other.response], [null, null]);
    }
    await gateway.stop();
    const open = (await show(reply.header('cf-aig-log-id'), { KEY: 'sk-one' }, '--unseal-env', 'KEY')).record;
    assert.equal(open.response, reply.text);
    assert.deepEqual(filesWith(prompt), []);
    assert.deepEqual(filesWith(secret), []);
    gateway = await gateway.restart();
  });

  test('without a credential no body is kept', async () => {
    const reply = await ask(b.chatRequest(canary()), null, at);
    const { record } = await show(reply.header('cf-aig-log-id'));
    assert.deepEqual([record.request, record.request_sealed], [null, undefined]);
  });

  test('a large one keeps its first megabyte', async () => {
    const body = b.chatRequest(canary() + 'z'.repeat(2_000_000));
    const reply = await ask(body, 'sk-one', at);
    const { record } = await show(reply.header('cf-aig-log-id'), { KEY: 'sk-one' }, '--unseal-env', 'KEY');
    assert.equal(record.request, JSON.stringify(body).slice(0, 1024 * 1024));
    assert.equal(record.request_kept, 1024 * 1024);
  });

  test('a key on the command line is refused, a variable that is not set too', async () => {
    const id = (await ask(b.chatRequest(canary()), 'sk-one', at)).header('cf-aig-log-id');
    assert.match((await show(id, {}, '--unseal', 'sk-one')).stderr, /use --unseal-env/);
    assert.match((await show(id, {}, '--unseal-env', 'NO_SUCH_VARIABLE')).stderr, /NO_SUCH_VARIABLE/);
  });
});
