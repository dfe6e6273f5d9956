// The list of transfers that are active, waiting, failed or recently completed, and the figures above it.

import * as api from "./api.js";
import { byId, complain, element } from "./dom.js";
import { bytes, duration, number, plural, speed } from "./format.js";
import { known, load, onChange } from "./known.js";
import { row } from "./row.js";
import { Selection } from "./selection.js";
import { look } from "./transfer.js";
import { VirtualList } from "./virtual.js";

const LATELY = 60 * 60 * 1000;
const SORT = "masv-sort";

let filter = "all";
let search = "";
let list;
let shown = [];
const selection = new Selection(() => show(), () => shown.map((transfer) => transfer.id));

const filters = [
  ["all", "All", () => true],
  ["sending", "Active", (transfer) => transfer.state === "transferring" && transfer.activity !== "queued"],
  ["waiting", "Waiting", (transfer) => ["paused", "idle"].includes(transfer.state) || transfer.activity === "queued"],
  ["failed", "Failed", (transfer) => transfer.state === "error"],
  ["done", "Recently done", (transfer) => transfer.state === "complete"],
];

const byName = (one, other) => one.name.localeCompare(other.name, undefined, { numeric: true });
const byTime = (one, other) => (one.id < other.id ? 1 : -1);
const orders = {
  state: (one, other) => look(one).rank - look(other).rank || one.order - other.order || (one.id < other.id ? -1 : 1),
  newest: byTime,
  name: (one, other) => byName(one, other) || byTime(one, other),
  size: (one, other) => other.size - one.size || byTime(one, other),
  left: (one, other) => (one.size - one.progress) - (other.size - other.progress) || byTime(one, other),
  rule: (one, other) => (one.rule ?? "￿").localeCompare(other.rule ?? "￿") || byTime(one, other),
};

function chosen() {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const [rule, way] = [byId("of-rule").value, byId("of-way").value];
  return [...known.values()].filter((transfer) => {
    const text = [transfer.name, transfer.rule, transfer.id, transfer.portal?.subdomain, ...(transfer.recipients ?? [])].join(" ").toLowerCase();
    return words.every((word) => text.includes(word)) && (!way || transfer.way === way)
      && (!rule || (rule === "-" ? !transfer.rule : transfer.rule === rule.slice(1)));
  });
}

let drawing;
export function show() {
  drawing ??= requestAnimationFrame(() => {
    drawing = undefined;
    const oldest = Date.now() - LATELY;
    for (const [id, transfer] of known) {
      if (transfer.state === "complete" && Date.parse(transfer.completed_at) < oldest) known.delete(id);
    }
    rulesToChoose();
    // While another view was shown it had no width.
    if (byId("curve").clientWidth && !byId("curve").width) plot();
    const found = chosen();
    shown = found.filter(filters.find(([name]) => name === filter)[2]).sort(orders[byId("sort").value] ?? orders.state);
    selection.draw();
    list.set(shown);
    chips(found);
    summary([...known.values()]);
  });
}

function rulesToChoose() {
  const names = [...new Set([...known.values()].map((transfer) => transfer.rule).filter(Boolean))].sort();
  const box = byId("of-rule");
  if (box.dataset.names === names.join()) return;
  const before = box.value;
  box.dataset.names = names.join();
  box.replaceChildren(element("option", { value: "" }, "All rules"), ...names.map((name) => element("option", { value: `=${name}` }, name)),
    element("option", { value: "-" }, "Without a rule"));
  box.value = [...box.options].some((option) => option.value === before) ? before : "";
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
let failing = 0;

// How many rules are failing.
export function rulesStand(count) {
  failing = count;
  show();
}

// The speed of all that is sent and received.
export let pace = 0;

function summary(everything) {
  const moving = everything.filter((transfer) => transfer.state === "transferring");
  const up = moving.filter((transfer) => transfer.way === "up");
  const queued = moving.filter((transfer) => transfer.activity === "queued");
  const failed = everything.filter((transfer) => transfer.state === "error");
  const sum = (transfers, value) => transfers.reduce((total, transfer) => total + value(transfer), 0);
  const now = sum(up, (transfer) => transfer.speed_bps);
  const down = sum(moving, (transfer) => (transfer.way === "down" ? transfer.speed_bps : 0));
  const left = sum(moving, (transfer) => transfer.size - transfer.progress);
  pace = now + down;
  byId("speed").textContent = speed(now) + (down > 0 ? ` ↓ ${speed(down)}` : "");
  byId("left").textContent = bytes(left);
  byId("left-time").textContent = pace > 0 ? `done in ${duration(left / pace)}` : moving.length ? "" : "nothing active";
  byId("queued").textContent = number(queued.length);
  byId("queued-more").textContent = `${number(moving.length - queued.length)} active`;
  byId("failed").textContent = number(failed.length + failing);
  byId("failed-more").textContent = failing
    ? [failed.length && plural(failed.length, "transfer"), plural(failing, "rule")].filter(Boolean).join(", ")
    : failed.length ? "show them" : "none";
  byId("failed-tile").classList.toggle("bad", failed.length + failing > 0);
}

function measure() {
  curve.push([...known.values()].reduce((total, transfer) => total + (transfer.state === "transferring" ? transfer.speed_bps : 0), 0));
  curve.shift();
  plot();
}

// The speed over the last minute and a half.
function plot() {
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

// Moves the focus by so many rows; to the first one if none has it.
export const move = (step) => list.move(step);
export const here = () => list.here();

export function start() {
  list = new VirtualList(byId("list"), {
    row: (transfer) => row(transfer, { selection }),
    version: (transfer) => transfer.version + selection.has(transfer.id),
    empty: () => (search || filter !== "all" || byId("of-rule").value || byId("of-way").value
      ? element("p", { class: "empty" }, "No matching transfers.")
      : element("div", { class: "empty" }, element("p", { class: "big" }, "No transfers"),
        element("p", {}, "Files dropped into a watched folder show up here, and what you send with "),
        element("button", { type: "button", class: "main", onclick: () => byId("send-open").click() }, "Send files"))),
  });
  onChange(show);
  byId("find").addEventListener("input", (event) => {
    search = event.target.value;
    byId("list").scrollTop = 0;
    show();
  });
  byId("sort").value = localStorage.getItem(SORT) ?? "state";
  if (!byId("sort").value) byId("sort").value = "state";
  byId("sort").addEventListener("change", () => localStorage.setItem(SORT, byId("sort").value));
  for (const id of ["sort", "of-rule", "of-way"]) byId(id).addEventListener("change", show);
  byId("failed-tile").addEventListener("click", () => {
    const transfers = [...known.values()].some((transfer) => transfer.state === "error");
    if (failing && !transfers) document.querySelector("[data-go=rules]").click();
    else choose("failed");
  });
  byId("tools-more").addEventListener("click", () => {
    const open = byId("tools").classList.toggle("open");
    byId("tools-more").setAttribute("aria-expanded", String(open));
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
  setInterval(measure, 1000);
}
