// Transfers that are active, waiting, failed or recently completed. All of them are loaded at the start and after a lost
// connection; events and progress keep it up to date.

import * as api from "./api.js";
import { byId, button, copy, element, icon, complain } from "./dom.js";
import { details, linkOf } from "./details.js";
import { bytes, duration, number, plural, speed, time, until } from "./format.js";
import { VirtualList } from "./virtual.js";

const LATELY = 60 * 60 * 1000;
const FETCHED_AT_ONCE = 20;

const known = new Map();
const changed = new Set();
let filter = "all";
let search = "";
let list;
let asked;

const filters = [
  ["all", "All", () => true],
  ["sending", "Active", (transfer) => transfer.state === "transferring" && transfer.activity !== "queued"],
  ["waiting", "Waiting", (transfer) => ["paused", "idle"].includes(transfer.state) || transfer.activity === "queued"],
  ["failed", "Failed", (transfer) => transfer.state === "error"],
  ["done", "Recently done", (transfer) => transfer.state === "complete"],
];

// How a transfer is shown: a word, a symbol, a colour, and where it comes in the list.
export function look(transfer) {
  const { state, activity } = transfer;
  if (state === "error") return { word: "Failed", symbol: "alert", mood: "bad", rank: 0 };
  if (state === "idle") return { word: "Waiting to be finalized", symbol: "clock", mood: "warn", rank: 3 };
  if (state === "paused") return { word: "Paused", symbol: "pause", mood: "quiet", rank: 5 };
  if (state === "complete") return { word: "Complete", symbol: "check", mood: "good", rank: 6 };
  if (activity === "retrying") return { word: "Retrying", symbol: "retry", mood: "warn", rank: 1 };
  if (activity === "queued") return { word: "Queued", symbol: "clock", mood: "quiet", rank: 4 };
  const words = { creating: "Creating the package", opening: "Opening the link", sending: "Sending", receiving: "Receiving",
    verifying: "Verifying", finalizing: "Finalizing" };
  return { word: words[activity] ?? activity, symbol: transfer.way, mood: "busy", rank: 2 };
}

// Adds to a transfer of the API what the page needs.
export function read(transfer, way) {
  const order = transfer.state === "complete" ? -Date.parse(transfer.completed_at) : -transfer.priority;
  return { ...transfer, way, path: `/${way === "up" ? "uploads" : "downloads"}/${transfer.id}`, order,
    version: JSON.stringify(transfer) };
}

export async function act(transfer, what) {
  const answer = await api.send("POST", `${transfer.path}/${what}`);
  put(answer, transfer.way);
}

export async function remove(transfer) {
  const lost = transfer.state === "complete"
    ? `Remove ${transfer.name} from the list? The package stays available to its recipients.`
    : `Cancel ${transfer.name}? The part of it that has been sent is removed from the cloud. Local files are kept.`;
  if (!window.confirm(lost)) return false;
  await api.send("DELETE", transfer.path);
  known.delete(transfer.id);
  show();
  return true;
}

function tail(transfer) {
  const parts = [];
  if (transfer.speed_bps > 0) parts.push(speed(transfer.speed_bps));
  if (transfer.eta_seconds !== null && transfer.activity !== "queued") parts.push(`${duration(transfer.eta_seconds)} left`);
  if (transfer.state === "complete") parts.push(time(transfer.completed_at));
  return parts.join(" · ");
}

function story(transfer, { word }) {
  const { error } = transfer;
  if (transfer.state === "error" || (error && transfer.activity === "retrying")) {
    const next = transfer.next_retry_at ? ` Next attempt in ${until(transfer.next_retry_at)}.` : "";
    return [error?.message, error?.hint].filter(Boolean).join(" — ") + next;
  }
  const parts = [word];
  const some = transfer.state !== "complete" && transfer.progress > 0;
  if (transfer.file_count > 1) {
    parts.push(some ? `${number(transfer.files_done)} of ${plural(transfer.file_count, "file")}` : plural(transfer.file_count, "file"));
  }
  parts.push(some ? `${bytes(transfer.progress)} of ${bytes(transfer.size)}` : bytes(transfer.size));
  if (transfer.state === "complete" && transfer.started_at) {
    parts.push(`took ${duration((Date.parse(transfer.completed_at) - Date.parse(transfer.started_at)) / 1000)}`);
  }
  return parts.join(" · ");
}

// The short form for narrow screens: the time left, or when it was completed.
function shortly(transfer, shown) {
  const when = tail(transfer);
  if (!when || shown.mood === "bad" || transfer.activity === "retrying") return story(transfer, shown);
  return `${when} · ${transfer.state === "complete" ? bytes(transfer.size) : `${bytes(transfer.size - transfer.progress)} left`}`;
}

export function bar(transfer) {
  const share = (count) => (transfer.size > 0 ? Math.min(100, (count / transfer.size) * 100) : 0);
  const done = transfer.state === "complete" ? 100 : share(transfer.progress);
  const made = element("div", { class: "progress", role: "progressbar", "aria-label": "Progress", "aria-valuemin": 0,
    "aria-valuemax": 100, "aria-valuenow": Math.floor(done) }, element("i"), element("b"));
  made.children[0].style.width = `${share(transfer.progress + transfer.in_flight)}%`;
  made.children[1].style.width = `${done}%`;
  return made;
}

// Symbols in the list, words in the details; `gone` is called once the transfer has been removed.
export function buttons(transfer, { words = false, gone = () => {} } = {}) {
  const { state } = transfer;
  const word = (text) => (words ? text : "");
  const link = linkOf(transfer);
  return [
    state === "idle" && button("Finalize", () => act(transfer, "finalize"), { kind: "main", label: `Finalize ${transfer.name}` }),
    state === "error" && button("Try again", () => act(transfer, "resume"), { label: `Try ${transfer.name} again` }),
    link && button("", () => copy(link), { symbol: "link", label: `Copy the link to ${transfer.name}`, kind: "copy" }),
    state === "transferring" && button(word("Pause"), () => act(transfer, "pause"), { symbol: "pause", label: `Pause ${transfer.name}` }),
    state === "paused" && button(word("Resume"), () => act(transfer, "resume"), { symbol: "play", label: `Resume ${transfer.name}` }),
    button(word("Remove"), async () => (await remove(transfer)) && gone(), { symbol: "close", label: `Remove ${transfer.name}` }),
  ];
}

export function row(transfer) {
  const shown = look(transfer);
  const percent = transfer.size > 0 ? `${Math.floor(((transfer.progress + transfer.in_flight) / transfer.size) * 100)}%` : "";
  const made = element("article", { class: `row ${shown.mood}`, "aria-label": `${transfer.name}: ${shown.word}` },
    element("span", { class: "state", title: shown.word }, icon(shown.symbol)),
    element("div", { class: "what" },
      element("p", { class: "title" },
        element("span", { class: "name", title: transfer.name ?? "" }, transfer.name ?? "Unnamed package"),
        transfer.rule && element("span", { class: "tag" }, transfer.rule),
        transfer.priority !== 0 && element("span", { class: "tag" }, `priority ${transfer.priority}`),
        element("span", { class: "tail" }, tail(transfer)),
        transfer.state !== "complete" && element("span", { class: "percent" }, percent)),
      bar(transfer),
      element("p", { class: "story", title: story(transfer, shown) },
        element("span", { class: "broad" }, story(transfer, shown)), element("span", { class: "narrow" }, shortly(transfer, shown)))),
    element("div", { class: "buttons" }, ...buttons(transfer)));
  made.addEventListener("click", (event) => {
    if (!event.target.closest("button")) details(known.get(transfer.id) ?? transfer);
  });
  made.addEventListener("keydown", (event) => {
    if (event.target !== made || event.ctrlKey || event.metaKey || event.altKey) return;
    const current = known.get(transfer.id) ?? transfer;
    const orders = {
      Enter: () => details(current),
      p: () => act(current, current.state === "transferring" ? "pause" : "resume"),
      c: () => linkOf(current) && copy(linkOf(current)),
      Delete: () => remove(current),
    };
    if (!orders[event.key]) return;
    event.preventDefault();
    Promise.resolve(orders[event.key]()).catch(complain);
  });
  return made;
}

function put(transfer, way) {
  const before = known.get(transfer.id);
  known.set(transfer.id, read(transfer, way));
  if (before && before.state !== transfer.state && ["complete", "error"].includes(transfer.state)) {
    byId("toasts").append(element("p", { class: "unseen" }, `${transfer.name}: ${look(known.get(transfer.id)).word}`));
  }
  show();
}

// The current state of one transfer; for the other views.
export const current = (id) => known.get(id);

let drawing;
export function show() {
  drawing ??= requestAnimationFrame(() => {
    drawing = undefined;
    const oldest = Date.now() - LATELY;
    for (const [id, transfer] of known) {
      if (transfer.state === "complete" && Date.parse(transfer.completed_at) < oldest) known.delete(id);
    }
    const everything = [...known.values()];
    const words = search.toLowerCase();
    const found = words
      ? everything.filter((transfer) => `${transfer.name} ${transfer.rule ?? ""} ${transfer.id}`.toLowerCase().includes(words))
      : everything;
    const chosen = found.filter(filters.find(([name]) => name === filter)[2]);
    const ranks = new Map(chosen.map((transfer) => [transfer.id, look(transfer).rank]));
    chosen.sort((one, other) => ranks.get(one.id) - ranks.get(other.id) || one.order - other.order || (one.id < other.id ? -1 : 1));
    list.set(chosen);
    chips(found);
    summary(everything);
  });
}

function chips(found) {
  const box = byId("chips");
  if (!box.children.length) {
    for (const [name, text] of filters) {
      box.append(element("button", { type: "button", "data-filter": name, onclick: () => choose(name) },
        element("span", {}, text), element("span", { class: "count" })));
    }
  }
  filters.forEach(([name, , test], index) => {
    const chip = box.children[index];
    chip.setAttribute("aria-pressed", name === filter);
    chip.lastChild.textContent = number(found.filter(test).length);
  });
}

export function choose(name) {
  filter = name;
  byId("list").scrollTop = 0;
  show();
}

const curve = new Array(90).fill(0);
let rules = { failing: 0, refused: false };

// How many rules are failing, and whether the rules file was rejected.
export function rulesStand(now) {
  rules = now;
  show();
}

function summary(everything) {
  const moving = everything.filter((transfer) => transfer.state === "transferring");
  const up = moving.filter((transfer) => transfer.way === "up");
  const queued = moving.filter((transfer) => transfer.activity === "queued");
  const failed = everything.filter((transfer) => transfer.state === "error");
  const sum = (transfers, value) => transfers.reduce((total, transfer) => total + value(transfer), 0);
  const now = sum(up, (transfer) => transfer.speed_bps);
  const down = sum(moving, (transfer) => (transfer.way === "down" ? transfer.speed_bps : 0));
  const left = sum(moving, (transfer) => transfer.size - transfer.progress);
  byId("speed").textContent = speed(now) + (down > 0 ? ` ↓ ${speed(down)}` : "");
  byId("left").textContent = bytes(left);
  byId("left-time").textContent = now + down > 0 ? `${duration(left / (now + down))} at this speed` : moving.length ? "" : "no active transfers";
  byId("queued").textContent = number(queued.length);
  byId("queued-more").textContent = `${number(moving.length - queued.length)} active`;
  const trouble = failed.length + rules.failing;
  byId("failed").textContent = number(trouble);
  byId("failed-more").textContent = rules.failing
    ? [failed.length && plural(failed.length, "transfer"), plural(rules.failing, "rule")].filter(Boolean).join(", ")
    : failed.length ? "show them" : "none";
  byId("failed-tile").classList.toggle("bad", trouble > 0);
  const told = [rules.refused && "rules file rejected", trouble && `${trouble} failed`].filter(Boolean);
  document.title = told.length ? `(${told.join(", ")}) masv-agent` : now ? `▲ ${speed(now)} masv-agent` : "masv-agent";
  return now;
}

// The speed over the last minute and a half.
function plot() {
  const moving = [...known.values()].filter((transfer) => transfer.state === "transferring");
  curve.push(moving.reduce((total, transfer) => total + transfer.speed_bps, 0));
  curve.shift();
  const canvas = byId("curve");
  const { clientWidth: width, clientHeight: height } = canvas;
  const scale = window.devicePixelRatio || 1;
  canvas.width = width * scale;
  canvas.height = height * scale;
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  const top = Math.max(...curve, 1);
  const x = (index) => (index / (curve.length - 1)) * width;
  const y = (value) => height - 2 - (value / top) * (height - 6);
  pen.beginPath();
  curve.forEach((value, index) => (index ? pen.lineTo(x(index), y(value)) : pen.moveTo(0, y(value))));
  const colour = getComputedStyle(canvas).color;
  pen.strokeStyle = colour;
  pen.lineWidth = 2;
  pen.lineJoin = "round";
  pen.stroke();
  pen.lineTo(width, height);
  pen.lineTo(0, height);
  pen.globalAlpha = 0.14;
  pen.fillStyle = colour;
  pen.fill();
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
  show();
}

// The active transfers, from the event stream.
export function progress({ uploads, downloads }) {
  for (const transfer of uploads) known.set(transfer.id, read(transfer, "up"));
  for (const transfer of downloads) known.set(transfer.id, read(transfer, "down"));
  show();
}

// Something happened to a transfer: it is loaded again, together with the others that change at the same time.
export function happened(event) {
  const id = event.upload_id ?? event.data?.download_id;
  if (!id) return;
  changed.add(event.upload_id ? `up ${id}` : `down ${id}`);
  asked ??= setTimeout(lookAgain, 200);
}

async function lookAgain() {
  asked = undefined;
  const wanted = [...changed];
  changed.clear();
  try {
    if (wanted.length > FETCHED_AT_ONCE) return await load();
    await Promise.all(wanted.map(async (one) => {
      const [way, id] = one.split(" ");
      try {
        put(await api.get(`/${way === "up" ? "uploads" : "downloads"}/${id}`), way);
      } catch (error) {
        if (error.status !== 404) throw error;
        known.delete(id);
        show();
      }
    }));
  } catch (error) {
    console.debug("reloading", error);
  }
}

export function start() {
  list = new VirtualList(byId("list"), {
    row,
    empty: () => (search || filter !== "all"
      ? element("p", { class: "empty" }, "No matching transfers.")
      : element("div", { class: "empty" }, element("p", { class: "big" }, "No transfers"),
        element("p", {}, "Files dropped into a watched folder show up here."))),
  });
  byId("find").addEventListener("input", (event) => {
    search = event.target.value;
    byId("list").scrollTop = 0;
    show();
  });
  byId("failed-tile").addEventListener("click", () => {
    const transfers = [...known.values()].some((transfer) => transfer.state === "error");
    if (rules.failing && !transfers) document.querySelector("[data-go=rules]").click();
    else choose("failed");
  });
  for (const [id, what] of [["pause-all", "pause"], ["resume-all", "resume"]]) {
    byId(id).addEventListener("click", async () => {
      try {
        await Promise.all([api.send("POST", `/uploads/${what}`), api.send("POST", `/downloads/${what}`)]);
        await load();
      } catch (error) {
        complain(error);
      }
    });
  }
  setInterval(plot, 1000);
}

