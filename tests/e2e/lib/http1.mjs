// HTTP/1.1 as bytes, for both ends of the tests: the fewest rules that tell where a message ends, and no
// normalising, so that a test sees what really was on the wire.

const CRLF2 = Buffer.from('\r\n\r\n');

export function parseHead(bytes) {
  const [start, ...lines] = bytes.toString('latin1').split('\r\n');
  const headers = lines.filter((l) => l !== '').map((line) => {
    const colon = line.indexOf(':');
    return [line.slice(0, colon), line.slice(colon + 1).trim()];
  });
  return { start, headers };
}

export const headerOf = (headers, name) => headers.find(([n]) => n.toLowerCase() === name.toLowerCase())?.[1];
export const headersOf = (headers, name) => headers.filter(([n]) => n.toLowerCase() === name.toLowerCase()).map(([, v]) => v);

// Takes a byte stream apart. Events: head(start, headers) => framing, body(bytes), end().
// framing: { length } | { chunked: true } | { untilClose: true } | null (no body) | 'again' (1xx: another head follows)
export class MessageReader {
  constructor(events) {
    this.events = events;
    this.left = Buffer.alloc(0);
    this.state = 'head';
    this.trailers = [];
  }

  feed(bytes) {
    this.left = this.left.length ? Buffer.concat([this.left, bytes]) : bytes;
    while (this.#step());
  }

  // The stream ended: whether that is a proper end.
  finish() {
    if (this.state === 'close') {
      this.#end();
      return true;
    }
    return this.state === 'head' && this.left.length === 0;
  }

  get isBetweenMessages() {
    return this.state === 'head' && this.left.length === 0;
  }

  #take(n) {
    const piece = this.left.subarray(0, n);
    this.left = this.left.subarray(n);
    return piece;
  }

  #line() {
    const end = this.left.indexOf('\r\n');
    if (end < 0) return null;
    const line = this.#take(end + 2).toString('latin1').slice(0, -2);
    return line;
  }

  #end() {
    this.state = 'head';
    this.events.end();
  }

  #step() {
    if (this.left.length === 0 && this.state !== 'length') return false;
    switch (this.state) {
      case 'head': return this.#head();
      case 'length': return this.#length();
      case 'close':
        this.events.body(this.#take(this.left.length));
        return false;
      case 'size': return this.#size();
      case 'data': return this.#data();
      case 'trailer': return this.#trailer();
      default: throw new Error(this.state);
    }
  }

  #head() {
    const end = this.left.indexOf(CRLF2);
    if (end < 0) return false;
    const raw = this.#take(end + 4).subarray(0, end);
    const { start, headers } = parseHead(raw);
    const framing = this.events.head(start, headers, raw.toString('latin1'));
    if (framing === 'again') return true;
    if (framing === null) this.#end();
    else if (framing.chunked) this.state = 'size';
    else if (framing.untilClose) this.state = 'close';
    else {
      this.state = 'length';
      this.n = framing.length;
    }
    return true;
  }

  #length() {
    if (this.n > 0) {
      if (this.left.length === 0) return false;
      const piece = this.#take(Math.min(this.n, this.left.length));
      this.n -= piece.length;
      this.events.body(piece);
    }
    if (this.n === 0) this.#end();
    return true;
  }

  #size() {
    const line = this.#line();
    if (line === null) return false;
    if (!/^[0-9a-fA-F]+(;.*)?$/.test(line)) throw new Error(`not a chunk's size: ${JSON.stringify(line)}`);
    this.n = parseInt(line, 16);
    this.state = this.n === 0 ? 'trailer' : 'data';
    return true;
  }

  #data() {
    if (this.n > 0) {
      const piece = this.#take(Math.min(this.n, this.left.length));
      this.n -= piece.length;
      this.events.body(piece);
    }
    if (this.n > 0 || this.left.length < 2) return false;
    if (this.#take(2).toString('latin1') !== '\r\n') throw new Error('a chunk without its CRLF');
    this.state = 'size';
    return true;
  }

  #trailer() {
    const line = this.#line();
    if (line === null) return false;
    if (line === '') this.#end();
    else this.trailers.push(line);
    return true;
  }
}

export const chunk = (bytes) => {
  const b = Buffer.from(bytes);
  return Buffer.concat([Buffer.from(`${b.length.toString(16)}\r\n`), b, Buffer.from('\r\n')]);
};
export const LAST_CHUNK = '0\r\n\r\n';

export const headText = (start, headers) =>
  Buffer.from(`${start}\r\n${headers.map(([n, v]) => `${n}: ${v}\r\n`).join('')}\r\n`, 'latin1');

// { a: 'b', c: ['d', 'e'] } or [['a', 'b'], ...] as a list of pairs; undefined values are left out.
export const pairs = (headers = []) =>
  (Array.isArray(headers) ? headers : Object.entries(headers).flatMap(([n, v]) => (Array.isArray(v) ? v.map((x) => [n, x]) : [[n, v]])))
    .filter(([, v]) => v !== undefined);
