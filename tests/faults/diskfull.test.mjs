// A full disk, and a full map: traffic goes on, what is lost is counted and shown, and it works again by itself when there
// is room. design.md 4.3, 4.4; security.md 6.
import { test, describe, before } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { gatewayFor, startGateway, tempDirectory } from '../e2e/lib/gateway.mjs';
import { waitFor } from '../e2e/lib/wait.mjs';
import { startWorld, KINDS, assertBodies, checkLog, metrics, readRecord, readiness, sumOf } from './lib/world.mjs';
import { noMounts, smallDisk } from './lib/disk.mjs';

const MB = 1024 * 1024;
const SETTINGS = { cache: { max_size: '16MB' }, log: { max_size: '8MB' } }; // the log's queue: 2 MB
let serial = 0;
const ask = (world, gateway, kind, n = ++serial) => world.ask(gateway, world.question(kind, n));

// Some of each kind, new questions and ones that were asked before, until the test is fulfilled.
async function askUntil(world, gateway, isEnough, most = 10_000) {
  for (let i = 0; i < most; i++) {
    await ask(world, gateway, KINDS[i % KINDS.length], i % 3 === 0 ? 1 : undefined);
    if (i % 20 === 0 && (await isEnough(await metrics(gateway)))) return;
  }
  assert.fail(`after ${most} requests it was still not so: ${isEnough}`);
}

const works = (gateway) => waitFor(async () => (await readiness(gateway)) === '200 ready' && (await metrics(gateway)).postern_log_queue_bytes === 0, 'the log is written again', 20_000);

// An entry that is stored is found once its time in memory is over.
async function assertCaches(world, gateway) {
  const before = (await metrics(gateway)).postern_cache_stored_total;
  const n = ++serial;
  for (const kind of ['chat', 'large', 'stream']) assert.equal((await ask(world, gateway, kind, n)).verdict, 'MISS');
  await waitFor(async () => (await metrics(gateway)).postern_cache_stored_total >= before + 3, 'three entries on the disk');
  for (const kind of ['chat', 'large', 'stream']) assert.equal((await ask(world, gateway, kind, n)).verdict, 'HIT');
}

describe('a disk that becomes full', { skip: noMounts }, () => {
  let world, disk, gateway, last;
  before(async () => {
    world = await startWorld();
    disk = smallDisk('48m');
    gateway = await gatewayFor(world.provider, { data: path.join(disk.at, 'data'), config: SETTINGS });
    last = await metrics(gateway);
  });

  test('before: ready, all is written', async () => {
    for (const kind of KINDS) for (const n of [1, 1, 2]) await ask(world, gateway, kind, n);
    await works(gateway);
    await checkLog(gateway, world.seen);
  });

  test('full: traffic goes on; payloads are lost first, then records; both are counted', async (t) => {
    disk.fill();
    await askUntil(world, gateway, (m) => m.postern_log_payloads_lost_total > 0);
    assert.equal((await metrics(gateway)).postern_log_records_lost_total, 0, 'records wait longer than payloads');
    await askUntil(world, gateway, (m) => m.postern_log_records_lost_total >= 20);
    last = await metrics(gateway);
    t.diagnostic(`${world.seen.length} exchanges, ${last.postern_log_payloads_lost_total} payloads and ${last.postern_log_records_lost_total} records lost, ${last.postern_cache_write_failures_total} entries not written`);
    assert.ok(last.postern_cache_write_failures_total > 0);
    assert.equal(last.postern_log_failing, 1);
  });

  test('full: /-/readyz says degraded, with 200', async () => {
    assert.equal(await readiness(gateway), '200 degraded');
  });

  test('full: the log is still read, from the disk and from the queue', async () => {
    const newest = await gateway.logs('--limit', '1');
    assert.equal(newest.length, 1);
    assertBodies(await readRecord(gateway, world.seen[0].id), world.seen[0]);
  });

  test('full: said once, not for every record', () => {
    const lines = gateway.stderr.split('\n').filter((l) => l.includes('log:'));
    assert.equal(lines.length, 1, gateway.stderr);
    assert.match(lines[0], /log: cannot write .*: No space left on device/);
  });

  test('with room again: written by itself, ready, and said', async () => {
    disk.make();
    await works(gateway);
    const m = await metrics(gateway);
    assert.equal(m.postern_log_failing, 0);
    assert.match(gateway.stderr, /log: written again; \d+ records were lost/);
  });

  test('with room again: records and lost ones together are all exchanges', async () => {
    const m = await metrics(gateway);
    const records = await gateway.logs('--limit', '1000000');
    assert.equal(records.length + m.postern_log_records_lost_total, sumOf(m, 'postern_requests_total'));
    assert.equal(records.length, m.postern_log_records_total);
    assert.equal(sumOf(m, 'postern_requests_total'), world.seen.length);
  });

  test('with room again: new ones are whole, and the cache stores', async () => {
    const from = world.seen.length;
    for (const kind of KINDS) await ask(world, gateway, kind);
    await checkLog(gateway, world.seen.slice(from));
    for (const one of world.seen.slice(from)) assertBodies(await readRecord(gateway, one.id), one);
    await assertCaches(world, gateway);
  });

  test('a second time, and killed while it is full: what was in the queue is there after all', async () => {
    disk.fill();
    const from = world.seen.length;
    for (let i = 0; i < 40; i++) await ask(world, gateway, KINDS[i % KINDS.length]);
    const lost = (await metrics(gateway)).postern_log_records_lost_total - last.postern_log_records_lost_total;
    assert.equal(lost, 0);
    await gateway.kill9();
    gateway = await gateway.restart();
    await ask(world, gateway, 'chat');
    await checkLog(gateway, world.seen.slice(from));
    disk.make();
    await works(gateway);
    await checkLog(gateway, world.seen.slice(from));
    await assertCaches(world, gateway);
    await gateway.stop();
  });
});

describe('a disk that is full from the start', { skip: noMounts }, () => {
  let world;
  before(async () => {
    world = await startWorld();
  });

  test('a new data directory: one line that names place and cause, and 2', async () => {
    const disk = smallDisk('1m');
    disk.fill();
    await assert.rejects(startGateway({ data: path.join(disk.at, 'data') }), (e) => {
      assert.match(e.message, /ended with 2 before it listened\npostern: [^\n]*\n$/);
      assert.match(e.message, /No space left/i);
      assert.ok(e.message.includes(`postern: ${disk.at}/data`), e.message);
      return true;
    });
  });

  test('room for less than the log\'s queue: the same', async () => {
    const disk = smallDisk('8m');
    await assert.rejects(startGateway({ data: path.join(disk.at, 'data') }), (e) => {
      assert.match(e.message, /ended with 2 before it listened\npostern: [^\n]*\n$/);
      assert.match(e.message, /No space left/i);
      assert.ok(e.message.includes(`${disk.at}/data/log/queue`), e.message);
      return true;
    });
  });

  test('with what an earlier run left: it starts, serves, keeps records in its queue, and recovers', async () => {
    const disk = smallDisk('48m');
    let gateway = await gatewayFor(world.provider, { data: path.join(disk.at, 'data'), config: SETTINGS });
    for (const kind of KINDS) await ask(world, gateway, kind);
    await gateway.stop();
    disk.fill();
    gateway = await gateway.restart();
    for (let i = 0; i < 40; i++) await ask(world, gateway, KINDS[i % KINDS.length]);
    await waitFor(async () => (await readiness(gateway)) === '200 degraded', 'degraded');
    await checkLog(gateway, world.seen);
    await gateway.stop(); // what stands in the queue stays there
    gateway = await gateway.restart();
    await checkLog(gateway, world.seen);
    disk.make();
    await works(gateway);
    await checkLog(gateway, world.seen);
    await assertCaches(world, gateway);
    await gateway.stop();
  });

  test('every amount of room between nothing and enough: an error that says so, or a server that works', async (t) => {
    const disk = smallDisk('12m');
    const outcomes = [];
    for (let left = 0; left <= 6 * MB; left += left < MB ? 28 * 1024 : 512 * 1024) {
      const data = path.join(disk.at, `data-${left}`);
      disk.fill(left);
      const set = { 'cache.max_size': '1MB', 'log.max_size': '8MB', 'providers.openai.base_url': `${world.provider.url}/v1` };
      const gateway = await startGateway({ data, set }).catch((e) => {
        assert.match(e.message, /ended with 2 before it listened\npostern: [^\n]*(No space left|no room)[^\n]*\n$/i, `${left} bytes: ${e.message}`);
        return null;
      });
      outcomes.push(gateway === null ? '-' : '+');
      if (gateway !== null) {
        for (const kind of KINDS) await ask(world, gateway, kind);
        await gateway.stop();
      }
      disk.make();
      fs.rmSync(data, { recursive: true, force: true });
    }
    t.diagnostic(outcomes.join(''));
    assert.equal(outcomes[0], '-');
    assert.equal(outcomes.at(-1), '+');
  });
});

// What a directory takes on the disk.
const du = (d) => Number(execFileSync('du', ['-sk', d]).toString().split('\t')[0]) * 1024;

describe('a map that is full', () => {
  let world;
  before(async () => {
    world = await startWorld();
  });

  test('the cache: the oldest make room, it never takes more than cache.max_size, every answer is right', async (t) => {
    const gateway = await gatewayFor(world.provider, { data: tempDirectory(), config: { cache: { max_size: '2MB' } } });
    let largest = 0;
    for (let i = 0; i < 400; i++) {
      await ask(world, gateway, ['chat', 'large', 'stream'][i % 3], i % 2 ? i : 1);
      if (i % 20 === 0) largest = Math.max(largest, du(path.join(gateway.data, 'cache')));
    }
    const m = await metrics(gateway);
    t.diagnostic(`${m.postern_cache_stored_total} stored, ${m.postern_cache_evicted_total} evicted, ${m.postern_cache_write_failures_total} not written; at most ${largest} bytes`);
    assert.ok(m.postern_cache_evicted_total > 50);
    assert.ok(largest <= 2 * MB, `${largest} bytes`);
    await assertCaches(world, gateway);
    await gateway.stop();
  });

  test('the cache: an entry that is too large for it is counted, and served', async () => {
    const gateway = await gatewayFor(world.provider, { config: { cache: { max_size: '1MB' } } });
    for (const verdict of ['MISS', 'MISS']) assert.equal((await ask(world, gateway, 'large', 'too large')).verdict, verdict);
    assert.equal((await metrics(gateway)).postern_cache_write_failures_total, 2);
    await gateway.stop();
  });

  test('the log: the oldest go, it stays within log.max_size, the newest are whole', async (t) => {
    const gateway = await gatewayFor(world.provider, { config: { log: { max_size: '8MB' }, cache: { max_size: '1MB' } } });
    const from = world.seen.length;
    for (let i = 0; i < 300; i++) await ask(world, gateway, i % 2 ? 'large' : 'chat');
    await works(gateway);
    for (const kind of KINDS) await ask(world, gateway, kind);
    await works(gateway);
    const used = await waitFor(() => {
      const n = du(path.join(gateway.data, 'log'));
      return n <= 8 * MB && n;
    }, 'the log within its limit');
    const seen = world.seen.slice(from);
    const records = await checkLog(gateway, seen.slice(-KINDS.length));
    t.diagnostic(`${records.length} of ${seen.length} records kept, ${used} bytes`);
    for (const one of seen.slice(-KINDS.length)) assertBodies(await readRecord(gateway, one.id), one);
    assert.equal((await metrics(gateway)).postern_log_records_lost_total, 0);
    await gateway.stop();
  });
});
