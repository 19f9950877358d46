// The data directory under use: the cache's size and space, postern cache compact, postern backup: design.md 3.1, 4.4.
import { test, before, beforeEach } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { startProvider } from './lib/provider.mjs';
import { request } from './lib/client.mjs';
import { gatewayFor, postern, startGateway, tempDirectory } from './lib/gateway.mjs';
import { waitFor } from './lib/wait.mjs';
import * as b from './lib/bodies.mjs';

const CHAT = '/openai/v1/chat/completions';
const MB = 1024 * 1024;

let provider;
before(async () => (provider = await startProvider()));
beforeEach(() => provider.reset());

const du = (directory) => Number(execFileSync('du', ['-sk', directory], { encoding: 'utf8' }).split('\t')[0]) * 1024;
const segments = (gateway) => fs.readdirSync(path.join(gateway.data, 'log')).filter((name) => /^\d/.test(name)).map((name) => path.join(gateway.data, 'log', name));
const ask = (gateway, text) => request(gateway, { path: CHAT, body: b.chatRequest(text) });
const verdict = (reply) => reply.header('cf-aig-cache-status');
const metric = async (gateway, name) => Number((await request(gateway, { path: '/-/metrics' })).text.match(new RegExp(`^${name} (\\d+)$`, 'm'))[1]);
const large = (bytes) => (rq) => rq.json({ ...b.completion(), padding: 'x'.repeat(bytes) });
const cache = (gateway, ...words) => postern(['cache', ...words, '--data', gateway.data]);

test('answers in sets of two fifths of the cache, each asked for again: there is always room for the newest', async () => {
  provider.answer = large(20_000);
  const gateway = await gatewayFor(provider, { set: { 'cache.max_size': '8MB', 'gateways.default.cache.ttl': '1h' } });
  for (let set = 0; set < 8; set++) {
    for (const expected of ['MISS', 'HIT']) {
      for (let i = 0; i < 120; i++) assert.equal(verdict(await ask(gateway, `set ${set} ${i}`)), expected, `${set} ${i}`);
    }
    assert.ok(du(path.join(gateway.data, 'cache')) <= 8 * MB);
  }
  await gateway.stop();
});

test('cache compact gives back what was removed, and what is left is served', async () => {
  provider.answer = large(100_000);
  const gateway = await gatewayFor(provider);
  const directory = path.join(gateway.data, 'cache');
  for (let i = 0; i < 40; i++) await ask(gateway, `gone ${i}`);
  assert.equal((await cache(gateway, 'purge')).stdout, '40 entries removed\n');
  await ask(gateway, 'kept');
  const before = du(directory);
  assert.ok(before > 4_000_000);
  const r = await cache(gateway, 'compact');
  assert.match(r.stdout, /^\d+(KB|MB) given back\n$/);
  assert.equal(r.code, 0);
  assert.ok(du(directory) < 1_000_000, `${du(directory)}`);
  assert.equal(verdict(await ask(gateway, 'kept')), 'HIT');
  for (let i = 0; i < 40; i++) assert.equal(verdict(await ask(gateway, `gone ${i}`)), 'MISS');
  for (let i = 0; i < 40; i++) assert.equal(verdict(await ask(gateway, `gone ${i}`)), 'HIT');
  await gateway.stop();
  assert.match((await cache(gateway, 'compact')).stderr, /no server runs/);
});

test('log.payload_max_size: the oldest bodies go, their records stay, and logs says so', async () => {
  provider.answer = (rq) => rq.json({ ...b.completion(), padding: randomBytes(75_000).toString('base64') });
  const gateway = await gatewayFor(provider, { set: { 'log.payload_max_size': '2MB', 'gateways.default.cache.mode': 'off' } });
  const replies = [];
  for (let i = 0; i < 60; i++) replies.push(await ask(gateway, `question ${i}`));
  await waitFor(async () => {
    const n = segments(gateway).map((s) => fs.statSync(path.join(s, 'payloads.mdb'), { throwIfNoEntry: false })?.blocks ?? 0).reduce((sum, n) => sum + n * 512, 0);
    return n <= 2 * MB && (await metric(gateway, 'postern_log_records_total')) === 60;
  }, 'bodies within their limit');
  replies.push(await ask(gateway, 'one more')); // the limit may have been held with the last of the 60
  const oldest = await gateway.log(replies[0]);
  assert.deepEqual([oldest.status_code, oldest.request, oldest.response], [200, null, null]);
  const newest = await gateway.log(replies.at(-1));
  assert.equal(newest.response, replies.at(-1).text);
  assert.equal((await gateway.logs('--limit', '100')).length, 61);
  const shown = (await postern(['logs', '--data', gateway.data, oldest.id])).stdout;
  assert.match(shown, /^status_code +200$/m);
  for (const which of ['request', 'response']) assert.ok(shown.includes(`--- ${which}: gone (log.payload_retention, log.payload_max_size) ---`), shown);
  await gateway.stop();
});

test('an idle server forgets what is past log.retention', async () => {
  const gateway = await gatewayFor(provider, { set: { 'log.retention': '1s' } });
  await ask(gateway, 'soon forgotten');
  await waitFor(async () => (await metric(gateway, 'postern_log_records_total')) === 1, 'a record on the disk');
  await waitFor(() => segments(gateway).length === 0, 'no segment', 30_000);
  assert.deepEqual(await gateway.logs(), []);
  await gateway.stop();
});

test('a cache cut short is a cold one', async () => {
  provider.answer = large(100_000);
  const gateway = await gatewayFor(provider);
  for (let i = 0; i < 20; i++) await ask(gateway, `one ${i}`);
  await gateway.stop();
  const file = path.join(gateway.data, 'cache/data.mdb');
  fs.truncateSync(file, Math.floor(fs.statSync(file).size / 2));
  const next = await gateway.restart();
  for (let i = 0; i < 20; i++) assert.equal(verdict(await ask(next, `one ${i}`)), 'MISS');
  for (let i = 0; i < 20; i++) assert.equal(verdict(await ask(next, `one ${i}`)), 'HIT');
  await next.stop();
});

test('backup beside a running server: logs and serve take the copy', async () => {
  const gateway = await gatewayFor(provider);
  const ids = [];
  for (let i = 0; i < 30; i++) ids.unshift((await ask(gateway, `question ${i}`)).header('cf-aig-log-id'));
  const copy = path.join(tempDirectory(), 'copy');
  const r = await postern(['backup', copy, '--data', gateway.data]);
  assert.match(r.stdout, new RegExp(`^copied 30 records \\(1 segments, \\d+KB\\) and the secret to ${copy}\n$`));
  assert.deepEqual([r.code, r.stderr], [0, '']);
  const later = (await ask(gateway, 'after it')).header('cf-aig-log-id');
  const of = async (data, ...args) => (await postern(['logs', '--json', '--data', data, ...args])).stdout.split('\n').filter(Boolean).map((l) => JSON.parse(l));
  assert.deepEqual((await of(copy)).map((x) => x.id), ids);
  assert.match(JSON.stringify(await of(copy, ids[3])), /question 26/);
  const second = await startGateway({ ...gateway.options, data: copy });
  const more = (await ask(second, 'of the copy')).header('cf-aig-log-id');
  assert.deepEqual((await second.logs()).map((x) => x.id), [more, ...ids]);
  assert.deepEqual((await gateway.logs()).map((x) => x.id), [later, ...ids]);
  await second.stop();
  // to another file system, if there is one; nothing stays in the data directory
  if (fs.existsSync('/dev/shm') && fs.statSync('/dev/shm').dev !== fs.statSync(gateway.data).dev) {
    const far = fs.mkdtempSync('/dev/shm/postern-e2e-');
    try {
      const r2 = await postern(['backup', far, '--data', gateway.data]);
      assert.deepEqual([r2.code, r2.stderr], [0, '']);
      assert.equal((await of(far)).length, 31);
    } finally {
      fs.rmSync(far, { recursive: true, force: true });
    }
  }
  assert.deepEqual(fs.readdirSync(gateway.data).filter((n) => n.startsWith('backup')), []);
  const inside = await postern(['backup', path.join(gateway.data, 'x'), '--data', gateway.data]);
  assert.match(inside.stderr, /data directory itself/);
  const again = await postern(['backup', copy, '--data', gateway.data]);
  assert.deepEqual([again.code, again.stdout], [1, '']);
  assert.match(again.stderr, /^postern: .*something in it.*new or an empty directory\n$/);
  await gateway.stop();
});

test('backup without a server, after kill -9: what was answered is in the copy', async () => {
  const gateway = await gatewayFor(provider);
  const ids = [];
  for (let i = 0; i < 20; i++) ids.unshift((await ask(gateway, `question ${i}`)).header('cf-aig-log-id'));
  await gateway.kill9();
  const copy = tempDirectory();
  const r = await postern(['backup', copy, '--data', gateway.data]);
  assert.deepEqual([r.code, r.stderr], [0, '']);
  const lines = (await postern(['logs', '--json', '--data', copy])).stdout.split('\n').filter(Boolean);
  assert.deepEqual(lines.map((l) => JSON.parse(l).id), ids);
  for (const [args, why] of [[['backup'], /it takes one directory/], [['backup', copy], /something in it/], [['backup', path.join(gateway.data, 'x')], /data directory itself/]]) {
    const wrong = await postern([...args, '--data', gateway.data]);
    assert.equal(wrong.code, 1);
    assert.match(wrong.stderr, why);
  }
});

test('a damaged segment is left out, said and counted; the server starts, the rest is read, backup goes on', async () => {
  const gateway = await gatewayFor(provider);
  const old = await ask(gateway, 'old');
  await gateway.stop();
  const [segment] = segments(gateway);
  const second = await gateway.restart();
  const kept = await ask(second, 'kept');
  await second.stop();
  fs.writeFileSync(path.join(segment, 'rows.mdb'), Buffer.alloc(40_000)); // as a disk that forgot it
  const line = `error log: ${segment}/rows.mdb is damaged: all of it is left out; put ${segment} back from a backup, or remove it, while no server runs\n`;

  const alone = await postern(['logs', '--json', '--data', gateway.data]);
  assert.equal(alone.code, 0);
  assert.ok(alone.stderr.endsWith(line), alone.stderr);
  assert.deepEqual(alone.stdout.trim().split('\n').map((r) => JSON.parse(r).id), [kept.header('cf-aig-log-id')]);

  const again = await gateway.restart();
  const fresh = await ask(again, 'fresh');
  assert.deepEqual((await again.logs()).map((r) => r.id), [fresh, kept].map((r) => r.header('cf-aig-log-id')));
  assert.equal(again.stderr.split(line).length, 2, again.stderr); // once
  assert.equal(await metric(again, 'postern_log_damaged_files'), 1);
  const copy = path.join(tempDirectory(), 'copy');
  const backup = await postern(['backup', copy, '--data', again.data]);
  assert.equal(backup.code, 0, backup.stderr);
  const copied = await postern(['logs', '--json', '--data', copy]);
  assert.equal(copied.stderr, '');
  assert.equal(copied.stdout.trim().split('\n').length, 2);
  await again.stop();

  fs.rmSync(segment, { recursive: true });
  const mended = await again.restart();
  assert.equal((await mended.logs()).length, 2);
  assert.equal(await metric(mended, 'postern_log_damaged_files'), 0);
  await mended.stop();
  assert.ok(old.header('cf-aig-log-id') < kept.header('cf-aig-log-id'));
});
