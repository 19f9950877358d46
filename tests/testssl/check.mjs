// Everything that testssl.sh finds on a TLS listener with an ECDSA certificate. A finding that is worse than LOW is a
// failure, and so is a warning (a test that could not be made), unless it is excused here by its id.
// V=1 prints all findings.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { startGateway, tempDirectory } from '../e2e/lib/gateway.mjs';
import { makeCertificates } from '../e2e/lib/certificates.mjs';

// What a private authority of a test cannot have, and what is not the listener's.
const EXCUSED = {
  engine_problem: "the openssl of this machine has no GOST engine: some of testssl.sh's offers are made without it",
  cert_revocation: 'a private authority has nowhere to publish what it revokes; for a public one its own certificate says where',
  security_headers: 'they tell browsers about pages; answers here are for programs, and those of providers pass as they are',
};
const BAD = ['MEDIUM', 'HIGH', 'CRITICAL', 'FATAL', 'WARN'];
const LEAST = 100; // findings of a run that went through

function testssl(...args) {
  return new Promise((resolve, reject) => {
    const child = spawn('testssl', args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let out = '';
    for (const s of [child.stdout, child.stderr]) s.setEncoding('utf8').on('data', (text) => (out += text));
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, out }));
  });
}

const pki = makeCertificates();
const day = (n) => new Date(Date.now() + n * 86_400_000).toISOString().replace(/[-:T]|\.\d+/g, '');
const leaf = pki.issue('listener', 'DNS:localhost,IP:127.0.0.1', { from: day(-1), to: day(89) });
const gateway = await startGateway({ config: { listen: [{ address: '127.0.0.1:0', tls: { certificate: leaf.cert, key: leaf.key } }] } });
const report = path.join(tempDirectory(), 'report.json');
const { code, out } = await testssl('--quiet', '--warnings', 'off', '--color', '0', '--add-ca', pki.ca, '--jsonfile', report,
  '--ip', '127.0.0.1', `localhost:${gateway.port}`);
await gateway.stop();
if (!fs.existsSync(report)) {
  console.log(out);
  console.log(`testssl.sh ended with ${code} and left no report\n0 passed, 1 failed`);
  process.exit(1);
}

const findings = JSON.parse(fs.readFileSync(report, 'utf8'));
let failed = 0;
for (const f of findings.filter((f) => !['OK', 'INFO'].includes(f.severity))) {
  const isBad = BAD.includes(f.severity) && EXCUSED[f.id] === undefined;
  failed += isBad ? 1 : 0;
  const verdict = isBad ? 'FAILED' : (EXCUSED[f.id] ?? 'noted');
  console.log(`${f.severity.padEnd(8)} ${f.id.padEnd(28)} ${f.finding}\n         ${verdict}`);
}
if (findings.length < LEAST) {
  console.log(`FAILED: ${findings.length} findings only, ${LEAST} at least are expected\n${out}`);
  failed += 1;
}
if (process.env.V) for (const f of findings) console.log(`${f.severity.padEnd(8)} ${f.id.padEnd(28)} ${f.finding}`);
console.log(`${findings.length - failed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
