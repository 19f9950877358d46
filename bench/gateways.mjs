// Other gateways beside Postern, for `make bench-peers`: installed by deps/need.sh under build/peers, each started as its makers say
// with nothing of this machine's environment, on one core. None of them is told to log or to cache.
import fs from 'node:fs'
import { freePort, PEER_CORE, run, untilOpen } from './process.mjs'

const home = `${process.cwd()}/build/peers`
const START_MS = 120000 // Python modules of many MB, on a busy machine

// Portkey listens on all addresses, whatever it is told.
const LOOPBACK = `const net = require('node:net'), listen = net.Server.prototype.listen
net.Server.prototype.listen = function (to, ...rest) {
	const given = typeof to === 'object' ? to : { port: to }
	return listen.call(this, { ...given, host: '127.0.0.1' }, ...rest.filter((a) => typeof a === 'function'))
}
`

async function start(dir, port, argv, env = {}) {
	const p = await run(PEER_CORE, argv, { line: false, cwd: dir, env: { PATH: process.env.PATH, HOME: dir, ...env } })
	await untilOpen(port, p, START_MS)
	return { port, process: p }
}

// Where each is when it is installed; null in place of a version: it is not, and build/peers/NAME.why says why.
export const installed = {
	portkey: `${home}/portkey/node_modules/@portkey-ai/gateway/build/start-server.js`,
	litellm: `${home}/litellm/bin/litellm`,
	ferro: `${home}/ferro/bin/ferrogw`,
}

export const isInstalled = (name) => fs.existsSync(installed[name])

export function whyNot(name) {
	const file = `${home}/${name}.why`
	return fs.existsSync(file) ? fs.readFileSync(file, 'utf8').trim() : 'not installed'
}

export const gateways = {
	async portkey({ provider, dir }) {
		const port = await freePort()
		fs.writeFileSync(`${dir}/loopback.cjs`, LOOPBACK)
		const peer = await start(dir, port, ['node', '--require', `${dir}/loopback.cjs`, installed.portkey, '--headless', `--port=${port}`],
			{ NODE_ENV: 'production' })
		return { ...peer, headers: { 'x-portkey-provider': 'openai', 'x-portkey-custom-host': `http://127.0.0.1:${provider.port}/v1` } }
	},
	async litellm({ provider, dir }) {
		const port = await freePort()
		fs.writeFileSync(`${dir}/litellm.yaml`, JSON.stringify({ model_list: [{ model_name: 'gpt-4o-mini',
			litellm_params: { model: 'openai/gpt-4o-mini', api_base: `http://127.0.0.1:${provider.port}/v1`, api_key: 'sk-bench' } }] }))
		return start(dir, port, [installed.litellm, '--config', `${dir}/litellm.yaml`, '--host', '127.0.0.1', '--port', String(port),
			'--num_workers', '1', '--telemetry', 'False'], { LITELLM_LOCAL_MODEL_COST_MAP: 'True', LITELLM_LOG: 'ERROR' })
	},
	async ferro({ provider, dir }) {
		const port = await freePort()
		fs.writeFileSync(`${dir}/ferro.yaml`, JSON.stringify({ strategy: { mode: 'single' }, targets: [{ virtual_key: 'openai' }] }))
		return start(dir, port, [installed.ferro], { GATEWAY_CONFIG: `${dir}/ferro.yaml`, PORT: String(port), MASTER_KEY: 'fgw_bench',
			OPENAI_API_KEY: 'sk-bench', OPENAI_BASE_URL: `http://127.0.0.1:${provider.port}` })
	},
}
