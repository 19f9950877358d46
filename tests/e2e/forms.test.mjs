// Across forms, cache.cross_form: a stored stream answers the same request without `stream`, and the reverse.
import { test, describe, before, beforeEach } from 'node:test';
import assert from 'node:assert/strict';
import { gzipSync } from 'node:zlib';
import OpenAI from 'openai';
import Anthropic from '@anthropic-ai/sdk';
import { startProvider } from './lib/provider.mjs';
import { request } from './lib/client.mjs';
import { gatewayFor } from './lib/gateway.mjs';

let provider, gateway;
before(async () => {
  provider = await startProvider();
  gateway = await gatewayFor(provider, { config: { gateways: { default: { cache: { cross_form: true } }, apart: { cache: { cross_form: false } } } } });
});
beforeEach(() => provider.reset());

let serial = 0;
const verdict = (reply) => reply.header('cf-aig-cache-status');
const form = (reply) => reply.header('postern-cache-form');
const ask = (path, body, headers = { Authorization: 'Bearer sk-one' }) => request(gateway, { path, body, headers });
const CHAT = '/openai/v1/chat/completions';
const chat = (more) => ({ model: 'gpt-4o-mini', messages: [{ role: 'user', content: `form ${serial}` }], ...more });
const plain = {
  id: 'chatcmpl-1', object: 'chat.completion', created: 1, model: 'gpt-4o-mini',
  choices: [{ index: 0, message: { role: 'assistant', content: 'Grüße 👋 and more', refusal: null }, logprobs: null, finish_reason: 'stop' }],
  usage: { prompt_tokens: 9, completion_tokens: 5, total_tokens: 14 },
};
const chunk = (more) => `data: ${JSON.stringify({ id: 'chatcmpl-1', object: 'chat.completion.chunk', created: 1, model: 'gpt-4o-mini', ...more })}\n\n`;
const delta = (d, finish_reason = null) => chunk({ choices: [{ index: 0, delta: d, logprobs: null, finish_reason }] });
const streamed = [
  delta({ role: 'assistant', content: '', refusal: null }), delta({ content: 'Grüße ' }), delta({ content: '👋 and more' }), delta({}, 'stop'),
  chunk({ choices: [], usage: plain.usage }), 'data: [DONE]\n\n',
];
const usage = { stream: true, stream_options: { include_usage: true } };
beforeEach(() => serial++);

describe('OpenAI chat', () => {
  test('a stored stream answers the plain request', async () => {
    provider.answer = (rq) => rq.events(streamed);
    assert.equal(verdict(await ask(CHAT, chat(usage))), 'MISS');
    const reply = await ask(CHAT, chat());
    assert.deepEqual([verdict(reply), form(reply), reply.header('content-type')], ['HIT', 'converted', 'application/json']);
    assert.deepEqual(reply.json, plain);
    assert.equal(provider.requests.length, 1);
    const record = await gateway.log(reply);
    assert.deepEqual([record.cached, record.tokens_in, record.tokens_out, record.cost, record.stream, record.response], [true, 9, 5, 0, false, reply.text]);
  });

  test('a stored plain answer answers the streamed request, accepted by the SDK', async () => {
    provider.answer = (rq) => rq.json(plain);
    const client = new OpenAI({ apiKey: 'sk-one', baseURL: `${gateway.url}/openai/v1`, maxRetries: 0 });
    await client.chat.completions.create(chat());
    const done = await client.chat.completions.stream(chat({ stream_options: { include_usage: true } })).finalChatCompletion();
    assert.equal(done.choices[0].message.content, 'Grüße 👋 and more');
    assert.deepEqual(done.usage, plain.usage);
    assert.equal(provider.requests.length, 1);
  });

  test('a compressed one too', async () => {
    provider.answer = (rq) => rq.reply(200, { 'Content-Type': 'application/json', 'Content-Encoding': 'gzip' }, gzipSync(JSON.stringify(plain)));
    const headers = { Authorization: 'Bearer sk-one', 'Accept-Encoding': 'gzip' };
    await ask(CHAT, chat(), headers);
    const reply = await ask(CHAT, chat({ stream: true }), headers);
    assert.deepEqual([verdict(reply), form(reply), reply.header('content-encoding')], ['HIT', 'converted', undefined]);
    assert.match(reply.text, /data: \[DONE\]\n\n$/);
  });

  test('its own form comes first', async () => {
    provider.answer = (rq) => rq.events(streamed);
    await ask(CHAT, chat(usage));
    provider.answer = (rq) => rq.json({ ...plain, id: 'own' });
    await ask(CHAT, chat(), { Authorization: 'Bearer sk-one', 'cf-aig-skip-cache': 'true' });
    const reply = await ask(CHAT, chat());
    assert.deepEqual([verdict(reply), form(reply), reply.json.id], ['HIT', undefined, 'own']);
  });

  test('a stream without usage, or with what nobody knows, is a MISS', async () => {
    provider.answer = (rq) => rq.events(streamed.filter((e) => !e.includes('usage')));
    await ask(CHAT, chat({ stream: true }));
    provider.answer = (rq) => rq.json(plain);
    assert.equal(verdict(await ask(CHAT, chat())), 'MISS');
    serial++;
    provider.answer = (rq) => rq.json({ ...plain, novelty: 1 });
    await ask(CHAT, chat());
    provider.answer = (rq) => rq.events(streamed);
    assert.equal(verdict(await ask(CHAT, chat({ stream: true }))), 'MISS');
  });

  test('another caller, another question, another gateway: a MISS', async () => {
    provider.answer = (rq) => rq.json(plain);
    await ask(CHAT, chat());
    provider.answer = (rq) => rq.events(streamed);
    assert.equal(verdict(await ask(CHAT, chat(usage), { Authorization: 'Bearer sk-two' })), 'MISS');
    assert.equal(verdict(await ask(CHAT, { ...chat(usage), temperature: 1 })), 'MISS');
    assert.equal(verdict(await ask(`/v1/a/apart${CHAT}`, chat(usage))), 'MISS');
  });
});

describe('without the setting', () => {
  test('forms are kept apart', async () => {
    provider.answer = (rq) => rq.json(plain);
    await ask(`/v1/a/apart${CHAT}`, chat());
    provider.answer = (rq) => rq.events(streamed);
    assert.equal(verdict(await ask(`/v1/a/apart${CHAT}`, chat(usage))), 'MISS');
  });
});

describe('Anthropic messages', () => {
  const message = {
    id: 'msg_1', type: 'message', role: 'assistant', model: 'claude-sonnet-4-5',
    content: [{ type: 'text', text: 'Hello there' }, { type: 'tool_use', id: 'toolu_1', name: 'look', input: { at: ['a', 1] } }],
    stop_reason: 'tool_use', stop_sequence: null,
    usage: { input_tokens: 10, cache_creation_input_tokens: 0, cache_read_input_tokens: 0, output_tokens: 7 },
  };
  const asked = () => ({ model: 'claude-sonnet-4-5', max_tokens: 64, messages: [{ role: 'user', content: `form ${serial}` }] });

  test('a stored answer as a stream and back, accepted by the SDK', async () => {
    provider.answer = (rq) => rq.json(message);
    const client = new Anthropic({ apiKey: 'sk-ant-one', baseURL: `${gateway.url}/anthropic`, maxRetries: 0 });
    const first = await client.messages.create(asked());
    const streamedMessage = await client.messages.stream(asked()).finalMessage();
    assert.deepEqual(streamedMessage.content, first.content);
    assert.equal(streamedMessage.stop_reason, 'tool_use');
    assert.equal(streamedMessage.usage.output_tokens, 7);
    assert.equal(provider.requests.length, 1);
  });
});
