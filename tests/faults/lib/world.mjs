// A provider whose every answer is its own, a set of questions to ask again and again, and what may be said of an
// answer: it is right if it is, byte for byte, one that the provider gave to that very question.
//
//   const world = await startWorld();
//   const gateway = await gatewayFor(world.provider, ...);
//   const seen = await world.ask(gateway, world.question('chat', 7));     checked; what the log must say of it
//   const records = await checkLog(gateway, world.seen);                  every one of them, once, as it was
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { startProvider } from '../../e2e/lib/provider.mjs';
import { connect } from '../../e2e/lib/client.mjs';
import { postern } from '../../e2e/lib/gateway.mjs';
import { chatRequest, chatEvents, completion, openaiError, tokens } from '../../e2e/lib/bodies.mjs';

const CHAT = '/openai/v1/chat/completions';
const LARGE = 300_000;

// Text that does not compress to nothing.
// One word: behind a '/' of base64 the redaction took chance letters for a key (ABSK...), about once in a thousand bodies.
const noise = (n) => randomBytes(Math.ceil(n * 0.75)).toString('base64').replace(/[+/]/g, 'x').slice(0, n);

const kinds = {
  chat: { status: 200, tokens: tokens.openai, body: (text) => chatRequest(text), answer: (rq, mark) => rq.json(completion(mark)) },
  stream: { status: 200, tokens: tokens.openai, body: (text) => chatRequest(text, { stream: true }), answer: (rq, mark) => rq.events(chatEvents([mark, ' and', ' so', ' on'])) },
  large: { status: 200, tokens: tokens.openai, body: (text) => chatRequest(text), answer: (rq, mark) => rq.json(completion(mark + noise(LARGE))) },
  upload: { status: 200, tokens: tokens.openai, body: (text) => chatRequest(text + 'x'.repeat(LARGE)), answer: (rq, mark) => rq.json(completion(mark)) },
  denied: { status: 429, body: (text) => chatRequest(text), answer: (rq, mark) => rq.json(openaiError(mark), { status: 429 }) },
  // the gateway's own; the provider never sees them
  'no provider': { status: 404, path: '/no-such-provider/v1/x', body: (text) => chatRequest(text), isRefusal: true },
  'bad header': { status: 400, headers: { 'cf-aig-cache-ttl': 'x' }, body: (text) => chatRequest(text), isRefusal: true },
};
export const KINDS = Object.keys(kinds);

class World {
  constructor(provider) {
    this.provider = provider;
    this.said = new Map(); // question -> bodies of the provider's answers
    this.seen = []; // every answer that a client saw complete
    this.calls = 0;
    this.hold = null; // a test may keep an answer back: a promise to wait for
    provider.answer = (rq) => this.#answer(rq);
  }

  async #answer(rq) {
    const { content } = JSON.parse(rq.text).messages[0];
    const [kind] = content.split('#');
    const mark = `answer ${++this.calls} to ${content.slice(0, 40)} `;
    const whole = this.said.get(content) ?? [];
    this.said.set(content, whole);
    const note = (bytes) => whole.push(Buffer.from(bytes).toString());
    const { json, events } = rq;
    rq.json = (value, options) => (note(JSON.stringify(value)), json.call(rq, value, options));
    rq.events = (pieces, options) => (note(pieces.join('')), events.call(rq, pieces, options));
    await this.hold;
    kinds[kind].answer(rq, mark);
  }

  question(kind, n) {
    return { kind, content: `${kind}#${n}#` };
  }

  // As a request, and what its answer is to be.
  request({ kind, content }) {
    const { status, path = CHAT, body, headers, isRefusal } = kinds[kind];
    const value = body(content);
    return { path, body: value, headers, status, text: value.messages[0].content, isPassed: !isRefusal };
  }

  // One question over a connection (or a new one), its answer checked. Throws what the connection throws.
  async ask(to, { kind, content }, { connection, headers = {} } = {}) {
    const { status, path = CHAT, body, headers: own = {}, isRefusal, tokens: used } = kinds[kind];
    const value = body(content);
    const c = connection ?? await connect(to);
    let reply;
    try {
      reply = await c.request({ path, body: value, headers: { ...own, ...headers } }).whole();
    } finally {
      if (!connection) c.close();
    }
    const verdict = reply.header('cf-aig-cache-status');
    assert.equal(reply.status, status, `${kind}: ${reply.text.slice(0, 300)}`);
    if (isRefusal) assert.match(reply.text, /"error"/);
    else assert.ok(this.said.get(value.messages[0].content)?.includes(reply.text), `${kind} ${content}, ${verdict}: an answer that the provider never gave: ${reply.text.slice(0, 300)}`);
    if (verdict === 'HIT') assert.ok(Number(reply.header('age')) >= 0, `age ${reply.header('age')}`);
    const one = { id: reply.header('cf-aig-log-id'), kind, content, status, verdict, tokens: used, request: JSON.stringify(value), response: reply.text, isLast: reply.header('connection') === 'close' };
    this.seen.push(one);
    return one;
  }
}

export async function startWorld() {
  return new World(await startProvider());
}

// --- the log ---

// A record as the list shows it says of an exchange what the client knows.
export function assertRecord(r, one) {
  assert.ok(r, `no record of ${one.id} (${one.kind}, ${one.verdict})`);
  assert.deepEqual([r.status_code, r.tokens_in, r.tokens_out, r.truncated], [one.status, one.tokens?.in ?? null, one.tokens?.out ?? null, false], `${one.id} (${one.kind})`);
  if (one.verdict) assert.equal(r.cache_status, one.verdict, one.id);
  assert.equal(r.response_size, Buffer.byteLength(one.response), one.id);
}

// The record with its bodies. A hit's may be those of the exchange that filled the cache.
export async function readRecord(gateway, id) {
  const r = await postern(['logs', '--data', gateway.data, '--json', id]);
  return r.code === 0 ? JSON.parse(r.stdout) : null;
}

export function assertBodies(full, one) {
  assert.ok(full, `record ${one.id} cannot be read`);
  if (kinds[one.kind].isRefusal) return; // its request need not have been read
  assert.equal(full.request, one.request, `the request of ${one.id} (${one.kind}, ${one.verdict})`);
  assert.equal(full.response, one.response, `the answer of ${one.id} (${one.kind}, ${one.verdict})`);
}

// Newest first, no id twice.
export function assertOrder(records) {
  for (let i = 1; i < records.length; i++) assert.ok(records[i - 1].id > records[i].id, `${records[i - 1].id} is listed before ${records[i].id}`);
}

// Every one of them is in the log, exactly once, as it was; gives the whole log.
export async function checkLog(gateway, seen) {
  const records = await gateway.logs('--limit', '10000000');
  assertOrder(records);
  const byId = new Map(records.map((r) => [r.id, r]));
  for (const one of seen) assertRecord(byId.get(one.id), one);
  return records;
}

// --- figures ---

export async function metrics(gateway) {
  const c = await connect(gateway);
  const reply = await c.request({ path: '/-/metrics' }).whole();
  c.close();
  return Object.fromEntries(reply.text.split('\n').filter((l) => l && !l.startsWith('#')).map((l) => [l.slice(0, l.lastIndexOf(' ')), Number(l.slice(l.lastIndexOf(' ') + 1))]));
}

export const sumOf = (m, name) => Object.entries(m).filter(([k]) => k.startsWith(`${name}{`)).reduce((sum, [, v]) => sum + v, 0);

export async function readiness(gateway) {
  const c = await connect(gateway);
  const reply = await c.request({ path: '/-/readyz' }).whole();
  c.close();
  return `${reply.status} ${reply.text.trim()}`;
}

export const median = (list) => list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)];
export const number = (name, otherwise) => Number(process.env[name] || otherwise);
