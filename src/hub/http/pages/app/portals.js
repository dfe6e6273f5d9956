// The portals of the team: pages on which anybody, or whoever has the code, sends files to it.
"use strict";

import { call, ofTeam, session } from "./api.js";
import { anchor, attempt, badge, button, confirm, copy, dialog, field, h, icon, note, nothing, select } from "./dom.js";
import { count, day, dayField, endOfDay, isSet } from "./format.js";

const UNSET = "0001-01-01T00:00:00Z";
const GB = 1e9;
const KINDS = [["short_text", "One line"], ["long_text", "Several lines"], ["dropdown", "One of these"], ["number", "A number"], ["date", "A day"]];
const DAYS = [["0", "As usual on this hub"], ["7", "A week"], ["14", "2 weeks"], ["30", "30 days"], ["90", "90 days"], ["365", "A year"], ["-1", "Until somebody deletes them"]];

const words = (text) => text.split(/[\s,;]+/).filter(Boolean);

const state = (portal) => (portal.active ? ["Open", "good"] : ["Closed", "plain"]);

export const portals = async (page) => {
  const { records, metadata } = await call("GET", ofTeam("/portals?limit=100&sort=name", "v1.1"));
  const row = (portal) => h("li", {}, h("div", { class: "what" },
    session.isAdmin ? h("a", { href: `/app/portals/${portal.id}` }, h("strong", {}, portal.name)) : h("strong", {}, portal.name),
    h("small", {}, portal.url), h("small", {}, [portal.recipients.length ? `to ${portal.recipients.join(", ")}` : "nobody is told by mail", portal.has_access_code ? "with a code" : "", isSet(portal.expiry) ? `until ${day(portal.expiry)}` : ""].filter(Boolean).join(" · "))),
  badge(...state(portal)),
  h("div", { class: "buttons" }, button("Copy address", "copy", () => copy(portal.url, "The address is copied."), { "aria-label": `Copy address of ${portal.name}` }),
    h("a", { class: "button quiet", href: portal.url, target: "_blank", rel: "noopener", "aria-label": `Look at ${portal.name} as its senders see it, in a new tab` }, icon("eye"), h("span", {}, "Look"))));
  return [
    h("div", { class: "head" }, h("div", {}, h("h1", {}, "Portals"), h("p", { class: "facts" }, "Pages on which others send files to your team, without an account.")),
      session.isAdmin ? h("div", { class: "actions" }, anchor("Make a portal", "plus", "/app/portals/new", { id: "add" })) : null),
    h("section", { class: "card flush", "aria-label": "Portals" }, records.length ? h("ul", { class: "records", id: "portals" }, records.map(row)) : nothing("No portals", "Make one to receive files from anybody.")),
    metadata.total > records.length ? h("p", { class: "facts" }, `The first ${records.length} of ${count(metadata.total, "portal")}.`) : null,
  ].filter(Boolean);
};

/** The fields of the form that senders fill in; `read` gives them as the protocol has them. */
const questions = (known) => {
  const rows = h("ul", { class: "questions" });
  const add = (one) => {
    const label = h("input", { type: "text", required: true, "aria-label": "Question", placeholder: "Question, such as Reel", value: one ? one.label || one.name : "" });
    const kind = select(KINDS, one ? one.type : "short_text", { "aria-label": "Kind of answer", onchange: () => (options.hidden = kind.value !== "dropdown") });
    const options = h("input", { type: "text", "aria-label": "Choices, with commas", placeholder: "A, B, C", value: one && one.options ? one.options.join(", ") : "", hidden: !one || one.type !== "dropdown" });
    const required = h("input", { type: "checkbox", checked: Boolean(one) && one.visibility === "required" });
    const line = h("li", {}, label, kind, options, h("label", { class: "check" }, required, "required"),
      button("Remove", "trash", () => line.remove(), { class: "quiet only-icon alarming" }));
    line.read = () => ({
      // The key of an answer stays when the question is worded anew.
      name: one ? one.name : label.value.trim().toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "_").replace(/^_|_$/g, ""),
      label: label.value.trim(), type: kind.value, visibility: required.checked ? "required" : "optional",
      ...(kind.value === "dropdown" ? { options: options.value.split(",").map((text) => text.trim()).filter(Boolean) } : {}),
      ...(one && one.default_value ? { default_value: one.default_value } : {}),
    });
    rows.append(line);
    if (!one) label.focus();
  };
  known.forEach(add);
  return { content: [rows, button("Add a question", "plus", () => add(null), { id: "add-question" })], read: () => [...rows.children].map((line) => line.read()) };
};

const group = (title, about, ...content) => h("section", { class: "card" }, h("h2", {}, title), about ? h("p", { class: "hint" }, about) : null, content);

export const onePortal = async (page) => {
  const known = page.id === "new" ? null : await call("GET", `/v1.1/portals/${page.id}`);
  const portal = known || { name: "", subdomain: "", message: "", recipients: [], cc_recipients: [], metadata_fields: [], file_types: [], active: true, custom_expiry_days: 0, primary_color: "", logo_url: "", background_url: "" };
  const text = (value, more) => h("input", { type: "text", value, autocomplete: "off", ...more });
  const checkbox = (checked, label, more) => {
    const box = h("input", { type: "checkbox", checked: Boolean(checked), ...more });
    return { box, content: h("label", { class: "check" }, box, label) };
  };
  const name = text(portal.name, { required: true, maxlength: 255, id: "name" });
  const subdomain = text(portal.subdomain, { required: true, pattern: "[a-z0-9]([a-z0-9\\-]{0,61}[a-z0-9])?", id: "subdomain", spellcheck: "false" });
  if (!known) name.addEventListener("input", () => {
    if (!subdomain.dataset.own) subdomain.value = name.value.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "").slice(0, 63);
  });
  subdomain.addEventListener("input", () => (subdomain.dataset.own = "yes"));
  const message = h("textarea", { rows: 3, value: portal.message, id: "message" });
  const active = checkbox(portal.active, "The portal is open", { id: "active" });
  const closes = h("input", { type: "date", value: dayField(portal.expiry), id: "closes" });
  const code = text("", { spellcheck: "false", placeholder: portal.has_access_code ? "unchanged" : "none", id: "code" });
  const noCode = checkbox(false, "Take the code away");
  const recipients = h("textarea", { rows: 2, value: portal.recipients.join(", "), spellcheck: "false", id: "recipients" });
  const copies = h("textarea", { rows: 1, value: portal.cc_recipients.join(", "), spellcheck: "false", id: "copies" });
  const password = text("", { spellcheck: "false", placeholder: portal.has_download_password ? "unchanged" : "none", id: "download-password" });
  const noPassword = checkbox(false, "Take the password away");
  const days = String(portal.custom_expiry_days || 0);
  const kept = select(DAYS.some(([value]) => value === days) ? DAYS : [...DAYS, [days, `${days} days`]], days, { id: "kept" });
  const receipts = checkbox(!portal.disable_upload_receipt, "Senders get a receipt by mail");
  const asked = questions(portal.metadata_fields || []);
  const types = text((portal.file_types || []).join(", "), { spellcheck: "false", placeholder: "mov, mxf, wav", id: "types" });
  const rule = select([["any", "Any files"], ["only", "Only these types"], ["not", "All but these types"]], portal.file_type_restriction_enabled ? (portal.file_type_restriction_exclude ? "not" : "only") : "any", { id: "rule" });
  const amount = (bytes) => (portal.package_size_restriction_enabled && bytes ? bytes / GB : "");
  const fileSize = h("input", { type: "number", min: 0, step: "any", value: amount(portal.max_file_size), id: "file-size" });
  const packageSize = h("input", { type: "number", min: 0, step: "any", value: amount(portal.max_package_size), id: "package-size" });
  const fileCount = h("input", { type: "number", min: 0, step: 1, value: (portal.package_size_restriction_enabled && portal.max_file_count) || "", id: "file-count" });
  const color = text(portal.primary_color, { spellcheck: "false", placeholder: "#1d5fc4", pattern: "#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})", id: "color" });
  const well = h("input", { type: "color", "aria-label": "Choose the colour", value: /^#[0-9a-f]{6}$/.test(portal.primary_color) ? portal.primary_color : "#1d5fc4", oninput: () => (color.value = well.value) });
  const logo = h("input", { type: "url", value: portal.logo_url, placeholder: "https://", id: "logo" });
  const background = h("input", { type: "url", value: portal.background_url, placeholder: "https://", id: "background" });
  const problem = h("p", { class: "problem", role: "alert", tabindex: -1 });
  const submit = h("button", { type: "submit", id: "save" }, known ? "Save" : "Make the portal");
  const bytes = (input) => Math.round(Number(input.value || 0) * GB);

  const form = h("form", { class: "long" },
    group("The page", "", field("Name", name), field("Address", subdomain, { hint: `${location.origin}/portals/${known ? portal.subdomain : "…"}; small letters, digits and hyphens.` }),
      field("Message", message, { optional: true, hint: "What senders read at the top of the page." }), active.content, field("Closes at the end of", closes, { optional: true }),
      field("Code for senders", code, { optional: true, hint: "Whoever does not have it cannot send." }), portal.has_access_code ? noCode.content : null),
    group("Who receives it", "", field("Recipients", recipients, { optional: true, hint: "E-mail addresses with commas. Each gets a link by mail." }), field("Copies", copies, { optional: true, hint: "They are told by mail, without a link." }),
      field("Password for recipients", password, { optional: true }), portal.has_download_password ? noPassword.content : null, field("How long it is kept", kept), receipts.content),
    group("Questions", "What senders fill in. The answers are in the mail and with the package.", asked.content),
    group("What it accepts", "", field("Files", rule), field("Types", types, { optional: true }), h("div", { class: "three" }, field("Largest file, GB", fileSize, { optional: true }), field("All files together, GB", packageSize, { optional: true }), field("Number of files", fileCount, { optional: true }))),
    group("Look", "Colour and pictures of the portal's page.", field("Colour of buttons", color, { optional: true }), well, field("Address of a logo", logo, { optional: true }), field("Address of a background", background, { optional: true })),
    h("div", { class: "card foot" }, problem, h("div", { class: "actions" }, submit, h("a", { class: "button quiet", href: "/app/portals" }, "Back"))));

  const read = () => {
    const limited = fileSize.value || packageSize.value || fileCount.value;
    const body = {
      name: name.value.trim(), subdomain: subdomain.value.trim(), message: message.value, active: active.box.checked, recipients: words(recipients.value), cc_recipients: words(copies.value),
      disable_upload_receipt: !receipts.box.checked, custom_expiry_days: Number(kept.value), metadata_fields: asked.read(),
      file_type_restriction_enabled: rule.value !== "any", file_type_restriction_exclude: rule.value === "not", file_types: words(types.value),
      package_size_restriction_enabled: Boolean(limited), max_file_size: bytes(fileSize), max_package_size: bytes(packageSize), max_file_count: Number(fileCount.value || 0),
      primary_color: color.value.trim(), logo_url: logo.value.trim(), background_url: background.value.trim(),
    };
    if (closes.value !== dayField(portal.expiry)) body.expiry = closes.value ? endOfDay(closes.value) : UNSET;
    if (noCode.box.checked) body.has_access_code = false;
    else if (code.value) Object.assign(body, { has_access_code: true, access_code: code.value });
    if (noPassword.box.checked) body.has_download_password = false;
    else if (password.value) Object.assign(body, { has_download_password: true, download_password: password.value });
    if (rule.value !== "any" && !body.file_types.length) throw new Error("Say which types of files, or choose any files.");
    return body;
  };
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    submit.disabled = true;
    problem.textContent = "";
    try {
      const body = read();
      await (known ? call("PUT", `/v1/portals/${known.id}`, body) : call("POST", ofTeam("/portals"), body));
      await page.go("/app/portals");
      note(known ? "The portal is changed." : "The portal is made.");
    } catch (error) {
      problem.textContent = error.message;
      problem.focus();
    } finally {
      submit.disabled = false;
    }
  });
  const remove = async () => {
    if (await confirm(`Delete the portal “${known.name}”?`, "Nobody can send through it any more. What came through it stays.", "Delete", () => call("DELETE", `/v1/portals/${known.id}`))) await page.go("/app/portals");
  };
  return [
    h("a", { class: "back", href: "/app/portals" }, icon("back"), h("span", {}, "Portals")),
    h("div", { class: "head" }, h("h1", {}, known ? known.name : "Make a portal"), known ? h("div", { class: "actions" }, button("Copy address", "copy", () => copy(known.url, "The address is copied.")),
      button("Delete", "trash", remove, { id: "delete", class: "quiet alarming" })) : null),
    form,
  ];
};
