// The matrix: each cell is one kind of request, one size, one number of connections, plain or TLS. All peers that can do that kind
// are measured in turn, several times round, so that a slow minute of the machine is everybody's, and medians are compared.
import { connectionsNeeded, medians, wrk } from './load.mjs'
import * as peers from './peers.mjs'
import { cpuTicks, memory, stop } from './process.mjs'

const KB = 1 << 10
const WITH = {
	'hit': ['bare', 'postern', 'nginx', 'varnish'],
	'hit+payloads': ['bare', 'postern', 'nginx'],
	'pass': ['bare', 'postern', 'nginx', 'haproxy'],
	'pass without log': ['bare', 'postern', 'nginx', 'haproxy'],
	'miss': ['bare', 'postern', 'nginx'],
	'stream': ['bare', 'postern', 'nginx', 'haproxy'],
	'stream hit': ['bare', 'postern'],
}
const SWEPT = ['hit', 'pass', 'miss']
const SWEEP = [1, 4, 16, 64, 256, 1000]
const TLS_PEERS = ['postern', 'nginx', 'haproxy'] // and no streams: its provider has none

// nginx stores nothing under a key over 64 KB, and here the body is in the key; Varnish is asked by GET, which sends no body.
const canDo = (name, kind, size, tls) => (tls ? TLS_PEERS.includes(name) : true) &&
	(size === KB || !kind.includes('hit') || !['nginx', 'varnish'].includes(name))

function connectionsOf(kind, size, tls, full) {
	if (full || (SWEPT.includes(kind) && size === KB && !tls))
		return SWEEP
	if (size === KB)
		return [16, 64]
	return tls ? [] : [16]
}

export function cells({ full, kinds, plain, tls }) {
	const all = []
	for (const isTls of [...(plain ? [false] : []), ...(tls ? [true] : [])])
		for (const kind of Object.keys(WITH).filter((k) => (!kinds || kinds.includes(k)) && !(isTls && k.startsWith('stream'))))
			for (const size of [KB, 100 * KB, KB * KB])
				for (const connections of connectionsOf(kind, size, isTls, full))
					all.push({ kind, size, connections, tls: isTls, peers: WITH[kind].filter((p) => canDo(p, kind, size, isTls)) })
	return all
}

const sizeLabel = (n) => (n >= KB * KB ? `${n / KB / KB} MB` : `${n / KB} KB`)
export const label = (c) => `${c.kind}, ${sizeLabel(c.size)}, ${c.connections} conn${c.tls ? ', TLS' : ''}`

// ---- what the load meant to measure is what it got ----

async function verdicts(peer) {
	const text = await (await fetch(`http://127.0.0.1:${peer.port}/-/metrics`)).text()
	const of = (v) => Number(new RegExp(`^postern_requests_total\\{[^}]*cache="${v}"[^}]*\\} (\\d+)`, 'mi').exec(text)?.[1] ?? 0)
	return { hit: of('hit'), miss: of('miss'), bypass: of('bypass') }
}

// Without records nothing is counted, and fetch does not trust our certificate.
const countsVerdicts = (name, cell) => name === 'postern' && !cell.tls && cell.kind !== 'pass without log'

function checkVerdicts(kind, before, after, requests) {
	const expected = kind.includes('hit') ? 'hit' : kind === 'miss' ? 'miss' : 'bypass'
	if (after[expected] - before[expected] < requests * 0.99)
		throw new Error(`${kind}: ${requests} requests, ${JSON.stringify(before)} before, ${JSON.stringify(after)} after`)
}

// Every peer: an answer from the cache asks the provider for nothing, any other once; and connections to it are kept, for a peer
// that connects anew for each request does another work. Requests that were under way at the end are few.
function checkProvider(name, cell, seen, requests) {
	const asked = seen.chats / requests
	if (requests === 0)
		throw new Error(`${name}, ${label(cell)}: no answer in the time of a run`)
	if (cell.kind.includes('hit') ? asked > 0.01 : asked < 0.99)
		throw new Error(`${name}, ${label(cell)}: ${requests} requests, the provider saw ${seen.chats}`)
	if (seen.connections > 2 * cell.connections + requests / 50)
		throw new Error(`${name}, ${label(cell)}: ${seen.connections} new connections to the provider for ${requests} requests`)
}

// ---- one cell ----

async function once(name, cell, provider, { dir, seconds }) {
	const peer = await peers.startPeer(name, { ...cell, provider, dir })
	try {
		const needed = await connectionsNeeded(peer, cell.kind)
		if (needed !== 1)
			throw new Error(`${name}, ${label(cell)}: a client needs ${needed} connections for 50 requests`)
		await wrk(dir, peer, cell, Math.min(cell.connections, 64), 1)
		const before = countsVerdicts(name, cell) ? await verdicts(peer) : null
		const counts = await provider.counts(), ticks = cpuTicks(peer.process), start = process.hrtime.bigint()
		const r = await wrk(dir, peer, cell, cell.connections, seconds)
		const used = cpuTicks(peer.process) - ticks, ns = Number(process.hrtime.bigint() - start), now = await provider.counts()
		const seen = { connections: now.connections - counts.connections, chats: now.chats - counts.chats }
		checkProvider(name, cell, seen, r.requests)
		if (before !== null)
			checkVerdicts(cell.kind, before, await verdicts(peer), r.requests)
		return { ...r, cpu: used * 10000 / r.requests, busy: used * 1e7 / ns, anon: memory(peer.process), connects: seen.connections }
	} finally {
		await peers.stopPeer(peer)
	}
}

export async function measure(cell, options) {
	const provider = await (cell.tls ? peers.startTlsProvider(options.dir) : peers.startProvider())
	const runs = Object.fromEntries(cell.peers.map((name) => [name, []]))
	try {
		for (let i = 0; i < options.runs; i++)
			for (const name of cell.peers)
				runs[name].push(await once(name, cell, provider, options))
	} finally {
		await stop(provider.process)
	}
	return { ...cell, result: Object.fromEntries(cell.peers.map((name) => [name, medians(runs[name])])) }
}
