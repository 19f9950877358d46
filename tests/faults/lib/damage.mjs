// Damages a file in one place, and says where.
import fs from 'node:fs';
import path from 'node:path';

// Every file under cache/ and log/, but sockets.
export function storedFiles(data) {
  const list = (d) => fs.readdirSync(d, { withFileTypes: true }).flatMap((e) => (e.isDirectory() ? list(path.join(d, e.name)) : e.isFile() ? [path.join(d, e.name)] : []));
  return [...list(path.join(data, 'cache')), ...list(path.join(data, 'log'))].filter((f) => fs.statSync(f).size > 0).sort();
}

export function flipBit(file, at, bit) {
  const fd = fs.openSync(file, 'r+');
  const b = Buffer.alloc(1);
  fs.readSync(fd, b, 0, 1, at);
  b[0] ^= 1 << bit;
  fs.writeSync(fd, b, 0, 1, at);
  fs.closeSync(fd);
}

const PAGE = 4096;
const P_BRANCH = 1, P_LEAF = 2, P_OVERFLOW = 4, P_META = 8;

// What a byte of an LMDB file is: part of a key or value, or of the tree around them.
export function partOf(file, at) {
  if (!file.endsWith('.mdb')) return 'value';
  const fd = fs.openSync(file, 'r');
  const page = Buffer.alloc(PAGE);
  const number = Math.floor(at / PAGE);
  fs.readSync(fd, page, 0, PAGE, number * PAGE);
  fs.closeSync(fd);
  const within = at % PAGE;
  const flags = page.readUInt16LE(10);
  const isPage = Number(page.readBigUInt64LE(0)) === number;
  if (isPage && flags & P_META) return within < 168 ? 'tree' : 'nothing';
  if (isPage && flags & (P_LEAF | P_BRANCH)) {
    if (within < page.readUInt16LE(12)) return 'tree';
    if (within < page.readUInt16LE(14)) return 'nothing';
    for (let i = 16; i < page.readUInt16LE(12); i += 2) {
      const node = page.readUInt16LE(i);
      if (within >= node && within < node + 8) return 'tree';
      if (flags & P_LEAF && page.readUInt16LE(node + 4) & 2 && within >= node + 8) continue; // F_SUBDATA: the value is a tree's root
    }
    return 'value';
  }
  if (isPage && flags & P_OVERFLOW && within < 16) return 'tree';
  return 'value';
}
