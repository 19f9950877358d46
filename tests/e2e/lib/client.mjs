// A client that sends bytes and reads answers as they are. Answers of one connection are read in the order of requests.
//
//   const reply = await request(gateway, { method, path, headers, body })      one connection, one whole answer
//   const c = await connect(gateway); const reply = c.request({...});           an answer in the making:
//   await reply.head(); await reply.has('text'); await reply.whole();
import net from 'node:net';
import tls from 'node:tls';
import { MessageReader, headerOf, headersOf, headText, pairs } from './http1.mjs';
import { deferred, within } from './wait.mjs';

class Reply {
  constructor(method) {
    this.method = method;
    this.informational = [];
    this.headers = null;
    this.pieces = [];
    this.length = 0;
    this.isComplete = false;
    this.onHead = deferred();
    this.onEnd = deferred();
    this.watchers = [];
    this.keep = true; // of large bodies a test may want only `onPiece`
    this.onPiece = null;
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

  get json() {
    return JSON.parse(this.text);
  }

  async head(ms) {
    await within(this.onHead.promise, 'the head of an answer', ms);
    return this;
  }

  // The body has that text (or fulfils that test) by now.
  async has(what, ms) {
    const test = typeof what === 'function' ? what : (text) => text.includes(what);
    const d = deferred();
    const look = () => test(this.text) && d.resolve();
    this.watchers.push(look);
    look();
    this.onEnd.promise.then(() => d.reject(new Error(`the answer ended without ${what}: ${this.text}`)), d.reject);
    await within(d.promise, () => `${what} in the answer's body, which is ${JSON.stringify(this.text.slice(-300))}`, ms);
    return this;
  }

  // Properly ended.
  async whole(ms) {
    await within(this.onEnd.promise, () => `the end of an answer (${this.headers ? `${this.status}, ${this.length} bytes` : 'no head'} so far)`, ms);
    return this;
  }

  // Not properly ended: resolves with how, fails if the answer came to a clean end.
  async cut(ms) {
    const how = await within(this.onEnd.promise.then(() => null, (e) => e), 'the cut of an answer', ms);
    if (how === null) throw new Error(`the answer ended cleanly: ${this.status}, ${this.length} bytes`);
    return how;
  }
}

export class Connection {
  constructor(socket) {
    this.socket = socket;
    this.replies = []; // that have not ended
    this.extra = Buffer.alloc(0); // bytes that no request asked for
    this.onClose = deferred();
    this.isEnded = false;
    this.reader = new MessageReader({
      head: (start, headers) => this.#head(start, headers),
      body: (bytes) => this.#body(bytes),
      end: () => this.#end(),
    });
    socket.on('data', (bytes) => this.#data(bytes));
    socket.on('end', () => this.#over(null));
    socket.on('error', (e) => {
      this.error = e;
      this.#over(e);
    });
    socket.on('close', () => {
      this.#over(null);
      this.onClose.resolve(this.error ?? null);
    });
  }

  #data(bytes) {
    if (this.replies.length === 0) {
      this.extra = Buffer.concat([this.extra, bytes]);
      return;
    }
    try {
      this.reader.feed(bytes);
    } catch (e) {
      this.#over(e);
      this.socket.destroy();
    }
  }

  #head(start, headers) {
    const reply = this.replies[0];
    if (reply === undefined) throw new Error(`an answer that nothing asked for: ${start}`);
    const [version, status, ...reason] = start.split(' ');
    if (status >= 100 && status < 200 && status !== '101') {
      reply.informational.push({ status: Number(status), headers });
      reply.onInformational?.(Number(status));
      return 'again';
    }
    Object.assign(reply, { version, status: Number(status), reason: reason.join(' '), headers });
    reply.onHead.resolve(reply);
    if (reply.method === 'HEAD' || status === '204' || status === '304') return null;
    if (/chunked/i.test(reply.header('transfer-encoding') ?? '')) return { chunked: true };
    const length = reply.header('content-length');
    return length === undefined ? { untilClose: true } : { length: Number(length) };
  }

  #body(bytes) {
    const reply = this.replies[0];
    reply.length += bytes.length;
    reply.onPiece?.(bytes);
    if (!reply.keep) return;
    reply.pieces.push(Buffer.from(bytes));
    for (const look of reply.watchers) look();
  }

  #end() {
    const reply = this.replies.shift();
    reply.isComplete = true;
    reply.trailers = this.reader.trailers;
    reply.onEnd.resolve(reply);
  }

  #over(error) {
    if (this.isEnded) return;
    this.isEnded = true;
    if (error === null && this.replies.length > 0) this.reader.finish();
    for (const reply of this.replies.splice(0)) {
      const e = error ?? new Error(`the connection ended inside an answer (${reply.headers ? reply.status : 'no head'})`);
      reply.onHead.reject(e);
      reply.onEnd.reject(e);
    }
  }

  // Raw bytes.
  send(bytes) {
    return new Promise((resolve) => this.socket.write(Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes, 'latin1'), resolve));
  }

  // An answer is coming to a request that was, or will be, sent raw.
  expect(method = 'GET') {
    const reply = new Reply(method);
    this.replies.push(reply);
    return reply;
  }

  request(options) {
    const reply = this.expect(options.method ?? (options.body === undefined ? 'GET' : 'POST'));
    this.send(requestBytes(options));
    return reply;
  }

  closed(ms) {
    return within(this.onClose.promise, 'the gateway closes the connection', ms);
  }

  end() {
    this.socket.end();
  }

  // Leaves without a word, with RST over plain TCP.
  abort() {
    if (this.socket.resetAndDestroy && !(this.socket instanceof tls.TLSSocket)) this.socket.resetAndDestroy();
    else this.socket.destroy();
  }

  close() {
    this.socket.destroy();
  }
}

// body: a string or Buffer is sent as it is, anything else as JSON.
export function requestBytes({ method, path = '/', headers, body, host = 'localhost' }) {
  const isRaw = typeof body === 'string' || Buffer.isBuffer(body);
  const bytes = body === undefined ? null : Buffer.from(isRaw ? body : JSON.stringify(body));
  const list = pairs(headers);
  const has = (name) => list.some(([n]) => n.toLowerCase() === name);
  const own = [];
  if (!has('host') && host !== null) own.push(['Host', host]);
  if (bytes !== null && !has('content-type')) own.push(['Content-Type', 'application/json']);
  if (bytes !== null && !has('content-length') && !has('transfer-encoding')) own.push(['Content-Length', bytes.length]);
  const head = headText(`${method ?? (bytes === null ? 'GET' : 'POST')} ${path} HTTP/1.1`, [...own, ...list]);
  return bytes === null ? head : Buffer.concat([head, bytes]);
}

// to: { port }, { path } of a Unix socket; with `tls` options over TLS. address, from: other ends than the usual one.
export async function connect(to, options = {}) {
  const where = to.path ? { path: to.path } : { host: options.address ?? '127.0.0.1', port: to.port, localAddress: options.from };
  const socket = options.tls
    ? tls.connect({ ...where, ALPNProtocols: ['http/1.1'], servername: 'localhost', ...options.tls })
    : net.connect({ ...where, noDelay: true });
  const ready = deferred();
  const session = deferred();
  socket.once('session', session.resolve);
  socket.once(options.tls ? 'secureConnect' : 'connect', ready.resolve);
  socket.once('error', ready.reject);
  await within(ready.promise, 'a connection to the gateway', options.ms);
  socket.off('error', ready.reject);
  return Object.assign(new Connection(socket), { session: session.promise });
}

export async function request(to, options = {}) {
  const c = await connect(to, options);
  try {
    return await c.request(options).whole(options.ms);
  } finally {
    c.close();
  }
}
