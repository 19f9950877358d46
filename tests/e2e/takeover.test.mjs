// A server takes the place of another one: postern serve --takeover; design.md 3.1, 4.4.
import { test, describe, before, beforeEach } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { startProvider, freePort } from './lib/provider.mjs';
import { connect, request } from './lib/client.mjs';
import { gatewayFor, postern, tempDirectory } from './lib/gateway.mjs';
import { makeCertificates } from './lib/certificates.mjs';
import { chatRequest, completion } from './lib/bodies.mjs';
import { talk, said } from './lib/control.mjs';
import { startLoad } from './lib/load.mjs';
import { deferred, waitFor, within } from './lib/wait.mjs';

const CHAT = '/openai/v1/chat/completions';
const TAKEOVER = ['--takeover'];

let provider;
before(async () => {
  provider = await startProvider();
});
beforeEach(() => provider.reset());

const takeOver = (gateway, more = {}) => gateway.restart({ args: TAKEOVER, ...more });

// A stream that goes on until it is ended: { reply, send, end }.
async function openStream(gateway, name) {
  const c = await connect(gateway);
  const reply = c.request({ path: CHAT, body: chatRequest(name, { stream: true }) });
  const rq = await provider.next();
  const s = rq.stream();
  s.send(`data: {"begun": "${name}"}\n\n`);
  await reply.has('begun');
  return {
    c, reply, rq,
    send: (text) => s.send(`data: ${JSON.stringify(text)}\n\n`),
    end: async () => {
      s.send('data: [DONE]\n\n');
      s.end();
      await reply.whole();
      assert.match(reply.text, /\[DONE\]\n\n$/);
      c.close();
    },
  };
}

describe('under load', () => {
  test('twenty takeovers: no connection refused, no request failed, no stream cut, each record once', { timeout: 200_000 }, async () => {
    const requests = new Set();
    let gateway = await gatewayFor(provider);
    const first = gateway;
    const streams = [];
    const wanted = new Map(); // a stream's request, by its prompt
    provider.answer = (rq) => {
      const prompt = JSON.parse(rq.text).messages[0].content;
      if (wanted.has(prompt)) wanted.get(prompt).resolve(rq);
      else rq.json(completion());
    };
    const begin = async (name) => {
      const asked = deferred();
      wanted.set(name, asked);
      const c = await connect(gateway);
      const reply = c.request({ path: CHAT, body: chatRequest(name, { stream: true }) });
      const s = (await within(asked.promise, 'the stream at the provider')).stream();
      s.send('data: {"n": 0}\n\n');
      await reply.has('"n": 0');
      return { c, reply, s };
    };
    const end = async ({ c, reply, s }) => {
      s.send('data: [DONE]\n\n');
      s.end();
      await reply.whole();
      c.close();
      requests.add(reply.header('cf-aig-log-id'));
    };
    const load = startLoad(first, {
      check: (reply) => {
        assert.deepEqual(reply.json, completion());
        requests.add(reply.header('cf-aig-log-id'));
      },
    });
    const old = [];
    for (let i = 0; i < 20; i++) {
      streams.push(await begin(`stream ${i}`));
      const before = load.done;
      old.push(gateway);
      gateway = await takeOver(gateway);
      assert.equal(gateway.port, first.port);
      // each event reaches its client at once, whichever server has it
      for (const { s, reply } of streams.slice(-5)) {
        s.send(`data: {"n": ${i + 1}}\n\n`);
        await reply.has(`"n": ${i + 1}}`);
      }
      if (i >= 6) await end(streams[i - 6]);
      await waitFor(() => load.done > before + 20, 'the load goes on');
    }
    const { done, sent, failures, connections } = await load.stop();
    for (const stream of streams.slice(14)) await end(stream);
    for (const g of old) assert.deepEqual(await g.exit(), { code: 0, signal: null }, g.stderr);
    assert.deepEqual(failures, []);
    assert.equal(done, sent);
    assert.ok(connections > 100);
    const records = await gateway.logs('--limit', '1000000');
    assert.equal(records.length, sent + 20);
    assert.equal(new Set(records.map((r) => r.id)).size, sent + 20);
    assert.deepEqual(new Set(records.map((r) => r.id)), requests);
    assert.ok(records.every((r) => r.success && r.status_code === 200));
    await gateway.stop();
  });
});

describe('what the new server has', () => {
  test('the cache, the log, the control socket; an old stream is logged by it', async () => {
    const old = await gatewayFor(provider);
    assert.equal((await request(old, { path: CHAT, body: chatRequest('kept') })).header('cf-aig-cache-status'), 'MISS');
    const stream = await openStream(old, 'over it');
    const gateway = await takeOver(old);
    assert.equal((await request(gateway, { path: CHAT, body: chatRequest('kept') })).header('cf-aig-cache-status'), 'HIT');
    assert.equal((await gateway.logs()).length, 2);
    await stream.end();
    const record = await gateway.log(stream.reply);
    assert.deepEqual([record.success, record.truncated], [true, false]);
    assert.deepEqual(await old.exit(), { code: 0, signal: null });
    assert.match(old.stderr, /takeover: another server has the sockets/);
    assert.equal((await gateway.logs()).length, 3);
    const r = await postern(['cache', 'stats', '--data', gateway.data]);
    assert.match(r.stdout, /entries +1\n/);
    await gateway.stop();
    assert.ok(!fs.existsSync(path.join(gateway.data, 'control.sock')));
    assert.equal((await gateway.logs()).length, 3); // without a server
  });

  test('settings of its own: an address more, an address less', async () => {
    const [one, two, three] = [await freePort(), await freePort(), await freePort()].map((p) => `127.0.0.1:${p}`);
    const old = await gatewayFor(provider, { listen: [one, two] });
    const gateway = await takeOver(old, { listen: [two, three] });
    const url = (a) => `http://${a}`;
    assert.deepEqual(gateway.urls, [url(two), url(three)]);
    assert.equal((await request({ port: Number(three.split(':')[1]) }, { path: '/-/readyz' })).text, 'ready\n');
    await old.exit();
    await assert.rejects(connect({ port: Number(one.split(':')[1]) }), /ECONNREFUSED/);
    await gateway.stop();
  });

  test('a Unix socket keeps its file until the last server goes', async () => {
    const at = path.join(tempDirectory(), 's');
    const old = await gatewayFor(provider, { listen: [`unix:${at}`] });
    const gateway = await takeOver(old);
    await old.exit();
    assert.equal((await request({ path: at }, { path: '/-/readyz' })).text, 'ready\n');
    await gateway.stop();
    assert.ok(!fs.existsSync(at));
  });

  test('a TLS handshake that had begun is finished by the old one', async () => {
    const pki = makeCertificates();
    const old = await gatewayFor(provider, { config: { listen: [{ address: '127.0.0.1:0', tls: { certificate: pki.leaf.cert, key: pki.leaf.key } }] } });
    const raw = net.connect(old.port, '127.0.0.1');
    await new Promise((resolve) => raw.once('connect', resolve));
    await request(old, { path: '/-/healthz', tls: { ca: fs.readFileSync(pki.ca) } }); // so it was accepted too
    const gateway = await takeOver(old);
    const c = await connect(old, { tls: { ca: fs.readFileSync(pki.ca), socket: raw } });
    const reply = await c.request({ path: CHAT, body: chatRequest('late') }).whole();
    assert.equal(reply.status, 200);
    assert.equal(reply.header('connection'), 'close');
    c.close();
    assert.equal((await old.exit()).code, 0);
    assert.equal((await gateway.log(reply)).success, true);
    await gateway.stop();
  });

  test('where none runs it is a plain start', async () => {
    const gateway = await gatewayFor(provider, { args: TAKEOVER });
    assert.equal((await request(gateway, { path: CHAT, body: chatRequest('alone') })).status, 200);
    await gateway.stop();
    const again = await takeOver(gateway);
    assert.equal((await again.logs()).length, 1);
    await again.stop();
  });
});

describe('the old server', () => {
  test('answers on idle connections once more, and says that they end', async () => {
    const old = await gatewayFor(provider);
    const c = await connect(old);
    await c.request({ path: '/-/healthz' }).whole();
    const gateway = await takeOver(old);
    const reply = await c.request({ path: CHAT, body: chatRequest('once more') }).whole();
    assert.equal(reply.status, 200);
    assert.equal(reply.header('connection'), 'close');
    await c.closed();
    await old.exit();
    assert.equal((await gateway.log(reply)).success, true);
    await gateway.stop();
  });

  for (const [limit, ends] of [['20s', true], ['300ms', false]]) {
    test(`limits.takeover_drain: ${limit}: a stream ${ends ? 'comes to its end' : 'that takes longer is cut, visibly, and recorded'}`, async () => {
      const old = await gatewayFor(provider, { config: { limits: { takeover_drain: limit, drain: '0' } } });
      const stream = await openStream(old, 'long');
      const gateway = await takeOver(old);
      if (ends) await stream.end();
      else await stream.reply.cut();
      assert.equal((await old.exit()).code, 0);
      const record = await gateway.log(stream.reply);
      assert.deepEqual([record.success, record.truncated], [ends, !ends]);
      await gateway.stop();
    });
  }

  test('SIGTERM hurries it', async () => {
    const old = await gatewayFor(provider, { config: { limits: { drain: '200ms' } } });
    const stream = await openStream(old, 'hurried');
    const gateway = await takeOver(old);
    old.signal('SIGTERM');
    await stream.reply.cut();
    await old.stop();
    assert.equal((await gateway.log(stream.reply)).truncated, true);
    await gateway.stop();
  });

  test('kill -9 while it finishes: what it had answered is in the log', async () => {
    const old = await gatewayFor(provider);
    const [one, two] = [await openStream(old, 'one'), await openStream(old, 'two')];
    const gateway = await takeOver(old);
    await one.end();
    await old.kill9();
    await two.reply.cut();
    assert.equal((await gateway.log(one.reply)).success, true);
    assert.equal((await request(gateway, { path: CHAT, body: chatRequest('after it') })).status, 200);
    assert.equal((await gateway.logs()).length, 2);
    await gateway.stop();
  });

  test('kill -9 of the new one meanwhile: the next start has the records of both', async () => {
    const old = await gatewayFor(provider);
    const stream = await openStream(old, 'survives');
    const gateway = await takeOver(old);
    const reply = await request(gateway, { path: CHAT, body: chatRequest('answered') });
    await gateway.kill9();
    const next = await gateway.restart({ args: [] });
    await stream.end();
    assert.equal((await old.exit()).code, 0);
    assert.equal((await next.log(stream.reply)).success, true);
    assert.equal((await next.log(reply)).success, true);
    await request(next, { path: CHAT, body: chatRequest('one more') });
    assert.equal((await next.logs()).length, 3);
    await next.stop();
    assert.equal((await next.logs()).length, 3);
  });
});

describe('a takeover that comes to nothing', () => {
  // A refusal says them.
  const formsOf = async (gateway) => (await said(await talk(gateway, 'takeover'))).match(/\((queue-\S+)\)/)[1];
  const works = async (gateway) => {
    assert.equal((await request(gateway, { path: CHAT, body: chatRequest(`still there ${Math.random()}`) })).status, 200);
    assert.match((await postern(['cache', 'stats', '--data', gateway.data])).stdout, /entries/);
  };

  test('settings that are wrong, or an address in use: the old one goes on', async () => {
    const taken = net.createServer().listen(0, '127.0.0.1');
    const old = await gatewayFor(provider);
    const c = await connect(old);
    for (const args of [['--set', 'nonsense=1'], ['--listen', `127.0.0.1:${taken.address().port}`]]) {
      const r = await postern(['serve', '--takeover', '--data', old.data, ...args]);
      assert.notEqual(r.code, 0);
      assert.match(r.stderr, /^postern: .*(nonsense|address already in use)/);
      await works(old);
      await c.request({ path: '/-/readyz' }).whole();
    }
    taken.close();
    assert.equal(old.stderr, '');
    const gateway = await takeOver(old);
    await works(gateway);
    await gateway.stop();
  });

  test('a server of another form, one that asks nothing sensible', async () => {
    const old = await gatewayFor(provider);
    for (const words of [['takeover'], ['takeover', '1'], ['takeover', '1', 'queue-0'], ['takeover', '0', 'queue-2,log-2,cache-3']]) {
      assert.match(await said(await talk(old, ...words)), /keeps its data in another form/);
    }
    await works(old);
    await old.stop();
  });

  test('only one at a time; one that goes away makes room', async () => {
    const old = await gatewayFor(provider);
    const first = await talk(old, 'takeover', '1', await formsOf(old));
    await new Promise((resolve) => first.once('data', resolve));
    const r = await postern(['serve', '--takeover', '--data', old.data, '--listen', '127.0.0.1:0']);
    assert.equal(r.code, 2);
    assert.match(r.stderr, /another server is taking over already/);
    first.destroy();
    await works(old);
    const gateway = await waitFor(() => takeOver(old).catch(() => null), 'the place is free again');
    await works(gateway);
    await gateway.stop();
  });

  test('one that says it is ready and dies: the old one stays, or ends in order', async () => {
    const old = await gatewayFor(provider);
    const socket = await talk(old, 'takeover', '1', await formsOf(old));
    await new Promise((resolve) => socket.once('data', resolve));
    const follower = await talk(old, 'logs', '-f'); // holds it up until it has read its end
    socket.write('r');
    socket.destroy();
    follower.resume();
    await waitFor(() => /takeover: .*(goes on|start one)/.test(old.stderr), 'what became of it');
    if (/goes on/.test(old.stderr)) await waitFor(() => works(old).then(() => true, () => false), 'it goes on');
    await old.stop();
  });
});
