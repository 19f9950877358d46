// `make bench-peers`: Postern beside other gateways, each on one core, as it comes: no caching, and a log only where it is on without
// being asked for. What is not installed is said, with the reason.
import { installed, isInstalled, whyNot } from './gateways.mjs'
import { connectionsNeeded, medians, tool, wrk } from './load.mjs'
import { startPeer, startProvider, stopPeer } from './peers.mjs'
import { cpuTicks, memory, stop } from './process.mjs'

const CELLS = [[false, 1], [false, 16], [false, 64], [true, 1], [true, 16]].map(([sse, connections]) => ({ kind: 'pass', sse, connections }))

async function once(name, cell, provider, { dir, seconds }) {
	const started = Date.now()
	const peer = await startPeer(name, { ...cell, provider, dir })
	try {
		await connectionsNeeded(peer, cell)
		const ready = Date.now() - started, idle = memory(peer.process)
		await wrk(dir, peer, cell, cell.connections, 1)
		const before = await provider.counts(), ticks = cpuTicks(peer.process)
		const r = await wrk(dir, peer, cell, cell.connections, seconds)
		if (r.requests === 0)
			throw new Error('no answer in the time of a run')
		const now = await provider.counts(), connects = now.connections - before.connections
		if (now.chats - before.chats < r.requests * 0.99)
			throw new Error(`${name}: ${r.requests} requests, the provider saw ${now.chats - before.chats}`)
		return { ...r, ready, idle, loaded: memory(peer.process), cpu: (cpuTicks(peer.process) - ticks) * 10000 / r.requests, connects }
	} finally {
		await stopPeer(peer)
	}
}

// What a peer adds to an event of a stream whose provider writes one every 20 ms.
async function paced(name, provider, { dir }) {
	const peer = await startPeer(name, { kind: 'pass', provider, dir })
	try {
		await connectionsNeeded(peer, {})
		return await tool('streams', ['-c', 10, '-e', 100, ...Object.entries(peer.headers ?? {}).flatMap(([k, v]) => ['-H', `${k}: ${v}`]), peer.url])
	} finally {
		await stopPeer(peer)
	}
}

// fn, and if it fails what it says: a gateway that cannot do something is a result.
async function tried(fn) {
	try {
		return await fn()
	} catch (e) {
		return { failed: e.message.split('\n')[0] }
	}
}

export async function beside(options, say) {
	const names = ['postern', ...Object.keys(installed)], rows = [], streams = []
	const missing = Object.fromEntries(names.filter((n) => n !== 'postern' && !isInstalled(n)).map((n) => [n, whyNot(n)]))
	const present = names.filter((n) => !missing[n])
	const provider = await startProvider(), slow = await startProvider({ pace: 20 })
	for (const cell of CELLS)
		for (const name of present) {
			const result = await tried(async () => {
				const runs = []
				for (let i = 0; i < options.runs; i++)
					runs.push(await once(name, cell, provider, options))
				return medians(runs)
			})
			rows.push({ name, ...cell, ...result })
			say(`  ${name}, ${cell.sse ? 'stream' : 'pass'}, ${cell.connections}: ${result.failed ?? Math.round(result.perSecond)}`)
		}
	for (const name of ['direct', ...present])
		streams.push({ name, ...(await tried(() => paced(name, slow, options))) })
	await stop(provider.process)
	await stop(slow.process)
	return { rows, streams, missing }
}
