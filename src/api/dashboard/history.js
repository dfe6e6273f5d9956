// What was sent and downloaded, newest first, page by page as you scroll; the agent does the searching.

import * as api from "./api.js";
import { byId, element } from "./dom.js";
import { number } from "./format.js";
import { read, row } from "./transfers.js";
import { VirtualList } from "./virtual.js";

const PAGE = 200;
let list;
let found = [];
let cursors = {};
let loading;
let round = 0;

async function page(way) {
  const cursor = cursors[way];
  if (cursor === null) return [];
  const search = encodeURIComponent(byId("history-find").value.trim());
  const noun = way === "up" ? "uploads" : "downloads";
  const answer = await api.get(`/${noun}?states=complete,error&limit=${PAGE}&search=${search}${cursor ? `&cursor=${cursor}` : ""}`);
  cursors[way] = answer.cursor ?? null;
  return answer.transfers.map((transfer) => read(transfer, way));
}

async function more() {
  if (loading || (cursors.up === null && cursors.down === null)) return;
  loading = true;
  const mine = round;
  try {
    const [up, down] = await Promise.all([page("up"), page("down")]);
    if (mine !== round) return;
    found = [...found, ...up, ...down].sort((one, other) => (one.created_at < other.created_at ? 1 : -1));
    list.set(found);
    const all = cursors.up === null && cursors.down === null;
    byId("history-count").textContent = `${number(found.length)}${all ? "" : " and more"}`;
  } finally {
    loading = false;
    if (mine !== round) more();
  }
}

export function load() {
  round += 1;
  found = [];
  cursors = {};
  return more();
}

export function start() {
  list = new VirtualList(byId("history-list"), {
    row,
    empty: () => element("p", { class: "empty" }, "Nothing yet."),
    nearEnd: () => found.length && more(),
  });
  let typed;
  byId("history-find").addEventListener("input", () => {
    clearTimeout(typed);
    typed = setTimeout(load, 200);
  });
}
