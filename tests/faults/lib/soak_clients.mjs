// What a client of the soak may do, once: askSomething(soak) picks one by chance. Every request whose head was sent whole, and can
// be read, has a number of its own in its metadata, so that the log can be held against what was sent. Who leaves early does so
// with FIN, or when the gateway is known to have the request: what a reset kills in the kernel nobody can count.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { setTimeout as later } from 'node:timers/promises';
import { connect, request, requestBytes } from '../../e2e/lib/client.mjs';
import { chatRequest } from '../../e2e/lib/bodies.mjs';
import { askUpgrade, frame } from '../../e2e/lib/websocket.mjs';
import { answers } from './soak_provider.mjs';

const CHAT = '/openai/v1/chat/completions';
const SPOILT = '/groq/chat/completions';

// A request, counted as sent.
function numbered(soak, options) {
  const n = soak.sent++;
  return { ...options, headers: { ...options.headers, 'cf-aig-metadata': `{"n":${n}}` } };
}

function chat(kind, name, { path = CHAT, ...more } = {}) {
  const content = `${kind}#${name}`;
  const isStream = kind === 'stream' || kind === 'long';
  return { path, body: chatRequest(content, isStream ? { stream: true } : {}), right: answers[kind]?.(content) ?? answers.chat(content), status: kind === 'denied' ? 429 : 200, ...more };
}

const own = (soak) => `${soak.seed} ${soak.fresh++}`;

function check(reply, { status = 200, right }) {
  assert.equal(reply.status, status, reply.text.slice(0, 300));
  if (right !== undefined) assert.equal(reply.text, right);
  return reply.header('cf-aig-cache-status') === 'HIT' ? 'right, HIT' : 'right';
}

// A connection is used again, sometimes.
async function ask(soak, options) {
  const c = soak.idle.pop() ?? await connect(soak.gateway);
  const reply = await c.request(numbered(soak, options)).whole();
  if (!c.isEnded && !/close/i.test(reply.header('connection') ?? '') && soak.idle.length < 8 && soak.chance.below(10) > 0) soak.idle.push(c);
  else c.close();
  return check(reply, options);
}

const gone = (socket) => (socket.destroyed ? null : once(socket, 'close').catch(() => {}));

// FIN, and nothing more is said; whatever comes is read.
async function leave(c) {
  c.socket.resume();
  c.end();
  await Promise.race([gone(c.socket), later(2000)]);
  c.close();
}

const clients = {
  json: (soak) => ask(soak, chat('chat', own(soak))),
  stream: (soak) => ask(soak, chat('stream', own(soak))),
  'json again': (soak) => ask(soak, chat('chat', `again ${soak.chance.below(50)}`)),
  'stream again': (soak) => ask(soak, chat('stream', `again ${soak.chance.below(50)}`)),
  denied: (soak) => ask(soak, chat('denied', own(soak))),
  upload: (soak) => ask(soak, uploadOf(soak)),
  file: (soak) => ask(soak, { path: '/openai/v1/files', body: Buffer.alloc(1_500_000, 65 + soak.chance.below(20)), headers: { 'content-type': 'application/octet-stream' } }),

  async 'at the same time'(soak) {
    const options = chat(soak.chance.of(['chat', 'stream']), own(soak));
    const all = await Promise.all(Array.from({ length: 4 }, () => ask(soak, options)));
    return all.includes('right, HIT') ? 'right, HIT' : 'right';
  },

  embeddings(soak) {
    const input = Array.from({ length: 1 + soak.chance.below(8) }, () => `text ${soak.chance.below(2000)}`);
    return ask(soak, { path: '/openai/v1/embeddings', body: { model: 'text-embedding-3-small', input } });
  },

  async 'one behind the other'(soak) {
    const c = await connect(soak.gateway);
    const both = [chat('chat', own(soak)), chat('stream', own(soak))];
    const replies = both.map((options) => c.expect('POST'));
    c.send(Buffer.concat(both.map((options) => requestBytes(numbered(soak, options)))));
    for (const [i, reply] of replies.entries()) check(await reply.whole(), both[i]);
    c.close();
    return 'right';
  },

  async 'slow reader'(soak) {
    const c = await connect(soak.gateway);
    const options = chat('long', own(soak));
    const reply = c.request(numbered(soak, options));
    await reply.head();
    for (let i = 0; i < 5; i++) {
      c.socket.pause();
      await later(100);
      c.socket.resume();
      await later(1);
    }
    await reply.whole();
    c.close();
    return check(reply, options);
  },

  async 'slow sender'(soak) {
    const c = await connect(soak.gateway);
    const options = chat('chat', own(soak));
    const bytes = requestBytes(numbered(soak, options));
    const reply = c.expect('POST');
    for (let i = 0; i < bytes.length; i += 200) {
      c.send(bytes.subarray(i, i + 200));
      await later(20);
    }
    check(await reply.whole(), options);
    c.close();
    return 'right';
  },

  async 'leaves behind its request'(soak) {
    const c = await connect(soak.gateway);
    c.request(numbered(soak, chat(soak.chance.of(['chat', 'stream', 'long']), own(soak)))).onEnd.promise.catch(() => {});
    await later(soak.chance.below(10));
    await leave(c);
    return 'left';
  },

  async 'leaves in its body'(soak) {
    const c = await connect(soak.gateway);
    const bytes = requestBytes(numbered(soak, uploadOf(soak)));
    const head = bytes.indexOf('\r\n\r\n') + 4;
    c.send(bytes.subarray(0, head + soak.chance.below(bytes.length - head)));
    await leave(c);
    return 'left';
  },

  async 'leaves in its head'(soak) {
    const c = await connect(soak.gateway);
    const bytes = requestBytes(chat('chat', own(soak)));
    c.send(bytes.subarray(0, soak.chance.below(bytes.indexOf('\r\n\r\n'))));
    await leave(c);
    return 'left, not counted';
  },

  async 'resets in the answer'(soak) {
    const c = await connect(soak.gateway);
    const reply = c.request(numbered(soak, chat(soak.chance.of(['stream', 'long']), own(soak))));
    await reply.head();
    reply.onEnd.promise.catch(() => {});
    c.abort();
    return 'left';
  },

  async nonsense(soak) {
    const c = await connect(soak.gateway);
    const reply = c.expect();
    c.send(soak.chance.of(['GET / HTTP/9.9\r\n\r\n', 'nonsense\r\n\r\n', 'POST /openai/x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n', `GET /${'x'.repeat(9000)} HTTP/1.1\r\n\r\n`]));
    await reply.whole();
    c.close();
    assert.ok(reply.status >= 400 && reply.status < 506, `${reply.status}`);
    return 'refused, not counted';
  },

  async 'no such thing'(soak) {
    const options = soak.chance.of([{ path: '/no-such-provider/v1/x', body: {}, status: 404 }, { path: CHAT, body: {}, headers: { 'cf-aig-cache-ttl': 'x' }, status: 400 }]);
    return ask(soak, options);
  },

  async page(soak) {
    const reply = await request(soak.gateway, { path: soak.chance.of(['/-/healthz', '/-/readyz', '/-/metrics']) });
    assert.equal(reply.status, 200);
    return 'page, not counted';
  },

  // Right, or refused because of the provider, or cut where it can be seen.
  async spoilt(soak) {
    const options = chat(soak.chance.of(['chat', 'stream', 'long']), own(soak), { path: SPOILT });
    const c = await connect(soak.gateway);
    try {
      const reply = await c.request(numbered(soak, options)).whole(60_000);
      if ([502, 504].includes(reply.status)) return `refused ${reply.status}`;
      return check(reply, options);
    } catch (e) {
      if (e.code === 'ERR_ASSERTION' || /not within/.test(e.message)) throw e;
      return 'cut';
    } finally {
      c.close();
    }
  },

  async websocket(soak) {
    const { headers } = numbered(soak, {});
    const { reply, rest, socket } = await askUpgrade(soak.gateway, { path: '/grok/v1/realtime', headers });
    assert.equal(reply.status, 101, `${reply.status} ${rest}`);
    let left = 0;
    const echoed = new Promise((resolve) => {
      socket.on('data', (b) => (left -= b.length) <= 0 && resolve());
      socket.on('close', resolve);
    });
    socket.on('error', () => {});
    const out = Buffer.concat(Array.from({ length: 1 + soak.chance.below(5) }, () => frame('y'.repeat(soak.chance.below(30_000)), { masked: true })));
    left = out.length;
    socket.write(out);
    if (soak.chance.below(3) > 0) {
      await echoed;
      assert.equal(left, 0, 'all frames came back');
    }
    socket.end();
    await Promise.race([gone(socket), later(2000)]);
    socket.destroy();
    return 'websocket';
  },
};

function uploadOf(soak) {
  const content = `chat#${own(soak)} ${'x'.repeat(300_000)}`;
  return { path: CHAT, body: chatRequest(content), right: answers.chat(content) };
}

const weights = { json: 8, stream: 8, 'json again': 12, 'stream again': 12, spoilt: 4, embeddings: 4 };
const menu = Object.keys(clients).flatMap((name) => Array(weights[name] ?? 1).fill(name));

export async function askSomething(soak) {
  const name = soak.chance.of(menu);
  try {
    const outcome = await clients[name](soak);
    const key = `${name}: ${outcome}`;
    soak.outcomes[key] = (soak.outcomes[key] ?? 0) + 1;
  } catch (e) {
    soak.failures.push(`${name}: ${e.message}`);
  }
}
