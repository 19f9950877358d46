// A chart (SVG) of the cells with 1 KB and 16 connections: a group for each kind, a bar for each peer. It can be read on light and
// dark pages: it brings its own background.
import { short } from './report.mjs'

const COLOURS = { bare: '#adb5bd', postern: '#e8590c', nginx: '#2f9e44', haproxy: '#1c7ed6', varnish: '#7048e8' }
const TITLES = {
	'hit': 'cache hit', 'hit+payloads': 'hit, bodies logged', 'pass': 'pass-through', 'pass without log': 'pass-through, no log', 'miss': 'miss: stored, logged',
	'stream': 'stream, 100 events', 'stream hit': 'stream from the cache',
}
const WIDTH = 900, LEFT = 210, RIGHT = 150, BAR = 17, GAP = 16, TOP = 84

const escape = (s) => s.replace(/&/g, '&amp;').replace(/</g, '&lt;')
const text = (x, y, content, more = '') => `<text x="${x.toFixed(1)}" y="${y}" ${more}>${escape(content)}</text>`

function legend() {
	let x = LEFT
	return Object.entries(COLOURS).map(([name, colour]) => {
		const item = `<rect x="${x}" y="58" width="11" height="11" rx="2" fill="${colour}"/>${text(x + 16, 68, name)}`
		x += 90
		return item
	})
}

// One group, from y on; its bars are as long as what they stand for is to `most`.
function group(cell, y, most) {
	const names = Object.keys(cell.result)
	const lines = [text(LEFT - 14, y + (names.length * BAR) / 2 + 3, (TITLES[cell.kind] ?? cell.kind) + (cell.tls ? ', TLS' : ''), 'text-anchor="end" font-weight="600"')]
	names.forEach((name, i) => {
		const r = cell.result[name], width = (r.perSecond / most) * (WIDTH - LEFT - RIGHT), at = y + i * BAR
		const weight = name === 'postern' ? 'font-weight="700"' : ''
		lines.push(`<rect x="${LEFT}" y="${at}" width="${width.toFixed(1)}" height="${BAR - 3}" rx="2" fill="${COLOURS[name]}"/>`,
			text(LEFT + width + 7, at + 11, `${short(r.perSecond)}/s, ${r.cpu.toFixed(1)} us`, `font-size="11" ${weight}`))
	})
	return { lines, height: names.length * BAR }
}

export function chart(out) {
	const cells = out.cells.filter((c) => c.size === 1024 && c.connections === 16)
	const most = Math.max(1, ...cells.flatMap((c) => Object.values(c.result).map((r) => r.perSecond)))
	const lines = []
	let y = TOP
	for (const cell of cells) {
		const g = group(cell, y, most)
		lines.push(...g.lines)
		y += g.height + GAP
	}
	const subtitle = `${out.date.slice(0, 10)}, ${out.cpu}. Behind each bar: requests a second, processor time a request. ` +
		`Medians of ${out.runs} run${out.runs === 1 ? '' : 's'} of ${out.seconds} s. `
	const note = out.load_before > 1 ? `Busy machine (load ${out.load_before.toFixed(0)}): no measure` : ''
	return [
		`<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${y}" viewBox="0 0 ${WIDTH} ${y}" font-family="system-ui, sans-serif" font-size="12" fill="#343a40">`,
		'<rect width="100%" height="100%" rx="6" fill="#ffffff"/>',
		text(20, 28, 'Requests a second of one core, 16 connections, 1 KB in and out', 'font-size="16" font-weight="700"'),
		text(20, 46, subtitle, 'font-size="11" fill="#868e96"'),
		...(note ? [text(WIDTH - 20, 28, note, 'font-size="12" font-weight="600" fill="#c92a2a" text-anchor="end"')] : []),
		...legend(), ...lines, '</svg>', '',
	].join('\n')
}
