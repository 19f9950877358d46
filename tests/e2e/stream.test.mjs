// Streams and large bodies: at once, unchanged, with bounded memory, and a cut is seen on both sides (design.md 4.1).
import { test, describe, before, beforeEach } from 'node:test';
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { startProvider } from './lib/provider.mjs';
import { connect, request } from './lib/client.mjs';
import { gatewayFor } from './lib/gateway.mjs';
import { headText } from './lib/http1.mjs';
import { chatRequest, chatEvents, messageRequest, messageEvents } from './lib/bodies.mjs';
import { SLOW, isSlow, deferred, settled, waitFor, within } from './lib/wait.mjs';

const MB = 1024 * 1024;
const BOUND = 1000; // ms; the goal is 100, the figures are printed

let provider, gateway;
before(async () => {
  provider = await startProvider();
  gateway = await gatewayFor(provider, { config: { gateways: { fin: { on_disconnect: 'finish' } } } });
});
beforeEach(() => provider.reset());

const streamed = (text) => ({ path: '/openai/v1/chat/completions', body: chatRequest(text, { stream: true }) });

// 64 KB blocks, each different, and the hash of all of them
function* blocks(bytes, size = 64 * 1024) {
  const block = Buffer.alloc(size, 'The quick brown fox jumps over the lazy dog. ');
  for (let i = 0; i * size < bytes; i++) {
    block.writeUInt32BE(i, 0);
    yield Buffer.from(block);
  }
}
function hashOf(bytes) {
  const hash = createHash('sha256');
  for (const b of blocks(bytes)) hash.update(b);
  return hash.digest('hex');
}

describe('a stream', () => {
  test('a client that leaves when it has read [DONE] has seen it whole: the answer is stored, and it ended well', async () => {
    const asked = streamed('leaves at DONE');
    const taken = provider.next();
    const c = await connect(gateway);
    const reply = c.request(asked);
    const s = (await taken).stream();
    for (const e of chatEvents(['one', ' two'])) s.send(e);
    await reply.has('[DONE]');
    c.close();
    const { text } = await request(gateway, { path: '/-/metrics' });
    assert.match(text, /^postern_exchanges_active \d+$/m);
    s.end();
    const record = await gateway.logWhere((r) => r.id === reply.header('cf-aig-log-id'));
    assert.deepEqual([record.ending, record.truncated, record.status_code], ['--', false, 200]);
    const again = await request(gateway, asked);
    assert.equal(again.header('cf-aig-cache-status'), 'HIT');
    assert.equal(again.text, reply.text);
  });

  test('each event reaches the client before the provider sends the next', async () => {
    const events = chatEvents(['one', ' two', ' three', ' four']);
    const c = await connect(gateway);
    const reply = c.request(streamed('event by event'));
    const s = (await provider.next()).stream();
    let soFar = '';
    for (const event of events) {
      s.send(event);
      soFar += event;
      await reply.has((text) => text === soFar);
    }
    s.end();
    await reply.whole();
    assert.equal(reply.header('content-type'), 'text/event-stream');
    assert.equal(reply.text, events.join(''));
    c.close();
  });

  test('the head comes before the first event', async () => {
    const c = await connect(gateway);
    const reply = c.request(streamed('head first'));
    const s = (await provider.next()).stream();
    await reply.head();
    assert.equal(reply.status, 200);
    assert.match(reply.header('cf-aig-log-id'), /^[0-9a-f-]{36}$/);
    s.end();
    await reply.whole();
    c.close();
  });

  test('half an event is not waited for', async () => {
    const c = await connect(gateway);
    const reply = c.request(streamed('halves'));
    const s = (await provider.next()).stream();
    for (const piece of ['data: {"cho', 'ices":[{"delta":{"content":"\\u00', 'e9"}}]}\n', '\n', ': comment\n\n', 'data: [DONE]\n', '\n']) {
      s.send(piece);
      await reply.has((text) => text.endsWith(piece));
    }
    s.end();
    await reply.whole();
    c.close();
  });

  test('bytes that are no UTF-8 and no events pass as they are', async () => {
    const odd = Buffer.from([0xff, 0xfe, 0, 10, 10, 0xc3, 13, 10]);
    provider.answer = (rq) => rq.events([odd, odd]);
    const reply = await request(gateway, streamed('odd'));
    assert.deepEqual(reply.body, Buffer.concat([odd, odd]));
  });

  test('a compressed stream passes byte by byte', async () => {
    const { gzipSync } = await import('node:zlib');
    const zipped = gzipSync(chatEvents().join(''));
    provider.answer = (rq) => rq.events([zipped.subarray(0, 20), zipped.subarray(20)], { headers: { 'Content-Type': 'text/event-stream', 'Content-Encoding': 'gzip' } });
    const reply = await request(gateway, { ...streamed('zipped'), headers: { 'Accept-Encoding': 'gzip' } });
    assert.deepEqual(reply.body, zipped);
    assert.equal(reply.header('content-encoding'), 'gzip');
  });

  test('many streams run side by side', async () => {
    const n = 20;
    const running = [];
    for (let i = 0; i < n; i++) {
      const c = await connect(gateway);
      const reply = c.request(streamed(`side ${i}`));
      const rq = await provider.next();
      running.push({ c, reply, s: rq.stream() });
    }
    for (const { s } of running) s.send(': there\n\n');
    for (const [i, { reply, s, c }] of running.reverse().entries()) {
      const events = chatEvents([`${i}`]);
      for (const e of events) s.send(e);
      s.end();
      await reply.whole();
      assert.equal(reply.text, `: there\n\n${events.join('')}`);
      c.close();
    }
  });

  test('an answer in 100 000 small pieces arrives whole', async () => {
    const piece = 'data: {"choices":[{"delta":{"content":"x"}}]}\n\n';
    provider.answer = (rq) => rq.events([...Array.from({ length: 1000 }, () => piece.repeat(100)), 'data: [DONE]\n\n']);
    const reply = await request(gateway, streamed('many pieces'));
    assert.equal(reply.length, piece.length * 100_000 + 'data: [DONE]\n\n'.length);
  });
});

describe('a client that leaves', () => {
  // How long until the provider sees it, in ms.
  async function leave(prepare, how) {
    const c = await connect(gateway);
    const reply = c.request(streamed(`leaves ${Math.random()}`));
    const rq = await provider.nextHead();
    await prepare(rq, reply);
    const left = performance.now();
    c[how]();
    return (await rq.aborted()) - left;
  }
  const nothing = () => {};
  const head = async (rq, reply) => {
    rq.head(200, { 'Content-Type': 'text/event-stream', 'Transfer-Encoding': 'chunked' });
    await reply.head();
  };
  const event = async (rq, reply) => {
    rq.stream().send(chatEvents()[0]);
    await reply.has('data: ');
  };
  for (const [when, prepare] of [['before the first byte of the answer', nothing], ['after its head', head], ['in the middle of the stream', event]]) {
    for (const how of ['abort', 'end']) {
      test(`${when} (${how === 'abort' ? 'RST' : 'FIN'}): the provider's request is cancelled at once`, async (t) => {
        const ms = await leave(prepare, how);
        t.diagnostic(`after ${ms.toFixed(1)} ms`);
        assert.ok(ms < BOUND * SLOW, `${ms} ms`);
      });
    }
  }

  test('while it uploads: the provider sees that too', async () => {
    const c = await connect(gateway);
    c.send('POST /openai/v1/files HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\nContent-Length: 100000\r\n\r\nsome of it');
    const rq = await provider.nextHead();
    c.abort();
    await rq.aborted();
    assert.equal(rq.complete, false);
  });

  test('with on_disconnect: finish the answer is completed, and fills the cache', async () => {
    const path = '/v1/a/fin/openai/chat/completions';
    const body = chatRequest('finish', { stream: true });
    const events = chatEvents(['all', ' of', ' it']);
    const c = await connect(gateway);
    const reply = c.request({ path, body });
    const rq = await provider.next();
    const s = rq.stream();
    s.send(events[0]);
    await reply.has(events[0]);
    c.abort();
    const record = gateway.logWhere((r) => r.id === reply.header('cf-aig-log-id'), 'the record of the finished exchange');
    for (const e of events.slice(1)) await s.send(e);
    await s.end();
    await record;
    const again = await request(gateway, { path, body });
    assert.equal(again.header('cf-aig-cache-status'), 'HIT');
    assert.equal(again.text, events.join(''));
  });

  test('with on_disconnect: finish but before its request was complete, it is cancelled all the same', async () => {
    const c = await connect(gateway);
    c.send('POST /v1/a/fin/openai/files HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\nContent-Length: 100000\r\n\r\nsome of it');
    const rq = await provider.nextHead();
    c.abort();
    await rq.aborted();
  });
});

describe('a provider that breaks off', () => {
  const begin = async (options) => {
    const c = await connect(gateway);
    const reply = c.request(options);
    return { c, reply, rq: await provider.next() };
  };
  for (const how of ['reset', 'end']) {
    test(`a chunked stream (${how}): the client sees an error, not an end`, async () => {
      const { c, reply, rq } = await begin(streamed(`broken ${how}`));
      const event = chatEvents()[1];
      rq.stream().send(event);
      await reply.has(event);
      rq[how]();
      await reply.cut();
      assert.equal(reply.text, event, 'what came before is there');
      await c.closed();
    });
  }

  test('inside a chunk: what came of it is there, and then an error', async () => {
    const { reply, rq } = await begin(streamed('inside a chunk'));
    rq.write(Buffer.concat([headText('HTTP/1.1 200 OK', [['Transfer-Encoding', 'chunked'], ['Content-Type', 'text/event-stream']]), Buffer.from('ff\r\ndata: only a part')]));
    await reply.has('only a part');
    rq.end();
    await reply.cut();
  });

  test('a body shorter than its length: the client sees the length, and the missing rest', async () => {
    const { c, reply, rq } = await begin({ path: '/openai/v1/short' });
    await rq.head(200, { 'Content-Length': '100' });
    rq.write('only this');
    await reply.has('only this');
    rq.end();
    await reply.cut();
    assert.equal(reply.header('content-length'), '100');
    c.close();
  });

  test('a close-delimited body cut by RST: no proper end for the client either', async () => {
    const { reply, rq } = await begin({ path: '/openai/v1/close' });
    await rq.head(200, { Connection: 'close' });
    rq.write('begun');
    await reply.has('begun');
    rq.reset();
    await reply.cut();
  });

  test('the same for an HTTP/1.0 client, whose answer has no framing: RST', async () => {
    const c = await connect(gateway);
    const reply = c.expect();
    c.send('GET /openai/v1/ten HTTP/1.0\r\n\r\n');
    const rq = await provider.next();
    rq.stream().send('begun');
    await reply.has('begun');
    rq.reset();
    assert.equal((await reply.cut()).code, 'ECONNRESET');
  });

  test('garbage inside the chunks: the same', async () => {
    const { reply, rq } = await begin(streamed('garbage'));
    rq.stream().send(': ok\n\n');
    await reply.has(': ok');
    rq.write('zz\r\nnot a chunk');
    rq.done();
    await reply.cut();
    assert.equal(reply.text, ': ok\n\n');
  });

  test('right behind the last chunk: too late to matter', async () => {
    const { c, reply, rq } = await begin(streamed('in time'));
    const s = rq.stream();
    for (const e of chatEvents()) s.send(e);
    s.end();
    rq.end();
    await reply.whole();
    assert.equal(reply.text, chatEvents().join(''));
    c.close();
  });
});

describe('large bodies', () => {
  const SIZE = 64 * MB;
  // A sanitizer's own memory would drown the figures.
  const bounded = (before) => {
    if (isSlow) return;
    const grown = gateway.memory('VmHWM') - before;
    assert.ok(grown < 40 * MB, `the gateway grew by ${(grown / MB).toFixed(1)} MB`);
  };

  test('64 MB down to a slow reader: the provider is held back, memory stays, every byte arrives', async () => {
    const before = gateway.memory();
    const expected = hashOf(SIZE);
    const c = await connect(gateway);
    const reply = c.request({ path: '/openai/v1/files/big/content' });
    const rq = await provider.next();
    const hash = createHash('sha256');
    reply.keep = false;
    reply.onPiece = (b) => hash.update(b);
    let sent = 0;
    rq.head(200, { 'Content-Type': 'application/octet-stream', 'Content-Length': SIZE });
    const sending = (async () => {
      for (const b of blocks(SIZE)) {
        await rq.write(b);
        sent += b.length;
      }
      rq.done();
    })();
    await reply.head();
    c.socket.pause();
    const held = await settled(() => sent, 'the provider is held back');
    assert.ok(held < SIZE / 2, `${held} bytes went out to a client that reads nothing`);
    bounded(before);
    c.socket.resume();
    await reply.whole(30_000);
    await sending;
    assert.equal(reply.length, SIZE);
    assert.equal(hash.digest('hex'), expected);
    bounded(before);
    c.close();
  });

  test('64 MB of multipart up to a slow provider: the client is held back, memory stays, every byte arrives', async () => {
    const before = gateway.memory();
    const edge = Buffer.from('--edge\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n\r\n');
    const tail = Buffer.from('\r\n--edge--\r\n');
    const c = await connect(gateway);
    c.send(headText('POST /openai/v1/files HTTP/1.1', [['Host', 'x'], ['Content-Type', 'multipart/form-data; boundary=edge'], ['Content-Length', SIZE + edge.length + tail.length]]));
    const paused = deferred();
    provider.onRequest = (rq) => {
      rq.socket.pause();
      paused.resolve(rq);
    };
    const hash = createHash('sha256').update(edge);
    let sent = 0;
    const sending = (async () => {
      await c.send(edge);
      for (const b of blocks(SIZE)) {
        hash.update(b);
        await c.send(b);
        sent += b.length;
      }
      hash.update(tail);
      await c.send(tail);
    })();
    const rq = await within(paused.promise, 'the upload at the provider');
    provider.onRequest = null;
    const held = await settled(() => sent, 'the client is held back');
    assert.ok(held < SIZE / 2, `${held} bytes were taken for a provider that reads nothing`);
    bounded(before);
    provider.answer = (other) => other.json({ id: 'file-1' });
    rq.socket.resume();
    const reply = await c.expect('POST').whole(30_000);
    await sending;
    assert.equal(reply.status, 200);
    assert.equal(reply.header('cf-aig-cache-status'), 'BYPASS');
    assert.equal(rq.sha256, hash.digest('hex'));
    assert.equal(rq.header('content-type'), 'multipart/form-data; boundary=edge');
    bounded(before);
    c.close();
  });

  test('a JSON body over limits.body streams through, uninspected: BYPASS, not 413', async () => {
    const small = await gatewayFor(provider, { config: { limits: { body: '64KB' } } });
    const of = (size) => {
      const empty = JSON.stringify(chatRequest('')).length;
      return JSON.stringify(chatRequest('x'.repeat(size - empty)));
    };
    for (const [size, verdict] of [[65536, 'MISS'], [65537, 'BYPASS'], [400_000, 'BYPASS']]) {
      for (const chunked of [false, true]) {
        const body = of(size).replace('x', chunked ? 'y' : 'x');
        const c = await connect(small);
        const reply = c.expect('POST');
        const framing = chunked ? [['Transfer-Encoding', 'chunked']] : [['Content-Length', size]];
        c.send(headText('POST /openai/v1/chat/completions HTTP/1.1', [['Host', 'x'], ['Content-Type', 'application/json'], ...framing]));
        c.send(chunked ? `${size.toString(16)}\r\n${body}\r\n0\r\n\r\n` : body);
        await reply.whole();
        assert.equal(reply.status, 200);
        assert.equal(reply.header('cf-aig-cache-status'), verdict, `${size} bytes${chunked ? ' in chunks' : ''}`);
        assert.equal(provider.last.text, body);
        c.close();
      }
    }
    await small.stop();
  });

  test('a JSON body of some megabytes is held, canonicalised off the loop, and found again', async () => {
    const text = 'long prompt '.repeat(300_000);
    const body = messageRequest(text, { stream: true });
    provider.answer = (rq) => rq.events(messageEvents());
    const ask = (b) => request(gateway, { path: '/anthropic/v1/messages', body: b, ms: 20_000 });
    const c = await connect(gateway);
    const slow = ask(body);
    // meanwhile nobody waits for it
    for (let i = 0; i < 5; i++) assert.equal((await c.request({ path: '/openai/v1/models' }).whole()).status, 200);
    c.close();
    assert.equal((await slow).header('cf-aig-cache-status'), 'MISS');
    const { model, ...rest } = body;
    const again = await ask({ ...rest, model });
    assert.equal(again.header('cf-aig-cache-status'), 'HIT');
    assert.equal(again.text, messageEvents().join(''));
  });

  test('after all that no exchange is left over', async () => {
    await waitFor(async () => /^postern_exchanges_active [01]$/m.test((await request(gateway, { path: '/-/metrics' })).text), 'none but the question itself');
  });
});
