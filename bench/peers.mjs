// Who stands beside Postern in `make bench`, and what all of them stand between: each peer is started on core 0 with a
// configuration written here, the provider on core 1. Nothing is shared between two of them but the machine.
import { execFileSync, spawnSync } from 'node:child_process'
import fs from 'node:fs'
import { gateways } from './gateways.mjs'
import { freePort, LOAD_CORE, PEER_CORE, run, stop, untilOpen } from './process.mjs'

const tools = 'build/bench'

// ---- what is behind ----

export async function startProvider({ bytes = 1024, events = 100, pace = 0, delay = 0 } = {}) {
	const p = await run(LOAD_CORE, [`${tools}/provider`, 0, bytes, events, pace, delay].map(String))
	const port = Number(p.out)
	return { process: p, port, counts: async () => (await fetch(`http://127.0.0.1:${port}/counts`)).json() }
}

// nginx answers by itself what the provider would: mbedTLS is not what is measured behind a peer. A stream has a length there.
export async function startTlsProvider(dir, sse = false) {
	const port = await freePort(), statusPort = await freePort()
	const answer = sse ? `set $ten '${event.repeat(10)}'; default_type text/event-stream;
		return 200 "${'${ten}'.repeat(10)}data: [DONE]\n\n";` : `default_type application/json; return 200 '${completion()}';`
	const p = await startNginx(dir, 'origin', `server { listen 127.0.0.1:${port} ssl; ${tlsFiles(dir)} location / { ${answer} } }
		server { listen 127.0.0.1:${statusPort}; location / { stub_status; } }`, LOAD_CORE)
	await untilOpen(port, p)
	await untilOpen(statusPort, p)
	let questions = 0 // each is counted too
	const counts = async () => {
		const text = await (await fetch(`http://127.0.0.1:${statusPort}/`, { headers: { connection: 'close' } })).text()
		const [, connections, chats] = /^ (\d+) \d+ (\d+)/m.exec(text)
		questions++
		return { connections: Number(connections) - questions, chats: Number(chats) - questions }
	}
	return { process: p, port, counts }
}

const event = 'data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1700000000,"model":"gpt-4o-mini",' +
	'"choices":[{"index":0,"delta":{"content":"word "},"finish_reason":null}]}\n\n'

function completion() {
	const front = '{"id":"chatcmpl-bench","object":"chat.completion","created":1700000000,"model":"gpt-4o-mini","choices":[{"index":0,"message":{"role":"assistant","content":"'
	const back = '"},"finish_reason":"stop"}],"usage":{"prompt_tokens":230,"completion_tokens":160,"total_tokens":390}}'
	return front + 'a word and another '.repeat(60).slice(0, 1024 - front.length - back.length) + back
}

export function makeCertificate(dir) {
	execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2',
		'-keyout', `${dir}/key.pem`, '-out', `${dir}/cert.pem`, '-subj', '/CN=localhost',
		'-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'], { stdio: 'ignore' })
	fs.writeFileSync(`${dir}/both.pem`, fs.readFileSync(`${dir}/cert.pem`) + '\n' + fs.readFileSync(`${dir}/key.pem`))
}

const tlsFiles = (dir) => `ssl_certificate ${dir}/cert.pem; ssl_certificate_key ${dir}/key.pem; ssl_protocols TLSv1.2 TLSv1.3;
	ssl_session_cache shared:s:4m; ssl_session_tickets on;`

// ---- the peers ----

const isCached = (kind) => kind.startsWith('hit') || kind === 'coalesced'

async function startNginx(dir, name, servers, core) {
	const file = `${dir}/${name}.conf`
	fs.rmSync(`${dir}/${name}.cache`, { recursive: true, force: true }) // what another start of it stored
	fs.writeFileSync(file, `daemon off; worker_processes 1; pid ${dir}/${name}.pid; error_log stderr error;
		user root; worker_rlimit_nofile 65536;
		events { worker_connections 30000; }
		http { access_log off; client_max_body_size 64m; client_body_buffer_size 2m; keepalive_requests 100000000; keepalive_timeout 300s;
		client_body_temp_path ${dir}/${name}.body; proxy_temp_path ${dir}/${name}.tmp; fastcgi_temp_path ${dir}/x; uwsgi_temp_path ${dir}/x;
		scgi_temp_path ${dir}/x; proxy_cache_path ${dir}/${name}.cache keys_zone=z:64m max_size=512m; ${servers} }`)
	return run(core, ['nginx', '-c', file, '-p', dir, '-e', 'stderr'], { line: false })
}

const peers = {
	async bare({ provider, kind }) {
		// The least that an answer costs is the mock itself, on the peers' core.
		if (kind.includes('hit')) {
			const p = await run(PEER_CORE, [`${tools}/provider`, '0', '1024', '100'])
			return { port: Number(p.out), process: p }
		}
		const p = await run(PEER_CORE, [`${tools}/bare`, String(provider.port)])
		return { port: Number(p.out), process: p }
	},
	async nginx({ provider, kind, tls, dir, certificates = dir }) {
		const port = await freePort()
		const scheme = tls ? 'https' : 'http'
		const cache = isCached(kind) ? `proxy_cache z; proxy_cache_methods POST; proxy_cache_lock on; proxy_cache_valid 200 1h;
			proxy_cache_key "$request_uri|$http_authorization|$request_body"; proxy_ignore_headers Set-Cookie;` : ''
		const verify = tls ? `proxy_ssl_verify on; proxy_ssl_trusted_certificate ${certificates}/cert.pem; proxy_ssl_name localhost;` : ''
		const p = await startNginx(dir, 'peer', `upstream up { server 127.0.0.1:${provider.port}; keepalive 10000; keepalive_requests 100000000; }
			server { listen 127.0.0.1:${port} ${tls ? 'ssl' : ''} backlog=4096; ${tls ? tlsFiles(certificates) : ''}
			location = /-/status { stub_status; }
			location / { proxy_pass ${scheme}://up; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
			proxy_buffering ${isCached(kind) ? 'on' : 'off'}; proxy_request_buffering on; ${cache} ${verify} } }`, PEER_CORE)
		await untilOpen(port, p)
		return { port, process: p }
	},
	// With 1,000 clients a quarter of its descriptors is in use, and beyond that it closes idle connections to the provider unless told
	// otherwise; nor does it let go of what it has not used for 5 s.
	async haproxy({ provider, tls, dir, certificates = dir }) {
		const port = await freePort()
		const file = `${dir}/haproxy.cfg`
		fs.writeFileSync(file, `global
  maxconn 8000
  nbthread 1
  tune.pool-low-fd-ratio 90
  tune.pool-high-fd-ratio 95
  tune.ssl.default-dh-param 2048
defaults
  mode http
  timeout connect 5s
  timeout client 300s
  timeout server 300s
  http-reuse always
  option http-no-delay
frontend f
  bind 127.0.0.1:${port} backlog 4096 ${tls ? `ssl crt ${certificates}/both.pem` : ''}
  default_backend b
backend b
  server s 127.0.0.1:${provider.port} pool-purge-delay 300s ${tls ? `ssl verify required ca-file ${certificates}/cert.pem sni str(localhost)` : ''}
`)
		const p = await run(PEER_CORE, ['haproxy', '-f', file, '-db'], { line: false })
		await untilOpen(port, p)
		return { port, process: p }
	},
	async varnish({ provider, dir }) {
		const port = await freePort()
		const p = await run(PEER_CORE, ['varnishd', '-F', '-n', `${dir}/varnish`, '-a', `127.0.0.1:${port}`, '-b', `127.0.0.1:${provider.port}`,
			'-s', 'malloc,256m', '-j', 'none', '-p', 'thread_pools=1', '-p', 'thread_pool_min=1000'], { line: false })
		await untilOpen(port, p)
		return { port, process: p, isGet: true } // it caches no POST
	},
	async postern({ provider, kind, tls, dir, certificates = dir, plainProvider, data = fs.mkdtempSync(`${dir}/data-`), extra = [] }) {
		const upTls = tls && !plainProvider
		const set = {
			'hit': ['gateways.default.log.payload=none'],
			'hit+payloads': [],
			'pass': ['gateways.default.cache.mode=off', 'gateways.default.log.payload=none'],
			'pass without log': ['gateways.default.cache.mode=off', 'gateways.default.log.collect=false'],
			'miss': [],
			'coalesced': ['gateways.default.log.payload=none'],
		}[kind]
		const config = `${dir}/postern.yaml`
		fs.writeFileSync(config, JSON.stringify({
			listen: [tls ? { address: '127.0.0.1:0', tls: { certificate: `${certificates}/cert.pem`, key: `${certificates}/key.pem` } } : '127.0.0.1:0'],
			data,
			limits: { connections: 12000, connections_per_address: 12000, keepalive_requests: 1000000000 },
			providers: { openai: { base_url: `${upTls ? 'https' : 'http'}://127.0.0.1:${provider.port}/v1`, ...(upTls && { ca: `${certificates}/cert.pem` }) } },
		}))
		const p = await run(PEER_CORE, [process.env.POSTERN ?? 'build/postern', '--config', config, ...[...set, ...extra].flatMap((s) => ['--set', s])])
		return { port: Number(/^listening https?:\/\/[^:]+:(\d+)/m.exec(p.out)[1]), process: p, data, base: '/openai' }
	},
}

// { name, url, port, process }; isGet, headers: what it has to be asked with
export async function startPeer(name, options) {
	if (name === 'direct')
		return { name, url: `http://127.0.0.1:${options.provider.port}/v1/chat/completions`, process: null }
	const peer = await (peers[name] ?? gateways[name])(options)
	return { name, ...peer, url: `${options.tls ? 'https' : 'http'}://127.0.0.1:${peer.port}${peer.base ?? ''}/v1/chat/completions` }
}

// keepData: what it stored is wanted again
export async function stopPeer(peer, { keepData = false } = {}) {
	if (peer.process !== null)
		await stop(peer.process)
	if (peer.data && !keepData)
		fs.rmSync(peer.data, { recursive: true, force: true })
}

export function version(argv) {
	const { stdout, stderr, error } = spawnSync(argv[0], argv.slice(1), { encoding: 'utf8' })
	return error ? 'none' : (stdout || stderr).split('\n')[0]
}
