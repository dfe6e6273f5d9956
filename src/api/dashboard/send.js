// Sends files and folders, of the agent's machine or of the browser's, by link, by e-mail or into a portal.

import * as api from "./api.js";
import { choose } from "./chooser.js";
import { ask, byId, button, complain, element, icon, say } from "./dom.js";
import { details } from "./details.js";
import { bytes, plural } from "./format.js";
import { put } from "./known.js";
import { dropped, stream } from "./spool.js";

const SENDER = "masv-sender";

function field(label, attributes, name = "input") {
  const input = element(name, attributes);
  return { input, node: element("label", {}, input, element("span", {}, label)) };
}

// What takes files that are dropped while the dialog is open.
let accept;

function open(own = []) {
  const dialog = byId("send");
  const chosen = new Map();
  // Files of the browser's machine, by their paths in the package.
  const mine = new Map();
  // While they are sent to the agent; and the id by which they are ordered, once it has them.
  let sending;
  let held;
  // The same order, should it have to be repeated, is one upload.
  const key = crypto.getRandomValues(new Uint32Array(4)).join("-");
  const list = element("ul", { class: "entries chosen" });
  const trouble = element("p", { class: "trouble", role: "alert" });
  const emails = field("Recipients, separated by commas", { type: "text", autocomplete: "off", placeholder: "client@example.com, editor@example.com" });
  const portal = field("Portal: its name or address", { type: "text", autocomplete: "off" });
  const sender = field("Your e-mail address", { type: "email", autocomplete: "email", value: localStorage.getItem(SENDER) ?? "" });
  const name = field("Name of the package", { type: "text", autocomplete: "off", placeholder: "that of the first file or folder" });
  const message = field("Message", { rows: 3 }, "textarea");
  const password = field("Password", { type: "password", autocomplete: "new-password" });
  const days = field("Days until it expires", { type: "number", min: 1, placeholder: "as the team has it" });
  const limit = field("Downloads allowed", { type: "number", min: 1, placeholder: "no limit" });
  const exclude = field("Leave out, patterns separated by commas", { type: "text", placeholder: "*.tmp, proxies/**", autocomplete: "off" });
  const kinds = ["link", "email", "portal"];
  const words = { link: "By link", email: "By e-mail", portal: "Into a portal" };
  const ways = kinds.map((kind) => element("input", { type: "radio", name: "kind", value: kind, checked: kind === "link" }));
  const kind = () => ways.find((way) => way.checked).value;
  const start = element("button", { type: "submit", class: "main" }, "Send");

  const progress = element("progress", { max: 1, value: 0, "aria-label": "Sent to the agent" });
  const standing = element("p", { class: "faint", role: "status" });
  const way = element("div", { class: "sending", hidden: true }, progress, standing);

  // What was dropped as one is shown as one.
  function tops() {
    const found = new Map();
    for (const [path, file] of mine) {
      const [top, ...rest] = path.split("/");
      const known = found.get(top) ?? { folder: rest.length > 0, files: 0, size: 0 };
      found.set(top, { folder: known.folder, files: known.files + 1, size: known.size + file.size });
    }
    return found;
  }

  // What the agent has is not what is wanted any more.
  function giveUp() {
    if (held) api.send("DELETE", `/spools/${held}`).catch(() => {});
    held = undefined;
  }

  function take(files) {
    giveUp();
    for (const { path, file } of files) mine.set(path, file);
    draw();
  }

  function draw() {
    const ours = [...tops()].map(([top, { folder, files, size }]) => element("li", {}, icon(folder ? "folder" : "file"),
      element("span", { class: "path", title: top }, folder ? `${top} (${plural(files, "file", "files")})` : top),
      element("span", { class: "faint size" }, bytes(size)),
      button("", () => {
        giveUp();
        for (const path of [...mine.keys()]) if (path === top || path.startsWith(`${top}/`)) mine.delete(path);
        draw();
      }, { symbol: "close", label: `Do not send ${top}` })));
    list.replaceChildren(...ours, ...[...chosen.values()].map((entry) => element("li", {}, icon(entry.folder ? "folder" : "file"),
      element("span", { class: "path", title: entry.path }, entry.path),
      entry.size !== undefined && element("span", { class: "faint size" }, bytes(entry.size)),
      button("", () => {
        chosen.delete(entry.path);
        draw();
      }, { symbol: "close", label: `Do not send ${entry.path}` }))));
    emails.node.hidden = kind() !== "email";
    portal.node.hidden = sender.node.hidden = kind() !== "portal";
    days.node.hidden = limit.node.hidden = kind() === "portal";
    for (const [{ input }, of] of [[emails, "email"], [portal, "portal"], [sender, "portal"]]) input.required = kind() === of;
    start.disabled = Boolean(sending) || chosen.size + mine.size === 0;
  }

  async function add() {
    for (const entry of (await choose({ title: "Choose files and folders", many: true, yes: "Add" })) ?? []) chosen.set(entry.path, entry);
    draw();
  }

  const given = ({ input }) => input.value.trim() || undefined;
  const split = (text) => (text ?? "").split(/[,;\s]+/).filter(Boolean);
  const count = ({ input }) => (input.value ? Number(input.value) : undefined);

  // Files of this machine go to the agent first; only when it has them all is anything ordered.
  async function handOver() {
    if (!mine.size) return undefined;
    const files = [...mine].map(([path, file]) => ({ path, file }));
    const whole = files.reduce((sum, { file }) => sum + file.size, 0);
    const begun = Date.now();
    sending = new AbortController();
    for (const part of form.children) part.inert = part !== way && !part.contains(cancel);
    way.hidden = false;
    const told = (received) => {
      progress.value = whole ? received / whole : 1;
      const speed = received / Math.max(1, (Date.now() - begun) / 1000);
      standing.textContent = `${bytes(received)} of ${bytes(whole)} sent to the agent, ${bytes(speed)}/s. Keep this page open.`;
    };
    told(0);
    try {
      return await stream(files, { told, signal: sending.signal, waiting: (is) => {
        if (is) standing.textContent = "The agent is not responding; trying again…";
      } });
    } finally {
      sending = undefined;
      way.hidden = true;
      for (const part of form.children) part.inert = false;
    }
  }

  async function order() {
    held ??= await handOver();
    const common = { paths: [...chosen.keys()], spool: held, package_name: given(name), package_description: given(message),
      password: password.input.value || undefined, exclude: (given(exclude) ?? "").split(",").map((text) => text.trim()).filter(Boolean) };
    const once = { "Idempotency-Key": key };
    if (kind() === "portal") {
      localStorage.setItem(SENDER, sender.input.value.trim());
      return api.send("POST", "/uploads/portal", { ...common, subdomain: given(portal), sender: given(sender) }, once);
    }
    const recipients = kind() === "email" ? split(given(emails)) : undefined;
    return api.send("POST", "/uploads", { ...common, recipients, delete_after: count(days), download_limit: count(limit) }, once);
  }

  const pick = element("input", { type: "file", multiple: true, hidden: true, "aria-label": "Files of this computer", onchange: () => take([...pick.files].map((file) => ({ path: file.name, file }))) });
  async function leave() {
    if (sending && !await ask({ title: "Stop sending?", text: "Nothing has been sent to anybody yet, and nothing will be.", yes: "Stop", no: "Continue", bad: true })) return;
    sending?.abort(new Error("It was stopped; nothing was sent."));
    dialog.close();
  }
  const cancel = element("button", { type: "button", onclick: leave }, "Cancel");
  const form = element("form", { method: "dialog" },
    element("section", {}, element("h3", {}, "What"), list,
      element("div", { class: "actions" }, button("Add files and folders…", add, { kind: "add" }), button("From this computer…", () => pick.click())),
      element("p", { class: "faint" }, "Files of the agent's machine stay where they are until they are sent. Files of this computer, chosen or dropped here, are sent to the agent first."), pick),
    element("fieldset", {}, element("legend", {}, "How"),
      element("div", { class: "segments" }, ...ways.map((way) => element("label", { class: "segment" }, way, element("span", {}, words[way.value])))),
      emails.node, portal.node, sender.node),
    name.node, message.node,
    element("details", {}, element("summary", {}, "Password, expiry and more"), element("div", { class: "fields" }, password.node, days.node, limit.node, exclude.node)),
    trouble, way,
    element("div", { class: "actions end" }, cancel, start));
  for (const way of ways) way.addEventListener("change", draw);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    start.disabled = true;
    trouble.textContent = "";
    try {
      const started = await order();
      held = undefined;
      dialog.close();
      for (const warning of [started.note, ...(started.warnings ?? [])].filter(Boolean)) say(warning, "bad");
      const upload = await api.get(`/uploads/${started.upload_id}`);
      put(upload, "up");
      await details({ ...upload, way: "up", path: `/uploads/${upload.id}` });
    } catch (error) {
      trouble.textContent = [error.message, error.hint].filter(Boolean).join(". ");
    } finally {
      draw();
    }
  });
  dialog.oncancel = (event) => {
    if (!sending) return;
    event.preventDefault();
    leave();
  };
  dialog.onclose = () => {
    accept = undefined;
    giveUp();
  };
  accept = (files) => (sending ? complain({ message: "What was dropped before is still being sent" }) : take(files));
  dialog.replaceChildren(element("div", { class: "head" }, element("h2", { id: "send-title" }, "Send files"),
    button("", leave, { symbol: "close", label: "Close without sending" })), form);
  take(own);
  dialog.showModal();
  form.querySelector("button.add").focus();
}

export function start() {
  byId("send-open").addEventListener("click", () => open());
  const files = (event) => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragover", (event) => {
    if (!files(event)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
    document.body.classList.add("dropping");
  });
  document.addEventListener("dragleave", (event) => event.relatedTarget ?? document.body.classList.remove("dropping"));
  document.addEventListener("drop", (event) => {
    if (!files(event)) return;
    event.preventDefault();
    document.body.classList.remove("dropping");
    dropped(event.dataTransfer).then((found) => (accept ? accept(found) : open(found)), complain);
  });
  window.addEventListener("beforeunload", (event) => document.querySelector("#send .sending:not([hidden])") && event.preventDefault());
}
