// Chooses files and folders of the agent's machine: only what the agent may read is listed, by the agent.

import * as api from "./api.js";
import { button, element, icon } from "./dom.js";
import { bytes, number, plural, time } from "./format.js";

const LAST = "masv-folder";

// The folders on the way to a path, each with its own path.
function crumbs(path) {
  const names = path.split("/").filter(Boolean);
  return [["/", "/"], ...names.map((name, index) => [name, `/${names.slice(0, index + 1).join("/")}`])];
}

// Opens the chooser. With `many`, the answer is a list of files and folders; without, one folder. Nothing if it was closed.
export function choose({ title, many = false, yes = "Choose" }) {
  return new Promise((resolve) => {
    const chosen = new Map();
    let shown = { path: undefined, entries: [] };
    let round = 0;
    const trouble = element("p", { class: "trouble", role: "alert" });
    const way = element("nav", { class: "way", "aria-label": "Folder" });
    const list = element("ul", { class: "entries", "aria-label": "Files and folders", tabindex: 0, autofocus: true });
    const note = element("p", { class: "faint", role: "status" });
    const find = element("input", { type: "search", placeholder: "Find in this folder", "aria-label": "Find in this folder", autocomplete: "off" });
    const hidden = element("input", { type: "checkbox" });
    const done = element("button", { type: "button", class: "main" }, yes);
    const dialog = element("dialog", { class: "chooser", "aria-labelledby": "chooser-title" },
      element("div", { class: "head" }, element("h2", { id: "chooser-title" }, title),
        button("", () => dialog.close(), { symbol: "close", label: "Close the chooser" })),
      way, element("div", { class: "tools" }, find, element("label", { class: "check" }, hidden, element("span", {}, "Hidden files"))),
      trouble, list, note,
      element("div", { class: "actions end" }, element("button", { type: "button", onclick: () => dialog.close() }, "Cancel"), done));

    function tell() {
      const count = chosen.size;
      done.disabled = many ? count === 0 && !shown.path : !shown.path;
      done.textContent = !many ? `${yes} this folder` : count ? `${yes} ${plural(count, "selected", "selected")}` : `${yes} this folder`;
    }

    function line(entry) {
      const open = () => go(entry.path);
      const mark = element("input", { type: "checkbox", "aria-label": `Select ${entry.name}`, checked: chosen.has(entry.path) });
      mark.addEventListener("change", () => {
        if (mark.checked) chosen.set(entry.path, entry);
        else chosen.delete(entry.path);
        tell();
      });
      const about = element("span", { class: "faint size" }, entry.folder ? "" : bytes(entry.size ?? 0));
      const when = element("span", { class: "faint when" }, time(entry.modified_at));
      const name = entry.folder
        ? element("button", { type: "button", class: "open", onclick: open }, icon("folder"), element("span", {}, entry.name))
        : element("button", { type: "button", class: "open", disabled: !many, onclick: () => mark.click() }, icon("file"), element("span", {}, entry.name));
      // The places to begin at are opened, not sent.
      return element("li", {}, many && shown.path ? mark : undefined, name, when, about);
    }

    function draw() {
      const parts = shown.path ? crumbs(shown.path) : [];
      const above = (path) => shown.parent !== undefined && path !== shown.path && (path === "/" ? shown.parent.startsWith("/") : `${shown.parent}/`.startsWith(`${path}/`));
      way.replaceChildren(button("Places", () => go(undefined)), ...parts.map(([name, path]) => (above(path)
        ? button(name, () => go(path), { label: `Open ${path}` }) : element("span", {}, name))));
      const visible = shown.entries.filter(({ name }) => hidden.checked || !shown.path || !name.startsWith("."));
      list.replaceChildren(...visible.map(line));
      list.scrollTop = 0;
      note.textContent = [!visible.length && "Nothing to choose here.",
        shown.more > 0 && `${number(shown.more)} more: search for them.`,
        shown.skipped > 0 && `${plural(shown.skipped, "entry", "entries")} cannot be chosen: links, devices, or the agent's own.`].filter(Boolean).join(" ");
      tell();
    }

    async function go(path, search = "") {
      round += 1;
      const mine = round;
      if (!search) find.value = "";
      const asked = new URLSearchParams({ ...(path ? { path } : {}), ...(search ? { search } : {}) });
      try {
        const answer = await api.get(`/folders?${asked}`);
        if (mine !== round) return;
        shown = answer;
        trouble.textContent = "";
        if (path) sessionStorage.setItem(LAST, path);
        draw();
      } catch (error) {
        if (mine !== round) return;
        // The folder chosen last may be gone.
        if (!shown.path && path && !search && path === sessionStorage.getItem(LAST)) {
          sessionStorage.removeItem(LAST);
          return go(undefined);
        }
        trouble.textContent = error.message;
      }
    }

    let typed;
    find.addEventListener("input", () => {
      clearTimeout(typed);
      typed = setTimeout(() => shown.path && go(shown.path, find.value.trim()), 200);
    });
    hidden.addEventListener("change", draw);
    done.addEventListener("click", () => dialog.close("yes"));
    dialog.addEventListener("close", () => {
      dialog.remove();
      if (dialog.returnValue !== "yes") return resolve(undefined);
      resolve(many ? (chosen.size ? [...chosen.values()] : [{ path: shown.path, name: shown.path, folder: true }]) : shown.path);
    });
    document.body.append(dialog);
    dialog.showModal();
    tell();
    go(sessionStorage.getItem(LAST) ?? undefined);
  });
}
