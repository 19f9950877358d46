// What goes through the gateway goes through unchanged: design.md 3.3, 3.4, 4.1, 4.6; security.md 1.3.
import { test, describe, before, beforeEach } from 'node:test';
import assert from 'node:assert/strict';
import { startProvider, freePort } from './lib/provider.mjs';
import { connect, request, requestBytes } from './lib/client.mjs';
import { gatewayFor, startGateway } from './lib/gateway.mjs';
import { chunk, LAST_CHUNK } from './lib/http1.mjs';
import { chatRequest, completion, message, messageRequest } from './lib/bodies.mjs';
import { deferred, within, waitFor } from './lib/wait.mjs';

const UUID7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

let provider, gateway;
before(async () => {
  provider = await startProvider();
  const at = (base) => ({ base_url: `${provider.url}${base}` });
  gateway = await gatewayFor(provider, {
    config: {
      gateways: { gw: {} },
      providers: { groq: at('/openai/v1'), corp: at('/team/llm/v1'), bare: at('') },
    },
  });
});
beforeEach(() => provider.reset());

const get = (path, headers, more) => request(gateway, { path, headers, ...more });
const post = (path, body, headers) => request(gateway, { path, body, headers });

describe('where a request goes', () => {
  test('the short form and the form of Cloudflare reach the same place', async () => {
    await get('/openai/v1/models');
    await get('/v1/any-account/default/openai/models');
    await get('/v1/any-account/gw/openai/v1/models');
    assert.deepEqual(provider.requests.map((rq) => rq.target), ['/v1/models', '/v1/models', '/v1/models']);
  });

  const joins = [
    ['/openai/chat/completions', '/v1/chat/completions'],
    ['/openai/v1/chat/completions', '/v1/chat/completions'],
    ['/groq/chat/completions', '/openai/v1/chat/completions'],
    ['/groq/v1/chat/completions', '/openai/v1/chat/completions'],
    ['/groq/openai/v1/chat/completions', '/openai/v1/chat/completions'],
    ['/corp/models', '/team/llm/v1/models'],
    ['/corp/v1/models', '/team/llm/v1/models'],
    ['/corp/v1beta/models', '/team/llm/v1beta/models'],
    ['/corp/v2alpha1/models', '/team/llm/v2alpha1/models'],
    ['/corp/team/llm/v1/models', '/team/llm/v1/models'],
    ['/corp/version1/models', '/team/llm/v1/version1/models'],
    ['/bare/v1/messages', '/v1/messages'],
    ['/bare/anything', '/anything'],
    ['/custom-corp/models', '/team/llm/v1/models'],
    ['/google-ai-studio/v1beta/models/gemini-2.5-flash:generateContent', '/v1beta/models/gemini-2.5-flash:generateContent'],
    ['/google-ai-studio/v1/models/x:countTokens', '/v1/models/x:countTokens'],
  ];
  for (const [asked, arrived] of joins) {
    test(`${asked} is asked of the provider as ${arrived}`, async () => {
      await get(asked);
      assert.equal(provider.last.target, arrived);
    });
  }

  test('path and query go out byte by byte as they came', async () => {
    const bytes = 'files/a%2Fb%3A%20c;v=1/..x/%2E%2Ehidden/~%C3%BC?a=1&a=2&&b=%26+%2b&c&=d&q=/?//é'.replace('é', '%E9');
    await get(`/openai/v1/${bytes}`);
    assert.equal(provider.last.target, `/v1/${bytes}`);
  });

  test('doubled and trailing slashes stay', async () => {
    await get('/openai/v1//models/');
    assert.equal(provider.last.target, '/v1//models/');
  });

  test('an empty query is not the same as none', async () => {
    await get('/openai/v1/models?');
    assert.equal(provider.last.target, '/v1/models?');
  });

  for (const dots of ['..', '.', '%2e%2e', '%2E.', '.%2e', '%2e']) {
    test(`a segment ${dots} is refused`, async () => {
      const reply = await get(`/openai/v1/${dots}/models`);
      assert.equal(reply.status, 400);
      assert.equal(reply.header('postern-error'), 'bad-path');
      assert.equal(provider.requests.length, 0);
    });
  }

  test('the Host header is the provider\'s, whatever the client says', async () => {
    await get('/openai/v1/models', undefined, { host: 'gateway.example:1234' });
    assert.deepEqual(provider.last.all('host'), [`127.0.0.1:${provider.port}`]);
  });

  test('no header chooses another host', async () => {
    await get('/openai/v1/models', { 'x-forwarded-host': 'evil.example', forwarded: 'host=evil.example', 'x-fal-target-url': 'https://evil.example/x' });
    assert.equal(provider.requests.length, 1);
    assert.ok(!/evil/.test(provider.last.rawHead));
  });

  test('an absolute-form target is taken like its path', async () => {
    const c = await connect(gateway);
    c.send('GET http://gateway.example/openai/v1/models?a=b HTTP/1.1\r\nHost: gateway.example\r\n\r\n');
    const reply = await c.expect().whole();
    assert.equal(reply.status, 200);
    assert.equal(provider.last.target, '/v1/models?a=b');
    c.close();
  });

  test('a request that comes round to the gateway again ends', async () => {
    const port = await freePort();
    const looped = await startGateway({ listen: `127.0.0.1:${port}`, config: { providers: { self: { base_url: `http://127.0.0.1:${port}/self` } } } });
    const reply = await request(looped, { path: '/self/x' });
    assert.equal(reply.status, 508);
    await looped.stop();
  });
});

describe('the request', () => {
  for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND', 'REPORT']) {
    test(`${method} stays ${method}`, async () => {
      const reply = await get('/openai/v1/things', undefined, { method });
      assert.equal(reply.status, 200);
      assert.equal(provider.last.method, method);
    });
  }

  test('unknown headers arrive with their spelling, order and repetitions', async () => {
    const sent = [['X-Custom-ONE', 'a  b'], ['x-two', ''], ['X-Custom-ONE', 'again'], ['OpenAI-Organization', 'org-1'], ['x-latin', 'caf\xe9'], ['Referer', 'http://app/']];
    await get('/openai/v1/models', sent);
    const names = sent.map(([n]) => n);
    assert.deepEqual(provider.last.headers.filter(([n]) => names.includes(n)), sent);
  });

  test('the body arrives byte by byte as it was, unknown members and spacing included', async () => {
    const body = '{ "model":"m",\t"messages":[ ],"x_unknown" : {"ü":1e2, "n":1.0},\r\n "z":"\\u00e9/\\/" }\n';
    await post('/openai/v1/chat/completions', body);
    assert.equal(provider.last.text, body);
    assert.equal(provider.last.header('content-type'), 'application/json');
  });

  const credentials = [
    [{ Authorization: 'Bearer sk-test-1' }],
    [{ Authorization: 'Token dg-test-2' }],
    [{ Authorization: 'Key fal-test-3' }],
    [{ Authorization: 'raw-test-4' }],
    [{ 'x-api-key': 'sk-ant-test-5' }],
    [{ 'api-key': 'azure-test-6' }],
    [{ 'x-goog-api-key': 'AIza-test-7' }],
    [{ 'xi-api-key': 'xi-test-8' }],
    [{ 'x-key': 'bfl-test-9' }],
    [{ 'mj-api-secret': 'mj-test-10' }],
    [{ token: 'dg-test-11' }],
    [{ Cookie: 'session=test-12' }],
  ];
  for (const [headers] of credentials) {
    const [[name, value]] = Object.entries(headers);
    test(`the caller's key in ${name}: ${value.replace(/test.*/, '…')} arrives`, async () => {
      await post('/openai/v1/chat/completions', chatRequest(value), headers);
      assert.deepEqual(provider.last.all(name), [value]);
    });
  }

  test('the caller\'s key in the query arrives', async () => {
    await post('/google-ai-studio/v1beta/models/gemini-2.5-flash:generateContent?key=AIza-q&alt=json', { contents: [] });
    assert.equal(provider.last.target, '/v1beta/models/gemini-2.5-flash:generateContent?key=AIza-q&alt=json');
  });

  test('nobody\'s key is added', async () => {
    await post('/openai/v1/chat/completions', chatRequest('no key'));
    assert.ok(!provider.last.names.some((n) => /auth|key|token/.test(n)), provider.last.rawHead);
  });

  test('headers for the gateway never arrive, known or not', async () => {
    await post('/openai/v1/chat/completions', chatRequest('control'), {
      'cf-aig-metadata': '{"team":"a"}', 'cf-aig-event-id': 'e1', 'cf-aig-cache-ttl': '60', 'cf-aig-skip-cache': 'true', 'cf-aig-collect-log': 'true',
      'cf-aig-authorization': 'Bearer gw', 'CF-AIG-Something-New': 'x', 'cf-cache-ttl': '60', 'cf-skip-cache': 'true', 'cache-control': 'no-cache',
    });
    assert.ok(!provider.last.names.some((n) => /^cf-|cache-control/.test(n)), provider.last.rawHead);
  });

  test('hop-by-hop headers and those that Connection names never arrive', async () => {
    await get('/openai/v1/models', {
      Connection: 'keep-alive, X-Mine', 'X-Mine': 'a', 'Keep-Alive': 'timeout=5', TE: 'trailers', Trailer: 'X-T', Upgrade: 'h2c', 'HTTP2-Settings': 'AAMAAABk',
      'Proxy-Connection': 'keep-alive', 'Proxy-Authorization': 'Basic eDp5', 'X-Stays': 'b',
    });
    const names = provider.last.names;
    for (const gone of ['x-mine', 'keep-alive', 'te', 'trailer', 'upgrade', 'http2-settings', 'proxy-connection', 'proxy-authorization']) assert.ok(!names.includes(gone), gone);
    assert.equal(provider.last.header('x-stays'), 'b');
  });

  for (const named of ['Authorization', 'x-api-key', 'Content-Length', 'Host', 'cf-aig-cache-key', 'anthropic-version']) {
    test(`a Connection header that names ${named} is refused`, async () => {
      const reply = await post('/openai/v1/chat/completions', chatRequest('nominated'), { Connection: named, Authorization: 'Bearer k', 'x-api-key': 'k', 'anthropic-version': 'v', 'cf-aig-cache-key': 'k' });
      assert.equal(reply.status, 400);
      assert.equal(provider.requests.length, 0);
    });
  }

  test('where the client is and what proxies say of it is not told to the provider', async () => {
    await get('/openai/v1/models', { 'X-Forwarded-For': '10.1.2.3', 'X-Forwarded-Proto': 'https', 'X-Real-IP': '10.1.2.3', Forwarded: 'for=10.1.2.3', 'True-Client-IP': '10.1.2.3' });
    assert.ok(!/10\.1\.2\.3|forwarded|real-ip/i.test(provider.last.rawHead), provider.last.rawHead);
  });

  const codings = [
    ['gzip, deflate, br, zstd', 'gzip'],
    ['br;q=1.0, gzip;q=0.8, *;q=0.1', 'gzip'],
    ['br', 'identity'],
    ['gzip;q=0, br', 'identity'],
    [undefined, 'identity'],
  ];
  for (const [asked, passed] of codings) {
    test(`accept-encoding ${asked ?? '(none)'} is cut to ${passed}`, async () => {
      await get('/openai/v1/models', { 'Accept-Encoding': asked });
      const told = provider.last.all('accept-encoding').join(',').toLowerCase();
      assert.ok(!/br|zstd|deflate|\*/.test(told), told);
      assert.equal(/gzip(?!;q=0)/.test(told), passed === 'gzip', told);
    });
  }

  test('a body in chunks arrives whole, its trailer does not', async () => {
    const text = JSON.stringify(chatRequest('in chunks'));
    const c = await connect(gateway);
    c.send('POST /openai/v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n');
    c.send(chunk(text.slice(0, 7)));
    c.send(`${(text.length - 7).toString(16)};name=value\r\n${text.slice(7)}\r\n`);
    c.send('0\r\nAuthorization: Bearer smuggled\r\n\r\n');
    assert.equal((await c.expect('POST').whole()).status, 200);
    assert.equal(provider.last.text, text);
    assert.ok(!/smuggled/.test(provider.last.rawHead + provider.last.trailers));
    c.close();
  });

  test('an upload in chunks arrives piece by piece, before it is complete', async () => {
    const c = await connect(gateway);
    c.send('POST /openai/v1/files HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n');
    c.send(chunk('first'));
    const rq = await provider.nextHead();
    await waitFor(() => rq.text === 'first', 'the first piece at the provider');
    c.send(chunk('second'));
    await waitFor(() => rq.text === 'firstsecond', 'the second piece at the provider');
    c.send(LAST_CHUNK);
    await within(rq.onBody.promise, 'the end of the body at the provider');
    rq.json({ id: 'file-1' });
    assert.equal((await c.expect('POST').whole()).json.id, 'file-1');
    c.close();
  });

  test('a compressed body is not looked into', async () => {
    const body = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xff, 0xfe, 0]);
    const reply = await post('/openai/v1/chat/completions', body, { 'Content-Encoding': 'gzip' });
    assert.equal(reply.header('cf-aig-cache-status'), 'BYPASS');
    assert.deepEqual(provider.last.body, body);
    assert.equal(provider.last.header('content-encoding'), 'gzip');
  });

  test('Expect: 100-continue is answered by the gateway, before it has the body', async () => {
    const body = JSON.stringify(chatRequest('expected'));
    const c = await connect(gateway);
    const reply = c.expect('POST');
    const continued = deferred();
    reply.onInformational = continued.resolve;
    c.send(`POST /openai/v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: ${body.length}\r\n\r\n`);
    assert.equal(await within(continued.promise, '100 Continue'), 100);
    c.send(body);
    assert.equal((await reply.whole()).status, 200);
    assert.equal(provider.last.text, body);
    assert.equal(provider.last.header('expect'), undefined);
    c.close();
  });

  test('who expects 100 and is refused gets the refusal instead, and the connection ends', async () => {
    const c = await connect(gateway);
    const reply = c.expect('POST');
    c.send('POST /no-such-provider/x HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n');
    await reply.whole();
    assert.equal(reply.status, 404);
    assert.deepEqual(reply.informational, []);
    assert.equal(reply.header('connection'), 'close');
    await c.closed();
  });

  test('any other expectation is 417', async () => {
    assert.equal((await post('/openai/v1/chat/completions', chatRequest(), { Expect: '200-ok' })).status, 417);
  });
});

describe('the answer', () => {
  test('status, headers and body are the provider\'s', async () => {
    const body = Buffer.from([0, 1, 2, 255, 13, 10, 0]);
    provider.answer = (rq) => rq.reply(418, [['X-Request-ID', 'req_1'], ['x-ratelimit-remaining-tokens', '149984'], ['Set-Cookie', 'a=1; Path=/'], ['Set-Cookie', 'b=2'], ['X-Odd', 'caf\xe9  x'], ['Content-Type', 'image/png'], ['Server', 'cloudflare'], ['Via', '1.1 edge']], body);
    const reply = await get('/openai/v1/image');
    assert.equal(reply.status, 418);
    assert.deepEqual(reply.body, body);
    assert.deepEqual(reply.all('set-cookie'), ['a=1; Path=/', 'b=2']);
    assert.equal(reply.header('x-odd'), 'caf\xe9  x');
    for (const [name, value] of [['X-Request-ID', 'req_1'], ['x-ratelimit-remaining-tokens', '149984'], ['Content-Type', 'image/png'], ['Server', 'cloudflare'], ['Via', '1.1 edge']]) {
      assert.ok(reply.headers.some(([n, v]) => n === name && v === value), name);
    }
  });

  for (const status of [201, 301, 400, 401, 404, 429, 500, 503, 529]) {
    test(`a ${status} of the provider stays one, and is not called ours`, async () => {
      provider.answer = (rq) => rq.json({ error: { message: 'theirs' } }, { status, headers: { 'retry-after': '7', location: '/elsewhere' } });
      const reply = await post('/openai/v1/chat/completions', chatRequest(`status ${status}`));
      assert.equal(reply.status, status);
      assert.deepEqual(reply.json, { error: { message: 'theirs' } });
      assert.equal(reply.header('retry-after'), '7');
      assert.equal(reply.header('postern-error'), undefined);
    });
  }

  test('hop-by-hop headers of the provider never reach the client', async () => {
    provider.answer = (rq) => rq.reply(200, { Connection: 'keep-alive, X-Theirs', 'X-Theirs': 'a', 'Keep-Alive': 'timeout=5', Trailer: 'X-T', Upgrade: 'h2', 'Proxy-Authenticate': 'Basic', 'X-Stays': 'b' }, 'x');
    const reply = await get('/openai/v1/models');
    for (const gone of ['x-theirs', 'keep-alive', 'trailer', 'upgrade', 'proxy-authenticate']) assert.ok(!reply.names.includes(gone), gone);
    assert.equal(reply.header('x-stays'), 'b');
  });

  test('it says what the gateway did', async () => {
    const reply = await post('/openai/v1/chat/completions', chatRequest('headers of ours'));
    const id = reply.header('cf-aig-log-id');
    assert.match(id, UUID7);
    assert.equal(reply.header('cf-aig-request-id'), id);
    assert.equal(reply.header('cf-aig-event-id'), id);
    assert.equal(reply.header('cf-aig-step'), '0');
    assert.equal(reply.header('cf-aig-cache-status'), 'MISS');
    assert.match(reply.header('postern-overhead-us'), /^\d+$/);
    assert.ok(Number(reply.header('postern-overhead-us')) < 5_000_000);
    assert.equal(reply.header('age'), undefined);
    const later = await post('/openai/v1/chat/completions', chatRequest('headers of ours'));
    assert.ok(later.header('cf-aig-log-id') > id, 'ids grow');
  });

  test('a provider cannot write in the gateway\'s name', async () => {
    provider.answer = (rq) => rq.json({}, { headers: { 'cf-aig-cache-status': 'HIT', 'cf-aig-log-id': 'theirs', 'postern-error': 'theirs', 'postern-overhead-us': '0' } });
    const reply = await get('/openai/v1/models');
    assert.deepEqual(reply.all('cf-aig-cache-status'), ['BYPASS']);
    assert.equal(reply.all('cf-aig-log-id').length, 1);
    assert.match(reply.header('cf-aig-log-id'), UUID7);
    assert.deepEqual(reply.all('postern-error'), []);
  });

  test('the client\'s event id comes back', async () => {
    const reply = await post('/openai/v1/chat/completions', chatRequest('event'), { 'cf-aig-event-id': 'order-4711' });
    assert.equal(reply.header('cf-aig-event-id'), 'order-4711');
  });

  test('what is not cacheable says BYPASS', async () => {
    assert.equal((await get('/openai/v1/models')).header('cf-aig-cache-status'), 'BYPASS');
  });

  test('HEAD has the length and no body', async () => {
    provider.answer = (rq) => rq.head(200, { 'Content-Length': '1234', 'Content-Type': 'text/plain' }).then(() => rq.done());
    const c = await connect(gateway);
    const reply = await c.request({ method: 'HEAD', path: '/openai/v1/files/x' }).whole();
    assert.equal(reply.header('content-length'), '1234');
    assert.equal(reply.length, 0);
    provider.answer = (rq) => rq.json({});
    assert.equal((await c.request({ path: '/openai/v1/models' }).whole()).status, 200, 'the connection is in step');
    c.close();
  });

  for (const status of [204, 304]) {
    test(`${status} has no body and leaves both connections in step`, async () => {
      provider.answer = (rq) => rq.head(status, { etag: '"x"' }).then(() => rq.done());
      const c = await connect(gateway);
      const reply = await c.request({ path: '/openai/v1/files/x' }).whole();
      assert.equal(reply.status, status);
      assert.equal(reply.header('transfer-encoding'), undefined);
      assert.equal(reply.header('etag'), '"x"');
      provider.answer = (rq) => rq.json({});
      assert.equal((await c.request({ path: '/openai/v1/models' }).whole()).status, 200);
      assert.equal(provider.requests[0].connection, provider.requests[1].connection);
      c.close();
    });
  }

  test('an empty body stays empty', async () => {
    provider.answer = (rq) => rq.reply(200, {}, '');
    const reply = await get('/openai/v1/empty');
    assert.equal(reply.header('content-length'), '0');
    assert.equal(reply.length, 0);
  });

  test('103 Early Hints pass, 100 and 102 are between provider and gateway', async () => {
    provider.answer = async (rq) => {
      rq.write('HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n');
      await rq.json({ ok: true });
    };
    const reply = await get('/openai/v1/hints');
    assert.equal(reply.status, 200);
    assert.deepEqual(reply.informational.map((i) => i.status), [103]);
    assert.deepEqual(reply.informational[0].headers.find(([n]) => n.toLowerCase() === 'link'), ['Link', '</a.css>; rel=preload']);
  });

  test('a close-delimited answer ends as it ends at the provider', async () => {
    provider.answer = async (rq) => {
      await rq.head(200, { 'Content-Type': 'text/plain', Connection: 'close' });
      await rq.write('until ');
      await rq.write('the end');
      rq.end();
    };
    const reply = await get('/openai/v1/old');
    assert.equal(reply.text, 'until the end');
    assert.equal(reply.header('transfer-encoding'), 'chunked');
  });

  test('trailers of the provider are dropped, the answer stays whole', async () => {
    provider.answer = (rq) => {
      rq.done();
      return rq.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Trailer: t\r\nSet-Cookie: evil\r\n\r\n');
    };
    const reply = await get('/openai/v1/trailers');
    assert.equal(reply.text, 'abc');
    assert.ok(!reply.names.includes('set-cookie'));
  });

  const broken = {
    'no HTTP at all': 'SSH-2.0-OpenSSH_9.2\r\n',
    'a status that is none': 'HTTP/1.1 20 OK\r\n\r\n',
    'two different lengths': 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd',
    'length and chunks': 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n',
    'a length that is no number': 'HTTP/1.1 200 OK\r\nContent-Length: 3x\r\n\r\nabc',
    'a coding that nobody asked for': 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n',
    'a folded header': 'HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 0\r\n\r\n',
    'an upgrade that nobody asked for': 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nbytes',
    'a head without end': `HTTP/1.1 200 OK\r\n${'X-Filler: 0123456789012345678901234567890123456789\r\n'.repeat(8000)}`,
  };
  for (const [what, bytes] of Object.entries(broken)) {
    test(`${what} is 502, and nothing of it reaches the client`, async () => {
      provider.answer = (rq) => rq.done().write(bytes);
      const reply = await post('/openai/v1/chat/completions', chatRequest(what));
      assert.equal(reply.status, 502);
      assert.equal(reply.header('postern-error'), 'upstream-protocol');
      assert.ok(!reply.text.includes('abc'));
    });
  }

  test('bytes behind an answer cost the provider its connection, not the client its answer', async () => {
    provider.answer = (rq) => rq.done().write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nevil!');
    assert.equal((await get('/openai/v1/a')).text, 'ok');
    provider.answer = (rq) => rq.reply(200, {}, 'mine');
    assert.equal((await get('/openai/v1/b')).text, 'mine');
    assert.notEqual(provider.requests[0].connection, provider.requests[1].connection);
  });
});

describe('connections', () => {
  test('one client connection and one provider connection carry many requests', async () => {
    const before = provider.connections;
    provider.closeConnections();
    const c = await connect(gateway);
    for (let i = 0; i < 5; i++) {
      const reply = await c.request({ path: '/openai/v1/chat/completions', body: chatRequest(`keep ${i}`) }).whole();
      assert.equal(reply.status, 200);
      assert.notEqual(reply.header('connection'), 'close');
    }
    assert.ok(provider.connections - before <= 1, `${provider.connections - before} connections`);
    assert.equal(new Set(provider.requests.map((rq) => rq.connection)).size, 1);
    c.close();
  });

  test('clients share the provider\'s connections', async () => {
    await get('/openai/v1/a');
    await get('/openai/v1/b');
    assert.equal(provider.requests[0].connection, provider.requests[1].connection);
  });

  test('requests that are sent ahead are answered in their order', async () => {
    const c = await connect(gateway);
    const first = c.expect();
    const second = c.expect('POST');
    const third = c.expect();
    const body = JSON.stringify(chatRequest('pipelined'));
    c.send(Buffer.concat([
      requestBytes({ path: '/openai/v1/first' }),
      requestBytes({ path: '/openai/v1/chat/completions', body }),
      requestBytes({ path: '/no-such-provider/third' }),
    ]));
    const rq = await provider.next();
    assert.equal(provider.requests.length, 1, 'one at a time');
    provider.answer = (other) => other.reply(200, {}, 'second');
    await rq.reply(200, {}, 'first');
    assert.equal((await first.whole()).text, 'first');
    assert.equal((await second.whole()).text, 'second');
    assert.equal((await third.whole()).status, 404);
    assert.equal(provider.requests[1].text, body);
    c.close();
  });

  test('Connection: close is kept', async () => {
    const c = await connect(gateway);
    const reply = await c.request({ path: '/openai/v1/models', headers: { Connection: 'close' } }).whole();
    assert.equal(reply.header('connection'), 'close');
    assert.equal(await c.closed(), null, 'with FIN');
  });

  test('an HTTP/1.0 client gets an answer that it can read, and the end', async () => {
    provider.answer = (rq) => rq.events(['one ', 'two'], { headers: { 'Content-Type': 'text/plain' } });
    const c = await connect(gateway);
    const reply = c.expect();
    c.send('GET /openai/v1/models HTTP/1.0\r\n\r\n');
    await reply.whole();
    assert.equal(reply.text, 'one two');
    assert.equal(reply.header('transfer-encoding'), undefined);
    await c.closed();
    assert.equal(provider.last.version, 'HTTP/1.1');
  });

  test('an HTTP/1.0 client that asks for it may keep its connection', async () => {
    const c = await connect(gateway);
    for (let i = 0; i < 2; i++) {
      const reply = c.expect();
      c.send('GET /openai/v1/models HTTP/1.0\r\nConnection: keep-alive\r\n\r\n');
      assert.equal((await reply.whole()).status, 200);
      assert.match(reply.header('connection'), /keep-alive/i);
    }
    c.close();
  });

  test('a provider connection that was closed while idle is not used', async () => {
    await get('/openai/v1/a');
    provider.closeConnections();
    for (let i = 0; i < 3; i++) assert.equal((await get(`/openai/v1/b${i}`)).status, 200);
  });

  test('a pooled connection that dies under a request is tried once more on a fresh one', async () => {
    await post('/openai/v1/chat/completions', chatRequest('warm'));
    const warm = provider.last.connection;
    provider.answer = (rq) => (rq.connection === warm ? rq.reset() : rq.json(completion('fresh')));
    const reply = await post('/openai/v1/chat/completions', chatRequest('dies'));
    assert.equal(reply.status, 200);
    assert.equal(reply.json.choices[0].message.content, 'fresh');
    assert.equal(provider.requests.filter((rq) => rq.text.includes('dies')).length, 2);
    const record = await gateway.log(reply);
    assert.equal(record.attempts, 2);
  });

  test('a fresh connection that dies is not tried again', async () => {
    provider.closeConnections();
    provider.answer = (rq) => rq.reset();
    const reply = await post('/openai/v1/chat/completions', chatRequest('dies fresh'));
    assert.equal(reply.status, 502);
    assert.equal(provider.requests.length, 1);
  });

  test('an answer that comes before the request is complete passes, and the connection ends', async () => {
    const c = await connect(gateway);
    c.send('POST /openai/v1/files HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\nContent-Length: 1000000\r\n\r\nsome');
    const rq = await provider.nextHead();
    rq.json({ error: { message: 'too large' } }, { status: 413 });
    const reply = await c.expect('POST').whole();
    assert.equal(reply.status, 413);
    assert.equal(reply.header('connection'), 'close');
    c.close();
    provider.answer = (other) => other.json({});
    assert.equal((await get('/openai/v1/after')).status, 200);
    assert.notEqual(provider.last.connection, rq.connection, 'a connection with half a request is not used again');
  });
});

describe('what is not a request is refused, and never forwarded', () => {
  const H = 'Host: x\r\n';
  const POST = `POST /openai/v1/chat/completions HTTP/1.1\r\n${H}`;
  const cases = [
    ['length and chunks', `${POST}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, 400],
    ['chunks and length', `${POST}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n`, 400],
    ['two lengths', `${POST}Content-Length: 5\r\nContent-Length: 5\r\n\r\nabcde`, 400],
    ['a list of lengths', `${POST}Content-Length: 5, 5\r\n\r\nabcde`, 400],
    ['a length with a sign', `${POST}Content-Length: +5\r\n\r\nabcde`, 400],
    ['a length with a leading zero', `${POST}Content-Length: 005\r\n\r\nabcde`, 400],
    ['an empty length', `${POST}Content-Length: \r\n\r\n`, 400],
    ['a length of 2^64 - 1', `${POST}Content-Length: 18446744073709551615\r\n\r\n`, 400],
    ['chunked twice', `${POST}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, 400],
    ['chunked and something else', `${POST}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n`, 400],
    ['an unknown coding', `${POST}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`, 501],
    ['an empty coding and a length', `${POST}Transfer-Encoding:\r\nContent-Length: 5\r\n\r\nabcde`, 400],
    ['chunks in HTTP/1.0', `POST /openai/v1/x HTTP/1.0\r\n${H}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, 400],
    ['Transfer_Encoding', `${POST}Transfer_Encoding: chunked\r\nContent-Length: 5\r\n\r\nabcde`, 400],
    ['a space before the colon', `${POST}Content-Length : 5\r\n\r\nabcde`, 400],
    ['a folded header', `${POST}X-A: b\r\n c\r\nContent-Length: 0\r\n\r\n`, 400],
    ['bare LF behind a header', `GET /openai/v1/models HTTP/1.1\r\n${H.replace('\r', '')}\r\n`, 400],
    ['bare LF', `GET /openai/v1/models HTTP/1.1\n${H.replace('\r', '')}\n`, 400],
    ['NUL in a value', `${POST}X-A: b\0c\r\nContent-Length: 0\r\n\r\n`, 400],
    ['no Host', 'GET /openai/v1/models HTTP/1.1\r\n\r\n', 400],
    ['two Hosts', `GET /openai/v1/models HTTP/1.1\r\n${H}${H}\r\n`, 400],
    ['a Host with a path', 'GET /openai/v1/models HTTP/1.1\r\nHost: x/y\r\n\r\n', 400],
    ['a Host with a user', 'GET /openai/v1/models HTTP/1.1\r\nHost: u@x\r\n\r\n', 400],
    ['another Host than the target\'s', `GET http://y/openai/v1/models HTTP/1.1\r\n${H}\r\n`, 400],
    ['a fragment', `GET /openai/v1/models#x HTTP/1.1\r\n${H}\r\n`, 400],
    ['a bad chunk size', `${POST}Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n`, 400],
    ['a chunk without CRLF', `${POST}Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n`, 400],
    ['HTTP/0.9', 'GET /openai/v1/models\r\n\r\n', 505],
    ['HTTP/2.0', `GET /openai/v1/models HTTP/2.0\r\n${H}\r\n`, 505],
    ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 505],
    ['CONNECT', `CONNECT api.openai.com:443 HTTP/1.1\r\n${H}\r\n`, 405],
    ['TRACE', `TRACE /openai/v1/models HTTP/1.1\r\n${H}\r\n`, 405],
    ['GET *', `GET * HTTP/1.1\r\n${H}\r\n`, 400],
    ['no words at all', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 400],
  ];
  for (const [what, bytes, status] of cases) {
    test(`${what}: ${status}`, async () => {
      const c = await connect(gateway);
      const reply = c.expect();
      c.send(bytes);
      await reply.whole();
      assert.equal(reply.status, status);
      assert.ok(reply.header('postern-error'));
      assert.equal(reply.header('allow'), status === 405 ? 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS' : undefined); // RFC 9110 15.5.6
      assert.equal(reply.header('connection'), 'close');
      await c.closed();
      assert.equal(provider.requests.length, 0);
    });
  }

  test('what follows a broken request is not taken for another one', async () => {
    const c = await connect(gateway);
    const reply = c.expect();
    c.send(`${POST}Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /openai/v1/smuggled HTTP/1.1\r\n${H}\r\n`);
    assert.equal((await reply.whole()).status, 400);
    await c.closed();
    assert.equal(c.extra.length, 0);
    assert.equal(provider.requests.length, 0);
  });

  test('an offer to upgrade to something else is ignored', async () => {
    assert.equal((await get('/openai/v1/models', { Connection: 'Upgrade, HTTP2-Settings', Upgrade: 'h2c', 'HTTP2-Settings': 'AAMAAABk' })).status, 200);
    assert.equal(provider.last.header('upgrade'), undefined);
  });
});

describe('refusals of the gateway', () => {
  const isOpenai = (reply) => {
    assert.equal(typeof reply.json.error.message, 'string');
    assert.ok(reply.json.error.message.length > 10);
    assert.equal(typeof reply.json.error.type, 'string');
  };
  const isAnthropic = (reply) => {
    assert.equal(reply.json.type, 'error');
    assert.equal(typeof reply.json.error.type, 'string');
    assert.equal(typeof reply.json.error.message, 'string');
  };
  const isCloudflare = (reply, code) => {
    const { success, result, messages, error, name, httpCode, internalCode, message: text, description } = reply.json;
    assert.equal(success, false);
    assert.deepEqual(result, []);
    assert.deepEqual(messages, []);
    assert.equal(name, 'AiGatewayError');
    assert.equal(httpCode, reply.status);
    assert.equal(internalCode, code);
    assert.equal(error[0].code, code);
    assert.equal(error[0].message, text);
    assert.equal(typeof description, 'string');
  };
  const isRefusal = (reply, status, word) => {
    assert.equal(reply.status, status);
    assert.equal(reply.header('postern-error'), word);
    assert.match(reply.header('content-type'), /^application\/json/);
    assert.match(reply.header('cf-aig-log-id'), UUID7);
  };

  test('an unknown provider: 404 that says how a path looks', async () => {
    const reply = await post('/no-such-provider/v1/chat/completions', chatRequest());
    isRefusal(reply, 404, 'unknown-provider');
    isOpenai(reply);
  });

  test('a misspelt provider: the nearest name is told', async () => {
    const reply = await post('/opanai/v1/chat/completions', chatRequest());
    isRefusal(reply, 404, 'unknown-provider');
    assert.match(reply.json.error.message, /'openai'/);
  });

  test('a built-in provider on loopback that no configuration names is off', async () => {
    isRefusal(await post('/ollama/v1/chat/completions', chatRequest()), 404, 'unknown-provider');
  });

  test('no provider at all: 404', async () => {
    isRefusal(await get('/'), 404, 'not-found');
  });

  test('an unknown gateway: 400 with Cloudflare\'s code 2001, in its envelope', async () => {
    const reply = await post('/v1/acc/no-such-gateway/openai/chat/completions', chatRequest());
    isRefusal(reply, 400, 'unknown-gateway');
    isCloudflare(reply, 2001);
  });

  test('a provider that cannot be reached: 502 with code 2005, in the dialect of the endpoint', async () => {
    const port = await freePort();
    const gone = { base_url: `http://127.0.0.1:${port}` };
    const lonely = await startGateway({ config: { providers: { openai: gone, anthropic: gone, gone } } });
    const ask = (path, body) => request(lonely, { path, body });
    const openai = await ask('/openai/v1/chat/completions', chatRequest());
    isRefusal(openai, 502, 'upstream-connect');
    isOpenai(openai);
    const anthropic = await ask('/anthropic/v1/messages', messageRequest());
    isRefusal(anthropic, 502, 'upstream-connect');
    isAnthropic(anthropic);
    const across = await ask('/gone/v1/messages', messageRequest());
    isRefusal(across, 502, 'upstream-connect');
    isAnthropic(across);
    const cloudflare = await ask('/v1/acc/default/anthropic/v1/messages', messageRequest());
    isRefusal(cloudflare, 502, 'upstream-connect');
    isCloudflare(cloudflare, 2005);
    await lonely.stop();
  });

  test('a provider that closes without an answer: 502', async () => {
    provider.answer = (rq) => rq.end();
    const reply = await post('/anthropic/v1/messages', messageRequest('closes'));
    isRefusal(reply, 502, 'upstream-closed');
    isAnthropic(reply);
  });

  for (const [name, value] of [['cf-aig-cache-ttl', 'soon'], ['cf-aig-cache-ttl', '-1'], ['cf-aig-skip-cache', 'perhaps'], ['cf-aig-collect-log', '1'], ['cf-aig-metadata', '[1]'], ['cf-aig-metadata', '{"a":{"b":1}}'], ['cf-aig-cache-key', 'k'.repeat(1025)]]) {
    test(`${name}: ${value.slice(0, 20)} is refused, the header named`, async () => {
      const reply = await post('/openai/v1/chat/completions', chatRequest(), { [name]: value });
      isRefusal(reply, 400, 'bad-header');
      assert.ok(reply.json.error.message.includes(name), reply.text);
      assert.equal(provider.requests.length, 0);
    });
  }

  test('a client\'s SigV4 signature for AWS cannot pass, and the refusal says what can', async () => {
    const reply = await post('/aws-bedrock/bedrock-runtime/us-east-1/model/x/invoke', {}, { Authorization: 'AWS4-HMAC-SHA256 Credential=AKID/20260101/us-east-1/bedrock/aws4_request, SignedHeaders=host, Signature=00' });
    assert.equal(reply.status, 400);
    assert.equal(reply.header('postern-error'), 'sigv4-client-signature');
    assert.match(reply.text, /API key/);
  });

  test('a host label that is none is refused', async () => {
    for (const label of ['evil.example', 'a%2eb', 'x_y', 'a'.repeat(64)]) {
      const reply = await post(`/azure-openai/${label}/gpt/chat/completions`, chatRequest());
      assert.equal(reply.status, 400, label);
      assert.equal(reply.header('postern-error'), 'bad-upstream-host', label);
    }
  });

  test('a refusal leaves the connection open', async () => {
    const c = await connect(gateway);
    for (let i = 0; i < 3; i++) isRefusal(await c.request({ path: '/no-such-provider/x' }).whole(), 404, 'unknown-provider');
    c.close();
  });

  test('a refusal of HEAD has no body', async () => {
    const c = await connect(gateway);
    const reply = await c.request({ method: 'HEAD', path: '/no-such-provider/x' }).whole();
    assert.equal(reply.status, 404);
    assert.equal((await c.request({ path: '/openai/v1/models' }).whole()).status, 200);
    c.close();
  });

  test('the client\'s event id comes back with a refusal too', async () => {
    assert.equal((await get('/no-such-provider/x', { 'cf-aig-event-id': 'mine' })).header('cf-aig-event-id'), 'mine');
  });
});

describe('names that resolve', () => {
  test('an Anthropic endpoint under any provider is read as one', async () => {
    provider.answer = (rq) => rq.json(message());
    const reply = await post('/bare/v1/messages', messageRequest('elsewhere'));
    assert.equal((await gateway.log(reply)).tokens_out, 503);
  });

  for (const base of ['http://127.1:9', 'http://0x7f.1:9', 'http://2130706433:9', 'http://0177.0.0.1:9']) {
    test(`a base_url ${base}, which only some read as an address, is refused at the start`, async () => {
      await assert.rejects(startGateway({ config: { providers: { trick: { base_url: base } } } }), /ended with [12] before[^]*trick.*base_url/);
    });
  }
});
