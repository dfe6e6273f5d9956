// Puts the views together and keeps them live.

import * as api from "./api.js";
import { byId, complain } from "./dom.js";
import * as history from "./history.js";
import * as rules from "./rules.js";
import * as settings from "./settings.js";
import * as transfers from "./transfers.js";

const loads = { transfers: transfers.load, rules: rules.load, history: history.load, settings: settings.load };

function go(view) {
  document.body.dataset.view = view;
  for (const button of document.querySelectorAll("[data-go]")) {
    if (button.dataset.go === view) button.setAttribute("aria-current", "page");
    else button.removeAttribute("aria-current");
  }
  window.location.replace(`#${view}`);
  transfers.show();
  loads[view]().catch(complain);
}

function standing(state, text) {
  byId("live").dataset.state = state;
  byId("live-text").textContent = text;
}

async function everything() {
  const server = await api.get("/server");
  const limited = (of) => server.limitations.some((limitation) => limitation.of === of);
  byId("place").textContent = [server.embedded_hub ? "sends to its embedded hub" : `sends to ${server.cloud.replace(/^https?:\/\//, "")}`,
    limited("links") && "links work on this machine only", limited("mails") && "e-mails are not delivered"].filter(Boolean).join(" · ");
  byId("place").title = server.limitations.map(({ message, hint }) => `${message}: ${hint}`).join("\n");
  await Promise.all([transfers.load(), rules.load()]);
}

function event(kind, data) {
  if (kind === "progress") transfers.progress(data);
  else if (data.upload_id || data.data?.download_id) transfers.happened(data);
  if (data.rule) rules.load().catch(() => {});
}

function keys(pressed) {
  const typing = pressed.target.matches("input, textarea, select");
  if (pressed.key === "Escape" && typing) pressed.target.blur();
  if (typing || pressed.ctrlKey || pressed.metaKey || pressed.altKey || document.querySelector("dialog[open]")) return;
  const view = { 1: "transfers", 2: "rules", 3: "history", 4: "settings" }[pressed.key];
  if (view) go(view);
  if (pressed.key === "/") {
    pressed.preventDefault();
    (document.body.dataset.view === "history" ? byId("history-find") : byId("find")).focus();
  }
}

transfers.start();
rules.start();
history.start();
for (const button of document.querySelectorAll("[data-go]")) button.addEventListener("click", () => go(button.dataset.go));
document.addEventListener("keydown", keys);
api.follow({
  opened: () => {
    standing("live", "Live");
    everything().catch(complain);
  },
  event,
  lost: () => standing("lost", "The agent is not responding"),
});
const first = window.location.hash.slice(1);
if (first in loads && first !== "transfers") go(first);
