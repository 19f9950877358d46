// Many slow clients at once, the small version of bench/slow: each of them is ended by its own limit, memory stays where it was,
// and whoever is not slow is served meanwhile.
import { test, before } from 'node:test';
import assert from 'node:assert/strict';
import { startProvider } from './lib/provider.mjs';
import { connect, request } from './lib/client.mjs';
import { gatewayFor } from './lib/gateway.mjs';
import { chatRequest, completion } from './lib/bodies.mjs';
import { SLOW, isSlow, waitFor } from './lib/wait.mjs';

const CHAT = '/openai/v1/chat/completions';
const N = isSlow ? 100 : 500;
const READERS = isSlow ? 20 : 60; // fewer: the kernel takes megabytes for each, and the scripted provider has to write them
const LARGE = Buffer.alloc(16 * 1024 * 1024);
const MB = 1024 * 1024;
let provider;
before(async () => {
  provider = await startProvider();
});

// N connections of one kind, and what each was answered when it was ended: a status, or 0.
async function crowd(gateway, n, { first, more, isReader }) {
  const ends = [];
  const all = [];
  for (let i = 0; i < n; i++) {
    const c = await connect(gateway);
    const reply = c.expect('POST');
    reply.keep = false;
    reply.onEnd.promise.catch(() => {});
    if (isReader) c.socket.pause();
    if (first !== '') c.send(first);
    ends.push(c.onClose.promise.then(() => reply.status ?? 0));
    all.push(c);
  }
  let isOver = more === '';
  const trickle = waitFor(() => {
    for (const c of all) if (!c.socket.destroyed && c.socket.writable) c.send(more);
    return isOver;
  }, 'the end of the trickle', 60_000);
  const over = async () => {
    isOver = true;
    await trickle;
    for (const c of all) c.close();
  };
  return { ends, all, over };
}

const kinds = {
  'slow heads': { first: 'GET /openai/v1/models HTTP/1.1\r\nHost: x\r\n', more: '', status: 408, limit: 'header_timeout' },
  'slow bodies': { first: `POST ${CHAT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{`, more: ' ', status: 408, limit: 'body_idle' },
  'slow readers': { first: `POST /openai/v1/files/big/content HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n`, more: '', isReader: true, limit: 'write_stall' },
  'silent ones': { first: '', more: '', status: 0 },
};

for (const [name, kind] of Object.entries(kinds)) {
  const n = kind.isReader ? READERS : N;
  test(`${n} ${name}`, { timeout: 120_000 * SLOW }, async () => {
    const gateway = await gatewayFor(provider, {
      config: {
        limits: { header_timeout: '2s', keepalive_idle: '2s', body_idle: '5s', body_grace: '1s', body_min_rate: 100_000, write_stall: '2s', memory: isSlow ? 0 : '128MB' },
        log: { max_size: '64MB' },
      },
    });
    provider.answer = (rq) => (rq.target.includes('big') ? rq.reply(200, {}, LARGE) : rq.json(completion()));
    const before = await request(gateway, { path: CHAT, body: chatRequest('normal') });
    assert.equal(before.status, 200);
    const { ends, all, over } = await crowd(gateway, n, kind);
    for (let i = 0; i < 10; i++) {
      const reply = await request(gateway, { path: CHAT, body: chatRequest(`normal ${i}`) });
      // readers may take the memory to its ceiling: then it says so
      assert.ok(reply.status === 200 || (kind.isReader && reply.status === 503), `${reply.status}`);
      assert.equal((await request(gateway, { path: '/-/healthz' })).status, 200);
    }
    if (kind.isReader) {
      await waitFor(async () => (await gateway.metric('postern_client_connections')) <= 1, 'all are ended', 30_000);
    } else {
      const statuses = await Promise.all(ends);
      assert.deepEqual([...new Set(statuses)], [kind.status]);
      await waitFor(async () => (await gateway.metric('postern_client_connections')) <= 1, 'all have gone');
    }
    await over();
    if (kind.limit) {
      const hits = await gateway.metric(`postern_limit_hits_total{limit="${kind.limit}"}`);
      const shed = await gateway.metric('postern_limit_hits_total{limit="memory"}');
      assert.ok(hits + shed >= n, `${hits} ended by ${kind.limit}, ${shed} refused`);
    }
    if (!isSlow) {
      assert.ok(gateway.memory('VmHWM') < 200 * MB, `${gateway.memory('VmHWM') / MB} MB at most`);
      assert.ok(gateway.memory('RssAnon') < 64 * MB, `${gateway.memory('RssAnon') / MB} MB afterwards`);
    }
    assert.equal(all.length, n);
    assert.equal((await request(gateway, { path: CHAT, body: chatRequest('after') })).status, 200);
    await gateway.stop();
  });
}
