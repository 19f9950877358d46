// Embeddings by item, cache.split_embeddings: the inputs of a batch are looked up one by one, only the missing ones go to the
// provider, the answer is put together in order.
import { test, describe, before, beforeEach } from 'node:test';
import assert from 'node:assert/strict';
import { gzipSync } from 'node:zlib';
import OpenAI from 'openai';
import { startProvider } from './lib/provider.mjs';
import { request, connect } from './lib/client.mjs';
import { gatewayFor } from './lib/gateway.mjs';
import { waitFor } from './lib/wait.mjs';

const PATH = '/openai/v1/embeddings';
const MODEL = 'text-embedding-3-small';
const split = (more) => ({ cache: { split_embeddings: true, ...more } });

let provider, gateway;
before(async () => {
  provider = await startProvider();
  gateway = await gatewayFor(provider, {
    config: {
      gateways: { default: split(), apart: { cache: { split_embeddings: false } }, sealed: split({ seal: true }), own: split({ ignore: ['trace'] }), lasting: { ...split(), on_disconnect: 'finish' } },
    },
  });
});

// --- a provider whose vectors tell the text that they are of ---

const DIMENSIONS = 8;
const vectorOf = (input, n = DIMENSIONS) => {
  const text = JSON.stringify(input);
  return Array.from({ length: n }, (_, i) => Math.fround(((text.charCodeAt(i % text.length) * (i + 7) + text.length) % 97) / 97 - 0.5));
};
const valueOf = (input, body) => {
  const v = vectorOf(input, body.dimensions);
  return body.encoding_format === 'base64' ? Buffer.from(Float32Array.from(v).buffer).toString('base64') : v;
};
const tokensOf = (input) => input.length;
const answerTo = (body) => {
  const inputs = Array.isArray(body.input) && typeof body.input[0] !== 'number' ? body.input : [body.input];
  const tokens = inputs.reduce((sum, i) => sum + tokensOf(i), 0);
  return {
    object: 'list',
    data: inputs.map((input, index) => ({ object: 'embedding', index, embedding: valueOf(input, body) })),
    model: `${body.model}-1`,
    usage: { prompt_tokens: tokens, total_tokens: tokens },
  };
};
const embed = (rq) => rq.json(answerTo(JSON.parse(rq.text)));

let serial = 0;
beforeEach(() => {
  provider.reset();
  provider.answer = embed;
  serial++;
});

const items = (reply) => reply.header('postern-cache-items');
const verdict = (reply) => reply.header('cf-aig-cache-status');
const told = (reply) => [reply.status, verdict(reply), items(reply)];
const t = (...names) => names.map((name) => `${name} ${serial}`);
const asked = () => provider.requests.map((rq) => JSON.parse(rq.text).input);
const ask = (input, { path = PATH, headers = {}, key = 'sk-one', ...more } = {}) => request(gateway, { path, headers: { Authorization: `Bearer ${key}`, ...headers }, body: { model: MODEL, input, ...more } });
const vectors = (reply) => reply.json.data.map((d) => d.embedding);
// Large answers are taken apart behind the exchange. Each time in another order, so that no whole answer is in the cache.
const untilAll = async (inputs, options) => {
  let order = inputs;
  return waitFor(async () => {
    order = [...order.slice(1), order[0]];
    const reply = await ask(order, options);
    return items(reply) === `${inputs.length}/${inputs.length}` && { order, reply };
  }, 'each embedding in the store');
};
const assertRight = (reply, input, body = {}) => {
  assert.deepEqual(reply.json.data.map((d) => d.index), input.map((_, i) => i));
  assert.deepEqual(vectors(reply), input.map((i) => valueOf(i, body)));
};

describe('a batch', () => {
  test('whose inputs are all missing goes as it is; whole, again, it is a usual hit', async () => {
    const body = `{ "model":"${MODEL}",\n "input" : ["x \\u00e4 ${serial}", "y ${serial}"] }`;
    const reply = await request(gateway, { path: PATH, headers: { Authorization: 'Bearer sk-one' }, body });
    assert.deepEqual(told(reply), [200, 'MISS', undefined]);
    assert.equal(provider.last.text, body);
    const again = await request(gateway, { path: PATH, headers: { Authorization: 'Bearer sk-one' }, body });
    assert.deepEqual(told(again), [200, 'HIT', undefined]);
    assert.equal(again.text, reply.text);
  });

  test('whose inputs are all there, in another order and of several batches, needs no provider', async () => {
    const [a, b, c, d] = t('a', 'bb', 'ccc', 'dddd');
    await ask([a, b]);
    await ask([c, d]);
    const reply = await ask([d, a, c]);
    assert.deepEqual(told(reply), [200, 'HIT', '3/3']);
    assertRight(reply, [d, a, c]);
    const n = d.length + a.length + c.length;
    assert.deepEqual([reply.json.object, reply.json.model, reply.json.usage], ['list', `${MODEL}-1`, { prompt_tokens: n, total_tokens: n }]);
    assert.equal(reply.header('content-type'), 'application/json');
    assert.ok(Number(reply.header('age')) >= 0);
    assert.equal(provider.requests.length, 2);
    const record = await gateway.log(reply);
    assert.deepEqual([record.cached, record.cache_status, record.cost, record.attempts, record.tokens_in, record.success, record.stream], [true, 'HIT', 0, 0, n, true, false]);
    assert.equal(record.response, reply.text);
    assert.deepEqual(JSON.parse(record.request).input, [d, a, c]);
  });

  test('whose inputs are partly there: the provider sees what is missing, the caller everything in order', async () => {
    const [a, b, c, d] = t('a', 'b', 'c', 'd');
    await ask([a, c]);
    provider.answer = (rq) => rq.json(answerTo(JSON.parse(rq.text)), { headers: { 'x-request-id': 'req_7', ETag: '"of the part"' } });
    const reply = await ask([a, b, c, d]);
    assert.deepEqual(told(reply), [200, 'MISS', '2/4']);
    assertRight(reply, [a, b, c, d]);
    assert.deepEqual(asked(), [[a, c], [b, d]]);
    const n = b.length + d.length;
    assert.deepEqual(reply.json.usage, { prompt_tokens: n, total_tokens: n });
    assert.deepEqual([reply.header('x-request-id'), reply.header('etag')], ['req_7', undefined]);
    assert.equal(Number(reply.header('content-length')), reply.length);
    const record = await gateway.log(reply);
    assert.deepEqual([record.cached, record.cache_status, record.attempts, record.tokens_in, record.success], [false, 'MISS', 1, n, true]);
    assert.equal(record.response, reply.text);
    assert.deepEqual(JSON.parse(record.request).input, [a, b, c, d]);
    assert.deepEqual(told(await ask([d, b])), [200, 'HIT', '2/2'], 'what came is kept, too');
    assert.equal(provider.requests.length, 2);
  });

  test('the other members go as they were, in their order', async () => {
    const [a, b, c] = t('a', 'b', 'c');
    const body = (input) => `{"user":"u\\n", "input":${JSON.stringify(input)}, "dimensions": 4, "model":"${MODEL}","encoding_format":"float"}`;
    const send = (input) => request(gateway, { path: PATH, headers: { Authorization: 'Bearer sk-one' }, body: body(input) });
    await send([a, b]);
    const reply = await send([c, a]);
    assert.deepEqual(told(reply), [200, 'MISS', '1/2']);
    assert.equal(provider.last.text, `{"user":"u\\n","input":["${c}"],"dimensions":4,"model":"${MODEL}","encoding_format":"float"}`);
    assert.equal(Number(provider.last.header('content-length')), provider.last.length);
  });

  test('the same text twice in it', async () => {
    const [a, b] = t('a', 'b');
    const first = await ask([a, b, a]);
    assertRight(first, [a, b, a]);
    const second = await ask([a, a]);
    assert.deepEqual(told(second), [200, 'HIT', '2/2']);
    assertRight(second, [a, a]);
    const [c] = t('c');
    const third = await ask([c, a, c, b]);
    assert.deepEqual(told(third), [200, 'MISS', '2/4']);
    assertRight(third, [c, a, c, b]);
    assert.deepEqual(asked().at(-1), [c, c]);
  });

  test('of token arrays; a flat array is one input', async () => {
    const [a, b, c] = [[1, 2, serial], [3, serial], [4, serial]];
    await ask([a, b]);
    const reply = await ask([c, b, a]);
    assert.deepEqual(told(reply), [200, 'MISS', '2/3']);
    assertRight(reply, [c, b, a]);
    assert.deepEqual(asked().at(-1), [c]);
    assert.deepEqual(told(await ask(a)), [200, 'MISS', undefined]);
    assert.deepEqual(asked().at(-1), a);
    const all = await ask([a, c]);
    assert.deepEqual([all.json.usage.total_tokens, items(all)], [5, '2/2']);
  });

  test('numbers stay as the provider wrote them, and values in its own order find their place', async () => {
    const [a, b, c] = t('a', 'b', 'c');
    const value = { [a]: '[0.10,-2.00e-05]', [b]: '[1,0.30000000000000004]', [c]: '[9007199254740993,-0]' };
    provider.answer = (rq) => {
      const { input } = JSON.parse(rq.text);
      const data = input.map((i, index) => `{"index": ${index}, "embedding": ${value[i]}, "object": "embedding"}`).reverse();
      return rq.json(`{"object":"list","data":[${data}],"model":"m","usage":{"prompt_tokens":2,"total_tokens":2}}`);
    };
    await ask([b, c]);
    const reply = await ask([c, a, b]);
    assert.equal(items(reply), '2/3');
    assert.equal(reply.text, `{"object":"list","data":[${[c, a, b].map((i, n) => `{"object":"embedding","index":${n},"embedding":${value[i]}}`)}],"model":"m","usage":{"prompt_tokens":2,"total_tokens":2}}`);
  });

  test('compressed answers are read; what is put together goes uncompressed', async () => {
    const [a, b, c] = t('a', 'b', 'c');
    provider.answer = (rq) => rq.reply(200, { 'Content-Type': 'application/json', 'Content-Encoding': 'gzip' }, gzipSync(JSON.stringify(answerTo(JSON.parse(rq.text)))));
    const gz = { headers: { 'Accept-Encoding': 'gzip' } };
    assert.equal((await ask([a, b], gz)).header('content-encoding'), 'gzip');
    const part = await ask([b, c], gz);
    assert.deepEqual([...told(part), part.header('content-encoding')], [200, 'MISS', '1/2', undefined]);
    assertRight(part, [b, c]);
    assert.equal((await gateway.log(part)).response, part.text);
    const all = await ask([c, a]);
    assert.deepEqual(told(all), [200, 'HIT', '2/2'], 'also for one who takes none');
    assertRight(all, [c, a]);
  });

  test('of 2048 is taken apart; of 2049 not', async () => {
    const many = Array.from({ length: 2049 }, (_, i) => `n ${i} ${serial}`);
    const some = many.slice(0, 2048);
    const short = { dimensions: 2 };
    await ask(some.slice(0, 1500), short);
    const reply = await ask(some, short);
    assert.equal(items(reply), '1500/2048');
    assertRight(reply, some, short);
    assert.equal(JSON.parse(provider.last.text).input.length, 548);
    await ask(many, short);
    assert.equal(JSON.parse(provider.last.text).input.length, 2049);
  });

  test('in large: all of it, and others are served meanwhile', async () => {
    const some = Array.from({ length: 400 }, (_, i) => `large ${i} ${serial}`);
    const big = { dimensions: 1536 };
    await ask(some.slice(0, 300), big);
    const { order, reply } = await untilAll(some.slice(0, 300), big);
    assertRight(reply, order, big);
    assert.ok(reply.length > 5_000_000, `${reply.length} bytes`);
    const part = ask(some, big);
    assert.equal((await request(gateway, { path: '/-/healthz' })).status, 200);
    assert.equal(items(await part), '300/400');
    assertRight(await part, some, big);
  });

  test('some inputs of one model, the rest of another: no mixture', async () => {
    const [a, b, c] = t('a', 'b', 'c');
    await ask([a, b]);
    provider.answer = (rq) => rq.json({ ...answerTo(JSON.parse(rq.text)), model: 'newer' });
    const reply = await ask([a, b, c]);
    assert.deepEqual(told(reply), [200, 'MISS', undefined]);
    assert.deepEqual([reply.json.model, asked().slice(1)], ['newer', [[c], [a, b, c]]]);
    assert.deepEqual(told(await ask([c, a])), [200, 'HIT', '2/2'], 'and the newer ones are kept');
  });
});

describe('the openai SDK', () => {
  const client = () => new OpenAI({ apiKey: 'sk-sdk', baseURL: `${gateway.url}/openai/v1`, maxRetries: 0 });
  for (const encoding_format of ['float', 'base64', undefined]) {
    test(`sees no difference: encoding_format ${encoding_format}`, async () => {
      const create = async (input) => {
        const { data, response } = await client().embeddings.create({ model: MODEL, input, ...(encoding_format && { encoding_format }) }).withResponse();
        const got = data.data.map((d) => (typeof d.embedding === 'string' ? [...new Float32Array(Uint8Array.from(Buffer.from(d.embedding, 'base64')).buffer)] : d.embedding));
        assert.deepEqual(got, input.map((i) => vectorOf(i)));
        assert.deepEqual(data.data.map((d) => d.index), input.map((_, i) => i));
        return [response.headers.get('cf-aig-cache-status'), response.headers.get('postern-cache-items')];
      };
      const [a, b, c, d] = t('a', 'b', 'c', 'd');
      assert.deepEqual(await create([a, b, c]), ['MISS', null]);
      assert.deepEqual(await create([c, d, a]), ['MISS', '2/3']);
      assert.deepEqual(await create([d, c, b, a, a]), ['HIT', '5/5']);
      assert.deepEqual(asked(), [[a, b, c], [d]]);
    });
  }

  test('base64 and float are kept apart, and so are dimensions and models', async () => {
    const [a, b, c] = t('a', 'b', 'c');
    await ask([a, b], { encoding_format: 'base64' });
    for (const more of [{}, { encoding_format: 'float' }, { encoding_format: 'base64', dimensions: 4 }, { encoding_format: 'base64', model: 'text-embedding-3-large' }]) {
      assert.deepEqual(told(await ask([a, c], more)), [200, 'MISS', undefined], JSON.stringify(more));
    }
  });
});

describe('what fails', () => {
  const half = async () => {
    const names = t('a', 'b', 'c');
    await ask(names.slice(0, 2));
    provider.requests = [];
    return names;
  };

  test('an error of the provider is the caller\'s to see, and nothing of it is kept', async () => {
    const all = await half();
    provider.answer = (rq) => rq.json({ error: { message: 'slow down', type: 'requests', param: null, code: 'rate_limit' } }, { status: 429, headers: { 'Retry-After': '7' } });
    const reply = await ask(all);
    assert.deepEqual([...told(reply), reply.header('retry-after'), reply.json.error.message], [429, 'MISS', undefined, '7', 'slow down']);
    assert.equal((await gateway.log(reply)).status_code, 429);
    provider.answer = embed;
    assert.deepEqual(told(await ask(all)), [200, 'MISS', '2/3']);
  });

  test('an answer that breaks off is an error of ours, in the log too', async () => {
    const all = await half();
    for (const coding of [{}, { 'Content-Encoding': 'gzip' }]) {
      provider.answer = async (rq) => {
        await rq.head(200, { 'Content-Type': 'application/json', 'Content-Length': '1000', ...coding });
        await rq.write('{"object":"li');
        rq.reset();
      };
      const reply = await ask(all);
      assert.deepEqual([reply.status, reply.header('postern-error') !== undefined, items(reply)], [502, true, undefined]);
      const record = await gateway.log(reply);
      assert.deepEqual([record.status_code, record.success, record.response], [502, false, reply.text]);
    }
  });

  const odd = {
    'one too few': (a) => ({ ...a, data: [] }),
    'one too many': (a) => ({ ...a, data: [...a.data, { ...a.data[0], index: 1 }] }),
    'an index that nobody asked for': (a) => ({ ...a, data: [{ ...a.data[0], index: 2 }] }),
    'another object': (a) => ({ ...a, object: 'page' }),
    'another object inside': (a) => ({ ...a, data: [{ ...a.data[0], object: 'vector' }] }),
    'no JSON': () => 'hello',
    'an error with status 200': () => ({ error: { message: 'x' } }),
  };
  for (const [what, change] of Object.entries(odd)) {
    test(`an answer of another shape, ${what}: the whole request goes, as it is without all this`, async () => {
      const all = await half();
      provider.answer = (rq) => {
        const body = JSON.parse(rq.text);
        return body.input.length === 1 ? rq.json(change(answerTo(body))) : embed(rq);
      };
      const reply = await ask(all);
      assert.deepEqual(told(reply), [200, 'MISS', undefined]);
      assertRight(reply, all);
      assert.deepEqual(asked(), [all.slice(2), all]);
      assert.equal((await gateway.log(reply)).attempts, 2);
    });
  }

  test('twice, the whole answer odd as well: it is passed on, and not kept by item', async () => {
    const all = await half();
    provider.answer = (rq) => rq.json({ object: 'list', data: 'none' });
    const reply = await ask(all);
    assert.deepEqual([reply.status, reply.text], [200, '{"object":"list","data":"none"}']);
    provider.answer = embed;
    assert.equal(items(await ask([all[2], all[0]])), '1/2');
  });

  test('a refused credential gets nothing of the cache', async () => {
    const all = await half();
    provider.answer = (rq) => rq.json({ error: { message: 'no' } }, { status: 401 });
    assert.equal((await ask(all)).status, 401);
    assert.deepEqual(told(await ask([all[1], all[0]])), [401, 'MISS', undefined]);
    provider.answer = embed;
    await ask(t('other', 'still other'));
    assert.equal(items(await ask([all[1], all[0]])), '2/2');
  });

  test('a connection that the provider closed meanwhile is replaced', async () => {
    const all = await half();
    provider.closeConnections();
    assert.deepEqual(told(await ask(all)), [200, 'MISS', '2/3']);
  });

  for (const [path, kept] of [[PATH, '2/3'], ['/v1/account/lasting/openai/v1/embeddings', '3/3']]) {
    test(`a client that leaves: ${kept} of it are there afterwards`, async () => {
      const all = t('a', 'b', 'c');
      await ask(all.slice(0, 2), { path });
      const c = await connect(gateway);
      c.request({ path, headers: { Authorization: 'Bearer sk-one' }, body: { model: MODEL, input: all } });
      const rq = await provider.next();
      c.abort();
      if (kept === '2/3') await rq.aborted();
      if (kept === '3/3') {
        await embed(rq);
        await untilAll(all, { path });
      } else {
        assert.equal(items(await ask([...all].reverse(), { path })), kept);
      }
    });
  }
});

describe('for whom, and when not', () => {
  test('another caller has none of it', async () => {
    const [a, b, c] = t('a', 'b', 'c');
    await ask([a, b]);
    assert.deepEqual(told(await ask([b, a, c], { key: 'sk-two' })), [200, 'MISS', undefined]);
    assert.deepEqual(asked().at(-1), [b, a, c]);
  });

  test('it is off unless it is set', async () => {
    const path = '/v1/account/apart/openai/v1/embeddings';
    const [a, b] = t('a', 'b');
    await ask([a, b], { path });
    assert.deepEqual(told(await ask([b, a], { path })), [200, 'MISS', undefined]);
    assert.equal(provider.requests.length, 2);
  });

  test('with seal: the same, and another credential opens nothing', async () => {
    const path = '/v1/account/sealed/openai/v1/embeddings';
    const [a, b, c] = t('a', 'b', 'c');
    await ask([a, b], { path });
    const part = await ask([b, c, a], { path });
    assert.deepEqual(told(part), [200, 'MISS', '2/3']);
    assertRight(part, [b, c, a]);
    const all = await ask([c, b], { path });
    assert.deepEqual(told(all), [200, 'HIT', '2/2']);
    assertRight(all, [c, b]);
    assert.deepEqual(told(await ask([c, b], { path, key: 'sk-two' })), [200, 'MISS', undefined]);
    const large = Array.from({ length: 60 }, (_, i) => `sealed ${i} ${serial}`);
    await ask(large, { path, dimensions: 1536 });
    const { order, reply } = await untilAll(large, { path, dimensions: 1536 });
    assertRight(reply, order, { dimensions: 1536 });
  });

  test('a key of the caller\'s own, no-store, and members that nobody knows: whole, as ever', async () => {
    for (const options of [{ headers: { 'cf-aig-cache-key': `own ${serial}` } }, { headers: { 'Cache-Control': 'no-store' } }, { late_chunking: true }, { headers: { Digest: 'sha-256=x' } }]) {
      const [a, b, c] = t(...['a', 'b', 'c'].map((name) => name + JSON.stringify(options)));
      await ask([a, b], options);
      await ask([b, a, c].slice(0, 2), { ...options, headers: { ...options.headers, ...(options.headers?.['cf-aig-cache-key'] && { 'cf-aig-cache-key': `other ${serial}` }) } });
      assert.deepEqual(asked().slice(-2), [[a, b], [b, a]], JSON.stringify(options));
    }
  });

  test('a member that does not count (cache.ignore) is no obstacle', async () => {
    const path = '/v1/account/own/openai/v1/embeddings';
    const [a, b, c] = t('a', 'b', 'c');
    await ask([a, b], { path, trace: 1 });
    assert.equal(items(await ask([c, a], { path, trace: 2 })), '1/2');
    assert.equal(JSON.parse(provider.last.text).trace, 2);
  });

  test('cf-aig-skip-cache: nothing is read, but stored anew', async () => {
    const [a, b] = t('a', 'b');
    await ask([a, b]);
    provider.answer = (rq) => rq.json({ ...answerTo(JSON.parse(rq.text)), model: 'second' });
    assert.deepEqual(told(await ask([b, a], { headers: { 'cf-aig-skip-cache': 'true' } })), [200, 'MISS', undefined]);
    const reply = await ask([a, b, a]);
    assert.deepEqual([items(reply), reply.json.model], ['3/3', 'second']);
  });

  test('cf-aig-cache-ttl counts for each', async () => {
    const [a, b, c] = t('a', 'b', 'c');
    await ask([a, b], { headers: { 'cf-aig-cache-ttl': '1' } });
    assert.equal(items(await ask([b, c])), '1/2');
    assert.deepEqual(told(await ask([a, c], { headers: { 'cf-aig-cache-ttl': '0' } })), [200, 'BYPASS', undefined]);
    let order = [a, b, c, c];
    await waitFor(async () => {
      order = [...order.slice(1), order[0]];
      await ask(order, { headers: { 'cf-aig-cache-ttl': '1' } });
      return [a, b].every((i) => asked().at(-1).includes(i));
    }, 'the end of a and b', 5000);
    assert.ok(!asked().at(-1).includes(c), 'and c lives on');
  });

  test('they outlive a restart', async () => {
    const first = await gatewayFor(provider, { config: { gateways: { default: split() } } });
    const body = (input) => ({ path: PATH, headers: { Authorization: 'Bearer sk-one' }, body: { model: MODEL, input } });
    const [a, b, c] = t('a', 'b', 'c');
    await request(first, body([a, b]));
    await first.stop();
    const second = await first.restart();
    const reply = await request(second, body([c, b, a]));
    assert.equal(items(reply), '2/3');
    assertRight(reply, [c, b, a]);
    await second.stop();
  });
});
