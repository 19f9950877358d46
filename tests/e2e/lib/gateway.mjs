// Starts and stops the real binary.
//
//   const gateway = await startGateway({ config: { providers: { openai: { base_url } } } });
//   gateway.port  gateway.url  gateway.data  gateway.pid  gateway.stdout  gateway.stderr
//   await gateway.logs('--limit', '1')      parsed lines of `postern logs --data DIR --json ...`
//   await gateway.stop()                    SIGTERM; exit code 0 and no sanitizer's report, or the test fails
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { request } from './client.mjs';
import { deferred, within, waitFor } from './wait.mjs';
import { willStop, stopped } from './cleanup.mjs';

const root = fileURLToPath(new URL('../../../', import.meta.url));
export const binary = path.resolve(root, process.env.POSTERN ?? 'build/postern');

const alive = new Set(); // children
const directories = new Set(); // and files
function sweep() {
  for (const child of alive) child.kill('SIGKILL');
  for (const d of directories) fs.rmSync(d, { recursive: true, force: true });
}
process.on('exit', sweep);
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));

export function tempDirectory() {
  const d = fs.mkdtempSync(path.join(os.tmpdir(), 'postern-e2e-'));
  directories.add(d);
  return d;
}

// Only what a test sets, so that nothing of the machine's changes what it sees.
function environment(extra = {}) {
  const keep = ['PATH', 'TMPDIR', 'ASAN_OPTIONS', 'UBSAN_OPTIONS', 'LSAN_OPTIONS', 'LLVM_PROFILE_FILE', 'GCOV_PREFIX'];
  return { HOME: '/nonexistent', ...Object.fromEntries(keep.filter((k) => process.env[k] !== undefined).map((k) => [k, process.env[k]])), ...extra };
}

const REPORT = /AddressSanitizer|LeakSanitizer|UndefinedBehaviorSanitizer|runtime error:|CHK failed|SUMMARY: /;
function assertNoReport(stderr) {
  assert.ok(!REPORT.test(stderr), `a sanitizer or a check reported:\n${stderr.slice(0, 8000)}`);
}

// A command that ends by itself: { code, signal, stdout, stderr }.
export function postern(args, { env, input, ms = 20_000 } = {}) {
  const child = spawn(binary, args, { env: environment(env), stdio: ['pipe', 'pipe', 'pipe'] });
  alive.add(child);
  const out = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (s) => (out.stdout += s));
  child.stderr.setEncoding('utf8').on('data', (s) => (out.stderr += s));
  child.stdin.on('error', () => {});
  child.stdin.end(input ?? '');
  const ended = new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => {
      alive.delete(child);
      resolve({ code, signal, ...out });
    });
  });
  return within(ended, `postern ${args.join(' ')} ends`, ms).then((r) => {
    assertNoReport(r.stderr);
    return r;
  }, (e) => {
    child.kill('SIGKILL');
    throw e;
  });
}

function commandLine(options, data) {
  const args = options.command === null ? [] : ['serve'];
  if (options.config !== undefined) {
    // JSON is YAML. A text is written as it is.
    const file = path.join(data, '..', `${path.basename(data)}.yaml`);
    fs.writeFileSync(file, typeof options.config === 'string' ? options.config : JSON.stringify(options.config, null, 1));
    directories.add(file);
    args.push('--config', file);
  }
  const listen = options.listen ?? (options.config?.listen ? [] : ['127.0.0.1:0']);
  for (const address of [listen].flat()) args.push('--listen', address);
  args.push('--data', data);
  for (const [key, value] of Object.entries(options.set ?? {})) args.push('--set', `${key}=${value}`);
  return { args: [...args, ...(options.args ?? [])], listeners: options.listeners ?? ([listen].flat().length || options.config.listen.length) };
}

class Gateway {
  constructor(options) {
    this.options = options;
    this.data = options.data ?? tempDirectory();
    this.stdout = '';
    this.stderr = '';
    this.exited = deferred();
    const { args, listeners } = commandLine(options, this.data);
    this.args = args;
    // options.wrap: a program that ends by executing what follows; options.fds: descriptors from 3 on
    const [program, ...rest] = [...(options.wrap ?? []), binary, ...args];
    this.child = spawn(program, rest, { env: environment(options.env), stdio: ['ignore', 'pipe', 'pipe', ...(options.fds ?? [])] });
    alive.add(this.child);
    this.pid = this.child.pid;
    const listening = deferred();
    this.child.stdout.setEncoding('utf8').on('data', (s) => {
      this.stdout += s;
      this.urls = [...this.stdout.matchAll(/^listening (\S+)\n/gm)].map((m) => m[1]);
      if (this.urls.length === listeners) listening.resolve();
    });
    this.child.stderr.setEncoding('utf8').on('data', (s) => (this.stderr += s));
    this.child.on('error', listening.reject);
    this.child.on('close', (code, signal) => {
      alive.delete(this.child);
      this.exited.resolve({ code, signal });
      listening.reject(new Error(`postern ${args.join(' ')}: ended with ${code ?? signal} before it listened\n${this.stderr}`));
    });
    this.listening = within(listening.promise, () => `postern ${args.join(' ')} listens\n${this.stdout}${this.stderr}`);
  }

  async ready() {
    await this.listening;
    this.endpoints = this.urls.map((url) => (url.startsWith('unix:') ? { url, path: url.slice(5) } : { url, port: Number(new URL(url).port) }));
    Object.assign(this, this.endpoints[0]);
    willStop(this);
    return this;
  }

  // `postern logs --json`, against the running server or, after it ended, its directory.
  async logs(...args) {
    const r = await postern(['logs', '--data', this.data, '--json', ...args]);
    assert.equal(r.code, 0, `postern logs ${args.join(' ')}: ${r.code}\n${r.stderr}`);
    return r.stdout.split('\n').filter((line) => line !== '').map((line) => JSON.parse(line));
  }

  // The record of one answer, by its cf-aig-log-id.
  async log(reply) {
    const id = typeof reply === 'string' ? reply : reply.header('cf-aig-log-id');
    assert.ok(id, 'the answer has a cf-aig-log-id');
    const [record] = await this.logs(id);
    return record;
  }

  // Waits for a record that only appears when the gateway has noticed something by itself.
  logWhere(test, what = 'a record in the log') {
    return waitFor(async () => (await this.logs('--limit', '10000')).find(test), what);
  }

  // Resident memory in bytes: now, or the most it ever was.
  memory(which = 'VmRSS') {
    const line = fs.readFileSync(`/proc/${this.pid}/status`, 'utf8').match(new RegExp(`^${which}:\\s+(\\d+) kB`, 'm'));
    return Number(line[1]) * 1024;
  }

  // A value of /-/metrics: metric('postern_limit_hits_total{limit="head"}').
  async metric(name) {
    const page = (await request(this, { path: '/-/metrics' })).text;
    const line = page.split('\n').find((l) => l.startsWith(`${name} `));
    assert.ok(line, `the metric ${name}`);
    return Number(line.slice(name.length + 1));
  }

  signal(name) {
    this.isEnding ||= name !== 'SIGHUP';
    this.child.kill(name);
  }

  exit(ms) {
    return within(this.exited.promise, () => `postern (${this.pid}) ends\n${this.stderr}`, ms);
  }

  async stop() {
    stopped(this);
    if (alive.has(this.child) && !this.isEnding) this.signal('SIGTERM'); // a second one would end it at once
    const { code, signal } = await this.exit(15_000);
    assertNoReport(this.stderr);
    assert.equal(signal ?? code, 0, `postern ended with ${signal ?? code}:\n${this.stderr}`);
  }

  async kill9() {
    stopped(this);
    this.signal('SIGKILL');
    await this.exit();
  }

  // The same again, over the same data directory.
  async restart(more = {}) {
    return startGateway({ ...this.options, ...more, data: this.data });
  }
}

export function startGateway(options = {}) {
  assert.ok(fs.existsSync(binary), `no binary at ${binary}; set POSTERN`);
  return new Gateway(options).ready();
}

// A gateway in front of one scripted provider that plays every vendor.
export function gatewayFor(provider, { config = {}, ...options } = {}) {
  const at = (base) => ({ base_url: `${provider.url}${base}` });
  const providers = { openai: at('/v1'), anthropic: at(''), 'google-ai-studio': at('/v1beta'), ...config.providers };
  return startGateway({ ...options, config: { ...config, providers } });
}
