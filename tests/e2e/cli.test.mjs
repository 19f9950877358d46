// The command line, the start, the end, and the pages that say how the server is: design.md 3.1, 3.2, 3.3.
import { test, describe, before, beforeEach } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { startProvider, freePort } from './lib/provider.mjs';
import { connect, request } from './lib/client.mjs';
import { gatewayFor, startGateway, postern, tempDirectory } from './lib/gateway.mjs';
import { chatRequest, chatEvents, completion } from './lib/bodies.mjs';
import { talk, said } from './lib/control.mjs';
import { startLoad } from './lib/load.mjs';
import { waitFor, within } from './lib/wait.mjs';

const ONE_LINE = /^postern: [^\n]+\n$/;
const CHAT = '/openai/v1/chat/completions';

let provider;
before(async () => {
  provider = await startProvider();
});
beforeEach(() => provider.reset());

// A settings file with that text, and its path.
function file(text, name = 'postern.yaml') {
  const f = path.join(tempDirectory(), name);
  fs.writeFileSync(f, text);
  return f;
}
const check = (text, more = [], options) => postern(['check', '--config', file(text), ...more], options);

describe('commands', () => {
  let data; // of a server that ran once
  before(async () => {
    const gateway = await startGateway();
    await gateway.stop();
    data = gateway.data;
  });

  test('version', async () => {
    for (const args of [['version'], ['--version']]) {
      const r = await postern(args);
      assert.deepEqual([r.code, r.stderr], [0, '']);
      assert.match(r.stdout, /^postern \d+\.\d+\.\d+\S*\n$/);
    }
  });

  test('help, and help for each command', async () => {
    const all = await postern(['help']);
    assert.equal(all.code, 0);
    for (const command of ['serve', 'check', 'logs', 'cache', 'version', 'help']) {
      assert.ok(all.stdout.includes(command), command);
      const one = await postern(['help', command]);
      assert.equal(one.code, 0, command);
      assert.ok(one.stdout.includes(command));
      const flag = await postern([command, '--help']);
      assert.equal(flag.code, 0, command);
      assert.equal(flag.stderr, '');
    }
    assert.equal((await postern(['--help'])).code, 0);
  });

  const wrong = {
    'an unknown command': ['launch'],
    'an unknown option': ['serve', '--liste', ':1'],
    'an option without its value': ['serve', '--config'],
    'help for an unknown command': ['help', 'launch'],
    'a word too many': ['version', 'now'],
    'an unknown cache command': ['cache', 'fill', '--data'],
    'no cache command': ['cache', '--data'],
    'a --set that is none': ['check', '--set', 'listen'],
    'a --set of an unknown key': ['check', '--set', 'listn=[]'],
    'a --set of a wrong type': ['check', '--set', 'limits.headers=many'],
  };
  for (const [what, args] of Object.entries(wrong)) {
    test(`${what}: one line on standard error, and 1`, async () => {
      const r = await postern(args.at(-1) === '--data' ? [...args, data] : args);
      assert.equal(r.code, 1, r.stdout + r.stderr);
      assert.equal(r.stdout, '');
      assert.match(r.stderr, ONE_LINE);
    });
  }

  // Each of these becomes two words on its way.
  const unseal = (n, of) => postern(['logs', '--data', of, ...Array(n).fill('--unseal-env=KEY')], { env: { KEY: 'sk-many' } });
  for (const [where, start] of [['without a server', () => ({ data })], ['with one', () => gatewayFor(provider)]]) {
    test(`64 words for a command ${where}; not 65`, async () => {
      const gateway = await start();
      const r = await unseal(64, gateway.data);
      assert.deepEqual([r.code, r.stderr], [0, '']);
      const over = await unseal(65, gateway.data);
      assert.equal(over.code, 1);
      assert.match(over.stderr, /^postern: more than 64 .*\n$/);
      await gateway.stop?.();
    });
  }

  test('the socket: a command that is cut does less than it says, so it does nothing', async () => {
    const gateway = await gatewayFor(provider);
    const purge = async (words) => said(await talk(gateway, 'cache', 'purge', ...Array(words - 2).fill('--model=m')));
    await request(gateway, { path: CHAT, body: chatRequest('kept') });
    assert.match(await purge(130), /0 entries/);
    assert.match(await purge(131), /the command has too many words/);
    assert.match(await said(await talk(gateway, 'cache', 'purge', '--model', 'm'.repeat(17_000))), /the command is too long/);
    const again = await request(gateway, { path: CHAT, body: chatRequest('kept') });
    assert.equal(again.header('cf-aig-cache-status'), 'HIT');
    await gateway.stop();
  });
});

describe('settings', () => {
  // text, where, what the line must tell
  const errors = [
    ['cach:\n  max_size: 1GB\n', '1:1', /cach.*cache/],
    ['limits:\n  headers: 10\n  hedaer_size: 1KB\n', '3:3', /hedaer_size.*header_size/],
    ['limits: {headers: [1]}\n', '1:19', /headers/],
    ['limits:\n  header_timeout: soon\n', '2:19', /header_timeout/],
    ['limits:\n  header_timeout: 10\n', '2:19', /header_timeout/],
    ['limits:\n  header_size: 10 parsecs\n', '2:16', /header_size/],
    ['limits:\n  headers: 0\n', '2:12', /headers/],
    ['listen: ["localhost"]\n', '1:10', /port/],
    ['listen: [{address: "127.0.0.1:0", tls: {certificate: /x.pem}}]\n', '1:', /key/],
    ['gateways:\n  default:\n    cache: {mode: some}\n', '3:19', /all/],
    ['gateways:\n  default:\n    cache: {scope: everyone}\n', '3:20', /credential/],
    ['gateways:\n  default:\n    authentication: true\n', '3:21', /authentication/],
    ['providers:\n  corp: {base_url: "ftp://x"}\n', '2:20', /http/],
    ['providers:\n  corp: {base_url: "http://u:p@x"}\n', '2:20', /base_url/],
    ['providers:\n  corp: {base_url: "https://x", dialect: klingon}\n', '2:42', /openai/],
    ['providers:\n  v1: {base_url: "https://x"}\n', '2:3', /v1/],
    ['data: ${NO_SUCH_VARIABLE}\n', '1:7', /NO_SUCH_VARIABLE/],
    ['limits: {headers: 1, headers: 2}\n', '1:22', /headers/],
    ['limits:\n\theaders: 1\n', '2:1', /./],
    ['limits: {headers: 1\n', '2:1', /./],
    ['- a\n- b\n', '1:1', /./],
    ['admin: {listen: [":9999"]}\n', '1:', /listen/],
  ];
  for (const [text, where, what] of errors) {
    test(`${JSON.stringify(text)}: FILE:${where}`, async () => {
      const f = file(text);
      const r = await postern(['check', '--config', f]);
      assert.equal(r.code, 1, r.stdout);
      assert.match(r.stderr, ONE_LINE);
      assert.ok(r.stderr.includes(`${f}:${where}`), r.stderr);
      const place = r.stderr.slice(r.stderr.indexOf(f) + f.length);
      assert.match(place, /^:\d+:\d+: /);
      assert.match(place, what);
    });
  }

  test('scope: shared where others reach a listener', async () => {
    const r = await check('listen: ["0.0.0.0:0"]\ngateways:\n  default:\n    cache: {scope: shared}\n');
    assert.equal(r.code, 1);
    assert.match(r.stderr, /:4:20: .*shared/);
  });

  test('a file that is not there: which', async () => {
    const r = await postern(['check', '--config', '/nonexistent/postern.yaml']);
    assert.ok(r.code === 1 || r.code === 2);
    assert.match(r.stderr, ONE_LINE);
    assert.ok(r.stderr.includes('/nonexistent/postern.yaml'));
  });

  test('serve does not start with what check refuses', async () => {
    await assert.rejects(startGateway({ config: 'cach: {}\n' }), /ended with 1 before[^]*:1:1: .*cach/);
  });

  test('check prints what is in effect, and that loads again', async () => {
    const r = await check('limits: {headers: 42}\nproviders: {corp: {base_url: "https://llm.corp.example/v1"}}\n', ['--set', 'gateways.gw.cache.ttl=10m']);
    assert.equal(r.code, 0, r.stderr);
    assert.equal(r.stderr, '');
    assert.match(r.stdout, /headers: 42\b/);
    assert.match(r.stdout, /"?corp"?:\n +base_url: "?https:\/\/llm\.corp\.example\/v1/);
    assert.match(r.stdout, /ttl: 10m/);
    const again = await check(r.stdout);
    assert.equal(again.code, 0, again.stderr);
    assert.equal(again.stdout, r.stdout);
  });

  test('what is not in this version says so, and an error about a secret does not tell it', async () => {
    const secret = 'tok-3f1c9a7e55d04b21';
    for (const r of [await check(`admin: {token: ${secret}}\n`), await check('admin: {token: "${TOK}"}\n', [], { env: { TOK: secret } }), await check('{}\n', [], { env: { POSTERN_ADMIN_TOKEN: secret } }), await check('{}\n', ['--set', `admin.token=${secret}`])]) {
      assert.equal(r.code, 1, r.stdout);
      assert.match(r.stderr, ONE_LINE);
      assert.match(r.stderr, /admin\.token is not in this version/);
      assert.ok(!(r.stdout + r.stderr).includes(secret));
    }
  });

  test('check --schema is a JSON Schema of what check takes', async () => {
    const r = await postern(['check', '--schema']);
    assert.equal(r.code, 0);
    const schema = JSON.parse(r.stdout);
    assert.match(schema.$schema, /2020-12/);
    assert.equal(schema.additionalProperties, false);
    for (const key of ['listen', 'data', 'limits', 'upstream', 'cache', 'log', 'gateways', 'providers']) assert.ok(schema.properties[key], key);
    assert.ok(schema.properties.limits.properties.header_size);
  });

  const headersIn = async (args, env) => Number((await postern(['check', ...args], { env })).stdout.match(/\bheaders: (\d+)/)[1]);
  test('what is said later wins: defaults, file, environment, --set', async () => {
    const f = file('limits: {headers: 11}\ndata: /of/from-file\n');
    assert.equal(await headersIn([]), 100);
    assert.equal(await headersIn(['--config', f]), 11);
    assert.equal(await headersIn([], { POSTERN_CONFIG: f }), 11);
    assert.equal(await headersIn(['--config', f, '--set', 'limits.headers=12']), 12);
    assert.equal(await headersIn(['--config', f, '--set', 'limits.headers=12', '--set', 'limits.headers=13']), 13);
    const data = async (args, env) => (await postern(['check', ...args], { env: { HOME: '/of/home', ...env } })).stdout.match(/^data: "?([^"\n]+)/m)[1];
    assert.equal(await data(['--config', f]), '/of/from-file');
    assert.equal(await data(['--config', f], { POSTERN_DATA: '/of/from-env' }), '/of/from-env');
    assert.equal(await data(['--config', f, '--set', 'data=/of/from-set'], { POSTERN_DATA: '/of/from-env' }), '/of/from-set');
    assert.equal(await data(['--config', f, '--set', 'data=/of/from-set', '--data', '/of/from-flag'], { POSTERN_DATA: '/of/from-env' }), '/of/from-flag');
    assert.equal(await data([]), '/of/home/.local/state/postern');
    assert.equal(await data([], { XDG_STATE_HOME: '/of/xdg' }), '/of/xdg/postern');
    assert.equal(await data([], { XDG_STATE_HOME: '/of/xdg', STATE_DIRECTORY: '/of/systemd' }), '/of/systemd');
  });

  test('the environment in values, with defaults', async () => {
    const text = 'limits: {headers: "${N:-21}"}\ndata: "/of/${A}-${B:-b}"\n';
    const r = await check(text, [], { env: { A: 'a' } });
    assert.equal(r.code, 0, r.stderr);
    assert.match(r.stdout, /headers: 21\b/);
    assert.match(r.stdout, /\/of\/a-b/);
  });

  test('POSTERN_LISTEN wins over the file, --listen over both', async () => {
    const [inFile, inEnv, inFlag] = [await freePort(), await freePort(), await freePort()];
    const config = `listen: ["127.0.0.1:${inFile}"]\n`;
    const env = { POSTERN_LISTEN: `127.0.0.1:${inEnv}` };
    const ports = [];
    for (const options of [{ listen: [], listeners: 1 }, { listen: [], listeners: 1, env }, { listen: `127.0.0.1:${inFlag}`, env }]) {
      const gateway = await startGateway({ config, ...options });
      ports.push(gateway.port);
      await gateway.stop();
    }
    assert.deepEqual(ports, [inFile, inEnv, inFlag]);
  });

  // what only the start of a server would otherwise find
  const untenable = {
    'a provider of one\'s own without base_url': ['providers: {corp: {dialect: openai}}\n', /corp.*base_url/],
    'a host that only some read as an address': ['providers: {corp: {base_url: "http://127.1/v1"}}\n', /corp.*base_url/],
    'a CA file that is not there': ['providers: {corp: {base_url: "https://llm.example", ca: /nonexistent/ca.pem}}\n', /nonexistent\/ca\.pem/],
  };
  for (const [what, [text, says]] of Object.entries(untenable)) {
    test(`check refuses ${what}, as serve does, both with 1`, async () => {
      await assert.rejects(startGateway({ config: text }), (e) => says.test(e.message) && /ended with 1 before/.test(e.message));
      const r = await check(text);
      assert.equal(r.code, 1, r.stdout);
      assert.match(r.stderr, ONE_LINE);
      assert.match(r.stderr, says);
    });
  }
});

describe('a start', () => {
  test('prints where it listens, what it caches, and the lines to paste', async () => {
    const gateway = await startGateway({ set: { 'providers.openai.base_url': `${provider.url}/v1` } });
    await waitFor(() => gateway.stdout.includes('export'), 'the lines to paste');
    const lines = gateway.stdout.split('\n');
    assert.equal(lines[0], `listening http://127.0.0.1:${gateway.port}`);
    assert.equal(lines[1], 'caching: all answers, 1h, per key');
    assert.ok(gateway.stdout.includes(`export OPENAI_BASE_URL=http://127.0.0.1:${gateway.port}/openai ANTHROPIC_BASE_URL=http://127.0.0.1:${gateway.port}/anthropic\n`), gateway.stdout);
    assert.equal((await request(gateway, { path: CHAT, body: chatRequest() })).status, 200, '--set names a provider');
    await gateway.stop();
  });

  test('what it caches is what is set', async () => {
    const gateway = await startGateway({ set: { 'gateways.default.cache.mode': 'deterministic', 'gateways.default.cache.ttl': '30m', 'gateways.default.cache.scope': 'shared' } });
    assert.match(gateway.stdout, /^caching: deterministic answers, 30m, shared/m);
    await gateway.stop();
  });

  test('serve is the default command', async () => {
    const gateway = await startGateway({ command: null });
    assert.equal((await request(gateway, { path: '/-/healthz' })).status, 200);
    await gateway.stop();
  });

  test('--set makes a gateway, and several listeners are one server', async () => {
    const gateway = await gatewayFor(provider, { listen: ['127.0.0.1:0', '[::1]:0'], set: { 'gateways.gw.cache.ttl': '10m' } });
    assert.match(gateway.urls[1], /^http:\/\/\[::1\]:\d+$/);
    const p = '/v1/me/gw/openai/chat/completions';
    assert.equal((await request(gateway, { path: p, body: chatRequest() })).header('cf-aig-cache-status'), 'MISS');
    assert.equal((await request(gateway, { path: p, body: chatRequest() })).header('cf-aig-cache-status'), 'HIT');
    await gateway.stop();
  });

  test('a second server on the same data directory is refused, the first one undisturbed', async () => {
    const gateway = await gatewayFor(provider);
    await assert.rejects(startGateway({ data: gateway.data }), (e) => {
      assert.match(e.message, /ended with 2 before/);
      assert.match(e.message, /\npostern: [^\n]+\n$/);
      assert.ok(e.message.includes(gateway.data));
      return true;
    });
    assert.equal((await request(gateway, { path: CHAT, body: chatRequest() })).status, 200);
    assert.equal((await gateway.logs()).length, 1);
    await gateway.stop();
  });

  test('after kill -9 the directory is free', async () => {
    const gateway = await gatewayFor(provider);
    await gateway.kill9();
    const again = await gateway.restart();
    await again.stop();
  });

  test('a port in use: which, and 2', async () => {
    await assert.rejects(startGateway({ listen: `127.0.0.1:${provider.port}` }), (e) => {
      assert.match(e.message, /ended with 2 before/);
      assert.ok(e.message.split('\n').at(-2).includes(`127.0.0.1:${provider.port}`), e.message);
      return true;
    });
  });

  test('a data directory that cannot be: which, and 2', async () => {
    const f = file('not a directory');
    const r = await postern(['serve', '--listen', '127.0.0.1:0', '--data', path.join(f, 'data')]);
    assert.equal(r.code, 2, r.stderr);
    assert.match(r.stderr, ONE_LINE);
    assert.ok(r.stderr.includes(f));
  });

  test('a directory of another version or another program is not touched', async () => {
    const d = tempDirectory();
    fs.writeFileSync(path.join(d, 'precious.txt'), 'mine');
    const gateway = await startGateway({ data: d }).catch(() => null);
    await gateway?.stop();
    assert.equal(fs.readFileSync(path.join(d, 'precious.txt'), 'utf8'), 'mine');
  });
});

describe('the end', () => {
  test('SIGTERM: no new connection, a running stream comes to its end, exit 0', async () => {
    const gateway = await gatewayFor(provider);
    const c = await connect(gateway);
    const idle = await connect(gateway);
    await idle.request({ path: '/-/healthz' }).whole();
    const reply = c.request({ path: CHAT, body: chatRequest('drain', { stream: true }) });
    const rq = await provider.next();
    const s = rq.stream();
    const events = chatEvents();
    s.send(events[0]);
    await reply.has(events[0]);
    gateway.signal('SIGTERM');
    await idle.closed();
    await waitFor(() => connect(gateway).then((x) => x.close(), () => true), 'no new connections');
    for (const e of events.slice(1)) {
      s.send(e);
      await reply.has(e);
    }
    s.end();
    await reply.whole();
    assert.equal(reply.text, events.join(''));
    await c.closed(3000); // not only when the drain's time is up
    await gateway.stop();
    assert.equal((await gateway.log(reply)).success, true);
  });

  test('SIGTERM: a request that was being sent is answered, and told that the connection ends', async () => {
    const gateway = await gatewayFor(provider);
    const body = JSON.stringify(chatRequest('late'));
    const c = await connect(gateway);
    c.send(`POST ${CHAT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: ${body.length}\r\n\r\n`);
    const reply = c.expect('POST');
    await new Promise((resolve) => (reply.onInformational = resolve));
    gateway.signal('SIGTERM');
    await waitFor(() => connect(gateway).then((x) => x.close(), () => true), 'no new connections');
    c.send(body);
    await reply.whole();
    assert.equal(reply.status, 200);
    assert.equal(reply.header('connection'), 'close');
    await gateway.stop();
  });

  test('SIGTERM: what does not end within limits.drain is cut, visibly, and recorded', async () => {
    const gateway = await gatewayFor(provider, { config: { limits: { drain: '200ms' } } });
    const c = await connect(gateway);
    const reply = c.request({ path: CHAT, body: chatRequest('too long', { stream: true }) });
    const rq = await provider.next();
    rq.stream().send(': begun\n\n');
    await reply.has('begun');
    gateway.signal('SIGTERM');
    await reply.cut();
    await rq.aborted();
    await gateway.stop();
    const record = await gateway.log(reply);
    assert.equal(record.truncated, true);
    assert.equal(record.success, false);
  });

  test('SIGINT ends it too; a connection that only waits does not hold it up', async () => {
    const gateway = await gatewayFor(provider);
    const c = await connect(gateway);
    gateway.signal('SIGINT');
    assert.deepEqual(await gateway.exit(), { code: 0, signal: null });
    await c.closed();
    await gateway.stop();
  });

  test('half a head does not hold it up', async () => {
    const gateway = await gatewayFor(provider, { config: { limits: { drain: '300ms' } } });
    const c = await connect(gateway);
    c.send('GET /openai/v1/mod');
    await request(gateway, { path: '/-/healthz' });
    gateway.signal('SIGTERM');
    assert.equal((await gateway.exit(5000)).code, 0);
    await c.closed();
    await gateway.stop();
  });

  test('a start right after an end works, twenty times', async () => {
    let gateway = await gatewayFor(provider);
    for (let i = 0; i < 20; i++) {
      assert.equal((await request(gateway, { path: CHAT, body: chatRequest('again') })).header('cf-aig-cache-status'), i ? 'HIT' : 'MISS');
      await gateway.stop();
      gateway = await gateway.restart();
    }
    await gateway.stop();
  });
});

describe('SIGHUP', () => {
  const settings = (ttl, extra = '') => `providers: {openai: {base_url: "${provider.url}/v1"}}\ngateways: {default: {cache: {ttl: ${ttl}}}}\n${extra}`;

  test('reads the settings again; what is wrong changes nothing; nothing is dropped', async () => {
    const gateway = await startGateway({ config: settings('1h') });
    const f = gateway.args[gateway.args.indexOf('--config') + 1];
    const verdict = async () => (await request(gateway, { path: CHAT, body: chatRequest(`hup ${Math.random()}`) })).header('cf-aig-cache-status');
    const c = await connect(gateway);
    const reply = c.request({ path: CHAT, body: chatRequest('over the reload', { stream: true }) });
    const rq = await provider.next();
    const s = rq.stream();
    s.send(': begun\n\n');
    await reply.has('begun');
    assert.equal(await verdict(), 'MISS');

    fs.writeFileSync(f, settings('0'));
    gateway.signal('SIGHUP');
    await waitFor(async () => (await verdict()) === 'BYPASS', 'the new settings');

    const before = gateway.stderr.length;
    fs.writeFileSync(f, settings('1h', 'cach: {}\n'));
    gateway.signal('SIGHUP');
    await waitFor(() => gateway.stderr.length > before, 'the reason in the program\'s log');
    assert.match(gateway.stderr.slice(before), /:3:1: .*cach/);
    assert.equal(await verdict(), 'BYPASS');

    fs.rmSync(f);
    gateway.signal('SIGHUP');
    await waitFor(() => /reload.*\n[^]*reload.*\n[^]*reload/.test(gateway.stderr), 'the next reason');
    assert.equal(await verdict(), 'BYPASS');

    fs.writeFileSync(f, settings('1h'));
    gateway.signal('SIGHUP');
    await waitFor(async () => (await verdict()) === 'MISS', 'the first settings again');
    s.send('data: [DONE]\n\n');
    s.end();
    await reply.whole();
    c.close();
    await gateway.stop();
  });
});

test('SIGHUP names the settings that only a start reads', async () => {
  const gateway = await gatewayFor(provider, { config: { limits: { drain: '1s' } } });
  const f = gateway.args[gateway.args.indexOf('--config') + 1];
  const settings = JSON.parse(fs.readFileSync(f, 'utf8'));
  const reload = async (more) => {
    const before = gateway.stderr.length;
    fs.writeFileSync(f, JSON.stringify({ ...settings, ...more }));
    gateway.signal('SIGHUP');
    await waitFor(() => gateway.stderr.slice(before).endsWith('\n'), 'a line about it');
    return gateway.stderr.slice(before).replace(/^\S+ +/, '');
  };
  assert.equal(await reload({ limits: { drain: '2s' } }), 'info  reload: new settings are in effect\n');
  assert.equal(await reload({ cache: { max_size: '1GB' }, log: { payload_max_size: '1GB', retention: '3d' }, sandbox: false, admin: { listen: ['127.0.0.1:0'] } }).then((l) => l.match(/only: (.*) \(/)?.[1] ?? l),
    'sandbox, admin.listen, cache.max_size, log.payload_max_size, log.retention');
  await gateway.stop();
});

describe('SIGHUP under load', () => {
  test('twenty times, with good, bad and missing files: no request fails, no stream is cut', { timeout: 120_000 }, async () => {
    const settings = (n) => `providers: {openai: {base_url: "${provider.url}/v1"}}\ngateways: {default: {cache: {ttl: ${n}m}}}\n`;
    const gateway = await startGateway({ config: settings(1) });
    const f = gateway.args[gateway.args.indexOf('--config') + 1];
    const c = await connect(gateway);
    const reply = c.request({ path: CHAT, body: chatRequest('through all of them', { stream: true }) });
    const s = (await provider.next()).stream();
    s.send('data: 0\n\n');
    await reply.has('data: 0');
    const load = startLoad(gateway, { check: (r) => assert.deepEqual(r.json, completion()) });
    const kinds = [
      [(i) => fs.writeFileSync(f, settings(i + 2)), /new settings are in effect/],
      [() => fs.writeFileSync(f, 'gateways: {default: {cache: {ttl: soon}}}\n'), /ttl is 'soon'.*the old settings stay/],
      [() => fs.writeFileSync(f, settings(1).slice(0, 30)), /the old settings stay/],
      [() => fs.rmSync(f), /the old settings stay/],
    ];
    for (let i = 1; i <= 20; i++) {
      const [change, says] = kinds[i % kinds.length];
      const [before, done] = [gateway.stderr.length, load.done];
      change(i);
      gateway.signal('SIGHUP');
      await waitFor(() => gateway.stderr.length > before, 'what became of the reload');
      assert.match(gateway.stderr.slice(before), says);
      s.send(`data: ${i}\n\n`);
      await reply.has(`data: ${i}\n`);
      await waitFor(() => load.done > done + 20, 'the load goes on');
    }
    const { done, sent, failures } = await load.stop();
    s.send('data: [DONE]\n\n');
    s.end();
    await reply.whole();
    c.close();
    assert.deepEqual(failures, []);
    assert.equal(done, sent);
    assert.equal((await gateway.logs('--limit', '1000000')).length, sent + 1);
    assert.equal(gateway.stderr.trim().split('\n').length, 20); // a line each
    await gateway.stop();
  });
});

describe('postern cache', () => {
  let gateway;
  const ask = (p, body) => request(gateway, { path: p, body }).then((r) => r.header('cf-aig-cache-status'));
  const cache = async (...args) => {
    const r = await postern(['cache', ...args, '--data', gateway.data]);
    assert.equal(r.code, 0, r.stderr);
    return r.stdout;
  };
  before(async () => {
    gateway = await gatewayFor(provider, { config: { gateways: { gw: {} } } });
  });
  const questions = [[CHAT, chatRequest('one')], [CHAT, chatRequest('two', { model: 'o3' })], ['/v1/a/gw/openai/chat/completions', chatRequest('one')], ['/anthropic/v1/chat/completions', chatRequest('one')]];
  const fill = async () => {
    for (const [p, body] of questions) await ask(p, body);
  };
  const verdicts = async () => {
    const list = [];
    for (const [p, body] of questions) list.push(await ask(p, body));
    return list;
  };

  test('stats: entries and size', async () => {
    assert.equal(JSON.parse(await cache('stats', '--json')).entries + JSON.parse(await cache('stats', '--json')).pending, 0);
    await fill();
    await waitFor(async () => JSON.parse(await cache('stats', '--json')).entries === 4, 'four entries');
    const stats = JSON.parse(await cache('stats', '--json'));
    assert.ok(stats.bytes > 0 && stats.bytes <= stats.max_bytes, JSON.stringify(stats));
    assert.match(await cache('stats'), /\b4\b/);
  });

  const purges = [
    [['--model', 'o3'], ['HIT', 'MISS', 'HIT', 'HIT']],
    [['--gateway', 'gw'], ['HIT', 'HIT', 'MISS', 'HIT']],
    [['--provider', 'anthropic'], ['HIT', 'HIT', 'HIT', 'MISS']],
    [['--gateway', 'default', '--provider=openai', '--model', 'gpt-4o-mini'], ['MISS', 'HIT', 'HIT', 'HIT']],
    [['--model', 'none'], ['HIT', 'HIT', 'HIT', 'HIT']],
    [[], ['MISS', 'MISS', 'MISS', 'MISS']],
  ];
  for (const [args, expected] of purges) {
    test(`purge ${args.join(' ')}`, async () => {
      await fill();
      assert.match(await cache('purge', ...args), new RegExp(`\\b${expected.filter((v) => v === 'MISS').length}\\b`));
      assert.deepEqual(await verdicts(), expected);
    });
  }

  test('purge of what was stored a moment ago', async () => {
    const body = chatRequest('a moment ago');
    await ask(CHAT, body);
    await cache('purge');
    assert.equal(await ask(CHAT, body), 'MISS');
  });
});

describe('the pages of the server itself', () => {
  let gateway, open;
  before(async () => {
    const port = await freePort();
    gateway = await gatewayFor(provider, {
      config: { listen: ['127.0.0.1:0', '0.0.0.0:0', `0.0.0.0:${port}`], admin: { listen: [`0.0.0.0:${port}`], hosts: ['metrics.example'] } },
    });
    [, open] = gateway.endpoints;
  });
  const get = (p, { to = gateway, host = 'localhost', method } = {}) => request(to, { path: p, host, method });

  test('healthz and readyz: on every listener, under every Host', async () => {
    for (const to of gateway.endpoints) {
      for (const host of ['localhost', 'anything.example', '10.0.0.1:80']) {
        assert.equal((await get('/-/healthz', { to, host })).status, 200);
        const ready = await get('/-/readyz', { to, host });
        assert.equal(ready.status, 200);
        assert.match(ready.text, /ready/);
      }
    }
  });

  test('HEAD is fine, POST is not', async () => {
    assert.equal((await get('/-/healthz', { method: 'HEAD' })).status, 200);
    const refused = await get('/-/healthz', { method: 'POST' });
    assert.equal(refused.status, 405);
    assert.equal(refused.header('allow'), 'GET, HEAD');
  });

  test('metrics: Prometheus text, every series described, values numbers', async () => {
    await request(gateway, { path: CHAT, body: chatRequest('for the metrics') });
    const reply = await get('/-/metrics');
    assert.equal(reply.status, 200);
    assert.match(reply.header('content-type'), /^text\/plain; version=0\.0\.4/);
    const types = new Set([...reply.text.matchAll(/^# TYPE (\S+) (counter|gauge|histogram)$/gm)].map((m) => m[1]));
    const names = new Set([...reply.text.matchAll(/^# HELP (\S+) \S/gm)].map((m) => m[1]));
    assert.deepEqual(types, names);
    const samples = reply.text.split('\n').filter((l) => l && !l.startsWith('#'));
    assert.ok(samples.length > 20);
    for (const line of samples) {
      const m = line.match(/^([a-z_]+)(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? [-+0-9.e]+$|Inf$/);
      assert.ok(m, line);
      assert.ok(types.has(m[1]) || types.has(m[1].replace(/_(bucket|sum|count)$/, '')), line);
    }
    assert.equal(new Set(samples.map((l) => l.split(' ')[0])).size, samples.length, 'no series twice');
    assert.ok(reply.text.endsWith('\n'));
  });

  for (const host of ['evil.example', 'localhost.evil.example', 'evil.example:80', '127.0.0.2', 'localhost:80@evil']) {
    test(`metrics under the foreign Host ${host}: 421`, async () => {
      const reply = await get('/-/metrics', { host });
      assert.ok(reply.status === 421 || (host.includes('@') && reply.status === 400), `${reply.status}`);
      assert.ok(!reply.text.includes('postern_requests'));
    });
  }

  for (const host of ['localhost', 'LOCALHOST:1234', '127.0.0.1', '127.0.0.1:9', 'metrics.example', 'Metrics.Example:443']) {
    test(`metrics under ${host}`, async () => assert.equal((await get('/-/metrics', { host })).status, 200));
  }

  test('metrics do not exist on a listener that others reach', async () => {
    assert.equal((await get('/-/metrics', { to: open })).status, 404);
  });

  test('but where admin.listen names it they do, the Host checked', async () => {
    const [, , named] = gateway.endpoints;
    assert.equal((await get('/-/metrics', { to: named, host: 'metrics.example' })).status, 200);
    assert.equal((await get('/-/metrics', { to: named, host: 'evil.example' })).status, 421);
  });

  test('what is not there is 404, and never asked of a provider', async () => {
    const before = provider.requests.length;
    for (const p of ['/-/nothing', '/-', '/client/v4/accounts', '/-/../openai/x']) assert.ok([400, 404].includes((await get(p)).status), p);
    assert.equal(provider.requests.length, before);
  });

  test('readyz says that the server ends', async () => {
    const own = await gatewayFor(provider);
    const c = await connect(own);
    const reply = c.request({ path: CHAT, body: chatRequest('holds the end up') });
    const rq = await provider.next();
    const d = await connect(own);
    d.send('GET /-/readyz HTTP/1.1\r\n'); // begun before, so that it is still answered
    await request(own, { path: '/-/healthz' });
    own.signal('SIGTERM');
    await waitFor(() => connect(own).then((x) => x.close(), () => true), 'no new connections');
    const ready = d.expect();
    d.send('Host: x\r\n\r\n');
    assert.equal((await ready.whole()).status, 503);
    rq.json(completion());
    await reply.whole();
    await within(own.exited.promise, 'the end');
    await own.stop();
  });
});
