// deploy/FAULTS.md promises; each row names the tests that hold it. A test that was renamed or removed is noticed here, and so is a
// word that the gateway does not have.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const top = fileURLToPath(new URL('../../', import.meta.url));
const read = (name) => fs.readFileSync(path.join(top, name), 'utf8');
const rows = read('deploy/FAULTS.md').split('\n').filter((line) => /^\| (?!fault )/.test(line)).map((line) => line.split('|').slice(1, -1).map((cell) => cell.trim()));

test('every row names tests that are there', () => {
  assert.ok(rows.length > 25);
  for (const [fault, , , , tests] of rows) {
    const named = tests.split('; ').map((part) => part.match(/^([\w.]+): (.+)$/));
    assert.ok(named.length > 0 && named.every(Boolean), fault);
    for (const [, file, list] of named) {
      const source = read(file.endsWith('.c') ? `tests/unit/${file}` : `tests/e2e/${file}.test.mjs`);
      for (const [, name] of list.matchAll(/`([^`]+)`/g)) assert.ok(source.includes(name), `${fault}: no '${name}' in ${file}`);
    }
  }
});

test('every word is one of the gateway\'s, with the status that the row says', () => {
  const errors = read('src/base/err.h');
  let n = 0;
  for (const [fault, caller] of rows) {
    for (const [, status, word] of caller.matchAll(/(\d{3}) `(upstream-[a-z-]+)`/g)) {
      assert.ok(new RegExp(`, ${status}, \\w+, 2005, "${word}"`).test(errors), `${fault}: ${status} ${word}`);
      n++;
    }
  }
  assert.ok(n > 15);
});
