// Chance that can be had again: FAULT_SEED=N.
const seed = Number(process.env.FAULT_SEED || Math.floor(Math.random() * 2 ** 32));
let isSaid = false;

export function random(name) {
  if (!isSaid) console.log(`FAULT_SEED=${seed}`);
  isSaid = true;
  let state = [...name].reduce((h, c) => Math.imul(h ^ c.charCodeAt(0), 16777619) >>> 0, seed >>> 0);
  const next = () => {
    // mulberry32
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  };
  return {
    below: (n) => Math.floor((next() / 2 ** 32) * n),
    of(list) {
      return list[this.below(list.length)];
    },
  };
}
