// What a test file leaves open is stopped when its last test is over: gateways first, properly, and how they end is
// asserted; then the servers. So no test has to, and one that fails does not keep the file from ending.
import { after } from 'node:test';

const gateways = new Set();
const servers = new Set();

export const willStop = (gateway) => gateways.add(gateway);
export const stopped = (gateway) => gateways.delete(gateway);
export const willClose = (server) => servers.add(server);

after(async () => {
  const results = await Promise.allSettled([...gateways].map((g) => g.stop()));
  await Promise.allSettled([...servers].map((s) => s.close()));
  const failed = results.find((r) => r.status === 'rejected');
  if (failed) throw failed.reason;
});
