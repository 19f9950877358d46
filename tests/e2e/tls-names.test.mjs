// Which certificate a TLS listener shows (SNI), and what it asks of the certificates of its clients.
import { test, describe, before, after } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { connect } from './lib/client.mjs';
import { postern, startGateway, tempDirectory } from './lib/gateway.mjs';
import { makeCertificates, tlsOptions } from './lib/certificates.mjs';
import { within, waitFor } from './lib/wait.mjs';

const pki = makeCertificates();
const ca = fs.readFileSync(pki.ca);
const files = (pair) => ({ certificate: pair.cert, key: pair.key });
const VERSIONS = ['TLSv1.2', 'TLSv1.3'];
const only = (version) => ({ minVersion: version, maxVersion: version });

describe('several certificates', () => {
  const one = pki.issue('one', 'DNS:one.test,DNS:uno.test');
  const two = pki.issue('two', 'DNS:two.test,DNS:exact.wild.test');
  const wild = pki.issue('wild', 'DNS:*.wild.test');
  let gateway;
  before(async () => {
    gateway = await startGateway({ config: { listen: [{ address: '127.0.0.1:0', tls: { ...files(pki.leaf), certificates: [one, wild, two].map(files) } }] } });
  });
  after(() => gateway.stop());

  const cases = [
    ['one.test', 'one'],
    ['uno.test', 'one'],
    ['ONE.Test', 'one'],
    ['two.test', 'two'],
    ['a.wild.test', 'wild'],
    ['A.WILD.test', 'wild'],
    ['exact.wild.test', 'two'], // the exact name before the wildcard, whatever their order
    ['localhost', 'leaf'],
    ['wild.test', 'leaf'], // a wildcard is one label, not none
    ['a.b.wild.test', 'leaf'], // nor two
    ['unknown.test', 'leaf'],
    ['', 'leaf'], // no SNI
  ];
  for (const version of VERSIONS) {
    for (const [servername, wanted] of cases) {
      test(`${version}: ${servername || 'no name'} is shown ${wanted}`, async () => {
        const c = await connect(gateway, { tls: { ca, ...only(version), servername, checkServerIdentity: () => undefined } });
        assert.equal(c.socket.getPeerCertificate().subject.CN, wanted);
        assert.equal((await c.request({ path: '/-/healthz' }).whole()).status, 200);
        c.close();
      });
    }

    test(`${version}: a session is resumed for its certificate, not for another`, async () => {
      const open = async (servername, session) => {
        const c = await connect(gateway, { tls: { ca, ...only(version), servername, session, checkServerIdentity: () => undefined } });
        assert.equal((await c.request({ path: '/-/healthz' }).whole()).status, 200);
        const seen = { ticket: c.session, isResumed: c.socket.isSessionReused() };
        c.close();
        return seen;
      };
      const ticket = await within((await open('one.test')).ticket, 'a session ticket');
      assert.equal((await open('one.test', ticket)).isResumed, true);
      assert.equal((await open('two.test', ticket)).isResumed, false);
    });
  }

  test('one of them is renewed, the others keep their tickets', async () => {
    const dir = tempDirectory();
    const copy = { certificate: path.join(dir, 'c.pem'), key: path.join(dir, 'k.pem') };
    const install = (pair) => {
      fs.copyFileSync(pair.cert, copy.certificate);
      fs.copyFileSync(pair.key, copy.key);
    };
    install(two);
    const g = await startGateway({ config: { listen: [{ address: '127.0.0.1:0', tls: { ...files(pki.leaf), certificates: [files(one), copy] } }] } });
    const open = async (servername, session) => {
      const c = await connect(g, { tls: { ca, servername, session } });
      assert.equal((await c.request({ path: '/-/healthz' }).whole()).status, 200);
      const seen = { ticket: c.session, isResumed: c.socket.isSessionReused(), cn: c.socket.getPeerCertificate().subject?.CN };
      c.close();
      return seen;
    };
    const ticket = await within((await open('one.test')).ticket, 'a session ticket');
    install(pki.issue('twoagain', 'DNS:two.test'));
    await waitFor(async () => (await open('two.test')).cn === 'twoagain', 'the new certificate');
    assert.equal((await open('one.test', ticket)).isResumed, true);
    await g.stop();
  });

  test('a wrong one of them is named at the start', async () => {
    await assert.rejects(
      startGateway({ config: { listen: [{ address: '127.0.0.1:0', tls: { ...files(pki.leaf), certificates: [files(one), { certificate: two.cert, key: one.key }] } }] } }),
      (e) => /ended with [12] before/.test(e.message) && e.message.includes('one.key') && e.message.includes('two.pem'),
    );
  });
});

describe('certificates of clients', () => {
  const usage = 'clientAuth';
  const good = pki.issue('client', null, { usage });
  const past = { from: '20200101000000Z', to: '20200201000000Z' };
  const certificates = {
    none: {},
    good: tlsOptions(good),
    'of a foreign authority': tlsOptions(pki.issue('foreign', null, { usage, by: 'otherca' })),
    expired: tlsOptions(pki.issue('clientpast', null, { usage, ...past })),
    'of a server': tlsOptions(pki.issue('server', null)),
    'self-signed': tlsOptions(pki.selfSigned),
  };
  const modes = {
    off: () => true,
    request: (which) => which === 'none' || which === 'good',
    require: (which) => which === 'good',
    undefined: (which) => which === 'good', // who names an authority and nothing else
  };

  // The status of a request, or that there was none. Under TLS 1.3 a client only learns of it with the answer.
  async function ask(to, tls) {
    let c;
    try {
      c = await connect(to, { tls: { ca, ...tls } });
      return (await c.request({ path: '/-/healthz' }).whole()).status;
    } catch (e) {
      assert.match(`${e.code} ${e.message}`, /alert|ECONNRESET|EPIPE|socket hang up|disconnected|connection ended/i);
      return 'refused';
    } finally {
      c?.close();
    }
  }

  for (const [mode, isServed] of Object.entries(modes)) {
    describe(`client_certificates: ${mode === 'undefined' ? 'not said' : mode}`, () => {
      let gateway;
      before(async () => {
        gateway = await startGateway({
          config: { listen: [{ address: '127.0.0.1:0', tls: { ...files(pki.leaf), client_ca: pki.ca, client_certificates: mode === 'undefined' ? undefined : mode } }] },
        });
      });
      after(() => gateway.stop());
      for (const version of VERSIONS) {
        for (const [which, tls] of Object.entries(certificates)) {
          const wanted = isServed(which);
          test(`${version}: ${which === 'none' ? 'none' : `one that is ${which}`} is ${wanted ? 'served' : 'refused'}`, async () => {
            assert.equal(await ask(gateway, { ...tls, ...only(version) }), wanted ? 200 : 'refused');
          });
        }
      }
    });
  }

  for (const version of VERSIONS) {
    test(`${version}: each connection shows its certificate: there are no tickets`, async () => {
      const gateway = await startGateway({ config: { listen: [{ address: '127.0.0.1:0', tls: { ...files(pki.leaf), client_ca: pki.ca, client_certificates: 'require' } }] } });
      const first = await connect(gateway, { tls: { ca, ...tlsOptions(good), ...only(version) } });
      assert.equal((await first.request({ path: '/-/healthz' }).whole()).status, 200);
      const session = first.socket.getSession();
      first.close();
      assert.equal(await ask(gateway, { ...only(version), session }), 'refused');
      const again = await connect(gateway, { tls: { ca, ...tlsOptions(good), ...only(version), session } });
      assert.equal((await again.request({ path: '/-/healthz' }).whole()).status, 200);
      assert.equal(again.socket.isSessionReused(), false);
      again.close();
      await gateway.stop();
    });
  }

  test('who is refused is told why', async () => {
    const gateway = await startGateway({ config: { listen: [{ address: '127.0.0.1:0', tls: { ...files(pki.leaf), client_ca: pki.ca } }] } });
    const reasons = { none: /CERTIFICATE_REQUIRED/, expired: /CERTIFICATE_EXPIRED/, 'of a foreign authority': /UNKNOWN_CA/ };
    for (const [which, code] of Object.entries(reasons)) {
      const c = await connect(gateway, { tls: { ca, ...certificates[which], ...only('TLSv1.3') } });
      const e = await c.closed(); // without a request, whose loss could overtake the word
      assert.match(e.code, code);
    }
    await gateway.stop();
  });

  test('another authority is taken by change of its file; a bad one keeps the old', async () => {
    const file = path.join(tempDirectory(), 'clients.pem');
    fs.copyFileSync(pki.otherCa, file);
    const gateway = await startGateway({ config: { listen: [{ address: '127.0.0.1:0', tls: { ...files(pki.leaf), client_ca: file } }] } });
    assert.equal(await ask(gateway, certificates.good), 'refused');
    assert.equal(await ask(gateway, certificates['of a foreign authority']), 200);
    fs.writeFileSync(file, 'nothing');
    await waitFor(() => /clients\.pem: no PEM certificate in it; the old ones stay\n/.test(gateway.stderr), 'the reason');
    assert.equal(await ask(gateway, certificates['of a foreign authority']), 200);
    fs.copyFileSync(pki.ca, file);
    await waitFor(async () => (await ask(gateway, certificates.good)) === 200, 'the new authority');
    assert.equal(await ask(gateway, certificates['of a foreign authority']), 'refused');
    await gateway.stop();
  });

  test('an authority that cannot be read: the start says which', async () => {
    await assert.rejects(
      startGateway({ config: { listen: [{ address: '127.0.0.1:0', tls: { ...files(pki.leaf), client_ca: '/nonexistent.pem' } }] } }),
      (e) => /ended with [12] before/.test(e.message) && /nonexistent\.pem/.test(e.message),
    );
  });

  test('check prints them', async () => {
    const listen = JSON.stringify([{ address: ':443', tls: { ...files(pki.leaf), certificates: [files(good)], client_ca: pki.ca } }]);
    const r = await postern(['check', '--set', `listen=${listen}`]);
    assert.equal(r.code, 0, r.stderr);
    assert.ok(r.stdout.includes('certificates: [{certificate: '), r.stdout);
    assert.match(r.stdout, /client_certificates: "?require"?\}/);
  });
});
