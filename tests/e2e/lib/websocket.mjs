// WebSockets as bytes (RFC 6455), for both ends of the tests: frames made and read by code of their own.
//
//   const server = await startWebSockets({ tls });      node's own HTTP server; every upgrade is answered by `server.upgrade`
//   const session = await server.next();                the provider's end of the next one
//   const ws = await openWebSocket(gateway, { path });  the client's end, behind a 101
//   ws.send(frame('hello')); const f = await ws.frame();
import http from 'node:http';
import https from 'node:https';
import { createHash, randomBytes } from 'node:crypto';
import { connect } from './client.mjs';
import { deferred, within } from './wait.mjs';
import { willClose } from './cleanup.mjs';

export const TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10;

export const acceptOf = (key) => createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');

// One frame; a client's are masked.
export function frame(payload = '', { opcode = typeof payload === 'string' ? TEXT : BINARY, masked = false, fin = true } = {}) {
  const data = Buffer.from(payload);
  const head = [(fin ? 0x80 : 0) | opcode];
  const bit = masked ? 0x80 : 0;
  if (data.length < 126) head.push(bit | data.length);
  else if (data.length < 65536) head.push(bit | 126, data.length >> 8, data.length & 255);
  else {
    const length = Buffer.alloc(8);
    length.writeBigUInt64BE(BigInt(data.length));
    head.push(bit | 127, ...length);
  }
  if (!masked) return Buffer.concat([Buffer.from(head), data]);
  const mask = randomBytes(4);
  for (let i = 0; i < data.length; i++) data[i] ^= mask[i & 3];
  return Buffer.concat([Buffer.from(head), mask, data]);
}
export const closeFrame = (code = 1000, options = {}) => frame(Buffer.from([code >> 8, code & 255]), { ...options, opcode: CLOSE });

// One end of a connection behind its 101.
export class Session {
  constructor(socket, request = null) {
    this.socket = socket;
    this.request = request;
    this.frames = [];
    this.waiting = [];
    this.bytes = 0;
    this.left = Buffer.alloc(0);
    this.keep = true; // false: bytes are counted and hashed only
    this.hash = createHash('sha256');
    this.onEnd = deferred(); // value: when the other side's end, or a reset, came
    this.over = () => this.onEnd.resolve(performance.now());
    socket.on('data', (b) => this.#data(b));
    socket.on('end', this.over);
    socket.on('error', (e) => {
      this.error = e;
    });
    socket.on('close', this.over);
    this.onEnd.promise.then(() => this.waiting.splice(0).forEach((d) => d.reject(new Error('the connection ended before a frame'))));
  }

  #data(b) {
    this.bytes += b.length;
    this.hash.update(b);
    this.onBytes?.(b);
    if (!this.keep) return;
    this.left = this.left.length ? Buffer.concat([this.left, b]) : b;
    while (this.#take());
  }

  #take() {
    const b = this.left;
    if (b.length < 2) return false;
    let n = b[1] & 127;
    let at = 2;
    if (n === 126) {
      if (b.length < 4) return false;
      n = b.readUInt16BE(2);
      at = 4;
    } else if (n === 127) {
      if (b.length < 10) return false;
      n = Number(b.readBigUInt64BE(2));
      at = 10;
    }
    const masked = (b[1] & 128) !== 0;
    const from = at + (masked ? 4 : 0);
    if (b.length < from + n) return false;
    const payload = Buffer.from(b.subarray(from, from + n));
    if (masked) for (let i = 0; i < n; i++) payload[i] ^= b[at + (i & 3)];
    this.left = b.subarray(from + n);
    const f = { opcode: b[0] & 15, fin: (b[0] & 128) !== 0, masked, payload, text: payload.toString() };
    this.onFrame?.(f);
    if (this.waiting.length > 0) this.waiting.shift().resolve(f);
    else this.frames.push(f);
    return true;
  }

  // The next frame.
  frame(ms) {
    if (this.frames.length > 0) return Promise.resolve(this.frames.shift());
    const d = deferred();
    this.waiting.push(d);
    return within(d.promise, 'a frame', ms);
  }

  send(bytes) {
    return new Promise((resolve) => this.socket.write(bytes, resolve));
  }

  // The other side has ended, properly or not; when.
  ended(ms) {
    return within(this.onEnd.promise, 'the end of a WebSocket', ms);
  }

  abort() {
    if (this.socket.resetAndDestroy && !this.socket.encrypted) this.socket.resetAndDestroy();
    else this.socket.destroy();
  }
}

class Server {
  constructor(options) {
    this.sessions = [];
    this.waiting = [];
    this.requests = []; // upgrades and others
    this.sockets = new Set();
    // What the server says to an upgrade; a test may say something else.
    this.upgrade = (rq, socket) => {
      const offered = (rq.headers['sec-websocket-protocol'] ?? '').split(',').map((s) => s.trim()).filter((s) => s !== '');
      const chosen = offered.length > 0 ? `Sec-WebSocket-Protocol: ${offered[0]}\r\n` : '';
      socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${acceptOf(rq.headers['sec-websocket-key'])}\r\n${chosen}X-Provider: yes\r\n\r\n`);
      return true;
    };
    this.server = (options.tls ? https : http).createServer(options.tls ?? {}, (rq, res) => {
      this.requests.push(rq);
      res.end('no upgrade');
    });
    this.server.on('connection', (s) => {
      this.sockets.add(s);
      s.on('close', () => this.sockets.delete(s));
    });
    this.server.on('upgrade', (rq, socket, head) => {
      this.requests.push(rq);
      socket.on('error', () => {});
      if (this.upgrade(rq, socket, head) !== true) return;
      const session = new Session(socket, rq);
      if (head.length > 0) socket.unshift(head);
      this.onSession?.(session);
      if (this.waiting.length > 0) this.waiting.shift().resolve(session);
      else this.sessions.push(session);
    });
    this.isTls = options.tls !== undefined;
  }

  get last() {
    return this.requests.at(-1);
  }

  next() {
    if (this.sessions.length > 0) return Promise.resolve(this.sessions.shift());
    const d = deferred();
    this.waiting.push(d);
    return within(d.promise, 'a WebSocket at the provider');
  }

  async listen() {
    await new Promise((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    this.port = this.server.address().port;
    this.url = `${this.isTls ? 'https' : 'http'}://127.0.0.1:${this.port}`;
    return this;
  }

  close() {
    for (const s of this.sockets) s.destroy();
    return new Promise((resolve) => this.server.close(resolve));
  }
}

export function startWebSockets(options = {}) {
  const server = new Server(options);
  willClose(server);
  return server.listen();
}

export const KEY = 'dGhlIHNhbXBsZSBub25jZQ=='; // of RFC 6455

export function upgradeText(path, headers = {}, version = '1.1') {
  const all = { Host: 'x', Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': '13', 'Sec-WebSocket-Key': KEY, ...headers };
  return `GET ${path} HTTP/${version}\r\n${Object.entries(all).filter(([, v]) => v !== undefined).map(([n, v]) => `${n}: ${v}\r\n`).join('')}\r\n`;
}

// The answer to an upgrade, and the connection it came on: { reply: { status, headers, header(name) }, rest, socket }.
export async function askUpgrade(gateway, { path = '/openai/v1/realtime', headers, ahead = '', tls } = {}) {
  const { socket } = await connect(gateway, { tls });
  socket.removeAllListeners('data');
  let seen = Buffer.alloc(0);
  const done = deferred();
  const onData = (b) => {
    seen = Buffer.concat([seen, b]);
    if (seen.includes('\r\n\r\n')) done.resolve();
  };
  socket.on('data', onData);
  socket.on('close', () => done.reject(new Error(`the connection ended before an answer: ${seen}`)));
  socket.write(Buffer.concat([Buffer.from(upgradeText(path, headers)), Buffer.from(ahead)]));
  await within(done.promise, 'the answer to an upgrade');
  socket.off('data', onData);
  const end = seen.indexOf('\r\n\r\n');
  const [start, ...lines] = seen.subarray(0, end).toString('latin1').split('\r\n');
  const list = lines.map((l) => [l.slice(0, l.indexOf(':')), l.slice(l.indexOf(':') + 1).trim()]);
  const reply = { status: Number(start.split(' ')[1]), headers: list, header: (name) => list.find(([n]) => n.toLowerCase() === name.toLowerCase())?.[1] };
  return { reply, rest: seen.subarray(end + 4), socket };
}

export async function openWebSocket(gateway, options = {}) {
  const { reply, rest, socket } = await askUpgrade(gateway, options);
  if (reply.status !== 101) throw new Error(`no 101 but ${reply.status}: ${rest}`);
  const session = new Session(socket);
  if (rest.length > 0) socket.unshift(rest);
  return Object.assign(session, { reply, id: reply.header('cf-aig-log-id') });
}
