// The keyboard, wherever the focus is, and the page that says what the keys do.

import { byId, element } from "./dom.js";
import * as history from "./history.js";
import { page } from "./reader.js";
import { KEYS } from "./row.js";
import * as transfers from "./transfers.js";

const VIEWS = { 1: "transfers", 2: "rules", 3: "history", 4: "settings" };
const STEPS = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1 };

const TOLD = [
  ["1 2 3 4", "Transfers, rules, history, settings"],
  ["n", "Send files"],
  ["/", "Search"],
  ["j k ↓ ↑", "Next and previous row"],
  ["Enter", "Details"],
  ["x", "Select; with Shift and a click, everything up to there"],
  ["p", "Pause or resume"],
  ["c", "Copy the link"],
  ["Delete", "Remove, after asking"],
  ["?", "This help"],
  ["Esc", "Close, leave the search"],
];

const PAGES = [
  ["dashboard", "The dashboard"], ["tutorial", "Ten minutes from clone to link"], ["rules", "Rules"], ["uploads", "Uploads"],
  ["downloads", "Downloads"], ["settings", "Settings"], ["errors", "Errors by code"], ["cli", "Command line"], ["hub", "Your own hub"],
  ["README", "All pages"],
];

// Links to the documentation, which the agent has with it.
export const documents = () => element("ul", { class: "documents" }, ...PAGES.map(([file, title]) => element("li", {}, page(`${file}.md`, title))));

export function help() {
  const dialog = byId("help");
  dialog.replaceChildren(
    element("div", { class: "head" }, element("h2", { id: "help-title" }, "Keyboard and documentation"),
      element("button", { type: "button", onclick: () => dialog.close() }, "Close")),
    element("dl", { class: "keys" }, ...TOLD.flatMap(([keys, does]) => [
      element("dt", {}, ...keys.split(" ").map((key) => element("kbd", {}, key))), element("dd", {}, does)])),
    element("h3", {}, "Documentation"), documents());
  if (!dialog.open) dialog.showModal();
}

export function start(go) {
  document.addEventListener("keydown", (pressed) => {
    const { target, key } = pressed;
    const typing = target.matches("input, textarea, select");
    if (key === "Escape" && typing && !target.closest("dialog")) target.blur();
    if (typing || pressed.ctrlKey || pressed.metaKey || pressed.altKey || document.querySelector("dialog[open]")) return;
    if (VIEWS[key]) return go(VIEWS[key]);
    const orders = {
      "?": help,
      n: () => byId("send-open").click(),
      "/": () => (document.body.dataset.view === "history" ? byId("history-find") : (go("transfers"), byId("find"))).focus(),
    };
    const view = document.body.dataset.view;
    const list = view === "history" ? history : view === "settings" ? undefined : transfers;
    let done = orders[key];
    if (!done && list && STEPS[key]) done = () => list.move(STEPS[key]);
    // On a button, Enter presses that.
    const pressing = key === "Enter" && target.closest("a, button, summary");
    if (!done && list && (KEYS[key] || key === "x") && !pressing) done = () => list.here()?.perform(key);
    if (!done) return;
    pressed.preventDefault();
    done();
  });
  byId("help-open").addEventListener("click", help);
}
