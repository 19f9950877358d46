import { startProvider } from './lib/provider.mjs';
import { request, connect } from './lib/client.mjs';
import { gatewayFor } from './lib/gateway.mjs';
import { Worker, isMainThread, workerData } from 'node:worker_threads';
if (!isMainThread) {
  const http = await import('node:http');
  const agent = new http.Agent({ keepAlive: true });
  let worst = 0, n = 0; const { parentPort } = await import('node:worker_threads');
  parentPort.on('message', () => { parentPort.postMessage([worst, n]); worst = 0; n = 0; });
  for (;;) {
    const t = performance.now();
    await new Promise((r, j) => http.get(`${workerData}/-/healthz`, { agent }, (res) => { res.resume(); res.on('end', r); }).on('error', () => r()));
    worst = Math.max(worst, performance.now() - t); n++;
    await new Promise((r) => setTimeout(r, 1));
  }
}
const provider = await startProvider();
const gateway = await gatewayFor(provider, { config: { gateways: { default: { cache: { split_embeddings: true } } } } });
const N = Number(process.argv[2] ?? 2048), D = 1536;
const vec = '[' + Array.from({ length: D }, (_, i) => (Math.sin(i) / 30).toFixed(10)).join(',') + ']';
provider.answer = (rq) => { const { input } = JSON.parse(rq.text); rq.reply(200, { 'Content-Type': 'application/json' }, `{"object":"list","data":[${input.map((_, i) => `{"object":"embedding","index":${i},"embedding":${vec}}`)}],"model":"m","usage":{"prompt_tokens":${input.length},"total_tokens":${input.length}}}`); };
const w = new Worker(new URL(import.meta.url), { workerData: gateway.url });
const probe = () => new Promise((r) => { w.once('message', r); w.postMessage(0); });
await new Promise((r) => setTimeout(r, 500));
console.log('idle', await probe());
const inputs = Array.from({ length: N }, (_, i) => `text ${i}`);
const ask = async (what, input) => { const t = performance.now(); const reply = await request(gateway, { path: '/openai/v1/embeddings', headers: { Authorization: 'Bearer x' }, body: { model: 'm', input } }); const ms = performance.now() - t; await new Promise((r) => setTimeout(r, 1000)); console.log(what, reply.status, reply.header('cf-aig-cache-status'), reply.header('postern-cache-items'), reply.length, `${ms | 0} ms`, 'overhead', reply.header('postern-overhead-us'), 'worst probe', (await probe())[0].toFixed(1), 'rss', (gateway.memory() / 1e6) | 0, (gateway.memory('VmHWM') / 1e6) | 0); };
await ask('miss', inputs.slice(0, N / 2));
await ask('part', inputs);
await ask('all', [...inputs].reverse());
await ask('all', [...inputs.slice(1), inputs[0]]);
process.exit(0);
