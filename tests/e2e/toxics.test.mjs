// Providers far away and over bad lines (lib/toxics.mjs): slow, in single bytes, late, cut. What arrives is what was sent, and what
// is cut looks cut.
import { test, describe, before } from 'node:test';
import assert from 'node:assert/strict';
import { startProvider } from './lib/provider.mjs';
import { startToxics } from './lib/toxics.mjs';
import { connect, request } from './lib/client.mjs';
import { gatewayFor } from './lib/gateway.mjs';
import { makeCertificates, tlsOptions } from './lib/certificates.mjs';
import { chatEvents, chatRequest, completion, messageEvents, messageRequest, tokens } from './lib/bodies.mjs';

const CHAT = '/openai/v1/chat/completions';

for (const isTls of [false, true]) {
  describe(`over a bad line${isTls ? ', under TLS' : ''}`, () => {
    const pki = isTls ? makeCertificates() : null;
    let provider, origin, gateway;
    before(async () => {
      provider = await startProvider(isTls ? { tls: tlsOptions(pki.leaf) } : {});
      origin = await startToxics({ to: provider.port, tls: isTls });
      gateway = await gatewayFor(origin, { config: { upstream: { ...(isTls && { ca: pki.ca }), first_byte: '20s', idle: '20s' } } });
    });
    const clean = () => {
      origin.clear();
      provider.reset();
    };
    const ask = (text, more) => request(gateway, { path: CHAT, body: chatRequest(text, more), ms: 30_000 });

    test('a stream in single bytes, each late: the same bytes, the same tokens, and a hit afterwards', async () => {
      clean();
      origin.add({ type: 'slicer', average_size: 1 });
      origin.add({ type: 'latency', latency: 2, jitter: 2 });
      provider.answer = (rq) => rq.events(chatEvents());
      const body = chatRequest(`single bytes ${isTls}`, { stream: true });
      const first = await request(gateway, { path: CHAT, body, ms: 30_000 });
      assert.equal(first.text, chatEvents().join(''));
      const record = await gateway.log(first);
      assert.deepEqual([record.tokens_in, record.tokens_out, record.ending], [tokens.openai.in, tokens.openai.out, '--']);
      const second = await request(gateway, { path: CHAT, body });
      assert.equal(second.header('cf-aig-cache-status'), 'HIT');
      assert.equal(second.text, first.text);
    });

    test('an Anthropic stream in pieces that cut events anywhere', async () => {
      clean();
      origin.add({ type: 'slicer', average_size: 7, size_variation: 6 });
      provider.answer = (rq) => rq.events(messageEvents());
      const reply = await request(gateway, { path: '/anthropic/v1/messages', body: messageRequest(`pieces ${isTls}`, { stream: true }), ms: 30_000 });
      assert.equal(reply.text, messageEvents().join(''));
      const record = await gateway.log(reply);
      assert.deepEqual([record.tokens_in, record.tokens_out], [tokens.anthropic.in, tokens.anthropic.out]);
    });

    test('a request in single bytes on its way to the provider', async () => {
      clean();
      origin.add({ type: 'slicer', average_size: 1 }, 'upstream');
      const reply = await ask(`one by one ${isTls}`);
      assert.deepEqual(reply.json, completion());
      assert.equal(JSON.parse(provider.last.text).messages[0].content, `one by one ${isTls}`);
    });

    test('little bandwidth', async () => {
      clean();
      origin.add({ type: 'bandwidth', rate: 200 });
      const body = Buffer.alloc(100_000, 'abcdefghij\n');
      provider.answer = (rq) => rq.reply(200, {}, body);
      const reply = await request(gateway, { path: '/openai/v1/files/f/content', ms: 30_000 });
      assert.ok(reply.body.equals(body));
    });

    test('a provider that is slow to close what it has answered', async () => {
      clean();
      origin.add({ type: 'slow_close', delay: 300 });
      provider.answer = (rq) => rq.reply(200, { Connection: 'close' }, 'x').then(() => rq.end());
      assert.equal((await request(gateway, { path: '/openai/v1/close' })).text, 'x');
      assert.equal((await request(gateway, { path: '/openai/v1/close' })).text, 'x');
    });

    test('limit_data inside a stream: cut for the client, nothing is kept', async () => {
      clean();
      const c = await connect(gateway);
      const body = chatRequest(`limited ${isTls}`, { stream: true });
      const reply = c.request({ path: CHAT, body });
      const s = (await provider.next()).stream();
      s.send(chatEvents()[0]);
      await reply.has('data:');
      origin.add({ type: 'limit_data', bytes: 100 });
      s.send(chatEvents().join(''));
      await reply.cut();
      const record = await gateway.log(reply);
      assert.deepEqual([record.truncated, record.end_reason, record.ending], [true, 'upstream-closed', 'UD']);
      clean();
      provider.answer = (rq) => rq.events(chatEvents());
      const again = await request(gateway, { path: CHAT, body });
      assert.equal(again.header('cf-aig-cache-status'), 'MISS');
      assert.equal(again.text, chatEvents().join(''));
    });

    test('reset_peer inside a stream: the same', async () => {
      clean();
      const c = await connect(gateway);
      const reply = c.request({ path: CHAT, body: chatRequest(`reset ${isTls}`, { stream: true }) });
      const s = (await provider.next()).stream();
      s.send(chatEvents()[0]);
      await reply.has('data:');
      origin.add({ type: 'reset_peer', timeout: 0 });
      await reply.cut();
      assert.equal((await gateway.log(reply)).end_reason, 'upstream-closed');
    });

    test('timeout: a line on which nothing passes any more is given up', async () => {
      clean();
      const hasty = await gatewayFor(origin, { config: { upstream: { ...(isTls && { ca: pki.ca }), first_byte: '1500ms' } } });
      assert.equal((await request(hasty, { path: '/openai/v1/warm' })).status, 200); // the connection is there
      origin.add({ type: 'timeout', timeout: 0 });
      const reply = await request(hasty, { path: '/openai/v1/lost' });
      assert.equal(reply.status, 504);
      assert.equal(reply.header('postern-error'), 'upstream-timeout');
    });

    test('a provider that is switched off and on again', async () => {
      clean();
      origin.enabled = false;
      for (const link of [...origin.links]) link.close(false);
      const off = await ask(`off ${isTls}`);
      assert.equal(off.status, 502);
      assert.match(off.header('postern-error'), isTls ? /^upstream-tls$/ : /^upstream-closed$/);
      origin.enabled = true;
      assert.equal((await ask(`off ${isTls}`)).status, 200);
    });
  });
}
