// Everything that is wrong, at the top of every view and in the title: what failed, what the rules lack, what the doctor found, an
// agent that does not respond.

import * as api from "./api.js";
import { byId, button, element } from "./dom.js";
import { plural, speed, time } from "./format.js";
import { known, onChange } from "./known.js";
import { notify } from "./notices.js";
import { choose, pace } from "./transfers.js";

const EXAMINED_EVERY = 5 * 60 * 1000;
const narrow = window.matchMedia("(max-width: 720px)");

const state = { rules: [], refused: undefined, server: undefined, checks: [], lost: undefined };
let open = false;
let drawn;
let told = new Set();
let orders = { go: () => {}, edit: () => {} };

// What the page has learned since.
export function learn(news) {
  // An agent that is tried again and again has not responded since the first time.
  if (news.lost) news.lost = state.lost ?? news.lost;
  Object.assign(state, news);
  draw();
}

const failed = () => [...known.values()].filter((transfer) => transfer.state === "error");

export const isFailing = (rule) => rule.state === "offline" || (rule.last_error && !rule.last_error.over);

function problems() {
  const found = [];
  const add = (key, short, text, more = {}) => found.push({ key, short, text, mood: "bad", ...more });
  if (state.lost) add("lost", "not responding", `The agent has not responded since ${time(state.lost)}. What is shown here may be old.`);
  if (state.refused) {
    add("rules-file", "rules file not loaded", "The rules file is not loaded; the previous rules stay active.",
      { detail: state.refused, action: ["Edit the rules", () => orders.edit()] });
  }
  const transfers = failed();
  if (transfers.length) {
    const [first] = transfers;
    const text = transfers.length === 1 ? `${first.name} failed: ${first.error?.message ?? ""}` : `${transfers.length} transfers failed`;
    add("transfers", `${transfers.length} failed`, text, { action: ["Show", () => { orders.go("transfers"); choose("failed"); }] });
  }
  for (const rule of state.rules.filter(isFailing)) {
    const why = rule.state === "offline" && rule.reason ? rule.reason : rule.last_error?.message ?? rule.reason;
    // Its failed uploads are said above.
    if (rule.state !== "offline" && rule.last_error?.code === "upload" && transfers.length) continue;
    add(`rule ${rule.name}`, `rule ${rule.name}`, `Rule ${rule.name}: ${why}`, { action: ["Show", () => orders.go("rules")] });
  }
  const said = /^(rule |uploads of |rules file$|links$|mails$|folder of )/;
  for (const check of state.checks.filter(({ grade, name }) => grade !== "green" && !said.test(name))) {
    add(`check ${check.name}`, check.name, `${check.name}: ${check.finding}`, { mood: check.grade === "red" ? "bad" : "warn", detail: check.todo });
  }
  for (const { of, message, hint } of state.server?.limitations ?? []) add(of, of, message, { mood: "warn", detail: hint });
  return found;
}

function item({ mood, text, detail, action }) {
  return element("li", { class: mood },
    element("div", {}, element("p", {}, text), detail && (detail.includes("\n") ? element("pre", { tabindex: 0 }, detail) : element("p", { class: "hint" }, detail))),
    action && button(...action));
}

function draw() {
  const found = problems();
  const bad = found.filter(({ mood }) => mood === "bad");
  title(bad);
  for (const { key, text } of bad) if (!told.has(key)) notify(key, "masv-agent", text);
  told = new Set(bad.map(({ key }) => key));
  const text = JSON.stringify([found, open]);
  if (text === drawn) return;
  drawn = text;
  // Without a click, only what is broken is said, and not more of it than leaves room for the rest.
  const shown = open ? found : bad.slice(0, narrow.matches ? 1 : 2);
  const rest = found.length - shown.length;
  const box = byId("alert");
  const held = box.contains(document.activeElement);
  box.hidden = found.length === 0;
  box.classList.toggle("bad", bad.length > 0);
  box.classList.toggle("open", open);
  const counted = [bad.length && plural(bad.length, "problem"), found.length > bad.length && plural(found.length - bad.length, "note")];
  const fold = button(open ? "Show less" : bad.length ? `Show all: ${counted.filter(Boolean).join(", ")}` : counted.filter(Boolean).join(", "), () => {
    open = !open;
    draw();
  }, { kind: "quiet fold" });
  fold.setAttribute("aria-expanded", String(open));
  box.replaceChildren(...[
    shown.length > 0 && element("ul", {}, ...shown.map(item)),
    (rest > 0 || open) && fold,
  ].filter(Boolean));
  if (held) box.querySelector(".fold, button")?.focus();
}

function title(bad) {
  const failing = bad.filter(({ key }) => key.startsWith("rule ")).length;
  const words = [...bad.filter(({ key }) => !key.startsWith("rule ")).map(({ short }) => short), failing && plural(failing, "rule")].filter(Boolean);
  const name = [state.server?.host, "masv-agent"].filter(Boolean).join(" · ");
  document.title = words.length ? `(${words.join(", ")}) ${name}` : pace > 0 ? `▲ ${speed(pace)} ${name}` : name;
}

async function examine() {
  try {
    learn({ checks: (await api.get("/doctor")).checks });
  } catch (error) {
    console.debug("doctor", error);
  }
}

export function start(given) {
  orders = given;
  onChange(draw);
  narrow.addEventListener("change", () => {
    drawn = undefined;
    draw();
  });
  setInterval(() => examine(), EXAMINED_EVERY);
}

export { examine };
