// The providers of the soak: one that plays OpenAI, the same behind a relay that spoils what passes, and one for WebSockets.
// An answer follows from its question alone, so that whoever asked can tell whether it is right, without anybody keeping it.
import { startProvider } from '../../e2e/lib/provider.mjs';
import { startToxics } from '../../e2e/lib/toxics.mjs';
import { startWebSockets } from '../../e2e/lib/websocket.mjs';
import { chatEvents, completion, openaiError } from '../../e2e/lib/bodies.mjs';

const SLOW_PIECES = 60, SLOW_PIECE = 8192;

export const answers = {
  chat: (content) => JSON.stringify(completion(`answer to ${content}`)),
  stream: (content) => chatEvents([`answer to ${content}`, ' and', ' so', ' on']).join(''),
  long: (content) => chatEvents([`answer to ${content}`, ...Array.from({ length: SLOW_PIECES }, () => 'x'.repeat(SLOW_PIECE))]).join(''),
  denied: (content) => JSON.stringify(openaiError(`no answer to ${content}`)),
  embeddings: (inputs) => JSON.stringify({
    object: 'list', data: inputs.map((input, index) => ({ object: 'embedding', index, embedding: [input.length, 0.5] })), model: 'text-embedding-3-small', usage: { prompt_tokens: 8, total_tokens: 8 },
  }),
};

const pieces = {
  stream: (content) => chatEvents([`answer to ${content}`, ' and', ' so', ' on']),
  long: (content) => chatEvents([`answer to ${content}`, ...Array.from({ length: SLOW_PIECES }, () => 'x'.repeat(SLOW_PIECE))]),
};

function answer(rq) {
  if (rq.target.endsWith('/files')) return rq.json({ object: 'file', bytes: rq.length });
  const value = JSON.parse(rq.text);
  if (rq.target.endsWith('/embeddings')) return rq.json(answers.embeddings(value.input));
  const { content } = value.messages[0];
  const [kind] = content.split('#');
  if (pieces[kind]) return rq.events(pieces[kind](content));
  return rq.json((answers[kind] ?? answers.chat)(content), { status: kind === 'denied' ? 429 : 200 });
}

const TOXICS = [
  { type: 'latency', latency: 20, jitter: 20 },
  { type: 'bandwidth', rate: 200 },
  { type: 'slicer', average_size: 1 },
  { type: 'slicer', average_size: 50, size_variation: 50, delay: 100 },
  { type: 'reset_peer', timeout: 30 },
  { type: 'limit_data', bytes: 700 },
  { type: 'limit_data', bytes: 900, reset: true },
  { type: 'timeout', timeout: 100 },
  { type: 'timeout', timeout: 0 },
  { type: 'slow_close', delay: 50 },
];

export async function startSoakProviders(chance) {
  const provider = await startProvider();
  provider.answer = answer;
  provider.onRequest = () => provider.requests.length > 1000 && provider.requests.splice(0);
  const toxics = await startToxics({ to: provider.port });
  const sockets = await startWebSockets();
  sockets.onSession = (session) => {
    session.keep = false;
    session.onBytes = (b) => session.send(b); // an echo; a client's masked frames come back as they are
    sockets.requests = [];
    sockets.sessions = [];
    session.onEnd.promise.then(() => session.socket.end());
  };
  // another fault, or none, every now and then
  const timer = setInterval(() => {
    toxics.clear();
    toxics.enabled = chance.below(12) !== 0;
    if (chance.below(3) !== 0) toxics.add({ ...chance.of(TOXICS) }, chance.below(4) === 0 ? 'upstream' : 'downstream');
  }, 700);
  return { provider, toxics, sockets, stop: () => clearInterval(timer) };
}
