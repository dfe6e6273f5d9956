// The API keys of the team, for agents and programs.
"use strict";

import { call, ofTeam } from "./api.js";
import { attempt, badge, button, confirm, copy, dialog, field, h, icon, note, nothing, select } from "./dom.js";
import { day, dayField, endOfDay, isSet, moment } from "./format.js";
import { ROLES } from "./people.js";

const NEVER = "0001-01-01T00:00:00Z";
const roles = ROLES.slice(0, 2);

const shown = (made) => {
  const key = h("input", { type: "text", readonly: true, value: made.key, id: "key", onfocus: (event) => event.target.select() });
  const content = [h("p", {}, "Copy it now: the hub keeps only a digest and cannot show it again."), field(`Key for ${made.name}`, key), h("div", { class: "actions" }, button("Copy the key", "copy", () => copy(made.key, "The key is copied.")))];
  return dialog("The new key", content, { action: "", cancel: "Done" });
};

const add = async (page) => {
  const name = h("input", { type: "text", required: true, maxlength: 255, autocomplete: "off", id: "new-name" });
  const role = select(roles, "sender", { id: "new-role" });
  const expiry = h("input", { type: "date", id: "new-expiry" });
  const content = [field("What it is for", name, { hint: "For example the machine on which the agent runs." }), field("Role", role, { hint: "Agents that send need a sender's key." }), field("Works until the end of", expiry, { optional: true })];
  const work = () => call("POST", ofTeam("/api_keys"), { name: name.value, role: role.value, ...(expiry.value ? { expiry: endOfDay(expiry.value) } : {}) });
  const made = await dialog("Make a key", content, { action: "Make the key", work });
  if (!made) return;
  await page.reload();
  await shown(made);
};

const change = async (key, page) => {
  const name = h("input", { type: "text", required: true, maxlength: 255, value: key.name });
  const role = select(roles, key.role);
  const expiry = h("input", { type: "date", value: dayField(key.expiry) });
  const active = h("input", { type: "checkbox", checked: key.state !== "inactive" });
  const content = [field("What it is for", name), field("Role", role), field("Works until the end of", expiry, { optional: true }), h("label", { class: "check" }, active, "The key works")];
  const work = async () => {
    const body = { name: name.value, role: role.value, state: active.checked ? "active" : "inactive" };
    if (expiry.value !== dayField(key.expiry)) body.expiry = expiry.value ? endOfDay(expiry.value) : NEVER;
    await call("PUT", ofTeam(`/api_keys/${key.id}`), body);
    return true;
  };
  if (await dialog("Change the key", content, { work })) page.reload();
};

const state = (key) => {
  if (key.state === "inactive") return ["Switched off", "plain"];
  if (isSet(key.expiry) && new Date(key.expiry) < new Date()) return ["Expired", "plain"];
  return ["Works", "good"];
};

export const keys = async (page) => {
  const all = await call("GET", ofTeam("/api_keys"));
  const remove = async (key) => {
    const text = "Whatever uses it can no longer send, at once; what is being sent with it stops.";
    if (await confirm(`Delete the key “${key.name}”?`, text, "Delete", () => call("DELETE", ofTeam(`/api_keys/${key.id}`)))) page.reload();
  };
  const row = (key) => h("li", {}, h("div", { class: "what" }, h("strong", {}, key.name),
    h("small", {}, [key.role === "admin" ? "administrator" : "sender", `made ${day(key.created_at)}`, isSet(key.last_used_at) ? `last used ${moment(key.last_used_at)}` : "never used", isSet(key.expiry) ? `until ${day(key.expiry)}` : ""].filter(Boolean).join(" · "))),
  badge(...state(key)), h("div", { class: "buttons" }, button("Change", "edit", () => change(key, page), { "aria-label": `Change ${key.name}` }), button("Delete", "trash", () => remove(key), { class: "quiet alarming", "aria-label": `Delete ${key.name}` })));
  return [
    h("div", { class: "head" }, h("div", {}, h("h1", {}, "Keys"), h("p", { class: "facts" }, "With a key, an agent or a program sends without a person signing in.")),
      h("div", { class: "actions" }, h("button", { type: "button", id: "add", onclick: () => add(page) }, "Make a key"))),
    h("section", { class: "card flush", "aria-label": "Keys" }, all.length ? h("ul", { class: "records", id: "keys" }, all.map(row)) : nothing("No keys", "Make one for each agent.")),
  ];
};
