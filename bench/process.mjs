// Processes of the bench: each on a core of its own, with what it costs as the kernel counts it, and ended when the bench ends.
import { spawn } from 'node:child_process'
import fs from 'node:fs'
import net from 'node:net'
import os from 'node:os'

export const PEER_CORE = 0, LOAD_CORE = Math.min(1, os.cpus().length - 1)

export function freePort() {
	return new Promise((resolve, reject) => {
		const s = net.createServer().on('error', reject)
		s.listen(0, '127.0.0.1', () => {
			const { port } = s.address()
			s.close(() => resolve(port))
		})
	})
}

const running = new Set()
process.on('exit', () => running.forEach((p) => p.child.kill('SIGKILL')))

// A process on a core; its first line of output, or null where it prints none.
export async function run(core, argv, { line = true, cwd, env } = {}) {
	const child = spawn('taskset', ['-c', String(core), ...argv], { stdio: ['ignore', 'pipe', 'pipe'], cwd, env })
	const p = { child, out: '', err: '' }
	running.add(p)
	child.stderr.on('data', (d) => (p.err = (p.err + d).slice(-4000)))
	const first = new Promise((resolve, reject) => {
		child.stdout.on('data', (d) => {
			p.out = (p.out + d).slice(-20000)
			if (p.out.includes('\n'))
				resolve(p.out)
		})
		child.on('exit', (code) => reject(new Error(`${argv[0]} ended with ${code}: ${p.err}`)))
	})
	first.catch(() => {})
	p.exited = new Promise((resolve) => child.on('exit', resolve))
	if (line)
		await first
	return p
}

export async function stop(p) {
	p.child.kill('SIGTERM')
	const late = setTimeout(() => p.child.kill('SIGKILL'), 10000)
	await p.exited
	clearTimeout(late)
	running.delete(p)
}

export async function untilOpen(port, p, ms = 10000) {
	const end = Date.now() + ms
	while (Date.now() < end && p.child.exitCode === null) {
		const ok = await new Promise((resolve) => {
			const s = net.connect(port, '127.0.0.1').on('connect', () => { s.destroy(); resolve(true) })
			s.on('error', () => resolve(false))
		})
		if (ok)
			return
		await new Promise((r) => setTimeout(r, 20))
	}
	throw new Error(`nobody listens on ${port}: ${p.err}`)
}

// The children of pid, and theirs, that are there.
function kidsOf(pid) {
	try {
		const kids = fs.readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').split(' ').filter((kid) => kid.trim())
		return kids.flatMap((kid) => [kid, ...kidsOf(kid)])
	} catch {
		return []
	}
}

// Of p, which has to be there, and of its children; who of them has gone meanwhile has none.
function sumOver(p, of) {
	return kidsOf(p.child.pid).reduce((sum, kid) => {
		try {
			return sum + of(`/proc/${kid}`)
		} catch {
			return sum
		}
	}, of(`/proc/${p.child.pid}`))
}

// Ticks of processor that p and its children used, each with all its threads; 10 ms each.
export const cpuTicks = (p) => sumOver(p, (proc) => {
	const f = fs.readFileSync(`${proc}/stat`, 'latin1').replace(/^.*\) /, '').split(' ')
	return Number(f[11]) + Number(f[12])
})

export const descriptors = (p) => sumOver(p, (proc) => fs.readdirSync(`${proc}/fd`).length)

export const memory = (p, field = 'RssAnon') => sumOver(p, (proc) =>
	Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(fs.readFileSync(`${proc}/status`, 'latin1'))[1]) / 1024)
