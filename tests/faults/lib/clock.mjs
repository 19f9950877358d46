// A gateway whose wall clock a test moves; its monotonic clock goes on as it does.
import fs from 'node:fs';
import path from 'node:path';
import { tempDirectory } from '../../e2e/lib/gateway.mjs';

const library = process.env.FAKETIME_LIBRARY;
export const noClock = library ? false : 'no libfaketime (tests/faults/run brings it)';
export const HOUR = 3600;

export function startClock() {
  const file = path.join(tempDirectory(), 'clock');
  const clock = {
    offset: 0, // seconds
    env: { LD_PRELOAD: library, FAKETIME_TIMESTAMP_FILE: file, FAKETIME_NO_CACHE: '1', DONT_FAKE_MONOTONIC: '1', FAKETIME_DONT_FAKE_MONOTONIC: '1' },
    now: () => Date.now() + clock.offset * 1000,
    // Replaced, not written over: the gateway reads it at every look at the clock.
    jump(seconds) {
      clock.offset += seconds;
      fs.writeFileSync(`${file}.new`, `${clock.offset < 0 ? '' : '+'}${clock.offset}\n`);
      fs.renameSync(`${file}.new`, file);
    },
  };
  clock.jump(0);
  return clock;
}
