// Hours of everything at once, by chance: JSON, streams, hits, shared calls, batches, uploads, WebSockets, clients that are slow, leave
// or talk nonsense, providers that are spoilt, reloads. At the end: each request whose head was sent has exactly one record, there
// are no others, and memory and descriptors have not grown.
//
// SOAK_SECS (20), SOAK_WORKERS (12), FAULT_SEED.
import test from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { spawn } from 'node:child_process';
import readline from 'node:readline';
import { setTimeout as later } from 'node:timers/promises';
import { binary, startGateway } from '../e2e/lib/gateway.mjs';
import { request } from '../e2e/lib/client.mjs';
import { waitFor } from '../e2e/lib/wait.mjs';
import { median, number, metrics } from './lib/world.mjs';
import { random } from './lib/random.mjs';
import { startSoakProviders } from './lib/soak_provider.mjs';
import { askSomething } from './lib/soak_clients.mjs';

const SECS = number('SOAK_SECS', 20);
const WORKERS = number('SOAK_WORKERS', 12);
const MB = 1024 * 1024;
// Of the medians of two thirds of the time behind the warm-up; what a sanitizer keeps of freed memory is no leak of ours.
const GROWTH_MOST = process.env.MODE === 'asan' ? 64 * MB : 4 * MB;
// When it is idle again, and the six of a segment of the log, which open when something is first kept in it.
const IDLE_DESCRIPTORS = 2, SEGMENT_DESCRIPTORS = 6;

const configOf = ({ provider, toxics, sockets }) => ({
  upstream: { connect: '5s', first_byte: '10s', idle: '10s', pool_idle: '1s' }, // longer than a busy machine lets the provider wait for a processor
  limits: { body: '1MB', keepalive_idle: '20s' },
  cache: { max_size: '64MB' }, // so that it evicts
  log: { max_size: '50GB', payload_max_size: '256MB' },
  gateways: { default: { cache: { split_embeddings: true } } },
  providers: { openai: { base_url: `${provider.url}/v1` }, groq: { base_url: `${toxics.url}/v1` }, grok: { base_url: `${sockets.url}/v1` } },
});

const segments = (gateway) => fs.readdirSync(`${gateway.data}/log`).filter((name) => /^\d{8}/.test(name)).length;

// What each open descriptor is; one that was closed meanwhile is left out.
const openFiles = (gateway) =>
  fs.readdirSync(`/proc/${gateway.pid}/fd`).flatMap((fd) => {
    try {
      return [fs.readlinkSync(`/proc/${gateway.pid}/fd/${fd}`)];
    } catch {
      return [];
    }
  });
const isOfSegment = (file) => /\/log\/\d{8}/.test(file);
const descriptors = (gateway) => openFiles(gateway).filter((file) => !isOfSegment(file)).length;

function sample(soak) {
  soak.samples.push({ at: performance.now() - soak.begun, anon: soak.gateway.memory('RssAnon'), fds: descriptors(soak.gateway) });
}

// A reload changes what hits and what does not, now and then; the new settings count for who comes later.
function reload(soak, config) {
  config.gateways.default.cache.ttl = soak.chance.of(['1h', '30m', '5s']);
  fs.writeFileSync(soak.gateway.args[soak.gateway.args.indexOf('--config') + 1], JSON.stringify(config));
  soak.gateway.signal('SIGHUP');
  soak.reloads++;
}

async function run(soak, config) {
  const until = soak.begun + SECS * 1000;
  const isOver = () => performance.now() > until || soak.failures.length > 20;
  const work = async () => {
    while (!isOver()) {
      await askSomething(soak);
      await later(soak.chance.below(20));
    }
  };
  const sampler = setInterval(() => sample(soak), Math.min(2000, SECS * 20));
  const reloader = setInterval(() => reload(soak, config), Math.max(3000, SECS * 30));
  await Promise.all(Array.from({ length: WORKERS }, work));
  clearInterval(sampler);
  clearInterval(reloader);
  for (const c of soak.idle) c.close();
}

// How often each number stands in the log; records of nobody's are counted as well.
async function readLog(gateway, count) {
  const times = new Uint8Array(count);
  let strangers = 0;
  const child = spawn(binary, ['logs', 'export', '--data', gateway.data], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise((resolve) => child.on('close', resolve));
  for await (const line of readline.createInterface({ input: child.stdout })) {
    const n = JSON.parse(line).metadata?.n;
    if (Number.isInteger(n) && n < count) times[n]++;
    else strangers++;
  }
  assert.equal(await ended, 0, 'postern logs export');
  return { times, strangers };
}

const part = (samples, i, of) => samples.slice(Math.floor((samples.length * i) / of), Math.floor((samples.length * (i + 1)) / of));
const third = (samples, i) => part(samples, i, 3);
const tenth = (samples, i) => part(samples, i, 10);
const mb = (bytes) => `${(bytes / MB).toFixed(1)} MB`;

// Without the first quarter, in which caches and pools fill.
function growth(samples, what) {
  const warm = samples.slice(Math.floor(samples.length / 4)).map((s) => s[what]);
  const [first, , last] = [0, 1, 2].map((i) => median(third(warm, i)));
  return { first, last, most: Math.max(...warm) };
}

test(`${SECS} s of a random mixture: as many records as requests, memory and descriptors flat`, { timeout: (SECS + 300) * 1000 }, async (t) => {
  const chance = random('soak');
  const providers = await startSoakProviders(random('toxics'));
  const config = configOf(providers);
  const gateway = await startGateway({ config });
  const soak = { gateway, chance, seed: chance.below(1e6), sent: 0, fresh: 0, idle: [], outcomes: {}, failures: [], samples: [], reloads: 0, begun: performance.now() };
  t.after(() => providers.stop());

  await request(gateway, { path: '/no-such-provider/v1/x', headers: { 'cf-aig-metadata': `{"n":${soak.sent++}}` } });
  await waitFor(async () => (await gateway.logs()).length === 1 && segments(gateway) === 1, 'the first record');
  const fdsBefore = descriptors(gateway);
  await run(soak, config);
  for (const [what, n] of Object.entries(soak.outcomes).toSorted()) t.diagnostic(`${what} ${n}`);

  providers.toxics.clear();
  await waitFor(async () => (await metrics(gateway)).postern_exchanges_active <= 1, 'no exchange is left but the one that asks', 30_000);
  const { times, strangers } = await readLog(gateway, soak.sent);
  const lost = [...times.entries()].filter(([, k]) => k === 0), twice = times.filter((k) => k > 1).length;
  t.diagnostic(`${soak.sent} requests in ${SECS} s, ${soak.reloads} reloads; without a record: ${lost.length}; with more than one: ${twice}; records of no request: ${strangers}`);
  assert.deepEqual([lost.length, twice, strangers], [0, 0, 0], `lost: ${lost.slice(0, 20).map(([n]) => n)}`);

  const ofSegments = () => openFiles(gateway).filter(isOfSegment).length;
  const areFewAgain = () => descriptors(gateway) <= fdsBefore + IDLE_DESCRIPTORS && ofSegments() <= segments(gateway) * SEGMENT_DESCRIPTORS;
  await waitFor(areFewAgain, 'the descriptors of before', 30_000).catch((error) => {
    t.diagnostic(`open: ${openFiles(gateway).toSorted().join(' ')}`);
    throw error;
  });
  const anon = growth(soak.samples, 'anon'), fds = growth(soak.samples, 'fds');
  t.diagnostic(`RssAnon: median ${mb(anon.first)} in the first third behind the warm-up, ${mb(anon.last)} in the last, at most ${mb(anon.most)}; idle at the end ${mb(gateway.memory('RssAnon'))}`);
  t.diagnostic(`RssAnon in tenths of the time: ${Array.from({ length: 10 }, (_, i) => mb(median(tenth(soak.samples, i).map((s) => s.anon)))).join(', ')}; ${segments(gateway)} segments of the log`);
  t.diagnostic(`descriptors: ${fdsBefore} before, median ${fds.first} and ${fds.last} under load, at most ${fds.most}; ${descriptors(gateway)} when idle again, and ${ofSegments()} of the log's segments`);
  assert.ok(soak.samples.length >= 12, `${soak.samples.length} samples`);
  assert.ok(anon.last - anon.first <= GROWTH_MOST, `memory grew by ${mb(anon.last - anon.first)}`);
  assert.ok(fds.last - fds.first <= WORKERS * 2, `descriptors grew from ${fds.first} to ${fds.last}`);
  assert.deepEqual(soak.failures, []); // last: the figures are wanted all the same
  await gateway.stop();
});
