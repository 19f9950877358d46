// Steady load on a gateway, until it is told to stop: workers that keep their connection, and workers that make a new one
// for each request; some prompts come again (hits), most do not. Whatever goes wrong is kept: a refused connection, an answer
// that is cut or is not the expected one.
//
//   const load = startLoad(gateway, { check: (reply) => assert... });
//   ...
//   const { sent, failures } = await load.stop();
import { connect } from './client.mjs';
import { chatRequest } from './bodies.mjs';

const CHAT = '/openai/v1/chat/completions';

export function startLoad(to, { keeping = 4, connecting = 4, check, tls, path = CHAT } = {}) {
  const load = { sent: 0, done: 0, connections: 0, failures: [], isOver: false };

  async function once(c, worker) {
    const n = load.sent++;
    const reply = c.request({ path, body: chatRequest(n % 4 === 0 ? `again ${n % 7}` : `new ${worker} ${n}`) });
    await reply.whole();
    check?.(reply);
    if (reply.status !== 200) throw new Error(`status ${reply.status}: ${reply.text}`);
    load.done++;
    return reply;
  }

  async function work(worker, keeps) {
    let c = null;
    while (!load.isOver) {
      try {
        if (c === null) {
          c = await connect(to, { tls });
          load.connections++;
        }
        const reply = await once(c, worker);
        if (keeps && !/close/i.test(reply.header('connection') ?? '')) continue;
      } catch (e) {
        load.failures.push(`worker ${worker}: ${e.message}`);
      }
      c?.close();
      c = null;
    }
    c?.close();
  }

  const workers = [];
  for (let i = 0; i < keeping + connecting; i++) workers.push(work(i, i < keeping));
  load.stop = async () => {
    load.isOver = true;
    await Promise.all(workers);
    return load;
  };
  return load;
}
