// What a hit, a pass-through, an event of a stream and a record of the log cost in the loop's thread, in instructions as
// valgrind's callgrind counts them, against bench/guard.json. Instructions do not depend on how busy the machine is, so this can
// fail a build where a time could not. Each figure is the difference of two runs with different numbers of requests: start, end
// and connecting cancel.
//
// Figures belong to a compiler's major version and to a processor's kind: where none are kept for these, nothing is compared, and
// that is said. Exit 1 over 3 %, 2 if it could not be measured. The last line is "N passed, N failed".
import { execFile, execFileSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { lockstep, startLockstep } from './lockstep.mjs'
import { startProvider } from './peers.mjs'
import { PEER_CORE, LOAD_CORE, run, stop } from './process.mjs'

const exec = promisify(execFile)
const KEPT = 'bench/guard.json'
const MARGIN = 0.03
const isOver = (n, kept) => n > kept * (1 + MARGIN) // nothing is over what is not kept
const FEW = 200, MANY = 1200
const WARM_UP = 100
const CHAT = '/openai/v1/chat/completions'
const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'postern-guard-'))
process.on('exit', () => fs.rmSync(dir, { recursive: true, force: true }))
for (const signal of ['SIGINT', 'SIGTERM'])
	process.on(signal, () => process.exit(130))

const OFF = ['gateways.default.cache.mode=off', 'gateways.default.log.payload=none']
// within: only what is done inside this function is counted
const KINDS = {
	hit: { set: ['gateways.default.log.payload=none'], ask: ['-v', 'HIT'] },
	pass: { set: OFF, ask: ['-v', 'BYPASS'], times: 3 }, // the provider's socket has turns of its own: single ones differ by 1 %
	event: { set: OFF },
	record: { set: [], ask: ['-v', 'MISS'], isUnique: true, within: 'journal_write' },
}

// The same code whatever the processor has: libc has other copies of memcpy for each, and random addresses move what is hashed.
const ENVIRONMENT = { ...process.env, GLIBC_TUNABLES: 'glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX2,-AVX2_Usable,-AVX_Fast_Unaligned_Load,-ERMS,-SSSE3' }

function compiler() {
	const cc = (process.env.CC ?? 'gcc').split(' ')
	const say = (option) => execFileSync(cc[0], [...cc.slice(1), option]).toString()
	return `${/clang/.test(say('--version')) ? 'clang' : 'gcc'} ${say('-dumpversion').split('.')[0].trim()} ${os.arch()}`
}

function startGateway(kind, port, out) {
	const settings = [...KINDS[kind].set, `providers.openai.base_url=http://127.0.0.1:${port}/v1`, 'sandbox=false']
	const within = KINDS[kind].within ? [`--toggle-collect=${KINDS[kind].within}`] : []
	return run(PEER_CORE, ['valgrind', '--tool=callgrind', '--separate-threads=yes', `--callgrind-out-file=${out}`, ...within,
		process.env.POSTERN ?? 'build/postern', '--listen', '127.0.0.1:0', '--data', fs.mkdtempSync(`${dir}/data-`),
		...settings.flatMap((s) => ['--set', s])], { env: ENVIRONMENT })
}

async function load(kind, port, n, first) {
	const numbered = KINDS[kind].isUnique ? ['-u', String(first)] : []
	await exec('taskset', ['-c', String(LOAD_CORE), 'build/bench/load', '-n', String(n), ...(first > 0 ? KINDS[kind].ask : []), ...numbered,
		`http://127.0.0.1:${port}${CHAT}`]).catch((e) => { throw new Error(`${kind}: ${e.stdout}${e.stderr}`) })
}

// Instructions of the loop's thread in a run with n requests, or a stream of n events; 01 is that thread.
async function instructions(kind, n) {
	const out = `${dir}/${kind}.${n}`
	const provider = kind === 'event' ? await startLockstep() : await startProvider()
	const gateway = await startGateway(kind, provider.port, out)
	const port = Number(/^listening http:\/\/[^:]+:(\d+)/m.exec(gateway.out)[1])
	if (kind === 'event') {
		await lockstep(provider, port, CHAT, WARM_UP, 0)
		await lockstep(provider, port, CHAT, n, 1)
	} else {
		await load(kind, port, 1, 0) // what the hits will hit
		await load(kind, port, WARM_UP, 1)
		await load(kind, port, n, 1 + WARM_UP)
	}
	await stop(gateway)
	await (kind === 'event' ? provider.close() : stop(provider.process))
	return Number(/^(?:totals|summary): (\d+)/m.exec(fs.readFileSync(`${out}-01`, 'latin1'))[1])
}

async function difference(kind) {
	const cost = Math.round((await instructions(kind, MANY) - await instructions(kind, FEW)) / (MANY - FEW))
	if (!(cost > 100)) // a function that is called otherwise now, for one
		throw new Error(`${kind}: ${cost} instructions cannot be`)
	return cost
}

// The lowest of so many counts, and what is over the margin is measured once more: on a busy machine what mostly comes in one turn
// of the loop may come in two.
async function measure(kept) {
	const cost = {}
	for (const [kind, { times = 1 }] of Object.entries(KINDS)) {
		cost[kind] = Infinity
		for (let i = 0; i < times || (i === times && isOver(cost[kind], kept[kind])); i++)
			cost[kind] = Math.min(cost[kind], await difference(kind))
	}
	return cost
}

function compare(cost, kept) {
	let failed = 0
	for (const [kind, n] of Object.entries(cost)) {
		const more = n / kept[kind] - 1
		const isBad = isOver(n, kept[kind]) || kept[kind] === undefined // a kind without a figure is one to accept
		const verdict = isBad ? 'FAILED' : more < -MARGIN ? 'ok, and less: accept it, so that it stays' : 'ok'
		failed += isBad
		console.log(`${kind.padEnd(8)} ${String(n).padStart(8)} instructions, ${kept[kind] ?? 'none'} kept, ${(100 * more).toFixed(1)} %  ${verdict}`)
	}
	if (failed > 0)
		console.log('if the cost is meant: make bench-guard ACCEPT=1, and commit bench/guard.json with what needs it')
	console.log(`${Object.keys(cost).length - failed} passed, ${failed} failed`)
	return failed === 0 ? 0 : 1
}

async function main() {
	const all = JSON.parse(fs.readFileSync(KEPT, 'utf8')), key = compiler()
	if (process.env.ACCEPT === '1') {
		all[key] = await measure({})
		fs.writeFileSync(KEPT, JSON.stringify(all, null, '\t') + '\n')
		console.log(`${KEPT}: ${key}: ${JSON.stringify(all[key])}`)
	} else if (all[key] === undefined) {
		console.log(`bench-guard: SKIPPED: ${KEPT} has figures for ${Object.keys(all).join(', ')}, none for ${key}; make bench-guard ACCEPT=1 adds them`)
		console.log('0 passed, 0 failed')
	} else {
		return compare(await measure(all[key]), all[key])
	}
	return 0
}

main().then((code) => process.exit(code), (e) => {
	console.error(`guard: ${e.message}`)
	process.exit(2)
})
