// One package: what is in it, who has it, what became of it, and what can be done with it.
"use strict";

import { call, ofTeam } from "./api.js";
import { activity } from "./activity.js";
import { attempt, badge, button, confirm, copy, dialog, field, h, icon, note, nothing } from "./dom.js";
import { count, day, dayField, endOfDay, isSet, moment, number, size, until } from "./format.js";
import { standing } from "./packages.js";

// More files are not listed without being asked for.
const LISTED = 2000;
const SHOWN = 200;

const pathOf = ({ path, name }) => (path ? `${path}/${name}` : name);

/** Fields for a password, an expiry and a limit; `read` gives what a call takes, and only what was changed. */
const limits = (given, { limit = true } = {}) => {
  const password = h("input", { type: "text", autocomplete: "off", spellcheck: "false", placeholder: given.has_password ? "unchanged" : "none" });
  const none = h("input", { type: "checkbox" });
  const expiry = h("input", { type: "date", value: dayField(given.expiry) });
  const times = h("input", { type: "number", min: 0, step: 1, value: given.access_limit || "", placeholder: "any number" });
  const fields = [
    field("Password", password, { optional: true }), given.has_password ? h("label", { class: "check" }, none, "Take the password away") : null,
    field("Expires at the end of", expiry, { optional: true, hint: given.expiryHint }),
    limit ? field("How many times it may be downloaded", times, { optional: true }) : null,
  ];
  const read = () => {
    const change = {};
    if (none.checked) change.password = "";
    else if (password.value) change.password = password.value;
    if (expiry.value !== dayField(given.expiry)) change.expiry = expiry.value ? endOfDay(expiry.value) : null;
    if (limit && Number(times.value || 0) !== Number(given.access_limit || 0)) change.access_limit = Number(times.value || 0);
    return change;
  };
  return { fields, read };
};

const linkState = (link, one) => {
  if (!link.active) return ["Switched off", "plain"];
  if (isSet(link.expiry) && new Date(link.expiry) < new Date()) return ["Expired", "plain"];
  if (link.downloads) return [`Downloaded ${number(link.downloads)}×`, "good"];
  if (link.access_limit && link.access_count >= link.access_limit) return ["Used up", "plain"];
  if (isSet(link.opened_at)) return ["Opened", "busy"];
  return [one.state === "new" ? "Not sent yet" : "Not opened", "warn"];
};

const linkRow = (one, link, page) => {
  const [word, mood] = linkState(link, one);
  const facts = [
    isSet(link.downloaded_at) ? `last downloaded ${moment(link.downloaded_at)}` : isSet(link.opened_at) ? `opened ${moment(link.opened_at)}` : `made ${day(link.created_at)}`,
    link.access_limit ? `${number(link.access_count)} of ${count(link.access_limit, "download")} used` : "",
    isSet(link.expiry) ? `expires ${until(link.expiry)}` : "", link.has_password ? "with a password" : "",
  ];
  const who = link.email || "Link";
  const of = link.email ? ` of ${link.email}` : "";
  const change = async () => {
    const { fields, read } = limits(link);
    const active = h("input", { type: "checkbox", checked: link.active });
    const work = async () => {
      const body = read();
      if (body.expiry === null) body.expiry = "0001-01-01T00:00:00Z";
      if (active.checked !== link.active) body.active = active.checked;
      await call("PUT", `/v1/links/${link.id}`, body);
      return true;
    };
    if (await dialog(link.email ? `Link of ${link.email}` : "Change the link", [fields, h("label", { class: "check" }, active, "The link works")], { work })) page.reload();
  };
  const remove = async () => {
    const text = `${link.email ? `${link.email} can` : "Whoever has it can"} no longer download anything with it.`;
    if (await confirm("Delete this link?", text, "Delete", () => call("DELETE", `/v1/links/${link.id}`))) page.reload();
  };
  const again = (event) => attempt(async () => {
    await call("POST", `/v1/links/${link.id}/mail`);
    note(`The mail to ${link.email} is sent again.`);
  }, event.currentTarget);
  return h("li", { class: "link" }, icon(link.email ? "mail" : "link"), h("div", { class: "what" }, h("strong", {}, who), h("small", {}, facts.filter(Boolean).join(" · "))), badge(word, mood),
    h("div", { class: "buttons" }, button("Copy link", "copy", () => copy(link.url, "The link is copied."), { "aria-label": `Copy link${of}` }),
      link.email && one.state === "finalized" ? button("Send again", "mail", again, { "aria-label": `Send again to ${link.email}` }) : null,
      button("Change", "edit", change, { "aria-label": `Change the link${of}` }),
      button("Delete", "trash", remove, { class: "quiet alarming", "aria-label": `Delete the link${of}` })));
};

const newLink = async (one, page) => {
  const email = h("input", { type: "email", autocomplete: "off", id: "link-email" });
  const { fields, read } = limits({ expiryHint: isSet(one.expiry) ? `The package itself expires on ${day(one.expiry)}.` : "" });
  const work = async () => {
    const body = read();
    if (email.value.trim()) body.email = email.value.trim();
    return call("POST", `/v1/packages/${one.id}/links`, body);
  };
  const content = [field("Send it to", email, { optional: true, hint: "An e-mail address; without one, copy the link and share it yourself." }), fields];
  const made = await dialog("New link", content, { action: "Make the link", work });
  if (!made) return;
  await page.reload();
  if (made.email) note(`The link is on its way to ${made.email}.`);
  else await copy(made.url, "The link is made and copied.");
};

const changePackage = async (one, page) => {
  const name = h("input", { type: "text", required: true, maxlength: 200, value: one.name });
  const message = h("textarea", { rows: 3, value: one.description });
  const ever = h("input", { type: "checkbox", checked: !isSet(one.expiry) });
  const { fields, read } = limits({ has_password: one.password_protected, expiry: one.expiry }, { limit: false });
  const work = async () => {
    const body = read();
    if (ever.checked && isSet(one.expiry)) Object.assign(body, { unlimited_storage: true, expiry: undefined });
    else if (body.expiry === null) throw new Error("Choose a day, or keep it until somebody deletes it.");
    if (name.value !== one.name) body.name = name.value;
    if (message.value !== one.description) body.description = message.value;
    await call("PUT", `/v1/packages/${one.id}`, body);
    return true;
  };
  const content = [field("Name", name), field("Message", message, { optional: true }), fields, h("label", { class: "check" }, ever, "Keep until somebody deletes it")];
  if (await dialog("Change the package", content, { work })) {
    await page.reload();
    note("Changed.");
  }
};

const removePackage = async (one, back, page) => {
  const text = "Its links stop working at once, and its files are deleted for good when the hub's trash is emptied.";
  if (await confirm(`Delete “${one.name}”?`, text, "Delete", () => call("DELETE", `/v1/packages/${one.id}`))) {
    await page.go(back);
    note("The package is deleted.");
  }
};

const files = (one) => {
  const place = h("section", { class: "card flush", "aria-labelledby": "files" });
  const head = h("div", { class: "head" }, h("h2", { id: "files" }, "Files"), h("p", { class: "facts" }, `${count(one.total_files, "file")}, ${size(one.size)}`));
  const load = async () => {
    const list = (await call("GET", `/v1/packages/${one.id}/files`)).filter(({ kind }) => kind !== "directory").map((file) => ({ ...file, full: pathOf(file) }));
    const search = h("input", { type: "search", id: "file-search", placeholder: "Search for a file", autocomplete: "off" });
    const found = h("p", { class: "facts", role: "status" });
    const rows = h("ul", { class: "files-list" });
    const fetchOne = (file) => (event) => attempt(async () => {
      const { url } = await call("GET", `/v1/packages/${one.id}/files/${file.id}/download`);
      h("a", { href: url, download: file.name }).click();
    }, event.currentTarget);
    const show = () => {
      const wanted = search.value.trim().toLowerCase();
      const fitting = wanted ? list.filter(({ full }) => full.toLowerCase().includes(wanted)) : list;
      rows.replaceChildren(...fitting.slice(0, SHOWN).map((file) => h("li", {}, icon("file"), h("span", { class: "name" }, file.full), h("span", { class: "size" }, size(file.size)),
        button("Download", "down", fetchOne(file), { class: "quiet only-icon", "aria-label": `Download ${file.full}` }))));
      found.textContent = fitting.length > SHOWN ? `The first ${SHOWN} of ${count(fitting.length, "file")}: search to see others.` : wanted ? `${count(fitting.length, "file")} found` : "";
    };
    search.addEventListener("input", show);
    show();
    const tools = list.length > 20 ? h("div", { class: "tools" }, h("div", { class: "searching" }, icon("search"), h("label", { class: "visually-hidden", for: "file-search" }, "Search for a file"), search)) : null;
    place.replaceChildren(head, ...[tools, list.length ? rows : nothing("No files yet", ""), found].filter(Boolean));
  };
  if (one.total_files > LISTED) {
    const ask = button("List the files", "list", () => attempt(load, ask));
    place.append(head, h("div", { class: "actions" }, ask));
    return { place, loaded: Promise.resolve() };
  }
  return { place, loaded: load() };
};

const fact = (name, ...value) => (value.some(Boolean) ? [h("dt", {}, name), h("dd", {}, value)] : null);

export const onePackage = async (page) => {
  const back = location.pathname.startsWith("/app/inbox") ? "/app/inbox" : "/app/packages";
  const one = await call("GET", ofTeam(`/packages/${page.id}`, "v1.1"));
  const received = Boolean(one.portal_id || one.portal_name);
  const [links, filled, happened] = await Promise.all([
    call("GET", `/v1/packages/${one.id}/links`), one.form_data_id ? call("GET", `/v1/packages/${one.id}/metadata`) : null, activity(one),
  ]);
  const { place, loaded } = files(one);
  await loaded;
  const [word, mood] = standing(one);
  const alive = one.state === "new" || one.state === "finalized";
  return [
    h("a", { class: "back", href: back }, icon("back"), h("span", {}, back === "/app/inbox" ? "Received" : "Sent")),
    h("div", { class: "head" }, h("div", {}, h("h1", {}, one.name), h("p", { class: "facts" }, badge(word, mood), ` ${count(one.total_files, "file")}, ${size(one.size)}`)),
      alive ? h("div", { class: "actions" }, h("button", { type: "button", id: "new-link", onclick: () => newLink(one, page) }, icon("link"), h("span", {}, "New link")),
        button("Change", "edit", () => changePackage(one, page), { id: "change" }), button("Delete", "trash", () => removePackage(one, back, page), { id: "delete", class: "quiet alarming" })) : null),
    one.description ? h("p", { class: "message" }, one.description) : null,
    h("div", { class: "two" },
      h("div", {},
        h("section", { class: "card flush", "aria-labelledby": "links" }, h("div", { class: "head" }, h("h2", { id: "links" }, "Recipients and links")),
          links.length ? h("ul", { class: "links" }, links.map((link) => linkRow(one, link, page)))
            : nothing(one.recipients.length && one.state === "new" ? "Not sent yet" : "No links", one.state === "new" && one.recipients.length ? `It goes to ${one.recipients.join(", ")} when it is complete.` : "Make one to give somebody access.")),
        place),
      h("div", {},
        h("section", { class: "card", "aria-labelledby": "about" }, h("h2", { id: "about" }, "About"),
          h("dl", { class: "pairs" }, fact("Sender", one.sender), received ? fact("Portal", one.portal_name || (one.portal && one.portal.name)) : null,
            fact("Made", moment(one.created_at)), fact(received ? "Arrived" : "Sent", moment(one.finalized_at)),
            one.state === "expired" ? fact("Expired", moment(one.expiry)) : fact("Expires", isSet(one.expiry) ? moment(one.expiry) : one.state === "new" ? "" : "when somebody deletes it"),
            fact("Password", one.password_protected ? "yes" : "none"), one.tag ? fact("Tag", one.tag.name) : null,
            filled ? filled.fields.map(({ label, name, value }) => fact(label || name, value)) : null)),
        h("section", { class: "card", "aria-labelledby": "activity" }, h("h2", { id: "activity" }, "Activity"), happened))),
  ].filter(Boolean);
};
