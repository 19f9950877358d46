// A TCP relay before a server on loopback that spoils what passes, in the words of toxiproxy. It sees bytes only, so it stands
// before TLS as well. Toxics may be added and removed at any time; they hold for the bytes that come from then on.
//
//   const origin = await startToxics({ to: provider.port });          origin.port, origin.url: in the provider's place
//   origin.add({ type: 'slicer', average_size: 1 })                   downstream: provider -> gateway
//   origin.add({ type: 'latency', latency: 5, jitter: 5 }, 'upstream')
//   origin.clear(); origin.enabled = false                            no toxics; refuses (closes) connections
//
//   latency     { latency, jitter }                    ms; every piece comes so much later
//   bandwidth   { rate }                               KB a second
//   slow_close  { delay }                              ms between the end of one side and that of the other
//   timeout     { timeout }                            nothing passes; closes after so many ms, 0: never
//   reset_peer  { timeout }                            RST to both sides after so many ms
//   slicer      { average_size, size_variation, delay } pieces of that size, delay in microseconds between them
//   limit_data  { bytes, reset }                       that many bytes more, then the end (or RST)
import net from 'node:net';
import { setImmediate as turn, setTimeout as later } from 'node:timers/promises';
import { willClose } from './cleanup.mjs';

const QUEUE_MOST = 1 << 20;
const NEVER = new Promise(() => {});

// The same numbers in every run.
function randomFrom(seed) {
  let s = seed;
  return () => {
    s = (s * 1103515245 + 12345) & 0x7fffffff;
    return s / 0x7fffffff;
  };
}

class Direction {
  constructor(link, name, from, to) {
    Object.assign(this, { link, name, from, to, queue: [], waiting: 0, isRunning: false });
    this.random = randomFrom(link.number * 2 + (name === 'upstream' ? 1 : 0));
    from.on('data', (bytes) => this.#push({ bytes, at: performance.now() }));
    from.on('end', () => this.#push({ end: true, at: performance.now() }));
  }

  toxics(type) {
    return this.link.origin.list.filter((t) => t.direction === this.name && (type === undefined || t.type === type));
  }

  #push(item) {
    this.queue.push(item);
    this.waiting += item.bytes?.length ?? 0;
    if (this.waiting > QUEUE_MOST) this.from.pause();
    if (!this.isRunning) this.#run();
  }

  async #run() {
    this.isRunning = true;
    while (this.queue.length > 0 && !this.link.isClosed) {
      const item = this.queue.shift();
      if (item.end) await this.#finish();
      else await this.#pass(item);
      this.waiting -= item.bytes?.length ?? 0;
      if (this.waiting < QUEUE_MOST / 2) this.from.resume();
    }
    this.isRunning = false;
  }

  async #finish() {
    for (const t of this.toxics('slow_close')) await later(t.delay);
    if (this.toxics('timeout').length > 0) await NEVER;
    this.to.end();
  }

  async #pass({ bytes, at }) {
    for (const t of this.toxics('timeout')) {
      if (t.timeout > 0) this.link.closeAfter(t.timeout);
      return;
    }
    for (const t of this.toxics('latency')) {
      const due = at + t.latency + (t.jitter ?? 0) * (this.random() * 2 - 1);
      if (due > performance.now()) await later(due - performance.now());
    }
    for (const piece of this.#slices(bytes)) {
      const { allowed, cut } = this.#limit(piece.bytes);
      for (const t of this.toxics('bandwidth')) await later(allowed.length / t.rate);
      if (allowed.length > 0) await this.#write(allowed);
      if (cut) {
        this.link.close(cut.reset);
        return;
      }
      if (piece.delay > 0) await later(piece.delay / 1000);
    }
  }

  *#slices(bytes) {
    const [slicer] = this.toxics('slicer');
    if (!slicer) {
      yield { bytes, delay: 0 };
      return;
    }
    const { average_size: size, size_variation: variation = 0, delay = 0 } = slicer;
    for (let i = 0; i < bytes.length;) {
      const n = Math.max(1, Math.round(size + variation * (this.random() * 2 - 1)));
      yield { bytes: bytes.subarray(i, i + n), delay };
      i += n;
    }
  }

  #limit(bytes) {
    for (const t of this.toxics('limit_data')) {
      const allowed = bytes.subarray(0, t.bytes);
      t.bytes -= allowed.length;
      if (t.bytes === 0) return { allowed, cut: t };
    }
    return { allowed: bytes, cut: null };
  }

  // A segment of its own: taken by the kernel, and a turn of the loop for whoever reads.
  async #write(bytes) {
    await new Promise((resolve) => {
      if (this.to.destroyed) resolve();
      else this.to.write(bytes, resolve);
    });
    await turn();
  }
}

class Link {
  constructor(origin, client) {
    this.origin = origin;
    this.number = ++origin.connections;
    this.isClosed = false;
    this.sockets = [client, net.connect({ host: '127.0.0.1', port: origin.to, noDelay: true, allowHalfOpen: true })];
    for (const s of this.sockets) {
      s.on('error', () => this.close(true)); // a reset on one side is one on the other
      s.on('close', () => this.close(false));
    }
    const [near, far] = this.sockets;
    this.upstream = new Direction(this, 'upstream', near, far);
    this.downstream = new Direction(this, 'downstream', far, near);
    for (const t of origin.list) if (t.type === 'reset_peer') this.closeAfter(t.timeout, true);
  }

  closeAfter(ms, reset = false) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.close(reset), ms);
  }

  close(reset) {
    if (this.isClosed) return;
    this.isClosed = true;
    clearTimeout(this.timer);
    this.origin.links.delete(this);
    for (const s of this.sockets) if (reset) s.resetAndDestroy();
      else if (!s.destroyed) s.destroySoon();
  }
}

class Toxics {
  constructor({ to, tls = false }) {
    Object.assign(this, { to, isTls: tls, list: [], links: new Set(), connections: 0, enabled: true });
    this.server = net.createServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
      if (this.enabled) this.links.add(new Link(this, socket));
      else socket.destroy();
    });
  }

  add(toxic, direction = 'downstream') {
    const t = { direction, ...toxic };
    this.list.push(t);
    if (t.type === 'reset_peer') for (const link of this.links) link.closeAfter(t.timeout, true);
    return t;
  }

  clear() {
    this.list = [];
  }

  async listen() {
    await new Promise((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    this.port = this.server.address().port;
    this.url = `${this.isTls ? 'https' : 'http'}://127.0.0.1:${this.port}`;
    return this;
  }

  close() {
    for (const link of [...this.links]) link.close(true);
    return new Promise((resolve) => this.server.close(resolve));
  }
}

export function startToxics(options) {
  const origin = new Toxics(options);
  willClose(origin);
  return origin.listen();
}
