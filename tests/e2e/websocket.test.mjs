// WebSockets: tunnelled once the provider has said 101, never before; both ways, with back-pressure; one record for each.
import { test, describe, before, beforeEach } from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { startRaw } from './lib/provider.mjs';
import { connect, request } from './lib/client.mjs';
import { gatewayFor } from './lib/gateway.mjs';
import { makeCertificates, tlsOptions } from './lib/certificates.mjs';
import { SLOW, isSlow, deferred, settled, waitFor, within } from './lib/wait.mjs';
import { startWebSockets, openWebSocket, askUpgrade, upgradeText, acceptOf, frame, closeFrame, KEY, TEXT, BINARY, CLOSE, PING, PONG } from './lib/websocket.mjs';

const MB = 1024 * 1024;
const masked = { masked: true };

let server, gateway;
before(async () => {
  server = await startWebSockets();
  gateway = await gatewayFor(server, { config: { gateways: { fin: { on_disconnect: 'finish' } } } });
});
let answer;
beforeEach(() => {
  answer ??= server.upgrade;
  server.upgrade = answer;
  server.onSession = null;
  server.sessions = [];
});

const record = (g, id) => g.logWhere((r) => r.id === id, `the record ${id}`);

describe('a WebSocket', () => {
  test('frames pass both ways, and the record counts them', async () => {
    const before = Date.now();
    const ws = await openWebSocket(gateway, { path: '/openai/v1/realtime?model=gpt-realtime' });
    const far = await server.next();
    assert.equal(ws.reply.header('sec-websocket-accept'), acceptOf(KEY));
    assert.equal(ws.reply.header('upgrade').toLowerCase(), 'websocket');
    assert.equal(ws.reply.header('connection').toLowerCase(), 'upgrade');
    assert.equal(ws.reply.header('x-provider'), 'yes');
    assert.equal(ws.reply.header('cf-aig-cache-status'), 'BYPASS');
    assert.equal(ws.reply.header('content-length'), undefined);
    assert.equal(ws.reply.header('transfer-encoding'), undefined);
    assert.equal(far.request.url, '/v1/realtime?model=gpt-realtime');
    assert.equal(far.request.headers.host, `127.0.0.1:${server.port}`);
    assert.equal(far.request.headers['sec-websocket-key'], KEY);
    assert.equal(far.request.headers['sec-websocket-version'], '13');

    const up = [frame('hello', masked), frame('pi', { ...masked, opcode: PING }), frame(Buffer.alloc(70_000, 7), masked), closeFrame(1000, masked)];
    const down = [frame('welcome'), frame('po', { opcode: PONG }), frame(Buffer.alloc(300, 9), { fin: false }), frame('', { opcode: 0 }), closeFrame()];
    ws.send(Buffer.concat(up.slice(0, 3)));
    assert.equal((await far.frame()).text, 'hello');
    assert.equal((await far.frame()).opcode, PING);
    const big = await far.frame();
    assert.deepEqual([big.opcode, big.masked, big.payload.length], [BINARY, true, 70_000]);
    far.send(Buffer.concat(down.slice(0, 4)));
    assert.deepEqual((await ws.frame()), { opcode: TEXT, fin: true, masked: false, payload: Buffer.from('welcome'), text: 'welcome' });
    for (let i = 0; i < 3; i++) await ws.frame();
    ws.send(up[3]);
    assert.equal((await far.frame()).opcode, CLOSE);
    far.send(down[4]);
    assert.equal((await ws.frame()).opcode, CLOSE);
    far.socket.end();
    await ws.ended();
    await far.ended();

    const r = await record(gateway, ws.id);
    const size = (list) => list.reduce((n, b) => n + b.length, 0);
    assert.deepEqual([r.status_code, r.success, r.cache_status, r.ending, r.end_reason, r.truncated], [101, true, 'BYPASS', '--', 'ok', false]);
    assert.deepEqual([r.frames_in, r.frames_out], [4, 5]);
    assert.deepEqual([r.request_size, r.response_size], [size(up), size(down)]);
    assert.equal(r.bytes_in, upgradeText('/openai/v1/realtime?model=gpt-realtime').length + size(up));
    assert.ok(r.bytes_out > size(down) && r.bytes_out < size(down) + 1000, `${r.bytes_out}`);
    assert.equal(r.model, 'gpt-realtime');
    assert.ok(r.duration_ms > 0 && r.duration_ms < Date.now() - before + 1, `${r.duration_ms}`);
    assert.equal((await gateway.logs('--limit', '10000')).filter((x) => x.id === ws.id).length, 1);
  });

  test('the provider may speak first, in the same packet as its 101', async () => {
    server.upgrade = (rq, socket) => {
      socket.cork();
      const ok = answer(rq, socket);
      socket.write(frame('session.created'));
      socket.uncork();
      return ok;
    };
    const ws = await openWebSocket(gateway);
    assert.equal((await ws.frame()).text, 'session.created');
    ws.socket.end();
  });

  for (const [where, asked] of [['/v1/acc/default/openai?model=x', '/v1/realtime?model=x'], ['/openai/?model=x', '/v1/realtime?model=x'],
    ['/v1/acc/default/openai/v1/realtime?model=x', '/v1/realtime?model=x'],
    ['/google?key=k', '/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent?key=k'], ['/anthropic/any/path', '/any/path']]) {
    test(`Cloudflare's ${where} is ${asked}`, async () => {
      const ws = await openWebSocket(gateway, { path: where });
      assert.equal((await server.next()).request.url, asked);
      ws.socket.end();
    });
  }

  test('what was sent ahead of the 101 waits for it, and arrives', async () => {
    const held = deferred();
    const early = [];
    server.upgrade = (rq, socket, head) => {
      early.push(head);
      socket.on('data', (b) => early.push(b));
      held.resolve(socket);
    };
    const raw = await connect(gateway);
    raw.expect();
    const c = { socket: raw.socket };
    c.socket.removeAllListeners('data');
    const ahead = [frame('one', masked), frame('two', masked)];
    c.socket.write(Buffer.concat([Buffer.from(upgradeText('/openai/v1/realtime')), ahead[0]]));
    const far = await within(held.promise, 'the upgrade at the provider');
    c.socket.write(ahead[1]);
    // another request goes all the way meanwhile: what was sent ahead would have been here by now
    assert.equal((await request(gateway, { path: '/openai/v1/models' })).status, 200);
    assert.equal(Buffer.concat(early).length, 0);
    const arrived = deferred();
    far.on('data', () => Buffer.concat(early).length === ahead[0].length + ahead[1].length && arrived.resolve());
    far.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${acceptOf(KEY)}\r\n\r\n`);
    await within(arrived.promise, 'the frames that were sent ahead');
    assert.ok(Buffer.concat(early).equals(Buffer.concat(ahead)));
    c.socket.destroy();
  });

  test('more sent ahead than is kept: nothing is lost', async () => {
    const held = deferred();
    server.upgrade = (rq, socket, head) => held.resolve({ rq, socket, head });
    const payload = randomBytes(3 * MB);
    const { socket } = await connect(gateway);
    socket.removeAllListeners('data');
    socket.write(upgradeText('/openai/v1/realtime'));
    socket.write(frame(payload, masked));
    const { rq, socket: far, head } = await within(held.promise, 'the upgrade at the provider');
    assert.equal(head.length, 0);
    const got = deferred();
    let n = 0;
    far.on('data', (b) => {
      n += b.length;
      if (n === payload.length + 14) got.resolve();
    });
    answer(rq, far);
    await within(got.promise, () => `all of it, ${n} bytes so far`);
    socket.destroy();
  });

  test('an upgrade to something else is ignored, and so is one of HTTP/1.0: no tunnel', async () => {
    for (const [text, note] of [
      [upgradeText('/openai/v1/realtime', { Upgrade: 'h2c' }), 'h2c'],
      [upgradeText('/openai/v1/realtime', { Connection: 'keep-alive' }), 'Connection does not say so'],
      [upgradeText('/openai/v1/realtime', {}, '1.0'), 'HTTP/1.0'],
      [upgradeText('/openai/v1/realtime').replace('GET', 'DELETE'), 'not a GET'],
      [upgradeText('/openai/v1/realtime', { 'Content-Length': '2' }) + 'ab', 'with a body'],
    ]) {
      const c = await connect(gateway);
      const reply = c.expect();
      c.send(text);
      await reply.whole();
      assert.deepEqual([reply.status, reply.text], [200, 'no upgrade'], note);
      assert.equal(server.last.headers.upgrade, undefined, note);
      assert.ok(!/upgrade/i.test(server.last.headers.connection ?? ''), note);
      c.close();
    }
  });

  test('one of several protocols is enough', async () => {
    const ws = await openWebSocket(gateway, { headers: { Upgrade: 'h2c, WebSocket', Connection: 'keep-alive, upgrade' } });
    const far = await server.next();
    assert.equal(far.request.headers.upgrade, 'websocket');
    ws.socket.end();
  });

  test('its connection is its own: neither taken from the pool nor put there', async () => {
    const counts = async () => Number((await request(gateway, { path: '/-/metrics' })).text.match(/^postern_upstream_connects_total (\d+)$/m)[1]);
    await request(gateway, { path: '/openai/v1/models' }); // one is idle now
    const before = await counts();
    server.upgrade = (rq, socket) => {
      socket.write('HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno');
    };
    assert.equal((await askUpgrade(gateway)).reply.status, 401);
    assert.equal(await counts(), before + 1);
    server.upgrade = answer;
    const ws = await openWebSocket(gateway);
    assert.equal(await counts(), before + 2);
    ws.socket.end();
  });
});

describe('no 101', () => {
  for (const [what, text, status, body] of [
    ['a 401', 'HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{"error":"x"}', 401, '{"error":"x"}'],
    ['a 200', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok', 200, 'ok'],
    ['a 426 in chunks', 'HTTP/1.1 426 Upgrade Required\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n', 426, 'no'],
  ]) {
    test(`${what} is relayed like any answer, and what was sent behind the upgrade is nobody's request`, async () => {
      server.upgrade = (rq, socket) => {
        socket.write(text);
      };
      const asked = server.requests.length;
      const c = await connect(gateway);
      const reply = c.expect();
      c.send(`${upgradeText('/openai/v1/realtime')}GET /openai/v1/smuggled HTTP/1.1\r\nHost: x\r\n\r\n`);
      await reply.whole();
      assert.deepEqual([reply.status, reply.text], [status, body]);
      assert.equal(reply.header('connection'), 'close');
      await c.closed();
      assert.equal(server.requests.length, asked + 1);
      assert.equal(c.extra.length, 0);
      const r = await gateway.log(reply);
      assert.deepEqual([r.status_code, r.ending, r.frames_in], [status, '--', undefined]);
    });
  }

  test('a 101 that names no websocket, or that nobody asked for: 502', async () => {
    const raw = await startRaw((socket) => socket.once('data', () => socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nsecret')));
    const own = await gatewayFor({ url: `http://127.0.0.1:${raw.port}` });
    for (const headers of [{}, { Upgrade: 'h2c' }, { Upgrade: undefined, Connection: 'close' }]) {
      const c = await connect(own);
      const reply = c.expect();
      c.send(upgradeText('/openai/v1/realtime', headers));
      await reply.whole();
      assert.deepEqual([reply.status, reply.header('postern-error')], [502, 'upstream-protocol'], JSON.stringify(headers));
      assert.ok(!reply.text.includes('secret'));
      c.close();
    }
    raw.close();
    await own.stop();
  });

  test('a provider that is not there: 502, in its dialect', async () => {
    const raw = await startRaw((socket) => socket.destroy());
    const own = await gatewayFor({ url: `http://127.0.0.1:${raw.port}` });
    const { reply, socket } = await askUpgrade(own);
    assert.equal(reply.status, 502);
    socket.destroy();
    await own.stop();
  });

  test('while the 101 is awaited a client that leaves cancels it', async () => {
    const held = deferred();
    server.upgrade = (rq, socket) => {
      socket.on('close', () => held.far.resolve(performance.now()));
      socket.on('end', () => held.far.resolve(performance.now()));
      socket.resume();
      held.resolve();
    };
    held.far = deferred();
    const { socket } = await connect(gateway);
    socket.write(upgradeText('/openai/v1/leaves'));
    await within(held.promise, 'the upgrade at the provider');
    socket.resetAndDestroy();
    await within(held.far.promise, 'its end there');
    const r = await gateway.logWhere((x) => x.path === '/openai/v1/leaves');
    assert.deepEqual([r.status_code, r.ending], [499, 'CA']);
  });
});

describe('who leaves', () => {
  async function pair(options) {
    const ws = await openWebSocket(options?.gateway ?? gateway, options);
    return { ws, far: await server.next() };
  }

  for (const how of ['FIN', 'RST']) {
    test(`the client, without a word (${how}): the provider sees it at once, CW`, async () => {
      const { ws, far } = await pair();
      ws.send(frame('bye?', masked));
      await far.frame();
      const left = performance.now();
      if (how === 'FIN') ws.socket.destroy();
      else ws.abort();
      const ms = (await far.ended()) - left;
      assert.ok(ms < 1000 * SLOW, `${ms} ms`);
      const r = await record(gateway, ws.id);
      assert.deepEqual([r.status_code, r.success, r.ending, r.end_reason, r.truncated, r.frames_in, r.frames_out], [101, false, 'CW', 'client-gone', true, 1, 0]);
    });

    test(`the provider, without a word (${how}): the client sees it at once, UW`, async () => {
      const { ws, far } = await pair();
      far.send(frame('last words'));
      await ws.frame();
      const left = performance.now();
      if (how === 'FIN') far.socket.end();
      else far.abort();
      const ms = (await ws.ended()) - left;
      assert.ok(ms < 1000 * SLOW, `${ms} ms`);
      const r = await record(gateway, ws.id);
      assert.deepEqual([r.status_code, r.ending, r.end_reason, r.truncated, r.frames_in, r.frames_out], [101, 'UW', 'upstream-closed', true, 0, 1]);
    });
  }

  test('the client says goodbye and goes: an orderly end, and the provider has its last frames', async () => {
    const { ws, far } = await pair();
    ws.send(Buffer.concat([frame('one', masked), frame('two', masked), closeFrame(1000, masked)]));
    ws.socket.end();
    assert.equal((await far.frame()).text, 'one');
    assert.equal((await far.frame()).text, 'two');
    assert.equal((await far.frame()).opcode, CLOSE);
    await far.ended();
    const r = await record(gateway, ws.id);
    assert.deepEqual([r.ending, r.success, r.frames_in], ['--', true, 3]);
  });

  test('the provider says goodbye and goes while the client reads slowly: all of it arrives', async () => {
    const { ws, far } = await pair();
    ws.socket.pause();
    const payload = Buffer.alloc(200_000, 'x');
    for (let i = 0; i < 10; i++) far.send(frame(payload));
    far.send(closeFrame());
    far.socket.end();
    ws.socket.resume();
    for (let i = 0; i < 10; i++) assert.equal((await ws.frame()).payload.length, payload.length);
    assert.equal((await ws.frame()).opcode, CLOSE);
    await ws.ended();
    assert.deepEqual([(await record(gateway, ws.id)).ending, (await record(gateway, ws.id)).frames_out], ['--', 11]);
  });

  test('the client goes while the provider reads slowly: what the gateway had taken still arrives', async () => {
    const { ws, far } = await pair();
    far.socket.pause();
    const payload = Buffer.alloc(100_000, 'y');
    let sent = 0;
    const sending = (async () => {
      for (let i = 0; i < 400; i++) {
        await ws.send(frame(payload, masked));
        sent++;
      }
    })();
    await settled(() => sent, 'the client is held back');
    assert.ok(sent < 400, 'the client is held back');
    far.socket.resume();
    await sending;
    ws.send(closeFrame(1000, masked));
    ws.socket.end();
    for (let i = 0; i < 400; i++) assert.equal((await far.frame()).payload.length, payload.length);
    assert.equal((await far.frame()).opcode, CLOSE);
    await far.ended();
    assert.equal((await record(gateway, ws.id)).frames_in, 401);
  });

  test('limits.half_close: a client that only says that nothing follows still hears the rest', async () => {
    const own = await gatewayFor(server, { config: { limits: { half_close: true } } });
    const { ws, far } = await pair({ gateway: own });
    ws.send(frame('question', masked));
    ws.socket.end();
    assert.equal((await far.frame()).text, 'question');
    await far.ended(); // its FIN is passed on
    far.send(Buffer.concat([frame('the answer'), closeFrame()]));
    assert.equal((await ws.frame()).text, 'the answer');
    far.socket.end();
    await ws.ended();
    assert.equal((await record(own, ws.id)).ending, '--');
    await own.stop();
  });

  test('silence: upstream.idle counts only while neither says anything', async () => {
    const own = await gatewayFor(server, { config: { upstream: { idle: '2s' } } });
    const { ws, far } = await pair({ gateway: own });
    const began = performance.now();
    // one-sided talk, first one then the other, for longer than that
    for (const [from, to, options] of [[ws, far, masked], [far, ws, {}]]) {
      for (let i = 0; i < 6; i++) {
        from.send(frame('still here', { ...options, opcode: PING }));
        await to.frame();
        await new Promise((resolve) => { setTimeout(resolve, 400); });
      }
    }
    assert.ok(performance.now() - began > 4500);
    const quiet = performance.now();
    await Promise.all([ws.ended(), far.ended()]);
    assert.ok(performance.now() - quiet > 1000, 'not before its time');
    const r = await record(own, ws.id);
    assert.deepEqual([r.ending, r.end_reason, r.frames_in, r.frames_out], ['TW', 'upstream-timeout', 6, 6]);
    await own.stop();
  });

  test('limits.write_stall: a client that reads nothing is cut, and the provider with it', async () => {
    const own = await gatewayFor(server, { config: { limits: { write_stall: '300ms' } } });
    const { ws, far } = await pair({ gateway: own });
    ws.socket.pause();
    const payload = Buffer.alloc(MB);
    for (let i = 0; i < 40; i++) far.send(frame(payload)).catch(() => {});
    await far.ended();
    const r = await record(own, ws.id);
    assert.deepEqual([r.ending, r.end_reason], ['TW', 'write-stall']);
    ws.socket.destroy();
    await own.stop();
  });

  test('the end of the gateway: a WebSocket may go on until limits.drain, then both sides are ended', async () => {
    const own = await gatewayFor(server, { config: { limits: { drain: '800ms' } } });
    const { ws, far } = await pair({ gateway: own });
    own.signal('SIGTERM');
    await waitFor(() => connect(own).then((c) => (c.close(), false), () => true), 'no new connections');
    ws.send(frame('still open', masked));
    assert.equal((await far.frame()).text, 'still open');
    await Promise.all([ws.ended(), far.ended()]);
    await own.stop();
    const r = await own.log(ws.id);
    assert.deepEqual([r.ending, r.end_reason, r.frames_in], ['GW', 'shutting-down', 1]);
  });

  test('on_disconnect: finish is no reason to keep a WebSocket whose client has gone', async () => {
    const { ws, far } = await pair({ path: '/v1/a/fin/openai/v1/realtime' });
    ws.abort();
    await far.ended();
    assert.equal((await record(gateway, ws.id)).ending, 'CW');
  });
});

describe('a lot', () => {
  const SIZE = 40 * MB; // the kernel's own buffers, of two connections, take up to 20
  const piece = (i) => {
    const b = Buffer.alloc(64 * 1024, 'The quick brown fox jumps over the lazy dog. ');
    b.writeUInt32BE(i, 0);
    return frame(b);
  };
  const total = SIZE / (64 * 1024);

  test('40 MB each way at once, both sides slow to read at first: held back, memory bounded, every byte arrives', async () => {
    const ws = await openWebSocket(gateway);
    const far = await server.next();
    const before = gateway.memory('RssAnon');
    let most = before;
    const expected = createHash('sha256');
    for (let i = 0; i < total; i++) expected.update(piece(i));
    const digest = expected.digest('hex');
    for (const side of [ws, far]) {
      side.keep = false;
      side.socket.pause();
      side.sent = 0;
    }
    const sending = [ws, far].map(async (side) => {
      for (let i = 0; i < total; i++) {
        await side.send(piece(i));
        side.sent += 1;
        if (i % 16 === 0) most = Math.max(most, gateway.memory('RssAnon'));
      }
    });
    await settled(() => ws.sent + far.sent, 'both are held back');
    most = Math.max(most, gateway.memory('RssAnon'));
    assert.ok(ws.sent < total && far.sent < total, `${ws.sent} and ${far.sent} of ${total} went to who reads nothing`);
    ws.socket.resume();
    far.socket.resume();
    await Promise.all(sending);
    const whole = piece(0).length * total;
    await waitFor(() => ws.bytes === whole && far.bytes === whole, 'every byte');
    assert.equal(ws.hash.digest('hex'), digest);
    assert.equal(far.hash.digest('hex'), digest);
    const grown = (most - before) / MB;
    if (!isSlow) assert.ok(grown < 8, `the gateway grew by ${grown.toFixed(1)} MB`);
    ws.socket.end();
    await far.ended();
    const r = await record(gateway, ws.id);
    assert.deepEqual([r.frames_in, r.frames_out, r.request_size, r.response_size], [total, total, whole, whole]);
  });

  test('many side by side', async () => {
    server.onSession = (s) => {
      s.onFrame = (f) => s.send(frame(f.payload, { opcode: f.opcode }));
    };
    await Promise.all(Array.from({ length: 50 }, async (_, i) => {
      const ws = await openWebSocket(gateway);
      for (let k = 0; k < 20; k++) {
        ws.send(frame(`${i}-${k}`, masked));
        assert.equal((await ws.frame()).text, `${i}-${k}`);
      }
      ws.socket.end(closeFrame(1000, masked));
      await ws.ended();
    }));
  });
});

describe('credentials in subprotocols', () => {
  test('the provider\'s arrive as they were, the gateway\'s do not, and none is written anywhere', async () => {
    const own = await gatewayFor(server);
    const secret = () => randomBytes(12).toString('hex');
    const secrets = Array.from({ length: 6 }, secret);
    const [openai, cf, xi, fal, bearer, parameter] = secrets;
    const ws = await openWebSocket(own, {
      path: `/openai/v1/realtime?model=m&api_key=${parameter}`,
      headers: { 'Sec-WebSocket-Protocol': `realtime, openai-insecure-api-key.${openai}, cf-aig-authorization.${cf}, xi-api-key.${xi},fal-api-key.${fal}`, Authorization: `Bearer ${bearer}`, 'cf-aig-authorization': `Bearer ${cf}` },
    });
    const far = await server.next();
    assert.equal(far.request.headers['sec-websocket-protocol'], `realtime, openai-insecure-api-key.${openai}, xi-api-key.${xi}, fal-api-key.${fal}`);
    assert.equal(far.request.headers.authorization, `Bearer ${bearer}`);
    assert.ok(!far.request.rawHeaders.join(' ').includes(cf));
    assert.equal(ws.reply.header('sec-websocket-protocol'), 'realtime');
    ws.socket.end();
    await far.ended();
    const r = await record(own, ws.id);
    assert.equal(r.path, '/openai/v1/realtime?model=m&api_key=***');
    await own.stop();
    const files = fs.readdirSync(own.data, { withFileTypes: true, recursive: true }).filter((e) => e.isFile()).map((e) => path.join(e.parentPath ?? e.path, e.name));
    const where = (text) => files.filter((f) => fs.readFileSync(f).includes(text));
    assert.ok(where('/openai/v1/realtime').length > 0, 'the search finds what is there');
    for (const s of secrets) assert.deepEqual(where(s), []);
    for (const s of secrets) assert.ok(!JSON.stringify(r).includes(s) && !own.stderr.includes(s));
  });

  test('spaces and order of a list without any of ours stay', async () => {
    const list = 'realtime ,openai-insecure-api-key.k,  x';
    const ws = await openWebSocket(gateway, { headers: { 'Sec-WebSocket-Protocol': list } });
    assert.equal((await server.next()).request.headers['sec-websocket-protocol'], list);
    ws.socket.end();
  });

  test('a browser that offers the gateway\'s only gets an answer that it takes', async () => {
    const ws = await openWebSocket(gateway, { headers: { 'Sec-WebSocket-Protocol': 'cf-aig-authorization.tok' } });
    assert.equal((await server.next()).request.headers['sec-websocket-protocol'], undefined);
    assert.equal(ws.reply.header('sec-websocket-protocol'), 'cf-aig-authorization.tok');
    ws.socket.end();
  });
});

describe('over TLS on both sides', () => {
  test('OpenAI\'s own SDK speaks with a realtime endpoint', { timeout: 60_000 }, async () => {
    const pki = makeCertificates();
    const secure = await startWebSockets({ tls: tlsOptions(pki.leaf) });
    secure.onSession = (s) => {
      s.send(frame(JSON.stringify({ type: 'session.created', event_id: 'e1', session: { id: 's1' } })));
      s.onFrame = (f) => {
        if (f.opcode === CLOSE) s.socket.end(closeFrame());
        else s.send(frame(JSON.stringify({ type: 'response.text.delta', event_id: 'e2', delta: JSON.parse(f.text).type })));
      };
    };
    const own = await gatewayFor({ url: `https://localhost:${secure.port}` }, {
      config: { upstream: { ca: pki.ca }, listen: [{ address: '127.0.0.1:0', tls: { certificate: pki.leaf.cert, key: pki.leaf.key } }] },
    });
    const script = fileURLToPath(new URL('lib/realtime_client.mjs', import.meta.url));
    // the global WebSocket is behind a flag in node 20
    const child = spawn(process.execPath, ['--experimental-websocket', script, `https://localhost:${own.port}/openai/v1`], { env: { ...process.env, NODE_EXTRA_CA_CERTS: pki.ca, NODE_TEST_CONTEXT: '' }, stdio: ['ignore', 'pipe', 'pipe'] });
    let out = '', err = '';
    child.stdout.on('data', (b) => (out += b));
    child.stderr.on('data', (b) => (err += b));
    const code = await within(new Promise((resolve) => { child.on('close', resolve); }), () => `the SDK ends\n${out}\n${err}`, 30_000);
    assert.equal(code, 0, `${out}\n${err}`);
    assert.deepEqual(JSON.parse(out), { protocol: 'realtime', events: ['session.created', 'response.text.delta'], delta: 'response.create', clean: true, code: 1000 });
    const r = await own.logWhere((x) => x.status_code === 101);
    assert.deepEqual([r.ending, r.frames_in, r.frames_out, r.model], ['--', 2, 3, 'gpt-realtime']);
    assert.ok(!JSON.stringify(r).includes('sk-test'));
    await own.stop();
  });

  test('megabytes both ways, and a client that is cut is noticed', async () => {
    const pki = makeCertificates();
    const secure = await startWebSockets({ tls: tlsOptions(pki.leaf) });
    const own = await gatewayFor({ url: `https://localhost:${secure.port}` }, {
      config: { upstream: { ca: pki.ca }, listen: [{ address: '127.0.0.1:0', tls: { certificate: pki.leaf.cert, key: pki.leaf.key } }] },
    });
    const ws = await openWebSocket(own, { tls: { ca: fs.readFileSync(pki.ca) } });
    const far = await secure.next();
    const payload = randomBytes(3 * MB);
    ws.send(frame(payload, masked));
    far.send(frame(payload));
    assert.ok((await far.frame(20_000)).payload.equals(payload));
    assert.ok((await ws.frame(20_000)).payload.equals(payload));
    ws.socket.destroy();
    await far.ended();
    assert.equal((await record(own, ws.id)).ending, 'CW');
    await own.stop();
  });
});

test('kill -9: what has ended is in the log, what was running is not', async () => {
  const own = await gatewayFor(server);
  const done = await openWebSocket(own);
  done.socket.end(closeFrame(1000, masked));
  await done.ended();
  await record(own, done.id);
  const running = await openWebSocket(own);
  running.send(frame('running', masked));
  await own.kill9();
  const after = await own.restart();
  const ids = (await after.logs()).map((r) => r.id);
  assert.ok(ids.includes(done.id));
  assert.ok(!ids.includes(running.id));
  await after.stop();
});
