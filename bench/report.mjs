// What bench.mjs measured, as a table for the terminal and as a chart (SVG).
const k = (n) => (n >= 10000 ? `${(n / 1000).toFixed(0)}k` : n >= 1000 ? `${(n / 1000).toFixed(1)}k` : n.toFixed(0))
const size = (n) => (n >= 1 << 20 ? `${n >> 20} MB` : `${n >> 10} KB`)
const ratio = (a, b) => (a && b ? (a / b).toFixed(2) : '-')

function columns(rows) {
	const widths = rows[0].map((_, i) => Math.max(...rows.map((r) => String(r[i]).length)))
	return rows.map((r) => r.map((c, i) => (i === 0 ? String(c).padEnd(widths[i]) : String(c).padStart(widths[i]))).join('  ')).join('\n') + '\n'
}

function throughput(cells) {
	const rows = [['requests/s (p99 ms; processor us a request)', 'bare', 'postern', 'nginx', 'haproxy', 'varnish', '/ bare', '/ nginx', '/ haproxy', 'us / nginx us']]
	for (const c of cells) {
		const r = c.result, rate = (n) => r[n]?.perSecond
		const one = (n) => (r[n] ? `${k(r[n].perSecond)} (${(r[n].p99 / 1000).toFixed(1)}; ${r[n].cpu.toFixed(1)})` : '-')
		rows.push([`${c.kind}, ${size(c.size)}, ${c.connections} conn${c.tls ? ', TLS' : ''}`, one('bare'), one('postern'), one('nginx'), one('haproxy'), one('varnish'),
			ratio(rate('postern'), rate('bare')), ratio(rate('postern'), rate('nginx')), ratio(rate('postern'), rate('haproxy')), ratio(r.postern?.cpu, r.nginx?.cpu)])
	}
	return columns(rows)
}

// The highest throughput of a sweep over the connections whose p99 stayed under a bound.
function bounded(cells) {
	const rows = [['1 KB, most requests/s with p99 under', '1 ms', '5 ms', '10 ms', '50 ms']]
	for (const kind of new Set(cells.map((c) => c.kind)))
		for (const name of ['bare', 'postern', 'nginx', 'haproxy']) {
			const of = cells.filter((c) => c.kind === kind && c.size === 1024 && !c.tls && c.result[name])
			if (of.length > 1)
				rows.push([`${kind}: ${name}`, ...[1, 5, 10, 50].map((ms) => {
					const best = Math.max(0, ...of.filter((c) => c.result[name].p99 <= ms * 1000).map((c) => c.result[name].perSecond))
					return best ? k(best) : '-'
				})])
		}
	return rows.length > 1 ? columns(rows) : ''
}

export function table(out) {
	let text = `\n${out.date}, ${out.cpu}, ${out.cores} cores, load ${out.load_before.toFixed(2)} before; medians of ${out.runs} runs of ${out.seconds} s\n\n`
	if (out.cells.length > 0)
		text += throughput(out.cells) + '\n' + bounded(out.cells) + '\n'
	if (out.latency)
		text += columns([['added to the provider\'s own, at a fixed rate (us)', 'p50', 'p99', 'p99.9'],
			...out.latency.map((r) => [`${r.name}, ${r.connections} conn, ${k(r.rate)}/s`, r.p50, r.p99, r.p999])]) + '\n'
	if (out.streams)
		text += columns([['streams of 100 events, 20 ms apart (us)', 'first token p50', 'event p50', 'p99', 'p99.9', 'lost', 'over 10 ms', 'us an event'],
			...out.streams.map((r) => (r.failed ? [`${r.streams} streams, ${r.name}`, 'failed', '', '', '', '', '', '']
				: [`${r.streams} streams, ${r.name}`, r.first, r.p50, r.p99, r.p999, r.lost, r.late, r.cpu.toFixed(1)]))]) + '\n'
	if (out.held)
		text += columns([['RssAnon, MB', 'idle', 'with them', 'descriptors'],
			...out.held.map((r) => [`${r.name}, ${r.connections} open streams${r.tls ? ', TLS' : ''}`, r.idle.toFixed(1), r.most.toFixed(1), r.open])]) + '\n'
	if (out.handshakes) {
		const of = (name, r) => out.handshakes.find((h) => h.name === name && h.version === r.version && h.mode === r.mode)?.perCpuSecond
		text += columns([['handshakes a second of processor', 'postern', 'nginx', 'haproxy', '/ nginx'],
			...out.handshakes.filter((r) => r.name === 'postern').map((r) => [`${r.version}, ${r.mode === 'new' ? 'full' : 'resumed'}`,
				k(r.perCpuSecond), k(of('nginx', r)), k(of('haproxy', r)), ratio(r.perCpuSecond, of('nginx', r))])]) + '\n'
	}
	return text
}

// ---- the chart: bars for 1 KB at 16 connections, a group for each kind ----

const colours = { bare: '#9aa5b1', postern: '#d9480f', nginx: '#2b8a3e', haproxy: '#1c7ed6', varnish: '#845ef7' }
const escape = (s) => s.replace(/&/g, '&amp;').replace(/</g, '&lt;')

export function chart(out) {
	const groups = out.cells.filter((c) => c.size === 1024 && c.connections === 16)
	const most = Math.max(1, ...groups.flatMap((c) => Object.values(c.result).map((r) => r.perSecond)))
	const bar = 16, gap = 18, left = 190, width = 860
	let y = 64, body = ''
	for (const c of groups) {
		const names = Object.keys(c.result)
		body += `<text x="${left - 12}" y="${y + (names.length * bar) / 2 + 4}" text-anchor="end" font-weight="600">${escape(c.kind)}${c.tls ? ', TLS' : ''}</text>\n`
		for (const name of names) {
			const r = c.result[name], w = (r.perSecond / most) * (width - left - 200)
			body += `<rect x="${left}" y="${y}" width="${w.toFixed(1)}" height="${bar - 3}" rx="2" fill="${colours[name]}"/>` +
				`<text x="${(left + w + 6).toFixed(1)}" y="${y + 11}">${name} ${k(r.perSecond)}/s, ${r.cpu.toFixed(1)} us</text>\n`
			y += bar
		}
		y += gap
	}
	return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${y + 10}" viewBox="0 0 ${width} ${y + 10}" font-family="system-ui, sans-serif" font-size="12" fill="#343a40">
<rect width="100%" height="100%" fill="#ffffff"/>
<text x="16" y="26" font-size="16" font-weight="700">Requests a second on one core, 16 connections, 1 KB in and out</text>
<text x="16" y="44" fill="#868e96">${out.date.slice(0, 10)}, ${escape(out.cpu)}; behind each bar: processor time a request. Medians of ${out.runs} runs.</text>
${body}</svg>
`
}
