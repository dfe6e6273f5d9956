// The page of a portal: choosing, dropping, sending, pausing, resuming.
"use strict";

import { Memory, Over, Refused, Sender, walk } from "./sender.js";

const MOST_SHOWN = 200;
const MOST_REFUSED_SHOWN = 5;
const element = (id) => document.getElementById(id);
const form = element("portal");
const title = document.title;
const chosen = new Map();
const rows = new Map();
let state = "choosing"; // choosing, sending, paused
let earlier = null; // an upload interrupted before the page was opened: {pack, files}
let speed = [];
let refused = []; // what was chosen and is not accepted: {name, reason}

// What the portal accepts, as the hub would check it.
const limits = form
  ? {
      types: form.dataset.types ? form.dataset.types.split(" ") : [],
      exclude: form.dataset.exclude === "true",
      fileSize: Number(form.dataset.maxFileSize || 0),
      count: Number(form.dataset.maxFileCount || 0),
      total: Number(form.dataset.maxPackageSize || 0),
    }
  : null;

const size = (bytes) => {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (bytes >= 1000 && unit < units.length - 1) {
    bytes /= 1000;
    unit += 1;
  }
  return `${bytes.toFixed(unit ? 1 : 0)} ${units[unit]}`;
};

const duration = (seconds) => {
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min`;
};

const count = (number) => `${number} ${number === 1 ? "file" : "files"}`;
const total = () => [...chosen.values()].reduce((sum, { file }) => sum + (file ? file.size : 0), 0);
const files = () => [...chosen.values()].filter(({ file }) => file).length;

const row = (full, { file }) => {
  const line = document.createElement("li");
  const add = (name, text) => {
    const part = document.createElement("span");
    part.className = name;
    part.textContent = text;
    line.append(part);
  };
  add("name", full);
  add("size", file ? size(file.size) : "empty folder");
  const remove = document.createElement("button");
  remove.type = "button";
  remove.className = "bare";
  remove.textContent = "Remove";
  remove.setAttribute("aria-label", `Remove ${full}`);
  remove.disabled = state !== "choosing";
  remove.addEventListener("click", () => {
    chosen.delete(full);
    show();
    element("files").focus();
  });
  line.append(remove);
  return line;
};

const show = () => {
  rows.clear();
  const lines = [];
  for (const [full, item] of chosen) {
    if (lines.length === MOST_SHOWN) break;
    const line = row(full, item);
    rows.set(full, line);
    lines.push(line);
  }
  if (chosen.size > MOST_SHOWN) {
    const more = document.createElement("li");
    more.className = "more";
    more.textContent = `and ${chosen.size - MOST_SHOWN} more`;
    lines.push(more);
  }
  element("list").replaceChildren(...lines);
  element("chosen").textContent = chosen.size ? `${count(files())}, ${size(total())}` : "";
  const choosing = state === "choosing";
  element("about").disabled = !choosing || earlier !== null;
  element("files").disabled = !choosing;
  element("folder").disabled = !choosing;
  element("send").hidden = !choosing;
  element("send").textContent = earlier ? "Resume" : "Send";
  element("send").disabled = files() === 0;
  element("pause").hidden = choosing;
  element("pause").textContent = state === "paused" ? "Resume" : "Pause";
  element("clear").hidden = state === "sending";
  element("clear").textContent = state === "paused" ? "Cancel" : "Clear";
  element("clear").disabled = choosing && chosen.size === 0;
};

/** Why the portal would refuse a file beside those that are chosen; null where it accepts it. */
const objection = (file, full) => {
  const name = file.name.toLowerCase();
  const listed = limits.types.some((end) => name.endsWith(`.${end}`));
  if (limits.types.length && listed === limits.exclude) {
    const types = limits.types.map((end) => `.${end}`).join(", ");
    return limits.exclude ? `this portal does not accept ${types}` : `this portal accepts only ${types}`;
  }
  if (limits.fileSize && file.size > limits.fileSize) {
    return `it has ${size(file.size)}, and this portal accepts files up to ${size(limits.fileSize)}`;
  }
  const before = chosen.get(full);
  if (limits.count && files() + (before && before.file ? 0 : 1) > limits.count) {
    return `this portal accepts up to ${count(limits.count)} at a time`;
  }
  const others = total() - (before && before.file ? before.file.size : 0);
  if (limits.total && others + file.size > limits.total) {
    return `with it there would be ${size(others + file.size)}, and this portal accepts up to ${size(limits.total)}`;
  }
  return null;
};

const choose = (file, path) => {
  if (state !== "choosing") return;
  const full = path ? `${path}/${file.name}` : file.name;
  const reason = objection(file, full);
  if (reason) refused.push({ name: full, reason });
  else chosen.set(full, { file, path });
};

/** Says which files are not accepted, and why. */
const showRefused = () => {
  const lines = refused.slice(0, MOST_REFUSED_SHOWN).map(({ name, reason }) => {
    const line = document.createElement("li");
    const strong = document.createElement("strong");
    strong.textContent = name;
    line.append(strong, ` was not added: ${reason}.`);
    return line;
  });
  if (refused.length > MOST_REFUSED_SHOWN) {
    const more = document.createElement("li");
    more.textContent = `and ${count(refused.length - MOST_REFUSED_SHOWN)} more`;
    lines.push(more);
  }
  element("refused").replaceChildren(...lines);
};

const chooseAll = (input) => {
  refused = [];
  for (const file of input.files) {
    choose(file, (file.webkitRelativePath || "").split("/").slice(0, -1).join("/"));
  }
  // So that the same file can be chosen again after it was removed.
  input.value = "";
  showRefused();
  show();
};

const chooseFolder = (folder, path, full) => {
  if (state === "choosing") chosen.set(full, { folder, path });
};

const progress = (sent, full, ofFile) => {
  const all = total();
  element("progress").value = all ? sent / all : 1;
  document.title = `${all ? Math.floor((100 * sent) / all) : 100}% · ${title}`;
  const line = rows.get(full);
  const { file } = chosen.get(full);
  if (line) line.style.backgroundSize = `${file.size ? (100 * ofFile) / file.size : 100}% 100%`;
  const now = performance.now();
  speed.push([now, sent]);
  while (speed.length > 2 && now - speed[0][0] > 10000) speed.shift();
  const [since, before] = speed[0];
  const rate = now - since > 1000 ? (1000 * (sent - before)) / (now - since) : 0;
  const left = rate > 0 ? ` · ${size(rate)}/s · ${duration((all - sent) / rate)} left` : "";
  if (state === "sending") element("status").textContent = `${size(sent)} of ${size(all)} sent${left}`;
};

const preparing = (done, all) => {
  if (state === "sending" && done < all) element("status").textContent = `Preparing: ${done} of ${count(all)}`;
};

const retry = () => {
  if (state === "sending") element("status").textContent = "The connection was interrupted. Trying again…";
};

const rest = (reason, seconds) => {
  if (state === "sending") element("status").textContent = `${reason.replace(/[.!]$/, "")}. Trying again in ${duration(seconds)}.`;
};

const about = () => {
  const value = (id) => (element(id) ? element(id).value : "");
  const fields = {};
  for (const input of form.querySelectorAll("[data-field]")) {
    if (input.value) fields[input.dataset.field] = input.value;
  }
  return {
    name: value("name"),
    sender: value("sender"),
    description: value("description"),
    access_code: value("code"),
    custom_metadata: fields,
  };
};

/** Files of the interrupted upload that have not been chosen again: without them the package cannot be finalized. */
const missing = () => (earlier ? earlier.files.filter((file) => !file.done && !chosen.has(file.path)) : []);

const start = async (sender) => {
  const lost = missing();
  if (lost.length) {
    const names = lost.slice(0, 3).map((file) => file.path).join(", ");
    element("problem").textContent = `Choose these files again, or start over:  ${names}${lost.length > 3 ? ", …" : ""}`;
    return;
  }
  const already = earlier ? earlier.files.filter((file) => file.done && !file.folder && !chosen.has(file.path)).length : 0;
  const sending = files() + already;
  state = "sending";
  speed = [];
  element("problem").textContent = "";
  refused = [];
  showRefused();
  element("thanks").hidden = true;
  element("progress").hidden = false;
  show();
  try {
    await sender.run(chosen.values(), about());
    chosen.clear();
    earlier = null;
    state = "choosing";
    element("earlier").hidden = true;
    element("progress").hidden = true;
    element("status").textContent = "";
    element("thanks").textContent = `Everything has been sent (${count(sending)}). Thank you.`;
    element("thanks").hidden = false;
    element("thanks").focus();
  } catch (error) {
    await failed(sender, error);
  }
  document.title = state === "paused" ? `Paused · ${title}` : title;
  show();
};

/** What to do depends on what went wrong: stopped by the sender, refused by the hub, over on the hub, or interrupted. */
const failed = async (sender, error) => {
  if (error.name === "AbortError") {
    state = "paused";
    element("status").textContent = "Paused. You may close this page: choose the same files here again to resume.";
    return;
  }
  state = "choosing";
  element("progress").hidden = true;
  element("status").textContent = "";
  element("problem").textContent = error.message;
  // What the hub refuses would be refused again: nothing is kept there, and everything can be changed.
  if (error instanceof Refused && !(error instanceof Over)) await sender.discard();
  await recall(sender.memory);
  if (error instanceof Refused) element("problem").focus();
};

/** What was begun before. */
const recall = async (memory) => {
  const pack = await memory.get("package");
  earlier = pack ? { pack, files: await memory.all("file") } : null;
  element("earlier").hidden = !earlier;
  if (!earlier) return;
  element("sender").value = pack.sender;
  element("name").value = pack.name;
  const begunFiles = earlier.files.filter((file) => !file.folder);
  const done = begunFiles.filter((file) => file.done).length;
  const parts = begunFiles.length - done;
  const begun = parts ? `, ${count(parts)} partly sent` : "";
  element("earlier-text").textContent =
    `“${pack.name}”: ${count(done)} sent${begun}. Choose or drop the same files again to resume where it stopped.`;
};

const wire = (sender) => {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    start(sender);
  });
  element("pause").addEventListener("click", () => (state === "paused" ? start(sender) : sender.pause()));
  const anew = async () => {
    await sender.discard();
    refused = [];
    showRefused();
    document.title = title;
    earlier = null;
    chosen.clear();
    state = "choosing";
    element("earlier").hidden = true;
    element("progress").hidden = true;
    element("status").textContent = "";
    element("problem").textContent = "";
    show();
  };
  element("anew").addEventListener("click", anew);
  element("clear").addEventListener("click", () => {
    if (state === "paused") return anew();
    chosen.clear();
    refused = [];
    showRefused();
    return show();
  });
  element("files").addEventListener("change", (event) => chooseAll(event.target));
  element("folder").addEventListener("change", (event) => chooseAll(event.target));
  // The whole page accepts drops: a file that misses the box must not replace the page.
  const drop = element("drop");
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) drop.classList.remove("over");
  });
  document.addEventListener("drop", async (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    // The entries are gone after the first await: collect them all first.
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean);
    refused = [];
    for (const entry of entries) await walk(entry, "", { file: choose, folder: chooseFolder });
    showRefused();
    show();
  });
  window.addEventListener("beforeunload", (event) => {
    if (state === "sending") event.preventDefault();
  });
};

if (form) {
  const memory = await Memory.open(form.dataset.portal);
  await recall(memory);
  wire(new Sender(memory, { preparing, progress, rest, retry }));
  form.hidden = false;
  show();
}
