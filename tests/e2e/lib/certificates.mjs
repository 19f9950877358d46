// A private certificate authority, made on the spot by the openssl command, and what one needs of it:
// good and bad certificates of a server; issue(name, san, { by, from, to, usage }) makes more.
import { execFileSync } from 'node:child_process';
import crypto from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { tempDirectory } from './gateway.mjs';

const CONFIG = `
[ca]
default_ca = this
[this]
new_certs_dir = .
database = index.txt
serial = serial
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
[req]
distinguished_name = name
prompt = no
[name]
CN = unused
`;

// --- DER, as far as a certificate needs it ---
const headerLength = (b, at) => 2 + (b[at + 1] < 0x80 ? 0 : b[at + 1] & 0x7f);
const contentLength = (b, at) => {
  const n = headerLength(b, at) - 2;
  return n === 0 ? b[at + 1] : b.readUIntBE(at + 2, n);
};
const element = (b, at) => b.subarray(at, at + headerLength(b, at) + contentLength(b, at));
const wrapped = (tag, content) => {
  const n = content.length;
  const length = n < 0x80 ? [n] : n < 0x100 ? [0x81, n] : [0x82, n >> 8, n & 0xff];
  return Buffer.concat([Buffer.from([tag, ...length]), content]);
};

// The same certificate with the '!' of its name turned into a NUL, signed again: no tool makes those.
function withNul(pair, caKey) {
  const der = new crypto.X509Certificate(fs.readFileSync(pair.cert)).raw;
  const start = headerLength(der, 0);
  const tbs = Buffer.from(element(der, start));
  const at = tbs.indexOf('!.evil.example');
  if (at < 0) throw new Error('no ! in the names');
  tbs[at] = 0;
  const algorithm = element(der, start + tbs.length);
  const signature = crypto.sign('sha256', tbs, fs.readFileSync(caKey, 'utf8'));
  const made = wrapped(0x30, Buffer.concat([tbs, algorithm, wrapped(0x03, Buffer.concat([Buffer.from([0]), signature]))]));
  fs.writeFileSync(pair.cert, `-----BEGIN CERTIFICATE-----\n${made.toString('base64').replace(/.{64}/g, '$&\n')}\n-----END CERTIFICATE-----\n`);
  return pair;
}

export function makeCertificates() {
  const dir = tempDirectory();
  const at = (name) => path.join(dir, name);
  const openssl = (...args) => execFileSync('openssl', args, { cwd: dir, stdio: ['ignore', 'pipe', 'pipe'] });
  const key = (name) => openssl('genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', `${name}.key`);
  fs.writeFileSync(at('ca.cnf'), CONFIG);
  fs.writeFileSync(at('index.txt'), '');
  fs.writeFileSync(at('serial'), '1000\n');

  const selfSigned = (name, cn, extensions) => {
    key(name);
    openssl('req', '-x509', '-config', 'ca.cnf', '-key', `${name}.key`, '-out', `${name}.pem`, '-days', '30', '-subj', `/CN=${cn}`,
      ...extensions.flatMap((e) => ['-addext', e]));
    return { cert: at(`${name}.pem`), key: at(`${name}.key`) };
  };
  const authority = (name) => selfSigned(name, `Test CA ${name}`, ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,keyCertSign,cRLSign']);
  const issue = (name, san, { by = 'ca', from = null, to = null, cn = name, usage = 'serverAuth' } = {}) => {
    key(name);
    openssl('req', '-new', '-config', 'ca.cnf', '-key', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${cn}`);
    fs.writeFileSync(at(`${name}.ext`), `basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\nextendedKeyUsage=${usage}\n${san ? `subjectAltName=${san}\n` : ''}`);
    const dates = from ? ['-startdate', from, '-enddate', to] : ['-days', '10'];
    openssl('ca', '-batch', '-config', 'ca.cnf', '-cert', `${by}.pem`, '-keyfile', `${by}.key`, '-in', `${name}.csr`, '-out', `${name}.pem`,
      '-extfile', `${name}.ext`, '-notext', ...dates);
    return { cert: at(`${name}.pem`), key: at(`${name}.key`) };
  };

  const here = 'DNS:localhost,IP:127.0.0.1';
  return {
    dir,
    issue,
    ca: authority('ca').cert,
    otherCa: authority('otherca').cert,
    leaf: issue('leaf', here),
    expired: issue('expired', here, { from: '20200101000000Z', to: '20200201000000Z' }),
    notYet: issue('notyet', here, { from: '20980101000000Z', to: '20990101000000Z' }),
    wrongName: issue('wrongname', 'DNS:elsewhere.example,IP:127.0.0.2'),
    named: issue('named', 'DNS:api.provider.test'), // for whoever reaches it without DNS
    nulInCn: withNul(issue('nulcn', null, { cn: 'localhost!.evil.example' }), at('ca.key')),
    unknownCa: issue('unknown', here, { by: 'otherca' }),
    selfSigned: selfSigned('selfsigned', 'localhost', [`subjectAltName=${here}`]),
  };
}

export const tlsOptions = (pair) => ({ cert: fs.readFileSync(pair.cert), key: fs.readFileSync(pair.key) });
