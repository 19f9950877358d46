// One question through the official Node SDK: node_client.mjs MODULES BASE_URL KEY chat|stream|abort BODY
// MODULES is the folder that `openai` is installed in. Prints one JSON object.
import { createRequire } from 'node:module';

const [modules, baseURL, apiKey, how, text] = process.argv.slice(2);
const { default: OpenAI } = createRequire(`${modules}/`)('openai');
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0, timeout: 60_000 });
const body = JSON.parse(text);
if (how !== 'chat') body.stream = true;

const { data, response } = await client.chat.completions.create(body).withResponse();
const answer = {
  status: response.status,
  verdict: response.headers.get('cf-aig-cache-status'),
  log_id: response.headers.get('cf-aig-log-id'),
  content: '',
};
if (how === 'chat') {
  answer.content = data.choices[0].message.content;
  answer.usage = data.usage;
} else {
  let words = 0;
  for await (const chunk of data) {
    const word = chunk.choices[0]?.delta?.content ?? '';
    answer.content += word;
    if (word && how === 'abort' && ++words === 5) data.controller.abort();
  }
}
console.log(JSON.stringify(answer));
