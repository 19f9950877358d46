// What can go wrong at a provider, one row each: what the client is told, what the log and the metrics say, and that nothing of
// it is kept. deploy/FAULTS.md is the same table for operators and names these tests.
import { test, describe, before } from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import net from 'node:net';
import zlib from 'node:zlib';
import { startProvider, startRaw, freePort } from './lib/provider.mjs';
import { startToxics } from './lib/toxics.mjs';
import { connect, request } from './lib/client.mjs';
import { gatewayFor, startGateway } from './lib/gateway.mjs';
import { makeCertificates, tlsOptions } from './lib/certificates.mjs';
import { chatEvents, chatRequest, completion, tokens } from './lib/bodies.mjs';
import { chunk } from './lib/http1.mjs';
import { deferred, isSlow, within, waitFor } from './lib/wait.mjs';

const CHAT = '/openai/v1/chat/completions';
const KEY = 'sk-fault-key';
const JSON_HEAD = 'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n';
const SSE_HEAD = 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n';
const WHOLE = JSON.stringify(completion());

const metric = async (gateway, name) => {
  const { text } = await request(gateway, { path: '/-/metrics' });
  return Number(text.match(new RegExp(`^${name.replace(/[{}]/g, '\\$&')} (\\S+)$`, 'm'))[1]);
};
const failures = (gateway, word) => metric(gateway, `postern_upstream_failures_total{reason="${word}"}`);

// A row's fault gets the request, whole. Expected: `status` and `word` where no byte of an answer went to the client, else the client
// sees a cut (`word` is then the record's reason alone).
const before_the_head = {
  'closes without a word': [(rq) => rq.end(), 502, 'upstream-closed'],
  'resets without a word': [(rq) => rq.reset(), 502, 'upstream-closed'],
  'ends inside the status line': [(rq) => rq.write('HTTP/1.1 200 O').then(() => rq.end()), 502, 'upstream-closed'],
  'ends inside a header': [(rq) => rq.write('HTTP/1.1 200 OK\r\nContent-Ty').then(() => rq.end()), 502, 'upstream-closed'],
  'resets inside a header': [(rq) => rq.write('HTTP/1.1 200 OK\r\nContent-Ty').then(() => rq.reset()), 502, 'upstream-closed'],
  'ends between header and body mark': [(rq) => rq.write('HTTP/1.1 200 OK\r\n').then(() => rq.end()), 502, 'upstream-closed'],
  'closes behind 100 Continue': [(rq) => rq.write('HTTP/1.1 100 Continue\r\n\r\n').then(() => rq.end()), 502, 'upstream-closed'],
  'speaks another protocol': [(rq) => rq.write('SSH-2.0-OpenSSH_9.2p1\r\n'), 502, 'upstream-protocol'],
  'answers with a body and no head': [(rq) => rq.write(WHOLE), 502, 'upstream-protocol'],
  'answers HTTP/2': [(rq) => rq.write('HTTP/2 200\r\n\r\n'), 502, 'upstream-protocol'],
  'sends a head that does not end': [(rq) => rq.write(`HTTP/1.1 200 OK\r\n${`X-A: ${'a'.repeat(1000)}\r\n`.repeat(70)}`), 502, 'upstream-protocol'],
  'sends two lengths': [(rq) => rq.write(`${JSON_HEAD}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello`), 502, 'upstream-protocol'],
  'switches protocols unasked': [(rq) => rq.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n'), 502, 'upstream-protocol'],
  'says nothing': [() => {}, 504, 'upstream-timeout'],
  'stops inside the head': [(rq) => rq.write('HTTP/1.1 200 OK\r\nContent-Ty'), 504, 'upstream-timeout'],
};
const inside_the_body = {
  'ends short of its length': [(rq) => rq.write(`${JSON_HEAD}Content-Length: ${WHOLE.length}\r\n\r\n${WHOLE.slice(0, -1)}`).then(() => rq.end()), 'upstream-closed'],
  'resets short of its length': [(rq) => rq.write(`${JSON_HEAD}Content-Length: ${WHOLE.length}\r\n\r\n${WHOLE.slice(0, 9)}`).then(() => rq.reset()), 'upstream-closed'],
  'stops short of its length': [(rq) => rq.write(`${JSON_HEAD}Content-Length: ${WHOLE.length}\r\n\r\n${WHOLE.slice(0, 9)}`), 'upstream-timeout'],
  'ends inside a chunk': [(rq) => rq.write(`${SSE_HEAD}Transfer-Encoding: chunked\r\n\r\n40\r\ndata: {`).then(() => rq.end()), 'upstream-closed'],
  'ends inside a chunk\'s size': [(rq) => rq.write(`${SSE_HEAD}Transfer-Encoding: chunked\r\n\r\n${chunk(chatEvents()[0])}4`).then(() => rq.end()), 'upstream-closed'],
  'ends without the last chunk': [(rq) => rq.write(`${SSE_HEAD}Transfer-Encoding: chunked\r\n\r\n${chunk(chatEvents().join(''))}`).then(() => rq.end()), 'upstream-closed'],
  'ends inside the last chunk': [(rq) => rq.write(`${SSE_HEAD}Transfer-Encoding: chunked\r\n\r\n${chunk(chatEvents().join(''))}0\r\n`).then(() => rq.end()), 'upstream-closed'],
  'resets inside a chunk': [(rq) => rq.write(`${SSE_HEAD}Transfer-Encoding: chunked\r\n\r\n40\r\ndata: {`).then(() => rq.reset()), 'upstream-closed'],
  'stops inside a chunk': [(rq) => rq.write(`${SSE_HEAD}Transfer-Encoding: chunked\r\n\r\n40\r\ndata: {`), 'upstream-timeout'],
  'sends a chunk\'s size that is none': [(rq) => rq.write(`${SSE_HEAD}Transfer-Encoding: chunked\r\n\r\n${chunk(chatEvents()[0])}zz\r\n`), 'upstream-protocol'],
  'sends a chunk of 2^64 bytes': [(rq) => rq.write(`${SSE_HEAD}Transfer-Encoding: chunked\r\n\r\n${chunk(chatEvents()[0])}10000000000000000\r\n`), 'upstream-protocol'],
  'resets a body that runs until the end': [(rq) => rq.write(`${SSE_HEAD}\r\n${chatEvents()[0]}`).then(() => rq.reset()), 'upstream-closed'],
};

describe('a provider that fails, connected', () => {
  let provider, gateway;
  before(async () => {
    provider = await startProvider();
    gateway = await gatewayFor(provider, { config: { upstream: { first_byte: '1500ms', idle: '1500ms', pool_idle: 0 } } }); // no retries of pooled ones
  });
  const ask = (c, body) => c.request({ path: CHAT, body, headers: { Authorization: `Bearer ${KEY}` } });

  // The provider recovers: the same request goes to it again and gets its whole answer.
  const assertNothingKept = async (body) => {
    provider.reset();
    const again = await request(gateway, { path: CHAT, body, headers: { Authorization: `Bearer ${KEY}` } });
    assert.equal(again.status, 200, again.text);
    assert.equal(again.header('cf-aig-cache-status'), 'MISS');
    assert.deepEqual(again.json, completion());
  };

  for (const [what, [fault, status, word]] of Object.entries(before_the_head)) {
    test(`before its head: ${what}`, async () => {
      const body = chatRequest(what);
      const counted = [await failures(gateway, word), await metric(gateway, 'postern_refusals_total')];
      const c = await connect(gateway);
      const reply = ask(c, body);
      const rq = await provider.next();
      rq.done();
      await fault(rq);
      await reply.whole();
      assert.equal(reply.status, status);
      assert.equal(reply.header('postern-error'), word);
      assert.equal(reply.header('content-type'), 'application/json');
      assert.equal(typeof reply.json.error.message, 'string');
      const record = await gateway.log(reply);
      assert.deepEqual([record.status_code, record.end_reason, record.ending, record.success], [status, word, status === 504 ? 'TA' : 'UA', false]);
      assert.equal(record.truncated, false);
      assert.deepEqual([await failures(gateway, word), await metric(gateway, 'postern_refusals_total')], counted.map((n) => n + 1));
      assert.equal((await ask(c, chatRequest('next')).head()).status, 200, 'the client\'s connection goes on');
      c.close();
      await assertNothingKept(body);
    });
  }

  for (const [what, [fault, word]] of Object.entries(inside_the_body)) {
    test(`inside its body: ${what}`, async () => {
      const body = chatRequest(what);
      const counted = await failures(gateway, word);
      const c = await connect(gateway);
      const reply = ask(c, body);
      const rq = await provider.next();
      rq.done();
      await fault(rq);
      await reply.cut(); // never a clean end
      assert.equal(await failures(gateway, word), counted + 1);
      assert.equal(reply.status, 200);
      const record = await gateway.log(reply);
      assert.deepEqual([record.status_code, record.end_reason, record.ending, record.success, record.truncated], [200, word, word === 'upstream-timeout' ? 'TD' : 'UD', false, true]);
      await assertNothingKept(body);
    });
  }

  test('an error event inside a 200 stream passes, and is not kept', async () => {
    const body = chatRequest('error event', { stream: true });
    provider.answer = (rq) => rq.events([chatEvents()[0], 'data: {"error":{"message":"overloaded","type":"server_error"}}\n\n']);
    const reply = await request(gateway, { path: CHAT, body });
    assert.ok(reply.text.includes('overloaded'));
    provider.reset();
    const again = await request(gateway, { path: CHAT, body });
    assert.equal(again.header('cf-aig-cache-status'), 'MISS');
  });
});

// --- connections that are kept ---

describe('a pooled connection', () => {
  let provider, gateway;
  before(async () => {
    provider = await startProvider();
    gateway = await gatewayFor(provider);
  });
  const warm = async () => {
    provider.reset();
    const rq = deferred();
    provider.answer = (r) => rq.resolve(r) ?? r.json(completion());
    await request(gateway, { path: '/openai/v1/warm' });
    provider.reset();
    return rq.promise;
  };
  const evil = `${JSON_HEAD}Content-Length: 4\r\n\r\nevil`;
  const gone = (rq) => waitFor(() => rq.socket.destroyed, 'the gateway drops the connection');

  for (const [what, fault] of Object.entries({
    'on which bytes come unasked': (rq) => rq.write(evil),
    'on which one byte comes': (rq) => rq.write('\n'),
    'that the provider ends': (rq) => rq.end(),
    'that the provider resets': (rq) => rq.reset(),
  })) {
    test(`${what} is not used again`, async () => {
      const rq = await warm();
      await fault(rq);
      await gone(rq);
      const reply = await request(gateway, { path: '/openai/v1/next' });
      assert.deepEqual([reply.status, provider.last.connection === rq.connection], [200, false]);
      assert.ok(!reply.text.includes('evil'));
      assert.equal((await gateway.log(reply)).attempts, 1);
    });
  }

  test('with a second answer behind the first: the next client does not get it', async () => {
    provider.answer = (rq) => rq.done().write(`${JSON_HEAD}Content-Length: 4\r\n\r\nfine${evil}`);
    const first = await request(gateway, { path: '/openai/v1/first' });
    assert.equal(first.text, 'fine');
    const { connection } = provider.last;
    provider.reset();
    const second = await request(gateway, { path: '/openai/v1/second' });
    assert.ok(!second.text.includes('evil'));
    assert.notEqual(provider.last.connection, connection);
  });

  for (const [what, fault] of Object.entries({ ends: (rq) => rq.end(), resets: (rq) => rq.reset() })) {
    test(`that ${what} under a held request: once more on a fresh one, one record`, async () => {
      await warm();
      provider.answer = (rq) => (provider.requests.length === 1 ? fault(rq) : rq.json(completion()));
      const reply = await request(gateway, { path: CHAT, body: chatRequest(`dies: ${what}`) });
      assert.equal(reply.status, 200);
      assert.equal(provider.requests.length, 2);
      assert.notEqual(provider.requests[0].connection, provider.requests[1].connection);
      const record = await gateway.log(reply);
      assert.deepEqual([record.attempts, record.success], [2, true]);
    });
  }

  test('that dies under an upload, which is not held: 502, and not sent twice', async () => {
    await warm();
    provider.answer = (rq) => rq.end();
    const reply = await request(gateway, { path: '/openai/v1/files', body: Buffer.alloc(1000), headers: { 'Content-Type': 'application/octet-stream' } });
    assert.equal(reply.status, 502);
    assert.equal(reply.header('postern-error'), 'upstream-closed');
    assert.equal(provider.requests.length, 1);
  });

  test('that answers a byte and dies: not tried again', async () => {
    await warm();
    provider.answer = (rq) => rq.write('H').then(() => rq.end());
    const reply = await request(gateway, { path: CHAT, body: chatRequest('a byte') });
    assert.equal(reply.status, 502);
    assert.equal(provider.requests.length, 1);
  });
});

// --- no connection ---

// A port whose queue is full and whose owner sleeps: the kernel drops what comes.
async function blackHole() {
  const script = 'const s = require("net").createServer(); s.listen(0, "127.0.0.1", 1, () => console.log(s.address().port));';
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  const port = Number(await within(new Promise((resolve) => child.stdout.once('data', (d) => resolve(String(d)))), 'a port'));
  child.kill('SIGSTOP');
  const fill = [];
  let filled = 0;
  for (let i = 0; i < 8; i++) fill.push(net.connect(port, '127.0.0.1', () => filled++).on('error', () => {}));
  await waitFor(() => filled >= 2, 'the queue is full');
  return { port, close: () => [...fill.map((s) => s.destroy()), child.kill('SIGKILL')] };
}

describe('a provider that is not reached', () => {
  const refused = async (providers, upstream, [status, word, logged]) => {
    const gateway = await startGateway({ config: { upstream, providers: { openai: providers } } });
    const reply = await request(gateway, { path: CHAT, body: chatRequest('far away'), headers: { Authorization: `Bearer ${KEY}` }, ms: 15_000 });
    assert.equal(reply.status, status, reply.text);
    assert.equal(reply.header('postern-error'), word);
    const record = await gateway.log(reply);
    assert.deepEqual([record.status_code, record.end_reason, record.ending[1], record.attempts], [status, word, 'A', 1]);
    assert.match(gateway.stderr, logged);
    assert.ok(!gateway.stderr.includes(KEY));
    assert.equal(await failures(gateway, word), 1);
    return reply;
  };

  test('because nobody listens: 502 upstream-connect', async () => {
    await refused({ base_url: `http://127.0.0.1:${await freePort()}/v1` }, {}, [502, 'upstream-connect', /upstream-connect: connection refused/]);
  });

  test('because nothing comes back: 504 upstream-connect-timeout, after upstream.connect', async () => {
    const hole = await blackHole();
    try {
      await refused({ base_url: `http://127.0.0.1:${hole.port}/v1` }, { connect: '300ms' }, [504, 'upstream-connect-timeout', /not made in time/]);
    } finally {
      hole.close();
    }
  });

  test('localhost, of which only one family listens: the other address is tried', async (t) => {
    const listening = (server, port, host) => new Promise((resolve, reject) => server.once('error', reject).listen(port, host, resolve));
    const four = net.createServer();
    const six = net.createServer((s) => s.once('data', () => s.end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nv6')));
    t.after(() => six.close());
    await listening(four, 0, '127.0.0.1'); // a port that no other test has there
    const { port } = four.address();
    try {
      await listening(six, port, '::1');
    } catch {
      return; // a machine without IPv6
    } finally {
      await new Promise((resolve) => four.close(resolve));
    }
    const gateway = await startGateway({ config: { providers: { six: { base_url: `http://localhost:${port}` } } } });
    assert.equal((await request(gateway, { path: '/six/x' })).text, 'v6');
  });

  test('because its name is none: 502 or 504, and the log says that it is the name', async () => {
    const gateway = await startGateway({ config: { providers: { openai: { base_url: 'https://no.such.host.invalid/v1' } } } });
    const reply = await request(gateway, { path: CHAT, body: chatRequest('no name'), ms: 15_000 });
    // a machine without DNS has no server that could say so
    assert.match(reply.header('postern-error'), /^upstream-dns(-timeout)?$/);
    assert.equal(reply.status, reply.header('postern-error').endsWith('timeout') ? 504 : 502);
    assert.match(gateway.stderr, /no\.such\.host\.invalid: upstream-dns.*(no such name|no DNS server)/);
  });

  for (const host of ['127.1', '2130706433', '0x7f.1', '0177.0.0.1', '127.0.0.1.']) {
    test(`${host} is no address and no name: the start says so`, async () => {
      await assert.rejects(startGateway({ config: { providers: { p: { base_url: `http://${host}:1/` } } } }), /ended with 1 before[^]*base_url/);
    });
  }
});

// --- TLS ---

describe('a provider that fails under TLS', () => {
  const pki = makeCertificates();
  let provider, origin, gateway;
  before(async () => {
    provider = await startProvider({ tls: tlsOptions(pki.leaf) });
    origin = await startToxics({ to: provider.port, tls: true });
    gateway = await gatewayFor(origin, { config: { upstream: { ca: pki.ca, tls: '2s', idle: '1s' } } });
  });
  const fresh = () => {
    origin.clear();
    provider.closeConnections();
    return waitFor(() => provider.sockets.size === 0 && origin.links.size === 0, 'no connection');
  };

  for (const bytes of [1, 5, 100, 500]) {
    test(`the line is cut after ${bytes} bytes of its handshake: 502, and not a byte of the request`, async () => {
      await fresh();
      origin.add({ type: 'limit_data', bytes });
      const had = provider.applicationBytes;
      const reply = await request(gateway, { path: CHAT, body: chatRequest(`handshake ${bytes}`), headers: { Authorization: `Bearer ${KEY}` } });
      assert.deepEqual([reply.status, reply.header('postern-error')], [502, 'upstream-tls']);
      assert.equal(provider.applicationBytes, had);
      assert.deepEqual([(await gateway.log(reply)).end_reason, (await gateway.log(reply)).ending], ['upstream-tls', 'UA']);
    });
  }

  test('the handshake stops half-way: 504', async () => {
    await fresh();
    const hasty = await gatewayFor(origin, { config: { upstream: { ca: pki.ca, tls: '300ms' } } });
    origin.add({ type: 'timeout', timeout: 0 });
    const reply = await request(hasty, { path: '/openai/v1/x' });
    assert.deepEqual([reply.status, reply.header('postern-error')], [504, 'upstream-connect-timeout']);
    origin.clear();
  });

  for (const [what, bytes] of [['inside a record', 1000], ['behind a record\'s header', 5]]) {
    test(`the line is cut ${what} of its answer: the client sees a cut`, async () => {
      await fresh();
      const c = await connect(gateway);
      const body = chatRequest(`cut ${what}`, { stream: true });
      const reply = c.request({ path: CHAT, body });
      const s = (await provider.next()).stream();
      s.send(': begun\n\n');
      await reply.has('begun');
      origin.add({ type: 'limit_data', bytes });
      s.send(`data: ${'x'.repeat(8000)}\n\n`);
      await reply.cut();
      const record = await gateway.log(reply);
      assert.deepEqual([record.end_reason, record.ending, record.truncated], ['upstream-closed', 'UD', true]);
    });
  }

  test('a body without length that ends without close_notify is a cut answer; with it, it is whole', async () => {
    for (const isClean of [false, true]) {
      await fresh();
      const c = await connect(gateway);
      const reply = c.request({ path: CHAT, body: chatRequest(`close ${isClean}`) });
      const rq = await provider.next();
      await rq.write(`${JSON_HEAD}Connection: close\r\n\r\n${WHOLE}`);
      await reply.has('chatcmpl');
      rq.done();
      if (isClean) {
        rq.end();
        await reply.whole();
        assert.equal((await gateway.log(reply)).success, true);
      } else {
        for (const link of [...origin.links]) link.close(false); // a FIN underneath, which anyone on the way could send
        await reply.cut();
        assert.equal((await gateway.log(reply)).truncated, true);
      }
    }
  });
});

// --- compressed answers ---

describe('a compressed answer', () => {
  let provider, gateway;
  before(async () => {
    provider = await startProvider();
    gateway = await gatewayFor(provider);
  });
  const GZIP = { 'Content-Type': 'application/json', 'Content-Encoding': 'gzip' };

  test('JSON and a stream in gzip: the provider\'s bytes for the client, its tokens for the log', async () => {
    for (const isStream of [false, true]) {
      const packed = zlib.gzipSync(isStream ? chatEvents().join('') : WHOLE);
      provider.answer = (rq) => (isStream ? rq.events([packed.subarray(0, 40), packed.subarray(40)], { headers: { 'Content-Type': 'text/event-stream', 'Content-Encoding': 'gzip' } }) : rq.reply(200, GZIP, packed));
      const reply = await request(gateway, { path: CHAT, body: chatRequest('packed', { stream: isStream }), headers: { 'Accept-Encoding': 'gzip' } });
      assert.ok(reply.body.equals(packed));
      const record = await gateway.log(reply);
      assert.deepEqual([record.tokens_in, record.tokens_out, record.estimated ?? false], [tokens.openai.in, tokens.openai.out, false]);
    }
  });

  test('gzip that is none, or cut, or with a wrong checksum, passes as it came', async () => {
    const good = zlib.gzipSync(WHOLE);
    const wrong = Buffer.from(good);
    wrong[wrong.length - 6] ^= 1;
    for (const [i, bytes] of [Buffer.from('not gzip'), good.subarray(0, -9), wrong].entries()) {
      provider.answer = (rq) => rq.reply(200, GZIP, bytes);
      const reply = await request(gateway, { path: CHAT, body: chatRequest(`odd ${i}`), headers: { 'Accept-Encoding': 'gzip' } });
      assert.ok(reply.body.equals(bytes));
      assert.equal((await gateway.log(reply)).status_code, 200);
    }
  });

  test('a bomb (10 MB that unpack to 10 GB) passes untouched, costs no memory, and no time to others', async () => {
    // 10 000 members of 1 MB of zeros each, about 1 KB packed
    const member = zlib.gzipSync(Buffer.alloc(1 << 20), { level: 9 });
    const bomb = Buffer.concat(Array(10_000).fill(member));
    assert.ok(bomb.length > 9e6 && bomb.length < 12e6);
    for (const [i, type] of ['application/json', 'text/event-stream'].entries()) {
      provider.answer = (rq) => rq.reply(200, { ...GZIP, 'Content-Type': type }, bomb);
      const from = gateway.memory();
      const c = await connect(gateway);
      const reply = c.request({ path: CHAT, body: chatRequest(`bomb ${i}`), headers: { 'Accept-Encoding': 'gzip' } });
      await reply.whole(30_000);
      assert.ok(reply.body.equals(bomb));
      const grown = gateway.memory('VmHWM') - from;
      // the capture keeps what the cache and the log may take of the packed bytes: under 100 MB, not 10 GB
      if (!isSlow) assert.ok(grown < 100e6, `${grown} bytes more`);
      const longest = await metric(gateway, 'postern_loop_longest_turn_microseconds');
      if (!isSlow) assert.ok(longest < 1e6, `${longest} us`);
      c.close();
      const record = await gateway.log(reply);
      assert.deepEqual([record.status_code, record.tokens_in ?? null], [200, null]);
    }
  });
});

test('a redirect is the client\'s affair: it is relayed, and nobody follows it', async () => {
  const elsewhere = await startRaw((s) => s.end('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil'));
  const provider = await startProvider();
  const gateway = await gatewayFor(provider);
  for (const status of [301, 302, 303, 307, 308]) {
    const location = `http://127.0.0.1:${elsewhere.port}/latest/meta-data`;
    provider.answer = (rq) => rq.reply(status, { Location: location });
    const reply = await request(gateway, { path: CHAT, body: chatRequest(`redirect ${status}`), headers: { Authorization: `Bearer ${KEY}` } });
    assert.deepEqual([reply.status, reply.header('location')], [status, location]);
  }
  assert.equal(elsewhere.connections, 0);
});
