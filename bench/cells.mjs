// The matrix: each cell is one kind of request, JSON or a stream of 100 events, one size, one number of connections, plain or TLS on
// both sides. Cells for which the peers need the same stand in a group: its peers are started together, each anew for each round,
// and asked in turn, cell after cell, so that a slow minute of the machine is everybody's. Medians of the rounds are compared.
import fs from 'node:fs'
import { ask, connectionsNeeded, medians, tool, wrk } from './load.mjs'
import * as peers from './peers.mjs'
import { cpuTicks, stop } from './process.mjs'

const KB = 1 << 10, MB = KB * KB
const SIZES = [KB, 100 * KB, MB]
const CONNECTIONS = [1, 16, 64, 1000]
const MORE = 256 // connections: with 1 KB in JSON on plain connections, for the bounds of the tail
const DELAY_MS = 20 // of the provider, where requests are to meet at it

// kinds: what is asked of Postern, each of another one; others: who can do the work of the group, and all kinds are set against them.
const GROUPS = {
	through: { kinds: ['pass', 'pass without log', 'miss'], others: ['bare', 'nginx', 'haproxy'] },
	cached: { kinds: ['hit', 'hit+payloads'], others: ['bare', 'nginx', 'varnish'] },
	coalesced: { kinds: ['coalesced'], others: ['nginx'] },
}
const ONLY_SMALL_JSON = ['pass', 'hit+payloads', 'haproxy', 'varnish'] // what sets them apart does not grow with the body
const HAS_TLS = ['nginx', 'haproxy']

// nginx stores nothing under a key over 64 KB, and the body is in the key. Beyond 1 KB a stream is compared with Postern's own cells.
function canDo(name, group, { sse, size, tls }) {
	if (tls && !HAS_TLS.includes(name))
		return false
	if (size === KB)
		return !sse || !ONLY_SMALL_JSON.includes(name)
	return group === 'through' && !sse && !ONLY_SMALL_JSON.includes(name)
}

// A thousand bodies of 1 MB under way at once take the better part of 10 s to the first answer.
function connectionsOf(group, { sse, size, tls, full }) {
	const all = size === KB && !sse && !tls ? [...CONNECTIONS, MORE].sort((a, b) => a - b) : CONNECTIONS
	return all.filter((n) => (n > 1 || group !== 'coalesced') && // one has nobody to meet
		(full || n < 1000 || size < MB))
}

// One group: a list of what is measured at each of its sizes and numbers of connections.
function groupOf(name, sse, tls, { kinds, full }) {
	const wanted = GROUPS[name].kinds.filter((k) => !kinds || kinds.includes(k))
	const points = SIZES.flatMap((size) => connectionsOf(name, { sse, size, tls, full }).map((connections) => ({ sse, size, tls, connections })))
		.map((point) => ({ ...point,
			own: wanted.filter((k) => (point.size === KB && !sse) || !ONLY_SMALL_JSON.includes(k)),
			others: GROUPS[name].others.filter((p) => canDo(p, name, point)) }))
		.filter((point) => point.own.length > 0)
	return { name, sse, tls, points, label: `${name}${sse ? ', streams' : ''}${tls ? ', TLS' : ''}` }
}

export function groups({ kinds, full, plain, tls }) {
	const all = []
	for (const isTls of [...(plain ? [false] : []), ...(tls ? [true] : [])])
		for (const sse of [false, true])
			all.push(...Object.keys(GROUPS).map((name) => groupOf(name, sse, isTls, { kinds, full })))
	return all.filter((g) => g.points.length > 0)
}

const sizeLabel = (n) => (n >= MB ? `${n / MB} MB` : `${n / KB} KB`)
export const label = (c) => `${c.kind}${c.sse ? ', stream' : ''}, ${sizeLabel(c.size)}, ${c.connections} conn${c.tls ? ', TLS' : ''}`

// 1,000 handshakes take a good part of a second by themselves, and so do many MB under way at once: before the last are read none is
// answered.
function secondsOf({ connections, tls, size }, seconds) {
	const underWay = connections * size / MB
	return seconds * Math.max(tls && connections >= 1000 ? 3 : 1, underWay > 500 ? 10 : underWay > 90 ? 3 : underWay > 50 ? 2 : 1)
}

const ROUND_S = 3, ASK_S = 0.25 // to start the peers of a group; around a measurement
export const estimate = (group, { runs, seconds }) => runs * group.points.reduce((sum, p) =>
	sum + (p.own.length + p.others.length) * (secondsOf(p, seconds) + ASK_S), ROUND_S)

// ---- what the load meant to measure is what it got ----

async function verdicts(peer) {
	const text = await (await fetch(`http://127.0.0.1:${peer.port}/-/metrics`)).text()
	const of = (v) => Number(new RegExp(`^postern_requests_total\\{[^}]*cache="${v}"[^}]*\\} (\\d+)`, 'mi').exec(text)?.[1] ?? 0)
	return { hit: of('hit'), miss: of('miss'), bypass: of('bypass') }
}

const EXPECTED = { 'hit': 'hit', 'hit+payloads': 'hit', 'miss': 'miss', 'pass': 'bypass' } // without records nothing is counted

// fetch does not trust our certificate.
const verdictOf = (peer, cell) => (peer.name === 'postern' && !cell.tls ? EXPECTED[cell.kind] : undefined)

function checkVerdicts(expected, before, after, requests) {
	if (after[expected] - before[expected] < requests * 0.99)
		throw new Error(`${requests} requests, ${JSON.stringify(before)} before, ${JSON.stringify(after)} after`)
}

// Every peer: an answer from the cache asks the provider for nothing, one that is shared less than once, any other once; and
// connections to it are kept, for a peer that connects anew for each request does another work. Requests that were under way at
// the end are few.
function checkProvider(cell, seen, requests) {
	const asked = seen.chats / requests
	if (requests === 0)
		throw new Error('no answer in the time of a run')
	if (cell.kind.startsWith('hit') ? asked > 0.01 : cell.kind === 'coalesced' ? asked > 0.5 : asked < 0.99)
		throw new Error(`${requests} requests, the provider saw ${seen.chats}`)
	if (seen.connections > 2 * cell.connections + requests / 50)
		throw new Error(`${seen.connections} new connections to the provider for ${requests} requests`)
}

// ---- one measurement ----

const HEAVY = 64 // connections, from which on work is left when the clients leave
const SETTLE_MS = 10000

// What these requests have left to do is not the next ones', which may be of another peer with the same provider.
async function settle(peer) {
	const end = Date.now() + SETTLE_MS
	let before, now = cpuTicks(peer.process)
	do {
		before = now
		await new Promise((resolve) => setTimeout(resolve, 100))
		now = cpuTicks(peer.process)
	} while (now > before + 1 && Date.now() < end)
}

async function once(peer, cell, provider, { dir, seconds }) {
	const expected = verdictOf(peer, cell)
	if (cell.kind.startsWith('hit') && peer.asked !== cell.size) { // what will be hit
		await ask(peer, cell, 3)
		peer.asked = cell.size
	}
	const before = expected && await verdicts(peer), counts = await provider.counts()
	const ticks = cpuTicks(peer.process), start = process.hrtime.bigint()
	const r = await wrk(dir, peer, cell, cell.connections, secondsOf(cell, seconds))
	const used = cpuTicks(peer.process) - ticks, ns = Number(process.hrtime.bigint() - start), now = await provider.counts()
	const seen = { connections: now.connections - counts.connections, chats: now.chats - counts.chats }
	checkProvider(cell, seen, r.requests)
	if (expected)
		checkVerdicts(expected, before, await verdicts(peer), r.requests)
	return { ...r, cpu: used * 10000 / r.requests, busy: used * 1e7 / ns, connects: seen.connections,
		...(cell.kind === 'coalesced' && { asked: seen.chats * cell.connections / r.requests }) }
}

const columnsOf = (group) => [...new Set(group.points.flatMap((p) => p.own))].map((kind) => ({ name: 'postern', kind }))
	.concat([...new Set(group.points.flatMap((p) => p.others))].map((name) => ({ name, kind: GROUPS[group.name].kinds[0] })))

const isOf = (column, point) => (column.name === 'postern' ? point.own.includes(column.kind) : point.others.includes(column.name))
const keyOf = ({ name, kind }, { size, connections }) => [name, name === 'postern' ? kind : '', size, connections].join()

async function start(column, group, provider, dir) {
	const home = fs.mkdtempSync(`${dir}/peer-`)
	return { ...column, home, peer: await peers.startPeer(column.name, { kind: column.kind, tls: group.tls, provider, dir: home, certificates: dir }) }
}

async function warmUp({ name, peer }, group) {
	const needed = await connectionsNeeded(peer, { sse: group.sse })
	if (needed !== 1)
		throw new Error(`${name}: a client needs ${needed} connections for 50 requests`)
	if (!group.tls && !peer.isGet)
		await tool('load', ['-n', 1000, '-c', 16, ...(group.sse ? ['-s'] : []), ...(group.name === 'coalesced' ? ['-g', 16, '-u', 1] : []), peer.url])
	peer.asked = KB
}

// One round: figures are added to seen[key], reasons to why.
async function round(group, seen, why, options) {
	const streams = { delay: group.name === 'coalesced' ? DELAY_MS : 0 }
	const provider = await (group.tls ? peers.startTlsProvider(options.dir, group.sse) : peers.startProvider(streams))
	const columns = []
	try {
		for (const column of columnsOf(group)) {
			columns.push(await start(column, group, provider, options.dir))
			await warmUp(columns.at(-1), group)
		}
		for (const point of group.points)
			for (const column of columns.filter((c) => isOf(c, point))) {
				const cell = { ...point, kind: column.kind }, key = keyOf(column, point)
				try {
					(seen[key] ??= []).push(await once(column.peer, cell, provider, options))
				} catch (e) {
					why.add(`${column.name}, ${label(cell)}: ${e.message}`)
				}
				if (cell.connections >= HEAVY)
					await settle(column.peer)
			}
	} finally {
		for (const { peer, home } of columns) {
			await peers.stopPeer(peer)
			fs.rmSync(home, { recursive: true, force: true })
		}
		await stop(provider.process)
	}
}

// Rows, one for each kind of Postern and point, and the reasons of what failed; told() after each round.
export async function measure(group, options, told) {
	const seen = {}, why = new Set()
	for (let i = 0; i < options.runs; i++) {
		await round(group, seen, why, options)
		told(`round ${i + 1} of ${options.runs}`)
	}
	const rows = group.points.flatMap(({ own, others, ...point }) => own.map((kind) => {
		const names = [...others.filter((n) => n === 'bare'), 'postern', ...others.filter((n) => n !== 'bare')]
		const of = names.map((name) => [name, seen[keyOf({ name, kind }, point)]])
		return { kind, ...point, result: Object.fromEntries(of.filter(([, runs]) => runs?.length > 0).map(([name, runs]) => [name, medians(runs)])) }
	}))
	return { rows, failed: [...why] }
}
