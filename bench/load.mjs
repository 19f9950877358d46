// What sends the requests of the bench: wrk as fast as it can, bench/load and bench/streams where the number, the rate or each
// answer matters. All of it runs on the provider's core, away from the peer that is measured.
import { execFile } from 'node:child_process'
import fs from 'node:fs'
import http from 'node:http'
import https from 'node:https'
import { promisify } from 'node:util'
import { LOAD_CORE } from './process.mjs'

const exec = promisify(execFile)

export const median = (v) => [...v].sort((a, b) => a - b)[Math.floor((v.length - 1) / 2)]

// Of each figure in several runs.
export const medians = (runs) => Object.fromEntries(Object.keys(runs[0]).map((k) => [k, median(runs.map((r) => r[k]))]))

function words(n) {
	const all = 'the cache of answers and a request is kept small stream model tokens with every gateway in provider message one to reader'.split(' ')
	let text = '', r = 1
	while (text.length < n) {
		r = (Math.imul(r, 1664525) + 1013904223) >>> 0
		text += all[r % all.length] + ' '
	}
	return text.slice(0, n)
}

// A chat of that size around a number of 12 digits: what stands before and behind it.
function chat(isStream, size) {
	const stream = isStream ? '"stream":true,"stream_options":{"include_usage":true},' : ''
	const front = `{"model":"gpt-4o-mini","temperature":0.7,${stream}"messages":[{"role":"user","content":"Question `
	const back = '"}]}'
	return [front, ` ${words(Math.max(0, size - front.length - back.length - 13))}${back}`]
}

// wrk's script: what is sent for a kind and a size. Each run starts elsewhere, so that no two send the same.
function script(dir, { kind, sse, size = 1024 }, { isGet, headers }, connections) {
	const file = `${dir}/wrk.lua`
	const [front, back] = chat(sse, size)
	const fields = { 'Content-Type': 'application/json', 'Authorization': 'Bearer sk-bench-0123456789abcdef', ...headers }
	const same = { miss: 1, coalesced: connections }[kind] // so many in a row ask the same
	const lines = isGet ? ['wrk.method = "GET"'] : [
		'wrk.method = "POST"',
		...Object.entries(fields).map(([name, value]) => `wrk.headers["${name}"] = "${value}"`),
		...(same ? [
			'local n = (os.time() % 100000) * 10000000',
			`local a, b = '${front}', '${back}'`,
			`request = function() n = n + 1; return wrk.format(nil, nil, nil, a .. string.format("%012d", math.floor(n / ${same})) .. b) end`,
		] : [`wrk.body = '${front}000000000000${back}'`]),
	]
	fs.writeFileSync(file, lines.join('\n') + '\n')
	return file
}

const onLoadCore = (argv, options) => exec('taskset', ['-c', String(LOAD_CORE), ...argv.map(String)], { maxBuffer: 1 << 20, ...options })

function us(text) {
	const [, n, unit] = /([\d.]+)(us|ms|s|m)/.exec(text)
	return Number(n) * { us: 1, ms: 1000, s: 1e6, m: 6e7 }[unit]
}

export async function wrk(dir, peer, cell, connections, seconds) {
	const lua = script(dir, cell, peer, connections)
	const { stdout } = await onLoadCore(['wrk', '-t1', `-c${connections}`, `-d${seconds}s`, '--latency', '--timeout', '30s', '-s', lua, peer.url])
	const bad = /Non-2xx or 3xx responses: (\d+)/.exec(stdout), broken = /Socket errors: (.*)/.exec(stdout)
	if (bad || (broken && !/connect 0, read 0, write 0/.test(broken[1])))
		throw new Error(`wrk ${peer.url}: ${bad?.[0] ?? ''} ${broken?.[0] ?? ''}`)
	return {
		requests: Number(/(\d+) requests in/.exec(stdout)[1]),
		perSecond: Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)[1]),
		p50: us(/^\s+50%\s+(\S+)/m.exec(stdout)[1]),
		p99: us(/^\s+99%\s+(\S+)/m.exec(stdout)[1]),
	}
}

// A load that nobody reads the figures of: `stop` ends it.
export function wrkRun(dir, peer, cell, connections, seconds) {
	const lua = script(dir, cell, peer, connections)
	const stopper = new AbortController()
	onLoadCore(['wrk', '-t1', `-c${connections}`, `-d${seconds}s`, '--timeout', '100s', '-s', lua, peer.url], { signal: stopper.signal }).catch(() => {})
	return { stop: () => stopper.abort() }
}

// One of our own tools: its line "word figure word figure ..." as an object.
export async function tool(name, argv) {
	const { stdout } = await onLoadCore([`build/bench/${name}`, ...argv]).catch((e) => {
		throw new Error(`${name} ${argv.join(' ')}: ${e.stdout}${e.stderr}`)
	})
	return Object.fromEntries([...stdout.matchAll(/(\S+) (\S+)/g)].map(([, word, n]) => [word, Number(n)]))
}

export async function handshakes(port, version, mode) {
	const { stdout } = await onLoadCore(['openssl', 's_time', '-connect', `127.0.0.1:${port}`, `-${version}`, `-${mode}`, '-time', '1'])
	return Number(/(\d+) connections in [\d.]+ real seconds/.exec(stdout)[1])
}

// Asks so often over as few connections as the peer allows; how many these were.
export async function ask(peer, { sse, size = 1024 }, times) {
	const { Agent, request } = peer.url.startsWith('https') ? https : http
	const agent = new Agent({ keepAlive: true, maxSockets: 1, rejectUnauthorized: false }), sockets = new Set()
	const [front, back] = chat(sse, size)
	for (let i = 0; i < times; i++)
		await new Promise((resolve, reject) => {
			const headers = { 'content-type': 'application/json', 'authorization': 'Bearer sk-bench-0123456789abcdef', ...peer.headers }
			const r = request(peer.url, { agent, method: peer.isGet ? 'GET' : 'POST', headers }, (answer) => {
				answer.resume().on('end', () => (answer.statusCode === 200 ? resolve() : reject(new Error(`${peer.url}: ${answer.statusCode}`))))
			})
			r.on('socket', (socket) => sockets.add(socket)).on('error', reject)
			r.end(peer.isGet ? undefined : front + '000000000000' + back)
		})
	agent.destroy()
	return sockets.size
}

// Of 50 requests, one after the other: 1, if the peer keeps it open.
export const connectionsNeeded = (peer, cell) => ask(peer, cell, 50)
