// An HTTP proxy on loopback that knows CONNECT, wherever the name leads: every tunnel ends at `to`.
//
//   const proxy = await startProxy({ to: provider.port });
//   proxy.requests   { target, headers, raw } of each request     proxy.tunnels   how many are open
//   proxy.answer = (request, socket, open) => ...                 open(): the standard way, 200 and a tunnel
import net from 'node:net';
import { headerOf, parseHead } from './http1.mjs';
import { willClose } from './cleanup.mjs';

class Proxy {
  constructor({ to }) {
    this.requests = [];
    this.tunnels = 0;
    this.before = []; // bytes that came before a tunnel was open, behind the head of a request
    this.inside = []; // bytes that went through, of the gateway
    this.sockets = new Set();
    this.to = to;
    this.answer = (request, socket, open) => open();
    this.server = net.createServer({ noDelay: true }, (socket) => this.#accept(socket));
  }

  #keep(socket) {
    this.sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => this.sockets.delete(socket));
  }

  #accept(socket) {
    this.#keep(socket);
    let left = Buffer.alloc(0);
    const look = (bytes) => {
      left = Buffer.concat([left, bytes]);
      const end = left.indexOf('\r\n\r\n');
      if (end < 0) return;
      const raw = left.subarray(0, end + 4).toString('latin1');
      const { start, headers } = parseHead(left.subarray(0, end));
      const request = { start, method: start.split(' ')[0], target: start.split(' ')[1], headers, raw, header: (name) => headerOf(headers, name) };
      left = left.subarray(end + 4);
      if (left.length > 0) this.before.push(left);
      socket.off('data', look);
      socket.on('data', (b) => !request.isOpen && this.before.push(b));
      this.requests.push(request);
      this.answer(request, socket, (head) => this.#open(request, socket, head));
    };
    socket.on('data', look);
  }

  #open(request, socket, head = 'HTTP/1.1 200 Connection established\r\n\r\n') {
    const out = net.connect({ host: '127.0.0.1', port: this.to, noDelay: true });
    this.#keep(out);
    out.on('connect', () => {
      request.isOpen = true;
      this.tunnels++;
      socket.write(head);
      socket.on('data', (b) => {
        this.inside.push(b);
        out.write(b);
      });
      out.pipe(socket);
      socket.on('end', () => out.end());
      for (const s of [socket, out]) s.on('close', () => [socket, out].forEach((x) => x.destroy()));
      socket.on('close', () => this.tunnels--);
    });
  }

  async listen() {
    await new Promise((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    this.port = this.server.address().port;
    this.url = `http://127.0.0.1:${this.port}`;
    return this;
  }

  close() {
    for (const s of this.sockets) s.destroy();
    return new Promise((resolve) => this.server.close(resolve));
  }
}

export function startProxy(options) {
  const proxy = new Proxy(options);
  willClose(proxy);
  return proxy.listen();
}
