// What `make bench` measures besides the matrix: added latency at a fixed rate, streams, memory, cost as connections and stores
// grow, TLS handshakes. Each returns rows for bench/report.mjs; `estimates` says about how many seconds it takes.
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import { handshakes as shakeHands, median, medians, tool, wrk, wrkRun } from './load.mjs'
import { startPeer, startProvider, startTlsProvider, stopPeer } from './peers.mjs'
import { cpuTicks, descriptors, memory, stop } from './process.mjs'

const PROXIES = ['bare', 'postern', 'nginx', 'haproxy']
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

async function withProvider(options, fn) {
	const provider = await startProvider(options)
	try {
		return await fn(provider)
	} finally {
		await stop(provider.process)
	}
}

async function withPeer(name, options, fn) {
	const peer = await startPeer(name, options)
	try {
		return await fn(peer)
	} finally {
		await stopPeer(peer, { keepData: options.data !== undefined })
	}
}

// Microseconds of processor for each of n while fn runs, beside what it returns.
async function costing(peer, n, fn) {
	const ticks = peer.process ? cpuTicks(peer.process) : 0
	const figures = await fn()
	return { ...figures, cpu: peer.process ? (cpuTicks(peer.process) - ticks) * 10000 / n : 0 }
}

// ---- at a fixed rate: what a peer adds to the time of the provider itself ----

const RATES = { 1: 2000, 16: 10000 }, LATENCY_S = 2

export function latency({ runs, dir }) {
	return withProvider({}, async (provider) => {
		const rows = []
		for (const [connections, rate] of Object.entries(RATES)) {
			const all = { direct: [], ...Object.fromEntries(PROXIES.map((name) => [name, []])) }
			for (let i = 0; i < runs; i++)
				for (const name of Object.keys(all))
					all[name].push(await withPeer(name, { kind: 'pass', provider, dir }, async (peer) => {
						await tool('load', ['-n', 2000, '-c', connections, peer.url])
						return tool('load', ['-n', rate * LATENCY_S, '-c', connections, '-r', rate, peer.url])
					}))
			const direct = medians(all.direct)
			for (const name of PROXIES) {
				const of = medians(all[name])
				rows.push({ name, connections: Number(connections), rate, ...Object.fromEntries(['p50', 'p99', 'p999'].map((k) => [k, of[`${k}_us`] - direct[`${k}_us`]])) })
			}
		}
		return rows
	})
}

// ---- streams ----

const EVENTS = 100
// Streams at once, streams one after the other on each connection, events of each, and how often that is measured. The first row is for
// first tokens, of which the others have few.
const STREAMED = [[10, 20, 2], [10, 1, EVENTS], [100, 1, EVENTS], [1000, 1, EVENTS, 1], [2000, 1, EVENTS, 1]]

export function streams({ runs, dir }) {
	return withProvider({ events: EVENTS, pace: 20 }, (long) => withProvider({ events: 2, pace: 20 }, async (short) => {
		const rows = []
		for (const [n, rounds, events, times = runs] of STREAMED) {
			const all = {}
			for (let i = 0; i < times; i++)
				for (const name of ['direct', ...PROXIES])
					(all[name] ??= []).push(await withPeer(name, { kind: 'pass', provider: events === 2 ? short : long, dir }, (peer) =>
						costing(peer, n * rounds * events, () => tool('streams', ['-c', n, '-k', rounds, '-e', events, peer.url])
							.catch((e) => ({ failed: e.message })))))
			for (const [name, figures] of Object.entries(all)) {
				const failed = figures.find((f) => f.failed)?.failed
				rows.push({ name, streams: n, rounds, length: events, ...(failed ? { failed } : medians(figures)) })
			}
		}
		return rows
	}))
}

// ---- memory ----

const UNDER_LOAD = [['postern', 'hit'], ['postern', 'miss'], ['postern', 'pass'], ['nginx', 'pass'], ['haproxy', 'pass']]
const LOAD_S = 5, REST_S = 10

// Under load for a while, some time after it, and once more: what the second round adds is growth. They rest while others are loaded.
export function underLoad({ dir }) {
	return withProvider({}, async (provider) => {
		const rows = []
		for (const [name, kind] of UNDER_LOAD) {
			const peer = await startPeer(name, { kind, provider, dir: fs.mkdtempSync(`${dir}/peer-`) })
			rows.push({ peer, row: { name, kind } })
		}
		await sleep(1000)
		for (const { peer, row } of rows)
			Object.assign(row, { idle: memory(peer.process), idleRss: memory(peer.process, 'VmRSS') })
		const round = async () => {
			for (const { peer, row } of rows) {
				const seen = [], clock = setInterval(() => seen.push(memory(peer.process)), 200)
				await wrk(dir, peer, row, 64, LOAD_S)
				clearInterval(clock)
				row.steady = median(seen.slice(seen.length >> 1))
				row.rested = sleep(REST_S * 1000).then(() => memory(peer.process))
			}
			const rested = []
			for (const { row } of rows)
				rested.push(await row.rested)
			return rested
		}
		const first = await round(), second = await round()
		for (const { peer } of rows)
			await stopPeer(peer)
		return rows.map(({ row: { rested, ...row } }, i) => ({ ...row, recovered: first[i], growth: second[i] - first[i] }))
	})
}

// Postern has at most 1,024 handshakes open, and beyond them ends those that have not said anything yet: which is what wrk's
// connections do until the last of them is connected.
const AT_ONCE = 900

async function untilHeld(peer, wanted) {
	let n = 0
	for (let i = 0; i < 900; i++) {
		n = descriptors(peer.process)
		if (n >= wanted)
			return n
		await sleep(100)
	}
	throw new Error(`${wanted} descriptors were meant to be open, ${n} are`)
}

// Open streams. The way to the provider is plain: it is the clients' side that holds them.
export function held({ dir, open }) {
	return withProvider({ events: 300, pace: 1000 }, async (provider) => {
		const rows = []
		for (const tls of [false, true])
			rows.push(await withPeer('postern', { kind: 'pass', provider, tls, plainProvider: true, dir }, async (peer) => {
				const idle = memory(peer.process), loads = []
				let descriptors = 0
				for (let n = Math.min(open, AT_ONCE); descriptors < 2 * open; n = Math.min(open, n + AT_ONCE)) {
					loads.push(wrkRun(dir, peer, { kind: 'pass', sse: true }, n - loads.length * AT_ONCE, 300))
					descriptors = await untilHeld(peer, 2 * n) // a stream has one on each side
				}
				await sleep(5000)
				const most = memory(peer.process)
				loads.forEach((load) => load.stop())
				return { name: 'postern', tls, connections: open, idle, most, descriptors }
			}))
		return rows
	})
}

// ---- flat: what a request costs as connections and stores grow ----

async function answered(peer) {
	const isNginx = peer.name === 'nginx'
	const text = await (await fetch(`http://127.0.0.1:${peer.port}/-/${isNginx ? 'status' : 'metrics'}`)).text()
	if (isNginx)
		return Number(/^ \d+ \d+ (\d+)/m.exec(text)[1])
	return [...text.matchAll(/^postern_requests_total\{.*\} (\d+)/mg)].reduce((sum, [, n]) => sum + Number(n), 0)
}

// Requests and processor of some seconds in the middle of a load, when all are connected: connecting is not what is asked for here.
async function inTheMiddle(peer, provider, load, connections, seconds) {
	await untilHeld(peer, connections)
	await sleep(1000)
	const before = await answered(peer), counts = await provider.counts(), ticks = cpuTicks(peer.process), start = process.hrtime.bigint()
	await sleep(seconds * 1000)
	const requests = await answered(peer) - before, used = cpuTicks(peer.process) - ticks
	const perSecond = requests * 1e9 / Number(process.hrtime.bigint() - start), connects = (await provider.counts()).connections - counts.connections
	load.stop()
	return { perSecond, cpu: used * 10000 / requests, connects: connects / requests }
}

const LEAST_S = 2
const GROWING = ['postern', 'nginx']

export function byConnections({ dir, open, runs }) {
	return withProvider({}, async (provider) => {
		const rows = []
		for (const kind of ['hit', 'pass'])
			for (const n of [16, 100, 1000, Math.min(open, 9900)]) {
				const all = Object.fromEntries(GROWING.map((name) => [name, []]))
				for (let i = 0; i < runs; i++)
					for (const name of GROWING)
						all[name].push(await withPeer(name, { kind, provider, dir },
							(peer) => inTheMiddle(peer, provider, wrkRun(dir, peer, { kind }, n, 120), n, LEAST_S)))
				rows.push(...GROWING.map((name) => ({ name, kind, connections: n, ...medians(all[name]) })))
			}
		return rows
	})
}

const MOST_ASKED = 50000 // hits in each measurement

// A cache with one entry and an empty log, then with `entries` and `records`.
export async function byStore({ dir, entries, records, runs }) {
	const data = fs.mkdtempSync(`${dir}/store-`)
	const extra = ['cache.max_size=100GB', 'log.max_size=100GB']
	const rows = [], n = Math.min(entries, MOST_ASKED)
	const hits = async (label, peer, first) => {
		const numbers = first === undefined ? [] : ['-u', first], all = []
		for (let i = 0; i < runs; i++)
			all.push(await costing(peer, n, () => tool('load', ['-n', n, '-c', 16, '-v', 'HIT', ...numbers, peer.url])))
		rows.push({ label, ...medians(all) })
	}
	const on = (provider, fn) => withPeer('postern', { kind: 'hit', provider, dir, data, extra }, fn)
	return withProvider({}, async (provider) => {
		await on(provider, async (peer) => {
			await tool('load', ['-n', 1, peer.url])
			await hits('1 entry, no records', peer)
			await tool('load', ['-n', entries, '-c', 64, '-v', 'MISS', '-u', 1, peer.url])
		})
		execFileSync('build/bench/fill', ['-n', String(records), data], { stdio: 'pipe' })
		await on(provider, async (peer) => {
			await hits(`${entries} entries, ${records} records: one of them`, peer)
			await hits('the same: each once, in a row', peer, 1 + entries - n)
		})
		fs.rmSync(data, { recursive: true })
		return rows
	})
}

// ---- handshakes ----

export async function handshakes({ dir, runs }) {
	const rows = []
	const provider = await startTlsProvider(dir)
	try {
		for (const [version, mode] of [['tls1_3', 'new'], ['tls1_2', 'new'], ['tls1_2', 'reuse']]) {
			const all = {}
			for (let i = 0; i < runs; i++)
				for (const name of ['postern', 'nginx', 'haproxy'])
					(all[name] ??= []).push(await withPeer(name, { kind: 'pass', provider, tls: true, dir }, async (peer) => {
						const ticks = cpuTicks(peer.process), n = await shakeHands(peer.port, version, mode)
						return n * 100 / (cpuTicks(peer.process) - ticks)
					}))
			rows.push(...Object.entries(all).map(([name, n]) => ({ name, version, mode, perCpuSecond: median(n) })))
		}
	} finally {
		await stop(provider.process)
	}
	return rows
}

export const estimates = {
	latency: ({ runs }) => runs * 2 * (PROXIES.length + 1) * (LATENCY_S + 0.8),
	streams: ({ runs }) => (PROXIES.length + 1) * (runs * (1.2 + 2.5 + 2.6) + 4 + 5),
	memory: () => 2 * (UNDER_LOAD.length * LOAD_S + REST_S) + 3,
	held: ({ open }) => 10 + open / 150,
	connections: ({ runs, open }) => GROWING.length * runs * 2 * (4 * (LEAST_S + 2) + open / 3000),
	store: ({ runs, entries, records }) => 5 + entries / 15000 + records / 80000 + 3 * runs * 1.2,
	handshakes: ({ runs }) => runs * 9 * 1.5,
}
