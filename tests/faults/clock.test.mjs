// A wall clock that jumps by hours, both ways, under a running gateway: ids go on increasing, no entry lives for ever or
// has a negative age, the log keeps its order, and no timer notices. design.md 4.4; security.md 6.
import { test, describe, beforeEach } from 'node:test';
import assert from 'node:assert/strict';
import { connect, request } from '../e2e/lib/client.mjs';
import { gatewayFor } from '../e2e/lib/gateway.mjs';
import { chatRequest } from '../e2e/lib/bodies.mjs';
import { isSlow, waitFor } from '../e2e/lib/wait.mjs';
import { startWorld, KINDS, assertBodies, assertOrder, checkLog, metrics, readRecord, readiness } from './lib/world.mjs';
import { startClock, noClock, HOUR } from './lib/clock.mjs';

const CHAT = '/openai/v1/chat/completions';
const jumps = { '3 hours back': -3 * HOUR, '3 hours ahead': 3 * HOUR };

describe('a clock that jumps', { skip: noClock }, () => {
  let world, clock, gateway, serial = 0;
  const start = async (config = {}) => {
    gateway = await gatewayFor(world.provider, { env: clock.env, config });
    return gateway;
  };
  const ask = (kind = 'chat', n = ++serial, ttl) => world.ask(gateway, world.question(kind, n), { headers: ttl === undefined ? {} : { 'cf-aig-cache-ttl': String(ttl) } });
  const verdict = async (...args) => (await ask(...args)).verdict;
  const stored = (n) => waitFor(async () => (await metrics(gateway)).postern_cache_stored_total >= n, `${n} entries on the disk`);
  beforeEach(async () => {
    world = await startWorld();
    clock = startClock();
  });

  test('the gateway sees it: records and the Date header have the new time', async () => {
    await start();
    for (const jump of [0, ...Object.values(jumps)]) {
      clock.jump(jump);
      const reply = await request(gateway, { path: '/no-such-provider/v1/x' });
      const { created_at } = await gateway.log(reply);
      // the time of day in the answer's head is kept for a second
      assert.ok(Math.abs(Date.parse(created_at) - clock.now()) < 5000 || jump < 0, `${created_at} after ${jump}`);
    }
    await gateway.stop();
  });

  for (const [name, seconds] of Object.entries(jumps)) {
    describe(name, () => {
      test('ids go on increasing, over a restart too; the log keeps the order of the requests', async () => {
        await start();
        for (let i = 0; i < 20; i++) await ask(KINDS[i % KINDS.length], i % 3);
        clock.jump(seconds);
        for (let i = 0; i < 20; i++) await ask(KINDS[i % KINDS.length], i % 3);
        await gateway.kill9();
        gateway = await gateway.restart();
        for (let i = 0; i < 20; i++) await ask(KINDS[i % KINDS.length], i % 3);
        await gateway.stop();
        gateway = await gateway.restart();
        for (let i = 0; i < 20; i++) await ask(KINDS[i % KINDS.length], i % 3);
        const records = await checkLog(gateway, world.seen);
        assert.deepEqual(records.map((r) => r.id).reverse(), world.seen.map((one) => one.id));
        for (const one of world.seen) assertBodies(await readRecord(gateway, one.id), one);
        for (const r of records) assert.ok(r.duration >= 0 && r.duration < 60_000, `duration ${r.duration}`);
        await gateway.stop();
      });

      test('and back again: the same', async () => {
        await start();
        for (const jump of [0, seconds, -seconds, -seconds, seconds]) {
          clock.jump(jump);
          for (const kind of KINDS) await ask(kind, 1);
        }
        const records = await checkLog(gateway, world.seen);
        assert.deepEqual(records.map((r) => r.id).reverse(), world.seen.map((one) => one.id));
        assert.equal((await gateway.logs('--since', '7h', '--limit', '1000')).length, records.length);
        await gateway.stop();
      });

      test('no stored answer is given out with a negative age or past its time, whenever it was stored', async () => {
        await start();
        assert.equal(await verdict('chat', 'a', 3600), 'MISS');
        await stored(1);
        assert.equal(await verdict('chat', 'a', 3600), 'HIT'); // with an age from 0 on: see world.mjs
        clock.jump(seconds);
        const after = await verdict('chat', 'a', 3600);
        if (seconds > 0) assert.equal(after, 'MISS', 'its hour is over');
        await ask('chat', 'a', 3600);
        clock.jump(3601);
        assert.equal(await verdict('chat', 'a', 3600), 'MISS');
        await gateway.stop();
      });

      test('what was stored while the clock was wrong does not outlive its time once it is right', async () => {
        await start();
        clock.jump(seconds);
        assert.equal(await verdict('chat', 'b', 60), 'MISS');
        await stored(1);
        assert.equal(await verdict('chat', 'b', 60), 'HIT');
        clock.jump(-seconds);
        clock.jump(61); // as if a minute had passed
        assert.equal(await verdict('chat', 'b', 60), 'MISS');
        await stored(2);
        assert.equal(await verdict('chat', 'b', 60), 'HIT', 'and it is stored anew');
        await gateway.stop();
      });

      test('a stream that is under way goes on', async () => {
        await start({ limits: { write_stall: '10s' }, upstream: { idle: '10s', first_byte: '10s' } });
        const c = await connect(gateway);
        const reply = c.request({ path: CHAT, body: chatRequest('stream#x#', { stream: true }) });
        const rq = await world.provider.next();
        const s = rq.stream();
        for (let i = 0; i < 5; i++) {
          s.send(`data: ${i}\n\n`);
          await reply.has(`data: ${i}\n`);
          clock.jump(i % 2 ? -seconds : seconds);
        }
        s.send('data: [DONE]\n\n');
        s.end();
        await reply.whole();
        const record = await gateway.log(reply);
        assert.equal(record.success, true);
        assert.ok(record.duration >= 0 && record.duration < 30_000, `${record.duration}`);
        c.close();
        await gateway.stop();
      });

      test('a time-out comes when it should, neither at the jump nor hours later', async () => {
        const wait = isSlow ? 4000 : 1000;
        await start({ upstream: { first_byte: `${wait}ms` } });
        const c = await connect(gateway);
        const began = performance.now();
        const reply = c.request({ path: CHAT, body: chatRequest('never answered') });
        const rq = await world.provider.next();
        clock.jump(seconds);
        await reply.whole(3 * wait);
        const took = performance.now() - began;
        assert.equal(reply.status, 504);
        assert.ok(took > wait * 0.8 && took < wait * 2.5, `${took} ms`);
        await rq.aborted();
        c.close();
        await gateway.stop();
      });

      test('an idle connection is kept', async () => {
        await start({ limits: { keepalive_idle: '10s' } });
        const c = await connect(gateway);
        await c.request({ path: '/-/healthz' }).whole();
        clock.jump(seconds);
        assert.equal((await c.request({ path: CHAT, body: chatRequest('chat#later#') }).whole()).status, 200);
        c.close();
        await gateway.stop();
      });

      test('nothing of the log is taken for too old; it is still written', async () => {
        await start({ log: { retention: '30d', payload_retention: '7d' } });
        for (const kind of KINDS) await ask(kind);
        clock.jump(seconds);
        for (const kind of KINDS) await ask(kind);
        await waitFor(async () => (await metrics(gateway)).postern_log_queue_bytes === 0, 'an empty queue');
        assert.equal(await readiness(gateway), '200 ready');
        await gateway.stop();
        gateway = await gateway.restart();
        await checkLog(gateway, world.seen);
        for (const one of world.seen) assertBodies(await readRecord(gateway, one.id), one);
        await gateway.stop();
      });
    });
  }

  test('a server that starts in the past of its own log: ids go on behind the newest', async () => {
    clock.jump(3 * HOUR);
    await start();
    for (const kind of KINDS) await ask(kind);
    await gateway.stop();
    clock.jump(-6 * HOUR);
    gateway = await gateway.restart();
    for (const kind of KINDS) await ask(kind);
    const records = await checkLog(gateway, world.seen);
    assert.deepEqual(records.map((r) => r.id).reverse(), world.seen.map((one) => one.id));
    const since = await gateway.logs('--since', '30m', '--limit', '1000');
    assertOrder(since);
    for (const one of world.seen.slice(-KINDS.length)) assert.ok(since.some((r) => r.id === one.id), `${one.id} is of the last half hour`);
    await gateway.stop();
  });
});
