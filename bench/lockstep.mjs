// One stream whose provider writes an event only when the client has the one before: so the gateway passes on one event in each
// turn of its loop, on a busy machine too, and what an event costs can be counted.
import net from 'node:net'

const HEAD = 'HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n'
const chunk = (text) => `${text.length.toString(16)}\r\n${text}\r\n`
const word = (n) => `word ${String(n).padStart(8, '0')} `
const event = (n) => chunk('data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1700000000,"model":"gpt-4o-mini",' +
	`"choices":[{"index":0,"delta":{"content":"${word(n)}"},"finish_reason":null}]}\n\n`)
const END = chunk('data: [DONE]\n\n') + '0\r\n\r\n'

function closed(socket) {
	return new Promise((resolve) => socket.on('close', resolve).on('error', () => {}))
}

// A provider; `next` makes it write what comes next.
export async function startLockstep() {
	const p = { next: null }
	const server = net.createServer((socket) => {
		socket.setNoDelay(true)
		closed(socket)
		socket.on('data', (bytes) => {
			if (!bytes.toString('latin1').endsWith(']}'))
				return // more of the request comes
			let n = 0
			p.next = (events) => socket.write(n < events ? (n === 0 ? HEAD : '') + event(n++) : END)
			p.next(1)
		})
	})
	await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
	return { ...p, port: server.address().port, next: (events) => p.next(events), close: () => server.close() }
}

// Asks the gateway at port for a stream of that many events; number: of the question, no two the same.
export async function lockstep(provider, port, path, events, number) {
	const body = `{"model":"gpt-4o-mini","stream":true,"messages":[{"role":"user","content":"Question ${number}"}]}`
	const socket = net.connect(port, '127.0.0.1').setNoDelay(true)
	const end = closed(socket)
	socket.write(`POST ${path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer sk-bench-0123456789abcdef\r\n` +
		`Content-Type: application/json\r\nConnection: close\r\nContent-Length: ${body.length}\r\n\r\n${body}`)
	let seen = 0, last = ''
	socket.on('data', (bytes) => {
		last = (last + bytes.toString('latin1')).slice(-2000)
		const at = last.lastIndexOf(word(seen))
		if (at < 0)
			return
		seen++
		provider.next(events)
	})
	await end
	if (seen !== events || !last.includes('[DONE]'))
		throw new Error(`${seen} of ${events} events came, then: ${last.slice(-300)}`)
}
