// Certificates that are renewed while the server runs: by SIGHUP, and because their files change.
import { test, describe } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { connect } from './lib/client.mjs';
import { startGateway, tempDirectory } from './lib/gateway.mjs';
import { makeCertificates } from './lib/certificates.mjs';
import { within, waitFor } from './lib/wait.mjs';

const pki = makeCertificates();
const ca = fs.readFileSync(pki.ca);
const renewed = pki.issue('renewed', 'DNS:localhost');
const PAST = { from: '20200101000000Z', to: '20200201000000Z' };
const dated = (ms) => `${new Date(Date.now() + ms).toISOString().replace(/[-:T]|\.\d+/g, '')}`;

// A gateway whose second listener shows what lies in cert.pem and key.pem of a directory.
async function start(first = pki.leaf, more = {}) {
  const dir = tempDirectory();
  const files = { certificate: path.join(dir, 'cert.pem'), key: path.join(dir, 'key.pem') };
  // as tools do it: a new file in the place of the old one
  const put = (file, bytes) => {
    fs.writeFileSync(`${file}.new`, bytes);
    fs.renameSync(`${file}.new`, file);
  };
  const install = (pair) => {
    put(files.key, fs.readFileSync(pair.key));
    put(files.certificate, fs.readFileSync(pair.cert));
  };
  install(first);
  const gateway = await startGateway({ config: { listen: ['127.0.0.1:0', { address: '127.0.0.1:0', tls: { ...files, ...more } }] } });
  const to = gateway.endpoints[1];
  const lines = (pattern) => gateway.stderr.split('\n').filter((line) => pattern.test(line));
  return { gateway, to, files, put, install, lines };
}

// The common name of the certificate that is shown now, by a connection that serves.
async function shown(to, tls = {}) {
  const c = await connect(to, { tls: { ca, ...tls } });
  const { CN } = c.socket.getPeerCertificate().subject;
  assert.equal((await c.request({ path: '/-/healthz' }).whole()).status, 200);
  c.close();
  return CN;
}

const half = (file) => fs.readFileSync(file).subarray(0, fs.statSync(file).size / 2);
const bad = {
  'a certificate that is no PEM': { break: (s) => s.put(s.files.certificate, 'no certificate\n'), says: /cert\.pem: no PEM certificate in it/ },
  'a half-written certificate': { break: (s) => fs.writeFileSync(s.files.certificate, half(renewed.cert)), says: /cert\.pem: / },
  'a half-written key': { break: (s) => fs.writeFileSync(s.files.key, half(renewed.key)), says: /key\.pem: / },
  'an empty certificate': { break: (s) => fs.truncateSync(s.files.certificate), says: /cert\.pem: no PEM certificate in it/ },
  'a certificate of another key': { break: (s) => s.put(s.files.certificate, fs.readFileSync(renewed.cert)), says: /key\.pem: the key does not belong to the first certificate of \S*cert\.pem/ },
  'a certificate that has expired': { break: (s) => s.install(pki.expired), says: /cert\.pem: the certificate expired on 2020-02-01/ },
  'a certificate that is not valid yet': { break: (s) => s.install(pki.notYet), says: /cert\.pem: the certificate is not valid before 2098-01-01/ },
  'no certificate file': { break: (s) => fs.rmSync(s.files.certificate), says: /cert\.pem: No such file or directory/ },
  'no key file': { break: (s) => fs.rmSync(s.files.key), says: /key\.pem: No such file or directory/ },
};

describe('a certificate is renewed', { concurrency: 3 }, () => {
  test('by SIGHUP, at once; connections that are open keep theirs and go on', async () => {
    const s = await start();
    const open = await connect(s.to, { tls: { ca } });
    s.install(renewed);
    s.gateway.signal('SIGHUP');
    await waitFor(() => s.lines(/reload: new settings are in effect/).length, 'the reload');
    assert.equal(await shown(s.to), 'renewed');
    assert.match(s.lines(/a new one is shown/)[0], /certificate \S*cert\.pem: a new one is shown, valid until \d{4}-/);
    assert.equal((await open.request({ path: '/-/healthz' }).whole()).status, 200);
    open.close();
    await s.gateway.stop();
  });

  test('because its files change; connections that are open keep theirs and go on', async () => {
    const s = await start();
    const open = await connect(s.to, { tls: { ca } });
    assert.equal(await shown(s.to), 'leaf');
    s.install(renewed);
    await waitFor(() => s.lines(/a new one is shown/).length, 'the new certificate');
    assert.equal(await shown(s.to), 'renewed');
    assert.equal((await open.request({ path: '/-/healthz' }).whole()).status, 200);
    open.close();
    assert.equal(await s.gateway.metric('postern_certificate_reloads_total{result="read"}'), 1);
    await s.gateway.stop();
  });

  test('by a link that points elsewhere, as certbot and Kubernetes do it', async () => {
    const s = await start();
    for (const [name, from] of [['certificate', renewed.cert], ['key', renewed.key]]) {
      fs.rmSync(s.files[name]);
      fs.symlinkSync(from, s.files[name]);
    }
    await waitFor(() => s.lines(/a new one is shown/).length, 'the new certificate');
    assert.equal(await shown(s.to), 'renewed');
    await s.gateway.stop();
  });

  test('by other paths in the settings; other addresses wait for a restart', async () => {
    const s = await start();
    const f = s.gateway.args[s.gateway.args.indexOf('--config') + 1];
    const settings = JSON.parse(fs.readFileSync(f, 'utf8'));
    settings.listen[1].tls = { certificate: renewed.cert, key: renewed.key };
    fs.writeFileSync(f, JSON.stringify(settings));
    s.gateway.signal('SIGHUP');
    await waitFor(() => s.lines(/reload: new settings are in effect/).length, 'the reload');
    assert.deepEqual(s.lines(/restart/), []);
    assert.equal(await shown(s.to), 'renewed');
    settings.listen[1] = '127.0.0.1:0'; // plain
    fs.writeFileSync(f, JSON.stringify(settings));
    s.gateway.signal('SIGHUP');
    await waitFor(() => s.lines(/only: listen .*restart/).length, 'the word about a restart');
    assert.equal(await shown(s.to), 'renewed');
    await s.gateway.stop();
  });

  test('a wrong path in the settings: the old one stays, the other settings count; then the file comes', async () => {
    const s = await start();
    const f = s.gateway.args[s.gateway.args.indexOf('--config') + 1];
    const settings = JSON.parse(fs.readFileSync(f, 'utf8'));
    const later = path.join(path.dirname(s.files.key), 'later.pem');
    settings.listen[1].tls = { certificate: later, key: renewed.key };
    fs.writeFileSync(f, JSON.stringify(settings));
    s.gateway.signal('SIGHUP');
    await waitFor(() => s.lines(/later\.pem: No such file or directory; the old ones stay/).length, 'the reason');
    assert.equal(s.lines(/reload: new settings are in effect/).length, 1);
    assert.equal(await shown(s.to), 'leaf');
    s.put(later, fs.readFileSync(renewed.cert));
    await waitFor(async () => (await shown(s.to)) === 'renewed', 'the new certificate');
    await s.gateway.stop();
  });

  for (const version of ['TLSv1.2', 'TLSv1.3']) {
    test(`${version}: sessions are resumed after a reload, until the certificate is another`, async () => {
      const s = await start();
      const secure = { ca, minVersion: version, maxVersion: version };
      const open = async (session) => {
        const c = await connect(s.to, { tls: { ...secure, session } });
        assert.equal((await c.request({ path: '/-/healthz' }).whole()).status, 200);
        const seen = { ticket: c.session, isResumed: c.socket.isSessionReused() };
        c.close();
        return seen;
      };
      const ticket = await within((await open()).ticket, 'a session ticket');
      s.gateway.signal('SIGHUP');
      await waitFor(() => s.lines(/reload: new settings are in effect/).length === 1, 'the reload');
      assert.equal((await open(ticket)).isResumed, true);
      s.install(renewed);
      s.gateway.signal('SIGHUP');
      await waitFor(() => s.lines(/reload: new settings are in effect/).length === 2, 'the next reload');
      assert.equal((await open(ticket)).isResumed, false);
      await s.gateway.stop();
    });
  }
});

describe('what is wrong with the new files keeps the old certificate', { concurrency: 3 }, () => {
  for (const [what, { break: spoil, says }] of Object.entries(bad)) {
    for (const how of ['by SIGHUP', 'by change']) {
      test(`${what}, ${how}: one line says why; the next good one is taken`, async () => {
        const s = await start();
        spoil(s);
        if (how === 'by SIGHUP') s.gateway.signal('SIGHUP');
        const failures = () => s.lines(/; the old ones stay$/);
        await waitFor(() => failures().length, 'the reason in the log');
        assert.match(failures()[0], says);
        assert.match(failures()[0], /error {1,2}certificates of 127\.0\.0\.1:0: /);
        assert.equal(await shown(s.to), 'leaf');
        assert.equal(await s.gateway.metric('postern_certificate_reloads_total{result="failed"}'), 1);
        s.install(renewed);
        await waitFor(async () => (await shown(s.to)) === 'renewed', 'the good one');
        assert.equal(failures().length, 1, s.gateway.stderr);
        await s.gateway.stop();
      });
    }
  }
});

describe('the end of a certificate', { concurrency: 3 }, () => {
  const DAY = 86_400_000;
  const cases = [
    ['in40', 40 * DAY, null],
    ['in20', 20 * DAY, /warn +certificate \S*cert\.pem: it expires in (19|20) days, on \d{4}-\d\d-\d\d$/],
    ['in5', 5 * DAY, /warn +certificate \S*cert\.pem: it expires in [45] days, on /],
    ['in1h', DAY / 24, /warn +certificate \S*cert\.pem: it expires within a day, at /],
  ];
  for (const [name, ms, says] of cases) {
    test(`${name}: ${says === null ? 'is no matter yet' : 'is told'}, and in the metrics`, async () => {
      const s = await start(pki.issue(name, 'DNS:localhost', { from: dated(-DAY), to: dated(ms) }));
      assert.equal(await s.gateway.metric('postern_certificates'), 1);
      const left = await s.gateway.metric('postern_certificate_expires_seconds');
      assert.ok(left <= ms / 1000 && left > ms / 1000 - 600, `${left} seconds`);
      const told = s.lines(/expire/);
      assert.equal(told.length, says === null ? 0 : 1, s.gateway.stderr);
      if (says !== null) assert.match(told[0], says);
      assert.equal(await shown(s.to), name);
      await s.gateway.stop();
    });
  }

  test('one that expires while it is shown is shown on, also after a SIGHUP', async () => {
    const s = await start(pki.issue('short', 'DNS:localhost', { from: dated(-DAY), to: dated(4000) }));
    await waitFor(() => s.lines(/error +certificate \S*cert\.pem: it expired on /).length, 'the word of its end');
    assert.equal(await s.gateway.metric('postern_certificate_expires_seconds'), 0);
    s.gateway.signal('SIGHUP');
    await waitFor(() => s.lines(/reload: new settings are in effect/).length, 'the reload');
    assert.equal(await shown(s.to, { rejectUnauthorized: false }), 'short');
    assert.deepEqual(s.lines(/the old ones stay/), []);
    s.install(renewed);
    await waitFor(() => s.lines(/a new one is shown/).length, 'the new certificate');
    assert.equal(await shown(s.to), 'renewed');
    await s.gateway.stop();
  });

  test('a start with one that has expired serves, and says so', async () => {
    const s = await start(pki.issue('over', 'DNS:localhost', PAST));
    await waitFor(() => s.lines(/error +certificate \S*cert\.pem: it expired on 2020-02-01$/).length === 1, 'the word of its end');
    assert.equal(await shown(s.to, { rejectUnauthorized: false }), 'over');
    await s.gateway.stop();
  });
});
