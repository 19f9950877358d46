// What a provider may send as an answer, and what becomes of it: security.md 1.3, the provider's side. Each row is sent raw.
// Refused: 502, or where the head has gone out already a cut that the client sees; the provider's connection is closed and not
// used again, nothing is cached, and the record says whose fault it was.
import { test, describe, before, beforeEach } from 'node:test';
import assert from 'node:assert/strict';
import { startProvider } from './lib/provider.mjs';
import { connect, request } from './lib/client.mjs';
import { gatewayFor } from './lib/gateway.mjs';
import { chatEvents, chatRequest, completion } from './lib/bodies.mjs';
import { waitFor } from './lib/wait.mjs';

const CHAT = '/openai/v1/chat/completions';
const BODY = JSON.stringify(completion('from the provider'));
const CHUNKED = 'Transfer-Encoding: chunked\r\n';
const ok = (headers = '', body = '') => `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n${headers}\r\n${body}`;
const sized = (headers = '') => ok(`Content-Length: ${BODY.length}\r\n${headers}`, BODY);
const inChunks = (text = BODY) => `${text.length.toString(16)}\r\n${text}\r\n`;
const whole = `${inChunks()}0\r\n\r\n`;

let provider, gateway;
let n = 0; // each test asks something that is not in the cache yet
before(async () => {
  provider = await startProvider();
  gateway = await gatewayFor(provider);
});
beforeEach(() => {
  provider.reset();
  n++;
});
const asked = (more) => ({ path: CHAT, body: chatRequest(`question ${n}`, more) });
const latin1 = (text) => Buffer.from(text, 'latin1');

// The same question again is asked of the provider again, on another connection than the one before.
async function isForgotten(rq, options = asked()) {
  provider.answer = (other) => other.json(completion('asked again'));
  const again = await request(gateway, options);
  assert.equal(again.status, 200);
  assert.equal(provider.requests.length, 2, 'nothing of it was kept');
  assert.notEqual(provider.last.connection, rq.connection, 'its connection is not used again');
}

// --- no answer at all ---

const refused = {
  'length and coding': [
    ['length and chunks', ok(`Content-Length: 3\r\n${CHUNKED}`, whole)],
    ['chunks and length', ok(`${CHUNKED}Content-Length: 3\r\n`, whole)],
    ['two equal lengths', ok(`Content-Length: ${BODY.length}\r\nContent-Length: ${BODY.length}\r\n`, BODY)],
    ['two different lengths', ok('Content-Length: 3\r\nContent-Length: 4\r\n', 'abcd')],
    ...['3, 3', '+3', '-3', '003', '0x3', '3 3', '3x', '', ' ', '9223372036854775808', '18446744073709551615', '18446744073709551616', '1_0'].map((v) => [`a length of ${JSON.stringify(v)}`, ok(`Content-Length: ${v}\r\n`, 'abc')]),
    ...['gzip', 'gzip, chunked', 'identity', 'chunked, identity', 'chunked, chunked', 'xchunked', '"chunked"', 'chunked;q=1', '', '\x0bchunked'].map((v) => [`a coding of ${JSON.stringify(v)}`, ok(`Transfer-Encoding: ${v}\r\n`, whole)]),
    ['chunked twice', ok(CHUNKED + CHUNKED, whole)],
    ['chunked in HTTP/1.0', ok(CHUNKED, whole).replace('HTTP/1.1', 'HTTP/1.0')],
    ['a length twice to HEAD', ok('Content-Length: 3\r\nContent-Length: 4\r\n'), 'HEAD'],
  ],
  'the status line': [
    ['no HTTP at all', 'SSH-2.0-OpenSSH_9.2\r\n\r\n'],
    ['a body without a head', `${BODY}\r\n\r\n`],
    ['an empty line ahead', `\r\n${sized()}`],
    ...['HTTP/1.1 20 OK', 'HTTP/1.1 2000 OK', 'HTTP/1.1 abc OK', 'HTTP/1.1 099 OK', 'HTTP/1.1 000 OK', 'HTTP/1.1 -20 OK', 'HTTP/1.1  200 OK', 'HTTP/1.1200 OK', 'HTTP/1.1', 'HTTP/2 200', 'HTTP/2.0 200 OK', 'HTTP/0.9 200 OK', 'HTTP/1.2 200 OK', 'HTTP/1.10 200 OK', 'http/1.1 200 OK', 'ICY 200 OK', 'RTSP/1.0 200 OK', ' HTTP/1.1 200 OK', 'HTTP/1.1\t200 OK', 'HTTP/1.1 200 O\0K', 'HTTP/1.1 200 O\x01K', 'HTTP/1.1 200 O\rK']
      .map((line) => [JSON.stringify(line), sized().replace('HTTP/1.1 200 OK', line)]),
    ['LF behind it', sized().replace('\r\n', '\n')],
    ['CR behind it', sized().replace('\r\n', '\r')],
  ],
  'fields': [
    ['a folded field', sized('X-A: b\r\n c\r\n')],
    ['a field folded with TAB', sized('X-A: b\r\n\tc\r\n')],
    ['a fold ahead of the first field', sized().replace('Content-Type', ' Content-Type')],
    ['LF behind a field', sized('X-A: b\n')],
    ['CR behind a field', sized('X-A: b\rX-B: c\r\n')],
    ['LF behind the head', sized().replace('\r\n\r\n', '\r\n\n')],
    ['NUL in a value', sized('X-A: b\0c\r\n')],
    ['NUL in a name', sized('X-A\0: b\r\n')],
    ['a control byte in a value', sized('X-A: b\x01c\r\n')],
    ['a blank ahead of a colon', sized('X-A : b\r\n')],
    ['a length with a blank ahead of its colon', ok('Content-Length : 3\r\n', 'abc')],
    ['a blank inside a name', sized('X A: b\r\n')],
    ['an empty name', sized(': b\r\n')],
    ['a line without a colon', sized('X-A\r\n')],
    ['257 fields', ok(`${'X-A: b\r\n'.repeat(255)}Content-Length: 0\r\n`)],
    ['a head of more than 64 KB', sized(`X-A: ${'b'.repeat(66_000)}\r\n`)],
    ['a head without end', `HTTP/1.1 200 OK\r\n${'X-Filler: 0123456789012345678901234567890123456789\r\n'.repeat(2000)}`],
  ],
  'informational answers': [
    ['101 that nobody asked for', 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\nbytes'],
    ['101 ahead of an answer', `HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n${sized()}`],
    ['nine of them', `${'HTTP/1.1 100 Continue\r\n\r\n'.repeat(9)}${sized()}`],
    ['one with a body', `HTTP/1.1 102 Processing\r\nContent-Length: 5\r\n\r\nhello${sized()}`],
    ['one in chunks', `HTTP/1.1 102 Processing\r\n${CHUNKED}\r\n${whole}${sized()}`],
    ['one with two lengths', `HTTP/1.1 100 Continue\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n${sized()}`],
    ['one that is folded', `HTTP/1.1 100 Continue\r\nX-A: b\r\n c\r\n\r\n${sized()}`],
  ],
};

for (const [group, rows] of Object.entries(refused)) {
  describe(`refused: ${group}`, () => {
    for (const [what, bytes, method] of rows) {
      test(`${what}: 502`, async () => {
        const options = method === 'HEAD' ? { path: '/openai/v1/models', method } : asked();
        provider.answer = (rq) => rq.done().write(latin1(bytes));
        const c = await connect(gateway);
        const reply = await c.request(options).whole();
        assert.equal(reply.status, 502);
        assert.equal(reply.header('postern-error'), 'upstream-protocol');
        if (method !== 'HEAD') {
          assert.equal(typeof reply.json.error.message, 'string');
          assert.ok(!reply.text.includes('from the provider'));
        }
        const [rq] = provider.requests;
        await rq.aborted();
        const record = await gateway.log(reply);
        assert.deepEqual([record.status_code, record.end_reason, record.cached, record.success, record.attempts], [502, 'upstream-protocol', false, false, 1]);
        assert.match(record.ending, /^U[A-Z]$/);
        assert.equal(c.extra.length, 0);
        provider.answer = (other) => other.json({});
        assert.equal((await c.request({ path: '/openai/v1/models' }).whole()).status, 200, 'the client\'s connection is in step');
        c.close();
        provider.requests.pop();
        await isForgotten(rq, options);
      });
    }
  });
}

// --- an answer that breaks off ---

// [what, bytes, 'fin' if the provider then leaves]; 'goes on': with good chunks first
const cuts = [
  ['fewer bytes than the length says', ok(`Content-Length: ${BODY.length + 1}\r\n`, BODY), 'fin'],
  ['chunks without the last', ok(CHUNKED, inChunks()), 'fin'],
  ['half a chunk', ok(CHUNKED, `fff\r\n${BODY}`), 'fin'],
  ['a last chunk without its end', ok(CHUNKED, `${inChunks()}0\r\n`), 'fin'],
  ['half a trailer', ok(CHUNKED, `${inChunks()}0\r\nX-T: t\r\n`), 'fin'],
  ['a size that is no number', ok(CHUNKED, `${inChunks()}xyz\r\n0\r\n\r\n`)],
  ['a size with a blank', ok(CHUNKED, `${inChunks()}0 \r\n\r\n`)],
  ['a size in C\'s hex', ok(CHUNKED, `${inChunks()}0x0\r\n\r\n`)],
  ['a size that ends with LF', ok(CHUNKED, `${inChunks()}0\n\r\n`)],
  ['a size of 2^64 + 1', ok(CHUNKED, `${inChunks()}10000000000000001\r\na\r\n0\r\n\r\n`)],
  ['data that is longer than its size', ok(CHUNKED, `${inChunks().replace(/\r\n$/, 'X\r\n')}0\r\n\r\n`)],
  ['an extension without a name', ok(CHUNKED, `${inChunks()}0;\r\n\r\n`)],
  ['LF in an extension', ok(CHUNKED, `${inChunks()}0;a\nb\r\n\r\n`)],
  ['a chunk line of more than 1 KB', ok(CHUNKED, `${inChunks()}0;${'e'.repeat(1100)}\r\n\r\n`)],
  ['extensions of more than 16 KB', ok(CHUNKED, `${inChunks()}${`1;${'e'.repeat(1020)}\r\n \r\n`.repeat(17)}0\r\n\r\n`), undefined, 'goes on'],
  ['a trailer that is folded', ok(CHUNKED, `${inChunks()}0\r\nX-T: t\r\n u\r\n\r\n`)],
  ['a trailer of more than 64 KB', ok(CHUNKED, `${inChunks()}0\r\n${'X-T: 0123456789012345678901234567890123456789\r\n'.repeat(2000)}\r\n`)],
];

async function sendThenLeave(rq, bytes, how) {
  await rq.done().write(latin1(bytes));
  if (how === 'fin') rq.end();
}

describe('an answer that breaks off: the client sees that it did', () => {
  for (const [what, bytes, how, goesOn] of cuts) {
    test(what, async () => {
      provider.answer = (rq) => sendThenLeave(rq, bytes, how);
      const c = await connect(gateway);
      const reply = c.request(asked());
      await reply.cut();
      const [rq] = provider.requests;
      assert.equal(reply.status, 200);
      assert.ok(BODY.startsWith(reply.text.trimEnd()), reply.text);
      await c.closed();
      assert.equal(c.extra.length, 0);
      await rq.aborted();
      const record = await gateway.log(reply);
      assert.deepEqual([record.status_code, record.truncated, record.success, record.cached], [200, true, false, false]);
      assert.equal(record.end_reason, how ? 'upstream-closed' : 'upstream-protocol');
      assert.match(record.ending, /^U[A-Z]$/);
      await isForgotten(rq);
    });

    if (!bytes.includes(CHUNKED) || goesOn) continue; // node takes data and a reset behind it for an end
    test(`${what}: an HTTP/1.0 client, to whom an end is an end, gets a reset`, async () => {
      const at = bytes.indexOf(BODY) + BODY.length;
      provider.answer = (rq) => rq.write(latin1(bytes.slice(0, at)));
      const c = await connect(gateway);
      const reply = c.expect('POST');
      const body = JSON.stringify(asked().body);
      c.send(`POST ${CHAT} HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
      await reply.has(BODY);
      await sendThenLeave(provider.requests[0], bytes.slice(at), how);
      assert.equal((await reply.cut()).code, 'ECONNRESET');
      assert.equal(reply.text, BODY);
      c.close();
    });
  }

  for (const [what, bytes] of [['nothing at all', ''], ['a part of a head', 'HTTP/1.1 200 OK\r\nContent-'], ['an informational answer only', 'HTTP/1.1 100 Continue\r\n\r\n']]) {
    test(`${what}, and the end: 502`, async () => {
      provider.closeConnections();
      provider.answer = (rq) => sendThenLeave(rq, bytes, 'fin');
      const reply = await request(gateway, asked());
      assert.equal(reply.status, 502);
      assert.equal(reply.header('postern-error'), 'upstream-closed');
      assert.equal(provider.requests.length, 1);
      const record = await gateway.log(reply);
      assert.deepEqual([record.status_code, record.end_reason], [502, 'upstream-closed']);
      await isForgotten(provider.requests[0]);
    });
  }
});
