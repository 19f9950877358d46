// A chart (SVG) of the cells with 1 KB and 16 connections that say most: a group for each kind, a bar for each peer. It can be read
// on light and dark pages: it brings its own background.
import { short } from './report.mjs'

const PEERS = { postern: ['Postern', '#e8590c'], bare: ['the bare limit', '#ced4da'], nginx: ['nginx', '#2f9e44'], haproxy: ['HAProxy', '#1c7ed6'], varnish: ['Varnish', '#7048e8'] }
const SHOWN = [
	['hit', 'Cache hit', 'one record each'],
	['hit+payloads', 'Cache hit', 'bodies in the log'],
	['pass', 'Pass-through', 'one record each'],
	['miss', 'Miss', 'stored, bodies in the log'],
	['pass without log', 'Stream, passed on', '100 events, no log', { sse: true }],
	['hit', 'Stream, cached', '100 events', { sse: true }],
	['hit', 'Cache hit, TLS', 'to the clients', { tls: true }],
	['pass', 'Pass-through, TLS', 'on both sides', { tls: true }],
]
const WIDTH = 860, LEFT = 190, RIGHT = 150, BAR = 18, GAP = 18, TOP = 104
const INK = '#212529', GREY = '#868e96'

const escape = (s) => s.replace(/&/g, '&amp;').replace(/</g, '&lt;')
const text = (x, y, content, more = '') => `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${more}>${content}</text>`
const plain = (x, y, content, more) => text(x, y, escape(content), more)

function legend(names) {
	let x = LEFT
	return names.map((name) => {
		const [title, colour] = PEERS[name]
		const item = `<rect x="${x}" y="72" width="12" height="12" rx="2" fill="${colour}"/>${plain(x + 18, 82, title)}`
		x += 42 + title.length * 7
		return item
	})
}

// One group, from y on; its bars are as long as what they stand for is to `most`. `per` is the processor time of a request.
function group({ title, note, result }, y, most) {
	const names = Object.keys(PEERS).filter((name) => result[name]), middle = y + (names.length * BAR - 4) / 2
	const lines = [plain(LEFT - 14, middle - 1, title, 'text-anchor="end" font-weight="600"'),
		plain(LEFT - 14, middle + 13, note, `text-anchor="end" font-size="11" fill="${GREY}"`)]
	names.forEach((name, i) => {
		const r = result[name], width = Math.max(2, (r.perSecond / most) * (WIDTH - LEFT - RIGHT)), at = y + i * BAR
		const per = `<tspan dx="7" fill="${GREY}" font-weight="400">${r.cpu.toFixed(1)} us</tspan>`
		lines.push(`<rect x="${LEFT}" y="${at}" width="${width.toFixed(1)}" height="${BAR - 4}" rx="2" fill="${PEERS[name][1]}"/>`,
			text(LEFT + width + 7, at + 11, `${short(r.perSecond)}/s${per}`, `font-size="11.5"${name === 'postern' ? ' font-weight="700"' : ''}`))
	})
	return { lines, height: names.length * BAR }
}

function groupsOf(out) {
	const cells = out.cells.filter((c) => c.size === 1024 && c.connections === 16)
	return SHOWN.flatMap(([kind, title, note, { sse = false, tls = false } = {}]) => {
		const cell = cells.find((c) => c.kind === kind && c.sse === sse && c.tls === tls)
		return cell && Object.keys(cell.result).length > 0 ? [{ title, note, result: cell.result }] : []
	})
}

export function chart(out) {
	const groups = groupsOf(out), results = groups.flatMap((g) => Object.values(g.result))
	const most = Math.max(1, ...results.map((r) => r.perSecond))
	const names = Object.keys(PEERS).filter((name) => groups.some((g) => g.result[name]))
	const lines = []
	let y = TOP
	for (const each of groups) {
		const g = group(each, y, most)
		lines.push(...g.lines)
		y += g.height + GAP
	}
	const subtitle = `${out.date.slice(0, 10)}, ${out.cpu}, 16 connections, 1 KB in and out. Grey: processor time of a request. ` +
		`Medians of ${out.runs} run${out.runs === 1 ? '' : 's'} of ${out.seconds} s.`
	const note = out.load_before > 1 ? `Drawn on a busy machine (load ${out.load_before.toFixed(0)}): no measure` : ''
	return [
		`<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${y}" viewBox="0 0 ${WIDTH} ${y}" font-family="system-ui, sans-serif" font-size="12.5" fill="${INK}">`,
		'<rect width="100%" height="100%" rx="6" fill="#ffffff"/>',
		plain(20, 30, 'Requests a second on one core', 'font-size="18" font-weight="700"'),
		plain(20, 50, subtitle, `font-size="11.5" fill="${GREY}"`),
		...(note ? [plain(WIDTH - 20, 30, note, 'font-weight="600" fill="#c92a2a" text-anchor="end"')] : []),
		...legend(names), `<line x1="${LEFT - 0.5}" y1="${TOP - 6}" x2="${LEFT - 0.5}" y2="${y - GAP + 4}" stroke="#dee2e6"/>`, ...lines, '</svg>', '',
	].join('\n')
}
