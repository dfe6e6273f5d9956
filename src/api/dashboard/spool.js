// Sends files of the browser's machine to the agent, piece by piece. What was received is kept: after a lost connection it goes on
// where it stopped. Nothing is ordered here.

import * as api from "./api.js";

const PIECE = 8 << 20;
// For so long a silent agent is waited for; then the transfer has failed.
const PATIENCE = 10 * 60 * 1000;

const pause = (time, signal) => new Promise((resolve, reject) => {
  const timer = setTimeout(resolve, time);
  signal.addEventListener("abort", () => {
    clearTimeout(timer);
    reject(signal.reason);
  }, { once: true });
});

// What may pass: the agent is restarted, the network is away, a piece was received whose answer was lost.
const mayPass = (error) => error instanceof api.ApiError && (error.status === 0 || error.status === 409 || error.status >= 500 && error.status !== 507);

// The files below what was dropped, with their paths. Has to be called while the drop is handled: later, the browser tells nothing.
export function dropped(transfer) {
  const entries = [...transfer.items].filter(({ kind }) => kind === "file").map((item) => [item.webkitGetAsEntry?.(), item.getAsFile()]);
  return Promise.all(entries.map(async ([entry, file]) => (entry ? below(entry, "") : [{ path: file.name, file }]))).then((found) => found.flat());
}

async function below(entry, above) {
  const path = above + entry.name;
  if (entry.isFile) return [{ path, file: await new Promise((resolve, reject) => entry.file(resolve, reject)) }];
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    // It tells a hundred at a time.
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) break;
    for (const one of some) found.push(...await below(one, `${path}/`));
  }
  return found;
}

// Sends these files; the answer is the id to order them by. `told` learns of the bytes that were received.
export async function stream(files, { told, waiting, signal }) {
  const announced = files.map(({ path, file }) => ({ path, size: file.size, modified: Math.max(0, Math.floor(file.lastModified)) }));
  const spool = await api.send("POST", "/spools", { files: announced });
  const of = new Map(files.map(({ path, file }) => [path, file]));
  try {
    let before = 0;
    for (const { number, path, size } of spool.files) {
      const file = of.get(path);
      let offset = 0;
      let silent;
      while (offset < size) {
        signal.throwIfAborted();
        let piece;
        try {
          piece = await file.slice(offset, Math.min(offset + PIECE, size)).arrayBuffer();
        } catch {
          throw new Error(`${path} cannot be read any more: it was changed or removed since it was chosen`);
        }
        try {
          const kept = await api.put(`/spools/${spool.id}/${number}?offset=${offset}`, piece, signal);
          offset = kept.received;
          silent = undefined;
          waiting(false);
        } catch (error) {
          signal.throwIfAborted();
          if (!mayPass(error)) throw error;
          silent ??= Date.now();
          if (Date.now() - silent > PATIENCE) throw error;
          waiting(true);
          await pause(1000, signal);
          offset = await come(spool.id, number) ?? offset;
        }
        told(before + offset);
      }
      before += size;
    }
    return spool.id;
  } catch (error) {
    // Nobody will go on with it.
    await api.send("DELETE", `/spools/${spool.id}`).catch(() => {});
    throw error;
  }
}

// How far a file came, if the agent says so.
async function come(id, number) {
  try {
    return (await api.get(`/spools/${id}`)).files.find((file) => file.number === number)?.received;
  } catch (error) {
    if (!mayPass(error)) throw error;
    return undefined;
  }
}
