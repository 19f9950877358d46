// What the kernel knows of TCP connections on loopback, and a port that takes connections but never answers their SYN.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import { setTimeout as later } from 'node:timers/promises';
import { deferred, waitFor, within } from './wait.mjs';

const ESTABLISHED = '01', SYN_SENT = '02';

// Connections of this host to that port, in that state: their inodes.
function inodes(port, state) {
  const hex = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  return fs.readFileSync('/proc/net/tcp', 'utf8').split('\n').slice(1).map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields[2]?.endsWith(hex) && fields[3] === state).map((fields) => fields[9]);
}
export const established = (port) => inodes(port, ESTABLISHED);
export const connecting = (port) => inodes(port, SYN_SENT);

// Tells, in microseconds, whether a process still has that connection. The kernel's table of all connections tells it too, but takes up
// to 400 ms to read where other tests have left some thousand of them.
export function descriptorOf(pid, inode) {
  const link = `socket:[${inode}]`;
  const read = (file) => {
    try {
      return fs.readlinkSync(file);
    } catch {
      return null; // closed
    }
  };
  const file = fs.readdirSync(`/proc/${pid}/fd`).map((n) => `/proc/${pid}/fd/${n}`).find((f) => read(f) === link);
  if (file === undefined) throw new Error(`process ${pid} has no ${link}`);
  return { isOpen: () => read(file) === link };
}

// Bytes that the gateway's kernel has of that client, and the gateway has not read.
export function unread(gatewayPort, clientPort) {
  const hex = (port) => `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const line = fs.readFileSync('/proc/net/tcp', 'utf8').split('\n').map((l) => l.trim().split(/\s+/))
    .find((fields) => fields[1]?.endsWith(hex(gatewayPort)) && fields[2]?.endsWith(hex(clientPort)));
  return line === undefined ? 0 : parseInt(line[4].split(':')[1], 16);
}

// When look() is true, looked at every 2 ms.
export async function momentOf(look, what) {
  const deadline = performance.now() + 10_000;
  while (!look()) {
    if (performance.now() > deadline) throw new Error(`${what}: not within 10 s`);
    await later(2);
  }
  return performance.now();
}

// A process that listens and then is stopped, with its queue filled up: the next SYN gets no answer.
export async function startBlackHole() {
  const child = spawn(process.execPath, ['-e', `
    const s = require('net').createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => console.log(s.address().port));
  `], { env: { ...process.env, NODE_TEST_CONTEXT: '', NODE_OPTIONS: '' }, stdio: ['ignore', 'pipe', 'ignore'] });
  const kill = () => child.kill('SIGKILL');
  process.on('exit', kill); // a stopped one does not notice that its parent has died
  const said = deferred();
  child.stdout.on('data', (b) => said.resolve(Number(b.toString())));
  const port = await within(said.promise, 'a port');
  child.kill('SIGSTOP');
  await waitFor(() => /^State:\s+T/m.test(fs.readFileSync(`/proc/${child.pid}/status`, 'utf8')), 'the process is stopped');
  const fillers = [];
  await waitFor(async () => {
    const s = net.connect({ port, host: '127.0.0.1' });
    s.on('error', () => {});
    fillers.push(s);
    await later(30);
    return s.connecting;
  }, 'a connection that is not answered');
  return {
    port,
    own: () => fillers.filter((s) => s.connecting).length,
    close() {
      for (const s of fillers) s.destroy();
      process.off('exit', kill);
      kill();
    },
  };
}
