// Puts the views together and keeps them live.

import * as api from "./api.js";
import { byId, complain, element } from "./dom.js";
import * as details from "./details.js";
import * as history from "./history.js";
import * as keys from "./keys.js";
import * as known from "./known.js";
import { notify } from "./notices.js";
import * as rules from "./rules.js";
import * as send from "./send.js";
import * as settings from "./settings.js";
import { look } from "./transfer.js";
import * as transfers from "./transfers.js";
import * as trouble from "./trouble.js";

const loads = { transfers: known.load, rules: rules.load, history: history.load, settings: settings.load };

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
  trouble.learn({ server, lost: undefined });
  byId("host").textContent = server.host;
  byId("place").textContent = server.embedded_hub ? "sends to its embedded hub" : `sends to ${server.cloud.replace(/^https?:\/\//, "")}`;
  await Promise.all([known.load(), rules.load()]);
  trouble.examine();
}

function event(kind, data) {
  if (kind === "progress") known.progress(data);
  else if (data.upload_id || data.data?.download_id) known.happened(data);
  if (data.rule) rules.load().catch(() => {});
}

transfers.start();
rules.start();
history.start();
details.start();
send.start();
keys.start(go);
trouble.start({ go, edit: () => byId("rules-edit").click() });
known.onEnd((transfer) => {
  const { word } = look(transfer);
  byId("toasts").append(element("p", { class: "unseen" }, `${transfer.name}: ${word}`));
  if (transfer.state === "complete") notify(transfer.id, `${transfer.name} is complete`, transfer.way === "up" ? "It has been sent." : "It has been received.");
});
for (const button of document.querySelectorAll("[data-go]")) button.addEventListener("click", () => go(button.dataset.go));
api.follow({
  opened: () => {
    standing("live", "Live");
    everything().catch(complain);
  },
  event,
  lost: () => {
    standing("lost", "Not responding");
    trouble.learn({ lost: new Date().toISOString() });
  },
});
const first = window.location.hash.slice(1);
if (first in loads && first !== "transfers") go(first);
