// Waiting, always bounded. A test waits for an event; where there is only a state to look at, waitFor looks again.
import { setTimeout as later } from 'node:timers/promises';

// A sanitized or counting binary is a slow one: MODE says so (tests/e2e/run).
export const isSlow = ['asan', 'fuzz', 'cov'].includes(process.env.MODE ?? '');
export const SLOW = isSlow ? 4 : 1;
export const PATIENCE = 10_000;

export function deferred() {
  const d = {};
  d.promise = new Promise((resolve, reject) => Object.assign(d, { resolve, reject }));
  d.promise.catch(() => {}); // whoever awaits it sees the failure; nobody has to
  return d;
}

// The promise's value, or an error that names what did not come.
export async function within(promise, what, ms = PATIENCE) {
  const stop = new AbortController();
  const late = later(ms * SLOW, null, { signal: stop.signal }).then(
    () => Promise.reject(new Error(`${typeof what === 'function' ? what() : what}: not within ${ms * SLOW} ms`)),
    () => {},
  );
  try {
    return await Promise.race([promise, late]);
  } finally {
    stop.abort();
  }
}

// The first truthy value of look().
export async function waitFor(look, what, ms = PATIENCE) {
  const deadline = performance.now() + ms * SLOW;
  for (;;) {
    const value = await look();
    if (value) return value;
    if (performance.now() > deadline) throw new Error(`${what}: not within ${ms * SLOW} ms`);
    await later(5);
  }
}

// The value at which look() has stood still for that long: for "and nothing more comes".
export async function settled(look, what, stillMs = 200, ms = PATIENCE) {
  let value = look();
  let since = performance.now();
  await waitFor(() => {
    const now = look();
    if (now !== value) since = performance.now();
    value = now;
    return performance.now() - since > stillMs;
  }, what, ms);
  return value;
}
