// Webhooks: addresses that the hub calls when something happens.
"use strict";

import { call, ofTeam } from "./api.js";
import { badge, button, confirm, dialog, field, h, note, nothing } from "./dom.js";

const EVENTS = [["package.created", "a package is begun"], ["package.finalized", "a package is complete"], ["package.opened", "a link is opened"], ["package.downloaded", "everything was downloaded"]];

const edit = async (hook, page) => {
  const name = h("input", { type: "text", required: true, value: hook ? hook.name : "", id: "hook-name" });
  const url = h("input", { type: "url", required: true, value: hook ? hook.url : "", placeholder: "https://", id: "hook-url" });
  const boxes = EVENTS.map(([event, text]) => [h("input", { type: "checkbox", value: event, checked: hook ? hook.events.includes(event) : event === "package.finalized" }), text]);
  const active = h("input", { type: "checkbox", checked: hook ? hook.active : true });
  const header = h("input", { type: "text", autocomplete: "off", spellcheck: "false", placeholder: "Authorization: Bearer …" });
  const known = hook && hook.header_names.length ? ` It has ${hook.header_names.join(", ")}; what you enter replaces them.` : "";
  const content = [field("Name", name), field("Address", url), h("fieldset", {}, h("legend", {}, "It is called when"), boxes.map(([box, text]) => h("label", { class: "check" }, box, text))),
    field("Header", header, { optional: true, hint: `Sent with every call, so that the receiver knows the hub; never shown again.${known}` }), h("label", { class: "check" }, active, "It is switched on")];
  const work = async () => {
    const events = boxes.filter(([box]) => box.checked).map(([box]) => box.value);
    if (!events.length) throw new Error("Choose when it is called.");
    const body = { name: name.value, url: url.value, events, active: active.checked };
    if (header.value.trim()) {
      const [, key, value] = /^([^:\s]+)\s*:\s*(.+)$/.exec(header.value.trim()) || [];
      if (!key) throw new Error("Write the header as Name: value.");
      body.headers = { [key]: value };
    }
    await (hook ? call("PUT", ofTeam(`/custom_webhooks/${hook.id}`), body) : call("POST", ofTeam("/custom_webhooks"), body));
    return true;
  };
  if (await dialog(hook ? "Change the webhook" : "Make a webhook", content, { work, action: hook ? "Save" : "Make the webhook" })) {
    await page.reload();
    note("Saved.");
  }
};

export const hooks = async (page) => {
  const all = await call("GET", ofTeam("/custom_webhooks"));
  const words = new Map(EVENTS);
  const remove = async (hook) => {
    if (await confirm(`Delete the webhook “${hook.name}”?`, "Calls that it still waits for are not made.", "Delete", () => call("DELETE", ofTeam(`/custom_webhooks/${hook.id}`)))) page.reload();
  };
  const row = (hook) => h("li", {}, h("div", { class: "what" }, h("strong", {}, hook.name), h("small", {}, hook.url), h("small", {}, `when ${hook.events.map((event) => words.get(event) || event).join(", ")}${hook.portals ? " · for its portals only" : ""}`)),
    badge(hook.active ? "On" : "Off", hook.active ? "good" : "plain"),
    h("div", { class: "buttons" }, button("Change", "edit", () => edit(hook, page), { "aria-label": `Change ${hook.name}` }), button("Delete", "trash", () => remove(hook), { class: "quiet alarming", "aria-label": `Delete ${hook.name}` })));
  return [
    h("div", { class: "head" }, h("div", {}, h("h1", {}, "Webhooks"), h("p", { class: "facts" }, "Addresses of other programs that the hub calls when something happens.")),
      h("div", { class: "actions" }, h("button", { type: "button", id: "add", onclick: () => edit(null, page) }, "Make a webhook"))),
    h("section", { class: "card flush", "aria-label": "Webhooks" }, all.length ? h("ul", { class: "records", id: "hooks" }, all.map(row)) : nothing("No webhooks", "Make one to tell another program what arrives and what is downloaded.")),
  ];
};
