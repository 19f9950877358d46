// One bit of one stored file flipped, or a file cut short: a miss or a record that is left out; never a crash, never a
// wrong answer, never a wrong record. design.md 4.2, 4.3; the "Faults".
//
// LMDB keeps keys and values in trees of pages, of which it checks little: a damaged pointer or page can end the process
// inside LMDB. So what was written before is read without it (the log), or looked through before it is opened (the cache;
// for 300 ms at most, so of a cache of gigabytes the rest is taken on trust). Deaths are counted apart from wrong answers.
import { test, describe, before } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as later } from 'node:timers/promises';
import { gatewayFor, tempDirectory } from '../e2e/lib/gateway.mjs';
import { waitFor } from '../e2e/lib/wait.mjs';
import { startWorld, KINDS, assertOrder, checkLog, metrics, number, readRecord } from './lib/world.mjs';
import { flipBit, partOf, storedFiles } from './lib/damage.mjs';
import { random } from './lib/random.mjs';

const FLIPS = number('FAULT_FLIPS', 200);
const CUTS = Math.ceil(FLIPS / 4);
const POOL = 3;
const DAY = 24 * 3600 * 1000;
const timeOf = (id) => parseInt(id.replace('-', '').slice(0, 12), 16);
const SETTINGS = { cache: { max_size: '8MB' }, log: { max_size: '8MB' } };

describe('damage', () => {
  let world, gateway, template, truth, seen;
  const chance = random('flip');
  const questions = KINDS.flatMap((kind) => Array.from({ length: POOL }, (_, n) => world?.question(kind, n)));

  // A directory as a killed server leaves it: a cache, several segments, and records in the queue.
  before(async () => {
    world = await startWorld();
    questions.splice(0, questions.length, ...KINDS.flatMap((kind) => Array.from({ length: POOL }, (_, n) => world.question(kind, n))));
    gateway = await gatewayFor(world.provider, { config: SETTINGS });
    for (let run = 0; run < 3; run++) {
      for (const q of questions) await world.ask(gateway, q);
      await waitFor(async () => (await metrics(gateway)).postern_log_queue_bytes === 0, 'an empty queue');
      for (const q of questions.slice(0, 6)) await world.ask(gateway, q);
      if (run < 2) await gateway.stop();
      else await gateway.kill9();
      template = tempDirectory();
      execFileSync('cp', ['-a', `${gateway.data}/.`, template]);
      fs.rmSync(path.join(template, 'control.sock'), { force: true });
      if (run < 2) gateway = await gateway.restart();
    }
    seen = [...world.seen];
    const undamaged = { data: template, logs: gateway.logs };
    const records = await checkLog(undamaged, seen);
    truth = new Map();
    for (const r of records) truth.set(r.id, { record: r, full: await readRecord(undamaged, r.id) });
  });

  // What is said of it is true, or nothing is said.
  function assertTrueRecords(records, known) {
    assertOrder(records);
    for (const r of records) if (!known.has(r.id)) assert.deepEqual(r, truth.get(r.id)?.record, `record ${r.id}`);
  }

  async function assertTrueBodies(at, ids, figures) {
    for (const id of ids) {
      const full = await readRecord(at, id);
      figures.read++;
      if (full === null) {
        figures.unread++;
        continue;
      }
      const { request, response, ...record } = full;
      const { request: asked, response: answered, ...original } = truth.get(id).full;
      assert.deepEqual(record, original);
      assert.ok(request === null || request === asked, `the request of ${id}`);
      assert.ok(response === null || response === answered, `the answer of ${id}`);
      figures.bodiless += request !== asked || response !== answered;
    }
  }

  // Everything that can be asked of a damaged directory: by the command alone, and of a server on it.
  async function probe(data, figures) {
    const ids = [...truth.keys()];
    const some = () => Array.from({ length: 6 }, () => chance.of(ids));
    const alone = { data, logs: gateway.logs };
    assertTrueRecords(await alone.logs('--limit', '1000'), new Map());
    await assertTrueBodies(alone, some(), figures);

    const served = await gatewayFor(world.provider, { data, config: SETTINGS });
    try {
      await probeServer(served, some(), figures);
      await served.stop();
    } catch (e) {
      // what a client sees of a server that died says little
      const end = await Promise.race([served.exited.promise, later(100, {})]);
      await served.kill9();
      throw end.signal ? new Error(`the server died of ${end.signal}: ${served.stderr}`, { cause: e }) : e;
    }
  }

  async function probeServer(served, some, figures) {
    const from = world.seen.length;
    for (const q of questions) await world.ask(served, q);
    const seenNow = world.seen.slice(from);
    const fresh = new Set(seenNow.map((one) => one.id));
    figures.hits += seenNow.filter((one) => one.verdict === 'HIT').length;
    const records = await served.logs('--limit', '1000');
    assertTrueRecords(records, fresh);
    figures.missing += truth.size + fresh.size - records.length;
    // those of now: all of them, before all others, of this day
    assert.deepEqual(records.slice(0, fresh.size).map((r) => r.id), [...fresh].reverse());
    assert.ok(timeOf(records[0].id) < Date.now() + DAY, `the id of a record of now: ${records[0].id}`);
    await assertTrueBodies(served, some, figures);
  }

  const deaths = [];
  const isDeath = (e) => /died of SIG|ended with SIG|logs .*: null|sanitizer/.test(e.message);

  // Does the harm and tries everything; what went wrong goes to `failures`, or to `deaths`.
  async function damaged(where, harm, figures, failures) {
    const data = tempDirectory();
    execFileSync('cp', ['-a', `${template}/.`, data]);
    harm(data);
    try {
      await probe(data, figures);
    } catch (e) {
      if (isDeath(e)) figures.deaths++;
      (isDeath(e) ? deaths : failures).push(`${where}: ${e.message.slice(0, 500)}`);
    } finally {
      fs.rmSync(data, { recursive: true, force: true });
    }
  }

  const figuresFor = () => ({ read: 0, unread: 0, bodiless: 0, missing: 0, hits: 0, deaths: 0 });
  // Files whose damage has a refusal of its own: see second.test.mjs.
  const candidates = () => storedFiles(template).filter((f) => !f.endsWith('/format') && !f.endsWith('-lock'));
  // A place in what is really stored, not in the holes of a file.
  const written = (file) => {
    const bytes = fs.readFileSync(file);
    for (;;) {
      const at = chance.below(bytes.length);
      if (bytes.subarray(at & ~511, (at & ~511) + 512).some((b) => b !== 0)) return at;
    }
  };

  async function flips(part, n) {
    const figures = figuresFor();
    const failures = [];
    for (let i = 0; i < n;) {
      const file = chance.of(candidates());
      const at = written(file);
      if (partOf(file, at) !== part) continue;
      i++;
      const bit = chance.below(8);
      await damaged(`${path.relative(template, file)}, byte ${at}, bit ${bit}`, (data) => flipBit(path.join(data, path.relative(template, file)), at, bit), figures, failures);
    }
    return { figures, failures };
  }

  test(`a bit of a stored value, ${FLIPS} times: a miss, or a record that is left out`, { timeout: 1_800_000 }, async (t) => {
    const { figures, failures } = await flips('value', FLIPS);
    t.diagnostic(JSON.stringify(figures));
    assert.deepEqual([...failures, ...deaths.splice(0)], []);
    assert.ok(figures.hits > 0);
  });

  test(`a bit of the trees around the values, ${FLIPS} times: nothing wrong is said`, { timeout: 1_800_000 }, async (t) => {
    const { figures, failures } = await flips('tree', FLIPS);
    t.diagnostic(JSON.stringify(figures));
    assert.deepEqual(failures, []);
  });

  test(`a file cut short, ${CUTS} times: nothing wrong is said`, { timeout: 1_800_000 }, async (t) => {
    const figures = figuresFor();
    const failures = [];
    for (let i = 0; i < CUTS; i++) {
      const file = chance.of(candidates());
      const size = chance.below(fs.statSync(file).size);
      await damaged(`${path.relative(template, file)}, cut to ${size} bytes`, (data) => fs.truncateSync(path.join(data, path.relative(template, file)), size), figures, failures);
    }
    t.diagnostic(JSON.stringify(figures));
    assert.deepEqual(failures, []);
  });

  test('a file of the cache or the log that is not there: the rest is', async () => {
    const failures = [];
    for (const file of storedFiles(template)) await damaged(path.relative(template, file), (data) => fs.rmSync(path.join(data, path.relative(template, file))), figuresFor(), failures);
    assert.deepEqual(failures, []);
  });

  test('a header of the log\'s queue, every word of it', async () => {
    const failures = [];
    for (let at = 0; at < 136; at += 8) await damaged(`log/queue, byte ${at}`, (data) => flipBit(path.join(data, 'log/queue'), at + chance.below(8), chance.below(8)), figuresFor(), failures);
    assert.deepEqual(failures, []);
  });

  test('none of all this ended a server', () => assert.deepEqual(deaths, []));
});
