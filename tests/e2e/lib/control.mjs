// The control socket of a running gateway, byte by byte: what is not a command line says.
import net from 'node:net';
import path from 'node:path';
import { within } from './wait.mjs';

// Words to it, as a command or another server would send them; the socket.
export const talk = (gateway, ...words) =>
  new Promise((resolve, reject) => {
    const socket = net.connect(path.join(gateway.data, 'control.sock'), () => resolve(socket));
    socket.on('error', reject);
    socket.write(`${words.join('\0')}\0\0`);
  });

// All that comes back, until it closes.
export async function said(socket) {
  const pieces = [];
  socket.on('data', (b) => pieces.push(b));
  await within(new Promise((resolve) => socket.once('close', resolve)), 'the end of the conversation');
  return Buffer.concat(pieces).toString();
}
