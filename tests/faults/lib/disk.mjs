// A small disk of its own for a test: a tmpfs. tests/faults/run says whether mounting is allowed here, and does it where
// the mounts vanish with the run.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { tempDirectory } from '../../e2e/lib/gateway.mjs';

export const noMounts = process.env.FAULT_MOUNTS ? false : 'mounting a small disk takes root and a mount namespace (run tests/faults/run as root)';

export function smallDisk(size) {
  const at = tempDirectory();
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size},mode=0700`, 'none', at]);
  process.prependOnceListener('exit', () => execFileSync('umount', ['-l', at]));
  return new Disk(at);
}

class Disk {
  constructor(at) {
    this.at = at;
    this.filler = path.join(at, 'filler');
  }

  free() {
    const s = fs.statfsSync(this.at);
    return s.bfree * s.bsize;
  }

  // To the last block, less so many bytes.
  fill(leave = 0) {
    const fd = fs.openSync(this.filler, 'a');
    const piece = Buffer.alloc(64 * 1024);
    try {
      while (this.free() > leave) fs.writeSync(fd, piece, 0, Math.min(piece.length, this.free() - leave));
    } catch (e) {
      if (e.code !== 'ENOSPC') throw e;
    } finally {
      fs.closeSync(fd);
    }
  }

  make() {
    fs.rmSync(this.filler, { force: true });
  }
}
