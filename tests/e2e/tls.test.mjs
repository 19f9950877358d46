// TLS on both sides, and Unix sockets: design.md 3.1, 4.1; security.md 6.
import { test, describe, before } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { startProvider, startRaw } from './lib/provider.mjs';
import { connect, request } from './lib/client.mjs';
import { gatewayFor, startGateway, tempDirectory } from './lib/gateway.mjs';
import { makeCertificates, tlsOptions } from './lib/certificates.mjs';
import { chatRequest, chatEvents, completion } from './lib/bodies.mjs';
import { within, waitFor } from './lib/wait.mjs';

const pki = makeCertificates();
const ca = fs.readFileSync(pki.ca);

describe('a TLS listener', () => {
  let provider, gateway;
  before(async () => {
    provider = await startProvider();
    gateway = await gatewayFor(provider, { config: { listen: [{ address: '127.0.0.1:0', tls: { certificate: pki.leaf.cert, key: pki.leaf.key } }, '127.0.0.1:0'] } });
  });

  test('is printed as https', () => {
    assert.match(gateway.urls[0], /^https:\/\/127\.0\.0\.1:\d+$/);
    assert.match(gateway.urls[1], /^http:\/\/127\.0\.0\.1:\d+$/);
  });

  for (const version of ['TLSv1.2', 'TLSv1.3']) {
    const secure = { ca, minVersion: version, maxVersion: version };

    test(`${version}: a request, with ALPN http/1.1`, async () => {
      const c = await connect(gateway, { tls: { ...secure, ALPNProtocols: ['h2', 'http/1.1'] } });
      assert.equal(c.socket.getProtocol(), version);
      assert.equal(c.socket.alpnProtocol, 'http/1.1');
      assert.match(c.socket.getCipher().name, /GCM|CHACHA20/);
      const reply = await c.request({ path: '/openai/v1/chat/completions', body: chatRequest(version) }).whole();
      assert.equal(reply.status, 200);
      assert.deepEqual(reply.json, completion());
      c.close();
    });

    test(`${version}: a client without ALPN is served`, async () => {
      const c = await connect(gateway, { tls: { ...secure, ALPNProtocols: undefined } });
      assert.equal((await c.request({ path: '/-/healthz' }).whole()).status, 200);
      c.close();
    });

    test(`${version}: a session is resumed`, async () => {
      const first = await connect(gateway, { tls: secure });
      assert.equal((await first.request({ path: '/-/healthz' }).whole()).status, 200);
      assert.equal(first.socket.isSessionReused(), false);
      const ticket = await within(first.session, 'a session ticket');
      first.close();
      const second = await connect(gateway, { tls: { ...secure, session: ticket } });
      assert.equal(second.socket.isSessionReused(), true);
      assert.equal((await second.request({ path: '/-/healthz' }).whole()).status, 200);
      second.close();
    });

    test(`${version}: a stream arrives event by event, and ends with close_notify where the connection ends`, async () => {
      const c = await connect(gateway, { tls: secure });
      const reply = c.request({ path: '/openai/v1/chat/completions', body: chatRequest(`stream ${version}`, { stream: true }), headers: { Connection: 'close' } });
      const s = (await provider.next()).stream();
      for (const e of chatEvents()) {
        s.send(e);
        await reply.has(e);
      }
      s.end();
      await reply.whole();
      assert.equal(await c.closed(), null);
    });

    test(`${version}: megabytes both ways`, async () => {
      const big = Buffer.alloc(3_000_000, 'abcdefghij\n');
      provider.answer = (rq) => rq.reply(200, {}, rq.body);
      const reply = await request(gateway, { method: 'PUT', path: '/openai/v1/blob', headers: { 'Content-Type': 'application/octet-stream' }, body: big, tls: secure });
      provider.reset();
      assert.ok(reply.body.equals(big));
    });
  }

  test('TLS 1.1 is refused', async () => {
    await assert.rejects(connect(gateway, { tls: { ca, minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } }));
  });

  test('a client that offers only h2 does not get it', async () => {
    await assert.rejects(connect(gateway, { tls: { ca, ALPNProtocols: ['h2'] } }).then((c) => {
      if (c.socket.alpnProtocol !== 'h2') throw new Error('no protocol in common');
    }));
  });

  test('plain HTTP to it gets no answer, and hurts nobody', async () => {
    const c = await connect({ port: gateway.endpoints[0].port });
    const reply = c.request({ path: '/-/healthz' });
    await reply.cut();
    assert.equal((await request(gateway, { path: '/-/healthz', tls: { ca } })).status, 200);
  });

  test('a client that leaves is noticed through TLS, before the first byte', async () => {
    const c = await connect(gateway, { tls: { ca } });
    c.request({ path: '/openai/v1/chat/completions', body: chatRequest('leaves') });
    const rq = await provider.next();
    c.close();
    await rq.aborted();
  });

  test('a cut at the provider is no clean end here: no close_notify before the answer is whole', async () => {
    const c = await connect(gateway, { tls: { ca } });
    const reply = c.request({ path: '/openai/v1/chat/completions', body: chatRequest('cut', { stream: true }) });
    const rq = await provider.next();
    rq.stream().send(': begun\n\n');
    await reply.has('begun');
    rq.reset();
    await reply.cut();
  });

  test('a certificate file that is none: the start says which, and ends with 2 or 1', async () => {
    for (const wrong of [{ certificate: '/nonexistent.pem', key: pki.leaf.key }, { certificate: pki.leaf.cert, key: pki.ca }, { certificate: pki.leaf.cert, key: pki.expired.key }]) {
      await assert.rejects(
        startGateway({ config: { listen: [{ address: '127.0.0.1:0', tls: wrong }] } }),
        (e) => /ended with [12] before/.test(e.message) && /\.(pem|key)/.test(e.message),
      );
    }
  });
});

describe('TLS towards a provider', () => {
  const behind = (provider, more = {}) => startGateway({
    config: { providers: { openai: { base_url: `https://localhost:${provider.port}/v1`, ca: pki.ca, ...more } } },
  });
  const ask = (gateway) => request(gateway, { path: '/openai/v1/chat/completions', body: chatRequest('secret prompt'), headers: { Authorization: 'Bearer sk-secret' } });

  for (const version of ['TLSv1.2', 'TLSv1.3']) {
    test(`${version}: verified against the provider's own CA, with SNI and its name as Host`, async () => {
      const provider = await startProvider({ tls: { ...tlsOptions(pki.leaf), minVersion: version, maxVersion: version } });
      const gateway = await behind(provider);
      const reply = await ask(gateway);
      assert.equal(reply.status, 200, reply.text);
      assert.equal(provider.last.tls.servername, 'localhost');
      assert.equal(provider.last.header('host'), `localhost:${provider.port}`);
      assert.equal(provider.last.tls.protocol, version);
      assert.equal(provider.last.tls.alpn, 'http/1.1');
      assert.equal(provider.last.header('authorization'), 'Bearer sk-secret');
      await gateway.stop();
      await provider.close();
    });

    // what TLS itself sends between two requests, tickets say, is not a reason to leave a connection
    test(`${version}: one connection carries many requests`, async () => {
      const provider = await startProvider({ tls: { ...tlsOptions(pki.leaf), minVersion: version, maxVersion: version } });
      const gateway = await behind(provider);
      for (let i = 0; i < 5; i++) assert.equal((await request(gateway, { path: `/openai/v1/${i}` })).status, 200);
      assert.equal(provider.connections, 1);
      await gateway.stop();
      await provider.close();
    });

    test(`${version}: a session of the provider is resumed on the next connection`, async () => {
      const provider = await startProvider({ tls: { ...tlsOptions(pki.leaf), minVersion: version, maxVersion: version } });
      provider.answer = (rq) => rq.reply(200, { Connection: 'close' }, 'x').then(() => rq.end());
      const gateway = await behind(provider);
      for (let i = 0; i < 2; i++) assert.equal((await request(gateway, { path: `/openai/v1/${i}` })).status, 200);
      assert.notEqual(provider.requests[0].connection, provider.requests[1].connection);
      assert.equal(provider.requests[0].tls.isResumed, false);
      assert.equal(provider.requests[1].tls.isResumed, true);
      await gateway.stop();
      await provider.close();
    });
  }

  test('upstream.ca holds for every provider without one of its own', async () => {
    const provider = await startProvider({ tls: tlsOptions(pki.leaf) });
    const gateway = await startGateway({ config: { upstream: { ca: pki.ca }, providers: { corp: { base_url: `https://127.0.0.1:${provider.port}` } } } });
    const reply = await request(gateway, { path: '/corp/x' });
    assert.equal(reply.status, 200, reply.text);
    assert.equal(provider.last.tls.servername, false, 'an address is no server name (RFC 6066)');
    await gateway.stop();
    await provider.close();
  });

  const bad = {
    'has expired': { pair: pki.expired },
    'is not valid yet': { pair: pki.notYet },
    'is of another name': { pair: pki.wrongName },
    'has a NUL in its common name': { pair: pki.nulInCn },
    'is self-signed': { pair: pki.selfSigned },
    'is of an unknown authority': { pair: pki.unknownCa },
    'is checked against the system\'s authorities': { pair: pki.leaf, more: { ca: undefined } },
  };
  for (const [what, { pair, more }] of Object.entries(bad)) {
    for (const version of ['TLSv1.2', 'TLSv1.3']) {
      test(`${version}: a certificate that ${what}: 502, and not a byte of the request is sent`, async () => {
        const provider = await startProvider({ tls: { ...tlsOptions(pair), minVersion: version, maxVersion: version } });
        const gateway = await behind(provider, more);
        const reply = await ask(gateway);
        assert.equal(reply.status, 502);
        assert.equal(reply.header('postern-error'), 'upstream-tls');
        await waitFor(() => provider.connections > 0 && provider.sockets.size === 0, 'the end of the connection at the provider');
        assert.equal(provider.applicationBytes, 0);
        assert.equal(provider.requests.length, 0);
        assert.equal((await gateway.log(reply)).status_code, 502);
        await gateway.stop();
        await provider.close();
      });
    }
  }

  test('a provider that only speaks TLS 1.1: 502', async () => {
    const provider = await startProvider({ tls: { ...tlsOptions(pki.leaf), minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } });
    const gateway = await behind(provider);
    const reply = await ask(gateway);
    assert.equal(reply.status, 502);
    assert.equal(reply.header('postern-error'), 'upstream-tls');
    await gateway.stop();
    await provider.close();
  });

  // nginx CVE-2026-1642: plain text before the handshake was taken for the answer
  for (const [what, script] of [
    ['answers in plain text at once', (s) => s.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil')],
    ['answers the handshake in plain text', (s) => s.once('data', () => s.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil'))],
    ['closes at once', (s) => s.end()],
  ]) {
    test(`a server that ${what}: 502, and no plain text of ours`, async () => {
      const raw = await startRaw(script);
      const gateway = await behind(raw);
      const reply = await ask(gateway);
      assert.equal(reply.status, 502);
      assert.ok(!reply.text.includes('evil'));
      assert.ok(!Buffer.concat(raw.received).toString('latin1').includes('secret'));
      await gateway.stop();
      await raw.close();
    });
  }

  test('a connection that TLS does not end properly is a cut answer', async () => {
    const provider = await startProvider({ tls: tlsOptions(pki.leaf) });
    const gateway = await behind(provider);
    const c = await connect(gateway);
    const reply = c.request({ path: '/openai/v1/close' });
    const rq = await provider.next();
    await rq.head(200, { Connection: 'close' });
    rq.write('begun');
    await reply.has('begun');
    rq.socket.destroy(); // FIN or RST underneath, no close_notify: an attacker could do it
    rq.done();
    await reply.cut();
    await gateway.stop();
    await provider.close();
  });

  test('a CA file that is none: the start says which', async () => {
    await assert.rejects(
      startGateway({ config: { providers: { openai: { ca: '/nonexistent.pem' } } } }),
      (e) => /ended with [12] before/.test(e.message) && /nonexistent\.pem/.test(e.message),
    );
  });
});

describe('a Unix socket', () => {
  test('serves requests, is printed, and is gone after the end', async () => {
    const provider = await startProvider();
    const file = path.join(tempDirectory(), 'gateway.sock');
    const gateway = await gatewayFor(provider, { listen: [`unix:${file}`, '127.0.0.1:0'] });
    assert.equal(gateway.urls[0], `unix:${file}`);
    for (let i = 0; i < 2; i++) {
      const reply = await request(gateway, { path: '/openai/v1/chat/completions', body: chatRequest('over a socket') });
      assert.equal(reply.status, 200);
      assert.equal(reply.header('cf-aig-cache-status'), ['MISS', 'HIT'][i]);
    }
    assert.equal((await request(gateway, { path: '/-/healthz' })).status, 200);
    assert.equal((await request(gateway.endpoints[1], { path: '/openai/v1/models' })).status, 200);
    await gateway.stop();
    assert.equal(fs.existsSync(file), false);
    await provider.close();
  });

  test('a stale socket file is replaced, one in use is not', async () => {
    const provider = await startProvider();
    const file = path.join(tempDirectory(), 'gateway.sock');
    const first = await gatewayFor(provider, { listen: `unix:${file}` });
    await assert.rejects(gatewayFor(provider, { listen: `unix:${file}` }), /ended with 2 before/);
    await first.kill9();
    assert.equal(fs.existsSync(file), true);
    const second = await gatewayFor(provider, { listen: `unix:${file}` });
    assert.equal((await request(second, { path: '/-/healthz' })).status, 200);
    await second.stop();
    await provider.close();
  });
});
