// Who changed what.
"use strict";

import { call, ofTeam } from "./api.js";
import { attempt, button, h, icon, nothing } from "./dom.js";
import { count, moment, number } from "./format.js";

const AT_ONCE = 50;

export const audit = async (page) => {
  const search = h("input", { type: "search", id: "search", placeholder: "Search by who did it", autocomplete: "off" });
  const rows = h("ul", { class: "records plain", id: "entries" });
  const found = h("p", { class: "facts", role: "status" });
  const more = button("Show more", null, () => attempt(load, more), { id: "more" });
  const seen = new Set();
  let next = 1;
  let asked = 0;
  const row = (entry) => h("li", {}, h("div", { class: "what" }, h("strong", {}, entry.action.replace(".", " ").replaceAll("_", " ")), h("span", {}, entry.subject)),
    h("div", { class: "by" }, h("span", {}, entry.actor), h("small", {}, moment(entry.created_at), entry.address ? ` · ${entry.address}` : "")));
  const load = async () => {
    asked += 1;
    const mine = asked;
    const query = new URLSearchParams({ limit: AT_ONCE, page: next });
    if (search.value.trim()) query.set("actor", search.value.trim());
    const { metadata, records } = await call("GET", ofTeam(`/audit?${query}`));
    if (mine !== asked) return;
    next += 1;
    const fresh = records.filter(({ id }) => !seen.has(id));
    for (const { id } of fresh) seen.add(id);
    rows.append(...fresh.map(row));
    more.hidden = records.length < AT_ONCE || seen.size >= metadata.total;
    found.textContent = metadata.total ? `${number(seen.size)} of ${count(metadata.total, "entry", "entries")}` : "";
    empty.replaceChildren(...(seen.size ? [] : [nothing("Nothing found", "")]));
  };
  const empty = h("div", {});
  let typing;
  search.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => attempt(async () => {
      next = 1;
      seen.clear();
      rows.replaceChildren();
      await load();
    }), 250);
  });
  page.onLeave(() => clearTimeout(typing));
  await load();
  return [
    h("div", { class: "head" }, h("div", {}, h("h1", {}, "Audit"), h("p", { class: "facts" }, "Who changed what in this team, and from where."))),
    h("div", { class: "tools" }, h("div", { class: "searching" }, icon("search"), h("label", { class: "visually-hidden", for: "search" }, "Search by who did it"), search)),
    h("section", { class: "card flush", "aria-label": "Entries" }, rows, empty),
    h("div", { class: "below" }, found, more),
  ];
};
