// Allocations and system calls fail by chance, anywhere in the program, under AddressSanitizer: while a mixed load is on it,
// nothing ends it, each client has a right answer, a refusal that says that the gateway or the provider cannot, or a cut that it sees;
// afterwards everything works, and nothing was leaked.
import test from 'node:test';
import assert from 'node:assert/strict';
import { random } from './lib/random.mjs';

process.env.POSTERN = process.env.POSTERN_FAIL ?? 'build/asan/postern-fail';
process.env.MODE = 'asan'; // patience for a slow program
process.env.ASAN_OPTIONS = 'detect_leaks=1:detect_stack_use_after_return=1:handle_abort=1:exitcode=99';
const { gatewayFor } = await import('../e2e/lib/gateway.mjs');
const { connect, requestBytes } = await import('../e2e/lib/client.mjs');
const { embeddings } = await import('../e2e/lib/bodies.mjs');
const { startWorld, readiness, number } = await import('./lib/world.mjs');
const { failingState } = await import('./lib/failing.mjs');
const { waitFor } = await import('../e2e/lib/wait.mjs');

const REQUESTS = number('FAIL_REQUESTS', 1500);
const WORKERS = 8;
const REFUSALS = [502, 503, 504];
const mine = random('fail');
const CONFIG = {
  limits: { body: '256KB' },
  upstream: { connect: '2s', first_byte: '5s', idle: '5s' },
  gateways: { default: { cache: { ttl: '1h', split_embeddings: true } } },
};

// What a client may ask: the questions of the world, and some of its own.
function plan(world, n) {
  const kind = mine.of(['chat', 'chat', 'stream', 'stream', 'hit', 'hit', 'large', 'upload', 'denied', 'no provider', 'bad header', 'embeddings', 'raw', 'health']);
  if (kind === 'hit') return { ...world.question(mine.of(['chat', 'stream', 'large']), mine.below(6)), isKnown: true };
  if (['embeddings', 'raw', 'health'].includes(kind)) return { kind };
  return { ...world.question(kind, `${n}`), isKnown: true };
}

const LOCAL = {
  embeddings: (n) => ({ path: '/openai/v1/embeddings', body: { model: 'text-embedding-3-small', input: [`same ${n % 3}`, `own ${n}`] } }),
  raw: (n) => ({ path: '/openai/v1/files', body: Buffer.alloc(400_000, 65 + (n % 20)), headers: { 'content-type': 'application/octet-stream' } }),
  health: () => ({ path: '/-/healthz' }),
};

function judge(world, asked, reply, expected) {
  if (REFUSALS.includes(reply.status)) return `refused ${reply.status}`;
  assert.equal(reply.status, expected.status, `${asked.kind}: ${reply.status} ${reply.text.slice(0, 300)}`);
  if (expected.isPassed) assert.ok(world.said.get(asked.text)?.includes(reply.text), `${asked.kind}: an answer that the provider never gave`);
  return reply.header('cf-aig-cache-status') === 'HIT' ? 'right, HIT' : 'right';
}

async function once(gateway, world, n, outcomes) {
  const asked = plan(world, n);
  const note = (what) => (outcomes[what] = (outcomes[what] ?? 0) + 1);
  const options = asked.isKnown ? world.request(asked) : LOCAL[asked.kind](n);
  let c;
  try {
    c = await connect(gateway);
  } catch (e) {
    assert.doesNotMatch(e.message, /not within/);
    return note('no connection');
  }
  try {
    const reply = c.expect(options.body === undefined ? 'GET' : 'POST');
    c.send(requestBytes(options));
    await reply.whole();
    note(judge(world, { ...asked, text: options.text }, reply, asked.isKnown ? options : { status: 200 }));
  } catch (e) {
    if (e.code === 'ERR_ASSERTION') throw e;
    assert.doesNotMatch(e.message, /not within/, `${asked.kind}: a client waits in vain`);
    note('cut');
  } finally {
    c.close();
  }
}

async function load(gateway, world, count) {
  const outcomes = {};
  let next = 0;
  const work = async () => {
    while (next < count) await once(gateway, world, next++, outcomes);
  };
  await Promise.all(Array.from({ length: WORKERS }, work));
  return outcomes;
}

async function start() {
  const world = await startWorld();
  const { answer } = world.provider;
  world.provider.answer = (rq) => {
    if (rq.target.endsWith('/embeddings')) {
      const { input } = JSON.parse(rq.text);
      return rq.json({ ...embeddings(), data: input.map((_, index) => ({ object: 'embedding', index, embedding: [0.5, index] })) });
    }
    return rq.target.endsWith('/files') ? rq.json({ object: 'file', bytes: rq.length }) : answer(rq);
  };
  const failing = failingState();
  const gateway = await gatewayFor(world.provider, { config: CONFIG, env: failing.env });
  return { world, failing, gateway };
}

// Everything that was asked is answered as it should be.
async function assertWorks(gateway, world) {
  const outcomes = await load(gateway, world, 60);
  assert.deepEqual(Object.keys(outcomes).filter((k) => !k.startsWith('right')), [], JSON.stringify(outcomes));
}

function say(t, what, outcomes, failing) {
  const counts = Object.entries(failing.counts()).filter(([, c]) => c.failed > 0).map(([k, c]) => `${k} ${c.failed} of ${c.tried}`);
  t.diagnostic(`${what}: ${Object.entries(outcomes).map(([k, n]) => `${k} ${n}`).join(', ')}; failed so far: ${counts.join(', ')}`);
}

for (const [what, rates] of Object.entries({
  'allocations, one in 1000': { memory: 1000 },
  'allocations, one in 100': { memory: 100 },
  'allocations, one in 20': { memory: 20 },
  'system calls, one in 200': { calls: 200 },
  'system calls, one in 20': { calls: 20 },
  'both, one in 100': { memory: 100, calls: 100 },
})) {
  test(`${what}: no crash, no leak, at worst a refusal or a cut`, { timeout: 600_000 }, async (t) => {
    const { world, failing, gateway } = await start();
    await assertWorks(gateway, world);
    failing.set({ ...rates, seed: mine.below(2 ** 31) });
    const outcomes = await load(gateway, world, REQUESTS);
    failing.set();
    assert.equal(gateway.child.exitCode ?? gateway.child.signalCode, null, `it has ended:\n${gateway.stderr}`);
    say(t, what, outcomes, failing);
    assert.ok(Object.values(failing.counts()).reduce((sum, c) => sum + c.failed, 0) > 0, 'calls did fail');
    assert.equal(world.provider.wireError, undefined, 'the provider had requests only');
    await waitFor(async () => (await readiness(gateway)).startsWith('200'), 'it is ready again', 30_000);
    await assertWorks(gateway, world);
    await gateway.stop();
  });
}
