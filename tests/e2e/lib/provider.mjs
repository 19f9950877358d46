// A scripted provider on loopback, plain or TLS. It records every request as it was on the wire and answers with
// exactly the bytes that a test says, when the test says so.
//
//   const provider = await startProvider();
//   provider.answer = (rq) => rq.json({ ... });      // for every request that no test waits for
//   const rq = await provider.next();                // or: take the next request and answer it by hand
//   const rq = await provider.nextHead();            // the same, as soon as its head is there
import net from 'node:net';
import tls from 'node:tls';
import { createHash } from 'node:crypto';
import { MessageReader, headerOf, headersOf, headText, pairs, chunk, LAST_CHUNK } from './http1.mjs';
import { deferred, within } from './wait.mjs';
import { completion } from './bodies.mjs';
import { willClose } from './cleanup.mjs';

const KEEP_BODY = 4 * 1024 * 1024; // of larger ones only length and hash

class Received {
  constructor(connection, start, headers, rawHead) {
    this.connection = connection.number;
    this.socket = connection.socket;
    this.rawHead = rawHead;
    [this.method, this.target, this.version] = start.split(' ');
    this.headers = headers;
    this.length = 0;
    this.pieces = [];
    this.hash = createHash('sha256');
    this.complete = false;
    this.isAnswered = false;
    this.arrived = performance.now();
    this.onBody = deferred(); // the whole body is there
    this.onAbort = deferred(); // the gateway closed before the answer was complete; value: when
    this.onFlush = Promise.resolve();
  }

  header(name) {
    return headerOf(this.headers, name);
  }

  all(name) {
    return headersOf(this.headers, name);
  }

  get names() {
    return this.headers.map(([n]) => n.toLowerCase());
  }

  get body() {
    return Buffer.concat(this.pieces);
  }

  get text() {
    return this.body.toString();
  }

  aborted(ms) {
    return within(this.onAbort.promise, 'the provider sees that the request was given up', ms);
  }

  // --- the answer ---
  // Bytes as they are. Resolves when the kernel has taken them.
  write(bytes) {
    return new Promise((resolve) => this.socket.write(Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes), resolve));
  }

  done() {
    this.isAnswered = true;
    return this;
  }

  head(status, headers = {}, reason = 'OK') {
    return this.write(headText(`HTTP/1.1 ${status} ${reason}`, pairs(headers)));
  }

  // A whole answer with content-length.
  reply(status, headers, body = '') {
    const b = Buffer.from(body);
    this.isAnswered = true;
    return this.write(Buffer.concat([headText(`HTTP/1.1 ${status} Any Reason`, [...pairs(headers), ['Content-Length', b.length]]), b]));
  }

  json(value, { status = 200, headers = {} } = {}) {
    const text = typeof value === 'string' ? value : JSON.stringify(value);
    return this.reply(status, { 'Content-Type': 'application/json', ...headers }, text);
  }

  // A chunked answer in pieces: send(bytes) one chunk each, end() the last.
  stream({ status = 200, headers = { 'Content-Type': 'text/event-stream' } } = {}) {
    this.head(status, [...pairs(headers), ['Transfer-Encoding', 'chunked']]);
    return {
      send: (bytes) => this.write(chunk(bytes)),
      end: () => {
        this.isAnswered = true;
        return this.write(LAST_CHUNK);
      },
    };
  }

  // A whole stream at once, each piece a chunk.
  async events(pieces, options) {
    const s = this.stream(options);
    for (const piece of pieces) s.send(piece);
    return s.end();
  }

  end() {
    this.isAnswered = true;
    this.socket.end();
  }

  // Cut: with RST over plain TCP.
  reset() {
    this.isAnswered = true;
    if (this.socket.resetAndDestroy && !(this.socket instanceof tls.TLSSocket)) this.socket.resetAndDestroy();
    else this.socket.destroy();
  }
}

class Provider {
  constructor(options) {
    this.requests = [];
    this.connections = 0;
    this.handshakeErrors = [];
    this.applicationBytes = 0; // that came from the gateway, TLS taken off
    this.answer = (rq) => rq.json(completion());
    this.waiters = [];
    this.sockets = new Set();
    this.onRequest = null;
    const accept = (socket) => this.#accept(socket);
    this.isTls = options.tls !== undefined;
    this.server = this.isTls ? tls.createServer({ ALPNProtocols: ['http/1.1'], ...options.tls }, accept) : net.createServer({ noDelay: true }, accept);
    this.server.on('tlsClientError', (e) => this.handshakeErrors.push(e));
    this.server.on('connection', (socket) => {
      this.connections++;
      this.sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => this.sockets.delete(socket));
    });
  }

  listen() {
    return new Promise((resolve, reject) => {
      this.server.once('error', reject);
      this.server.listen(0, '127.0.0.1', () => {
        this.port = this.server.address().port;
        this.url = `${this.isTls ? 'https' : 'http'}://127.0.0.1:${this.port}`;
        resolve(this);
      });
    });
  }

  #accept(socket) {
    const connection = { socket, number: this.connections, current: null };
    socket.on('error', () => {});
    const reader = new MessageReader({
      head: (start, headers, raw) => this.#head(connection, start, headers, raw),
      body: (bytes) => {
        const rq = connection.current;
        rq.length += bytes.length;
        rq.hash.update(bytes);
        if (rq.length <= KEEP_BODY) rq.pieces.push(Buffer.from(bytes));
        else rq.pieces = [];
      },
      end: () => this.#end(connection, reader),
    });
    socket.on('data', (bytes) => {
      this.applicationBytes += bytes.length;
      try {
        reader.feed(bytes);
      } catch (e) {
        this.wireError = e;
        socket.destroy();
      }
    });
    socket.on('end', () => this.#gone(connection));
    socket.on('close', () => this.#gone(connection));
  }

  #head(connection, start, headers, raw) {
    const rq = new Received(connection, start, headers, raw);
    if (this.isTls) {
      const { socket } = connection;
      rq.tls = { servername: socket.servername, protocol: socket.getProtocol(), alpn: socket.alpnProtocol, isResumed: socket.isSessionReused() };
    }
    connection.current = rq;
    this.requests.push(rq);
    this.onRequest?.(rq);
    if (this.waiters[0]?.at === 'head') {
      rq.isTaken = true;
      this.waiters.shift().resolve(rq);
    }
    if (/chunked/i.test(rq.header('transfer-encoding') ?? '')) return { chunked: true };
    const length = Number(rq.header('content-length') ?? 0);
    return length > 0 ? { length } : null;
  }

  #end(connection, reader) {
    const rq = connection.current;
    rq.complete = true;
    rq.sha256 = rq.hash.digest('hex');
    rq.trailers = reader.trailers;
    rq.onBody.resolve(rq);
    if (rq.isTaken) return;
    if (this.waiters[0]?.at === 'body') {
      this.waiters.shift().resolve(rq);
      return;
    }
    // a handler that throws fails the test that runs: as an unhandled rejection
    Promise.resolve().then(() => this.answer(rq));
  }

  #gone(connection) {
    const rq = connection.current;
    if (rq !== null && !rq.isAnswered) rq.onAbort.resolve(performance.now());
    else if (rq !== null) rq.onAbort.resolve(null);
  }

  #wait(at, what) {
    const d = deferred();
    d.at = at;
    this.waiters.push(d);
    return within(d.promise, what).finally(() => {
      this.waiters = this.waiters.filter((w) => w !== d);
    });
  }

  // The next request, whole; the caller answers it.
  next() {
    return this.#wait('body', 'a request at the provider');
  }

  nextHead() {
    return this.#wait('head', 'the head of a request at the provider');
  }

  get last() {
    return this.requests.at(-1);
  }

  // Forgets what was recorded and answers in the standard way again.
  reset() {
    this.requests = [];
    this.answer = (rq) => rq.json(completion());
  }

  closeConnections() {
    for (const s of this.sockets) s.destroy();
  }

  close() {
    this.closeConnections();
    return new Promise((resolve) => this.server.close(resolve));
  }
}

export function startProvider(options = {}) {
  const provider = new Provider(options);
  willClose(provider);
  return provider.listen();
}

// A TCP server that is no HTTP server at all: `script` gets each socket.
export async function startRaw(script) {
  const raw = { received: [], sockets: new Set(), connections: 0 };
  const server = net.createServer((socket) => {
    raw.connections++;
    raw.sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => raw.sockets.delete(socket));
    socket.on('data', (b) => raw.received.push(b));
    script(socket);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  raw.port = server.address().port;
  willClose(raw);
  raw.close = () => {
    for (const s of raw.sockets) s.destroy();
    return new Promise((resolve) => server.close(resolve));
  };
  return raw;
}

// A port that was free a moment ago, for settings that must name one beforehand.
export async function freePort() {
  const server = net.createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}
