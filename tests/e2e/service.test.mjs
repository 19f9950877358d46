// As a service of systemd: sockets that it opened, and what it is told. It is played by us, after sd_listen_fds(3) and
// sd_notify(3).
import { test, describe, before, beforeEach, after } from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { startProvider } from './lib/provider.mjs';
import { connect, request } from './lib/client.mjs';
import { gatewayFor, tempDirectory } from './lib/gateway.mjs';
import { chatRequest } from './lib/bodies.mjs';
import { deferred, waitFor, within } from './lib/wait.mjs';

const CHAT = '/openai/v1/chat/completions';

let provider;
before(async () => {
  provider = await startProvider();
});
beforeEach(() => provider.reset());

// The process that is executed has the pid of the shell.
const AS_SYSTEMD = ['/bin/sh', '-c', 'LISTEN_PID=$$ exec "$0" "$@"'];

// Sockets that listen, and whose connections wait in the kernel: { fd, port }, until close.
const opened = new Set();
after(() => opened.forEach((s) => s.close()));
async function listening(where) {
  const server = net.createServer((c) => c.destroy()).listen(where);
  await new Promise((resolve, reject) => server.once('listening', resolve).once('error', reject));
  opened.add(server);
  return { fd: server._handle.fd, port: server.address().port, close: () => opened.delete(server) && server.close() };
}

describe('socket activation', () => {
  const start = (sockets, options = {}) =>
    gatewayFor(provider, { wrap: AS_SYSTEMD, fds: sockets.map((s) => s.fd), ...options, env: { LISTEN_FDS: String(sockets.length), LISTEN_FDNAMES: 'http:other', ...options.env } });

  test('its sockets are served, others are bound as ever', async () => {
    const socket = await listening({ port: 0, host: '127.0.0.1' });
    const gateway = await start([socket], { listen: [`127.0.0.1:${socket.port}`, '127.0.0.1:0'] });
    assert.equal(gateway.port, socket.port);
    socket.close(); // ours; the gateway has its own
    assert.equal((await request(gateway, { path: CHAT, body: chatRequest('activated') })).status, 200);
    assert.equal((await request(gateway.endpoints[1], { path: '/-/readyz' })).text, 'ready\n');
    await gateway.stop();
  });

  test('between one server and the next nobody is refused: who connects waits', async () => {
    // The shell plays systemd: it holds the socket, as descriptor 3, through three servers, one after the other.
    const LOOP = ['/bin/sh', '-c', 'for i in 1 2 3; do sh -c \'LISTEN_PID=$$ exec "$0" "$@"\' "$0" "$@" & wait $!; done; exit 0'];
    const socket = await listening({ port: 0, host: '127.0.0.1' });
    const gateway = await start([socket], { listen: `127.0.0.1:${socket.port}`, wrap: LOOP });
    socket.close();
    const running = () => Number(fs.readFileSync(path.join(gateway.data, 'lock'), 'latin1'));
    let last = 0;
    for (let i = 0; i < 3; i++) {
      const pid = await waitFor(() => gateway.stdout.split('listening').length === i + 2 && running() !== last && running(), 'the next server');
      last = pid;
      // on a socket that always listens: in the gap between two servers too
      assert.equal((await request(gateway, { path: CHAT, body: chatRequest('again') })).header('cf-aig-cache-status'), i ? 'HIT' : 'MISS');
      process.kill(pid, 'SIGTERM');
      if (i < 2) assert.equal((await request(gateway, { path: CHAT, body: chatRequest('again') })).header('cf-aig-cache-status'), 'HIT');
    }
    assert.equal((await gateway.exit()).code, 0);
  });

  test('the file of a Unix socket stays: it is systemd\'s', async () => {
    const at = path.join(tempDirectory(), 's');
    const socket = await listening(at);
    const gateway = await start([socket], { listen: `unix:${at}` });
    const taken = await gateway.restart({ wrap: undefined, fds: undefined, env: {}, args: ['--takeover'] });
    await gateway.exit();
    await taken.stop();
    assert.ok(fs.existsSync(at));
  });

  test('a socket that nothing names, or that is none, is an error that names it', async () => {
    const socket = await listening({ port: 0, host: '127.0.0.1' });
    await assert.rejects(start([socket], { listen: '127.0.0.1:0' }), new RegExp(`systemd has opened a socket on 127.0.0.1:${socket.port}, which no item of listen names`));
    const f = fs.openSync('/dev/null', 'r');
    await assert.rejects(start([{ fd: f }]), /the socket 3 \('http'\) of systemd: not a listening stream socket/);
    await assert.rejects(start([], { env: { LISTEN_FDS: '1' } }), /the socket 3 \('http'\) of systemd: not open/);
    fs.closeSync(f);
    socket.close();
  });

  test('what was meant for another process is left alone', async () => {
    const gateway = await gatewayFor(provider, { env: { LISTEN_FDS: '1', LISTEN_PID: '1' } });
    assert.equal((await request(gateway, { path: '/-/readyz' })).status, 200);
    await gateway.stop();
  });
});

describe('the sandbox', () => {
  // What the kernel says of every thread of it.
  const threads = (gateway) => {
    const dir = `/proc/${gateway.pid}/task`;
    return fs.readdirSync(dir).map((t) => {
      const text = fs.readFileSync(`${dir}/${t}/status`, 'utf8');
      const of = (name) => text.match(new RegExp(`^${name}:\\s+(\\d+)`, 'm'))?.[1];
      return [of('NoNewPrivs'), of('Seccomp')].join(' ');
    });
  };
  const coreLimit = (gateway) => fs.readFileSync(`/proc/${gateway.pid}/limits`, 'utf8').match(/^Max core file size +(\d+)/m)?.[1];

  test('every thread is in it, and there is no core dump', async () => {
    const gateway = await gatewayFor(provider);
    assert.equal((await request(gateway, { path: CHAT, body: chatRequest('x'.repeat(400_000)) })).status, 200); // a large body: the pool's threads are there
    assert.ok((await gateway.logs()).length === 1);
    const found = threads(gateway);
    assert.ok(found.length > 2, `${found.length} threads`);
    assert.deepEqual([...new Set(found)], ['1 2']);
    assert.equal(coreLimit(gateway), '0');
    assert.equal(gateway.stderr, '');
    await gateway.stop();
  });

  test('sandbox: false leaves it out', async () => {
    const gateway = await gatewayFor(provider, { config: { sandbox: false } });
    assert.deepEqual([...new Set(threads(gateway))], ['0 0']);
    await gateway.stop();
  });

  test('the data directory is the owner\'s alone, and one that is not is refused', async () => {
    const data = path.join(tempDirectory(), 'made');
    const gateway = await gatewayFor(provider, { data });
    assert.equal(fs.statSync(data).mode & 0o777, 0o700);
    const open = fs.readdirSync(data, { recursive: true, withFileTypes: true }).filter((f) => fs.lstatSync(path.join(f.parentPath ?? f.path, f.name)).mode & 0o077);
    assert.deepEqual(open.map((f) => f.name), []);
    await gateway.stop();
    fs.chmodSync(data, 0o750);
    await assert.rejects(gateway.restart(), /open to group or others \(mode 0750\): chmod 700/);
  });
});

// Node has no datagrams over Unix sockets; perl has.
const RECEIVER = `use Socket; $| = 1; socket(S, PF_UNIX, SOCK_DGRAM, 0) && bind(S, pack_sockaddr_un($ARGV[0])) or die $!;
print "bound\\n"; while (defined(recv(S, $b, 4096, 0))) { $b =~ s/\\n/;/g; print "$b\\n"; }`;

describe('sd_notify', () => {
  let child, lines, at;
  before(async () => {
    at = path.join(tempDirectory(), 'notify');
    lines = [];
    const bound = deferred();
    child = spawn('perl', ['-e', RECEIVER, at], { stdio: ['ignore', 'pipe', 'inherit'] });
    child.on('error', bound.reject);
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (s) => {
      text += s;
      lines = text.split('\n').slice(1, -1);
      bound.resolve();
    });
    await within(bound.promise, 'the receiver');
  });
  after(() => child.kill());
  const seen = (want) => waitFor(() => lines.some((l) => (want instanceof RegExp ? want.test(l) : l === want)), `${want}`);

  test('ready, reloading with the moment, ready again, stopping', async () => {
    const gateway = await gatewayFor(provider, { env: { NOTIFY_SOCKET: at } });
    await seen('READY=1');
    gateway.signal('SIGHUP');
    await waitFor(() => lines.length === 3, 'the end of the reload');
    await gateway.stop();
    await seen('STOPPING=1');
    assert.equal(lines.length, 4);
    assert.match(lines[1], /^RELOADING=1;MONOTONIC_USEC=\d+$/);
    assert.deepEqual([lines[0], lines[2], lines[3]], ['READY=1', 'READY=1', 'STOPPING=1']);
  });

  test('signs of life come from the loop itself: they stop with it', async () => {
    const gateway = await gatewayFor(provider, { env: { NOTIFY_SOCKET: at, WATCHDOG_USEC: '100000' } });
    const signs = () => lines.filter((l) => l === 'WATCHDOG=1').length;
    await waitFor(() => signs() >= 3, 'signs of life');
    const c = await connect(gateway);
    await gateway.stop();
    c.close();
    assert.ok(lines.includes('STOPPING=1'));
    const last = lines.lastIndexOf('WATCHDOG=1');
    assert.ok(last > 0);
  });
});
