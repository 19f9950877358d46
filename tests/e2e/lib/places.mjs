// Addresses of this machine, and connections that are turned away at them.
import net from 'node:net';
import os from 'node:os';
import { deferred, within } from './wait.mjs';

// One that is not loopback's, so that the gateway counts it: a connection to it from this machine also comes from it.
export const foreignAddress = () =>
  Object.values(os.networkInterfaces()).flat().find((a) => a.family === 'IPv4' && !a.internal)?.address;

// A connection that the gateway ends at once, without a byte: resolves when it has.
export function turnedAway(to, { address }) {
  const closed = deferred();
  const socket = net.connect({ host: address, port: to.port });
  socket.on('data', (bytes) => closed.reject(new Error(`an answer: ${bytes}`)));
  socket.on('error', () => {}); // a reset is what it is
  socket.on('close', closed.resolve);
  return within(closed.promise, 'a connection is turned away').finally(() => socket.destroy());
}
