// What a client and a provider may use, each limit just under and just over: design.md 3.2, security.md 1.2.
import { test, describe, before, beforeEach } from 'node:test';
import { setTimeout as elapse } from 'node:timers/promises'; // here time itself is what is tested
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { startProvider, startRaw } from './lib/provider.mjs';
import { connect, request } from './lib/client.mjs';
import { gatewayFor } from './lib/gateway.mjs';
import { chatRequest, completion } from './lib/bodies.mjs';
import { SLOW, waitFor } from './lib/wait.mjs';

const CHAT = '/openai/v1/chat/completions';
let provider;
before(async () => {
  provider = await startProvider();
});
beforeEach(() => provider.reset());
const limited = (limits, upstream) => gatewayFor(provider, { config: { limits, ...(upstream && { upstream }) } });

async function raw(gateway, bytes, method = 'GET') {
  const c = await connect(gateway);
  const reply = c.expect(method);
  c.send(bytes);
  await reply.whole();
  return { c, reply };
}

describe('the head of a request', () => {
  let gateway;
  before(async () => {
    gateway = await limited({ header_size: '4KB', headers: 20, request_line: '1KB' });
  });
  const refused = async ({ c, reply }, status, word) => {
    assert.equal(reply.status, status);
    assert.equal(reply.header('postern-error'), word);
    assert.equal(reply.header('connection'), 'close');
    await c.closed();
    assert.equal(provider.requests.length, 0);
  };

  // a request line of n bytes, without CRLF
  const line = (n) => {
    const empty = 'GET /openai/v1/ HTTP/1.1'.length;
    return `GET /openai/v1/${'x'.repeat(n - empty)} HTTP/1.1`;
  };
  test('limits.request_line: 1024 bytes pass', async () => {
    const { c, reply } = await raw(gateway, `${line(1024)}\r\nHost: x\r\n\r\n`);
    assert.equal(reply.status, 200);
    c.close();
  });
  test('limits.request_line: 1025 are 414', async () => {
    await refused(await raw(gateway, `${line(1025)}\r\nHost: x\r\n\r\n`), 414, 'uri-too-long');
  });
  test('limits.request_line: a line without end is 414, when it is too long', async () => {
    await refused(await raw(gateway, `GET /${'x'.repeat(1100)}`), 414, 'uri-too-long');
  });

  // a head of n bytes in all
  const head = (n) => {
    const begin = 'GET /openai/v1/models HTTP/1.1\r\nHost: x\r\nX-Filler: ';
    return `${begin}${'f'.repeat(n - begin.length - 4)}\r\n\r\n`;
  };
  test('limits.header_size: 4096 bytes pass', async () => {
    const { c, reply } = await raw(gateway, head(4096));
    assert.equal(reply.status, 200);
    c.close();
  });
  test('limits.header_size: 4097 are 431', async () => {
    await refused(await raw(gateway, head(4097)), 431, 'headers-too-large');
  });
  test('limits.header_size: one header without end is 431, when it is too long', async () => {
    await refused(await raw(gateway, `GET /openai/v1/models HTTP/1.1\r\nX: ${'x'.repeat(5000)}`), 431, 'headers-too-large');
  });
  test('limits.header_size counts for each request anew', async () => {
    const c = await connect(gateway);
    for (let i = 0; i < 3; i++) {
      const reply = c.expect();
      c.send(head(4000));
      assert.equal((await reply.whole()).status, 200);
    }
    c.close();
  });

  const many = (n) => `GET /openai/v1/models HTTP/1.1\r\nHost: x\r\n${Array.from({ length: n - 1 }, (_, i) => `X-${i}: y\r\n`).join('')}\r\n`;
  test('limits.headers: 20 pass', async () => {
    const { c, reply } = await raw(gateway, many(20));
    assert.equal(reply.status, 200);
    assert.equal(provider.last.names.filter((n) => /^x-\d+$/.test(n)).length, 19);
    c.close();
  });
  test('limits.headers: 21 are 431', async () => {
    await refused(await raw(gateway, many(21)), 431, 'headers-too-large');
  });

  test('a trailer counts like a head', async () => {
    const c = await connect(gateway);
    const reply = c.expect('POST');
    c.send(`POST ${CHAT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n${'X-T: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n'.repeat(200)}\r\n`);
    await reply.whole();
    assert.equal(reply.status, 431);
    await c.closed();
  });

  for (const [what, chunks] of [['a line of a chunk over 1 KB', `2;${'e'.repeat(1100)}\r\n{}\r\n`], ['extensions over 16 KB together', `1;${'e'.repeat(900)}\r\n \r\n`.repeat(20)]]) {
    test(`${what}: 400`, async () => {
      const c = await connect(gateway);
      const reply = c.expect('POST');
      c.send(`POST ${CHAT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n${chunks}0\r\n\r\n`);
      assert.equal((await reply.whole()).status, 400);
      await c.closed();
      assert.equal(provider.requests.length, 0);
    });
  }
});

describe('time', () => {
  let gateway;
  const TIMES = { header_timeout: '1s', body_idle: '1s', keepalive_idle: '1s', write_stall: '1s' }; // longer than a busy machine lets one wait
  before(async () => {
    gateway = await limited(TIMES);
  });
  // How long f took, in ms.
  const took = async (f) => {
    const since = performance.now();
    await f();
    return performance.now() - since;
  };
  const about = (ms, least) => assert.ok(ms >= least - 20 && ms < least + 5000 * SLOW, `${ms} ms`);

  test('limits.header_timeout: a head that does not end is 408 and the end', async () => {
    const c = await connect(gateway);
    const reply = c.expect();
    about(await took(async () => {
      c.send('GET /openai/v1/models HTTP/1.1\r\nHost: x\r\n');
      await reply.whole();
    }), 1000);
    assert.equal(reply.status, 408);
    assert.equal(reply.header('postern-error'), 'request-timeout');
    await c.closed();
  });

  test('limits.header_timeout: a trickle does not extend it', async () => {
    const c = await connect(gateway);
    const reply = c.expect();
    c.send('GET /openai/v1/models HTTP/1.1\r\n');
    let isOver = false;
    const trickle = (async () => {
      for (let i = 0; !isOver; i++) {
        await c.send(`X-${i}: y\r\n`);
        await elapse(50);
      }
    })();
    about(await took(() => reply.whole()), 1000);
    isOver = true;
    assert.equal(reply.status, 408);
    await trickle;
    c.close();
  });

  test('limits.header_timeout counts from the first byte: a head that comes in two pieces passes', async () => {
    const c = await connect(gateway);
    const reply = c.expect();
    c.send('GET /openai/v1/models HTTP/1.1\r\n');
    await request(gateway, { path: '/-/healthz' });
    c.send('Host: x\r\n\r\n');
    assert.equal((await reply.whole()).status, 200);
    c.close();
  });

  for (const [what, p, type] of [['that is held', CHAT, 'application/json'], ['that streams through', '/openai/v1/files', 'text/plain']]) {
    test(`limits.body_idle: a body ${what} and stops is 408 and the end`, async () => {
      const c = await connect(gateway);
      const reply = c.expect('POST');
      about(await took(async () => {
        c.send(`POST ${p} HTTP/1.1\r\nHost: x\r\nContent-Type: ${type}\r\nContent-Length: 100\r\ncf-aig-event-id: stall ${type}\r\n\r\n{"model"`);
        await reply.whole();
      }), 1000);
      assert.equal(reply.status, 408);
      assert.equal(reply.header('postern-error'), 'body-stall');
      await c.closed();
      const record = await gateway.logWhere((r) => r.event_id === `stall ${type}`);
      assert.equal(record.status_code, 408);
      assert.match(record.ending, /^T[A-Z]$/);
      if (provider.last) await provider.last.aborted();
    });
  }

  test('limits.body_idle: progress extends it', async () => {
    const body = JSON.stringify(chatRequest('slow but steady'));
    const c = await connect(gateway);
    const reply = c.expect('POST');
    c.send(`POST ${CHAT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`);
    const step = Math.ceil(body.length / 8);
    const ms = await took(async () => {
      for (let i = 0; i < body.length; i += step) {
        await elapse(200);
        c.send(body.slice(i, i + step));
      }
      await reply.whole();
    });
    assert.equal(reply.status, 200);
    assert.ok(ms > 1200, `${ms} ms`);
    c.close();
  });

  test('limits.keepalive_idle: a connection that asks nothing more is ended, quietly', async () => {
    const c = await connect(gateway);
    assert.equal((await c.request({ path: '/openai/v1/models' }).whole()).status, 200);
    about(await took(() => c.closed()), 1000);
    assert.equal(c.extra.length, 0, 'no 408: nothing was asked');
    assert.equal(c.error, undefined);
  });

  test('limits.keepalive_idle: one that never asked anything, too', async () => {
    const c = await connect(gateway);
    about(await took(() => c.closed()), 1000);
    assert.equal(c.extra.length, 0);
  });

  test('but while an answer is awaited it does not count', async () => {
    const c = await connect(gateway);
    const reply = c.request({ path: CHAT, body: chatRequest('patience') });
    const rq = await provider.next();
    await elapse(2000); // twice as long as any of the limits
    rq.json(completion());
    assert.equal((await reply.whole()).status, 200);
    c.close();
  });

  test('limits.write_stall: a client that reads nothing is cut, and the provider let go', async () => {
    const c = await connect(gateway);
    const reply = c.request({ path: '/openai/v1/files/big/content' });
    const rq = await provider.next();
    c.socket.pause();
    rq.head(200, { 'Content-Length': 100_000_000 });
    const block = Buffer.alloc(1_000_000);
    const flood = (async () => {
      for (let i = 0; i < 100 && rq.socket.writable; i++) await rq.write(block);
    })();
    await rq.aborted();
    const record = await gateway.logWhere((r) => r.path === '/openai/v1/files/big/content');
    assert.equal(record.truncated, true);
    assert.equal(record.end_reason, 'write-stall');
    assert.match(record.ending, /^T[A-Z]$/);
    c.socket.resume();
    await reply.cut();
    await flood;
  });
});

describe('limits.keepalive_requests', () => {
  test('the last answer says that the connection ends', async () => {
    const gateway = await limited({ keepalive_requests: 3 });
    const c = await connect(gateway);
    const seen = [];
    for (let i = 0; i < 3; i++) seen.push((await c.request({ path: '/openai/v1/models' }).whole()).header('connection'));
    assert.deepEqual(seen, [undefined, undefined, 'close']);
    await c.closed();
    await gateway.stop();
  });
});

describe('connections', () => {
  test('limits.connections_per_address does not count for loopback', async () => {
    const gateway = await limited({ connections_per_address: 2 });
    const all = [];
    for (let i = 0; i < 6; i++) all.push(await connect(gateway));
    for (const c of all) assert.equal((await c.request({ path: '/-/healthz' }).whole()).status, 200);
    for (const c of all) c.close();
    await gateway.stop();
  });
});

describe('a provider that takes its time', () => {
  let gateway;
  before(async () => {
    gateway = await limited({}, { first_byte: '1s', idle: '1s', connect: '1s', tls: '1s', pool_idle: '200ms' });
  });

  test('upstream.first_byte: 504, before anything was sent', async () => {
    provider.answer = () => {};
    const reply = await request(gateway, { path: CHAT, body: chatRequest('silence') });
    assert.equal(reply.status, 504);
    assert.equal(reply.header('postern-error'), 'upstream-timeout');
    assert.equal(typeof reply.json.error.message, 'string');
    await provider.last.aborted();
    const record = await gateway.log(reply);
    assert.equal(record.status_code, 504);
    assert.match(record.ending, /^T[A-Z]$/);
  });

  test('upstream.first_byte: in Cloudflare\'s form with code 2005', async () => {
    provider.answer = () => {};
    const reply = await request(gateway, { path: '/v1/a/default/openai/chat/completions', body: chatRequest('silence') });
    assert.equal(reply.status, 504);
    assert.equal(reply.json.internalCode, 2005);
  });

  test('upstream.idle: a stream that falls silent is cut', async () => {
    const c = await connect(gateway);
    const reply = c.request({ path: CHAT, body: chatRequest('falls silent', { stream: true }) });
    const rq = await provider.next();
    const since = performance.now();
    rq.stream().send(': begun\n\n');
    await reply.has('begun');
    await reply.cut();
    assert.ok(performance.now() - since > 950, `${performance.now() - since} ms`);
    await rq.aborted();
    const record = await gateway.log(reply);
    assert.equal(record.truncated, true);
    assert.equal(record.end_reason, 'upstream-timeout');
  });

  test('upstream.idle: one that keeps talking is not', async () => {
    const c = await connect(gateway);
    const reply = c.request({ path: CHAT, body: chatRequest('keeps talking', { stream: true }) });
    const s = (await provider.next()).stream();
    for (let i = 0; i < 8; i++) {
      s.send(': still there\n\n');
      await elapse(200);
    }
    s.send('data: [DONE]\n\n');
    s.end();
    await reply.whole();
    c.close();
  });

  // This process is both client and provider: the time-out must be longer than it may be busy with either.
  test('a slow client is not the provider\'s fault', async () => {
    const own = await limited({}, { idle: '2s' });
    const c = await connect(own);
    const reply = c.request({ path: '/openai/v1/files/slow/content' });
    const rq = await provider.next();
    const SIZE = 30_000_000;
    reply.keep = false;
    rq.head(200, { 'Content-Length': SIZE });
    const flood = rq.write(Buffer.alloc(SIZE));
    await reply.head();
    c.socket.pause();
    await elapse(3000); // longer than upstream.idle
    c.socket.resume();
    rq.done();
    await reply.whole(20_000);
    await flood;
    assert.equal(reply.length, SIZE);
    c.close();
    await own.stop();
  });

  test('nor is it that the gateway stood still: what has come is read before the time is up', async () => {
    const own = await limited({}, { first_byte: '1s', idle: '1s' });
    for (const part of ['the head', 'the body']) {
      const c = await connect(own);
      const reply = c.request({ path: `/openai/v1/files/${part.length}/content` });
      const rq = await provider.next();
      const head = () => rq.head(200, { 'Content-Length': 4 });
      if (part === 'the body') {
        head();
        await reply.head();
      }
      process.kill(own.pid, 'SIGSTOP');
      await waitFor(() => /\) T /.test(fs.readFileSync(`/proc/${own.pid}/stat`, 'utf8')), 'it stands still');
      if (part === 'the head') head();
      await rq.write('late');
      rq.done();
      await elapse(1500); // longer than the time-out
      process.kill(own.pid, 'SIGCONT');
      await reply.whole();
      assert.equal(reply.status, 200, part);
      assert.equal(reply.text, 'late', part);
      c.close();
    }
    await own.stop();
  });

  test('upstream.tls: a server that never answers the handshake: 504', async () => {
    const raw = await startRaw(() => {});
    const own = await gatewayFor(provider, { config: { upstream: { tls: '300ms' }, providers: { mute: { base_url: `https://localhost:${raw.port}` } } } });
    const reply = await request(own, { path: '/mute/x' });
    assert.equal(reply.status, 504);
    assert.equal(reply.header('postern-error'), 'upstream-connect-timeout');
    await own.stop();
    await raw.close();
  });

  test('upstream.pool_idle: an unused connection is not kept for ever', async () => {
    await request(gateway, { path: '/openai/v1/models' });
    const { socket } = provider.last;
    await waitFor(() => socket.destroyed, 'the end of the idle connection');
  });

  test('one that hangs does not delay another', async () => {
    const own = await limited({});
    const hung = [];
    provider.answer = (rq) => (rq.text.includes('hang') ? hung.push(rq) : rq.json(completion()));
    let isOver = false;
    const hanging = Promise.all(Array.from({ length: 20 }, (_, i) => request(own, { path: CHAT, body: chatRequest(`hang ${i}`), ms: 60_000 }))).finally(() => (isOver = true));
    await waitFor(() => hung.length === 20, 'all of them hang');
    for (let i = 0; i < 5; i++) assert.equal((await request(own, { path: CHAT, body: chatRequest(`quick ${i}`) })).status, 200);
    assert.equal(isOver, false);
    for (const rq of hung) rq.json(completion());
    for (const reply of await hanging) assert.equal(reply.status, 200);
    await own.stop();
  });
});
