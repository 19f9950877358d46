// Who is held back is let on again: whatever a request's body waits for comes, and is told.
import { test, describe, before, beforeEach } from 'node:test';
import { setTimeout as elapse } from 'node:timers/promises'; // "nothing goes out any more"
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { startProvider } from './lib/provider.mjs';
import { connect, request } from './lib/client.mjs';
import { gatewayFor } from './lib/gateway.mjs';
import { chunk, LAST_CHUNK } from './lib/http1.mjs';
import { chatRequest, completion } from './lib/bodies.mjs';
import { waitFor, within } from './lib/wait.mjs';

const CHAT = '/openai/v1/chat/completions';
const KB = 1024;
let provider;
before(async () => {
  provider = await startProvider();
});
beforeEach(() => provider.reset());

describe('a held body that outgrows limits.body', () => {
  for (const [where, isWarm] of [['a new connection', false], ['one that is there already', true]]) {
    test(`goes on as a stream over ${where}`, async () => {
      const gateway = await gatewayFor(provider, { config: { limits: { body: '512KB' } } });
      provider.answer = (rq) => rq.json(completion(String(rq.length)));
      if (isWarm) assert.equal((await request(gateway, { path: CHAT, body: chatRequest('warm') })).status, 200);
      const body = Buffer.from(JSON.stringify(chatRequest('a'.repeat(1024 * KB))));
      const c = await connect(gateway);
      const reply = c.expect('POST');
      c.send(`POST ${CHAT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n`);
      // both halves apart: what comes with the piece that makes it too large is not what is waited for
      c.send(chunk(body.subarray(0, 600 * KB)));
      c.send(chunk(body.subarray(600 * KB)));
      c.send(LAST_CHUNK);
      await reply.whole();
      assert.equal(reply.status, 200);
      assert.equal(provider.last.length, body.length);
      assert.equal(provider.requests.every((rq) => rq.connection === provider.last.connection), true);
      c.close();
      await gateway.stop();
    });
  }
});

// Sends chunks until one does not go out any more; returns how many bytes they carry. Chunks of more than 16 KB are written one by
// one, so that what waits for the other side grows by one of them at a time.
async function fill(c, most) {
  const piece = Buffer.alloc(20 * KB, 'x');
  for (let sent = 0; sent < most; ) {
    sent += piece.length;
    const isOut = await Promise.race([c.send(chunk(piece)).then(() => true), elapse(500)]);
    if (!isOut) return sent;
  }
  return assert.fail(`the gateway took ${most} bytes that nobody read`);
}

describe('memory is short', () => {
  // Then the gateway holds 32 KB for a provider that does not read, and no more: less than what it takes for granted else.
  async function shortOfMemory(config = {}) {
    const gateway = await gatewayFor(provider, { config: { limits: { memory: '64GB' }, ...config } });
    const file = `${gateway.data}.yaml`;
    const held = [];
    return Object.assign(gateway, {
      held,
      shorten: async () => {
        for (let i = 0; i < 40; i++) {
          held.push(await connect(gateway));
          await held[i].send(`POST ${CHAT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n${'a'.repeat(50_000)}`);
        }
        fs.writeFileSync(file, JSON.stringify({ ...JSON.parse(fs.readFileSync(file)), limits: { memory: '1MB' } }));
        gateway.signal('SIGHUP');
        await waitFor(async () => (await request(gateway, { path: '/-/readyz' })).text !== 'ready\n', 'the ceiling is felt');
      },
    });
  }

  test('an upload goes on when the provider reads again', async () => {
    const gateway = await shortOfMemory();
    const c = await connect(gateway);
    const reply = c.expect('POST');
    c.send('POST /openai/v1/files HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=edge\r\nTransfer-Encoding: chunked\r\n\r\n');
    const rq = await provider.nextHead();
    rq.socket.pause();
    await gateway.shorten();
    const sent = await fill(c, 64 * 1024 * KB);
    rq.socket.resume();
    c.send(LAST_CHUNK);
    await within(rq.onBody.promise, () => `the rest of ${sent} bytes; ${rq.length} came`);
    assert.equal(rq.length, sent);
    rq.json({});
    await reply.whole();
    for (const one of [c, ...gateway.held]) one.close();
    await gateway.stop();
  });
});
