// Weighs Postern beside nginx, HAProxy, Varnish and the bare limit, or with GATEWAYS=1 beside other gateways: see bench/README.md.
// Run by bench/bench.
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { estimate, groups, measure } from './cells.mjs'
import { chart } from './chart.mjs'
import { beside } from './beside.mjs'
import { goals } from './goals.mjs'
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

function descriptors() {
	return Number(/^Max open files\s+(\d+)/m.exec(fs.readFileSync('/proc/self/limits', 'utf8'))[1])
}

const options = {
	dir, full,
	runs: Number(env.RUNS ?? 3),
	seconds: Number(env.SECONDS ?? 1),
	kinds: list(env.KINDS),
	open: Number(env.OPEN ?? (descriptors() > 20500 ? 10000 : 9900)), // a stream takes two
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

function fail(why) {
	process.exitCode = 1
	say(`  FAILED ${why}`)
	failures.push(why)
}

// What cannot be measured is said, and the rest goes on; the exit status tells.
async function attempt(what, fn) {
	try {
		return await fn()
	} catch (e) {
		fail(`${what}: ${e.message}`)
	}
}

const PARTS = {
	latency: parts.latency, streams: parts.streams, memory: parts.underLoad, held: parts.held,
	connections: parts.byConnections, store: parts.byStore, handshakes: parts.handshakes,
}

const seconds = (s) => `${Math.floor(s / 60)}:${String(Math.floor(s % 60)).padStart(2, '0')}`

// How far a run is: what was expected of the steps that are done, to what they took, tells about what remains.
const progress = {
	expected: 0, done: 0, begun: Date.now(),
	expect(s) { this.expected += s },
	tell(s, what) {
		this.done += s
		const took = (Date.now() - this.begun) / 1000, left = (this.expected - this.done) * took / this.done
		say(`  ${seconds(took)}, about ${seconds(left)} left: ${what}`)
	},
}

async function matrix(all) {
	const rows = []
	for (const group of all) {
		const each = estimate(group, options) / options.runs
		const done = await attempt(group.label, () => measure(group, options, (what) => progress.tell(each, `${group.label}, ${what}`)))
		for (const why of done?.failed ?? [])
			fail(why)
		rows.push(...(done?.rows ?? []))
	}
	return rows
}

function write(name, text) {
	fs.mkdirSync('build/bench', { recursive: true })
	fs.writeFileSync(`build/bench/${name}`, text)
}

async function besideOthers() {
	makeCertificate(dir)
	const all = groups({ ...options, plain: wants('throughput'), tls: wants('tls') }), wanted = Object.keys(PARTS).filter(wants)
	all.forEach((group) => progress.expect(estimate(group, options)))
	wanted.forEach((name) => progress.expect(parts.estimates[name](options)))
	say(`  ${seconds(progress.expected)} expected`)
	const out = { ...header(), cells: await matrix(all) }
	for (const name of wanted) {
		out[name] = await attempt(name, () => PARTS[name](options))
		progress.tell(parts.estimates[name](options), name)
	}
	out.goals = goals(out)
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
