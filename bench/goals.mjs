// What is asked of Postern, each against what the run measured: never a figure from elsewhere. A goal whose figures the run has not
// (ONLY=, KINDS=, a cell that failed) says so.
const GOAL_CONNECTIONS = [16, 64] // the worse of them counts

const round = (n) => (Math.abs(n) >= 100 ? n.toFixed(0) : n.toFixed(2))

function cellOf(out, kind, connections, tls) {
	return out.cells.find((c) => c.kind === kind && !c.sse && c.size === 1024 && c.tls === tls && c.connections === connections)?.result
}

// Requests a second, Postern's to another's.
function ratio(kind, other, tls = false) {
	return (out) => {
		const all = GOAL_CONNECTIONS.map((n) => cellOf(out, kind, n, tls)).map((r) => r?.postern?.perSecond / r?.[other]?.perSecond)
		return { value: Math.min(...all), text: `${all.map(round).join(' and ')} at ${GOAL_CONNECTIONS.join(' and ')} connections` }
	}
}

const latencyOf = (out, name) => out.latency?.find((r) => r.name === name && r.connections === 1)?.p50

function addedToHaproxy(out) {
	const mine = latencyOf(out, 'postern'), other = latencyOf(out, 'haproxy')
	return { value: mine - other, text: `${mine} us, HAProxy ${other} us` }
}

// Of paced streams: what is measured through Postern, less what it is without anything between.
function added(field, length) {
	return (out) => {
		const of = (name) => out.streams?.find((r) => r.name === name && r.length === length && r.streams === 10)?.[field]
		const mine = of('postern'), direct = of('direct')
		return { value: mine - direct, text: `${mine - direct} us (${mine}, of it ${direct} without it)` }
	}
}

function sustained(out) {
	const mine = (out.streams ?? []).filter((r) => r.name === 'postern' && r.length > 2)
	const clean = mine.filter((r) => r.lost === 0 && r.broken === 0 && r.late === 0).map((r) => r.streams)
	const most = Math.max(...mine.map((r) => r.streams)), value = clean.length > 0 ? Math.max(...clean) : mine.length > 0 ? 0 : NaN
	return { value: mine.length > 0 ? value / most : NaN, text: `${value} of ${most}` }
}

function idle(out) {
	const value = out.memory?.find((r) => r.name === 'postern' && r.kind === 'pass')?.idleRss
	return { value, text: `${round(value ?? NaN)} MB` }
}

function heldStreams(tls) {
	return (out) => {
		const row = out.held?.find((r) => r.tls === tls)
		return { value: row?.most, text: `${round(row?.most ?? NaN)} MB at ${row?.connections}` }
	}
}

function shaken(version, mode) {
	return (out) => {
		const of = (name) => out.handshakes?.find((r) => r.name === name && r.version === version && r.mode === mode)?.perCpuSecond
		return { value: of('postern') / of('nginx'), text: `${round(of('postern') / of('nginx'))} (${round(of('postern') ?? NaN)}, nginx ${round(of('nginx') ?? NaN)})` }
	}
}

// Processor time of a request in the later rows of a list to that of its first; the highest counts.
function flat(list, isOf = () => true) {
	return (out) => {
		const rows = (out[list] ?? []).filter(isOf), all = rows.slice(1).map((r) => r.cpu / rows[0].cpu)
		return { value: rows.length > 1 ? Math.max(...all) : NaN, text: all.map(round).join(', ') }
	}
}

const over = (n) => ({ bound: n, sign: '>=', isMet: (v) => v >= n })
const under = (n, unit) => ({ bound: n, unit, sign: '<', isMet: (v) => v < n })
const upTo = (n, unit) => ({ bound: n, unit, sign: '<=', isMet: (v) => v <= n })

const GOALS = [
	['hit, to nginx\'s POST cache', over(1.3), ratio('hit', 'nginx')],
	['hit, to the bare responder', over(0.7), ratio('hit', 'bare')],
	['pass, to nginx\'s plain reverse proxy', over(1), ratio('pass', 'nginx')],
	['pass, to the bare proxy', over(0.75), ratio('pass', 'bare')],
	['hit with TLS, to nginx with TLS', over(1.3), ratio('hit', 'nginx', true)],
	['pass with TLS, to nginx with TLS', over(1), ratio('pass', 'nginx', true)],
	['hit with bodies in the log, to nginx', over(1), ratio('hit+payloads', 'nginx')],
	['miss, stored and logged with bodies, to the bare proxy', over(0.5), ratio('miss', 'bare')],
	['added p50, 1 connection, less HAProxy\'s', upTo(0, 'us'), addedToHaproxy],
	['added to the first token, p50', under(50, 'us'), added('first_p50_us', 2)],
	['added to an event of a stream, p99', under(100, 'us'), added('delay_p99_us', 100)],
	['streams with no event lost or over 10 ms late, of those tried', over(1), sustained],
	['idle RSS', under(6, 'MB'), idle],
	['open streams, RssAnon', under(100, 'MB'), heldStreams(false)],
	['open streams with TLS, RssAnon', under(500, 'MB'), heldStreams(true)],
	['TLS 1.3 full handshakes a second of processor, to nginx', over(0.35), shaken('tls1_3', 'new')],
	['TLS 1.2 resumed handshakes, likewise', over(1), shaken('tls1_2', 'reuse')],
	['cost of a hit with more connections, to 16', upTo(1.1), flat('connections', (r) => r.name === 'postern' && r.kind === 'hit')],
	['cost of a pass with more connections, to 16', upTo(1.1), flat('connections', (r) => r.name === 'postern' && r.kind === 'pass')],
	['cost of a hit with a full store, to an empty one', upTo(1.1), flat('store')],
]

// { goal, measured, bound, value, met }; met is null where nothing was measured.
export function goals(out) {
	return GOALS.map(([goal, { bound, unit, sign, isMet }, of]) => {
		const { value, text } = of(out), is = Number.isFinite(value)
		return { goal, measured: is ? text : 'not measured', bound: `${sign} ${bound}${unit ? ` ${unit}` : ''}`, value: is ? value : null, met: is ? isMet(value) : null }
	})
}
