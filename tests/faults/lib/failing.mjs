// The program of tests/faults/fail.c: allocations and system calls fail in it by chance, when a test says so.
//
//   const failing = failingState();
//   const gateway = await gatewayFor(provider, { env: failing.env });
//   failing.set({ memory: 300, calls: 0, seed });     one allocation in 300; 0: none
//   failing.counts();                                 { memory: { tried, failed }, read: ... }
import fs from 'node:fs';
import path from 'node:path';
import { tempDirectory } from '../../e2e/lib/gateway.mjs';

const CALLS = ['memory', 'read', 'write', 'sync', 'open', 'socket', 'connect', 'accept', 'grow', 'map'];
const HEAD = 16;

export function failingState() {
  const file = path.join(tempDirectory(), 'fail');
  fs.writeFileSync(file, Buffer.alloc(4096));
  const fd = fs.openSync(file, 'r+');
  return {
    env: { FAIL_STATE: file },
    set({ memory = 0, calls = 0, seed = 1 } = {}) {
      const b = Buffer.alloc(12);
      [memory, calls, seed >>> 0].forEach((n, i) => b.writeUInt32LE(n, i * 4));
      fs.writeSync(fd, b, 0, b.length, 0);
    },
    counts() {
      const b = Buffer.alloc(16 * CALLS.length);
      fs.readSync(fd, b, 0, b.length, HEAD);
      const at = (i) => Number(b.readBigUInt64LE(i * 8));
      return Object.fromEntries(CALLS.map((name, i) => [name, { tried: at(i), failed: at(CALLS.length + i) }]));
    },
  };
}
