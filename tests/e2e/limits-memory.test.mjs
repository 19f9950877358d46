// limits.memory: slow uploads, slow readers and large answers stay under the ceiling; what there is no room for is refused, and
// when it has gone all is as before.
import { test, describe, before, beforeEach } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { startProvider } from './lib/provider.mjs';
import { connect, request } from './lib/client.mjs';
import { gatewayFor } from './lib/gateway.mjs';
import { chatRequest, completion } from './lib/bodies.mjs';
import { isSlow, settled, waitFor } from './lib/wait.mjs';

const CHAT = '/openai/v1/chat/completions';
const MB = 1024 * 1024;
// A sanitizer keeps what was freed, and shadows what is there: told not to, where it can be.
const env = isSlow ? { ASAN_OPTIONS: `${process.env.ASAN_OPTIONS ?? ''}:quarantine_size_mb=0:thread_local_quarantine_size_kb=0:allocator_release_to_os_interval_ms=50` } : {};
let provider;
before(async () => {
  provider = await startProvider();
});
beforeEach(() => provider.reset());

const own = (gateway) => Number(fs.readFileSync(`/proc/${gateway.pid}/status`, 'utf8').match(/RssAnon:\s+(\d+) kB/)[1]) * 1024;
const isReady = async (gateway) => (await request(gateway, { path: '/-/readyz' })).text === 'ready\n';

// A gateway whose ceiling is so much above what it needs by itself.
async function withRoom(bytes) {
  const probe = await gatewayFor(provider, { env });
  await request(probe, { path: CHAT, body: chatRequest('warm') });
  const ceiling = own(probe) + bytes;
  await probe.stop();
  provider.reset();
  const gateway = await gatewayFor(provider, { env, config: { limits: { memory: ceiling }, cache: { max_size: '64MB' }, log: { max_size: '64MB' } } });
  return { gateway, ceiling };
}

// The most memory there was while f ran.
async function peak(gateway, f) {
  let most = 0;
  let isOver = false;
  const watch = waitFor(() => {
    most = Math.max(most, own(gateway));
    return isOver;
  }, 'the end of what is watched', 120_000);
  try {
    await f();
  } finally {
    isOver = true;
    await watch;
  }
  return most;
}

const chatOf = (text, n) => {
  const empty = JSON.stringify(chatRequest(text)).length;
  return JSON.stringify(chatRequest(text + 'a'.repeat(n - empty)));
};

describe('limits.memory', () => {
  test('large requests that are held become streams when memory is short, and every one is answered or refused', async () => {
    const { gateway, ceiling } = await withRoom(24 * MB);
    const SIZE = 4 * MB;
    const N = 20; // 80 MB, were they all held
    provider.answer = (rq) => rq.json(completion(String(rq.length)));
    let refused = 0;
    const most = await peak(gateway, async () => {
      const all = [];
      for (let i = 0; i < N; i++) {
        const body = chatOf(`upload ${i} `, SIZE);
        const c = await connect(gateway);
        const reply = c.expect('POST');
        reply.onEnd.promise.catch(() => {});
        await c.send(`POST ${CHAT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${SIZE}\r\n\r\n${body.slice(0, SIZE / 2)}`);
        all.push({ c, reply, rest: body.slice(SIZE / 2) });
        assert.equal((await request(gateway, { path: '/-/healthz' })).status, 200);
      }
      for (const { c, rest } of all) c.send(rest).catch(() => {});
      for (const { c, reply } of all) {
        // who goes on sending more than 1 MB behind a refusal is cut, and may not see it any more
        const whole = await reply.whole(60_000).then(() => true, (e) => /ECONNRESET|EPIPE/.test(e.message) ? false : Promise.reject(e));
        if (!whole) {
          refused++;
          continue;
        }
        assert.ok([200, 503].includes(reply.status), `${reply.status}`);
        refused += reply.status === 503;
        if (reply.status === 200) assert.match(reply.text, new RegExp(String(SIZE)), 'the provider had all of it');
        c.close();
      }
    });
    assert.ok(most < ceiling * 1.1, `${most / MB} MB of ${ceiling / MB}`);
    assert.ok(refused < N, 'some passed');
    await waitFor(() => isReady(gateway), 'room again');
    const reply = await request(gateway, { path: CHAT, body: chatRequest('after') });
    assert.equal(reply.header('cf-aig-cache-status'), 'MISS', 'and what is new is kept again');
    assert.equal((await request(gateway, { path: CHAT, body: chatRequest('after') })).header('cf-aig-cache-status'), 'HIT');
    await gateway.stop();
  });

  test('slow readers of large answers: bounded, and a small request passes or is told to come again', async () => {
    const { gateway, ceiling } = await withRoom(24 * MB);
    const SIZE = 8 * MB;
    const N = 150; // at 256 KB ahead of each that would be 38 MB, and 10 MB of each for the log
    provider.answer = (rq) => (rq.target.includes('big') ? rq.reply(200, { 'Content-Type': 'application/json' }, Buffer.alloc(SIZE, 'x')) : rq.json(completion()));
    const all = [];
    const most = await peak(gateway, async () => {
      for (let i = 0; i < N; i++) {
        const c = await connect(gateway);
        c.socket.pause();
        const reply = c.request({ path: `/openai/v1/files/big-${i}/content` });
        reply.onEnd.promise.catch(() => {});
        all.push(c);
      }
      await settled(() => own(gateway), 'the answers have come as far as they come', 300, 60_000);
      const small = await request(gateway, { path: CHAT, body: chatRequest('small') });
      assert.ok([200, 503].includes(small.status));
      if (small.status === 503) assert.equal(small.header('retry-after'), '5');
      assert.equal((await request(gateway, { path: '/-/healthz' })).status, 200);
      assert.match((await request(gateway, { path: '/-/metrics' })).text, /^postern_memory_bytes \d+$/m);
    });
    // what runs already may take 100 KB each: 32 KB ahead of its reader, and what one read brings
    assert.ok(most < ceiling * 1.1 + N * 100 * 1024, `${most / MB} MB of ${ceiling / MB}`);
    for (const c of all) c.abort();
    await waitFor(() => isReady(gateway), 'room again', 20_000);
    assert.equal((await request(gateway, { path: CHAT, body: chatRequest('small again') })).status, 200);
    await gateway.stop();
  });

  test('a reload lifts and lowers the ceiling', async () => {
    const gateway = await gatewayFor(provider, { env, config: { limits: { memory: '64GB' } } });
    const file = `${gateway.data}.yaml`;
    const set = async (memory, n) => {
      fs.writeFileSync(file, JSON.stringify({ ...JSON.parse(fs.readFileSync(file)), limits: { memory } }));
      gateway.signal('SIGHUP');
      await waitFor(() => gateway.stderr.split('new settings').length > n, 'the reload');
    };
    const held = [];
    for (let i = 0; i < 40; i++) {
      const c = await connect(gateway);
      await c.send(`POST ${CHAT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n${'a'.repeat(50_000)}`);
      held.push(c);
    }
    await waitFor(() => own(gateway) > 1.5 * MB, 'the bodies are held');
    assert.equal((await request(gateway, { path: CHAT, body: chatRequest('a') })).status, 200);
    await set('1MB', 1);
    await waitFor(async () => !(await isReady(gateway)), 'the ceiling is felt');
    const reply = await request(gateway, { path: CHAT, body: chatRequest('b') });
    assert.equal(reply.status, 503);
    assert.match(reply.json.error.message, /limits\.memory/);
    await set('64GB', 2);
    await waitFor(() => isReady(gateway), 'it is lifted');
    assert.equal((await request(gateway, { path: CHAT, body: chatRequest('b') })).status, 200);
    for (const c of held) c.close();
    await gateway.stop();
  });
});
