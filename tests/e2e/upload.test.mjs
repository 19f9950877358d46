// Uploads: multipart of any size passes with bounded memory, byte by byte. UPLOAD_MB is the size of each (make faults T=upload: 2048).
import { test, describe, before } from 'node:test';
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { startProvider } from './lib/provider.mjs';
import { connect } from './lib/client.mjs';
import { gatewayFor } from './lib/gateway.mjs';
import { headText } from './lib/http1.mjs';
import { isSlow } from './lib/wait.mjs';

const MB = 1024 * 1024;
const SIZE = Number(process.env.UPLOAD_MB ?? 128) * MB;
const MEMORY_MAX = 16 * MB;
const BLOCK = 256 * 1024;

const EDGE = Buffer.from('--edge\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--edge\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\nContent-Type: application/octet-stream\r\n\r\n');
const TAIL = Buffer.from('\r\n--edge--\r\n');

// All pieces of the form; blocks differ by their number and are used again, so that making them costs nothing.
function* form() {
  yield EDGE;
  const block = Buffer.alloc(BLOCK);
  for (let i = 0; i < block.length; i++) block[i] = (i * 2654435761) >>> 24;
  for (let at = 0; at < SIZE; at += BLOCK) {
    block.writeDoubleBE(at, 0);
    yield block;
  }
  yield TAIL;
}

function memory(gateway) {
  const kb = (name, text) => Number(text.match(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm'))[1]) * 1024;
  const text = fs.readFileSync(`/proc/${gateway.pid}/status`, 'utf8');
  return { anon: kb('RssAnon', text), rss: kb('VmRSS', text), file: kb('RssFile', text), shared: kb('RssShmem', text) };
}

describe(`${SIZE / MB} MB of multipart`, () => {
  let provider;
  before(async () => {
    provider = await startProvider();
    provider.answer = (rq) => rq.json({ id: 'file-1', bytes: rq.length });
  });

  for (const [how, chunked, log] of [['with its length', false, {}], ['in chunks', true, {}], ['in chunks, without payloads in the log', true, { payload: 'none' }]]) {
    test(`${how}: every byte arrives, in bounded memory`, { timeout: 1_200_000 }, async (t) => {
      const gateway = await gatewayFor(provider, { config: { gateways: { default: { log } } } });
      const total = EDGE.length + SIZE + TAIL.length;
      const c = await connect(gateway);
      const reply = c.expect('POST');
      const framing = chunked ? ['Transfer-Encoding', 'chunked'] : ['Content-Length', total];
      c.send(headText('POST /openai/v1/files HTTP/1.1', [['Host', 'x'], ['Content-Type', 'multipart/form-data; boundary=edge'], framing]));
      const hash = createHash('sha256');
      const most = { anon: 0, rss: 0, unmapped: 0 };
      const look = () => {
        const m = memory(gateway);
        most.anon = Math.max(most.anon, m.anon);
        most.rss = Math.max(most.rss, m.rss);
        most.unmapped = Math.max(most.unmapped, m.rss - m.file - m.shared);
      };
      const began = performance.now();
      let pieces = 0;
      for (const piece of form()) {
        hash.update(piece);
        if (chunked) c.socket.write(`${piece.length.toString(16)}\r\n`);
        await c.send(piece);
        if (chunked) c.socket.write('\r\n');
        if (pieces++ % 8 === 0) look();
      }
      if (chunked) c.send('0\r\n\r\n');
      await reply.whole(60_000);
      look();
      const seconds = (performance.now() - began) / 1000;
      assert.equal(reply.status, 200);
      assert.equal(reply.json.bytes, total);
      assert.equal(provider.last.sha256, hash.digest('hex'));
      assert.equal(reply.header('cf-aig-cache-status'), 'BYPASS');
      const r = await gateway.log(reply);
      assert.deepEqual([r.request_size, r.status_code, r.ending], [total, 200, '--']);
      const mb = (n) => (n / MB).toFixed(1);
      t.diagnostic(`RssAnon at most ${mb(most.anon)} MB, VmRSS ${mb(most.rss)} MB (without mapped files ${mb(most.unmapped)} MB), ${(SIZE / MB / seconds).toFixed(0)} MB/s`);
      if (!isSlow) assert.ok(most.unmapped < MEMORY_MAX, `${mb(most.unmapped)} MB`);
      c.close();
      await gateway.stop();
    });
  }
});
