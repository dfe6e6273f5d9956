// The people of the team and what they may do; how much the team has stored.
"use strict";

import { call, ofTeam, session } from "./api.js";
import { attempt, badge, button, confirm, copy, dialog, field, h, note, select } from "./dom.js";
import { count, day, moment, number, size } from "./format.js";

export const ROLES = [["sender", "Sender"], ["admin", "Administrator"], ["owner", "Owner"]];
const WORDS = { sender: ["Sender", "plain"], admin: ["Administrator", "busy"], owner: ["Owner", "good"] };
const ABOUT = "Senders send and see packages. Administrators also manage people, keys, portals and webhooks. Owners also appoint owners.";

// Only owners appoint owners.
const roles = () => ROLES.filter(([role]) => role !== "owner" || session.isOwner);

const add = async (page) => {
  const email = h("input", { type: "email", required: true, autocomplete: "off", id: "new-email" });
  const name = h("input", { type: "text", autocomplete: "off", id: "new-name" });
  const role = select(roles(), "sender", { id: "new-role" });
  const password = h("input", { type: "text", autocomplete: "off", spellcheck: "false", minlength: 8, id: "new-password", placeholder: "chosen by them" });
  const content = [field("E-mail address", email), field("Name", name, { optional: true }), field("Role", role, { hint: ABOUT }),
    field("First password", password, { optional: true, hint: "Leave it empty to invite them by mail: they choose one themselves." })];
  let invited = null;
  const work = async () => {
    const body = { email: email.value, name: name.value, role: role.value };
    try {
      const made = await call("POST", ofTeam("/members"), { ...body, password: password.value || unknown() });
      if (!password.value) invited = await call("POST", ofTeam(`/members/${made.id}/invitation`));
      return made;
    } catch (error) {
      // Who has an account of another team keeps its password.
      if (error.status === 409 && !password.value && error.message.includes("another team")) return call("POST", ofTeam("/members"), body);
      throw error;
    }
  };
  const made = await dialog("Add a person", content, { action: "Add", work });
  if (!made) return;
  await page.reload();
  if (invited) await told(invited);
  else note(`${made.email} is in the team.`);
};

/** A password that nobody knows, until the person has chosen one. */
const unknown = () => [...crypto.getRandomValues(new Uint8Array(24))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

/** Says what became of an invitation; the address helps where the mail does not arrive. */
const told = ({ email, url, expiry, mailed, problem }) => {
  const address = h("input", { type: "text", readonly: true, value: url, id: "invitation", onfocus: (event) => event.target.select() });
  const how = mailed ? `A mail with this address is on its way to ${email}.` : `The mail to ${email} was not accepted: ${problem}. Give them this address yourself.`;
  return dialog("Invited", [h("p", { class: mailed ? "" : "problem" }, how), field("Where they choose their password", address, { hint: `It works once, until ${moment(expiry)}. Whoever has it can use it.` }),
    h("div", { class: "actions" }, button("Copy the address", "copy", () => copy(url, "The address is copied.")))], { action: "", cancel: "Done" });
};

const invite = async (member) => {
  const invited = await attempt(() => call("POST", ofTeam(`/members/${member.id}/invitation`)));
  if (invited) await told(invited);
};

const change = async (member, page) => {
  const name = h("input", { type: "text", autocomplete: "off", value: member.name });
  const role = select(member.role === "owner" ? ROLES : roles(), member.role);
  const password = h("input", { type: "text", autocomplete: "off", spellcheck: "false", minlength: 8, placeholder: "unchanged" });
  const content = [field("Name", name, { optional: true }), field("Role", role, { hint: ABOUT }), field("New password", password, { optional: true, hint: "Ends all sessions of this person." })];
  const work = async () => {
    const body = {};
    if (name.value !== member.name) body.name = name.value;
    if (role.value !== member.role) body.role = role.value;
    if (password.value) body.password = password.value;
    await call("PUT", ofTeam(`/members/${member.id}`), body);
    return true;
  };
  if (await dialog(member.email, content, { work })) {
    await page.reload();
    note("Changed.");
  }
};

const remove = async (member, page) => {
  const text = "The sessions of this person in the team end at once. The packages that they sent stay.";
  if (await confirm(`Remove ${member.email} from the team?`, text, "Remove", () => call("DELETE", ofTeam(`/members/${member.id}`)))) page.reload();
};

const usage = ({ used, quota, stored, packages }) => {
  const share = quota ? used / quota : 0;
  return h("section", { class: "card", "aria-labelledby": "usage" }, h("h2", { id: "usage" }, "Storage"),
    h("p", { class: "figure" }, size(used), h("small", {}, quota ? ` of ${size(quota)}` : " used, without a limit")),
    quota ? h("meter", { value: Math.min(1, share), min: 0, max: 1, high: 0.9, "aria-label": "Share of the quota" }) : null,
    h("p", { class: "facts" }, `${count(packages, "package")}, ${size(stored)} in complete files${quota && share > 0.9 ? ". The quota is nearly used up: delete packages, or ask whoever runs the hub for more" : ""}.`));
};

export const people = async (page) => {
  const [members, used] = await Promise.all([call("GET", ofTeam("/members")), call("GET", ofTeam("/usage"))]);
  const row = (member) => h("li", {}, h("div", { class: "what" }, h("strong", {}, member.name || member.email), h("small", {}, [member.name ? member.email : "", member.created_at ? `since ${day(member.created_at)}` : ""].filter(Boolean).join(" · "))),
    badge(...(WORDS[member.role] || [member.role])),
    session.isAdmin ? h("div", { class: "buttons" }, member.id === session.user.id ? null : button("Invite", "mail", () => invite(member), { "aria-label": `Invite ${member.email} to choose a password` }),
      button("Change", "edit", () => change(member, page), { "aria-label": `Change ${member.email}` }),
      member.id === session.user.id ? null : button("Remove", "trash", () => remove(member, page), { class: "quiet alarming", "aria-label": `Remove ${member.email}` })) : null);
  return [
    h("div", { class: "head" }, h("div", {}, h("h1", {}, "People"), h("p", { class: "facts" }, `${number(members.length)} in ${session.team.name}`)),
      session.isAdmin ? h("div", { class: "actions" }, h("button", { type: "button", id: "add", onclick: () => add(page) }, "Add a person")) : null),
    h("section", { class: "card flush", "aria-label": "People" }, h("ul", { class: "records", id: "people" }, members.map(row))),
    usage(used),
  ];
};
