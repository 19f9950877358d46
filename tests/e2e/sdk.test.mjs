// The vendors' own SDKs, with nothing changed but the base URL.
import { test, describe, before, beforeEach } from 'node:test';
import assert from 'node:assert/strict';
import OpenAI from 'openai';
import Anthropic from '@anthropic-ai/sdk';
import { startProvider, freePort } from './lib/provider.mjs';
import { gatewayFor } from './lib/gateway.mjs';
import * as b from './lib/bodies.mjs';

let provider, gateway;
before(async () => {
  provider = await startProvider();
  gateway = await gatewayFor(provider, { config: { providers: { gone: { base_url: `http://127.0.0.1:${await freePort()}` } } } });
});
beforeEach(() => provider.reset());

const openai = (more = {}) => new OpenAI({ apiKey: 'sk-sdk', baseURL: `${gateway.url}/openai`, maxRetries: 0, timeout: 10_000, ...more });
const anthropic = (more = {}) => new Anthropic({ apiKey: 'sk-ant-sdk', baseURL: `${gateway.url}/anthropic`, maxRetries: 0, timeout: 10_000, ...more });
let serial = 0;
const chat = (more) => b.chatRequest(`sdk ${++serial}`, more);
const message = (more) => b.messageRequest(`sdk ${++serial}`, more);

describe('openai', () => {
  for (const base of ['/openai', '/openai/v1', '/v1/account/default/openai']) {
    test(`chat, with the base URL ${base}`, async () => {
      const answer = await openai({ baseURL: gateway.url + base }).chat.completions.create(chat());
      assert.equal(answer.choices[0].message.content, 'Hello!');
      assert.equal(answer.usage.total_tokens, 29);
      assert.equal(provider.last.target, '/v1/chat/completions');
      assert.equal(provider.last.header('authorization'), 'Bearer sk-sdk');
    });
  }

  test('the same question again is a hit, and the SDK sees no difference', async () => {
    const body = chat();
    const first = await openai().chat.completions.create(body).withResponse();
    const second = await openai().chat.completions.create(body).withResponse();
    assert.equal(first.response.headers.get('cf-aig-cache-status'), 'MISS');
    assert.equal(second.response.headers.get('cf-aig-cache-status'), 'HIT');
    assert.deepEqual(second.data, first.data);
    assert.equal(provider.requests.length, 1);
  });

  test('chat, streamed; and replayed', async () => {
    provider.answer = (rq) => rq.events(b.chatEvents(['one ', 'two ', 'three']));
    const body = chat({ stream: true });
    for (let i = 0; i < 2; i++) {
      let text = '';
      let usage;
      for await (const part of await openai().chat.completions.create(body)) {
        text += part.choices[0]?.delta?.content ?? '';
        usage = part.usage ?? usage;
      }
      assert.equal(text, 'one two three');
      assert.equal(usage.completion_tokens, 10);
    }
    assert.equal(provider.requests.length, 1);
  });

  test('a stream that the program leaves cancels the request at the provider', async () => {
    const stream = openai().chat.completions.create(chat({ stream: true }));
    const rq = await provider.next();
    rq.stream().send(b.chatEvents()[1]);
    for await (const part of await stream) {
      assert.equal(part.choices[0].delta.content, 'Hel');
      break;
    }
    await rq.aborted();
  });

  test('abort before the first byte', async () => {
    const controller = new AbortController();
    const answer = openai().chat.completions.create(chat(), { signal: controller.signal });
    const rejected = assert.rejects(answer, OpenAI.APIUserAbortError);
    const rq = await provider.next();
    controller.abort();
    await rejected;
    await rq.aborted();
  });

  test('a stream that the provider breaks off is an error, not a short answer', async () => {
    const stream = openai().chat.completions.create(chat({ stream: true }));
    const rq = await provider.next();
    const s = rq.stream();
    s.send(b.chatEvents()[1]);
    let text = '';
    await assert.rejects(async () => {
      for await (const part of await stream) {
        text += part.choices[0].delta.content;
        rq.reset();
      }
    });
    assert.equal(text, 'Hel');
  });

  test('embeddings', async () => {
    provider.answer = (rq) => rq.json(b.embeddings());
    const answer = await openai().embeddings.create({ model: 'text-embedding-3-small', input: 'x', encoding_format: 'float' });
    assert.equal(answer.data[0].embedding.length, 3);
  });

  test('responses, streamed and not', async () => {
    provider.answer = (rq) => (JSON.parse(rq.text).stream ? rq.events(b.responseEvents()) : rq.json(b.response()));
    assert.equal((await openai().responses.create({ model: 'gpt-4.1', input: 'x' })).output_text, 'Hello!');
    const types = [];
    for await (const event of await openai().responses.create({ model: 'gpt-4.1', input: 'x', stream: true })) types.push(event.type);
    assert.equal(types.at(0), 'response.created');
    assert.equal(types.at(-1), 'response.completed');
  });

  test('moderations, models, a file up and a file down', async () => {
    provider.answer = (rq) => rq.json({ id: 'modr-1', model: 'm', results: [{ flagged: true }] });
    assert.equal((await openai().moderations.create({ input: 'x' })).results[0].flagged, true);
    provider.answer = (rq) => rq.json({ object: 'list', data: [{ id: 'gpt-4o-mini', object: 'model' }] });
    assert.equal((await openai().models.list()).data[0].id, 'gpt-4o-mini');
    provider.answer = (rq) => rq.json({ id: 'file-1', object: 'file' });
    const bytes = 'abc'.repeat(100_000);
    await openai().files.create({ file: new File([bytes], 'a.jsonl'), purpose: 'batch' });
    assert.ok(provider.last.text.includes(bytes));
    provider.answer = (rq) => rq.reply(200, { 'Content-Type': 'application/octet-stream' }, bytes);
    assert.equal(await (await openai().files.content('file-1')).text(), bytes);
  });

  const errors = [[400, 'BadRequestError'], [401, 'AuthenticationError'], [403, 'PermissionDeniedError'], [404, 'NotFoundError'], [409, 'ConflictError'], [422, 'UnprocessableEntityError'], [429, 'RateLimitError'], [500, 'InternalServerError'], [503, 'InternalServerError']];
  for (const [status, name] of errors) {
    test(`a provider's ${status} is a ${name}`, async () => {
      provider.answer = (rq) => rq.json(b.openaiError('theirs', 'some_type', 'some_code'), { status, headers: { 'x-request-id': 'req_theirs' } });
      await assert.rejects(openai().chat.completions.create(chat()), (e) => {
        assert.ok(e instanceof OpenAI[name], e.constructor.name);
        assert.equal(e.status, status);
        assert.equal(e.code, 'some_code');
        assert.equal(e.requestID, 'req_theirs');
        assert.match(e.message, /theirs/);
        return true;
      });
    });
  }

  test('a refusal of the gateway is one of the SDK\'s errors too, and says what to do', async () => {
    await assert.rejects(openai({ baseURL: `${gateway.url}/opanai` }).chat.completions.create(chat()), (e) => {
      assert.ok(e instanceof OpenAI.NotFoundError);
      assert.equal(e.code, 'unknown-provider');
      assert.match(e.message, /openai/);
      assert.equal(e.headers.get('postern-error'), 'unknown-provider');
      return true;
    });
    await assert.rejects(openai({ baseURL: `${gateway.url}/gone` }).chat.completions.create(chat()), (e) => {
      assert.ok(e instanceof OpenAI.InternalServerError);
      assert.equal(e.status, 502);
      return true;
    });
  });

  test('the SDK tries again after a 502 of ours, and gets its answer', async () => {
    provider.answer = (rq) => (provider.requests.length === 1 ? rq.end() : rq.json(b.completion('second')));
    provider.closeConnections(); // else the gateway itself would try once more
    const answer = await openai({ maxRetries: 2 }).chat.completions.create(chat());
    assert.equal(answer.choices[0].message.content, 'second');
    assert.equal(provider.requests.length, 2);
  });

  test('and after a 429, as long as the provider says', async () => {
    provider.answer = (rq) => (provider.requests.length === 1 ? rq.json(b.openaiError(), { status: 429, headers: { 'retry-after-ms': '10' } }) : rq.json(b.completion('at last')));
    const answer = await openai({ maxRetries: 1 }).chat.completions.create(chat());
    assert.equal(answer.choices[0].message.content, 'at last');
  });

  test('many at once through one client', async () => {
    provider.answer = (rq) => rq.json(b.completion(JSON.parse(rq.text).messages[0].content));
    const client = openai();
    const answers = await Promise.all(Array.from({ length: 100 }, (_, i) => client.chat.completions.create(b.chatRequest(`at once ${i}`))));
    assert.deepEqual(answers.map((a) => a.choices[0].message.content), Array.from({ length: 100 }, (_, i) => `at once ${i}`));
  });

  test('the record has the tokens', async () => {
    const { response } = await openai().chat.completions.create(chat()).withResponse();
    const record = await gateway.log(response.headers.get('cf-aig-log-id'));
    assert.equal(record.tokens_in, 19);
    assert.equal(record.tokens_out, 10);
    assert.match(record.user_agent, /OpenAI/);
  });
});

describe('anthropic', () => {
  beforeEach(() => {
    provider.answer = (rq) => (JSON.parse(rq.text).stream ? rq.events(b.messageEvents()) : rq.json(b.message()));
  });

  for (const base of ['/anthropic', '/v1/account/default/anthropic']) {
    test(`messages, with the base URL ${base}`, async () => {
      const answer = await anthropic({ baseURL: gateway.url + base }).messages.create(message());
      assert.equal(answer.content[0].text, 'Hi! My name is Claude.');
      assert.equal(answer.usage.output_tokens, 503);
      assert.equal(provider.last.target, '/v1/messages');
      assert.equal(provider.last.header('authorization'), 'Bearer sk-ant-sdk');
      assert.match(provider.last.header('anthropic-version'), /^\d{4}-\d\d-\d\d$/);
    });
  }

  test('messages, streamed; and replayed', async () => {
    const body = message();
    for (let i = 0; i < 2; i++) {
      const stream = anthropic().messages.stream(body);
      let text = '';
      stream.on('text', (t) => (text += t));
      const final = await stream.finalMessage();
      assert.equal(text, 'Hi! My name is Claude.');
      assert.equal(final.usage.output_tokens, 503);
      assert.equal(final.stop_reason, 'end_turn');
    }
    assert.equal(provider.requests.length, 1);
  });

  test('count_tokens', async () => {
    provider.answer = (rq) => rq.json({ input_tokens: 14 });
    assert.equal((await anthropic().messages.countTokens({ model: 'claude-sonnet-5-5', messages: [{ role: 'user', content: 'x' }] })).input_tokens, 14);
  });

  test('a key in x-api-key, as older versions send it', async () => {
    await anthropic({ apiKey: null, defaultHeaders: { 'X-Api-Key': 'sk-ant-old' } }).messages.create(message());
    assert.equal(provider.last.header('x-api-key'), 'sk-ant-old');
    assert.equal(provider.last.header('authorization'), undefined);
  });

  test('abort in the middle of a stream', async () => {
    const stream = anthropic().messages.stream(message());
    const ended = assert.rejects(stream.finalMessage(), Anthropic.APIUserAbortError);
    const rq = await provider.next();
    const s = rq.stream();
    stream.on('text', () => stream.abort());
    for (const e of b.messageEvents().slice(0, 4)) s.send(e);
    await ended;
    await rq.aborted();
  });

  const errors = [[400, 'BadRequestError'], [401, 'AuthenticationError'], [403, 'PermissionDeniedError'], [404, 'NotFoundError'], [429, 'RateLimitError'], [500, 'InternalServerError'], [529, 'InternalServerError']];
  for (const [status, name] of errors) {
    test(`a provider's ${status} is a ${name}`, async () => {
      provider.answer = (rq) => rq.json(b.anthropicError('some_error', 'theirs'), { status, headers: { 'request-id': 'req_theirs' } });
      await assert.rejects(anthropic().messages.create(message()), (e) => {
        assert.ok(e instanceof Anthropic[name], e.constructor.name);
        assert.equal(e.status, status);
        assert.equal(e.error.error.type, 'some_error');
        assert.equal(e.requestID, 'req_theirs');
        return true;
      });
    });
  }

  test('an error event inside a stream is an error', async () => {
    provider.answer = (rq) => rq.events([...b.messageEvents().slice(0, 4), `event: error\ndata: ${JSON.stringify(b.anthropicError())}\n\n`]);
    await assert.rejects(anthropic().messages.stream(message()).finalMessage(), /[Oo]verloaded/);
  });

  test('a refusal of the gateway is one of the SDK\'s errors too, in Anthropic\'s shape', async () => {
    await assert.rejects(anthropic({ baseURL: `${gateway.url}/gone` }).messages.create(message()), (e) => {
      assert.ok(e instanceof Anthropic.InternalServerError);
      assert.equal(e.status, 502);
      assert.equal(e.error.type, 'error');
      assert.equal(e.error.error.type, 'api_error');
      return true;
    });
  });

  test('the SDK tries again after a 502 of ours', async () => {
    provider.closeConnections();
    provider.answer = (rq) => (provider.requests.length === 1 ? rq.end() : rq.json(b.message()));
    const answer = await anthropic({ maxRetries: 1 }).messages.create(message());
    assert.equal(answer.type, 'message');
    assert.equal(provider.requests.length, 2);
  });
});
