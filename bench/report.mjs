// What bench.mjs measured, as tables for the terminal.
import { label } from './cells.mjs'

const COLUMNS = ['bare', 'postern', 'nginx', 'haproxy', 'varnish']
const BOUNDS_MS = [1, 5, 10, 50]

export const short = (n) => (n >= 10000 ? `${(n / 1000).toFixed(0)}k` : n >= 1000 ? `${(n / 1000).toFixed(1)}k` : n.toFixed(0))
const ratio = (a, b) => (a && b ? (a / b).toFixed(2) : '-')
const ms = (us) => (us / 1000).toFixed(1)
const fixed = (n, digits = 1) => n.toFixed(digits)

function columns(rows) {
	const widths = rows[0].map((_, i) => Math.max(...rows.map((r) => String(r[i]).length)))
	return rows.map((r) => r.map((c, i) => (i === 0 ? String(c).padEnd(widths[i]) : String(c).padStart(widths[i]))).join('  ')).join('\n') + '\n'
}

function throughput(cells) {
	const rows = cells.map((c) => {
		const rate = (name) => c.result[name]?.perSecond
		const text = (r) => (r ? `${short(r.perSecond)} (${ms(r.p99)}; ${fixed(r.cpu)})` : '-')
		return [label(c), ...COLUMNS.map((name) => text(c.result[name])),
			...['bare', 'nginx', 'haproxy'].map((name) => ratio(rate('postern'), rate(name))), ratio(c.result.postern?.cpu, c.result.nginx?.cpu)]
	})
	return columns([['requests/s (p99 ms; processor us a request)', ...COLUMNS, '/ bare', '/ nginx', '/ haproxy', 'us / nginx us'], ...rows])
}

// Of a sweep over the connections, the highest throughput whose p99 stayed under each bound.
function bounded(cells) {
	const swept = cells.filter((c) => c.size === 1024 && !c.tls && !c.sse && c.kind !== 'coalesced')
	const rows = []
	for (const kind of new Set(swept.map((c) => c.kind)))
		for (const name of COLUMNS) {
			const of = swept.filter((c) => c.kind === kind && c.result[name]).map((c) => c.result[name])
			const best = (bound) => Math.max(0, ...of.filter((r) => r.p99 <= bound * 1000).map((r) => r.perSecond))
			if (of.length > 2)
				rows.push([`${kind}: ${name}`, ...BOUNDS_MS.map((bound) => (best(bound) ? short(best(bound)) : '-'))])
		}
	return rows.length > 0 ? columns([['1 KB, most requests/s with p99 under', ...BOUNDS_MS.map((b) => `${b} ms`)], ...rows]) : ''
}

const latency = (rows) => columns([['added to the provider\'s own, at a fixed rate (us)', 'p50', 'p99', 'p99.9'],
	...rows.map((r) => [`${r.name}, ${r.connections} conn, ${short(r.rate)}/s`, r.p50, r.p99, r.p999])])

const streams = (rows) => columns([['streams, events 20 ms apart (us)', 'first token p50', 'event p50', 'p99', 'p99.9', 'lost', 'over 10 ms', 'us an event'],
	...rows.map((r) => [`${r.streams ?? 10} at once of ${r.length ?? 100} events, ${r.name}`, ...(r.failed ? ['failed', '', '', '', '', '', '']
		: [r.first_p50_us, r.delay_p50_us, r.delay_p99_us, r.delay_p999_us, r.lost, r.late, r.cpu === undefined ? '-' : fixed(r.cpu)])])])

// How often the provider was asked a question that all connections ask at once.
function coalesced(cells) {
	const asked = (r) => (r ? `${fixed(r.asked, 2)} (${ms(r.p50)}; ${ms(r.p99)})` : '-')
	const rows = cells.filter((c) => c.kind === 'coalesced').map((c) => [label(c), asked(c.result.postern), asked(c.result.nginx)])
	return rows.length > 0 ? columns([['times the provider was asked a question (p50; p99 ms)', 'postern', 'nginx'], ...rows]) : ''
}

const memory = (rows) => columns([['RssAnon, MB; 64 conn', 'idle', '(RSS)', 'under load', '10 s after', 'growth by a second round'],
	...rows.map((r) => [`${r.name}, ${r.kind}`, fixed(r.idle), fixed(r.idleRss), fixed(r.steady), fixed(r.recovered), fixed(r.growth, 2)])])

const held = (rows) => columns([['RssAnon, MB', 'idle', 'with them', 'KB each', 'descriptors'],
	...rows.map((r) => [`${r.name}, ${r.connections} open streams${r.tls ? ', TLS' : ''}`, fixed(r.idle), fixed(r.most),
		fixed((r.most - r.idle) * 1024 / r.connections), r.descriptors])])

const connections = (rows) => columns([['as connections grow', 'requests/s', 'us a request', '/ the first', 'new provider connections a request'],
	...rows.map((r) => [`${r.kind}, ${r.connections} conn: ${r.name}`, short(r.perSecond), fixed(r.cpu),
		ratio(r.cpu, rows.find((first) => first.kind === r.kind && first.name === r.name).cpu), fixed(r.connects, 3)])])

const store = (rows) => columns([['as the store grows: a hit, 16 conn', 'requests/s', 'p99 ms', 'us a request', '/ the first'],
	...rows.map((r) => [r.label, short(r.per_second), ms(r.p99_us), fixed(r.cpu), ratio(r.cpu, rows[0].cpu)])])

function handshakes(rows) {
	const of = (name, r) => rows.find((h) => h.name === name && h.version === r.version && h.mode === r.mode).perCpuSecond
	return columns([['handshakes a second of processor', 'postern', 'nginx', 'haproxy', '/ nginx'],
		...rows.filter((r) => r.name === 'postern').map((r) => [`${r.version}, ${r.mode === 'new' ? 'full' : 'resumed'}`,
			...['postern', 'nginx', 'haproxy'].map((name) => short(of(name, r))), ratio(r.perCpuSecond, of('nginx', r))])])
}

const MET = { true: 'met', false: 'MISSED', null: '-' }
const goals = (rows) => columns([['Goals', 'measured', 'goal', ''], ...rows.map((r) => [r.goal, r.measured, r.bound, MET[r.met]])])

const about = (out) => `\n${out.date}, ${out.cpu}, ${out.cores} cores, load ${out.load_before.toFixed(2)} before; medians of ${out.runs} runs of ${out.seconds} s\n`

export function table(out) {
	const texts = out.cells.length > 0 ? [throughput(out.cells), bounded(out.cells), coalesced(out.cells)] : []
	const of = { latency, streams, memory, held, connections, store, handshakes }
	for (const [name, text] of Object.entries(of))
		if (out[name])
			texts.push(text(out[name]))
	texts.push(out.failed.map((why) => `FAILED ${why}\n`).join(''), goals(out.goals))
	return [about(out), ...texts.filter((text) => text), `${out.minutes.toFixed(1)} minutes\n`].join('\n')
}

export function besideTable(out) {
	const mine = (r) => out.rows.find((p) => p.name === 'postern' && p.sse === r.sse && p.connections === r.connections)
	const rows = out.rows.map((r) => [`${r.sse ? 'stream' : 'pass'}, ${r.connections} conn: ${r.name}`, ...(r.failed ? [`failed: ${r.failed}`, '', '', '', '', '', '', '']
		: [short(r.perSecond), ms(r.p50), ms(r.p99), fixed(r.cpu, 0), fixed(r.idle), fixed(r.loaded), short(r.ready), ratio(mine(r).perSecond, r.perSecond)])])
	const missing = Object.entries(out.missing).map(([name, why]) => `${name} is not in the table: ${why}\n`)
	return [about(out), columns([['1 KB', 'requests/s', 'p50 ms', 'p99 ms', 'us a request', 'RssAnon idle, MB', 'loaded', 'first answer, ms', 'postern is x'], ...rows]),
		streams(out.streams), missing.join('')].join('\n')
}
