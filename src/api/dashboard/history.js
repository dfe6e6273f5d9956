// What was sent and downloaded, in the order in which it was ordered, newest first, page by page as you scroll; the agent does
// the searching.

import * as api from "./api.js";
import { byId, complain, element, say } from "./dom.js";
import { number, plural } from "./format.js";
import { csv, save } from "./csv.js";
import { row } from "./row.js";
import { read, to } from "./transfer.js";
import { VirtualList } from "./virtual.js";

const PAGE = 200;
const WAYS = { up: "uploads", down: "downloads" };
let list;
let found = [];
let streams = [];
let loading;
let round = 0;

// Midnight of a day here, some days later.
function midnight(day, later = 0) {
  const [year, month, date] = day.split("-").map(Number);
  return new Date(year, month - 1, date + later).toISOString();
}

function query() {
  const asked = new URLSearchParams({ states: byId("history-state").value, search: byId("history-find").value.trim() });
  const [from, until] = [byId("history-from").value, byId("history-until").value];
  if (from) asked.set("since", midnight(from));
  if (until) asked.set("until", midnight(until, 1));
  return asked.toString();
}

// The next transfers of all ways in one order: a way is asked for more before its known ones run out.
async function next(streams, asked, size) {
  await Promise.all(streams.filter((stream) => stream.ready.length === 0 && stream.cursor !== null).map(async (stream) => {
    const answer = await api.get(`/${WAYS[stream.way]}?${asked}&limit=${size}${stream.cursor ? `&cursor=${stream.cursor}` : ""}`);
    stream.cursor = answer.cursor ?? null;
    stream.ready = answer.transfers.map((transfer) => read(transfer, stream.way));
  }));
  const taken = [];
  for (;;) {
    const open = streams.filter((stream) => stream.ready.length > 0);
    // Of a way that has more, but none known, nothing older may be shown yet.
    if (open.length === 0 || streams.some((stream) => stream.ready.length === 0 && stream.cursor !== null)) return taken;
    open.sort((one, other) => (one.ready[0].created_at < other.ready[0].created_at ? 1 : -1));
    taken.push(open[0].ready.shift());
  }
}

const beginning = () => Object.keys(WAYS).map((way) => ({ way, cursor: undefined, ready: [] }));
const finished = (streams) => streams.every((stream) => stream.cursor === null && stream.ready.length === 0);

async function more() {
  if (loading || (streams.length && finished(streams))) return;
  loading = true;
  const mine = round;
  try {
    const taken = await next(streams, query(), PAGE);
    if (mine !== round) return;
    found = [...found, ...taken];
    list.set(found);
    byId("history-count").textContent = plural(found.length, "transfer") + (finished(streams) ? "" : " and more");
  } finally {
    loading = false;
    if (mine !== round) more().catch(complain);
  }
}

export function load() {
  round += 1;
  found = [];
  streams = beginning();
  return more();
}

const COLUMNS = {
  ordered: (transfer) => transfer.created_at, completed: (transfer) => transfer.completed_at ?? "",
  direction: (transfer) => (transfer.way === "up" ? "sent" : "received"), name: (transfer) => transfer.name,
  rule: (transfer) => transfer.rule ?? "", to, link: (transfer) => transfer.links?.[0]?.url ?? "",
  files: (transfer) => transfer.file_count, bytes: (transfer) => transfer.size,
  outcome: (transfer) => (transfer.state === "error" ? `error: ${transfer.error?.message ?? ""}` : transfer.state), id: (transfer) => transfer.id,
};

// Everything that matches, not only what is shown so far.
async function download() {
  const asked = query();
  const all = [];
  for (const streams = beginning(); !finished(streams);) all.push(...await next(streams, asked, 1000));
  save("masv-history.csv", csv(Object.keys(COLUMNS), all.map((transfer) => Object.values(COLUMNS).map((value) => value(transfer)))));
  say(`${number(all.length)} in masv-history.csv`);
}

export const move = (step) => list.move(step);
export const here = () => list.here();

export function start() {
  list = new VirtualList(byId("history-list"), {
    row: (transfer) => row(transfer, { past: true }),
    empty: () => element("p", { class: "empty" }, query() === "states=complete%2Cerror&search=" ? "Nothing yet." : "Nothing matches."),
    nearEnd: () => found.length && more().catch(complain),
  });
  let typed;
  byId("history-find").addEventListener("input", () => {
    clearTimeout(typed);
    typed = setTimeout(() => load().catch(complain), 200);
  });
  for (const id of ["history-from", "history-until", "history-state"]) byId(id).addEventListener("change", () => load().catch(complain));
  byId("history-csv").addEventListener("click", () => download().catch(complain));
}
