// `postern logs`: filters, following, export; what is kept of bodies, and that no key is among it: design.md 3.1, 4.3.
import { test, describe, before, beforeEach, after } from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { startProvider } from './lib/provider.mjs';
import { connect, request } from './lib/client.mjs';
import { binary, gatewayFor, postern } from './lib/gateway.mjs';
import * as b from './lib/bodies.mjs';
import { deferred, waitFor, within } from './lib/wait.mjs';

const CHAT = '/openai/v1/chat/completions';
const SECRET = 'sk-proj-PlantedKey0123456789abcdefXYZ';

let provider, gateway;
before(async () => {
  provider = await startProvider();
  gateway = await gatewayFor(provider, {
    config: { gateways: { brief: { log: { payload: 'head' } }, raw: { log: { scrub: false } }, short: { log: { max_payload: '1KB' } } } },
  });
});
beforeEach(() => provider.reset());

let serial = 0;
const fresh = (more) => b.chatRequest(`question ${++serial}`, more);
const ask = (body, options = {}) => request(options.to ?? gateway, { path: CHAT, body, ...options });
const on = (name) => `/v1/acc/${name}/openai/chat/completions`;
const tagged = (tag, more = {}) => ask(fresh(), { headers: { 'cf-aig-metadata': JSON.stringify(tag) }, ...more });
const ids = (records) => records.map((r) => r.id);

describe('filters', () => {
  test('metadata: as pairs, all of them', async () => {
    const [one, two] = [await tagged({ user: 'ann', team: 7 }), await tagged({ user: 'bob', team: 7 })].map((r) => r.header('cf-aig-log-id'));
    assert.deepEqual(ids(await gateway.logs('--metadata', 'team=7')), [two, one]);
    assert.deepEqual(ids(await gateway.logs('--metadata', 'user=ann')), [one]);
    assert.deepEqual(ids(await gateway.logs('--metadata', 'user=bob', '--metadata', 'team=7')), [two]);
    assert.deepEqual(await gateway.logs('--metadata', 'user=7'), []);
    assert.deepEqual(await gateway.logs('--metadata', 'team=ann'), []);
  });

  test('duration, tokens, cached', async () => {
    const body = fresh();
    provider.answer = async (rq) => {
      await new Promise((done) => setTimeout(done, 1000));
      rq.json(b.completion());
    };
    const slow = (await ask(body)).header('cf-aig-log-id');
    const quick = (await ask(body)).header('cf-aig-log-id');
    const both = [quick, slow];
    const found = async (...args) => ids(await gateway.logs('--limit', '1000', ...args)).filter((id) => both.includes(id));
    assert.deepEqual(await found('--min-duration', '990ms'), [slow]);
    assert.deepEqual(await found('--max-duration', '989ms'), [quick]);
    assert.deepEqual(await found('--min-tokens', '29', '--max-tokens', '29'), both);
    assert.deepEqual(await found('--min-tokens', '30'), []);
    assert.deepEqual(await found('--cached'), [quick]);
    assert.deepEqual(await found('--uncached'), [slow]);
  });

  test('wrong ones are one line and exit 1', async () => {
    const r = await postern(['logs', '--data', gateway.data, '--metadata', 'user']);
    assert.deepEqual([r.code, r.stdout, r.stderr], [1, '', "postern: not understood: 'user'; KEY=VALUE, at most four times\n"]);
  });
});

// A `postern logs -f`: its lines as they come.
class Follower {
  constructor(data, ...args) {
    this.text = '';
    this.stderr = '';
    this.exited = deferred();
    this.child = spawn(binary, ['logs', '-f', '--data', data, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.child.stdout.setEncoding('utf8').on('data', (s) => (this.text += s));
    this.child.stderr.setEncoding('utf8').on('data', (s) => (this.stderr += s));
    this.child.on('close', (code, signal) => this.exited.resolve(signal ?? code));
    Follower.all.add(this.child);
  }

  get lines() {
    return this.text.split('\n').slice(0, -1);
  }

  get records() {
    return this.lines.map((line) => JSON.parse(line));
  }

  has(id) {
    return waitFor(() => this.text.includes(id), `the follower shows ${id}`);
  }

  exit() {
    return within(this.exited.promise, 'the follower ends');
  }

  stop() {
    this.child.kill('SIGINT');
    return this.exit();
  }
}
Follower.all = new Set();
after(() => Follower.all.forEach((child) => child.kill('SIGKILL')));

describe('following', () => {
  test('the last ones, oldest first, then each new one as it comes', async (t) => {
    const old = [];
    for (let i = 0; i < 3; i++) old.push((await ask(fresh())).header('cf-aig-log-id'));
    const f = new Follower(gateway.data, '--json', '--limit', '2');
    await f.has(old[2]);
    assert.deepEqual(ids(f.records), old.slice(1));
    const began = performance.now();
    const next = (await ask(fresh())).header('cf-aig-log-id');
    await f.has(next);
    t.diagnostic(`after ${(performance.now() - began).toFixed(0)} ms`); // `has` waits for 10 s, and no longer
    assert.deepEqual(ids(f.records), [...old.slice(1), next]);
    await f.stop();
  });

  test('what ends later than it began is shown when it ends', async () => {
    const f = new Follower(gateway.data, '--json', '--limit', '1');
    await waitFor(() => f.lines.length === 1, 'the first line');
    const c = await connect(gateway);
    const slow = c.request({ path: CHAT, body: fresh() });
    const rq = await provider.next();
    const quick = (await request(gateway, { path: '/openai/v1/models' })).header('cf-aig-log-id');
    await f.has(quick);
    rq.json(b.completion());
    const reply = await slow.whole();
    await f.has(reply.header('cf-aig-log-id')); // its id is the older one
    assert.ok(reply.header('cf-aig-log-id') < quick);
    c.close();
    await f.stop();
  });

  test('filters, a heading, none of before', async () => {
    const f = new Follower(gateway.data, '--limit', '0', '--metadata', 'follow=me');
    await waitFor(() => f.lines.length === 1, 'the heading');
    assert.match(f.lines[0], /^TIME +STATUS +CACHE/);
    await tagged({ follow: 'not me' });
    const id = (await tagged({ follow: 'me' })).header('cf-aig-log-id');
    await f.has(id);
    assert.equal(f.lines.length, 2);
    assert.match(f.lines[1], new RegExp(`^20\\S+ +200 +MISS +openai .*${id}$`));
    await f.stop();
  });

  test('many at once, to several followers: each record once', async () => {
    const followers = [1, 2, 3].map(() => new Follower(gateway.data, '--json', '--limit', '0', '--metadata', 'burst=1'));
    for (const f of followers) await waitFor(async () => f.lines.length > 0 || (await tagged({ burst: 1 }), false), 'it follows');
    const sent = ids(await gateway.logs('--limit', '1000', '--metadata', 'burst=1'));
    const more = (await Promise.all(Array.from({ length: 200 }, () => tagged({ burst: 1 })))).map((r) => r.header('cf-aig-log-id'));
    for (const f of followers) {
      await waitFor(() => more.every((id) => f.text.includes(id)), 'all of them');
      const seen = ids(f.records);
      assert.equal(new Set(seen).size, seen.length);
      assert.ok(seen.every((id) => more.includes(id) || sent.includes(id)));
      await f.stop();
    }
  });

  test('a follower that goes leaves nothing behind; the server serves on', async () => {
    const f = new Follower(gateway.data, '--json', '--limit', '1');
    await waitFor(() => f.lines.length === 1, 'the first line');
    f.child.kill('SIGKILL');
    await f.exit();
    assert.equal((await ask(fresh())).status, 200);
    assert.ok((await gateway.logs('--limit', '1')).length === 1);
  });

  test('its output closed: it ends by itself, though nothing comes', async () => {
    const f = new Follower(gateway.data, '--json', '--limit', '1');
    await waitFor(() => f.lines.length === 1, 'the first line');
    f.child.stdout.destroy();
    assert.ok([0, 'SIGPIPE'].includes(await f.exit()));
  });

  test('the server stops: the last records, then a clean end', async () => {
    const own = await gatewayFor(provider);
    const f = new Follower(own.data, '--json');
    await ask(fresh(), { to: own });
    await waitFor(() => f.lines.length === 1, 'the first line');
    const c = await connect(own);
    const slow = c.request({ path: CHAT, body: fresh() });
    const rq = await provider.next();
    own.signal('SIGTERM');
    rq.json(b.completion());
    const id = (await slow.whole()).header('cf-aig-log-id');
    await own.stop();
    assert.equal(await f.exit(), 0, f.stderr);
    assert.equal(f.stderr, '');
    assert.equal(f.records.at(-1).id, id);
  });

  test('the server dies: it says so', async () => {
    const own = await gatewayFor(provider);
    await ask(fresh(), { to: own });
    const f = new Follower(own.data, '--json');
    await waitFor(() => f.lines.length === 1, 'the first line');
    await own.kill9();
    assert.equal(await f.exit(), 2);
    assert.match(f.stderr, /^postern: the server went away/);
    const r = await postern(['logs', '-f', '--data', own.data]);
    assert.deepEqual([r.code, r.stdout], [1, '']);
    assert.match(r.stderr, /^postern: no server runs on this data directory, so there is nothing to follow; start it, or leave out -f\n$/);
  });
});

// RFC 4180, as strict as it is.
function parseCsv(text) {
  const rows = [];
  let row = [];
  const cell = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)/y;
  while (cell.lastIndex < text.length) {
    const at = cell.lastIndex;
    const m = cell.exec(text);
    assert.ok(m, `not CSV at ${at}: ${JSON.stringify(text.slice(at, at + 60))}`);
    row.push(m[1] !== undefined ? m[1].replaceAll('""', '"') : m[2]);
    if (m[3] === '\r\n') {
      rows.push(row);
      row = [];
    }
  }
  assert.deepEqual(row, []);
  const [names, ...cells] = rows;
  return cells.map((values) => {
    assert.equal(values.length, names.length);
    return Object.fromEntries(values.map((v, i) => [names[i], v]));
  });
}

describe('export', () => {
  const run = async (...args) => {
    const r = await postern(['logs', 'export', '--data', gateway.data, ...args]);
    assert.equal(r.code, 0, r.stderr);
    return r.stdout;
  };

  test('ndjson is what logs --json gives, all of it', async () => {
    for (let i = 0; i < 60; i++) await tagged({ export: 'nd' });
    const lines = (await run('--format', 'ndjson', '--metadata', 'export=nd')).split('\n').filter(Boolean);
    assert.equal(lines.length, 60);
    assert.deepEqual(lines.map((l) => JSON.parse(l)), await gateway.logs('--limit', '1000', '--metadata', 'export=nd'));
  });

  test('csv: a line of names, quotes, and nothing that a spreadsheet would run', async () => {
    const agents = ['=HYPERLINK("http://x","y")', '+1', '-1', '@sum', 'a,"b"', 'plain'];
    for (const agent of agents) await ask(fresh(), { headers: { 'User-Agent': agent, 'cf-aig-metadata': '{"export":"csv","q":"say \\"hi\\", you"}' } });
    const rows = parseCsv(await run('--format', 'csv', '--metadata', 'export=csv')).reverse();
    assert.deepEqual(rows.map((r) => r.user_agent), ['\'=HYPERLINK("http://x","y")', "'+1", "'-1", "'@sum", 'a,"b"', 'plain']);
    const [record] = await gateway.logs(rows[5].id);
    assert.deepEqual(JSON.parse(rows[5].metadata), record.metadata);
    for (const name of ['status_code', 'provider', 'model', 'path', 'tokens_in', 'tokens_out', 'duration_ms', 'created_at', 'cache_status', 'client', 'request_size']) {
      assert.equal(rows[5][name], String(typeof record[name] === 'number' && name.endsWith('_ms') ? record[name].toFixed(3) : record[name]), name);
    }
    assert.equal(rows[5].cost, record.cost === null ? '' : String(record.cost));
    assert.ok(!('request' in rows[5]), 'no bodies');
  });

  test('the same without a server, and errors', async () => {
    const own = await gatewayFor(provider);
    for (let i = 0; i < 5; i++) await ask(fresh(), { to: own });
    const args = ['logs', 'export', '--data', own.data, '--format', 'csv'];
    const live = (await postern(args)).stdout;
    assert.equal(parseCsv(live).length, 5);
    await own.stop();
    assert.equal((await postern(args)).stdout, live);
    const r = await postern([...args.slice(0, 4), '--format', 'xml']);
    assert.deepEqual([r.code, r.stderr], [1, "postern: not understood: 'xml'; ndjson or csv\n"]);
  });
});

// Every byte under the data directory.
function filesOf(dir) {
  return fs.readdirSync(dir, { recursive: true, withFileTypes: true }).filter((e) => e.isFile()).map((e) => path.join(e.parentPath ?? e.path, e.name));
}
const holds = (dir, needle) => filesOf(dir).filter((f) => fs.readFileSync(f).includes(needle));

describe('payloads', () => {
  const bodiesOf = async (reply) => gateway.log(reply);

  test('keys in bodies are not kept: request, answer, stream', async () => {
    provider.answer = (rq) => rq.json(b.completion(`your key ${SECRET} is fine`));
    const json = await bodiesOf(await ask(b.chatRequest(`is ${SECRET} good?\nand Bearer ${SECRET}`, { n: ++serial })));
    assert.equal(JSON.parse(json.request).messages[0].content, 'is *** good?\nand Bearer ***');
    assert.match(JSON.parse(json.response).choices[0].message.content, /^your key \*\*\* is fine$/);
    provider.answer = (rq) => rq.events(b.chatEvents(['it is ', SECRET, ' you see']));
    const stream = await bodiesOf(await ask(fresh({ stream: true })));
    assert.ok(stream.response.includes('data: ') && stream.response.includes('***') && !stream.response.includes('PlantedKey'));
    assert.ok(stream.response.includes('[DONE]'));
  });

  test('the client and the provider see the bytes as they are', async () => {
    const body = JSON.stringify(b.chatRequest(SECRET, { n: ++serial }));
    provider.answer = (rq) => rq.json(b.completion(SECRET));
    const reply = await ask(body);
    assert.equal(provider.last.text, body);
    assert.ok(reply.text.includes(SECRET));
  });

  test('a compressed answer is kept readable, and scrubbed', async () => {
    provider.answer = (rq) => rq.reply(200, { 'Content-Type': 'application/json', 'Content-Encoding': 'gzip' }, gzipSync(JSON.stringify(b.completion(`mine: ${SECRET}`))));
    const record = await bodiesOf(await ask(fresh(), { headers: { 'Accept-Encoding': 'gzip' } }));
    assert.equal(JSON.parse(record.response).choices[0].message.content, 'mine: ***');
  });

  test('no key of a body reaches a file of the log, compressed or not; with scrub: false it does', async () => {
    const own = await gatewayFor(provider, { config: { gateways: { default: { cache: { mode: 'off' } }, raw: { log: { scrub: false } } } } });
    const key = (n) => `sk-proj-${n}Planted0123456789abcdef`;
    await ask(b.chatRequest(key('A')), { to: own });
    provider.answer = (rq) => rq.reply(200, { 'Content-Type': 'application/json', 'Content-Encoding': 'gzip' }, gzipSync(JSON.stringify(b.completion(key('B'))), { level: 0 }));
    await ask(fresh(), { to: own, headers: { 'Accept-Encoding': 'gzip' } });
    provider.answer = (rq) => rq.json({});
    await ask(`a form, ${key('C')}`, { to: own, path: '/openai/v1/files', headers: { 'Content-Type': 'text/plain' } });
    await ask(b.chatRequest(key('D')), { to: own, path: on('raw') }); // the control
    await own.kill9(); // what is in the queue stays there
    for (const n of 'ABC') assert.deepEqual(holds(own.data, key(n)), [], n);
    assert.ok(holds(own.data, key('D')).length > 0, 'the control is found');
  });

  test('head: the first 4 KB of each body, marked', async () => {
    provider.answer = (rq) => rq.json(b.completion('y'.repeat(20_000)));
    const body = JSON.stringify(b.chatRequest('x'.repeat(10_000), { n: ++serial }));
    const reply = await ask(body, { path: on('brief') });
    const record = await bodiesOf(reply);
    assert.equal(record.request, body.slice(0, 4096));
    assert.equal(record.response, reply.text.slice(0, 4096));
    assert.deepEqual([record.request_kept, record.response_kept], [4096, 4096]);
    assert.equal(record.request_size, body.length);
    const shown = (await postern(['logs', '--data', gateway.data, record.id])).stdout;
    assert.ok(shown.includes(`--- request (first 4096 of ${body.length} bytes) ---`), shown.slice(-9000, -8000));
    assert.ok(shown.includes(`--- response (first 4096 of ${reply.text.length} bytes) ---`));
  });

  test('head: a small body whole, a hit refers to it, a key at the edge is gone', async () => {
    const body = fresh();
    await ask(body, { path: on('brief') });
    const hit = await ask(body, { path: on('brief') });
    assert.equal(hit.header('cf-aig-cache-status'), 'HIT');
    const record = await bodiesOf(hit);
    assert.equal(record.request, JSON.stringify(body));
    assert.ok(!('request_kept' in record));
    for (const before of [4070, 4085, 4090]) {
      const text = `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"${'x'.repeat(before - 62)} ${SECRET} ${'x'.repeat(2000)}"}],"n":${++serial}}`;
      const { request: kept } = await bodiesOf(await ask(text, { path: on('brief') }));
      assert.ok(kept.length <= 4096 && kept.length > 4000, `${kept.length}`);
      assert.ok(!kept.includes('sk-'), kept.slice(-60));
    }
  });

  test('max_payload cuts, marked; an upload too', async () => {
    const upload = await bodiesOf(await request(gateway, { method: 'POST', path: '/v1/acc/short/openai/files', body: 'z'.repeat(5000), headers: { 'Content-Type': 'text/plain' } }));
    assert.equal(upload.request, 'z'.repeat(1024));
    assert.equal(upload.request_kept, 1024);
    assert.equal(upload.request_size, 5000);
  });

  test('a picture stays as it is', async () => {
    const png = Buffer.concat([Buffer.from('\x89PNG\r\n\x1a\n\0\0\0\rIHDR', 'latin1'), Buffer.alloc(500, 7)]);
    provider.answer = (rq) => rq.reply(200, { 'Content-Type': 'image/png' }, png);
    const reply = await request(gateway, { path: '/openai/v1/files/f/content' });
    const shown = (await postern(['logs', '--data', gateway.data, reply.header('cf-aig-log-id')])).stdout;
    assert.ok(shown.includes(`--- response (${png.length} bytes) ---`));
  });
});
