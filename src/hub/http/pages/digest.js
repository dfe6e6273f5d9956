// A worker that computes the MD5 of what is sent, to compare it with what the storage received (RFC 1321; browsers have no MD5 of
// their own). It runs beside the page, which stays responsive.
"use strict";

const ADD = Int32Array.from({ length: 64 }, (_, step) => Math.floor(2 ** 32 * Math.abs(Math.sin(step + 1))));
const START = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476];
const BLOCK = 64;

// One step of each of the four rounds.
const turn = (sum, left, b) => (((sum << left) | (sum >>> (32 - left))) + b) | 0;
const f = (a, b, c, d, word, left, step) => turn((a + ((b & c) | (~b & d)) + word + ADD[step]) | 0, left, b);
const g = (a, b, c, d, word, left, step) => turn((a + ((b & d) | (c & ~d)) + word + ADD[step]) | 0, left, b);
const h = (a, b, c, d, word, left, step) => turn((a + (b ^ c ^ d) + word + ADD[step]) | 0, left, b);
const i = (a, b, c, d, word, left, step) => turn((a + (c ^ (b | ~d)) + word + ADD[step]) | 0, left, b);

/** Feeds `words`, 16 to a block, into `state`. */
const take = (state, words) => {
  for (let at = 0; at < words.length; at += 16) {
    let [a, b, c, d] = state;
    for (let step = 0; step < 16; step += 4) {
      a = f(a, b, c, d, words[at + step], 7, step);
      d = f(d, a, b, c, words[at + step + 1], 12, step + 1);
      c = f(c, d, a, b, words[at + step + 2], 17, step + 2);
      b = f(b, c, d, a, words[at + step + 3], 22, step + 3);
    }
    for (let step = 16; step < 32; step += 4) {
      a = g(a, b, c, d, words[at + ((5 * step + 1) & 15)], 5, step);
      d = g(d, a, b, c, words[at + ((5 * step + 6) & 15)], 9, step + 1);
      c = g(c, d, a, b, words[at + ((5 * step + 11) & 15)], 14, step + 2);
      b = g(b, c, d, a, words[at + ((5 * step) & 15)], 20, step + 3);
    }
    for (let step = 32; step < 48; step += 4) {
      a = h(a, b, c, d, words[at + ((3 * step + 5) & 15)], 4, step);
      d = h(d, a, b, c, words[at + ((3 * step + 8) & 15)], 11, step + 1);
      c = h(c, d, a, b, words[at + ((3 * step + 11) & 15)], 16, step + 2);
      b = h(b, c, d, a, words[at + ((3 * step + 14) & 15)], 23, step + 3);
    }
    for (let step = 48; step < 64; step += 4) {
      a = i(a, b, c, d, words[at + ((7 * step) & 15)], 6, step);
      d = i(d, a, b, c, words[at + ((7 * step + 7) & 15)], 10, step + 1);
      c = i(c, d, a, b, words[at + ((7 * step + 14) & 15)], 15, step + 2);
      b = i(b, c, d, a, words[at + ((7 * step + 5) & 15)], 21, step + 3);
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
  }
};

const words = (bytes) => new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);

/** The MD5 of a blob, in hexadecimal. Assumes little-endian words, which every machine with a browser has today. */
const digest = async (blob) => {
  const state = new Int32Array(START);
  const rest = new Uint8Array(2 * BLOCK);
  let kept = 0;
  const reader = blob.stream().getReader();
  for (let read = await reader.read(); !read.done; read = await reader.read()) {
    let bytes = read.value;
    if (kept) {
      const missing = Math.min(BLOCK - kept, bytes.length);
      rest.set(bytes.subarray(0, missing), kept);
      kept += missing;
      bytes = bytes.subarray(missing);
      if (kept < BLOCK) continue;
      take(state, words(rest.subarray(0, BLOCK)));
      kept = 0;
    }
    const whole = bytes.length - (bytes.length % BLOCK);
    // Words have to be aligned in memory.
    const blocks = bytes.byteOffset % 4 ? bytes.slice(0, whole) : bytes.subarray(0, whole);
    take(state, words(blocks));
    kept = bytes.length - whole;
    rest.set(bytes.subarray(whole));
  }
  rest[kept] = 0x80;
  const end = kept + 9 > BLOCK ? 2 * BLOCK : BLOCK;
  rest.fill(0, kept + 1, end);
  new DataView(rest.buffer).setBigUint64(end - 8, BigInt(blob.size) * 8n, true);
  take(state, words(rest.subarray(0, end)));
  return [...new Uint8Array(state.buffer)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
};

addEventListener("message", async ({ data: { id, blob } }) => {
  try {
    postMessage({ id, digest: await digest(blob) });
  } catch (error) {
    postMessage({ id, problem: error.message });
  }
});
