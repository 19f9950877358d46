// One record for every exchange, whatever happened to it, and nobody's key in any of them: design.md 4.3, 4.5;
// security.md 4.4; newapi.md task D.
import { test, describe, before, beforeEach } from 'node:test';
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { startProvider, freePort } from './lib/provider.mjs';
import { connect, request } from './lib/client.mjs';
import { gatewayFor, startGateway, postern } from './lib/gateway.mjs';
import * as b from './lib/bodies.mjs';
import { waitFor } from './lib/wait.mjs';

const CHAT = '/openai/v1/chat/completions';
const CANCELLED = 499;

let provider, gateway;
before(async () => {
  provider = await startProvider();
  gateway = await gatewayFor(provider, {
    config: {
      gateways: { team: {}, quiet: { log: { collect: false } }, bare: { log: { payload: 'none' } }, brief: { log: { max_payload: '1KB' } } },
      providers: { nobody: { base_url: `http://127.0.0.1:${await freePort()}` } },
    },
  });
});
beforeEach(() => provider.reset());

let serial = 0;
const fresh = (more) => b.chatRequest(`question ${++serial}`, more);
const ask = (body, options = {}) => request(gateway, { path: CHAT, body, ...options });
// Runs f and gives the records that it left, oldest first.
async function recordsOf(f) {
  const known = new Set((await gateway.logs('--limit', '10000')).map((r) => r.id));
  await f();
  return (await gateway.logs('--limit', '10000')).filter((r) => !known.has(r.id)).reverse();
}

describe('one record for each exchange', () => {
  const FIELDS = ['id', 'created_at', 'provider', 'model', 'path', 'status_code', 'success', 'cached', 'duration', 'tokens_in', 'tokens_out', 'cost', 'metadata', 'step',
    'request_size', 'response_size', 'gateway', 'account', 'cache_status', 'ttfb_ms', 'ttft_ms', 'usage', 'attempts', 'end_reason', 'ending', 'key_id', 'client', 'bytes_in',
    'bytes_out', 'truncated', 'estimated', 'request_content_type', 'response_content_type', 'event_id'];

  test('a miss: every field, under its name', async () => {
    const body = fresh();
    const started = Date.now();
    const [record, ...more] = await recordsOf(() => ask(body, { path: '/v1/acme/team/openai/chat/completions?api-version=1', headers: { Authorization: 'Bearer sk-x', 'User-Agent': 'test/1' } }));
    assert.deepEqual(more, []);
    for (const name of FIELDS) assert.ok(name in record, name);
    assert.match(record.id, /^[0-9a-f-]{36}$/);
    assert.ok(Math.abs(Date.parse(record.created_at) - started) < 5000, record.created_at);
    assert.match(record.created_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/);
    const { provider: slug, model, status_code, success, cached, cache_status, step, attempts, gateway: name, account, truncated, estimated, ending } = record;
    assert.deepEqual({ slug, model, status_code, success, cached, cache_status, step, attempts, name, account, truncated, estimated, ending },
      { slug: 'openai', model: 'gpt-4o-mini', status_code: 200, success: true, cached: false, cache_status: 'MISS', step: 0, attempts: 1, name: 'team', account: 'acme', truncated: false, estimated: false, ending: '--' });
    assert.equal(record.method, 'POST');
    assert.equal(record.path, '/v1/acme/team/openai/chat/completions?api-version=1');
    assert.equal(record.tokens_in, 19);
    assert.equal(record.tokens_out, 10);
    assert.deepEqual(record.usage, { input: 15, cache_read: 4, output: 10, reasoning: 3, ...Object.fromEntries(Object.entries(record.usage).filter(([k]) => k.startsWith('audio'))) });
    assert.equal(record.request_size, JSON.stringify(body).length);
    assert.equal(record.response_size, JSON.stringify(b.completion()).length);
    assert.ok(record.bytes_in > record.request_size, `bytes_in ${record.bytes_in}: with the head`);
    assert.ok(record.bytes_out > record.response_size, `bytes_out ${record.bytes_out}: with the head`);
    assert.match(record.client, /^127\.0\.0\.1/);
    assert.match(record.key_id, /^[0-9a-f]{8}$/);
    assert.equal(record.user_agent, 'test/1');
    assert.equal(record.request_content_type, 'application/json');
    assert.equal(record.response_content_type, 'application/json');
    assert.ok(Number.isInteger(record.duration) && record.duration >= 0 && record.duration < 10_000);
    assert.ok(record.ttfb_ms >= 0 && record.ttfb_ms < 10_000);
    assert.ok(record.cost === null || record.cost > 0, 'an unknown price is null, never 0');
  });

  test('a hit: the stored tokens, cost 0, no attempt', async () => {
    const body = fresh();
    const [miss, hit] = await recordsOf(async () => {
      await ask(body);
      await ask(body);
    });
    assert.equal(hit.cached, true);
    assert.equal(hit.cache_status, 'HIT');
    assert.equal(hit.cost, 0);
    assert.equal(hit.attempts, 0);
    assert.equal(hit.success, true);
    assert.equal(hit.status_code, 200);
    assert.equal(hit.model, 'gpt-4o-mini');
    assert.equal(hit.provider, 'openai');
    for (const name of ['tokens_in', 'tokens_out', 'usage', 'response_size', 'request_size']) assert.deepEqual(hit[name], miss[name], name);
  });

  test('a refusal', async () => {
    const [record] = await recordsOf(() => request(gateway, { path: '/no-such-provider/v1/x', body: fresh() }));
    assert.equal(record.status_code, 404);
    assert.equal(record.success, false);
    assert.equal(record.end_reason, 'unknown-provider');
    assert.match(record.ending, /^C[A-Z]$/);
    assert.equal(record.attempts, 0);
    assert.equal(record.tokens_in, null);
    assert.equal(record.provider, 'no-such-provider');
  });

  test('a refusal of a header of ours, of a gateway, of a path', async () => {
    const records = await recordsOf(async () => {
      await ask(fresh(), { headers: { 'cf-aig-cache-ttl': 'x' } });
      await request(gateway, { path: '/v1/acc/no-such-gateway/openai/x' });
      await request(gateway, { path: '/openai/../x' });
    });
    assert.deepEqual(records.map((r) => [r.status_code, r.end_reason]), [[400, 'bad-header'], [400, 'unknown-gateway'], [400, 'bad-path']]);
  });

  test('a client that leaves before the head of the answer: status 499', async () => {
    const c = await connect(gateway);
    const body = fresh();
    c.request({ path: CHAT, body });
    const rq = await provider.next();
    c.abort();
    await rq.aborted();
    const record = await gateway.logWhere((r) => r.status_code === CANCELLED);
    assert.equal(record.success, false);
    assert.match(record.ending, /^C[A-Z]$/);
    assert.equal(record.end_reason, 'client-gone');
    assert.equal(record.request_size, JSON.stringify(body).length);
    assert.equal(record.truncated, false);
  });

  test('a client that leaves in the middle: the status it saw, truncated, and what it had seen', async () => {
    const c = await connect(gateway);
    const reply = c.request({ path: CHAT, body: fresh({ stream: true }) });
    const rq = await provider.next();
    const s = rq.stream();
    const seen = b.chatEvents().slice(0, 2);
    for (const e of seen) s.send(e);
    await reply.has(seen[1]);
    c.abort();
    await rq.aborted();
    const record = await gateway.logWhere((r) => r.id === reply.header('cf-aig-log-id'));
    assert.equal(record.status_code, 200);
    assert.equal(record.success, false);
    assert.equal(record.truncated, true);
    assert.match(record.ending, /^C[A-Z]$/);
    assert.equal(record.response_size, seen.join('').length);
    assert.equal(record.estimated, true, 'tokens of what was seen are an estimate');
    const [full] = await gateway.logs(record.id);
    assert.equal(full.response, seen.join(''));
  });

  test('a client that leaves while it sends its body', async () => {
    const c = await connect(gateway);
    c.send('POST /openai/v1/files HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 1000\r\ncf-aig-event-id: uploading\r\n\r\nsome');
    await provider.nextHead();
    c.abort();
    const record = await gateway.logWhere((r) => r.event_id === 'uploading');
    assert.equal(record.status_code, CANCELLED);
  });

  test('a client that leaves before its body is complete, so that no provider was asked', async () => {
    const c = await connect(gateway);
    await c.send(`POST ${CHAT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\ncf-aig-event-id: halfway\r\n\r\n{"model":`);
    // the gateway has read the head when it answers another connection
    await request(gateway, { path: '/-/healthz' });
    c.abort();
    const record = await gateway.logWhere((r) => r.event_id === 'halfway');
    assert.equal(record.status_code, CANCELLED);
    assert.equal(record.attempts, 0);
  });

  test('a provider that breaks off in the middle', async () => {
    const c = await connect(gateway);
    const reply = c.request({ path: CHAT, body: fresh({ stream: true }) });
    const rq = await provider.next();
    rq.stream().send(b.chatEvents()[1]);
    await reply.has('data');
    rq.reset();
    await reply.cut();
    const record = await gateway.log(reply);
    assert.equal(record.status_code, 200);
    assert.equal(record.success, false);
    assert.equal(record.truncated, true);
    assert.match(record.ending, /^U[A-Z]$/);
    assert.equal(record.end_reason, 'upstream-closed');
  });

  test('a provider that is not there', async () => {
    const [record] = await recordsOf(() => request(gateway, { path: '/nobody/v1/chat/completions', body: fresh() }));
    assert.equal(record.status_code, 502);
    assert.equal(record.end_reason, 'upstream-connect');
    assert.match(record.ending, /^U[A-Z]$/);
    assert.equal(record.attempts, 1);
    assert.equal(record.model, 'gpt-4o-mini');
  });

  for (const status of [400, 401, 429, 500, 529]) {
    test(`a provider's ${status} is no success, and its own`, async () => {
      provider.answer = (rq) => rq.json(b.openaiError(), { status });
      const [record] = await recordsOf(() => ask(fresh()));
      assert.equal(record.status_code, status);
      assert.equal(record.success, false);
      assert.equal(record.truncated, false);
      assert.equal(record.ending, '--');
      assert.equal(record.attempts, 1);
    });
  }

  test('what is passed uninspected: uploads, GET, HEAD', async () => {
    const records = await recordsOf(async () => {
      await request(gateway, { path: '/openai/v1/files', body: 'abc', headers: { 'Content-Type': 'text/plain' } });
      await request(gateway, { path: '/openai/v1/models' });
      await request(gateway, { method: 'DELETE', path: '/openai/v1/files/1' });
    });
    assert.deepEqual(records.map((r) => [r.method, r.cache_status, r.status_code, r.request_size]), [['POST', 'BYPASS', 200, 3], ['GET', 'BYPASS', 200, 0], ['DELETE', 'BYPASS', 200, 0]]);
  });

  test('pipelined requests: one each, in their order', async () => {
    const c = await connect(gateway);
    const records = await recordsOf(async () => {
      const replies = [1, 2, 3].map((i) => c.request({ path: `/openai/v1/models/${i}` }));
      for (const reply of replies) await reply.whole();
    });
    assert.deepEqual(records.map((r) => r.path), ['/openai/v1/models/1', '/openai/v1/models/2', '/openai/v1/models/3']);
    c.close();
  });

  test('many at once: neither more nor fewer', async () => {
    const records = await recordsOf(async () => {
      await Promise.all(Array.from({ length: 200 }, (_, i) => request(gateway, { path: i % 2 ? CHAT : '/openai/v1/models', ...(i % 2 && { body: b.chatRequest(`many ${i % 10}`) }) })));
    });
    assert.equal(records.length, 200);
    assert.equal(new Set(records.map((r) => r.id)).size, 200);
  });

  test('health and metrics leave none; nor does what is no HTTP', async () => {
    const records = await recordsOf(async () => {
      await request(gateway, { path: '/-/healthz' });
      await request(gateway, { path: '/-/readyz' });
      await request(gateway, { path: '/-/metrics' });
      const c = await connect(gateway);
      c.send('NONSENSE\r\n\r\n');
      await c.closed();
    });
    assert.deepEqual(records, []);
  });
});

describe('what the caller may say of its record', () => {
  test('metadata and event id are kept', async () => {
    const reply = await ask(fresh(), { headers: { 'cf-aig-metadata': '{"team":"a","n":1.5,"beta":true,"none":null}', 'cf-aig-event-id': 'order-4711' } });
    const record = await gateway.log(reply);
    assert.deepEqual(record.metadata, { team: 'a', n: 1.5, beta: true, none: null });
    assert.equal(record.event_id, 'order-4711');
  });

  test('cf-aig-collect-log: false: no record', async () => {
    const records = await recordsOf(() => ask(fresh(), { headers: { 'cf-aig-collect-log': 'false' } }));
    assert.deepEqual(records, []);
  });

  test('cf-aig-collect-log-payload: false: a record without bodies', async () => {
    const reply = await ask(fresh(), { headers: { 'cf-aig-collect-log-payload': 'false' } });
    const record = await gateway.log(reply);
    assert.equal(record.request ?? null, null);
    assert.equal(record.response ?? null, null);
    assert.equal(record.tokens_in, 19);
  });

  test('settings of a gateway: no records, or none unless asked for', async () => {
    const records = await recordsOf(async () => {
      await ask(fresh(), { path: '/v1/a/quiet/openai/chat/completions' });
      await ask(fresh(), { path: '/v1/a/quiet/openai/chat/completions', headers: { 'cf-aig-collect-log': 'true', 'cf-aig-event-id': 'asked' } });
    });
    assert.deepEqual(records.map((r) => r.event_id), ['asked']);
  });

  test('settings of a gateway: no bodies, whoever asks for them', async () => {
    const reply = await ask(fresh(), { path: '/v1/a/bare/openai/chat/completions', headers: { 'cf-aig-collect-log-payload': 'true' } });
    const record = await gateway.log(reply);
    assert.equal(record.request ?? null, null);
    assert.equal(record.response ?? null, null);
  });

  test('the same key has the same key_id in whatever form; another key another', async () => {
    const idOf = async (headers, query = '') => (await gateway.log(await ask(fresh(), { headers, path: CHAT + query }))).key_id;
    const one = await idOf({ Authorization: 'Bearer sk-one' });
    assert.match(one, /^[0-9a-f]{8}$/);
    assert.equal(await idOf({ 'x-api-key': 'sk-one' }), one);
    assert.equal(await idOf({}, '?key=sk-one'), one);
    assert.notEqual(await idOf({ Authorization: 'Bearer sk-two' }), one);
    assert.equal(await idOf({}), null);
  });
});

describe('tokens', () => {
  const answers = {
    'OpenAI chat': [CHAT, b.chatRequest('t'), (rq) => rq.json(b.completion()), b.tokens.openai],
    'OpenAI chat, streamed': [CHAT, b.chatRequest('t', { stream: true, stream_options: { include_usage: true } }), (rq) => rq.events(b.chatEvents()), b.tokens.openai],
    'OpenAI chat, streamed in odd pieces': [CHAT, b.chatRequest('t2', { stream: true }), (rq) => rq.events(b.chatEvents().join('').match(/[^]{1,37}/g)), b.tokens.openai],
    'OpenAI chat, compressed': [CHAT, b.chatRequest('t3'), (rq) => rq.reply(200, { 'Content-Type': 'application/json', 'Content-Encoding': 'gzip' }, gzipSync(JSON.stringify(b.completion()))), b.tokens.openai],
    'OpenAI chat, streamed and compressed': [CHAT, b.chatRequest('t4', { stream: true }), (rq) => rq.events([gzipSync(b.chatEvents().join(''))], { headers: { 'Content-Type': 'text/event-stream', 'Content-Encoding': 'gzip' } }), b.tokens.openai],
    'OpenAI completions': ['/openai/v1/completions', { model: 'gpt-3.5-turbo-instruct', prompt: 'x' }, (rq) => rq.json(b.textCompletion()), b.tokens.completions],
    'OpenAI embeddings': ['/openai/v1/embeddings', { model: 'text-embedding-3-small', input: 'x' }, (rq) => rq.json(b.embeddings()), b.tokens.embeddings],
    'OpenAI responses': ['/openai/v1/responses', { model: 'gpt-4.1', input: 'x' }, (rq) => rq.json(b.response()), b.tokens.responses],
    'OpenAI responses, streamed': ['/openai/v1/responses', { model: 'gpt-4.1', input: 'x', stream: true }, (rq) => rq.events(b.responseEvents()), b.tokens.responses],
    'Anthropic': ['/anthropic/v1/messages', b.messageRequest('t'), (rq) => rq.json(b.message()), b.tokens.anthropic],
    'Anthropic, streamed': ['/anthropic/v1/messages', b.messageRequest('t', { stream: true }), (rq) => rq.events(b.messageEvents()), b.tokens.anthropic],
    'Gemini': ['/google-ai-studio/v1beta/models/gemini-2.5-flash:generateContent', b.generateRequest(), (rq) => rq.json(b.generation()), b.tokens.gemini],
    'Gemini, streamed': ['/google-ai-studio/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse', b.generateRequest(), (rq) => rq.events(b.generationEvents()), b.tokens.gemini],
    'Gemini, streamed as a JSON array': ['/google-ai-studio/v1beta/models/gemini-2.5-flash:streamGenerateContent', b.generateRequest('array'), (rq) => rq.events([`[${b.generationEvents().map((e) => e.trim().replace('data: ', '')).join('\n,\r\n')}\n]`], { headers: { 'Content-Type': 'application/json' } }), b.tokens.gemini],
  };
  for (const [what, [p, body, answer, expected]] of Object.entries(answers)) {
    test(what, async () => {
      provider.answer = answer;
      const reply = await request(gateway, { path: p, body, headers: { 'Accept-Encoding': 'gzip', 'cf-aig-skip-cache': 'true' } });
      const record = await gateway.log(reply);
      assert.equal(record.tokens_in, expected.in);
      assert.equal(record.tokens_out ?? undefined, expected.out);
      for (const [name, n] of Object.entries(expected.usage)) assert.equal(record.usage[name], n, name);
      const others = Object.entries(record.usage).filter(([name, n]) => !(name in expected.usage) && n !== 0);
      assert.deepEqual(others, []);
      assert.equal(record.estimated, false);
      assert.ok(record.model, 'a model');
      assert.equal(record.success, true);
      if (/streamed$/.test(what)) assert.ok(record.ttft_ms >= 0, `ttft_ms ${record.ttft_ms}`);
    });
  }

  test('a stream without usage is estimated, and says so', async () => {
    provider.answer = (rq) => rq.events(b.chatEventsWithoutUsage(['a', 'b', 'c', 'd']));
    const record = await gateway.log(await ask(fresh({ stream: true })));
    assert.equal(record.estimated, true);
    assert.ok(record.tokens_out >= 3 && record.tokens_out <= 8, `${record.tokens_out}`);
    assert.ok(record.tokens_in > 0);
  });

  test('an answer without usage that is no stream: unknown, not 0', async () => {
    const { usage, ...rest } = b.completion();
    provider.answer = (rq) => rq.json(rest);
    const record = await gateway.log(await ask(fresh()));
    assert.equal(record.tokens_in, null);
    assert.equal(record.tokens_out, null);
  });

  test('the metrics add them up, hits not counted twice', async () => {
    const own = await gatewayFor(provider);
    const body = fresh();
    for (let i = 0; i < 3; i++) await request(own, { path: CHAT, body });
    const text = (await request(own, { path: '/-/metrics' })).text;
    assert.match(text, /^postern_tokens_total\{direction="in"\} 19$/m);
    assert.match(text, /^postern_tokens_total\{direction="out"\} 10$/m);
    assert.match(text, /^postern_requests_total\{cache="hit"\} 2$/m);
    assert.match(text, /^postern_requests_total\{cache="miss"\} 1$/m);
    await own.stop();
  });
});

describe('payloads', () => {
  test('both bodies, as the client sent and saw them', async () => {
    const body = '{ "model":"m", "messages":[ {"role":"user","content":"h\\u00e9llo ☃"} ] }';
    const answer = '{"id":"x",\n "choices":[], "ü":1.0}';
    provider.answer = (rq) => rq.json(answer);
    const record = await gateway.log(await ask(body));
    assert.equal(record.request, body);
    assert.equal(record.response, answer);
  });

  test('of a hit too, and of a hit of a differently written request its own', async () => {
    const body = fresh();
    const first = await ask(body);
    const second = await ask(body);
    const spaced = JSON.stringify(body, null, 2);
    const third = await ask(spaced);
    assert.equal(third.header('cf-aig-cache-status'), 'HIT');
    assert.equal((await gateway.log(first)).request, JSON.stringify(body));
    assert.equal((await gateway.log(second)).request, JSON.stringify(body));
    assert.equal((await gateway.log(second)).response, first.text);
    assert.equal((await gateway.log(third)).request, spaced);
    assert.equal((await gateway.log(third)).response, first.text);
  });

  test('of a stream, all its events', async () => {
    provider.answer = (rq) => rq.events(b.chatEvents());
    const record = await gateway.log(await ask(fresh({ stream: true })));
    assert.equal(record.response, b.chatEvents().join(''));
  });

  test('of an upload', async () => {
    const record = await gateway.log(await request(gateway, { path: '/openai/v1/files', body: 'line 1\nline 2\n', headers: { 'Content-Type': 'text/plain' } }));
    assert.equal(record.request, 'line 1\nline 2\n');
  });

  test('of a refusal, what we said', async () => {
    const early = await request(gateway, { path: '/no-such-provider/v1/x', body: '{"a":1}' });
    const late = await request(gateway, { path: '/nobody/v1/chat/completions', body: '{"b":2}' });
    assert.equal((await gateway.log(late)).request, '{"b":2}');
    assert.equal((await gateway.log(late)).response, late.text);
    assert.equal((await gateway.log(early)).response, early.text);
  });

  test('up to max_payload each', async () => {
    const text = 'x'.repeat(5000);
    const record = await gateway.log(await ask(fresh({ user: text }), { path: '/v1/a/brief/openai/chat/completions' }));
    assert.equal(record.request.length, 1024);
    assert.ok(record.request.startsWith('{"model":"gpt-4o-mini"'));
    assert.ok(record.request_size > 5000);
    assert.ok(record.response.length <= 1024);
  });

  test('a large one', async () => {
    const text = randomBytes(1_000_000).toString('hex');
    provider.answer = (rq) => rq.json(b.completion(text));
    const record = await gateway.log(await ask(fresh({ user: text })));
    assert.ok(record.request.includes(text));
    assert.ok(record.response.includes(text));
  });

  test('bytes that are no text do not break the JSON', async () => {
    provider.answer = (rq) => rq.reply(200, { 'Content-Type': 'audio/mpeg' }, Buffer.from([0x49, 0xff, 0, 0xc3, 0x28, 0x1b]));
    const record = await gateway.log(await request(gateway, { path: '/openai/v1/audio/speech', body: { model: 'tts-1', input: 'x' } }));
    assert.equal(record.response_size, 6);
    assert.ok('response' in record);
  });
});

describe('postern logs', () => {
  let own, ids;
  before(async () => {
    own = await gatewayFor(provider, { config: { gateways: { other: {} } } });
    provider.reset();
    const ask = async (options) => (await request(own, options)).header('cf-aig-log-id');
    ids = {};
    ids.miss = await ask({ path: CHAT, body: b.chatRequest('filters') });
    ids.hit = await ask({ path: CHAT, body: b.chatRequest('filters') });
    provider.answer = (rq) => rq.json(b.message());
    ids.claude = await ask({ path: '/anthropic/v1/messages', body: b.messageRequest('filters') });
    provider.answer = (rq) => rq.json(b.openaiError(), { status: 429 });
    ids.limited = await ask({ path: '/v1/acc/other/openai/chat/completions', body: b.chatRequest('limited') });
    provider.answer = (rq) => rq.json(b.openaiError(), { status: 503 });
    ids.failed = await ask({ path: CHAT, body: b.chatRequest('failed') });
    ids.refused = await ask({ path: '/nowhere/x' });
  });
  const listed = async (...args) => (await own.logs(...args)).map((r) => Object.keys(ids).find((k) => ids[k] === r.id));

  test('newest first', async () => {
    assert.deepEqual(await listed(), ['refused', 'failed', 'limited', 'claude', 'hit', 'miss']);
  });

  const filters = [
    [['--limit', '2'], ['refused', 'failed']],
    [['--limit=1'], ['refused']],
    [['--provider', 'anthropic'], ['claude']],
    [['--provider', 'openai', '--limit', '1'], ['failed']],
    [['--model', 'gpt-4o-mini'], ['failed', 'limited', 'hit', 'miss']],
    [['--model', 'no-such-model'], []],
    [['--status', '429'], ['limited']],
    [['--status', '5xx'], ['failed']],
    [['--status', '400-499'], ['refused', 'limited']],
    [['--status', '2xx'], ['claude', 'hit', 'miss']],
    [['--cached'], ['hit']],
    [['--gateway', 'other'], ['limited']],
    [['--gateway', 'default', '--status', '200', '--provider', 'openai'], ['hit', 'miss']],
    [['--since', '1h'], ['refused', 'failed', 'limited', 'claude', 'hit', 'miss']],
    [['--until', '1h'], []],
    [['--since', '2020-01-01', '--until', '2020-01-02'], []],
    [['--since', '2020-01-01T00:00:00Z', '--limit', '1'], ['refused']],
  ];
  for (const [args, expected] of filters) {
    test(args.join(' '), async () => assert.deepEqual(await listed(...args), expected));
  }

  test('--since and --until of a record\'s own time cut there', async () => {
    const { created_at } = (await own.logs(ids.claude))[0];
    const since = await listed('--since', created_at);
    assert.ok(since.includes('claude') && since.includes('refused'));
    const until = await listed('--until', created_at);
    assert.ok(until.includes('miss') && !until.includes('refused'));
  });

  test('one record by its id, with its bodies', async () => {
    const [record, ...more] = await own.logs(ids.miss);
    assert.deepEqual(more, []);
    assert.equal(record.id, ids.miss);
    assert.equal(record.request, JSON.stringify(b.chatRequest('filters')));
  });

  test('without --json: a table for people; of one record its fields and bodies', async () => {
    const list = await postern(['logs', '--data', own.data]);
    assert.equal(list.code, 0);
    const lines = list.stdout.trimEnd().split('\n');
    assert.equal(lines.length, 7, list.stdout);
    assert.match(lines[1], /404/);
    assert.ok(!lines[0].includes('{'));
    const one = await postern(['logs', '--data', own.data, ids.claude]);
    assert.match(one.stdout, /claude-sonnet-5-5/);
    assert.match(one.stdout, /My name is Claude/);
  });

  test('what a peer sent cannot write to a terminal', async () => {
    await request(own, { path: CHAT, body: b.chatRequest('\u001b[2J\u009b evil', { model: 'm\u001b[31m\nfake line' }), headers: { 'User-Agent': 'ua\x1b]0;title\x07', 'cf-aig-event-id': 'e\x9b31m' } }).catch(() => {});
    const list = await postern(['logs', '--data', own.data, '--limit', '1']);
    const [{ id }] = await own.logs('--limit', '1');
    const one = await postern(['logs', '--data', own.data, id]);
    for (const { stdout } of [list, one]) assert.ok(!/[\x00-\x08\x0b-\x1f\x7f-\x9f]/.test(stdout), JSON.stringify(stdout));
    assert.equal(list.stdout.trimEnd().split('\n').length, 2);
  });

  test('wrong arguments: one line that says what would be right, and 1', async () => {
    for (const args of [['--status', 'bad'], ['--since', 'whenever'], ['--limit', '0'], ['--limit'], ['--no-such'], ['not-an-id'], ['01234567-89ab-7def-8123-456789abcdef']]) {
      const r = await postern(['logs', '--data', own.data, ...args]);
      assert.equal(r.code, 1, `${args}: ${r.code}`);
      assert.match(r.stderr, /^postern: [^\n]+\n$/, args.join(' '));
    }
  });

  test('the same after the server ended', async () => {
    const before = await own.logs();
    const [one] = await own.logs(ids.claude);
    await own.stop();
    assert.deepEqual(await own.logs(), before);
    assert.deepEqual((await own.logs(ids.claude))[0], one);
    assert.deepEqual((await own.logs('--status', '429')).map((r) => r.id), [ids.limited]);
  });

  test('and after the next start, with new ones in front', async () => {
    const again = await own.restart();
    provider.reset();
    const reply = await request(again, { path: CHAT, body: b.chatRequest('after') });
    const all = await again.logs();
    assert.equal(all[0].id, reply.header('cf-aig-log-id'));
    assert.ok(all.some((r) => r.id === ids.miss));
    assert.ok(all[0].id > all[1].id);
    await again.stop();
  });
});

describe('kill -9', () => {
  test('right behind an answer that was read: its record is there, read without a server and after the next start', async () => {
    let running = await gatewayFor(provider);
    const seen = [];
    for (let round = 0; round < 4; round++) {
      const c = await connect(running);
      for (let i = 0; i < 1 + round * 10; i++) {
        provider.answer = i % 3 === 2 ? (rq) => rq.events(b.chatEvents()) : (rq) => rq.json(b.completion(`${round} ${i}`));
        const reply = await c.request({ path: CHAT, body: b.chatRequest(`${round} ${i % 7}`, i % 3 === 2 ? { stream: true } : {}) }).whole();
        seen.push([reply.header('cf-aig-log-id'), reply.text]);
      }
      await running.kill9();
      if (round % 2) assert.deepEqual((await running.logs('--limit', '10000')).map((r) => r.id).reverse(), seen.map(([id]) => id));
      running = await running.restart();
      assert.deepEqual((await running.logs('--limit', '10000')).map((r) => r.id).reverse(), seen.map(([id]) => id));
    }
    for (const [id, text] of seen.slice(-5)) assert.equal((await running.logs(id))[0].response, text);
    await running.stop();
  });

  test('a refusal\'s record outlives it too', async () => {
    const own = await gatewayFor(provider);
    const reply = await request(own, { path: '/nowhere/x' });
    await own.kill9();
    assert.equal((await own.logs())[0].id, reply.header('cf-aig-log-id'));
  });
});

describe('nobody\'s key is written anywhere', () => {
  // FRONT, a number that tells which one, BACK: any part of it that is long enough to be of use shows one of the two.
  const FRONT = randomBytes(7).toString('hex');
  const BACK = randomBytes(7).toString('hex');
  const FRONT_IN_BASE64 = Buffer.from(`user:${FRONT}`).toString('base64').slice(8, 22);
  const places = [];
  const canary = (where) => `${FRONT}${(places.push(where) - 1).toString(16).padStart(4, '0')}${BACK}`;
  const basic = (where) => `Basic ${Buffer.from(`user:${canary(where)}`).toString('base64')}`;

  const HEADERS = ['authorization', 'x-api-key', 'api-key', 'Api-Key', 'x-goog-api-key', 'xi-api-key', 'x-key', 'mj-api-secret', 'token', 'proxy-authorization', 'cf-aig-authorization',
    'ocp-apim-subscription-key', 'x-amz-security-token', 'x-auth-token', 'x-portkey-api-key', 'helicone-auth', 'cf-access-jwt-assertion', 'x-goog-iam-authorization-token', 'x-litellm-api-key', 'apikey', 'x_api_key'];
  const SCHEMES = ['Bearer ', 'Token ', 'Key ', '', 'bearer  '];
  const PARAMETERS = ['key', 'access_token', 'api_key', 'api-key', 'apikey', 'token', 'sig', 'signature', 'code', 'auth', 'X-Amz-Signature', 'X-Amz-Credential', 'X-Amz-Security-Token', 'X-Goog-Signature', 'KEY', '%6bey', 'Api%5FKey'];

  // One request for each place that a credential can be in.
  function positions(base) {
    const list = [];
    const add = (where, headers, query = '') => list.push({ where: `${base}: ${where}`, headers, query });
    for (const name of HEADERS) add(`header ${name}`, { [name]: canary(`${base}: header ${name}`) });
    for (const scheme of SCHEMES) add(`authorization ${scheme}`, { Authorization: scheme + canary(`${base}: authorization ${scheme}`) });
    add('authorization Basic', { Authorization: basic(`${base}: authorization Basic`) });
    add('authorization AWS4', { Authorization: `AWS4-HMAC-SHA256 Credential=${canary(`${base}: AWS4 credential`)}/20260101/us-east-1/bedrock/aws4_request, SignedHeaders=host, Signature=${canary(`${base}: AWS4 signature`)}`, 'X-Amz-Security-Token': canary(`${base}: AWS4 token`), 'X-Amz-Date': '20260101T000000Z' });
    add('authorization TC3', { Authorization: `TC3-HMAC-SHA256 Credential=${canary(`${base}: TC3 credential`)}/2026-01-01/x/tc3_request, SignedHeaders=host, Signature=${canary(`${base}: TC3 signature`)}` });
    add('two of one header', [['x-api-key', canary(`${base}: first of two`)], ['x-api-key', canary(`${base}: second of two`)]]);
    add('cookie', { Cookie: `session=${canary(`${base}: cookie`)}; other=${canary(`${base}: second cookie`)}` });
    for (const name of PARAMETERS) add(`query ${name}`, {}, `a=b&${name}=${canary(`${base}: query ${name}`)}&c=d`);
    add('subprotocol', { 'Sec-WebSocket-Protocol': `realtime, openai-insecure-api-key.${canary(`${base}: openai subprotocol`)}, cf-aig-authorization.${canary(`${base}: cf subprotocol`)}, xi-api-key.${canary(`${base}: xi subprotocol`)}, fal-api-key.${canary(`${base}: fal subprotocol`)}` });
    add('subprotocol of Deepgram', { 'Sec-WebSocket-Protocol': `token, ${canary(`${base}: deepgram subprotocol`)}` });
    add('a header that nobody thought of', { 'X-New-Vendor-Password': canary(`${base}: unknown header`), 'X-Whatever': canary(`${base}: another unknown header`) });
    return list;
  }

  function filesUnder(directory) {
    return fs.readdirSync(directory, { withFileTypes: true, recursive: true }).filter((e) => e.isFile()).map((e) => path.join(e.parentPath ?? e.path, e.name));
  }
  const hasText = (bytes, text) => (Buffer.isBuffer(bytes) ? bytes.indexOf(text, 0, 'latin1') : bytes.indexOf(text));
  // Where canaries are found, and of which place.
  function search(haystacks) {
    const found = [];
    for (const [name, bytes] of haystacks) {
      for (const [mark, from, to] of [[FRONT, 14, 18], [BACK, -4, 0], [FRONT_IN_BASE64, 0, 0]]) {
        const at = hasText(bytes, mark);
        if (at < 0) continue;
        const number = bytes.slice(at + from, at + to).toString();
        found.push(`${places[parseInt(number, 16)] ?? 'a part'} in ${name}`);
      }
    }
    return found;
  }

  test('in no header, query, cookie or subprotocol, with hits, misses, refusals and failures', { timeout: 120_000 }, async () => {
    const own = await gatewayFor(provider, { config: { providers: { nobody: { base_url: `http://127.0.0.1:${await freePort()}` } } } });
    const bodyCanary = `body${randomBytes(12).toString('hex')}`;
    const answerCanary = `answer${randomBytes(12).toString('hex')}`;
    provider.answer = (rq) => (rq.text.includes('reset me') ? rq.reset() : rq.text.includes('fail me') ? rq.json(b.openaiError(), { status: 401 }) : rq.text.includes('cut me') ? rq.write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc').then(() => rq.end()) : rq.json(b.completion(answerCanary)));
    const ways = {
      'a miss': [CHAT, b.chatRequest(bodyCanary)],
      'a pass': ['/openai/v1/models', undefined],
      'an upload': ['/openai/v1/files', 'plain text'],
      'an unknown provider': ['/no-such-provider/v1/x', {}],
      'an unknown gateway': ['/v1/acc/no-such-gateway/openai/x', {}],
      'a bad path': ['/openai/v1/../x', {}],
      'a provider that is not there': ['/nobody/v1/chat/completions', b.chatRequest('nobody')],
      'a provider that resets': [CHAT, b.chatRequest('reset me')],
      'a provider that breaks off': [CHAT, b.chatRequest('cut me')],
      'a provider\'s 401': [CHAT, b.chatRequest('fail me')],
      'AWS\'s host': ['/aws-bedrock/bedrock-runtime/us-east-1/model/x/invoke', null],
    };
    for (const [way, [p, body]] of Object.entries(ways)) {
      const c = { current: await connect(own) };
      for (const { headers, query } of positions(way)) {
        if (body === null && !/AWS4/.test(headers.Authorization ?? '')) continue; // would go out to AWS
        if (c.current.isEnded) c.current = await connect(own);
        const options = { path: query ? `${p}?${query}` : p, headers, body: body === null ? {} : body };
        await c.current.request(options).whole().catch(() => {});
        if (way === 'a miss') assert.equal((await c.current.request(options).whole()).header('cf-aig-cache-status'), 'HIT', `${JSON.stringify(headers)} ${query}`);
      }
      c.current.close();
    }
    // what never becomes an exchange: broken heads, WebSockets, a client that leaves
    for (const [way, bytes] of [['broken framing', 'Content-Length: 1\r\nTransfer-Encoding: chunked\r\n'], ['a broken header', 'Bad Header: x\r\n'], ['a broken expectation', 'Expect: x\r\n'], ['a WebSocket', 'Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n']]) {
      for (const { headers, query } of positions(way)) {
        const c = await connect(own);
        const reply = c.expect();
        const list = (Array.isArray(headers) ? headers : Object.entries(headers)).map(([n, v]) => `${n}: ${v}\r\n`).join('');
        c.send(`GET /openai/v1/realtime?${query} HTTP/1.1\r\nHost: x\r\n${list}${bytes}\r\n`);
        await reply.whole().catch(() => {});
        c.close();
      }
    }
    for (const { headers, query } of positions('a client that leaves').slice(0, 8)) {
      const c = await connect(own);
      c.request({ path: `${CHAT}?${query}`, headers, body: b.chatRequest('leaves') });
      const rq = await provider.next();
      c.abort();
      await rq.aborted();
    }
    await waitFor(async () => (await own.logs('--limit', '10000')).filter((r) => r.status_code === CANCELLED).length === 8, 'the last records');

    const records = await own.logs('--limit', '10000');
    assert.ok(records.length > 400, `${records.length} records`);
    assert.ok(places.length > 700, `${places.length} canaries`);
    const decoded = [];
    // some of every kind with their payloads
    for (const r of records.filter((rec, i) => i % 7 === 0)) decoded.push([`logs ${r.id}`, JSON.stringify((await own.logs(r.id))[0])]);
    const list = (await postern(['logs', '--data', own.data, '--limit', '10000'])).stdout;
    const metrics = (await request(own, { path: '/-/metrics' })).text;
    const haystacks = () => [
      ...filesUnder(own.data).map((f) => [f, fs.readFileSync(f)]),
      ['stdout', own.stdout], ['stderr', own.stderr], ['logs --json', JSON.stringify(records)], ['logs', list], ['metrics', metrics], ...decoded,
    ];
    assert.deepEqual(search(haystacks()), []);

    // the control: the same search finds what is there
    for (const [what, planted] of [['planted', canary('planted')], ['planted, a part of it', canary('x').slice(0, 15)], ['planted in base64', basic('y')]]) {
      const file = path.join(own.data, 'planted');
      fs.writeFileSync(file, Buffer.concat([randomBytes(5000), Buffer.from(planted), randomBytes(5000)]));
      assert.ok(search(haystacks()).some((f) => f.endsWith(` in ${file}`)), what);
      fs.rmSync(file);
    }
    // a body is a payload, and there it stands
    const withText = (text) => haystacks().filter(([, bytes]) => hasText(bytes, text) >= 0).map(([name]) => name);
    assert.ok(withText(bodyCanary).some((name) => name.startsWith('logs ')));
    assert.ok(withText(answerCanary).some((name) => name.startsWith('logs ')));
    const bodyOnly = await request(own, { path: CHAT, body: b.chatRequest(canary('a body')) });
    assert.equal(search([['its record', JSON.stringify(await own.log(bodyOnly))]])[0], 'a body in its record');

    await own.stop();
  });

  test('a query is kept but for its secrets', async () => {
    const reply = await request(gateway, { path: `${CHAT}?api-version=2024-10-21&key=abcdefgh&alt=sse`, body: fresh() });
    assert.equal((await gateway.log(reply)).path, `${CHAT}?api-version=2024-10-21&key=***&alt=sse`);
  });

  test('a key that a misplaced base URL puts into the path is masked', async () => {
    const key = `sk-proj-${randomBytes(24).toString('hex')}`;
    const one = await request(gateway, { path: `/${key}/v1/chat/completions`, body: fresh() });
    const two = await request(gateway, { path: `/openai/v1/${key}`, body: fresh() });
    for (const reply of [one, two]) assert.ok(!JSON.stringify(await gateway.log(reply)).includes(key.slice(8)), 'in the record');
    await gateway.stop();
    for (const f of filesUnder(gateway.data)) assert.ok(!fs.readFileSync(f).includes(key.slice(8)), f);
    assert.ok(!gateway.stderr.includes(key.slice(8)));
    assert.match(JSON.stringify(await gateway.log(two)), /\*\*\*/);
  });
});

test('the log\'s directory is nobody else\'s', async () => {
  const own = await startGateway();
  for (const f of fs.readdirSync(own.data, { withFileTypes: true, recursive: true })) {
    const mode = fs.statSync(path.join(f.parentPath ?? f.path, f.name)).mode & 0o777;
    assert.equal(mode & 0o077, 0, `${f.name}: ${mode.toString(8)}`);
  }
  await own.stop();
});
