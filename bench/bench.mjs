// Weighs Postern beside nginx, HAProxy, Varnish and the bare limit: see bench/README.md. Run by bench/bench.
//
// Each cell of the matrix is one kind of request, one size, one number of connections, plain or TLS; all peers that can do that
// kind are measured in turn, RUNS times round, so that a slow minute of the machine is everybody's, and medians are compared.
import { execFile } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import * as peers from './peers.mjs'
import * as processes from './process.mjs'
import { chart, table } from './report.mjs'

const exec = promisify(execFile)
const RUNS = Number(process.env.RUNS ?? 3)
const SECONDS = Number(process.env.SECONDS ?? 2)
const FULL = process.env.FULL === '1'
const ONLY = process.env.ONLY?.split(',') // parts: throughput tls latency streams memory handshakes
const KINDS = process.env.KINDS?.split(',')
const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'postern-bench-'))
process.on('exit', () => fs.rmSync(dir, { recursive: true, force: true }))
process.on('SIGINT', () => process.exit(130))

const WITH = {
	'hit': ['bare', 'postern', 'nginx', 'varnish'],
	'hit+payloads': ['bare', 'postern', 'nginx'],
	'pass': ['bare', 'postern', 'nginx', 'haproxy'],
	'pass, all off': ['bare', 'postern', 'nginx', 'haproxy'],
	'miss': ['bare', 'postern', 'nginx'],
	'stream': ['bare', 'postern', 'nginx', 'haproxy'],
	'stream hit': ['bare', 'postern'],
}
const startPeer = (name, options) => peers.startPeer(name, { ...options, dir })
const isUnique = (kind) => kind === 'miss'
const median = (v) => [...v].sort((a, b) => a - b)[Math.floor((v.length - 1) / 2)]
const say = (text) => process.stderr.write(text + '\n')
const wants = (part) => !ONLY || ONLY.includes(part)

// ---- the load: wrk, one thread, on the core of the provider ----

function words(n) {
	const all = 'the cache of answers and a request is kept small stream model tokens with every gateway in provider message one to reader'.split(' ')
	let text = '', r = 1
	while (text.length < n) {
		r = (Math.imul(r, 1664525) + 1013904223) >>> 0
		text += all[r % all.length] + ' '
	}
	return text.slice(0, n)
}

function script(kind, size) {
	const stream = kind.startsWith('stream') ? '"stream":true,"stream_options":{"include_usage":true},' : ''
	const front = `{"model":"gpt-4o-mini","temperature":0.7,${stream}"messages":[{"role":"user","content":"Question `
	const back = '"}]}'
	const rest = words(Math.max(0, size - front.length - back.length - 13))
	const file = `${dir}/${kind.replace(/[^a-z]/g, '')}-${size}.lua`
	const head = `wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer sk-bench-0123456789abcdef"
`
	// Each run starts elsewhere, so that no two send the same.
	fs.writeFileSync(file, isUnique(kind) ? `${head}
local n = (os.time() % 100000) * 10000000
local a, b = '${front}', ' ${rest}${back}'
request = function() n = n + 1; return wrk.format(nil, nil, nil, a .. string.format("%012d", n) .. b) end
` : `${head}wrk.body = '${front}000000000000 ${rest}${back}'
`)
	return file
}

const getScript = () => {
	fs.writeFileSync(`${dir}/get.lua`, 'wrk.method = "GET"\n')
	return `${dir}/get.lua`
}

const us = (text) => {
	const [, n, unit] = /([\d.]+)(us|ms|s|m)/.exec(text)
	return Number(n) * { us: 1, ms: 1000, s: 1e6, m: 6e7 }[unit]
}

async function wrk(url, lua, connections, seconds) {
	const { stdout } = await exec('taskset', ['-c', String(processes.LOAD_CORE), 'wrk', '-t1', `-c${connections}`, `-d${seconds}s`, '--latency',
		'--timeout', '30s', '-s', lua, url], { maxBuffer: 1 << 20 })
	const bad = /Non-2xx or 3xx responses: (\d+)/.exec(stdout), broken = /Socket errors: (.*)/.exec(stdout)
	if (bad || (broken && !/connect 0, read 0, write 0/.test(broken[1])))
		throw new Error(`wrk ${url}: ${bad?.[0] ?? ''} ${broken?.[0] ?? ''}`)
	return {
		requests: Number(/(\d+) requests in/.exec(stdout)[1]),
		perSecond: Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)[1]),
		p50: us(/^\s+50%\s+(\S+)/m.exec(stdout)[1]),
		p99: us(/^\s+99%\s+(\S+)/m.exec(stdout)[1]),
	}
}

async function figures(line) {
	const f = {}
	const w = line.trim().split(/\s+/)
	for (let i = 0; i < w.length; i += 2)
		f[w[i]] = Number(w[i + 1])
	return f
}

async function tool(name, argv) {
	const { stdout } = await exec('taskset', ['-c', String(processes.LOAD_CORE), `build/bench/${name}`, ...argv.map(String)]).catch((e) => {
		throw new Error(`${name} ${argv.join(' ')}: ${e.stdout}${e.stderr}`)
	})
	return figures(stdout)
}

async function verdicts(peer) {
	const text = await (await fetch(`http://127.0.0.1:${peer.port}/-/metrics`)).text()
	const of = (v) => Number(new RegExp(`^postern_requests_total\\{[^}]*cache="${v}"[^}]*\\} (\\d+)`, 'mi').exec(text)?.[1] ?? 0)
	return { hit: of('hit'), miss: of('miss'), bypass: of('bypass') }
}

// ---- one cell ----

async function once(name, cell, provider) {
	const peer = await startPeer(name, { ...cell, provider })
	try {
		const lua = name === 'varnish' ? getScript() : script(cell.kind, cell.size)
		await wrk(peer.url, lua, Math.min(cell.connections, 64), 0.5 < SECONDS ? 1 : SECONDS)
		const before = name === 'postern' && !cell.tls ? await verdicts(peer) : null
		const ticks = processes.cpuTicks(peer.process), start = process.hrtime.bigint()
		const r = await wrk(peer.url, lua, cell.connections, SECONDS)
		r.cpu = (processes.cpuTicks(peer.process) - ticks) * 10000 / r.requests
		r.busy = (processes.cpuTicks(peer.process) - ticks) * 1e7 / Number(process.hrtime.bigint() - start)
		r.anon = processes.memory(peer.process)
		if (before !== null)
			check(cell.kind, before, await verdicts(peer), r.requests)
		return r
	} finally {
		await peers.stopPeer(peer)
	}
}

// What the load meant to measure is what it got. Requests that were under way at its end are few.
function check(kind, before, after, requests) {
	const expected = kind.includes('hit') ? 'hit' : kind === 'miss' ? 'miss' : 'bypass'
	if (kind === 'pass, all off')
		return // without records nothing is counted
	if (after[expected] - before[expected] < requests * 0.99)
		throw new Error(`${kind}: ${requests} requests, ${JSON.stringify(before)} before, ${JSON.stringify(after)} after`)
}

async function measure(cell) {
	const provider = await (cell.tls ? peers.startTlsProvider(dir) : peers.startProvider())
	const runs = Object.fromEntries(cell.peers.map((name) => [name, []]))
	try {
		for (let i = 0; i < RUNS; i++)
			for (const name of cell.peers)
				runs[name].push(await once(name, cell, provider))
	} finally {
		await processes.stop(provider)
	}
	const row = { ...cell, result: {} }
	for (const name of cell.peers)
		row.result[name] = Object.fromEntries(Object.keys(runs[name][0]).map((k) => [k, median(runs[name].map((r) => r[k]))]))
	say(`  ${label(cell)}: ` + cell.peers.map((n) => `${n} ${Math.round(row.result[n].perSecond)}`).join('  '))
	return row
}

export const label = (c) => `${c.kind}, ${c.size >= 1 << 20 ? `${c.size >> 20} MB` : `${c.size >> 10} KB`}, ${c.connections} conn${c.tls ? ', TLS' : ''}`

function cells() {
	const all = []
	const kinds = Object.keys(WITH).filter((k) => !KINDS || KINDS.includes(k))
	const add = (kind, size, connections, tls) => {
		const who = WITH[kind].filter((p) => !tls || (p !== 'bare' && p !== 'varnish'))
		if (!tls || !kind.startsWith('stream'))
			all.push({ kind, size, connections, tls, peers: who })
	}
	for (const tls of [false, true]) {
		if (!wants(tls ? 'tls' : 'throughput'))
			continue
		for (const kind of kinds)
			for (const size of [1 << 10, 100 << 10, 1 << 20])
				for (const connections of [1, 16, 64, 1000])
					if (FULL || (size === 1 << 10 ? !tls || connections === 16 || connections === 64 : connections === 16 && !tls))
						add(kind, size, connections, tls)
	}
	return all
}

// ---- at a fixed rate, and streams ----

async function latency() {
	const rows = []
	const provider = await peers.startProvider()
	try {
		for (const connections of [1, 16]) {
			const rate = connections === 1 ? 2000 : 10000, n = rate * 3
			const runs = {}
			for (let i = 0; i < RUNS; i++) {
				for (const name of ['direct', 'bare', 'postern', 'nginx', 'haproxy']) {
					const peer = name === 'direct' ? { url: `http://127.0.0.1:${provider.port}/v1/chat/completions`, process: null }
						: await startPeer(name, { kind: 'pass', provider })
					await tool('load', ['-n', 2000, '-c', connections, peer.url])
					;(runs[name] ??= []).push(await tool('load', ['-n', n, '-c', connections, '-r', rate, peer.url]))
					if (peer.process)
						await peers.stopPeer(peer)
				}
			}
			const of = (name, k) => median(runs[name].map((r) => r[k]))
			for (const name of ['bare', 'postern', 'nginx', 'haproxy'])
				rows.push({ name, connections, rate, ...Object.fromEntries(['p50', 'p99', 'p999'].map((k) => [k, of(name, `${k}_us`) - of('direct', `${k}_us`)])) })
		}
	} finally {
		await processes.stop(provider)
	}
	return rows
}

async function streams() {
	const rows = []
	const provider = await peers.startProvider({ events: 100, pace: 20 })
	try {
		for (const n of [1, 100, 500, 1000, 2000]) {
			const runs = {}
			for (let i = 0; i < (n <= 100 ? RUNS : 1); i++) {
				for (const name of ['direct', 'bare', 'postern', 'nginx', 'haproxy']) {
					const peer = name === 'direct' ? { url: `http://127.0.0.1:${provider.port}/v1/chat/completions`, process: null }
						: await startPeer(name, { kind: 'stream', provider })
					const ticks = peer.process ? processes.cpuTicks(peer.process) : 0
					const f = await tool('streams', ['-c', n, '-k', n === 1 ? 3 : 1, '-e', 100, peer.url]).catch((e) => ({ failed: String(e) }))
					f.cpu = peer.process ? (processes.cpuTicks(peer.process) - ticks) * 10000 / (n * 100 * (n === 1 ? 3 : 1)) : 0
					;(runs[name] ??= []).push(f)
					if (peer.process)
						await peers.stopPeer(peer)
				}
			}
			for (const name of Object.keys(runs)) {
				const of = (k) => median(runs[name].map((r) => r[k] ?? NaN))
				rows.push({ name, streams: n, first: of('first_p50_us'), p50: of('delay_p50_us'), p99: of('delay_p99_us'), p999: of('delay_p999_us'),
					lost: of('lost'), late: of('late'), cpu: of('cpu'), failed: runs[name].find((r) => r.failed)?.failed })
			}
			say(`  ${n} streams measured`)
		}
	} finally {
		await processes.stop(provider)
	}
	return rows
}

// ---- memory of what is open, and handshakes ----

async function held(name, tls, connections) {
	const provider = await peers.startProvider({ events: 60, pace: 1000 })
	// The way to the provider is plain: it is the clients' side that holds them.
	const peer = await startPeer(name, { kind: 'stream', provider, tls, plainProvider: true })
	try {
		const idle = processes.memory(peer.process)
		const child = exec('taskset', ['-c', String(processes.LOAD_CORE), 'wrk', '-t1', `-c${connections}`, '-d25s', '--timeout', '100s', '-s',
			script('stream', 1 << 10), peer.url]).catch(() => {})
		let most = 0
		for (let i = 0; i < 22; i++) {
			await new Promise((r) => setTimeout(r, 1000))
			most = Math.max(most, processes.memory(peer.process))
		}
		const open = Number((await exec('sh', ['-c', `ls /proc/${peer.process.child.pid}/fd | wc -l`])).stdout)
		child.child?.kill()
		await child
		return { name, tls, connections, idle, most, open }
	} finally {
		await peers.stopPeer(peer)
		await processes.stop(provider)
	}
}

async function handshakes() {
	const rows = []
	const provider = await peers.startTlsProvider(dir)
	try {
		for (const name of ['postern', 'nginx', 'haproxy'])
			for (const [version, mode] of [['-tls1_3', '-new'], ['-tls1_2', '-new'], ['-tls1_2', '-reuse']]) {
				const peer = await startPeer(name, { kind: 'pass', provider, tls: true })
				const ticks = processes.cpuTicks(peer.process)
				const { stdout } = await exec('taskset', ['-c', String(processes.LOAD_CORE), 'openssl', 's_time', '-connect', `127.0.0.1:${peer.port}`, version, mode, '-time', '3'])
				const n = Number(/(\d+) connections in [\d.]+ real seconds/.exec(stdout)[1])
				const seconds = (processes.cpuTicks(peer.process) - ticks) / 100
				rows.push({ name, version: version.slice(1), mode: mode.slice(1), perCpuSecond: n / seconds })
				await peers.stopPeer(peer)
			}
	} finally {
		await processes.stop(provider)
	}
	return rows
}

// ---- all of it ----

peers.makeCertificate(dir)
const out = {
	date: new Date().toISOString(), cpu: os.cpus()[0].model, cores: os.cpus().length, load_before: os.loadavg()[0],
	runs: RUNS, seconds: SECONDS,
	versions: { postern: peers.version(['build/postern', 'version']), nginx: peers.version(['nginx', '-v']), haproxy: peers.version(['haproxy', '-v']),
		varnish: peers.version(['varnishd', '-V']), wrk: peers.version(['wrk', '-v']) },
	cells: [],
}
for (const cell of cells())
	out.cells.push(await measure(cell))
if (wants('latency'))
	out.latency = await latency()
if (wants('streams'))
	out.streams = await streams()
if (wants('memory')) {
	out.held = []
	for (const tls of [false, true])
		out.held.push(await held('postern', tls, Number(process.env.OPEN ?? 10000)))
}
if (wants('handshakes'))
	out.handshakes = await handshakes()
fs.mkdirSync('build/bench', { recursive: true })
fs.writeFileSync('build/bench/bench.json', JSON.stringify(out, null, '\t') + '\n')
fs.writeFileSync('build/bench/bench.svg', chart(out))
process.stdout.write(table(out))
