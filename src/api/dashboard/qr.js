// QR codes (ISO/IEC 18004) of links: bytes, error correction M, up to version 15 (412 bytes).

// For each version: error correction words of a block, then how many blocks of how many data words.
const BLOCKS = [
  [10, [1, 16]], [16, [1, 28]], [26, [1, 44]], [18, [2, 32]], [24, [2, 43]], [16, [4, 27]], [18, [4, 31]], [22, [2, 38], [2, 39]],
  [22, [3, 36], [2, 37]], [26, [4, 43], [1, 44]], [30, [1, 50], [4, 51]], [22, [6, 36], [2, 37]], [22, [8, 37], [1, 38]],
  [24, [4, 40], [5, 41]], [24, [5, 41], [5, 42]],
];
const ALIGNED = [
  [], [6, 18], [6, 22], [6, 26], [6, 30], [6, 34], [6, 22, 38], [6, 24, 42], [6, 26, 46], [6, 28, 50], [6, 30, 54], [6, 32, 58],
  [6, 34, 62], [6, 26, 46, 66], [6, 26, 48, 70],
];

// Powers of 2 in the field of 256 elements, and their logarithms.
const POWERS = new Array(255);
const LOGS = new Array(256);
for (let power = 0, value = 1; power < 255; power += 1) {
  POWERS[power] = value;
  LOGS[value] = power;
  value = (value << 1) ^ (value & 0x80 ? 0x11d : 0);
}
const times = (one, other) => (one && other ? POWERS[(LOGS[one] + LOGS[other]) % 255] : 0);

// The error correction words of a block: the rest of its division by the generator polynomial.
function correction(words, count) {
  let generator = [1];
  for (let power = 0; power < count; power += 1) {
    const shifted = [...generator, 0];
    generator.forEach((factor, index) => { shifted[index + 1] ^= times(factor, POWERS[power]); });
    generator = shifted;
  }
  const rest = [...words, ...new Array(count).fill(0)];
  for (let at = 0; at < words.length; at += 1) {
    const factor = rest[at];
    generator.forEach((value, index) => { rest[at + index] ^= times(value, factor); });
  }
  return rest.slice(words.length);
}

const capacity = ([, ...groups]) => groups.reduce((sum, [count, words]) => sum + count * words, 0);

// The words of the code in their order: those of the blocks by turns, then their corrections.
function words(bytes, version) {
  const [correcting, ...groups] = BLOCKS[version - 1];
  const room = capacity(BLOCKS[version - 1]);
  const bits = [];
  const put = (value, count) => { for (let bit = count - 1; bit >= 0; bit -= 1) bits.push((value >> bit) & 1); };
  put(4, 4);
  put(bytes.length, version < 10 ? 8 : 16);
  bytes.forEach((byte) => put(byte, 8));
  put(0, Math.min(4, room * 8 - bits.length));
  put(0, (8 - (bits.length % 8)) % 8);
  const data = [];
  for (let at = 0; at < bits.length; at += 8) data.push(bits.slice(at, at + 8).reduce((sum, bit) => sum * 2 + bit, 0));
  for (let fill = 0xec; data.length < room; fill ^= 0xec ^ 0x11) data.push(fill);
  const blocks = groups.flatMap(([count, size]) => Array.from({ length: count }, () => data.splice(0, size)));
  const corrections = blocks.map((block) => correction(block, correcting));
  const byTurns = (lists) => Array.from({ length: Math.max(...lists.map((list) => list.length)) },
    (_, index) => lists.map((list) => list[index]).filter((word) => word !== undefined)).flat();
  return [...byTurns(blocks), ...byTurns(corrections)];
}

const MASKS = [
  (x, y) => (x + y) % 2 === 0, (x, y) => y % 2 === 0, (x) => x % 3 === 0, (x, y) => (x + y) % 3 === 0,
  (x, y) => (Math.floor(x / 3) + Math.floor(y / 2)) % 2 === 0, (x, y) => ((x * y) % 2) + ((x * y) % 3) === 0,
  (x, y) => (((x * y) % 2) + ((x * y) % 3)) % 2 === 0, (x, y) => (((x + y) % 2) + ((x * y) % 3)) % 2 === 0,
];

// The bits with those that let a reader check them: the rest of their division.
function checked(value, count, divisor, size) {
  let rest = value << count;
  for (let bit = size - 1; bit >= 0; bit -= 1) if ((rest >> (bit + count)) & 1) rest ^= divisor << bit;
  return (value << count) | rest;
}

// What is the same for every text: undefined where data goes.
function frame(version) {
  const size = version * 4 + 17;
  const grid = Array.from({ length: size }, () => new Array(size).fill(undefined));
  const square = (cx, cy, radius, dark) => {
    for (let y = Math.max(0, cy - radius); y <= Math.min(size - 1, cy + radius); y += 1) {
      for (let x = Math.max(0, cx - radius); x <= Math.min(size - 1, cx + radius); x += 1) {
        grid[y][x] = dark(Math.max(Math.abs(x - cx), Math.abs(y - cy)));
      }
    }
  };
  for (let at = 0; at < size; at += 1) grid[6][at] = grid[at][6] = at % 2 === 0;
  const spots = ALIGNED[version - 1];
  for (const y of spots) {
    for (const x of spots) {
      const corner = (x === 6 && y === 6) || (x === 6 && y === size - 7) || (y === 6 && x === size - 7);
      if (!corner) square(x, y, 2, (distance) => distance !== 1);
    }
  }
  for (const [x, y] of [[3, 3], [size - 4, 3], [3, size - 4]]) square(x, y, 4, (distance) => distance !== 2 && distance !== 4);
  grid[size - 8][8] = true;
  if (version >= 7) {
    const bits = checked(version, 12, 0x1f25, 6);
    for (let bit = 0; bit < 18; bit += 1) {
      const [near, far] = [Math.floor(bit / 3), size - 11 + (bit % 3)];
      grid[near][far] = grid[far][near] = Boolean((bits >> bit) & 1);
    }
  }
  return grid;
}

// The places of the bits that say which mask was used, from the lowest bit on, twice.
function formatPlaces(size) {
  const first = [0, 1, 2, 3, 4, 5, 7, 8].map((y) => [8, y]).concat([7, 5, 4, 3, 2, 1, 0].map((x) => [x, 8]));
  const second = Array.from({ length: 8 }, (_, index) => [size - 1 - index, 8])
    .concat(Array.from({ length: 7 }, (_, index) => [8, size - 7 + index]));
  return [first, second];
}

// How hard a grid is to read.
function penalty(grid) {
  const size = grid.length;
  let sum = 0;
  const lines = [...grid, ...grid.map((_, x) => grid.map((line) => line[x]))];
  for (const line of lines) {
    const text = line.map((dark) => (dark ? "1" : "0")).join("");
    for (const run of text.match(/0{5,}|1{5,}/g) ?? []) sum += run.length - 2;
    for (const pattern of ["10111010000", "00001011101"]) {
      for (let at = text.indexOf(pattern); at >= 0; at = text.indexOf(pattern, at + 1)) sum += 40;
    }
  }
  for (let y = 1; y < size; y += 1) {
    for (let x = 1; x < size; x += 1) {
      if (grid[y][x] === grid[y - 1][x] && grid[y][x] === grid[y][x - 1] && grid[y][x] === grid[y - 1][x - 1]) sum += 3;
    }
  }
  const dark = grid.flat().filter(Boolean).length;
  return sum + Math.floor(Math.abs(dark * 20 - size * size * 10) / (size * size)) * 10;
}

// The modules of the code, true for dark; undefined if the text is too long.
export function modules(text) {
  const bytes = [...new TextEncoder().encode(text)];
  const fits = (blocks, index) => bytes.length + (index < 9 ? 2 : 3) <= capacity(blocks);
  const version = BLOCKS.findIndex(fits) + 1;
  if (version === 0) return undefined;
  const fixed = frame(version);
  const size = fixed.length;
  const places = formatPlaces(size);
  for (const [x, y] of places.flat()) fixed[y][x] = false;
  const bits = words(bytes, version).flatMap((word) => Array.from({ length: 8 }, (_, bit) => (word >> (7 - bit)) & 1));
  const order = [];
  for (let right = size - 1, up = true; right > 0; right -= 2, up = !up) {
    if (right === 6) right = 5;
    for (let step = 0; step < size; step += 1) {
      const y = up ? size - 1 - step : step;
      for (const x of [right, right - 1]) if (fixed[y][x] === undefined) order.push([x, y]);
    }
  }
  const grids = MASKS.map((mask, number) => {
    const grid = fixed.map((line) => [...line]);
    order.forEach(([x, y], index) => { grid[y][x] = Boolean(bits[index]) !== mask(x, y); });
    const format = checked(number, 10, 0x537, 5) ^ 0x5412;
    for (const list of places) list.forEach(([x, y], bit) => { grid[y][x] = Boolean((format >> bit) & 1); });
    grid[size - 8][8] = true;
    return grid;
  });
  return grids.map((grid) => [penalty(grid), grid]).sort(([one], [other]) => one - other)[0][1];
}

// A picture of it; undefined if the text is too long.
export function picture(text, label) {
  const grid = modules(text);
  if (!grid) return undefined;
  const space = "http://www.w3.org/2000/svg";
  const make = (name, attributes) => {
    const made = document.createElementNS(space, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };
  // Readers want four modules of light around it.
  const whole = grid.length + 8;
  const svg = make("svg", { viewBox: `0 0 ${whole} ${whole}`, class: "qr", role: "img", "aria-label": label, "shape-rendering": "crispEdges" });
  const dark = grid.flatMap((line, y) => line.map((on, x) => (on ? `M${x + 4} ${y + 4}h1v1h-1z` : "")));
  svg.append(make("rect", { width: whole, height: whole, fill: "#fff" }), make("path", { d: dark.join(""), fill: "#000" }));
  return svg;
}
