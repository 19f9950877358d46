// upstream.proxy: https providers through an HTTP proxy with CONNECT. deploy/FAULTS.md names these tests.
import { test, describe, before } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { startProvider, freePort } from './lib/provider.mjs';
import { startProxy } from './lib/proxy.mjs';
import { connect, request } from './lib/client.mjs';
import { gatewayFor, postern, startGateway, tempDirectory } from './lib/gateway.mjs';
import { makeCertificates, tlsOptions } from './lib/certificates.mjs';
import { chatEvents, chatRequest, completion } from './lib/bodies.mjs';
import { waitFor } from './lib/wait.mjs';

const pki = makeCertificates();
const HOST = 'api.provider.test'; // no DNS knows it: only the proxy leads there
const PASSWORD = 'pr0xy-p%40ss'; // %40: an '@'
const KEY = 'sk-never-to-the-proxy';

const startHttps = (pair = pki.named) => startProvider({ tls: tlsOptions(pair) });
const behind = (proxyUrl, more = {}) => startGateway({
  ...more,
  config: {
    ...more.config,
    upstream: { ca: pki.ca, ...(proxyUrl && { proxy: proxyUrl }), ...more.upstream },
    providers: { openai: { base_url: `https://${HOST}/v1` }, ...more.providers },
  },
});
const ask = (gateway, more) => request(gateway, { path: '/openai/v1/chat/completions', body: chatRequest('through a proxy'), headers: { Authorization: `Bearer ${KEY}` }, ...more });

describe('an https provider behind a proxy', () => {
  let provider, proxy, gateway;
  before(async () => {
    provider = await startHttps();
    proxy = await startProxy({ to: provider.port });
    gateway = await behind(`http://user:${PASSWORD}@127.0.0.1:${proxy.port}`);
  });

  test('is reached by CONNECT, with TLS to its own name inside', async () => {
    const reply = await ask(gateway);
    assert.equal(reply.status, 200, reply.text);
    assert.deepEqual(reply.json, completion());
    const [connectRequest] = proxy.requests;
    assert.equal(connectRequest.start, `CONNECT ${HOST}:443 HTTP/1.1`);
    assert.equal(connectRequest.header('host'), `${HOST}:443`);
    assert.equal(provider.last.tls.servername, HOST);
    assert.equal(provider.last.header('host'), HOST);
    assert.equal(provider.last.header('authorization'), `Bearer ${KEY}`);
  });

  test('the password goes to the proxy alone, and nothing of the request in plain text', async () => {
    await ask(gateway);
    const basic = proxy.requests[0].header('proxy-authorization');
    assert.equal(Buffer.from(basic.split(' ')[1], 'base64').toString(), 'user:pr0xy-p@ss');
    assert.equal(provider.last.header('proxy-authorization'), undefined);
    const plain = Buffer.concat(proxy.inside).toString('latin1') + proxy.requests.map((r) => r.raw).join('');
    for (const word of [KEY, 'through a proxy', 'chat/completions', 'gpt-4o-mini']) assert.ok(!plain.includes(word), word);
    assert.equal(proxy.before.length, 0);
    for (const secret of ['pr0xy', basic.split(' ')[1]]) {
      assert.ok(!(gateway.stdout + gateway.stderr).includes(secret));
      for (const file of fs.readdirSync(gateway.data, { recursive: true })) {
        const full = path.join(gateway.data, file);
        if (fs.statSync(full).isFile()) assert.ok(!fs.readFileSync(full).includes(secret), file);
      }
    }
  });

  test('a tunnel is pooled like any connection', async () => {
    const tunnels = proxy.requests.length;
    for (let i = 0; i < 3; i++) assert.equal((await request(gateway, { path: `/openai/v1/${i}` })).status, 200);
    assert.ok(proxy.requests.length - tunnels <= 1, 'one tunnel serves them all');
  });

  test('a stream arrives event by event', async () => {
    const c = await connect(gateway);
    const reply = c.request({ path: '/openai/v1/chat/completions', body: chatRequest('stream', { stream: true }) });
    const s = (await provider.next()).stream();
    for (const e of chatEvents()) {
      s.send(e);
      await reply.has(e);
    }
    s.end();
    await reply.whole();
    c.close();
  });

  test('a client that leaves closes the tunnel', async () => {
    const open = proxy.tunnels;
    const c = await connect(gateway);
    c.request({ path: '/openai/v1/leaves' });
    const rq = await provider.next();
    c.abort();
    await rq.aborted();
    await waitFor(() => proxy.tunnels <= open, 'the tunnel closes');
  });
});

describe('who goes through the proxy', () => {
  test('http providers, localhost, private addresses and no_proxy do not', async () => {
    const [plain, secure] = [await startProvider(), await startProvider({ tls: tlsOptions(pki.leaf) })];
    const proxy = await startProxy({ to: secure.port });
    const gateway = await behind(proxy.url, {
      upstream: { no_proxy: ['other.test, .corp.test', `${HOST}:444`] },
      providers: {
        plain: { base_url: plain.url },
        here: { base_url: `https://localhost:${secure.port}` },
        literal: { base_url: `https://127.0.0.1:${secure.port}` },
        corp: { base_url: 'https://llm.corp.test' },
        port: { base_url: `https://${HOST}:444` },
      },
    });
    for (const slug of ['plain', 'here', 'literal']) assert.equal((await request(gateway, { path: `/${slug}/x` })).status, 200, slug);
    for (const slug of ['corp', 'port']) assert.match((await request(gateway, { path: `/${slug}/x` })).header('postern-error'), /^upstream-dns/, slug);
    assert.equal(proxy.requests.length, 0);
    await ask(gateway);
    assert.equal(proxy.requests.length, 1);
  });

  for (const name of ['HTTPS_PROXY', 'https_proxy']) {
    test(`${name} counts where the configuration says nothing, and NO_PROXY with it`, async () => {
      const provider = await startHttps();
      const proxy = await startProxy({ to: provider.port });
      const gateway = await behind(null, { env: { [name]: proxy.url, NO_PROXY: 'left.test,' }, providers: { left: { base_url: 'https://left.test' } } });
      assert.equal((await ask(gateway)).status, 200);
      assert.equal(proxy.requests.length, 1);
      assert.match((await request(gateway, { path: '/left/x' })).header('postern-error'), /^upstream-dns/);
      assert.equal(proxy.requests.length, 1);
    });
  }

  test('`proxy: none` in the configuration wins over HTTPS_PROXY', async () => {
    const proxy = await startProxy({ to: 1 });
    const gateway = await behind('none', { env: { HTTPS_PROXY: proxy.url } });
    assert.match((await ask(gateway)).header('postern-error'), /^upstream-dns/);
    assert.equal(proxy.requests.length, 0);
  });

  test('`check` shows the proxy without user and password; a wrong one is named without its value', async () => {
    const file = path.join(tempDirectory(), 'p.yaml');
    const check = (proxy, env) => {
      fs.writeFileSync(file, JSON.stringify({ data: '/d', ...(proxy && { upstream: { proxy } }) }));
      return postern(['check', '--config', file], { env });
    };
    const fine = await check('http://user:pr0xy@proxy.test:3128');
    assert.equal(fine.code, 0, fine.stderr);
    assert.match(fine.stdout, /proxy: "?http:\/\/\*\*\*@proxy\.test:3128/);
    const fromEnv = await check(null, { HTTPS_PROXY: 'user:pr0xy@proxy.test' });
    assert.match(fromEnv.stdout, /proxy: "?\*\*\*@proxy\.test/);
    for (const bad of ['https://user:pr0xy@proxy.test', 'socks5://user:pr0xy@proxy.test:1080', 'http://user:pr0xy@:80', 'http://user:pr0xy@proxy.test:0']) {
      for (const r of [await check(bad), await check(null, { HTTPS_PROXY: bad })]) {
        assert.equal(r.code, 1, bad);
        assert.match(r.stderr, /upstream\.proxy/);
        assert.ok(!r.stderr.includes('pr0xy'), r.stderr);
      }
      assert.equal((await check('none', { HTTPS_PROXY: bad })).code, 0, 'a proxy that does not count is not judged');
    }
    for (const r of [fine, fromEnv]) assert.ok(!(r.stdout + r.stderr).includes('pr0xy'));
  });
});

describe('a proxy that does not do it: 502 or 504, and not a byte of the request', () => {
  const text = (head) => (rq, socket) => socket.write(head);
  const rows = {
    'wants other credentials (407)': [text('HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 5\r\n\r\nlogin'), 502, 'upstream-proxy', /CONNECT with 407 \(user and password/],
    'cannot reach the provider (502)': [text('HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n'), 502, 'upstream-proxy', /CONNECT with 502/],
    'redirects (302)': [text('HTTP/1.1 302 Found\r\nLocation: http://evil.test/\r\n\r\n'), 502, 'upstream-proxy', /CONNECT with 302/],
    'speaks no HTTP': [text('220 mail.test ESMTP\r\n'), 502, 'upstream-proxy', /not valid HTTP/],
    'has an endless head': [(rq, socket) => socket.write(`HTTP/1.1 200 OK\r\n${'X-A: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n'.repeat(2000)}`), 502, 'upstream-proxy', /not valid HTTP/],
    'sends bytes behind its 200': [text('HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil'), 502, 'upstream-proxy', /bytes behind/],
    'closes instead of an answer': [(rq, socket) => socket.end(), 502, 'upstream-proxy', /closed the connection/],
    'resets instead of an answer': [(rq, socket) => socket.resetAndDestroy(), 502, 'upstream-proxy', /closed the connection/],
    'closes in the middle of its head': [(rq, socket) => socket.end('HTTP/1.1 200 O'), 502, 'upstream-proxy', /closed the connection/],
    'says nothing': [() => {}, 504, 'upstream-connect-timeout', /did not answer CONNECT in time/],
    'sends 1xx without end': [(rq, socket) => socket.write('HTTP/1.1 100 Continue\r\n\r\n'.repeat(50)), 504, 'upstream-connect-timeout', /did not answer CONNECT in time/],
    'opens a way to a server of another name': [(rq, socket, open) => open(), 502, 'upstream-tls', /not for the name api\.provider\.test/],
    'answers the TLS handshake itself, in plain text': [(rq, socket) => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
      socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil'));
    }, 502, 'upstream-tls', /./],
    'goes silent behind its 200': [(rq, socket) => socket.write('HTTP/1.1 200 OK\r\n\r\n'), 504, 'upstream-connect-timeout', /TLS handshake was not done in time/],
  };
  for (const [what, [answer, status, word, logged]] of Object.entries(rows)) {
    test(what, async () => {
      const provider = await startHttps(pki.leaf);
      const proxy = await startProxy({ to: provider.port });
      proxy.answer = answer;
      const gateway = await behind(`http://u:pr0xy@127.0.0.1:${proxy.port}`, { upstream: { connect: '1500ms', tls: '1500ms' } });
      const reply = await ask(gateway);
      assert.equal(reply.status, status, reply.text);
      assert.equal(reply.header('postern-error'), word);
      assert.ok(!/evil|pr0xy/.test(reply.text));
      const record = await gateway.log(reply);
      assert.equal(record.status_code, status);
      assert.equal(record.end_reason, word);
      assert.equal(record.attempts, 1);
      assert.match((await request(gateway, { path: '/-/metrics' })).text, new RegExp(`failures_total\\{reason="${word}"\\} 1\\n`));
      assert.match(gateway.stderr, logged);
      assert.equal(provider.applicationBytes, 0);
      const sent = Buffer.concat([...proxy.before, ...proxy.inside]).toString('latin1') + proxy.requests.map((r) => r.raw).join('');
      assert.ok(!sent.includes(KEY) && !sent.includes('chat/completions'));
      assert.ok(!gateway.stderr.includes('pr0xy'));
    });
  }

  test('refuses the connection, or has no address', async () => {
    const port = await freePort();
    for (const url of [`http://127.0.0.1:${port}`, 'http://no.such.proxy.invalid:3128']) {
      const gateway = await behind(url);
      const reply = await ask(gateway, { ms: 15_000 });
      assert.ok([502, 504].includes(reply.status));
      assert.match(reply.header('postern-error'), url.includes('invalid') ? /^upstream-(proxy|dns-timeout)$/ : /^upstream-proxy$/);
    }
  });

  test('a client that leaves while the proxy thinks: the connection to it is closed', async () => {
    const proxy = await startProxy({ to: 1 });
    proxy.answer = () => {};
    const gateway = await behind(proxy.url);
    const c = await connect(gateway);
    c.request({ path: '/openai/v1/x' });
    await waitFor(() => proxy.requests.length === 1, 'CONNECT');
    c.abort();
    await waitFor(() => proxy.sockets.size === 0, 'the end of the connection at the proxy');
  });
});

test('a failed tunnel is not pooled and not retried by itself; the next request tries again', async () => {
  const provider = await startHttps();
  const proxy = await startProxy({ to: provider.port });
  proxy.answer = (rq, socket, open) => (proxy.requests.length === 1 ? socket.end('HTTP/1.1 503 No\r\n\r\n') : open('HTTP/1.0 200 Connection established\r\nContent-Length: 0\r\n\r\n'));
  const gateway = await gatewayFor(provider, { config: { upstream: { ca: pki.ca, proxy: proxy.url }, providers: { openai: { base_url: `https://${HOST}/v1` } } } });
  assert.equal((await ask(gateway)).status, 502);
  assert.equal((await ask(gateway)).status, 200);
  assert.equal(proxy.requests.length, 2);
});
