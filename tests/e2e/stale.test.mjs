// Answers past their time to live, and callers that their provider refused: design.md 4.2, cache.stale_*.
import { test, describe, before, beforeEach } from 'node:test';
import assert from 'node:assert/strict';
import { startProvider } from './lib/provider.mjs';
import { request } from './lib/client.mjs';
import { gatewayFor } from './lib/gateway.mjs';
import * as b from './lib/bodies.mjs';
import { waitFor } from './lib/wait.mjs';

let provider, gateway;
before(async () => {
  provider = await startProvider();
  gateway = await gatewayFor(provider, {
    config: {
      gateways: {
        plain: { cache: { ttl: '1s' } },
        error: { cache: { ttl: '1s', stale_if_error: '1h' } },
        behind: { cache: { ttl: '1s', stale_while_revalidate: '1h' } },
        brief: { cache: { ttl: '1s', stale_if_error: '1ms', stale_while_revalidate: '1ms' } },
      },
      upstream: { first_byte: '1s' },
    },
  });
});
beforeEach(() => provider.reset());

let serial = 0;
const fresh = () => b.chatRequest(`old ${++serial}`);
const CHAT = '/openai/v1/chat/completions';
const ask = (name, body, key = 'sk-one') =>
  request(gateway, { path: `/v1/acc/${name}${CHAT}`, body, headers: { Authorization: `Bearer ${key}` } });
const verdict = (reply) => reply.header('cf-aig-cache-status');
const answer = (text) => (rq) => rq.json({ ...b.completion(), id: text });

// Asked once and answered; then its second has passed. Looking must not refresh it: another gateway's entry of the same age is watched.
async function aged(name) {
  const body = fresh();
  const watch = fresh();
  provider.answer = answer('old');
  assert.equal(verdict(await ask(name, body)), 'MISS');
  await ask('plain', watch);
  await waitFor(async () => verdict(await ask('plain', watch)) === 'MISS', 'the entry is past its time');
  provider.reset();
  return body;
}

describe('without a setting', () => {
  test('an answer past its time is gone', async () => {
    const body = await aged('plain');
    provider.answer = answer('new');
    const reply = await ask('plain', body);
    assert.deepEqual([verdict(reply), reply.json.id], ['MISS', 'new']);
  });
});

describe('stale_if_error', () => {
  const failures = {
    'answers 500': (rq) => rq.reply(500, {}, '{}'),
    'answers 529': (rq) => rq.reply(529, {}, '{}'),
    'closes without an answer': (rq) => rq.reset(),
    'says nothing in time': () => {},
  };
  for (const [what, fail] of Object.entries(failures)) {
    test(`a provider that ${what}: the old answer, STALE, with its age`, async () => {
      const body = await aged('error');
      provider.answer = fail;
      const reply = await ask('error', body);
      assert.deepEqual([reply.status, verdict(reply), reply.json.id], [200, 'STALE', 'old']);
      assert.ok(Number(reply.header('age')) >= 1);
      const record = await gateway.log(reply);
      assert.deepEqual([record.cache_status, record.cached, record.cost, record.status_code], ['STALE', true, 0, 200]);
      assert.ok(record.attempts >= 1);
    });
  }

  test('a provider that answers: the new answer', async () => {
    const body = await aged('error');
    provider.answer = answer('new');
    assert.deepEqual([(await ask('error', body)).json.id, verdict(await ask('error', body))], ['new', 'HIT']);
  });

  test('a 400 or 429 is the provider\'s answer, no failure', async () => {
    for (const status of [400, 429]) {
      const body = await aged('error');
      provider.answer = (rq) => rq.reply(status, {}, '{}');
      assert.equal((await ask('error', body)).status, status);
    }
  });

  test('past its own time too: the error', async () => {
    const body = await aged('brief');
    provider.answer = (rq) => rq.reply(500, {}, '{}');
    assert.equal((await ask('brief', body)).status, 500);
  });

  test('without an old answer: the error', async () => {
    provider.answer = (rq) => rq.reset();
    assert.equal((await ask('error', fresh())).status, 502);
  });
});

describe('stale_while_revalidate', () => {
  test('the old answer at once, and one refresh behind it', async () => {
    const body = await aged('behind');
    const taken = provider.next();
    const replies = await Promise.all([1, 2, 3, 4, 5].map(() => ask('behind', body)));
    assert.ok(replies.every((r) => verdict(r) === 'STALE' && r.json.id === 'old'));
    const rq = await taken;
    assert.equal(provider.requests.length, 1);
    assert.equal(rq.text, JSON.stringify(body));
    assert.equal(rq.header('authorization'), 'Bearer sk-one');
    answer('new')(rq);
    const reply = await waitFor(async () => {
      const r = await ask('behind', body);
      return verdict(r) === 'HIT' && r;
    }, 'the refreshed answer');
    assert.equal(reply.json.id, 'new');
    const [refresh] = (await gateway.logs('--limit', '1000')).filter((r) => r.client === 'refresh');
    assert.deepEqual([refresh.cache_status, refresh.status_code, refresh.attempts], ['MISS', 200, 1]);
  });

  test('a refresh that fails leaves the old answer', async () => {
    const body = await aged('behind');
    provider.answer = (rq) => rq.reply(500, {}, '{}');
    assert.equal(verdict(await ask('behind', body)), 'STALE');
    await waitFor(async () => provider.requests.length >= 1, 'a refresh');
    assert.equal(verdict(await ask('behind', body)), 'STALE');
  });
});

describe('a credential that the provider refuses', () => {
  for (const status of [401, 403]) {
    test(`${status}: nothing from the cache for it until it succeeds again; others are not concerned`, async () => {
      const [body, other] = [fresh(), fresh()];
      provider.answer = answer('first');
      for (const key of ['sk-bad', 'sk-good']) await ask('default', body, key);
      assert.equal(verdict(await ask('default', body, 'sk-bad')), 'HIT');
      provider.answer = (rq) => rq.reply(status, {}, '{}');
      assert.equal((await ask('default', other, 'sk-bad')).status, status);
      assert.equal((await ask('default', body, 'sk-bad')).status, status);
      assert.equal(verdict(await ask('default', body, 'sk-good')), 'HIT');
      provider.answer = answer('again');
      assert.equal(verdict(await ask('default', other, 'sk-bad')), 'MISS');
      assert.equal(verdict(await ask('default', body, 'sk-bad')), 'HIT');
    });
  }
});
