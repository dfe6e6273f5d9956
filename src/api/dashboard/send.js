// Sends files and folders of the agent's machine, by link, by e-mail or into a portal.

import * as api from "./api.js";
import { choose } from "./chooser.js";
import { byId, button, complain, element, icon, say } from "./dom.js";
import { details } from "./details.js";
import { bytes } from "./format.js";
import { put } from "./known.js";

const SENDER = "masv-sender";

function field(label, attributes, name = "input") {
  const input = element(name, attributes);
  return { input, node: element("label", {}, input, element("span", {}, label)) };
}

function open() {
  const dialog = byId("send");
  const chosen = new Map();
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

  function draw() {
    list.replaceChildren(...[...chosen.values()].map((entry) => element("li", {}, icon(entry.folder ? "folder" : "file"),
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
    start.disabled = chosen.size === 0;
  }

  async function add() {
    for (const entry of (await choose({ title: "Choose files and folders", many: true, yes: "Add" })) ?? []) chosen.set(entry.path, entry);
    draw();
  }

  const given = ({ input }) => input.value.trim() || undefined;
  const split = (text) => (text ?? "").split(/[,;\s]+/).filter(Boolean);
  const count = ({ input }) => (input.value ? Number(input.value) : undefined);

  async function order() {
    const common = { paths: [...chosen.keys()], package_name: given(name), package_description: given(message),
      password: password.input.value || undefined, exclude: (given(exclude) ?? "").split(",").map((text) => text.trim()).filter(Boolean) };
    const once = { "Idempotency-Key": key };
    if (kind() === "portal") {
      localStorage.setItem(SENDER, sender.input.value.trim());
      return api.send("POST", "/uploads/portal", { ...common, subdomain: given(portal), sender: given(sender) }, once);
    }
    const recipients = kind() === "email" ? split(given(emails)) : undefined;
    return api.send("POST", "/uploads", { ...common, recipients, delete_after: count(days), download_limit: count(limit) }, once);
  }

  const form = element("form", { method: "dialog" },
    element("section", {}, element("h3", {}, "What"), list,
      element("div", { class: "actions" }, button("Add files and folders…", add, { kind: "add" })),
      element("p", { class: "faint" }, "The agent sends files of its own machine; they stay where they are until they are sent.")),
    element("fieldset", {}, element("legend", {}, "How"),
      element("div", { class: "segments" }, ...ways.map((way) => element("label", { class: "segment" }, way, element("span", {}, words[way.value])))),
      emails.node, portal.node, sender.node),
    name.node, message.node,
    element("details", {}, element("summary", {}, "Password, expiry and more"), element("div", { class: "fields" }, password.node, days.node, limit.node, exclude.node)),
    trouble,
    element("div", { class: "actions end" }, element("button", { type: "button", onclick: () => dialog.close() }, "Cancel"), start));
  for (const way of ways) way.addEventListener("change", draw);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    start.disabled = true;
    trouble.textContent = "";
    try {
      const started = await order();
      dialog.close();
      for (const warning of [started.note, ...(started.warnings ?? [])].filter(Boolean)) say(warning, "bad");
      const upload = await api.get(`/uploads/${started.upload_id}`);
      put(upload, "up");
      await details({ ...upload, way: "up", path: `/uploads/${upload.id}` });
    } catch (error) {
      trouble.textContent = [error.message, error.hint].filter(Boolean).join(". ");
    } finally {
      start.disabled = chosen.size === 0;
    }
  });
  dialog.replaceChildren(element("div", { class: "head" }, element("h2", { id: "send-title" }, "Send files"),
    button("", () => dialog.close(), { symbol: "close", label: "Close without sending" })), form);
  draw();
  dialog.showModal();
  form.querySelector("button.add").focus();
}

export function start() {
  byId("send-open").addEventListener("click", open);
  // Files of the browser's machine are somewhere else than those of the agent.
  for (const kind of ["dragover", "drop"]) {
    document.addEventListener(kind, (event) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      if (kind === "dragover") event.dataTransfer.dropEffect = "none";
    });
  }
  let said = 0;
  document.addEventListener("dragenter", (event) => {
    if (!event.dataTransfer?.types.includes("Files") || Date.now() - said < 5000) return;
    said = Date.now();
    complain({ message: "The agent sends files of its own machine", hint: "Choose them with Send files, or copy them into a watched folder" });
  });
}
