// Requests that are accepted, and what the provider gets of them, on the wire: the same count, methods, targets and bodies, framed
// anew by the gateway. security.md 1.3, the client's side; what is refused is in http1-request.test.mjs.
import { test, describe, before, beforeEach } from 'node:test';
import assert from 'node:assert/strict';
import { startProvider, freePort } from './lib/provider.mjs';
import { connect, request } from './lib/client.mjs';
import { gatewayFor } from './lib/gateway.mjs';
import { deferred, settled, waitFor, within } from './lib/wait.mjs';

const H = 'Host: x\r\n';
const CHAT = '/openai/v1/chat/completions';
const FILES = '/openai/v1/files';
const CHUNKED = 'Transfer-Encoding: chunked\r\n';
const get = (headers = '', target = '/openai/v1/models') => `GET ${target} HTTP/1.1\r\n${H}${headers}\r\n`;
const held = (headers, body = '') => `POST ${CHAT} HTTP/1.1\r\n${H}Content-Type: application/json\r\n${headers}\r\n${body}`;
const streamed = (headers, body = '') => `POST ${FILES} HTTP/1.1\r\n${H}Content-Type: text/plain\r\n${headers}\r\n${body}`;

let provider, gateway;
before(async () => {
  provider = await startProvider();
  gateway = await gatewayFor(provider, { config: { providers: { bare: { base_url: provider.url } }, gateways: { default: { cache: { mode: 'off' } } } } });
});
beforeEach(() => provider.reset());

// What came, as the wire had it. Host, Accept-Encoding and Via are the gateway's own: one of each, always.
function arrived(rq) {
  assert.deepEqual(rq.all('host'), [`127.0.0.1:${provider.port}`]);
  assert.equal(rq.all('accept-encoding').length, 1);
  assert.equal(rq.all('via').length, 1);
  assert.equal(rq.version, 'HTTP/1.1');
  const own = ['host', 'accept-encoding', 'via', 'content-type'];
  return [rq.method, rq.target, rq.headers.filter(([n]) => !own.includes(n.toLowerCase())).map((f) => f.join(': ')), rq.text];
}
const MODELS = ['GET', '/v1/models', [], ''];
const chat = (body, headers = []) => ['POST', '/v1/chat/completions', [...headers, `content-length: ${body.length}`], body];
const file = (body, headers = ['transfer-encoding: chunked']) => ['POST', '/v1/files', headers, body];

// Sends the bytes, in pieces of n if told so, and one request more, which must be the last one that arrives.
async function forwarded(bytes, count, methods = [], n = Infinity) {
  const c = await connect(gateway);
  const replies = Array.from({ length: count }, (_, i) => c.expect(methods[i] ?? 'POST'));
  if (n === Infinity) c.send(bytes);
  else for (let i = 0; i < bytes.length; i += n) await c.send(bytes.slice(i, i + n));
  for (const reply of replies) assert.equal((await reply.whole()).status, 200, reply.text);
  assert.equal((await c.request({ path: '/openai/v1/in-step' }).whole()).status, 200);
  c.close();
  const all = provider.requests.map(arrived);
  assert.deepEqual(all.pop(), ['GET', '/v1/in-step', [], '']);
  assert.equal(provider.wireError, undefined);
  return all;
}

// [what, bytes, requests that arrive, methods if they are not POST]
const rows = {
  'the body': [
    ['a length with blanks around it', held('Content-Length: \t 2 \r\n', '{}'), [chat('{}')]],
    ['a length of 0', held('Content-Length: 0\r\n'), [chat('')]],
    ['no length', held(''), [['POST', '/v1/chat/completions', [], '']]],
    ['a body that looks like a request', held(`Content-Length: ${get().length}\r\n`, get()), [chat(get())]],
    ['a GET with a body', get('Content-Length: 5\r\n') + 'hello', [['GET', '/v1/models', ['content-length: 5'], 'hello']], ['GET']],
    ['a GET with a body in chunks', `${get(CHUNKED)}5\r\nhello\r\n0\r\n\r\n`, [['GET', '/v1/models', ['transfer-encoding: chunked'], 'hello']], ['GET']],
    ['a HEAD with a body', `${get('Content-Length: 5\r\n').replace('GET', 'HEAD')}hello`, [['HEAD', '/v1/models', ['content-length: 5'], 'hello']], ['HEAD']],
    ['a DELETE with a body', `${get('Content-Length: 2\r\n').replace('GET', 'DELETE')}{}`, [['DELETE', '/v1/models', ['content-length: 2'], '{}']]],
    ['chunks of a held body become a length', held(CHUNKED, '1\r\n{\r\n1\r\n}\r\n0\r\n\r\n'), [chat('{}')]],
    ['chunks that are held, in capitals', held('TRANSFER-ENCODING: ChunKed\r\n', '2\r\n{}\r\n0\r\n\r\n'), [chat('{}')]],
    ['chunked with blanks around it', held('Transfer-Encoding:   chunked  \r\n', '2\r\n{}\r\n0\r\n\r\n'), [chat('{}')]],
    ['chunks that stream through', streamed(CHUNKED, '3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n'), [file('abcde')]],
    ['a size with zeros ahead', streamed(CHUNKED, '0000000000000000000003\r\nabc\r\n000\r\n\r\n'), [file('abc')]],
    ['sizes in both cases', streamed(CHUNKED, 'A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n'), [file('01234567890123456789')]],
    ['an empty body in chunks', streamed(CHUNKED, '0\r\n\r\n'), [file('')]],
    ['a chunk that looks like the end and a request', streamed(CHUNKED, `${(get().length + 5).toString(16)}\r\n0\r\n\r\n${get()}\r\n0\r\n\r\n`), [file(`0\r\n\r\n${get()}`)]],
    ['extensions, which go', streamed(CHUNKED, '3;a;b=c;d="e f"\r\nabc\r\n0;last\r\n\r\n'), [file('abc')]],
    ['a chunk line of 1024 bytes', streamed(CHUNKED, `3;${'e'.repeat(1020)}\r\nabc\r\n0\r\n\r\n`), [file('abc')]],
    ['extensions of 16 KB in all', streamed(CHUNKED, `${`1;${'e'.repeat(1020)}\r\na\r\n`.repeat(16)}0\r\n\r\n`), [file('a'.repeat(16))]],
    ['trailers, which go', streamed(CHUNKED, '3\r\nabc\r\n0\r\nAuthorization: Bearer evil\r\nHost: evil\r\nX_T: t\r\nConnection: close\r\nExpect: x\r\nX-T: t\r\n\r\n'), [file('abc')]],
    ['trailers of a held body', held(`Trailer: X-T\r\n${CHUNKED}`, '2\r\n{}\r\n0\r\nX-T: t\r\n\r\n'), [chat('{}')]],
  ],
  'one after the other': [
    ['two at once', get() + get(), [MODELS, MODELS], ['GET', 'GET']],
    ['a held one ahead', held('Content-Length: 2\r\n', '{}') + get(), [chat('{}'), MODELS], ['POST', 'GET']],
    ['chunks ahead', streamed(CHUNKED, '3\r\nabc\r\n0\r\n\r\n') + get(), [file('abc'), MODELS], ['POST', 'GET']],
    ['chunks with a trailer ahead', streamed(CHUNKED, '3\r\nabc\r\n0\r\nX-T: t\r\n\r\n') + get(), [file('abc'), MODELS], ['POST', 'GET']],
    ['a HEAD ahead', get().replace('GET', 'HEAD') + get(), [['HEAD', '/v1/models', [], ''], MODELS], ['HEAD', 'GET']],
    ['an empty line ahead', `\r\n${get()}`, [MODELS], ['GET']],
    ['an empty line between', `${get()}\r\n${get()}`, [MODELS, MODELS], ['GET', 'GET']],
    ['an empty line behind a body', `${held('Content-Length: 2\r\n', '{}')}\r\n${get()}`, [chat('{}'), MODELS], ['POST', 'GET']],
    ['an upgrade to h2c, which is ignored', get('Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n') + get(), [MODELS, MODELS], ['GET', 'GET']],
    ['an upgrade to h2c with a body', held('Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\nContent-Length: 2\r\n', '{}') + get(), [chat('{}'), MODELS], ['POST', 'GET']],
    ['an upgrade that Connection does not name', get('Upgrade: h2c\r\n') + get(), [MODELS, MODELS], ['GET', 'GET']],
    ['an upgrade to TLS', `${get('Connection: upgrade\r\nUpgrade: TLS/1.0\r\n').replace('GET', 'OPTIONS')}${get()}`, [['OPTIONS', '/v1/models', [], ''], MODELS], ['OPTIONS', 'GET']],
  ],
  'the fields': [
    ['bytes above 127 in a value', get('X-A: caf\xe9 \xff\x80\r\n'), [['GET', '/v1/models', ['X-A: caf\xe9 \xff\x80'], '']], ['GET']],
    ['an empty value', get('X-A:\r\nX-B: \t\r\n'), [['GET', '/v1/models', ['X-A: ', 'X-B: '], '']], ['GET']],
    ['TAB inside a value', get('X-A: b\tc\r\n'), [['GET', '/v1/models', ['X-A: b\tc'], '']], ['GET']],
    ['every letter of a name', get('X-!#$%&\'*+.^`|~9: b\r\n'), [['GET', '/v1/models', ['X-!#$%&\'*+.^`|~9: b'], '']], ['GET']],
    ['names with "_", which go', get('X_Api_Key: evil\r\n_: a\r\nX-Stays: b\r\nx-c_d: e\r\nAuthorization_: f\r\n'), [['GET', '/v1/models', ['X-Stays: b'], '']], ['GET']],
    ['a length in HTTP/1.0', `POST ${FILES} HTTP/1.0\r\nConnection: keep-alive\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nabc`, [file('abc', ['content-length: 3'])]],
    ['what is of this connection only', get('Connection: keep-alive, X-Mine, via\r\nX-Mine: a\r\nKeep-Alive: timeout=5\r\nTE: trailers, deflate\r\nTrailer: X-T\r\nUpgrade: x\r\nHTTP2-Settings: AAMA\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: Basic eDp5\r\nProxy-Authenticate: Basic\r\nProxy-Authentication-Info: x\r\n'),
      [MODELS], ['GET']],
    ['who the client is', get('X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: h\r\nX-Forwarded-Port: 1\r\nX-Forwarded-Server: s\r\nX-Forwarded-Prefix: /p\r\nx-forwarded-ssl: on\r\nForwarded: for=1.2.3.4\r\nX-Real-IP: 1.2.3.4\r\nTrue-Client-IP: 1.2.3.4\r\n'
      + 'CF-Connecting-IP: 1.2.3.4\r\ncf-ray: 1\r\nCF-IPCountry: XX\r\nCF-Visitor: {}\r\nCF-Worker: w\r\nCDN-Loop: cloudflare\r\n'), [MODELS], ['GET']],
    ['Connection with nothing in it', get('Connection:\r\nConnection: ,,\r\n'), [MODELS], ['GET']],
    ['Expect in HTTP/1.0, which means nothing', `POST ${FILES} HTTP/1.0\r\nConnection: keep-alive\r\nContent-Type: text/plain\r\nExpect: anything\r\nContent-Length: 3\r\n\r\nabc`, [file('abc', ['content-length: 3'])]],
  ],
  'the target': [
    ['absolute form', get('', 'http://x/openai/v1/models?a=b'), [['GET', '/v1/models?a=b', [], '']], ['GET']],
    ['absolute form of https, in capitals', get('', 'HTTPS://X/openai/v1/models'), [MODELS], ['GET']],
    ['absolute form in HTTP/1.0 without Host', 'GET http://evil.example/openai/v1/models HTTP/1.0\r\nConnection: keep-alive\r\n\r\n', [MODELS], ['GET']],
    ['slashes', get('', '/openai/v1//models//'), [['GET', '/v1//models//', [], '']], ['GET']],
    ['what looks like another host', get('', '/bare//evil.example/x'), [['GET', '//evil.example/x', [], '']], ['GET']],
    ['an escaped line end', get('', '/openai/v1/x%0d%0aHost:%20y%00'), [['GET', '/v1/x%0d%0aHost:%20y%00', [], '']], ['GET']],
    ['an escape that is none', get('', '/openai/v1/%zz%'), [['GET', '/v1/%zz%', [], '']], ['GET']],
    ['escaped slashes around dots', get('', '/openai/v1/a%2f..%2Fb'), [['GET', '/v1/a%2f..%2Fb', [], '']], ['GET']],
    ['dots that are no segment', get('', '/openai/v1/...?../..'), [['GET', '/v1/...?../..', [], '']], ['GET']],
    ['every letter that a target may have', get('', '/openai/v1/!$&\'()*+,;=:@-._~[]|^{}"<>`\\'), [['GET', '/v1/!$&\'()*+,;=:@-._~[]|^{}"<>`\\', [], '']], ['GET']],
  ],
};

for (const [group, list] of Object.entries(rows)) {
  describe(`accepted: ${group}`, () => {
    for (const [what, bytes, expected, methods] of list) {
      test(what, async () => {
        assert.deepEqual(await forwarded(bytes, expected.length, methods), expected);
      });
    }
  });
}

describe('accepted, and cut anywhere', () => {
  const bytes = `\r\n${held(`Trailer: X-T\r\n${CHUNKED}`, '1;a=b\r\n{\r\n1\r\n}\r\n0\r\nX-T: t\r\n\r\n')}${get('X_A: b\r\nUpgrade: h2c\r\nConnection: upgrade\r\n')}${held('Content-Length: 2\r\n', '{}')}${get()}`;
  for (const n of [1, 2, 7, 100]) {
    test(`pieces of ${n} bytes are the same requests`, async () => {
      assert.deepEqual(await forwarded(bytes, 4, ['POST', 'GET', 'POST', 'GET'], n), [chat('{}'), MODELS, chat('{}'), MODELS]);
    });
  }
});

describe('what is left out is counted', () => {
  test('names with "_"', async () => {
    const count = async () => Number((await request(gateway, { path: '/-/metrics' })).text.match(/^postern_request_headers_dropped_total (\d+)$/m)[1]);
    const before = await count();
    await request(gateway, { path: '/openai/v1/models', headers: { x_a: '1', x_b_: '2', 'x-c': '3' } });
    assert.equal(await count(), before + 2);
  });
});

describe('loops', () => {
  const via = async (headers) => request(gateway, { path: '/openai/v1/models', headers });

  test('the gateway writes itself into Via, behind those who came before, by a name that says nothing', async () => {
    await via([['Via', '1.1 a, 1.0 b'], ['Via', '1.1 c']]);
    assert.match(provider.last.header('via'), /^1\.1 a, 1\.0 b, 1\.1 c, 1\.1 [0-9a-z-]+$/);
    assert.ok(!/127\.0\.0\.1|postern\.|localhost/.test(provider.last.header('via')));
  });

  for (const name of ['Via', 'CDN-Loop']) {
    test(`who finds itself in ${name} answers 508`, async () => {
      await via({});
      const own = provider.last.header('via').split(' ')[1];
      const reply = await via({ [name]: `1.1 a, 1.1 ${own.toUpperCase()} (x), 1.1 b` });
      assert.equal(reply.status, 508);
      assert.equal(reply.header('postern-error'), 'loop');
      assert.equal(provider.requests.length, 1);
      const record = await gateway.log(reply);
      assert.equal(record.status_code, 508);
      assert.equal((await via({ [name]: '1.1 somebody-else' })).status, 200);
    });
  }

  for (const host of ['127.0.0.1', 'localhost']) {
    test(`a provider that is this very gateway, at ${host}: 508 before a byte is sent`, async () => {
      const port = await freePort();
      const listen = `${host === 'localhost' ? '0.0.0.0' : host}:${port}`;
      const looped = await gatewayFor(provider, { listen, config: { providers: { self: { base_url: `http://${host}:${port}/self` } } } });
      const reply = await request(looped, { path: '/self/x' });
      assert.equal(reply.status, 508);
      assert.equal((await looped.logs()).length, 1, 'it did not come in again');
      await looped.stop();
    });
  }
});

describe('Expect: 100-continue', () => {
  const informed = (reply) => {
    const d = deferred();
    reply.onInformational = d.resolve;
    return within(d.promise, '100 Continue');
  };

  for (const [what, head, body] of [['that is held', held('Expect: 100-Continue\r\nContent-Length: 2\r\n'), '{}'], ['that streams through', streamed(`Expect: 100-continue\r\n${CHUNKED}`), '2\r\n{}\r\n0\r\n\r\n']]) {
    test(`a body ${what}: the gateway says 100, once, and keeps Expect to itself`, async () => {
      const c = await connect(gateway);
      const reply = c.expect('POST');
      const continued = informed(reply);
      c.send(head);
      assert.equal(await continued, 100);
      c.send(body);
      assert.equal((await reply.whole()).status, 200);
      assert.deepEqual(reply.informational.map((i) => i.status), [100]);
      assert.equal(provider.last.text, '{}');
      assert.equal(provider.last.header('expect'), undefined);
      assert.equal((await c.request({ path: '/openai/v1/models' }).whole()).status, 200);
      c.close();
    });
  }

  for (const [what, bytes] of [['without a body', get('Expect: 100-continue\r\n')], ['with an empty body', held('Expect: 100-continue\r\nContent-Length: 0\r\n')], ['in HTTP/1.0', `POST ${CHAT} HTTP/1.0\r\nConnection: keep-alive\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}`]]) {
    test(`${what}: no 100`, async () => {
      const c = await connect(gateway);
      const reply = c.expect('POST');
      c.send(bytes);
      assert.equal((await reply.whole()).status, 200);
      assert.deepEqual(reply.informational, []);
      c.close();
    });
  }

  test('a final answer before the body was read ends the connection', async () => {
    const c = await connect(gateway);
    const reply = c.expect('POST');
    c.send(`POST /nobody/x HTTP/1.1\r\n${H}Expect: 100-continue\r\nContent-Length: 60\r\n\r\n`);
    await reply.whole();
    assert.equal(reply.status, 404);
    assert.deepEqual(reply.informational, []);
    assert.equal(reply.header('connection'), 'close');
    c.send(get()); // a client that does not send the body after all
    await c.closed();
    assert.equal(c.extra.length, 0);
    assert.equal(provider.requests.length, 0);
  });
});

describe('the end of a connection', () => {
  for (const value of ['close', 'Close', 'close\t', ' \tclose ', 'keep-alive, close', 'close, keep-alive', 'x,close,y', ', close']) {
    test(`Connection: ${JSON.stringify(value)}: one answer, and what is behind is not answered`, async () => {
      const c = await connect(gateway);
      const reply = c.expect();
      c.send(get(`Connection: ${value}\r\n`) + get('', '/openai/v1/smuggled'));
      assert.equal((await reply.whole()).status, 200);
      assert.equal(reply.header('connection'), 'close');
      await c.closed();
      assert.equal(c.extra.length, 0);
      assert.deepEqual(provider.requests.map(arrived), [MODELS]);
    });
  }

  test('HTTP/1.0 without keep-alive: the same', async () => {
    const c = await connect(gateway);
    const reply = c.expect();
    c.send(`${get().replace('HTTP/1.1', 'HTTP/1.0')}${get('', '/openai/v1/smuggled')}`);
    assert.equal((await reply.whole()).status, 200);
    await c.closed();
    assert.deepEqual(provider.requests.map(arrived), [MODELS]);
  });

  test('a field "close" is not in a longer word', async () => {
    const c = await connect(gateway);
    assert.equal((await c.request({ path: '/openai/v1/models', headers: { Connection: 'closed, x-close' } }).whole()).header('connection'), undefined);
    assert.equal((await c.request({ path: '/openai/v1/models' }).whole()).status, 200);
    c.close();
  });

  test('an empty line behind the last request is not the beginning of another: no 408', async () => {
    const own = await gatewayFor(provider, { config: { limits: { header_timeout: '300ms' } } });
    const c = await connect(own);
    const reply = c.expect('POST');
    c.send(`${held('Content-Length: 2\r\n', '{}')}\r\n`);
    assert.equal((await reply.whole()).status, 200);
    await c.closed();
    assert.equal(c.extra.toString(), '');
    await own.stop();
  });

  test('OPTIONS * is not ours to answer, and no reason to hang up', async () => {
    const c = await connect(gateway);
    const reply = c.expect('OPTIONS');
    c.send(`OPTIONS * HTTP/1.1\r\n${H}\r\n`);
    assert.equal((await reply.whole()).status, 404);
    assert.equal(reply.header('postern-error'), 'not-found');
    assert.equal((await c.request({ path: '/openai/v1/models' }).whole()).status, 200);
    assert.equal(provider.requests.length, 1);
    c.close();
  });
});

describe('a body that breaks off inside, when a part of it has gone out', () => {
  const head = streamed(CHUNKED, '5\r\nfirst\r\n');
  const broken = { 'a size that is no number': 'zz\r\nabc\r\n0\r\n\r\n', 'a chunk without its CRLF': '3\r\nabcd\r\n0\r\n\r\n', 'LF in an extension': '3;a\nb\r\nabc\r\n0\r\n\r\n', 'a folded trailer': '0\r\nA: b\r\n c\r\n\r\n' };
  for (const [what, rest] of Object.entries(broken)) {
    test(`${what}: 400, and the provider sees a request without an end`, async () => {
      const c = await connect(gateway);
      const reply = c.expect('POST');
      c.send(head);
      const rq = await provider.nextHead();
      await waitFor(() => rq.text === 'first', 'the first chunk at the provider');
      c.send(rest + get('', '/openai/v1/smuggled'));
      await reply.whole();
      assert.equal(reply.status, 400);
      assert.equal(reply.header('postern-error'), 'bad-framing');
      assert.equal(reply.header('connection'), 'close');
      await rq.aborted();
      await c.closed();
      assert.equal(c.extra.length, 0);
      assert.equal(rq.complete, false);
      assert.equal(provider.requests.length, 1);
      const record = await gateway.log(reply);
      assert.deepEqual([record.status_code, record.ending[0]], [400, 'C']);
    });
  }

  for (const [what, bytes] of [['a body in chunks', head], ['a body with a length', streamed('Content-Length: 10\r\n', 'first')]]) {
    test(`${what} whose client leaves: the provider sees a request without an end`, async () => {
      const c = await connect(gateway);
      c.send(bytes);
      const rq = await provider.nextHead();
      await waitFor(() => rq.text === 'first', 'the first bytes at the provider');
      c.end();
      await rq.aborted();
      assert.equal(rq.complete, false);
      await settled(() => provider.requests.length, 'no other request');
      assert.equal(provider.requests.length, 1);
    });
  }
});

describe('lingering: a refusal reaches a client that is still sending', () => {
  const refused = 'POST /nobody/x HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n';

  test('what is drained, up to 1 MB, does not cost the client its answer', async () => {
    const c = await connect(gateway);
    const reply = c.expect('POST');
    c.send(refused + 'x'.repeat(900_000));
    assert.equal((await reply.whole()).status, 404);
    assert.equal(await c.closed(), null, 'an end, no reset');
    assert.equal(c.error, undefined);
  });

  test('who sends more than 1 MB is cut off', async () => {
    const c = await connect(gateway);
    c.socket.allowHalfOpen = true; // goes on when the gateway has said that it will not
    const reply = c.expect('POST');
    c.send(refused);
    assert.equal((await reply.whole()).status, 404);
    let sent = 0;
    while (!c.socket.destroyed && sent < 200_000_000) {
      await Promise.race([c.send(Buffer.alloc(100_000)), c.onClose.promise]);
      sent += 100_000;
    }
    await c.closed();
    assert.ok(sent < 50_000_000, `${sent} bytes`); // 1 MB, and what lay in the kernel's buffers
  });

  test('who sends a little now and then is cut off after 5 s', async () => {
    const c = await connect(gateway);
    c.socket.allowHalfOpen = true;
    const reply = c.expect('POST');
    c.send(refused);
    assert.equal((await reply.whole()).status, 404);
    const since = performance.now();
    const trickle = setInterval(() => c.send('x'), 100);
    await c.closed(20_000);
    clearInterval(trickle);
    const ms = performance.now() - since;
    assert.ok(ms > 4500, `${ms} ms`);
  });
});
