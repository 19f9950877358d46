// OpenAI's SDK on a realtime endpoint: node --experimental-websocket realtime_client.mjs BASE_URL. Prints what it saw.
import OpenAI from 'openai';
import { OpenAIRealtimeWebSocket } from 'openai/realtime/websocket';

const client = new OpenAI({ apiKey: 'sk-test-realtime-0123456789abcdef', baseURL: process.argv[2] });
const rt = new OpenAIRealtimeWebSocket({ model: 'gpt-realtime' }, client);
const seen = { events: [] };
rt.on('error', (e) => {
  console.error(e);
  process.exit(1);
});
rt.on('event', (e) => {
  seen.events.push(e.type);
  if (e.type === 'session.created') rt.send({ type: 'response.create' });
  if (e.type === 'response.text.delta') {
    seen.delta = e.delta;
    rt.close();
  }
});
rt.socket.addEventListener('open', () => {
  seen.protocol = rt.socket.protocol;
});
rt.socket.addEventListener('close', (e) => {
  console.log(JSON.stringify({ protocol: seen.protocol, events: seen.events, delta: seen.delta, clean: e.wasClean, code: e.code }));
  process.exit(0);
});
