// A private certificate authority, made on the spot by the openssl command, and what one needs of it:
// good and bad certificates of a server.
import { execFileSync } from 'node:child_process';
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
  const issue = (name, san, { by = 'ca', from = null, to = null } = {}) => {
    key(name);
    openssl('req', '-new', '-config', 'ca.cnf', '-key', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${name}`);
    fs.writeFileSync(at(`${name}.ext`), `basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\nextendedKeyUsage=serverAuth\nsubjectAltName=${san}\n`);
    const dates = from ? ['-startdate', from, '-enddate', to] : ['-days', '10'];
    openssl('ca', '-batch', '-config', 'ca.cnf', '-cert', `${by}.pem`, '-keyfile', `${by}.key`, '-in', `${name}.csr`, '-out', `${name}.pem`,
      '-extfile', `${name}.ext`, '-notext', ...dates);
    return { cert: at(`${name}.pem`), key: at(`${name}.key`) };
  };

  const here = 'DNS:localhost,IP:127.0.0.1';
  return {
    dir,
    ca: authority('ca').cert,
    otherCa: authority('otherca').cert,
    leaf: issue('leaf', here),
    expired: issue('expired', here, { from: '20200101000000Z', to: '20200201000000Z' }),
    notYet: issue('notyet', here, { from: '20980101000000Z', to: '20990101000000Z' }),
    wrongName: issue('wrongname', 'DNS:elsewhere.example,IP:127.0.0.2'),
    named: issue('named', 'DNS:api.provider.test'), // for whoever reaches it without DNS
    unknownCa: issue('unknown', here, { by: 'otherca' }),
    selfSigned: selfSigned('selfsigned', 'localhost', [`subjectAltName=${here}`]),
  };
}

export const tlsOptions = (pair) => ({ cert: fs.readFileSync(pair.cert), key: fs.readFileSync(pair.key) });
