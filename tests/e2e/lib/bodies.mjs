// Requests and answers as the vendors' APIs really shape them, with the tokens that each of them reports.

const sse = (events) => events.map((e) => (typeof e === 'string' ? `data: ${e}\n\n` : e.event ? `event: ${e.event}\ndata: ${JSON.stringify(e.data)}\n\n` : `data: ${JSON.stringify(e)}\n\n`));
const named = (list) => sse(list.map((data) => ({ event: data.type, data })));

// --- OpenAI ---

export const chatRequest = (text = 'Say hello', more = {}) => ({ model: 'gpt-4o-mini', messages: [{ role: 'user', content: text }], ...more });

export const completion = (text = 'Hello!', more = {}) => ({
  id: 'chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT',
  object: 'chat.completion',
  created: 1741569952,
  model: 'gpt-4o-mini-2024-07-18',
  choices: [{ index: 0, message: { role: 'assistant', content: text, refusal: null, annotations: [] }, logprobs: null, finish_reason: 'stop' }],
  usage: {
    prompt_tokens: 19, completion_tokens: 10, total_tokens: 29,
    prompt_tokens_details: { cached_tokens: 4, audio_tokens: 0 },
    completion_tokens_details: { reasoning_tokens: 3, audio_tokens: 0, accepted_prediction_tokens: 0, rejected_prediction_tokens: 0 },
  },
  service_tier: 'default',
  system_fingerprint: 'fp_b705f0c291',
  ...more,
});

const chatChunk = (choices, usage = null) => ({
  id: 'chatcmpl-123', object: 'chat.completion.chunk', created: 1694268190, model: 'gpt-4o-mini-2024-07-18', service_tier: 'default', system_fingerprint: 'fp_44709d6fcb', choices, usage,
});
export const chatEvents = (words = ['Hel', 'lo', '!']) => sse([
  chatChunk([{ index: 0, delta: { role: 'assistant', content: '', refusal: null }, logprobs: null, finish_reason: null }]),
  ...words.map((content) => chatChunk([{ index: 0, delta: { content }, logprobs: null, finish_reason: null }])),
  chatChunk([{ index: 0, delta: {}, logprobs: null, finish_reason: 'stop' }]),
  chatChunk([], completion().usage),
  '[DONE]',
]);
// as OpenAI sends it when stream_options do not ask for usage
export const chatEventsWithoutUsage = (words = ['Hel', 'lo', '!']) => chatEvents(words).filter((e) => !e.includes('prompt_tokens'));

export const textCompletion = () => ({
  id: 'cmpl-uqkvlQyYK7bGYrRHQ0eXlWi7', object: 'text_completion', created: 1589478378, model: 'gpt-3.5-turbo-instruct', system_fingerprint: 'fp_44709d6fcb',
  choices: [{ text: '\n\nThis is indeed a test', index: 0, logprobs: null, finish_reason: 'length' }],
  usage: { prompt_tokens: 5, completion_tokens: 7, total_tokens: 12 },
});

export const embeddings = () => ({
  object: 'list', data: [{ object: 'embedding', index: 0, embedding: [0.0023064255, -0.009327292, -0.0028842222] }], model: 'text-embedding-3-small', usage: { prompt_tokens: 8, total_tokens: 8 },
});

const responseUsage = { input_tokens: 36, input_tokens_details: { cached_tokens: 6 }, output_tokens: 87, output_tokens_details: { reasoning_tokens: 17 }, total_tokens: 123 };
export const response = (status = 'completed') => ({
  id: 'resp_67ccd2bed1ec8190b14f964abc0542670bb6a6b452d3795b', object: 'response', created_at: 1741476542, status, error: null, incomplete_details: null, instructions: null,
  max_output_tokens: null, model: 'gpt-4.1-2025-04-14',
  output: status !== 'completed' ? [] : [{ type: 'message', id: 'msg_67ccd2bf17f0819081ff3bb2cf6508e6', status: 'completed', role: 'assistant', content: [{ type: 'output_text', text: 'Hello!', annotations: [] }] }],
  parallel_tool_calls: true, previous_response_id: null, reasoning: { effort: null, summary: null }, store: false, temperature: 1, text: { format: { type: 'text' } }, tool_choice: 'auto', tools: [],
  top_p: 1, truncation: 'disabled', usage: status === 'completed' ? responseUsage : null, user: null, metadata: {},
});
export const responseEvents = () => named([
  { type: 'response.created', sequence_number: 0, response: response('in_progress') },
  { type: 'response.in_progress', sequence_number: 1, response: response('in_progress') },
  { type: 'response.output_item.added', sequence_number: 2, output_index: 0, item: { id: 'msg_1', type: 'message', status: 'in_progress', role: 'assistant', content: [] } },
  { type: 'response.content_part.added', sequence_number: 3, item_id: 'msg_1', output_index: 0, content_index: 0, part: { type: 'output_text', text: '', annotations: [] } },
  { type: 'response.output_text.delta', sequence_number: 4, item_id: 'msg_1', output_index: 0, content_index: 0, delta: 'Hello!' },
  { type: 'response.output_text.done', sequence_number: 5, item_id: 'msg_1', output_index: 0, content_index: 0, text: 'Hello!' },
  { type: 'response.completed', sequence_number: 6, response: response() },
]);

// --- Anthropic ---

export const messageRequest = (text = 'Hello, Claude', more = {}) => ({ model: 'claude-sonnet-5-5', max_tokens: 1024, messages: [{ role: 'user', content: text }], ...more });
const messageUsage = {
  input_tokens: 2095, cache_creation_input_tokens: 70, cache_read_input_tokens: 50, cache_creation: { ephemeral_5m_input_tokens: 40, ephemeral_1h_input_tokens: 30 }, output_tokens: 503, service_tier: 'standard',
};
export const message = () => ({
  id: 'msg_013Zva2CMHLNnXjNJJKqJ2EF', type: 'message', role: 'assistant', model: 'claude-sonnet-5-5', content: [{ type: 'text', text: 'Hi! My name is Claude.' }], stop_reason: 'end_turn', stop_sequence: null, usage: messageUsage,
});
export const messageEvents = () => named([
  { type: 'message_start', message: { ...message(), content: [], stop_reason: null, usage: { ...messageUsage, output_tokens: 1 } } },
  { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
  { type: 'ping' },
  { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'Hi! My name is' } },
  { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: ' Claude.' } },
  { type: 'content_block_stop', index: 0 },
  { type: 'message_delta', delta: { stop_reason: 'end_turn', stop_sequence: null }, usage: { output_tokens: 503 } },
  { type: 'message_stop' },
]);
export const anthropicError = (type = 'overloaded_error', text = 'Overloaded') => ({ type: 'error', error: { type, message: text }, request_id: 'req_011CSHoEeqs5C35K2UUqR7Fy' });

// --- Gemini ---

export const generateRequest = (text = 'Explain how AI works', more = {}) => ({ contents: [{ role: 'user', parts: [{ text }] }], ...more });
const geminiUsage = {
  promptTokenCount: 12, cachedContentTokenCount: 2, candidatesTokenCount: 8, thoughtsTokenCount: 4, totalTokenCount: 24, promptTokensDetails: [{ modality: 'TEXT', tokenCount: 12 }], candidatesTokensDetails: [{ modality: 'TEXT', tokenCount: 8 }],
};
const generated = (text, finish, usage) => ({
  candidates: [{ content: { parts: [{ text }], role: 'model' }, ...(finish && { finishReason: 'STOP' }), index: 0 }], ...(usage && { usageMetadata: usage }), modelVersion: 'gemini-2.5-flash', responseId: 'mAitaLmkHPPlz7IPvtfUqQ4',
});
export const generation = () => generated('AI learns patterns.', true, geminiUsage);
export const generationEvents = () => sse([
  generated('AI learns', false, { ...geminiUsage, candidatesTokenCount: 3, totalTokenCount: 19 }),
  generated(' patterns.', true, geminiUsage),
]).map((e) => e.replace(/\n/g, '\r\n')); // Google ends lines so

// What the log must say of each: totals, and disjoint classes.
export const tokens = {
  openai: { in: 19, out: 10, usage: { input: 15, cache_read: 4, output: 10, reasoning: 3 } },
  completions: { in: 5, out: 7, usage: { input: 5, output: 7 } },
  embeddings: { in: 8, usage: { input: 8 } },
  responses: { in: 36, out: 87, usage: { input: 30, cache_read: 6, output: 87, reasoning: 17 } },
  anthropic: { in: 2215, out: 503, usage: { input: 2095, cache_read: 50, cache_write_5m: 40, cache_write_1h: 30, output: 503 } },
  gemini: { in: 12, out: 12, usage: { input: 10, cache_read: 2, output: 12, reasoning: 4 } },
};

export const openaiError = (text = 'Incorrect API key provided.', type = 'invalid_request_error', code = 'invalid_api_key') => ({ error: { message: text, type, param: null, code } });
