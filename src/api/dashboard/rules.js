// The active rules: their folders, which files are waiting and why, when they make packages, what went wrong.

import * as api from "./api.js";
import { byId, button, complain, element, icon, say } from "./dom.js";
import { edit } from "./edit.js";
import { bytes, plural, time } from "./format.js";
import { rulesStand } from "./transfers.js";
import { isFailing, learn } from "./trouble.js";

const SHOWN = 4;
const moods = { watching: "good", polling: "good", starting: "quiet", paused: "quiet", disabled: "quiet", offline: "bad" };
const opened = new Set();
let drawn;

function waits(rule) {
  if (!rule.waiting_count) {
    return element("p", { class: "faint" }, rule.state === "offline" ? "" : "No files waiting.");
  }
  const all = opened.has(rule.name);
  const files = all ? rule.waiting : rule.waiting.slice(0, SHOWN);
  const more = rule.waiting_count - files.length;
  return element("div", {},
    element("ul", { class: "waiting" }, ...files.map((file) => element("li", {},
      element("span", { class: "name", title: file.path }, file.path),
      element("span", { class: "why" }, file.until ? `${file.reason}, until ${time(file.until)}` : file.reason),
      element("span", { class: "faint size" }, bytes(file.size))))),
    more > 0 && !all && button(`${plural(more, "more file", "more files")}`, () => {
      opened.add(rule.name);
      draw();
    }, { kind: "quiet" }),
    more > 0 && all && element("p", { class: "faint" }, `and ${plural(more, "more file", "more files")}`));
}

function card(rule) {
  const steer = (what, done) => async () => {
    await api.send("POST", `/automations/${encodeURIComponent(rule.name)}/${what}`);
    say(`${rule.name}: ${done}`);
    await load();
  };
  const paused = rule.state === "paused";
  const works = rule.enabled !== false;
  const next = rule.next_package ?? rule.next_schedule ?? rule.next_schedules?.[0];
  const packs = { file: "one package per file", folder: "one package per folder", batch: "one package per batch" }[rule.package];
  const target = rule.kind === "download" ? "downloads" : `by ${rule.kind}`;
  return element("article", { class: `card ${moods[rule.state] ?? "quiet"}`, "aria-label": `Rule ${rule.name}` },
    element("div", { class: "head" }, element("h3", {}, rule.name), element("span", { class: "standing" }, rule.state)),
    element("p", { class: "folder", title: rule.watch ?? "" }, icon("folder"), element("span", {}, rule.watch ?? "")),
    element("p", { class: "faint" }, [packs, target].filter(Boolean).join(", ")),
    rule.reason && element("p", { class: rule.state === "offline" ? "trouble" : "faint" }, rule.reason),
    rule.last_error && !rule.last_error.over && !(rule.reason && rule.last_error.message.includes(rule.reason)) && element("div", { class: "trouble" },
      element("p", {}, rule.last_error.message), element("small", {}, time(rule.last_error.at))),
    element("p", { class: "when" }, icon("clock"), element("span", {}, rule.schedule ?? "",
        next && Date.parse(next.replace(/\[.*\]$/, "")) > Date.now() && element("span", { class: "faint" }, ` · next ${time(next)}`))),
    waits(rule),
    rule.last_error?.over && element("p", { class: "faint" }, `Resolved problem (${time(rule.last_error.at)}): ${rule.last_error.message}`),
    element("div", { class: "actions" },
      works && button("Run now", steer("run", "packaging the files that are ready"), { label: `Run now: ${rule.name}` }),
      works && (paused ? button("Resume", steer("resume", "resumed"), { label: `Resume ${rule.name}`, kind: "main" })
        : button("Pause", steer("pause", "paused"), { label: `Pause ${rule.name}` })),
      button("Edit", () => edit({ line: rule.line }), { label: `Edit ${rule.name}` }),
      button(works ? "Disable" : "Enable", async () => {
        await api.send("PATCH", `/automations/${encodeURIComponent(rule.name)}`, { enabled: !works });
        say(`${rule.name}: ${works ? "disabled" : "enabled"}`);
        await load();
      }, { label: `${works ? "Disable" : "Enable"} ${rule.name}`, kind: works ? "" : "main" })));
}

let rules = [];

function draw() {
  const box = byId("rule-cards");
  const text = JSON.stringify(rules) + [...opened].join();
  if (text === drawn) return;
  // A button that has the focus keeps it.
  const held = box.contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") : undefined;
  drawn = text;
  // Rules with problems come first; otherwise the order of the file.
  box.replaceChildren(...[...rules.filter(isFailing), ...rules.filter((rule) => !isFailing(rule))].map(card));
  if (rules.length === 0) {
    box.append(element("div", { class: "empty" }, element("p", { class: "big" }, "No rules"),
      element("p", {}, "A rule sends what is dropped into a folder, or downloads what arrives in a portal."),
      element("button", { type: "button", class: "main", onclick: () => byId("rules-add").click() }, "Make the first one")));
  }
  if (held) box.querySelector(`[aria-label="${CSS.escape(held)}"]`)?.focus();
}

export async function load() {
  const { automations, rules_problem: problem } = await api.get("/automations");
  rules = automations;
  rulesStand(rules.filter(isFailing).length);
  // A rules file that is not valid is reported in every view.
  learn({ rules, refused: problem ?? undefined });
  draw();
}

export function start() {
  byId("rules-edit").addEventListener("click", () => edit().catch(complain));
  byId("rules-add").addEventListener("click", () => edit({ add: true }).catch(complain));
  byId("reload").addEventListener("click", async () => {
    try {
      const { rules: count } = await api.send("POST", "/automations/reload");
      say(`Loaded ${plural(count, "rule")}`);
      await load();
    } catch (error) {
      await load().catch(() => {});
      // What is wrong with the file stands at the top, line by line.
      if (error.message.includes("\n")) say("The rules file cannot be used", "bad");
      else complain(error);
    }
  });
  // The title of a background tab shows problems, too.
  let beats = 0;
  setInterval(() => {
    beats += 1;
    if (document.visibilityState === "visible" || beats % 15 === 0) load().catch(() => {});
  }, 2000);
}

