// The cache, sentence by sentence: design.md 4.2 and 3.4; security.md 4.3.
import { test, describe, before, beforeEach } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { startProvider } from './lib/provider.mjs';
import { connect, request } from './lib/client.mjs';
import { gatewayFor, startGateway } from './lib/gateway.mjs';
import * as b from './lib/bodies.mjs';
import { SLOW, waitFor } from './lib/wait.mjs';

let provider, gateway;
before(async () => {
  provider = await startProvider();
  gateway = await gatewayFor(provider, {
    config: {
      gateways: {
        a: {}, b: {},
        off: { cache: { mode: 'off' } },
        det: { cache: { mode: 'deterministic' } },
        zero: { cache: { ttl: 0 } },
        small: { cache: { max_entry: '64KB' } },
        ignoring: { cache: { ignore: ['user', 'metadata'] } },
        heeding: { cache: { respect_upstream: true } },
        shared: { cache: { scope: 'shared' } },
      },
      providers: { twin: { base_url: `${provider.url}/v1` } },
    },
  });
});
beforeEach(() => provider.reset());

let serial = 0;
const fresh = (more) => b.chatRequest(`question ${++serial}`, more);
const CHAT = '/openai/v1/chat/completions';
const ask = (body, { path: p = CHAT, key = 'sk-one', headers = {}, to = gateway, ...more } = {}) =>
  request(to, { path: p, body, headers: { ...(key && { Authorization: `Bearer ${key}` }), ...headers }, ...more });
const verdict = (reply) => reply.header('cf-aig-cache-status');
const asks = async (...requests) => {
  const verdicts = [];
  for (const r of requests) verdicts.push(verdict(await ask(...[r].flat())));
  return verdicts;
};
const at = (name, rest = CHAT) => `/v1/acc/${name}${rest}`;

describe('the second time', () => {
  test('the same request is answered from the cache, byte by byte, with its age', async () => {
    const body = fresh();
    const text = `{ "id":"x",  "object":"chat.completion","choices":[],\n"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}, "ü":1.0 }`;
    provider.answer = (rq) => rq.json(text);
    const first = await ask(body);
    assert.equal(verdict(first), 'MISS');
    assert.equal(first.header('age'), undefined);
    const second = await ask(body);
    assert.equal(verdict(second), 'HIT');
    assert.match(second.header('age'), /^\d+$/);
    assert.ok(Number(second.header('age')) < 60);
    assert.equal(second.text, text);
    assert.equal(second.status, 200);
    assert.equal(provider.requests.length, 1);
    assert.notEqual(second.header('cf-aig-log-id'), first.header('cf-aig-log-id'));
    assert.match(second.header('postern-overhead-us'), /^\d+$/);
  });

  test('age grows', async () => {
    const body = fresh();
    await ask(body);
    await waitFor(async () => Number((await ask(body)).header('age')) >= 1, 'age 1', 5000);
  });

  test('a hit needs no provider', async () => {
    const body = fresh();
    await ask(body);
    provider.answer = (rq) => rq.reset();
    provider.closeConnections();
    assert.equal((await ask(body)).status, 200);
  });

  test('the short form and Cloudflare\'s form of one gateway share their entries', async () => {
    const body = fresh();
    assert.deepEqual(await asks([body], [body, { path: at('default') }], [body, { path: `/v1/other/default/openai/chat/completions` }]), ['MISS', 'HIT', 'HIT']);
  });

  test('a custom status of success and its type are kept', async () => {
    const body = fresh();
    provider.answer = (rq) => rq.json(b.completion(), { status: 203, headers: { 'Content-Type': 'application/json; charset=utf-8', 'Content-Disposition': 'inline' } });
    await ask(body);
    const hit = await ask(body);
    assert.equal(verdict(hit), 'HIT');
    assert.equal(hit.status, 203);
    assert.equal(hit.header('content-type'), 'application/json; charset=utf-8');
    assert.equal(hit.header('content-disposition'), 'inline');
  });

  test('no cookie, id, limit or other header of the first caller is replayed', async () => {
    const body = fresh();
    const headers = { 'Set-Cookie': '__cf_bm=1', 'X-Request-ID': 'req_1', 'openai-organization': 'acme', 'x-ratelimit-remaining-requests': '9', 'openai-processing-ms': '5', 'cf-ray': 'x', 'request-id': 'y', 'x-new-header': 'z', Server: 's' };
    provider.answer = (rq) => rq.json(b.completion(), { headers });
    const first = await ask(body);
    const hit = await ask(body);
    assert.equal(verdict(hit), 'HIT');
    for (const name of Object.keys(headers)) {
      assert.ok(first.names.includes(name.toLowerCase()), name);
      assert.ok(!hit.names.includes(name.toLowerCase()), name);
    }
  });

  test('a connection carries hits and misses in any order', async () => {
    const c = await connect(gateway);
    const [one, two] = [fresh(), fresh()];
    const seen = [];
    for (const body of [one, two, one, one, two]) seen.push(verdict(await c.request({ path: CHAT, body }).whole()));
    assert.deepEqual(seen, ['MISS', 'MISS', 'HIT', 'HIT', 'HIT']);
    c.close();
  });
});

describe('every endpoint whose answer is a function of the request', () => {
  const json = (value) => (rq) => rq.json(value);
  const stream = (events) => (rq) => rq.events(events);
  const mp3 = Buffer.from([0x49, 0x44, 0x33, 4, 0, 255, 251, 0]);
  const endpoints = [
    ['OpenAI chat', '/openai/v1/chat/completions', b.chatRequest('endpoint'), json(b.completion())],
    ['OpenAI chat, streamed', '/openai/v1/chat/completions', b.chatRequest('endpoint', { stream: true }), stream(b.chatEvents())],
    ['OpenAI chat, streamed without usage', '/openai/v1/chat/completions', b.chatRequest('no usage', { stream: true }), stream(b.chatEventsWithoutUsage())],
    ['OpenAI completions', '/openai/v1/completions', { model: 'gpt-3.5-turbo-instruct', prompt: 'x' }, json(b.textCompletion())],
    ['OpenAI responses', '/openai/v1/responses', { model: 'gpt-4.1', input: 'x' }, json(b.response())],
    ['OpenAI responses, streamed', '/openai/v1/responses', { model: 'gpt-4.1', input: 'x', stream: true }, stream(b.responseEvents())],
    ['OpenAI embeddings', '/openai/v1/embeddings', { model: 'text-embedding-3-small', input: 'x' }, json(b.embeddings())],
    ['OpenAI moderations', '/openai/v1/moderations', { model: 'omni-moderation-latest', input: 'x' }, json({ id: 'modr-1', model: 'omni-moderation-latest', results: [{ flagged: false }] })],
    ['OpenAI images', '/openai/v1/images/generations', { model: 'gpt-image-1', prompt: 'x' }, json({ created: 1713833628, data: [{ b64_json: 'aGk=' }], usage: { total_tokens: 100, input_tokens: 50, output_tokens: 50 } })],
    ['OpenAI speech', '/openai/v1/audio/speech', { model: 'tts-1', input: 'x', voice: 'alloy' }, (rq) => rq.reply(200, { 'Content-Type': 'audio/mpeg' }, mp3)],
    ['OpenAI speech in chunks', '/openai/v1/audio/speech', { model: 'tts-1', input: 'y', voice: 'alloy' }, (rq) => rq.events([mp3, mp3], { headers: { 'Content-Type': 'audio/mpeg' } })],
    ['rerank', '/openai/v1/rerank', { model: 'rerank-v3.5', query: 'x', documents: ['a'] }, json({ results: [{ index: 0, relevance_score: 0.9 }] })],
    ['Anthropic messages', '/anthropic/v1/messages', b.messageRequest(), json(b.message())],
    ['Anthropic messages, streamed', '/anthropic/v1/messages', b.messageRequest('x', { stream: true }), stream(b.messageEvents())],
    ['Anthropic count_tokens', '/anthropic/v1/messages/count_tokens', { model: 'claude-sonnet-5-5', messages: [] }, json({ input_tokens: 14 })],
    ['Gemini', '/google-ai-studio/v1beta/models/gemini-2.5-flash:generateContent', b.generateRequest(), json(b.generation())],
    ['Gemini, streamed', '/google-ai-studio/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse', b.generateRequest(), stream(b.generationEvents())],
    ['Gemini embeddings', '/google-ai-studio/v1beta/models/gemini-embedding-001:embedContent', { content: { parts: [{ text: 'x' }] } }, json({ embedding: { values: [0.1, 0.2] } })],
    ['Gemini countTokens', '/google-ai-studio/v1beta/models/gemini-2.5-flash:countTokens', b.generateRequest(), json({ totalTokens: 31 })],
  ];
  for (const [what, p, body, answer] of endpoints) {
    test(what, async () => {
      provider.answer = answer;
      const first = await ask(body, { path: p });
      const second = await ask(body, { path: p });
      assert.deepEqual([verdict(first), verdict(second)], ['MISS', 'HIT']);
      assert.deepEqual(second.body, first.body);
      assert.equal(second.header('content-type'), first.header('content-type'));
    });
  }

  const never = [
    ['files', 'POST', '/openai/v1/files', { purpose: 'x' }],
    ['batches', 'POST', '/openai/v1/batches', { input_file_id: 'x' }],
    ['fine-tuning', 'POST', '/openai/v1/fine_tuning/jobs', { model: 'x' }],
    ['assistants', 'POST', '/openai/v1/assistants', { model: 'x' }],
    ['threads', 'POST', '/openai/v1/threads', {}],
    ['runs', 'POST', '/openai/v1/threads/t/runs', {}],
    ['vector stores', 'POST', '/openai/v1/vector_stores', {}],
    ['realtime sessions', 'POST', '/openai/v1/realtime/sessions', {}],
    ['conversations', 'POST', '/openai/v1/conversations', {}],
    ['Anthropic batches', 'POST', '/anthropic/v1/messages/batches', { requests: [] }],
    ['Gemini files', 'POST', '/google-ai-studio/v1beta/files', {}],
    ['an unknown endpoint', 'POST', '/openai/v1/something/new', { model: 'x' }],
    ['models', 'GET', '/openai/v1/models'],
    ['a stored response', 'GET', '/openai/v1/responses/resp_1'],
    ['a stored completion', 'GET', '/openai/v1/chat/completions'],
    ['a deletion', 'DELETE', '/openai/v1/files/f'],
  ];
  for (const [what, method, p, body] of never) {
    test(`not ${what}`, async () => {
      assert.deepEqual(await asks([body, { method, path: p }], [body, { method, path: p }]), ['BYPASS', 'BYPASS']);
      assert.equal(provider.requests.length, 2);
    });
  }
});

describe('what is the same request', () => {
  const equal = [
    ['members in another order', '{"model":"m","messages":[],"n":1}', '{"n":1,"messages":[],"model":"m"}'],
    ['other spacing', '{"model":"m1","messages":[]}', ' {\n\t"model" : "m1" ,\r\n "messages" : [ ] }\n'],
    ['other escapes', '{"model":"m2","x":"é/\\n\\u0041"}', '{"model":"m2","x":"\\u00e9\\/\\u000aA"}'],
    ['other spellings of a number', '{"model":"m3","temperature":1,"top_p":0.5,"x":1e2}', '{"model":"m3","temperature":1.0,"top_p":5E-1,"x":100}'],
    ['nested members in another order', '{"model":"m4","tools":[{"a":{"b":1,"c":2}}]}', '{"tools":[{"a":{"c":2,"b":1}}],"model":"m4"}'],
    ['-0 and 0', '{"model":"m5","x":-0}', '{"model":"m5","x":0}'],
  ];
  for (const [what, one, two] of equal) {
    test(`${what}: HIT`, async () => {
      assert.deepEqual(await asks(one, two), ['MISS', 'HIT']);
      assert.equal(provider.requests[0].text, one, 'the provider got the bytes as they were');
    });
  }

  const different = [
    ['another text', '{"model":"d","x":"a"}', '{"model":"d","x":"A"}'],
    ['array items in another order', '{"model":"d","messages":[1,2]}', '{"model":"d","messages":[2,1]}'],
    ['a number and its text', '{"model":"d","n":1}', '{"model":"d","n":"1"}'],
    ['null and absent', '{"model":"d","seed":null}', '{"model":"d"}'],
    ['another case of a name', '{"model":"d","Seed":1}', '{"model":"d","seed":1}'],
    ['composed and decomposed letters', '{"model":"d","x":"\\u00e9"}', '{"model":"d","x":"e\\u0301"}'],
    ['9007199254740993 and 9007199254740992', '{"model":"d","seed":9007199254740993}', '{"model":"d","seed":9007199254740992}'],
    ['1e400 and 1e401', '{"model":"d","x":1e400}', '{"model":"d","x":1e401}'],
    ['0.1 and a little more', '{"model":"d","x":0.1}', '{"model":"d","x":0.10000000000000000001}'],
    ['a text that ends where another member begins', '{"model":"d","x":"a\\",\\"y\\":\\"b"}', '{"model":"d","x":"a","y":"b"}'],
    ['a stream and none', '{"model":"d","stream":true,"s":1}', '{"model":"d","stream":false,"s":1}'],
  ];
  for (const [what, one, two] of different) {
    test(`${what}: not the same`, async () => {
      assert.deepEqual(await asks(`${one} `, two), ['MISS', 'MISS']);
    });
  }

  test('a number that no double holds stands as it was written, and is found so', async () => {
    const raw = '{"model":"raw", "seed":9007199254740993}';
    assert.deepEqual(await asks(raw, raw, raw.replace(', ', ',')), ['MISS', 'HIT', 'MISS']);
  });

  test('members that the gateway ignores', async () => {
    const body = fresh();
    const to = { path: at('ignoring') };
    assert.deepEqual(await asks([{ ...body, user: 'ann' }, to], [{ ...body, user: 'bob', metadata: { a: 1 } }, to], [body, to], [{ ...body, seed: 1 }, to]), ['MISS', 'HIT', 'HIT', 'MISS']);
  });

  const headers = [
    ['anthropic-version', '2023-06-01', '2024-01-01'],
    ['anthropic-beta', 'prompt-caching-2024-07-31', 'prompt-caching-2024-07-31,files-api-2025-04-14'],
    ['openai-beta', 'assistants=v1', 'assistants=v2'],
    ['openai-organization', 'org-1', 'org-2'],
    ['openai-project', 'proj-1', 'proj-2'],
    ['accept', 'application/json', 'text/event-stream'],
    ['accept-encoding', 'gzip', 'identity'],
  ];
  for (const [name, one, two] of headers) {
    test(`another ${name} is another request`, async () => {
      const body = fresh();
      assert.deepEqual(await asks([body, { headers: { [name]: one } }], [body, { headers: { [name]: two } }], [body, { headers: { [name]: one } }]), ['MISS', 'MISS', 'HIT']);
    });
  }

  test('headers that change no answer do not count', async () => {
    const body = fresh();
    assert.deepEqual(await asks([body], [body, { headers: { 'User-Agent': 'x', 'X-Stainless-Retry-Count': '1', 'Idempotency-Key': 'k2', 'cf-aig-metadata': '{"a":1}', 'cf-aig-event-id': 'e', Accept: '*/*' } }]), ['MISS', 'HIT']);
  });

  test('another path, query, provider or gateway is another request', async () => {
    const body = { input: 'x', model: 'm', n: ++serial };
    const paths = ['/openai/v1/embeddings', '/openai/v1/moderations', '/openai/v1/embeddings?api-version=1', '/openai/v1/embeddings?api-version=2', '/openai/v2/embeddings', '/twin/v1/embeddings', at('a', '/openai/v1/embeddings'), at('b', '/openai/v1/embeddings')];
    provider.answer = (rq) => rq.json(b.embeddings());
    for (const round of ['MISS', 'HIT']) {
      for (const p of paths) assert.equal(verdict(await ask(body, { path: p })), round, p);
    }
  });

  test('the same request by another method is none', async () => {
    const body = fresh();
    assert.deepEqual(await asks([body], [body, { method: 'PUT' }]), ['MISS', 'BYPASS']);
  });
});

describe('one caller\'s answer is never given to another', () => {
  const forms = {
    Authorization: (k) => ({ Authorization: `Bearer ${k}` }),
    'x-api-key': (k) => ({ 'x-api-key': k }),
    'api-key': (k) => ({ 'api-key': k }),
    'x-goog-api-key': (k) => ({ 'x-goog-api-key': k }),
    'xi-api-key': (k) => ({ 'xi-api-key': k }),
    'x-key': (k) => ({ 'x-key': k }),
    token: (k) => ({ token: k }),
    cookie: (k) => ({ Cookie: `session=${k}` }),
    'cf-aig-authorization': (k) => ({ 'cf-aig-authorization': `Bearer ${k}` }),
    'ocp-apim-subscription-key': (k) => ({ 'ocp-apim-subscription-key': k }),
  };
  const head = 'A'.repeat(64), tail = 'Z'.repeat(64);
  for (const [form, make] of Object.entries(forms)) {
    test(`keys in ${form} that are equal in their first and last 64 bytes`, async () => {
      const body = fresh();
      const one = { key: null, headers: make(`${head}1${tail}`) };
      const two = { key: null, headers: make(`${head}2${tail}`) };
      assert.deepEqual(await asks([body, one], [body, two], [body, one], [body, two], [body, { key: null }]), ['MISS', 'MISS', 'HIT', 'HIT', 'MISS']);
    });
  }

  for (const name of ['key', 'api_key', 'access_token', 'KEY', '%6bey']) {
    test(`keys in the query (${name}=)`, async () => {
      const body = b.generateRequest(`query ${++serial}`);
      provider.answer = (rq) => rq.json(b.generation());
      const p = (k, rest = '') => [body, { key: null, path: `/google-ai-studio/v1beta/models/g:generateContent?${rest}${name}=${k}` }];
      assert.deepEqual(await asks(p(`${head}1${tail}`), p(`${head}2${tail}`), p(`${head}1${tail}`)), ['MISS', 'MISS', 'HIT']);
      assert.deepEqual(await asks(p(`${head}1${tail}`, 'alt=json&')), ['MISS']);
    });
  }

  test('fifty callers and one question: fifty answers', async () => {
    const body = fresh();
    for (let i = 0; i < 50; i++) {
      provider.answer = (rq) => rq.json(b.completion(rq.header('authorization')));
      const reply = await ask(body, { key: `sk-${'x'.repeat(40)}${i}` });
      assert.equal(reply.json.choices[0].message.content, `Bearer sk-${'x'.repeat(40)}${i}`);
    }
    assert.equal(provider.requests.length, 50);
  });

  test('a key and no key', async () => {
    const body = fresh();
    assert.deepEqual(await asks([body, { key: null }], [body], [body, { key: null }]), ['MISS', 'MISS', 'HIT']);
  });

  test('not by a cache key either, which both may choose', async () => {
    const headers = { 'cf-aig-cache-key': `chosen ${++serial}` };
    const [one, two] = [fresh(), fresh()];
    assert.deepEqual(await asks([one, { headers }], [two, { headers, key: 'sk-two' }], [two, { headers }]), ['MISS', 'MISS', 'HIT']);
  });

  test('but under scope: shared on loopback, all callers share', async () => {
    const body = fresh();
    const p = { path: at('shared') };
    assert.deepEqual(await asks([body, { ...p, key: 'sk-a' }], [body, { ...p, key: 'sk-b' }], [body, { ...p, key: null }]), ['MISS', 'HIT', 'HIT']);
    const headers = { 'cf-aig-cache-key': `chosen ${serial}` };
    assert.deepEqual(await asks([fresh(), { ...p, headers }], [fresh(), { ...p, headers, key: 'sk-c' }], [fresh(), { path: at('a'), headers }]), ['MISS', 'HIT', 'MISS']);
  });

  test('scope: shared on a listener that others reach does not start', async () => {
    await assert.rejects(startGateway({ listen: '0.0.0.0:0', config: { gateways: { default: { cache: { scope: 'shared' } } } } }), /ended with 1 before[^]*shared/);
  });
});

describe('streams', () => {
  const streaming = () => fresh({ stream: true });

  test('a stream is replayed as a stream, byte by byte', async () => {
    const body = streaming();
    const events = b.chatEvents(['a', 'b', 'c']);
    provider.answer = (rq) => rq.events([events.join('').slice(0, 100), events.join('').slice(100)]);
    const first = await ask(body);
    const second = await ask(body);
    assert.deepEqual([verdict(first), verdict(second)], ['MISS', 'HIT']);
    assert.equal(second.header('content-type'), 'text/event-stream');
    assert.equal(second.text, events.join(''));
  });

  test('a compressed stream is kept compressed, for those who take it', async () => {
    const { gzipSync } = await import('node:zlib');
    const zipped = gzipSync(b.chatEvents().join(''));
    const body = streaming();
    provider.answer = (rq) => rq.events([zipped], { headers: { 'Content-Type': 'text/event-stream', 'Content-Encoding': 'gzip' } });
    const gzip = { headers: { 'Accept-Encoding': 'gzip' } };
    await ask(body, gzip);
    const hit = await ask(body, gzip);
    assert.equal(verdict(hit), 'HIT');
    assert.equal(hit.header('content-encoding'), 'gzip');
    assert.deepEqual(hit.body, zipped);
  });

  const gemini = '/google-ai-studio/v1beta/models/g:streamGenerateContent?alt=sse';
  const unfinished = {
    'OpenAI chat without [DONE]': [CHAT, b.chatEvents().slice(0, -1)],
    'OpenAI chat whose [DONE] is cut': [CHAT, [...b.chatEvents().slice(0, -1), 'data: [DON']],
    'OpenAI responses without response.completed': ['/openai/v1/responses', b.responseEvents().slice(0, -1)],
    'Anthropic messages without message_stop': ['/anthropic/v1/messages', b.messageEvents().slice(0, -1)],
    'Gemini without a finish reason': [gemini, b.generationEvents().slice(0, -1)],
    'nothing at all': [CHAT, []],
  };
  for (const [what, [p, events]] of Object.entries(unfinished)) {
    test(`not stored: ${what}, though the framing ended well`, async () => {
      const body = streaming();
      provider.answer = (rq) => rq.events(events);
      assert.deepEqual(await asks([body, { path: p }], [body, { path: p }]), ['MISS', 'MISS']);
      assert.equal(provider.requests.length, 2);
    });
  }

  const failed = {
    'OpenAI error event': [CHAT, [...b.chatEvents().slice(0, 2), `data: ${JSON.stringify(b.openaiError('The server had an error', 'server_error', null))}\n\n`, 'data: [DONE]\n\n']],
    'OpenAI responses failed': ['/openai/v1/responses', [...b.responseEvents().slice(0, 3), `event: response.failed\ndata: ${JSON.stringify({ type: 'response.failed', response: { ...b.response(), status: 'failed', error: { code: 'server_error', message: 'x' } } })}\n\n`]],
    'Anthropic error event': ['/anthropic/v1/messages', [...b.messageEvents().slice(0, 4), `event: error\ndata: ${JSON.stringify(b.anthropicError())}\n\n`]],
    'Anthropic error event before message_stop': ['/anthropic/v1/messages', [`event: error\ndata: ${JSON.stringify(b.anthropicError())}\n\n`, ...b.messageEvents()]],
    'Gemini error': [gemini, [`data: ${JSON.stringify({ error: { code: 503, message: 'overloaded', status: 'UNAVAILABLE' } })}\n\n`]],
  };
  for (const [what, [p, events]] of Object.entries(failed)) {
    test(`not stored: ${what} inside a 200`, async () => {
      const body = streaming();
      provider.answer = (rq) => rq.events(events);
      const first = await ask(body, { path: p });
      assert.equal(first.text, events.join(''), 'it passed unchanged');
      assert.equal(verdict(await ask(body, { path: p })), 'MISS');
      assert.equal(provider.requests.length, 2);
    });
  }

  test('not stored: a stream that was cut', async () => {
    const body = streaming();
    const c = await connect(gateway);
    const reply = c.request({ path: CHAT, body, headers: { Authorization: 'Bearer sk-one' } });
    const rq = await provider.next();
    const s = rq.stream();
    for (const e of b.chatEvents()) s.send(e); // [DONE] and all, but the framing has no end
    await reply.has('[DONE]');
    rq.reset();
    await reply.cut();
    assert.equal(verdict(await ask(body)), 'MISS');
  });

  test('not stored: a stream whose client left', async () => {
    const body = streaming();
    const c = await connect(gateway);
    const reply = c.request({ path: CHAT, body, headers: { Authorization: 'Bearer sk-one' } });
    const rq = await provider.next();
    rq.stream().send(b.chatEvents()[0]);
    await reply.has('data');
    c.abort();
    await rq.aborted();
    provider.answer = (other) => other.events(b.chatEvents());
    const again = await ask(body);
    assert.equal(verdict(again), 'MISS');
    assert.equal(again.text, b.chatEvents().join(''));
  });

  test('an incomplete answer is one: response.incomplete is a proper end', async () => {
    const body = { model: 'gpt-4.1', input: `x${++serial}`, stream: true };
    const events = [...b.responseEvents().slice(0, -1), `event: response.incomplete\ndata: ${JSON.stringify({ type: 'response.incomplete', response: { ...b.response(), status: 'incomplete', incomplete_details: { reason: 'max_output_tokens' } } })}\n\n`];
    provider.answer = (rq) => rq.events(events);
    const [first, second] = [await ask(body, { path: '/openai/v1/responses' }), await ask(body, { path: '/openai/v1/responses' })];
    assert.equal(verdict(first), 'MISS');
    assert.equal(second.text, events.join(''));
  });
});

describe('what is not stored', () => {
  for (const status of [301, 400, 401, 404, 408, 429, 500, 502, 503, 529]) {
    test(`a ${status}`, async () => {
      const body = fresh();
      provider.answer = (rq) => rq.json(b.openaiError(), { status });
      assert.deepEqual(await asks(body, body), ['MISS', 'MISS']);
      assert.equal(provider.requests.length, 2);
    });
  }

  test('a 200 that is an error object', async () => {
    const body = fresh();
    provider.answer = (rq) => rq.json(b.openaiError());
    assert.deepEqual(await asks(body, body), ['MISS', 'MISS']);
  });

  for (const [what, text] of [['that is no JSON', '<html>busy</html>'], ['that is half of one', JSON.stringify(b.completion()).slice(0, -5)], ['that is empty', '']]) {
    test(`a 200 ${what}`, async () => {
      const body = fresh();
      provider.answer = (rq) => rq.json(text);
      assert.deepEqual(await asks(body, body), ['MISS', 'MISS']);
    });
  }

  test('an answer that is shorter than its length', async () => {
    const body = fresh();
    provider.answer = async (rq) => {
      await rq.head(200, { 'Content-Type': 'application/json', 'Content-Length': 1000 });
      await rq.write(JSON.stringify(b.completion()));
      rq.end();
    };
    await assert.rejects(ask(body));
    provider.answer = (rq) => rq.json(b.completion());
    assert.equal(verdict(await ask(body)), 'MISS');
  });

  for (const members of [{ store: true }, { background: true }, { previous_response_id: 'resp_1' }, { conversation: 'conv_1' }, { conversation: { id: 'conv_1' } }]) {
    test(`a request with ${JSON.stringify(members)}: BYPASS`, async () => {
      const body = { model: 'gpt-4.1', input: `x${++serial}`, ...members };
      provider.answer = (rq) => rq.json(b.response());
      const p = { path: '/openai/v1/responses' };
      assert.deepEqual(await asks([body, p], [body, p]), ['BYPASS', 'BYPASS']);
      assert.deepEqual(await asks([body, { ...p, headers: { 'cf-aig-cache-key': 'k', 'cf-aig-cache-ttl': '60' } }]), ['BYPASS'], 'asking for it does not help');
    });
  }

  test('store: false and their absence are no obstacle', async () => {
    const body = { model: 'gpt-4.1', input: `x${++serial}`, store: false, background: false, previous_response_id: null, conversation: null };
    provider.answer = (rq) => rq.json(b.response());
    const p = { path: '/openai/v1/responses' };
    assert.deepEqual(await asks([body, p], [body, p]), ['MISS', 'HIT']);
  });

  const odd = {
    'a name twice': '{"model":"m","model":"n"}',
    'a name twice, once escaped': '{"model":"m","mod\\u0065l":"n"}',
    'a name twice further in': '{"model":"m","messages":[{"a":1,"a":2}]}',
    'invalid UTF-8': Buffer.from([...Buffer.from('{"model":"'), 0xff, ...Buffer.from('"}')]),
    'a lone surrogate': '{"model":"\\ud800"}',
    'a depth over 128': `{"model":"m","x":${'['.repeat(128)}${']'.repeat(128)}}`,
    'no JSON': 'model=m',
    'nothing': '',
    'a trailing comma': '{"model":"m",}',
    'two values': '{"model":"m"}{"model":"n"}',
  };
  for (const [what, body] of Object.entries(odd)) {
    test(`${what}: forwarded as it is, BYPASS`, async () => {
      assert.deepEqual(await asks(body, body), ['BYPASS', 'BYPASS']);
      assert.deepEqual(provider.last.body, Buffer.from(body));
    });
  }

  test('a depth of 128 is none too many', async () => {
    const body = `{"model":"m","x":${'['.repeat(127)}${']'.repeat(127)}}`;
    assert.deepEqual(await asks(body, body), ['MISS', 'HIT']);
  });

  test('an answer over max_entry; one that just fits is', async () => {
    const sized = (n) => {
      const empty = JSON.stringify(b.completion('')).length;
      return JSON.stringify(b.completion('x'.repeat(n - empty)));
    };
    for (const [size, second] of [[65536, 'HIT'], [65537, 'MISS']]) {
      for (const chunked of [false, true]) {
        const body = fresh();
        const text = sized(size);
        provider.answer = (rq) => (chunked ? rq.events([text.slice(0, 40_000), text.slice(40_000)], { headers: { 'Content-Type': 'application/json' } }) : rq.json(text));
        const [one, two] = [await ask(body, { path: at('small') }), await ask(body, { path: at('small') })];
        assert.equal(one.text, text);
        assert.equal(two.text, text);
        assert.deepEqual([verdict(one), verdict(two)], ['MISS', second], `${size} bytes${chunked ? ' in chunks' : ''}`);
      }
    }
  });

  test('the provider\'s cache-control counts only with respect_upstream', async () => {
    for (const [directive, heeded] of [['no-store', 'MISS'], ['private', 'MISS'], ['no-cache', 'MISS'], ['max-age=0', 'MISS'], ['max-age=60', 'HIT'], ['public', 'HIT']]) {
      provider.answer = (rq) => rq.json(b.completion(), { headers: { 'Cache-Control': directive } });
      const body = fresh();
      const heeding = { path: at('heeding') };
      assert.deepEqual(await asks([body, heeding], [body, heeding]), ['MISS', heeded], directive);
      assert.deepEqual(await asks(body, body), ['MISS', 'HIT'], directive);
    }
  });
});

describe('what the caller may ask for', () => {
  test('cf-aig-cache-ttl: an entry lives so many seconds', async () => {
    const body = fresh();
    const headers = { 'cf-aig-cache-ttl': '1' };
    await ask(body, { headers });
    const stored = performance.now();
    assert.equal(verdict(await ask(body)), 'HIT');
    await waitFor(async () => verdict(await ask(body, { headers: { 'cf-aig-collect-log': 'false' } })) === 'MISS', 'the end of the entry', 5000);
    assert.ok(performance.now() - stored > 950, `${performance.now() - stored} ms`);
  });

  test('cf-cache-ttl and cf-skip-cache, the old names, too', async () => {
    const body = fresh();
    assert.deepEqual(await asks([body, { path: at('off'), headers: { 'cf-cache-ttl': '60' } }], [body, { path: at('off'), headers: { 'cf-cache-ttl': '60' } }], [body, { path: at('off'), headers: { 'cf-cache-ttl': '60', 'cf-skip-cache': 'true' } }]), ['MISS', 'HIT', 'MISS']);
  });

  test('cf-aig-cache-ttl: 0: neither read nor stored', async () => {
    const body = fresh();
    const headers = { 'cf-aig-cache-ttl': '0' };
    assert.deepEqual(await asks([body, { headers }], [body], [body, { headers }]), ['BYPASS', 'MISS', 'BYPASS']);
  });

  for (const headers of [{ 'cf-aig-skip-cache': 'true' }, { 'Cache-Control': 'no-cache' }]) {
    test(`${JSON.stringify(headers)}: not read, but stored`, async () => {
      const body = fresh();
      let n = 0;
      provider.answer = (rq) => rq.json(b.completion(`answer ${++n}`));
      const content = async (options) => (await ask(body, options)).json.choices[0].message.content;
      assert.equal(await content(), 'answer 1');
      assert.equal(verdict(await ask(body, { headers })), 'MISS');
      assert.equal(await content(), 'answer 2');
      assert.equal(n, 2);
    });
  }

  test('cf-aig-skip-cache: false is as if it were not there', async () => {
    const body = fresh();
    assert.deepEqual(await asks(body, [body, { headers: { 'cf-aig-skip-cache': 'false' } }]), ['MISS', 'HIT']);
  });

  test('Cache-Control: no-store: neither read nor stored', async () => {
    const body = fresh();
    const headers = { 'Cache-Control': 'no-store' };
    assert.deepEqual(await asks([body, { headers }], [body], [body, { headers }]), ['BYPASS', 'MISS', 'BYPASS']);
  });

  test('cf-aig-cache-key stands for body, headers and query', async () => {
    const headers = { 'cf-aig-cache-key': `key ${++serial}` };
    const [one, two] = [fresh(), fresh()];
    assert.deepEqual(await asks([one, { headers }], [two, { headers: { ...headers, 'openai-beta': 'x' } }], [two, { headers, path: `${CHAT}?a=b` }]), ['MISS', 'HIT', 'HIT']);
    assert.deepEqual(await asks([one], [one, { headers: { 'cf-aig-cache-key': 'another' } }]), ['MISS', 'MISS'], 'and for nothing else');
  });

  test('but not for the stream flag, the path, the provider, the gateway, or alt', async () => {
    const headers = { 'cf-aig-cache-key': `key ${++serial}` };
    provider.answer = (rq) => (/"stream":true/.test(rq.text) ? rq.events(b.chatEvents()) : rq.json(b.completion()));
    const seen = await asks(
      [fresh(), { headers }],
      [fresh({ stream: true }), { headers }],
      [fresh(), { headers, path: '/openai/v1/completions' }],
      [fresh(), { headers, path: '/twin/v1/chat/completions' }],
      [fresh(), { headers, path: at('a') }],
      [fresh(), { headers, path: `${CHAT}?alt=sse` }],
    );
    assert.deepEqual(seen, seen.map(() => 'MISS'));
    const again = await ask(fresh({ stream: true }), { headers });
    assert.equal(verdict(again), 'HIT');
    assert.equal(again.text, b.chatEvents().join(''));
  });

  test('a body without a canonical form can be cached under a key', async () => {
    const headers = { 'cf-aig-cache-key': `key ${++serial}` };
    assert.deepEqual(await asks(['{"model":"m","model":"n"}', { headers }], ['{"model":"m","model":"n"}', { headers }]), ['MISS', 'HIT']);
  });

  test('a key of 1024 bytes is none too long', async () => {
    const headers = { 'cf-aig-cache-key': 'k'.repeat(1024) };
    assert.deepEqual(await asks([fresh(), { headers }], [fresh(), { headers }]), ['MISS', 'HIT']);
  });
});

// The rest of it is in coalesce.test.mjs.
describe('at the same time', () => {
  const open = async (body) => {
    const c = await connect(gateway);
    return { c, reply: c.request({ path: CHAT, body }) };
  };

  test('followers of a flight have a record each: a hit, its tokens, cost 0, no attempt', async () => {
    const body = fresh();
    const leader = await open(body);
    const rq = await provider.next();
    const followers = [await open(body), await open(body), await open(body)];
    await request(gateway, { path: '/-/healthz' }); // by now it has read what they sent
    await rq.json(b.completion('for all'));
    assert.equal(verdict(await leader.reply.whole()), 'MISS');
    for (const { reply } of followers) {
      await reply.whole();
      assert.equal(verdict(reply), 'HIT');
      const { cached, cache_status, cost, attempts, tokens_in, tokens_out, success, response } = await gateway.log(reply);
      assert.deepEqual({ cached, cache_status, cost, attempts, tokens_in, tokens_out, success, response },
        { cached: true, cache_status: 'HIT', cost: 0, attempts: 0, tokens_in: 19, tokens_out: 10, success: true, response: leader.reply.text });
    }
    assert.equal(provider.requests.length, 1);
  });

  test('what a leader began that left before the first byte is stored all the same, when others listened', async () => {
    const body = fresh();
    const leader = await open(body);
    const rq = await provider.next();
    const follower = await open(body);
    await request(gateway, { path: '/-/healthz' });
    leader.c.abort();
    await request(gateway, { path: '/-/healthz' });
    await rq.json(b.completion('for the other'));
    await follower.reply.whole();
    assert.equal(verdict(await ask(body, { key: null })), 'HIT');
    assert.equal(provider.requests.length, 1);
  });
});

describe('modes', () => {
  test('deterministic: what has temperature 0 or a seed, embeddings, moderation and counting; nothing else', async () => {
    const p = { path: at('det') };
    for (const [more, twice] of [[{}, ['BYPASS', 'BYPASS']], [{ temperature: 0.7 }, ['BYPASS', 'BYPASS']], [{ temperature: 1, seed: 7 }, ['MISS', 'HIT']], [{ temperature: 0 }, ['MISS', 'HIT']], [{ temperature: 0.0 }, ['MISS', 'HIT']], [{ seed: 42 }, ['MISS', 'HIT']]]) {
      const body = fresh(more);
      assert.deepEqual(await asks([body, p], [body, p]), twice, JSON.stringify(more));
    }
    const others = [['/openai/v1/embeddings', b.embeddings()], ['/openai/v1/moderations', { results: [] }], ['/anthropic/v1/messages/count_tokens', { input_tokens: 1 }], ['/google-ai-studio/v1beta/models/g:countTokens', { totalTokens: 1 }]];
    for (const [rest, answer] of others) {
      provider.answer = (rq) => rq.json(answer);
      const body = { model: 'm', input: 'x' };
      assert.deepEqual(await asks([body, { path: at('det', rest) }], [body, { path: at('det', rest) }]), ['MISS', 'HIT'], rest);
    }
  });

  test('Gemini\'s generationConfig says it in its own place', async () => {
    provider.answer = (rq) => rq.json(b.generation());
    const p = { path: at('det', '/google-ai-studio/v1beta/models/g:generateContent') };
    const body = b.generateRequest(`det ${++serial}`, { generationConfig: { temperature: 0 } });
    assert.deepEqual(await asks([body, p], [body, p]), ['MISS', 'HIT']);
  });

  for (const name of ['off', 'det']) {
    test(`${name}: a cache key or a ttl asks for it all the same`, async () => {
      for (const headers of [{ 'cf-aig-cache-key': `k${++serial}` }, { 'cf-aig-cache-ttl': '60' }]) {
        const body = fresh();
        const p = { path: at(name) };
        assert.deepEqual(await asks([body, p], [body, { ...p, headers }], [body, { ...p, headers }], [body, p]), ['BYPASS', 'MISS', 'HIT', 'BYPASS']);
      }
    });
  }

  test('a ttl of 0 in the settings: nothing, unless the request names one', async () => {
    const body = fresh();
    const p = { path: at('zero') };
    const headers = { 'cf-aig-cache-ttl': '60' };
    assert.deepEqual(await asks([body, p], [body, { ...p, headers }], [body, { ...p, headers }]), ['BYPASS', 'MISS', 'HIT']);
  });
});

describe('on disk', () => {
  const kilobytes = (directory) => fs.readdirSync(directory, { withFileTypes: true, recursive: true })
    .filter((e) => e.isFile()).reduce((sum, e) => sum + fs.statSync(path.join(e.parentPath ?? e.path, e.name)).blocks / 2, 0);

  test('the store never exceeds its cap, and what is new is in it', async () => {
    const own = await gatewayFor(provider, { config: { cache: { max_size: '4MB' } } });
    const filler = 'x'.repeat(100_000);
    const c = await connect(own);
    for (let i = 0; i < 120; i++) {
      provider.answer = (rq) => rq.json(b.completion(`${filler} ${i}`));
      const reply = await c.request({ path: CHAT, body: b.chatRequest(`cap ${i}`) }).whole();
      assert.equal(reply.status, 200);
      if (i % 20 === 19) assert.ok(kilobytes(path.join(own.data, 'cache')) <= 4096 + 128, `${kilobytes(path.join(own.data, 'cache'))} KB after ${i + 1}`);
    }
    const last = await waitFor(async () => {
      const reply = await c.request({ path: CHAT, body: b.chatRequest('cap 119') }).whole();
      return verdict(reply) === 'HIT' && reply;
    }, 'the last one in the cache');
    assert.equal(last.json.choices[0].message.content, `${filler} 119`);
    assert.equal(verdict(await c.request({ path: CHAT, body: b.chatRequest('cap 0') }).whole()), 'MISS', 'the oldest went');
    c.close();
    await own.stop();
  });

  const kept = (i) => `${'y'.repeat((i % 7) * 9000)} ${i}`;
  const fill = async (to, from, n) => {
    const c = await connect(to);
    for (let i = from; i < from + n; i++) {
      provider.answer = (rq) => rq.json(b.completion(kept(i)));
      await c.request({ path: CHAT, body: b.chatRequest(`keep ${i}`) }).whole();
    }
    c.close();
  };
  // Every answer is the right one; how many were hits.
  const check = async (to, n) => {
    const c = await connect(to);
    let hits = 0;
    for (let i = 0; i < n; i++) {
      provider.answer = (rq) => rq.json(b.completion(kept(i)));
      const reply = await c.request({ path: CHAT, body: b.chatRequest(`keep ${i}`) }).whole();
      assert.equal(reply.status, 200);
      assert.equal(reply.json.choices[0].message.content, kept(i));
      hits += verdict(reply) === 'HIT';
    }
    c.close();
    return hits;
  };

  test('entries outlive a restart', async () => {
    const first = await gatewayFor(provider);
    await fill(first, 0, 30);
    await first.stop();
    const second = await first.restart();
    assert.equal(await check(second, 30), 30);
    await second.stop();
  });

  test('after kill -9 each entry is there whole or not at all, and the cache works on', async () => {
    let running = await gatewayFor(provider);
    for (let round = 0; round < 3; round++) {
      await fill(running, 0, 20 + round * 7);
      await running.kill9();
      running = await running.restart();
      await check(running, 20 + round * 7);
      await fill(running, 100, 3);
      const body = b.chatRequest('keep 100');
      assert.equal(verdict(await request(running, { path: CHAT, body })), 'HIT');
    }
    await running.stop();
  });

  const dataFiles = (of) => fs.readdirSync(path.join(of.data, 'cache'), { recursive: true }).map((f) => path.join(of.data, 'cache', f)).filter((f) => fs.statSync(f).isFile() && fs.statSync(f).size > 65536);

  test('a flipped bit in a stored answer is a miss, not another answer', async () => {
    const first = await gatewayFor(provider);
    await fill(first, 0, 20);
    await first.stop();
    let flips = 0;
    for (const f of dataFiles(first)) {
      const bytes = fs.readFileSync(f);
      for (let at = 0; (at = bytes.indexOf('y'.repeat(3000), at)) >= 0; at += 3000) {
        bytes[at + 1500] ^= 0x01;
        flips++;
      }
      fs.writeFileSync(f, bytes);
    }
    assert.ok(flips > 20, `${flips} flips`);
    const second = await first.restart();
    const hits = await check(second, 20);
    assert.ok(hits < 20 && hits >= 2, `${hits} hits: the small ones`);
    await second.stop();
  });

  test('a file that was cut short is no reason not to start, nor to answer wrongly', async () => {
    for (const part of [0.5, 0.9]) {
      const first = await gatewayFor(provider);
      await fill(first, 0, 20);
      await first.stop();
      const files = dataFiles(first);
      assert.ok(files.length > 0);
      for (const f of files) fs.truncateSync(f, Math.floor(fs.statSync(f).size * part));
      const second = await first.restart();
      await check(second, 20);
      assert.equal(await check(second, 20), 20, 'and it works on');
      await second.stop();
    }
  });

  test('nothing of prompts or keys makes the directory readable for others', () => {
    assert.equal(fs.statSync(gateway.data).mode & 0o077, 0);
  });
});

test('a hit is quick', async () => {
  const body = fresh();
  await ask(body);
  const reply = await ask(body);
  assert.ok(Number(reply.header('postern-overhead-us')) < 50_000 * SLOW, reply.header('postern-overhead-us'));
});
