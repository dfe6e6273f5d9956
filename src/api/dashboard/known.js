// The transfers that the page knows. All of them are loaded at the start and after a lost connection; events and progress keep
// them up to date.

import * as api from "./api.js";
import { read } from "./transfer.js";

const FETCHED_AT_ONCE = 20;

export const known = new Map();
const listeners = [];
const endings = [];
const changed = new Map();
// An event of a transfer that ended so shortly before is about its end.
const JUST_NOW = 10_000;
let asked;

// Calls the function whenever something has changed.
export const onChange = (listener) => listeners.push(listener);
// Calls the function with each transfer that has just been completed, or has just failed.
export const onEnd = (listener) => endings.push(listener);

function tell() {
  for (const listener of listeners) listener();
}

// `heard`: the time of the event that told of it, if it was one. A small transfer ends before it was ever seen.
export function put(transfer, way, heard) {
  const before = known.get(transfer.id);
  const after = read(transfer, way);
  known.set(transfer.id, after);
  const isNew = before ? before.state !== after.state
    : heard && Math.abs(Date.parse(heard) - Date.parse(after.completed_at ?? after.created_at)) < JUST_NOW;
  if (isNew && ["complete", "error"].includes(after.state)) {
    for (const listener of endings) listener(after);
  }
  tell();
}

export function drop(id) {
  known.delete(id);
  tell();
}

// Loads everything.
export async function load() {
  const [uploads, downloads, done, fetched] = await Promise.all([
    api.all("/uploads?states=transferring,paused,idle,error"),
    api.all("/downloads?states=transferring,paused,error"),
    api.get("/uploads?states=complete&limit=200"),
    api.get("/downloads?states=complete&limit=200"),
  ]);
  known.clear();
  for (const transfer of [...uploads, ...done.transfers]) known.set(transfer.id, read(transfer, "up"));
  for (const transfer of [...downloads, ...fetched.transfers]) known.set(transfer.id, read(transfer, "down"));
  tell();
}

// The active transfers, from the event stream.
export function progress({ uploads, downloads }) {
  for (const transfer of uploads) known.set(transfer.id, read(transfer, "up"));
  for (const transfer of downloads) known.set(transfer.id, read(transfer, "down"));
  tell();
}

// Something happened to a transfer: it is loaded again, together with the others that change at the same time.
export function happened(event) {
  const id = event.upload_id ?? event.data?.download_id;
  if (!id) return;
  changed.set(event.upload_id ? `up ${id}` : `down ${id}`, event.at);
  asked ??= setTimeout(lookAgain, 200);
}

async function lookAgain() {
  asked = undefined;
  const wanted = [...changed];
  changed.clear();
  try {
    if (wanted.length > FETCHED_AT_ONCE) return await load();
    await Promise.all(wanted.map(async ([one, heard]) => {
      const [way, id] = one.split(" ");
      try {
        put(await api.get(`/${way === "up" ? "uploads" : "downloads"}/${id}`), way, heard);
      } catch (error) {
        if (error.status !== 404) throw error;
        drop(id);
      }
    }));
  } catch (error) {
    console.debug("reloading", error);
  }
}
