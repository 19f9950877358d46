// Weighs Postern beside nginx, HAProxy, Varnish and the bare limit, or with GATEWAYS=1 beside other gateways: see bench/README.md.
// Run by bench/bench.
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { cells, label, measure } from './cells.mjs'
import { chart } from './chart.mjs'
import { beside } from './beside.mjs'
import * as parts from './parts.mjs'
import { makeCertificate, version } from './peers.mjs'
import { besideTable, table } from './report.mjs'

const env = process.env
const list = (text) => text?.split(',')
const full = env.FULL === '1'
const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'postern-bench-'))
process.on('exit', () => fs.rmSync(dir, { recursive: true, force: true }))
for (const signal of ['SIGINT', 'SIGTERM'])
	process.on(signal, () => process.exit(130))

const options = {
	dir, full,
	runs: Number(env.RUNS ?? 3),
	seconds: Number(env.SECONDS ?? 2),
	kinds: list(env.KINDS),
	open: Number(env.OPEN ?? 9900), // of 20,000 descriptors: a stream takes two
	entries: Number(env.ENTRIES ?? (full ? 1e7 : 1e5)),
	records: Number(env.RECORDS ?? (full ? 1e7 : 1e6)),
}
const ONLY = list(env.ONLY)
const wants = (part) => !ONLY || ONLY.includes(part)
const failures = []
const say = (text) => process.stderr.write(text + '\n')

function header() {
	return {
		date: new Date().toISOString(), cpu: os.cpus()[0].model, cores: os.cpus().length, load_before: os.loadavg()[0],
		runs: options.runs, seconds: options.seconds,
		versions: { postern: version(['build/postern', 'version']), nginx: version(['nginx', '-v']), haproxy: version(['haproxy', '-v']),
			varnish: version(['varnishd', '-V']), wrk: version(['wrk', '-v']) },
	}
}

// What cannot be measured is said, and the rest goes on; the exit status tells.
async function attempt(what, fn) {
	try {
		return await fn()
	} catch (e) {
		process.exitCode = 1
		say(`  FAILED ${what}: ${e.message}`)
		failures.push(`${what}: ${e.message}`)
	}
}

async function matrix() {
	const rows = []
	for (const cell of cells({ ...options, plain: wants('throughput'), tls: wants('tls') })) {
		const row = await attempt(label(cell), () => measure(cell, options))
		if (row !== undefined) {
			say(`  ${label(cell)}: ` + cell.peers.map((n) => `${n} ${Math.round(row.result[n].perSecond)}`).join('  '))
			rows.push(row)
		}
	}
	return rows
}

const PARTS = {
	latency: parts.latency, streams: parts.streams, coalesced: parts.coalesced, memory: parts.underLoad, held: parts.held,
	connections: parts.byConnections, store: parts.byStore, handshakes: parts.handshakes,
}

function write(name, text) {
	fs.mkdirSync('build/bench', { recursive: true })
	fs.writeFileSync(`build/bench/${name}`, text)
}

async function besideOthers() {
	makeCertificate(dir)
	const out = { ...header(), cells: await matrix() }
	for (const [name, part] of Object.entries(PARTS))
		if (wants(name)) {
			say(`  ${name}`)
			out[name] = await attempt(name, () => part(options))
		}
	out.failed = failures
	out.minutes = process.uptime() / 60
	write('bench.json', JSON.stringify(out, null, '\t') + '\n')
	if (out.cells.some((c) => c.connections === 16 && c.size === 1024)) {
		write('bench.svg', chart(out))
		if (!ONLY && !options.kinds) // a whole run is what the README shows
			fs.copyFileSync('build/bench/bench.svg', 'bench/chart.svg')
	}
	process.stdout.write(table(out))
}

async function besideGateways() {
	const out = { ...header(), ...(await beside(options, say)) }
	write('peers.json', JSON.stringify(out, null, '\t') + '\n')
	process.stdout.write(besideTable(out))
}

await (env.GATEWAYS === '1' ? besideGateways() : besideOthers())
