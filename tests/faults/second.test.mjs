// A second server on the same data directory, and a store of another version: a clear refusal; the first server and what
// is stored are not disturbed. design.md 4.4.
import { test, describe, before } from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { gatewayFor, startGateway, postern, binary, tempDirectory } from '../e2e/lib/gateway.mjs';
import { within } from '../e2e/lib/wait.mjs';
import { startWorld, KINDS, assertBodies, checkLog, readRecord } from './lib/world.mjs';

const ONE_LINE = /^postern: [^\n]+\n$/;

// The start is refused with 2 and one line, which is returned.
async function refusal(start) {
  const e = await start().then((g) => g.stop().then(() => assert.fail('it started')), (error) => error);
  const [, line] = e.message.match(/ended with 2 before it listened\n(postern: [^\n]+\n)$/) ?? assert.fail(e.message);
  return line;
}

describe('a second server', () => {
  let world, gateway;
  before(async () => {
    world = await startWorld();
    gateway = await gatewayFor(world.provider);
    for (const kind of KINDS) await world.ask(gateway, world.question(kind, 1));
  });

  test('is refused in one line that names the directory and the first server\'s process', async () => {
    const line = await refusal(() => startGateway({ data: gateway.data }));
    assert.equal(line, `postern: ${gateway.data}: another server uses it (process ${gateway.pid})\n`);
  });

  test('by another name of the same directory too', async () => {
    const link = path.join(tempDirectory(), 'link');
    fs.symlinkSync(gateway.data, link);
    for (const data of [`${gateway.data}/`, `${gateway.data}/../${path.basename(gateway.data)}`, link]) {
      assert.match(await refusal(() => startGateway({ data })), /another server uses it|symbolic link|not a directory/i);
    }
  });

  test('ten at once beside it: all refused', async () => {
    const lines = await Promise.all(Array.from({ length: 10 }, () => refusal(() => startGateway({ data: gateway.data }))));
    for (const line of lines) assert.match(line, /another server uses it/);
  });

  test('the first one is undisturbed: it serves, and its log, cache and control socket work', async () => {
    assert.equal((await world.ask(gateway, world.question('chat', 1))).verdict, 'HIT');
    assert.equal((await world.ask(gateway, world.question('chat', 2))).verdict, 'MISS');
    await checkLog(gateway, world.seen);
    for (const one of world.seen) assertBodies(await readRecord(gateway, one.id), one);
    const r = await postern(['cache', 'stats', '--data', gateway.data]);
    assert.equal(r.code, 0, r.stderr);
  });

  test('postern logs beside it: any number at once', async () => {
    const lists = await Promise.all(Array.from({ length: 8 }, () => gateway.logs('--limit', '1000')));
    for (const list of lists) assert.equal(list.length, world.seen.length);
  });

  test('of several that start at the same moment exactly one runs', async () => {
    await gateway.stop();
    const results = await Promise.allSettled(Array.from({ length: 6 }, () => gateway.restart()));
    const running = results.filter((r) => r.status === 'fulfilled').map((r) => r.value);
    assert.equal(running.length, 1, results.map((r) => r.reason?.message).join('\n'));
    for (const { reason } of results.filter((r) => r.status === 'rejected')) assert.match(reason.message, /another server uses it/);
    [gateway] = running;
    await checkLog(gateway, world.seen);
    await gateway.kill9();
  });

  test('after kill -9 the directory is free at once', async () => {
    gateway = await gateway.restart();
    await checkLog(gateway, world.seen);
    await gateway.stop();
  });

  test('postern logs while a server starts: all or a refusal, never part of it', async () => {
    for (let i = 0; i < 20; i++) {
      const server = spawn(binary, gateway.args, { env: { HOME: '/nonexistent' }, stdio: ['ignore', 'pipe', 'inherit'] });
      const listens = new Promise((resolve) => server.stdout.once('data', resolve));
      const r = await postern(['logs', '--data', gateway.data, '--json', '--limit', '1000']);
      if (r.code === 0) assert.equal(r.stdout.split('\n').length - 1, world.seen.length);
      else assert.match(r.stderr, ONE_LINE);
      await within(listens, 'it listens');
      const ended = new Promise((resolve) => server.once('close', resolve));
      server.kill('SIGTERM');
      assert.equal(await within(ended, 'it ends'), 0);
    }
  });
});

describe('a store of another version', () => {
  let world, gateway, data;
  const formatOf = (room) => path.join(data, room, 'format');
  // Runs f with the room's format changed to that text.
  async function withFormat(room, text, f) {
    const ours = fs.readFileSync(formatOf(room), 'utf8');
    fs.writeFileSync(formatOf(room), text);
    try {
      await f();
    } finally {
      if (room === 'log') fs.writeFileSync(formatOf(room), ours);
    }
  }
  const sizes = () => fs.readdirSync(path.join(data, 'log'), { recursive: true }).sort().map((f) => [f, fs.statSync(path.join(data, 'log', f)).mtimeMs]).filter(([f]) => f !== 'format');

  before(async () => {
    world = await startWorld();
    gateway = await gatewayFor(world.provider);
    ({ data } = gateway);
    for (const kind of KINDS) await world.ask(gateway, world.question(kind, 1));
    await gateway.stop();
  });

  for (const [name, text, words] of [['newer', '999\n', /newer version/], ['older', '0\n', /older version/], ['no number', 'gibberish\n', /not a format number/], ['empty', '', /not a format number/]]) {
    test(`the log, ${name}: refused in one line that says where and what to do; nothing is touched`, async () => {
      await withFormat('log', text, async () => {
        const before = sizes();
        const line = await refusal(() => gateway.restart());
        assert.ok(line.includes(path.join(data, 'log')), line);
        assert.match(line, words);
        const r = await postern(['logs', '--data', data]);
        assert.equal(r.code, 2);
        assert.match(r.stderr, ONE_LINE);
        assert.match(r.stderr, words);
        assert.deepEqual(sizes(), before);
      });
    });
  }

  test('the log, with its own format again: all is there', async () => {
    gateway = await gateway.restart();
    await checkLog(gateway, world.seen);
    await gateway.stop();
  });

  for (const [name, text] of [['newer', '999\n'], ['older', '1\n'], ['no number', 'gibberish\n']]) {
    test(`the cache, ${name}: started empty, the log kept`, async () => {
      await withFormat('cache', text, async () => {
        gateway = await gateway.restart();
        assert.equal((await world.ask(gateway, world.question('chat', 1))).verdict, 'MISS');
        assert.equal((await world.ask(gateway, world.question('chat', 1))).verdict, 'HIT');
        await checkLog(gateway, world.seen);
        await gateway.stop();
        gateway = await gateway.restart();
        assert.equal((await world.ask(gateway, world.question('chat', 1))).verdict, 'HIT', 'and kept from now on');
        await gateway.stop();
      });
    });
  }

  test('a cache that was made for another size: kept where it fits, else started empty', async () => {
    gateway = await gateway.restart();
    for (let i = 0; i < 5; i++) await world.ask(gateway, world.question('large', `of 300 KB ${i}`));
    await gateway.stop();
    for (const [size, verdict] of [['4GB', 'HIT'], ['1MB', 'MISS']]) {
      gateway = await gateway.restart({ set: { 'cache.max_size': size } });
      assert.equal((await world.ask(gateway, world.question('chat', 1))).verdict, verdict, size);
      await gateway.stop();
    }
  });

  test('the installation\'s secret gone or damaged: a new one, or a refusal; what is logged stays', async () => {
    const secret = path.join(data, 'secret');
    const ours = fs.readFileSync(secret);
    fs.writeFileSync(secret, ours.subarray(0, 16));
    const line = await refusal(() => gateway.restart());
    assert.ok(line.includes(secret), line);
    fs.rmSync(secret);
    gateway = await gateway.restart();
    assert.equal((await world.ask(gateway, world.question('chat', 1))).verdict, 'MISS', 'what was stored under another secret is never found');
    await checkLog(gateway, world.seen);
    await gateway.stop();
  });
});
