// Answers that are accepted, how the client gets them, and when a provider's connection may be used again: security.md 1.3, the
// provider's side. What is refused is in http1-response.test.mjs.
import { test, describe, before, beforeEach } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { startProvider } from './lib/provider.mjs';
import { connect, request } from './lib/client.mjs';
import { gatewayFor } from './lib/gateway.mjs';
import { chatEvents, chatRequest, completion } from './lib/bodies.mjs';
import { deferred, waitFor, within } from './lib/wait.mjs';

const CHAT = '/openai/v1/chat/completions';
const MODELS = '/openai/v1/models';
const CHUNKED = 'Transfer-Encoding: chunked\r\n';
const ok = (headers, body = '', version = '1.1') => `HTTP/${version} 200 OK\r\nContent-Type: text/plain\r\n${headers}\r\n${body}`;
const latin1 = (text) => Buffer.from(text, 'latin1');

let provider, gateway;
let n = 0; // each test asks something that is not in the cache yet
before(async () => {
  provider = await startProvider();
  gateway = await gatewayFor(provider);
});
beforeEach(() => {
  provider.closeConnections();
  provider.reset();
  n++;
});
const answerWith = (bytes, leaves) => {
  provider.answer = async (rq) => {
    await rq.done().write(latin1(bytes));
    if (leaves) rq.end();
  };
};

// Whether the provider's connection of the first request carries the next one, which is answered properly.
async function isUsedAgain(c) {
  provider.answer = (rq) => rq.reply(200, {}, 'the next');
  const reply = await c.request({ path: '/openai/v1/next' }).whole();
  assert.equal(reply.text, 'the next');
  assert.equal(provider.requests.length, 2);
  return provider.requests[0].connection === provider.requests[1].connection;
}

// [what, bytes of the answer, body for the client, used again, { method, status, leaves, headers that it has or has not }]
const rows = {
  'framing': [
    ['a length', ok('Content-Length: 3\r\n', 'abc'), 'abc', true, { has: { 'content-length': '3', 'transfer-encoding': undefined } }],
    ['a length of 0', ok('Content-Length: 0\r\n'), '', true, { has: { 'content-length': '0', 'transfer-encoding': undefined } }],
    ['a length with blanks around it', ok('Content-Length: \t 3 \r\n', 'abc'), 'abc', true, { has: { 'content-length': '3' } }],
    ['chunks', ok(CHUNKED, '1\r\na\r\n2\r\nbc\r\n0\r\n\r\n'), 'abc', true, { has: { 'content-length': undefined, 'transfer-encoding': 'chunked' } }],
    ['chunks with extensions, zeros and a trailer', ok(`Trailer: X-T\r\n${CHUNKED}`, '0003;a="b";c\r\nabc\r\n0;d\r\nX-T: t\r\nSet-Cookie: evil=1\r\n\r\n'), 'abc', true, { has: { 'set-cookie': undefined, 'x-t': undefined, trailer: undefined } }],
    ['chunks of nothing', ok(CHUNKED, '0\r\n\r\n'), '', true],
    ['a status line without a reason', ok('Content-Length: 3\r\n', 'abc').replace(' OK', ''), 'abc', true],
    ['an empty reason', ok('Content-Length: 3\r\n', 'abc').replace('OK', ''), 'abc', true],
    ['a reason of bytes above 127', ok('Content-Length: 3\r\n', 'abc').replace('OK', '\xc4\xf6'), 'abc', true],
    ['until the end', ok('', 'abc'), 'abc', false, { leaves: true, has: { 'content-length': undefined, 'transfer-encoding': 'chunked' } }],
    ['until the end, and nothing', ok(''), '', false, { leaves: true }],
    ['HTTP/1.0 until the end', ok('', 'abc', '1.0'), 'abc', false, { leaves: true, has: { 'transfer-encoding': 'chunked' } }],
    ['HTTP/1.0 that says keep-alive, until the end', ok('Connection: keep-alive\r\n', 'abc', '1.0'), 'abc', false, { leaves: true }],
    ['HTTP/1.0 with a length', ok('Content-Length: 3\r\n', 'abc', '1.0'), 'abc', false],
    ['HTTP/1.0 with a length and keep-alive', ok('Connection: keep-alive\r\nContent-Length: 3\r\n', 'abc', '1.0'), 'abc', true],
    ...['close', 'close\t', 'keep-alive, close', 'x,Close'].map((v) => [`Connection: ${JSON.stringify(v)}`, ok(`Connection: ${v}\r\nContent-Length: 3\r\n`, 'abc'), 'abc', false]),
  ],
  'answers without a body': [
    ['HEAD with a length', ok('Content-Length: 1234\r\n'), '', true, { method: 'HEAD', has: { 'content-length': '1234' } }],
    ['HEAD in chunks', ok(CHUNKED), '', true, { method: 'HEAD', has: { 'content-length': undefined } }],
    ['HEAD with neither', ok(''), '', true, { method: 'HEAD' }],
    ['HEAD, and a body all the same', ok('Content-Length: 3\r\n', 'abc'), '', false, { method: 'HEAD' }],
    ['HEAD, and chunks all the same', ok(CHUNKED, '3\r\nabc\r\n0\r\n\r\n'), '', false, { method: 'HEAD' }],
    ['204', 'HTTP/1.1 204 No Content\r\n\r\n', '', true, { status: 204, has: { 'content-length': undefined, 'transfer-encoding': undefined } }],
    ['204 with a length and a body', 'HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\nabc', '', false, { status: 204, has: { 'content-length': undefined } }],
    ['204 in chunks', `HTTP/1.1 204 No Content\r\n${CHUNKED}\r\n0\r\n\r\n`, '', false, { status: 204, has: { 'transfer-encoding': undefined } }],
    ['304 with a length', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 1234\r\nETag: "a"\r\n\r\n', '', true, { status: 304, has: { 'content-length': '1234', etag: '"a"' } }],
    ['304 and a body all the same', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\nabc', '', false, { status: 304 }],
    ['304 in chunks', `HTTP/1.1 304 Not Modified\r\n${CHUNKED}\r\n0\r\n\r\n`, '', false, { status: 304, has: { 'transfer-encoding': undefined } }],
  ],
  'what comes behind it': [
    ['one byte', ok('Content-Length: 3\r\n', 'abcd'), 'abc', false],
    ['an empty line', ok('Content-Length: 3\r\n', 'abc\r\n'), 'abc', false],
    ['a second answer', ok('Content-Length: 3\r\n', `abc${ok('Content-Length: 4\r\n', 'evil')}`), 'abc', false],
    ['a second answer behind chunks', ok(CHUNKED, `3\r\nabc\r\n0\r\n\r\n${ok('Content-Length: 4\r\n', 'evil')}`), 'abc', false],
    ['half a head', ok('Content-Length: 3\r\n', 'abcHTTP/1.1 200'), 'abc', false],
    ['an informational answer', ok('Content-Length: 3\r\n', 'abcHTTP/1.1 100 Continue\r\n\r\n'), 'abc', false],
  ],
  'the fields': [
    ['what is of this connection only', ok('Connection: keep-alive, X-Theirs\r\nX-Theirs: a\r\nKeep-Alive: timeout=5\r\nUpgrade: h2c\r\nTE: x\r\nProxy-Connection: x\r\nProxy-Authenticate: Basic\r\nProxy-Authentication-Info: x\r\nHTTP2-Settings: x\r\nX-Stays: b\r\nContent-Length: 0\r\n'), '', true,
      { has: { 'x-theirs': undefined, 'keep-alive': undefined, upgrade: undefined, te: undefined, 'proxy-connection': undefined, 'proxy-authenticate': undefined, 'proxy-authentication-info': undefined, 'http2-settings': undefined, connection: undefined, 'x-stays': 'b' } }],
    ['Connection that names the type of the body', ok('Connection: content-type\r\nContent-Length: 0\r\n'), '', true, { has: { 'content-type': 'text/plain', connection: undefined } }],
    ['bytes above 127, an empty one, names with "_"', ok('X-A: caf\xe9\r\nX-B:\r\nx_c: d\r\nContent-Length: 0\r\n'), '', true, { has: { 'x-a': 'caf\xe9', 'x-b': '', x_c: 'd' } }],
    ['64 KB of them', ok(`X-A: ${'b'.repeat(65536 - ok('X-A: \r\nContent-Length: 0\r\n').length)}\r\nContent-Length: 0\r\n`), '', true],
    ['256 of them', ok(`${'X-A: b\r\n'.repeat(254)}Content-Length: 0\r\n`), '', true],
  ],
  'informational answers ahead': [
    ['eight', `${'HTTP/1.1 100 Continue\r\n\r\n'.repeat(8)}${ok('Content-Length: 3\r\n', 'abc')}`, 'abc', true],
    ['102 and 103', `HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${ok('Content-Length: 3\r\n', 'abc')}`, 'abc', true, { informed: [103] }],
    ['ahead of HEAD', `HTTP/1.1 103 Early Hints\r\n\r\n${ok('Content-Length: 3\r\n')}`, '', true, { method: 'HEAD', informed: [103] }],
    ['ahead of 204', 'HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n', '', true, { status: 204, informed: [103] }],
  ],
};

for (const [group, list] of Object.entries(rows)) {
  describe(`accepted: ${group}`, () => {
    for (const [what, bytes, body, again, { method = 'GET', status = 200, leaves = false, has = {}, informed = [] } = {}] of list) {
      test(`${what}${again ? '' : ': its connection is not used again'}`, async () => {
        answerWith(bytes, leaves);
        const c = await connect(gateway);
        const reply = await c.request({ method, path: MODELS }).whole();
        assert.equal(reply.status, status);
        assert.equal(reply.text, body);
        for (const [name, value] of Object.entries(has)) assert.deepEqual(reply.all(name), value === undefined ? [] : [value], name);
        assert.ok(reply.all('content-length').length + reply.all('transfer-encoding').length <= 1, 'framing is said once');
        assert.deepEqual(reply.informational.map((i) => i.status), informed);
        assert.equal(c.extra.length, 0);
        assert.equal(await isUsedAgain(c), again);
        if (!again) await provider.requests[0].aborted(); // closed
        c.close();
      });
    }
  });
}

describe('informational answers', () => {
  test('103 says nothing of framing and nothing in the gateway\'s name', async () => {
    answerWith(`HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nContent-Length: 5\r\nConnection: X-Theirs\r\nX-Theirs: a\r\npostern-error: theirs\r\ncf-aig-log-id: theirs\r\n\r\n${ok('Content-Length: 3\r\n', 'abc')}`);
    const reply = await request(gateway, { path: MODELS });
    assert.deepEqual(reply.informational, [{ status: 103, headers: [['Link', '</a>']] }]);
    assert.equal(reply.text, 'abc');
  });

  test('103 reaches the client before the answer', async () => {
    const c = await connect(gateway);
    const reply = c.request({ path: MODELS });
    const hinted = deferred();
    reply.onInformational = hinted.resolve;
    const rq = await provider.next();
    rq.write('HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n');
    assert.equal(await within(hinted.promise, '103'), 103);
    assert.equal(reply.headers, null);
    rq.json({});
    assert.equal((await reply.whole()).status, 200);
    c.close();
  });

  test('an HTTP/1.0 client is told none', async () => {
    answerWith(`HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${ok('Content-Length: 3\r\n', 'abc')}`);
    const c = await connect(gateway);
    const reply = c.expect();
    c.send(`GET ${MODELS} HTTP/1.0\r\n\r\n`);
    await reply.whole();
    assert.deepEqual([reply.status, reply.text, reply.informational], [200, 'abc', []]);
    c.close();
  });

  test('a client that upgrades to h2c is answered in HTTP/1.1, and 101 is not for it', async () => {
    answerWith('HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n');
    const reply = await request(gateway, { path: MODELS, headers: { Connection: 'Upgrade, HTTP2-Settings', Upgrade: 'h2c', 'HTTP2-Settings': 'AAMA' } });
    assert.equal(reply.status, 502);
    assert.equal(reply.header('postern-error'), 'upstream-protocol');
    await provider.requests[0].aborted();
  });
});

describe('an end that is only the connection\'s may be a cut: it is not cached', () => {
  const body = JSON.stringify(completion('until the end'));
  const twice = async (more, type, text) => {
    const options = { path: CHAT, body: chatRequest(`until ${n}`, more) };
    answerWith(`HTTP/1.1 200 OK\r\nContent-Type: ${type}\r\n\r\n${text}`, true);
    const replies = [await request(gateway, options), await request(gateway, options)];
    for (const reply of replies) assert.equal(reply.text, text);
    return replies[1].header('cf-aig-cache-status');
  };

  test('JSON', async () => {
    assert.equal(await twice({}, 'application/json', body), 'MISS');
    assert.equal(provider.requests.length, 2);
  });

  test('speech', async () => {
    const options = { path: '/openai/v1/audio/speech', body: { model: 'tts-1', input: `until ${n}`, voice: 'alloy' } };
    answerWith('HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\n\r\nID3sound', true);
    for (let i = 0; i < 2; i++) assert.equal((await request(gateway, options)).text, 'ID3sound');
    assert.equal(provider.requests.length, 2);
  });

  test('a stream without its end', async () => {
    await twice({ stream: true }, 'text/event-stream', chatEvents().slice(0, -1).join(''));
    assert.equal(provider.requests.length, 2);
  });

  test('a stream that says its own end is', async () => {
    assert.equal(await twice({ stream: true }, 'text/event-stream', chatEvents().join('')), 'HIT');
    assert.equal(provider.requests.length, 1);
  });
});

describe('a provider\'s connection that waits for the next request', () => {
  const warm = async () => {
    assert.equal((await request(gateway, { path: MODELS })).status, 200);
    return provider.last;
  };
  const noise = {
    'an answer that nobody asked for': (rq) => rq.write(latin1(ok('Content-Length: 4\r\n', 'evil'))),
    'one byte': (rq) => rq.write('\n'),
    '408, as servers say that have waited': (rq) => rq.write('HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n'),
    'the end': (rq) => new Promise((resolve) => rq.socket.end(resolve)),
    'a reset': (rq) => rq.reset(),
  };
  for (const [what, make] of Object.entries(noise)) {
    test(`${what} on it: it is closed and not used again`, async () => {
      const rq = await warm();
      await make(rq);
      await waitFor(() => rq.socket.destroyed, 'the gateway closes it');
      const reply = await request(gateway, { path: MODELS });
      assert.equal(reply.status, 200);
      assert.ok(!reply.text.includes('evil'));
      assert.notEqual(provider.last.connection, rq.connection);
    });

    // The loop has both to read at once, and the request first: what waits in the kernel may not be taken for its answer.
    test(`${what} that comes together with the next request: the same`, async () => {
      const c = await connect(gateway);
      assert.equal((await c.request({ path: MODELS }).whole()).status, 200);
      const rq = provider.last;
      gateway.child.kill('SIGSTOP');
      try {
        await waitFor(() => /^State:\tT/m.test(fs.readFileSync(`/proc/${gateway.pid}/status`, 'utf8')), 'the gateway stands still');
        const reply = c.request({ path: '/openai/v1/upload', method: 'POST', headers: { 'Content-Type': 'text/plain' }, body: 'not held, so it cannot be sent twice' });
        await c.send('');
        await make(rq);
        gateway.child.kill('SIGCONT');
        assert.equal((await reply.whole()).status, 200);
        assert.ok(!reply.text.includes('evil'));
        assert.equal(provider.requests.length, 2);
        assert.notEqual(provider.last.connection, rq.connection);
      } finally {
        gateway.child.kill('SIGCONT');
      }
      c.close();
    });
  }
});

describe('an answer that comes before the request is complete (CVE-2025-4366)', () => {
  const upload = 'POST /openai/v1/files HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n';
  const bodies = { 'a length': [`${upload}Content-Length: 10\r\n\r\nfirst`, 'later'], chunks: [`${upload}${CHUNKED}\r\n5\r\nfirst\r\n`, '5\r\nlater\r\n0\r\n\r\n'] };
  // a large answer ends on a worker (gateway/digest.c)
  const answers = { 'an answer': 'abc', 'a large answer': 'abc'.repeat(100_000) };
  const cases = Object.entries(bodies).flatMap(([what, halves]) => Object.entries(answers).map(([size, text]) => [what, halves, size, text]));
  for (const [what, [begun, rest], size, text] of cases) {
    for (const isWhole of [true, false]) {
      test(`a body with ${what}, ${isWhole ? `${size}, whole` : `the head of ${size}, then the rest of both`}: neither connection is used again`, async () => {
        const c = await connect(gateway);
        const reply = c.expect('POST');
        c.send(begun);
        const rq = await provider.nextHead();
        await waitFor(() => rq.text === 'first', 'the first half at the provider');
        rq.done().write(ok(`Content-Length: ${text.length}\r\n`, isWhole ? text : text.slice(0, 1)));
        await reply.head();
        assert.equal(reply.header('connection'), 'close');
        await c.send(rest);
        if (!isWhole) {
          await waitFor(() => rq.complete, 'the whole request at the provider');
          rq.write(text.slice(1));
        }
        await reply.whole();
        assert.equal(reply.text, text);
        c.send(`GET /openai/v1/smuggled HTTP/1.1\r\nHost: x\r\n\r\n`);
        await c.closed();
        assert.equal(c.extra.length, 0);
        await waitFor(() => rq.socket.destroyed, 'the end of the provider\'s connection');
        provider.answer = (other) => other.json({});
        assert.equal((await request(gateway, { path: MODELS })).status, 200);
        assert.deepEqual(provider.requests.map((r) => r.target), ['/v1/files', '/v1/models']);
        assert.notEqual(provider.last.connection, rq.connection);
      });
    }
  }

  test('a hit is given when the whole body was read: what follows is the next request', async () => {
    const body = JSON.stringify(chatRequest(`hit ${n}`));
    const c = await connect(gateway);
    await c.request({ path: CHAT, body }).whole();
    const hit = c.expect('POST');
    const next = c.expect('GET');
    c.send(`POST ${CHAT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body.slice(0, 20)}`);
    c.send(`${body.slice(20)}GET ${MODELS} HTTP/1.1\r\nHost: x\r\n\r\n`);
    assert.equal((await hit.whole()).header('cf-aig-cache-status'), 'HIT');
    assert.equal((await next.whole()).status, 200);
    assert.deepEqual(provider.requests.map((r) => r.target), ['/v1/chat/completions', '/v1/models']);
    c.close();
  });
});
