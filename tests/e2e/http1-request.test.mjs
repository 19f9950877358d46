// What a client may send as a request and what of it the provider gets, on the wire: security.md 1.3, the client's side.
// Each row is sent raw through the real binary. Refused: one clean answer, the end of the connection, not a byte at the
// provider, and what is pipelined behind is not answered. Accepted: exactly these requests at the provider, framed anew.
import { test, describe, before, beforeEach } from 'node:test';
import assert from 'node:assert/strict';
import { startProvider } from './lib/provider.mjs';
import { connect, request } from './lib/client.mjs';
import { gatewayFor } from './lib/gateway.mjs';

const H = 'Host: x\r\n';
const NEXT = `GET /openai/v1/smuggled HTTP/1.1\r\n${H}\r\n`;
const CHAT = '/openai/v1/chat/completions';
const JSON_TYPE = 'Content-Type: application/json\r\n';
const CHUNKED = 'Transfer-Encoding: chunked\r\n';
const get = (headers = '', target = '/openai/v1/models') => `GET ${target} HTTP/1.1\r\n${H}${headers}\r\n`;
const post = (headers, body = '', target = CHAT) => `POST ${target} HTTP/1.1\r\n${H}${JSON_TYPE}${headers}\r\n${body}`;
const chunks = (text) => post(CHUNKED, text);

let provider, gateway;
before(async () => {
  provider = await startProvider();
  gateway = await gatewayFor(provider, { config: { providers: { bare: { base_url: provider.url } } } });
});
beforeEach(() => provider.reset());

// --- refused ---

// [what, bytes] or [what, bytes, status, word]; the group's status and word where a row has none
const refusals = {
  'the length of a body': [400, 'bad-framing', [
    ['length and chunks', post(`Content-Length: 5\r\n${CHUNKED}`, '0\r\n\r\n')],
    ['chunks and length', post(`${CHUNKED}Content-Length: 5\r\n`, '0\r\n\r\n')],
    ['chunks and a length of 0', post(`${CHUNKED}Content-Length: 0\r\n`, '0\r\n\r\n')],
    ['two equal lengths', post('Content-Length: 5\r\nContent-Length: 5\r\n', 'abcde')],
    ['two different lengths', post('Content-Length: 5\r\ncontent-length: 0\r\n', 'abcde')],
    ['a list of equal lengths', post('Content-Length: 5, 5\r\n', 'abcde')],
    ['a length with a plus', post('Content-Length: +5\r\n', 'abcde')],
    ['a length with a minus', post('Content-Length: -5\r\n', 'abcde')],
    ['a length in hex', post('Content-Length: 0x5\r\n', 'abcde')],
    ['a length with an underscore', post('Content-Length: 1_0\r\n', 'abcdefghij')],
    ['a length with a blank inside', post('Content-Length: 1 0\r\n', 'abcdefghij')],
    ['a length with a fraction', post('Content-Length: 5.0\r\n', 'abcde')],
    ['a length with a comma', post('Content-Length: 5,\r\n', 'abcde')],
    ['an empty length', post('Content-Length:\r\n')],
    ['a blank length', post('Content-Length:  \t \r\n')],
    ['a length with leading zeros', post('Content-Length: 005\r\n', 'abcde')],
    ['a length of 2^63', post('Content-Length: 9223372036854775808\r\n')],
    ['a length of 2^64 - 1', post('Content-Length: 18446744073709551615\r\n')],
    ['a length of 2^64', post('Content-Length: 18446744073709551616\r\n')],
    ['a length of 2^64 + 5', post('Content-Length: 18446744073709551621\r\n', 'abcde')],
    ['a length of 2^32 in a GET, twice', get('Content-Length: 4294967296\r\nContent-Length: 0\r\n')],
  ]],
  'the transfer coding': [400, 'bad-framing', [
    ['chunked twice', post(CHUNKED + CHUNKED, '0\r\n\r\n')],
    ['chunked twice in a list', post('Transfer-Encoding: chunked, chunked\r\n', '0\r\n\r\n')],
    ['identity', post('Transfer-Encoding: identity\r\n')],
    ['chunked, then identity', post('Transfer-Encoding: chunked, identity\r\n', '0\r\n\r\n')],
    ['identity in a field of its own', post(`Transfer-Encoding: identity\r\n${CHUNKED}`, '0\r\n\r\n')],
    ['a coding that is not known, last', post('Transfer-Encoding: gzip\r\n')],
    ['gzip and chunked in two fields', post(`Transfer-Encoding: gzip\r\n${CHUNKED}`, '0\r\n\r\n')],
    ['a known coding ahead of chunked', post('Transfer-Encoding: gzip, chunked\r\n', '0\r\n\r\n'), 501, 'not-implemented'],
    ['xchunked', post('Transfer-Encoding: xchunked\r\n', '0\r\n\r\n')],
    ['chunkedx', post('Transfer-Encoding: chunkedx\r\n', '0\r\n\r\n')],
    ['chunked with a parameter', post('Transfer-Encoding: chunked;q=1\r\n', '0\r\n\r\n')],
    ['chunked in quotes', post('Transfer-Encoding: "chunked"\r\n', '0\r\n\r\n')],
    ['chunked behind a vertical tab', post('Transfer-Encoding: \x0bchunked\r\n', '0\r\n\r\n'), 400, 'bad-request'],
    ['chunked behind a byte above 127', post('Transfer-Encoding: \xa0chunked\r\n', '0\r\n\r\n')],
    ['an empty coding', post('Transfer-Encoding:\r\n')],
    ['an empty coding and a length', post('Transfer-Encoding:\r\nContent-Length: 5\r\n', 'abcde')],
    ['an empty coding and chunked', post(`Transfer-Encoding:\r\n${CHUNKED}`, '0\r\n\r\n')],
    ['a comma ahead of chunked', post('Transfer-Encoding: , chunked\r\n', '0\r\n\r\n'), 501, 'not-implemented'],
    ['chunked in HTTP/1.0', `POST ${CHAT} HTTP/1.0\r\n${H}${CHUNKED}\r\n0\r\n\r\n`],
    ['chunked in HTTP/1.0 with keep-alive', `POST ${CHAT} HTTP/1.0\r\n${H}Connection: keep-alive\r\n${CHUNKED}\r\n0\r\n\r\n`],
    ['Transfer_Encoding and a length', post('Transfer_Encoding: chunked\r\nContent-Length: 5\r\n', 'abcde')],
    ['Transfer_Encoding alone', post('transfer_encoding: chunked\r\n', '0\r\n\r\n')],
    ['Content_Length', post('Content_Length: 5\r\n', 'abcde')],
    ['Content__Length and a length', post('Content__Length: 5\r\nContent-Length: 0\r\n')],
  ]],
  'chunks': [400, 'bad-framing', [
    ['a size in C\'s hex', chunks('0x3\r\nabc\r\n0\r\n\r\n')],
    ['a size with a plus', chunks('+3\r\nabc\r\n0\r\n\r\n')],
    ['a size with a minus', chunks('-3\r\nabc\r\n0\r\n\r\n')],
    ['a size with an underscore', chunks('1_0\r\nabcdefghijklmnop\r\n0\r\n\r\n')],
    ['a size ahead of a blank', chunks('3 \r\nabc\r\n0\r\n\r\n')],
    ['a size behind a blank', chunks(' 3\r\nabc\r\n0\r\n\r\n')],
    ['a size that is no number', chunks('g\r\nabc\r\n0\r\n\r\n')],
    ['an empty size', chunks('\r\nabc\r\n0\r\n\r\n')],
    ['a size of 2^64 + 3', chunks('10000000000000003\r\nabc\r\n0\r\n\r\n')],
    ['a size of 2^63', chunks('8000000000000000\r\nabc\r\n0\r\n\r\n')],
    ['a size that ends with LF', chunks('3\nabc\r\n0\r\n\r\n')],
    ['a size that ends with CR', chunks('3\rabc\r\n0\r\n\r\n')],
    ['the last size ends with LF', chunks('3\r\nabc\r\n0\n\n')],
    ['data without CRLF', chunks('3\r\nabc0\r\n\r\n')],
    ['data that is longer than its size', chunks('3\r\nabcd\r\n0\r\n\r\n')],
    ['data that ends with LF', chunks('3\r\nabc\n0\r\n\r\n')],
    ['two bytes that are not CRLF', chunks('3\r\nabcXX0\r\n\r\n')],
    ['an extension without a name', chunks('3;\r\nabc\r\n0\r\n\r\n')],
    ['LF in an extension', chunks('3;a=b\nxx\r\nabc\r\n0\r\n\r\n')],
    ['CR in an extension', chunks('3;a=b\rxx\r\nabc\r\n0\r\n\r\n')],
    ['LF in a quoted extension', chunks('3;a="b\n"\r\nabc\r\n0\r\n\r\n')],
    ['NUL in an extension', chunks('3;a=\0b\r\nabc\r\n0\r\n\r\n')],
    ['a chunk line of 1025 bytes', chunks(`3;${'e'.repeat(1021)}\r\nabc\r\n0\r\n\r\n`)],
    ['a size padded to more than 1 KB', chunks(`${'0'.repeat(1100)}3\r\nabc\r\n0\r\n\r\n`)],
    ['extensions of more than 16 KB in all', chunks(`${`1;${'e'.repeat(1020)}\r\na\r\n`.repeat(17)}0\r\n\r\n`)],
    ['a trailer that is folded', chunks('0\r\nX-T: a\r\n b\r\n\r\n')],
    ['a trailer with LF', chunks('0\r\nX-T: a\n\r\n')],
    ['a trailer with a blank before its colon', chunks('0\r\nX-T : a\r\n\r\n')],
    ['a trailer without a colon', chunks('0\r\nX-T\r\n\r\n')],
    ['a length in the trailer', chunks('0\r\nContent-Length: 5\r\n\r\n')],
    ['a coding in the trailer', chunks('0\r\nTransfer-Encoding: chunked\r\n\r\n')],
    ['the request behind in place of the last CRLF', chunks('0\r\n')],
  ]],
  'Host': [400, 'bad-host', [
    ['none', 'GET /openai/v1/models HTTP/1.1\r\nAccept: */*\r\n\r\n'],
    ['two', get(H)],
    ['two different', get('Host: y\r\n')],
    ['two in HTTP/1.0', `GET /openai/v1/models HTTP/1.0\r\n${H}${H}\r\n`],
    ['Host_ besides', get('Host_: y\r\n')],
    ...['', 'x/y', 'u@x', 'x,y', 'x y', 'x:', 'x:port', 'x:99999', 'x:80:80', '[::1', '::1', 'x?y', 'x#y', 'x\\y', 'x\ty', '\xe4', '/', '*', 'x%00'].map((h) =>
      [JSON.stringify(h), `GET /openai/v1/models HTTP/1.1\r\nHost: ${h}\r\n\r\n`]),
    ['another than the target\'s', get('', 'http://y/openai/v1/models')],
    ['another port than the target\'s', get('', 'http://x:81/openai/v1/models')],
  ]],
  'the target': [400, 'bad-path', [
    ['with a fragment', get('', '/openai/v1/models#frag')],
    ['with a fragment in absolute form', get('', 'http://x/openai/v1/models#frag')],
    ['with a byte above 127', get('', '/openai/v1/mod\xe8les'), 400, 'bad-request'],
    ['with DEL', get('', '/openai/v1/mod\x7fels'), 400, 'bad-request'],
    ['with NUL', get('', '/openai/v1/mod\0els'), 400, 'bad-request'],
    ['with TAB', get('', '/openai/v1/mod\tels'), 400, 'bad-request'],
    ['with a blank', get('', '/openai/v1/mod els'), 400, 'bad-request'],
    ['with a vertical tab', get('', '/openai/v1/mod\x0bels'), 400, 'bad-request'],
    ['in absolute form with a user', get('', 'http://u@x/openai/v1/models'), 400, 'bad-request'],
    ['in absolute form without a host', get('', 'http:///openai/v1/models'), 400, 'bad-request'],
    ['of another scheme', get('', 'ftp://x/openai/v1/models'), 400, 'bad-request'],
    ['of a file', get('', 'file:///etc/passwd'), 400, 'bad-request'],
    ['without a slash', get('', 'openai/v1/models'), 400, 'bad-request'],
    ['an authority', get('', 'x:443'), 400, 'bad-request'],
    ['empty', get('', ''), 400, 'bad-request'],
    ['* of GET', get('', '*'), 400, 'bad-request'],
    ['* of POST', post('Content-Length: 0\r\n', '', '*'), 400, 'bad-request'],
    ...['/openai/../v1', '/openai/v1/..', '/openai/v1/../../x', '/openai/v1/.%2e/x', '/openai/v1/%2e%2E/x', '/openai/./v1/x', '/./openai/v1/x', '/openai/v1/%2e'].map((t) => [t, get('', t)]),
  ]],
  'version and method': [400, 'bad-request', [
    ['HTTP/0.9', 'GET /openai/v1/models\r\n\r\n', 505, 'bad-version'],
    ['HTTP/0.9 as a number', get().replace('HTTP/1.1', 'HTTP/0.9'), 505, 'bad-version'],
    ['HTTP/1.2', get().replace('HTTP/1.1', 'HTTP/1.2'), 505, 'bad-version'],
    ['HTTP/2.0', get().replace('HTTP/1.1', 'HTTP/2.0'), 505, 'bad-version'],
    ['HTTP/3', get().replace('HTTP/1.1', 'HTTP/3'), 505, 'bad-version'],
    ['HTTP/1.10', get().replace('HTTP/1.1', 'HTTP/1.10')],
    ['HTTP/01.1', get().replace('HTTP/1.1', 'HTTP/01.1'), 505, 'bad-version'],
    ['http/1.1', get().replace('HTTP/1.1', 'http/1.1')],
    ['HTTP/1,1', get().replace('HTTP/1.1', 'HTTP/1,1'), 505, 'bad-version'],
    ['RTSP/1.0', 'DESCRIBE /openai/v1/models RTSP/1.0\r\nHost: x\r\n\r\n'],
    ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0', 505, 'bad-version'],
    ['two blanks behind the method', get().replace('GET ', 'GET  ')],
    ['two blanks ahead of the version', get().replace(' HTTP', '  HTTP')],
    ['a blank behind the version', get().replace('HTTP/1.1', 'HTTP/1.1 ')],
    ['TAB in the request line', get().replace('GET ', 'GET\t')],
    ['a blank ahead of the method', ` ${get()}`],
    ['a method of lower case', get().replace('GET', 'get'), 501, 'not-implemented'],
    ['a method that nobody knows', get().replace('GET', 'FROBNICATE'), 501, 'not-implemented'],
    ['a method that is known and more', get().replace('GET', 'GETS'), 501, 'not-implemented'],
    ['a method without end', `${'A'.repeat(100_000)} / HTTP/1.1\r\n${H}\r\n`, 501, 'not-implemented'],
    ['a method in quotes', get().replace('GET', '"GET"')],
    ['CONNECT', `CONNECT api.openai.com:443 HTTP/1.1\r\nHost: api.openai.com:443\r\n\r\n`, 405, 'method-not-allowed'],
    ['CONNECT of a path', `CONNECT /openai/v1/models HTTP/1.1\r\n${H}\r\n`, 405, 'method-not-allowed'],
    ['TRACE', `TRACE /openai/v1/models HTTP/1.1\r\n${H}\r\n`, 405, 'method-not-allowed'],
    ['TLS', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'],
  ]],
  'lines and fields': [400, 'bad-request', [
    ['LF behind the request line', get().replace('HTTP/1.1\r\n', 'HTTP/1.1\n')],
    ['CR behind the request line', get().replace('HTTP/1.1\r\n', 'HTTP/1.1\r')],
    ['LF behind a field', get('X-A: b\n')],
    ['CR behind a field', get('X-A: b\rX-B: c\r\n')],
    ['LF behind the head', get().replace('\r\n\r\n', '\r\n\n')],
    ['LF everywhere', get().replaceAll('\r\n', '\n')],
    ['CR CR LF', get('X-A: b\r\r\n')],
    ['a folded field', get('X-A: b\r\n c\r\n')],
    ['a field folded with TAB', get('X-A: b\r\n\tc\r\n')],
    ['a fold ahead of the first field', `GET /openai/v1/models HTTP/1.1\r\n ${H}\r\n`],
    ['a folded Host', 'GET /openai/v1/models HTTP/1.1\r\nHost:\r\n x\r\n\r\n'],
    ['a folded coding', post('Transfer-Encoding:\r\n chunked\r\n', '0\r\n\r\n')],
    ['NUL in a value', get('X-A: b\0c\r\n')],
    ['NUL in a name', get('X-A\0: b\r\n')],
    ['NUL at the front of a value', get('X-A:\0b\r\n')],
    ['a control byte in a value', get('X-A: b\x01c\r\n')],
    ['DEL in a value', get('X-A: b\x7fc\r\n')],
    ['a blank ahead of a colon', post('Content-Length : 5\r\n', 'abcde')],
    ['TAB ahead of a colon', post('Content-Length\t: 5\r\n', 'abcde')],
    ['a blank ahead of chunked\'s colon', post('Transfer-Encoding : chunked\r\n', '0\r\n\r\n')],
    ['a blank inside a name', get('X A: b\r\n')],
    ['a name with brackets', get('X-(A): b\r\n')],
    ['a name with a slash', get('X/A: b\r\n')],
    ['a name with a byte above 127', get('X-\xe4: b\r\n')],
    ['an empty name', get(': b\r\n')],
    ['a line without a colon', get('X-A\r\n')],
    ['Expect with another value', post('Expect: 200-ok\r\nContent-Length: 5\r\n', 'abcde'), 417, 'expectation-failed'],
    ['Expect twice', post('Expect: 100-continue\r\nExpect: 100-continue\r\nContent-Length: 5\r\n', 'abcde'), 417, 'expectation-failed'],
    ['Expect with more than one value', post('Expect: 100-continue, x\r\nContent-Length: 5\r\n', 'abcde'), 417, 'expectation-failed'],
  ]],
  'what Connection may not name': [400, 'bad-header', [
    ...['Host', 'Content-Length', 'Transfer-Encoding', 'Authorization', 'x-api-key', 'api-key', 'X-GOOG-API-KEY', 'xi-api-key', 'Cookie', 'Cache-Control', 'anthropic-version', 'anthropic-beta',
      'openai-organization', 'openai-beta', 'cf-aig-cache-key', 'cf-aig-anything', 'postern-x', 'content-type', 'content-encoding'].map((n) => [n, get(`Connection: ${n}\r\n`)]),
    ['Authorization in a list', get('Connection: keep-alive ,\tauthorization, x\r\n')],
    ['Authorization in a second field', get('Connection: keep-alive\r\nConnection: Authorization\r\n')],
    ['Authorization, with a body', post('Connection: Authorization\r\nContent-Length: 2\r\n', '{}')],
  ]],
};

const isOwnJson = (reply) => {
  assert.equal(reply.header('content-type'), 'application/json');
  assert.equal(typeof reply.json.error.message, 'string');
  assert.ok(!/postern\.c|assert|0x/.test(reply.text));
};

for (const [group, [groupStatus, groupWord, rows]] of Object.entries(refusals)) {
  describe(`refused, and never forwarded: ${group}`, () => {
    for (const [what, bytes, status = groupStatus, word = groupWord] of rows) {
      test(`${what}: ${status}`, async () => {
        const { applicationBytes, connections } = provider;
        const c = await connect(gateway);
        const reply = c.expect(/^\w+/.exec(bytes)?.[0] ?? 'GET');
        c.send(bytes + NEXT);
        await reply.whole();
        assert.equal(reply.status, status);
        assert.equal(reply.header('postern-error'), word);
        assert.equal(reply.header('connection'), 'close');
        isOwnJson(reply);
        await c.closed();
        assert.equal(c.extra.length, 0, 'one answer, no more');
        assert.equal(provider.applicationBytes, applicationBytes, 'bytes at the provider');
        assert.equal(provider.connections, connections, 'connections to the provider');
      });
    }
  });
}
