// The packages of a team, sent or received: searched, filtered, sorted, many changed at once.
"use strict";

import { call, ofTeam } from "./api.js";
import { anchor, attempt, badge, button, confirm, dialog, field, h, icon, note, nothing, select } from "./dom.js";
import { count, day, endOfDay, isSet, moment, number, size, until } from "./format.js";

const AT_ONCE = 50;
// How many are changed at the same time.
const CHANGED_AT_ONCE = 4;

const STATES = [["", "All"], ["finalized", "Available"], ["new", "Not finished"], ["expired", "Expired"]];
const ORDERS = [["-created_at", "Newest first"], ["created_at", "Oldest first"], ["name", "By name"], ["-size", "Largest first"], ["expiry", "Expiring first"]];

/** What became of a package, in a word and a colour. */
export const standing = (one) => {
  const state = one.state || one.status;
  if (state === "new") return ["Not finished", "warn"];
  if (state === "expired") return ["Expired", "plain"];
  if (state === "archived") return ["Archived", "plain"];
  if (one.downloads) return [`Downloaded${one.downloads > 1 ? ` ${number(one.downloads)}×` : ""}`, "good"];
  return [one.portal_id || one.portal_name ? "Received" : "Sent", "busy"];
};

const whom = (one, which) => {
  if (which === "received") return [one.sender ? `From ${one.sender}` : "From somebody", one.portal_name ? `through ${one.portal_name}` : ""].filter(Boolean).join(" ");
  if (one.recipients.length > 2) return `To ${one.recipients[0]} and ${one.recipients.length - 1} more`;
  if (one.recipients.length) return `To ${one.recipients.join(" and ")}`;
  return "By link";
};

/** Does `work` for each of these, some at a time; says how many worked. */
const each = async (all, work, done) => {
  const queue = [...all];
  const failed = [];
  const worker = async () => {
    for (let one = queue.shift(); one; one = queue.shift()) await work(one).catch((error) => failed.push(error));
  };
  await Promise.all(Array.from({ length: Math.min(CHANGED_AT_ONCE, all.length) }, worker));
  if (failed.length) note(`${count(failed.length, "package")} of ${all.length} not changed: ${failed[0].message}`, "bad");
  else note(done);
};

export const packages = (which) => async (page) => {
  const path = which === "sent" ? "/app/packages" : "/app/inbox";
  const list = which === "sent" ? "/packages" : "/inbox";
  const { query } = page;
  const chosen = new Map();
  const seen = new Map();
  let total = 0;
  let next = 1;
  let asked = 0;

  const search = h("input", { type: "search", id: "search", placeholder: "Search by name", autocomplete: "off", value: query.get("name") || "" });
  const state = select(STATES, query.get("status") || "", { id: "status" });
  const order = select(ORDERS, query.get("sort") || "-created_at", { id: "sort" });
  const found = h("p", { class: "facts", id: "found", role: "status" });
  const rows = h("ul", { class: "rows", id: "rows" });
  const more = button("Show more", null, () => attempt(() => load(), more), { id: "more" });
  const bulk = h("div", { class: "bulk", id: "bulk", role: "region", "aria-label": "Selected packages", hidden: true });
  const all = h("input", { type: "checkbox", id: "all", "aria-label": "Select all that are shown", onchange: () => {
    for (const one of seen.values()) if (all.checked) chosen.set(one.id, one); else chosen.delete(one.id);
    for (const box of rows.querySelectorAll("input[type=checkbox]")) box.checked = all.checked;
    showBulk();
  } });

  const row = (one) => {
    const box = h("input", { type: "checkbox", "aria-label": `Select ${one.name}`, onchange: () => {
      if (box.checked) chosen.set(one.id, one);
      else chosen.delete(one.id);
      showBulk();
    } });
    const [word, mood] = standing(one);
    return h("li", {}, box,
      h("a", { class: "name", href: `${path}/${one.id}` }, h("strong", {}, one.name), h("span", {}, whom(one, which))),
      h("span", { class: "state" }, badge(word, mood), one.password_protected ? h("span", { class: "sign", title: "With a password" }, icon("lock"), h("span", { class: "visually-hidden" }, "with a password")) : null),
      h("span", { class: "amount" }, h("span", {}, size(one.size)), h("small", {}, count(one.total_files, "file"))),
      h("span", { class: "when" }, h("time", { datetime: one.created_at, title: moment(one.created_at) }, day(isSet(one.finalized_at) ? one.finalized_at : one.created_at)),
        h("small", {}, (one.state || one.status) === "finalized" ? (isSet(one.expiry) ? `expires ${until(one.expiry)}` : "kept until deleted") : "")));
  };

  const showBulk = () => {
    bulk.hidden = chosen.size === 0;
    all.checked = seen.size > 0 && chosen.size >= seen.size;
    all.indeterminate = chosen.size > 0 && chosen.size < seen.size;
    bulk.replaceChildren(h("p", {}, h("strong", {}, count(chosen.size, "package")), " selected"),
      button("Change expiry", "clock", changeExpiry), button("Delete", "trash", remove, { class: "quiet alarming", id: "delete-selected" }),
      button("Clear", null, () => { chosen.clear(); for (const one of rows.querySelectorAll("input")) one.checked = false; showBulk(); }));
  };

  const again = async () => {
    chosen.clear();
    showBulk();
    await begin();
  };

  const remove = async () => {
    const these = [...chosen.values()];
    const text = "Their links stop working at once, and their files are deleted for good when the hub's trash is emptied.";
    if (await confirm(`Delete ${count(these.length, "package")}?`, text, "Delete", () => each(these, ({ id }) => call("DELETE", `/v1/packages/${id}`), `${count(these.length, "package")} deleted.`))) await again();
  };

  const changeExpiry = async () => {
    const these = [...chosen.values()];
    const until = h("input", { type: "date", name: "day" });
    const ever = h("input", { type: "checkbox", name: "ever" });
    const content = [field("Keep until the end of", until), h("label", { class: "check" }, ever, "Keep until somebody deletes them")];
    const work = async () => {
      if (!ever.checked && !until.value) throw new Error("Choose a day.");
      const change = ever.checked ? { unlimited_storage: true } : { expiry: endOfDay(until.value) };
      await each(these, ({ id }) => call("PUT", `/v1/packages/${id}/expiry`, change), `${count(these.length, "package")} changed.`);
      return true;
    };
    if (await dialog(`Change the expiry of ${count(these.length, "package")}`, content, { work })) await again();
  };

  /** The next page, below what is shown. */
  const load = async () => {
    asked += 1;
    const number_ = asked;
    const wanted = new URLSearchParams({ limit: AT_ONCE, sort: order.value, page: next });
    if (search.value.trim()) wanted.set("name", search.value.trim());
    if (state.value) wanted.set("status", state.value);
    const answer = await call("GET", ofTeam(`${list}?${wanted}`, "v1.1"));
    // What was typed meanwhile is asked for by itself.
    if (number_ !== asked) return;
    total = answer.metadata.total;
    next += 1;
    // The list may have moved since the last page: nothing is shown twice.
    const fresh = answer.records.filter(({ id }) => !seen.has(id));
    for (const one of fresh) seen.set(one.id, one);
    rows.append(...fresh.map(row));
    const narrowed = search.value.trim() || state.value;
    found.textContent = total ? `${number(seen.size)} of ${count(total, "package")}` : "";
    more.hidden = answer.records.length < AT_ONCE || seen.size >= total;
    all.parentElement.hidden = seen.size === 0;
    if (seen.size) empty.replaceChildren();
    else if (narrowed) empty.replaceChildren(nothing("Nothing found", "No package fits the search and the filter."));
    else if (which === "sent") empty.replaceChildren(nothing("Nothing sent yet", "What you and your team send is listed here."));
    else empty.replaceChildren(nothing("Nothing received yet", "What arrives through the portals of your team is listed here."));
    showBulk();
  };

  const begin = async () => {
    next = 1;
    seen.clear();
    asked += 1;
    rows.replaceChildren();
    const kept = new URLSearchParams();
    if (search.value.trim()) kept.set("name", search.value.trim());
    if (state.value) kept.set("status", state.value);
    if (order.value !== "-created_at") kept.set("sort", order.value);
    history.replaceState({}, "", `${path}${kept.size ? `?${kept}` : ""}`);
    await load();
  };

  let typing;
  search.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => attempt(begin), 250);
  });
  page.onLeave(() => clearTimeout(typing));
  state.addEventListener("change", () => attempt(begin));
  order.addEventListener("change", () => attempt(begin));
  const empty = h("div", {});
  const head = h("div", { class: "columns" }, all, h("span", {}, "Name"), h("span", {}, "State"), h("span", {}, "Size"), h("span", {}, which === "sent" ? "Sent" : "Received"));
  await load();
  return [
    h("div", { class: "head" }, h("h1", {}, which === "sent" ? "Sent" : "Received")),
    h("div", { class: "tools" }, h("div", { class: "searching" }, icon("search"), h("label", { class: "visually-hidden", for: "search" }, "Search by name"), search),
      h("label", { class: "visually-hidden", for: "status" }, "State"), state, h("label", { class: "visually-hidden", for: "sort" }, "Order"), order),
    bulk,
    h("section", { class: "card flush", "aria-label": "Packages" }, head, rows, empty),
    h("div", { class: "below" }, found, more),
  ];
};
