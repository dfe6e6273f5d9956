// Building and changing the page. All text goes in as text: nothing that somebody wrote can become markup.
"use strict";

const SVG = "http://www.w3.org/2000/svg";

const PATHS = {
  box: "M3 6.5 10 3l7 3.5v7L10 17l-7-3.500z M3 6.500 10 10l7-3.500 M10 10v7",
  inbox: "M3 11l2.500-6.500h9L17 11v5H3z M3 11h4l1 2h4l1-2h4",
  send: "M10 16V4 M5 9l5-5 5 5",
  user: "M10 10a3 3 0 1 0 0-6 3 3 0 0 0 0 6z M4 17c.5-3 3-4.500 6-4.500s5.500 1.500 6 4.500",
  people: "M7.500 9.500a2.500 2.500 0 1 0 0-5 2.500 2.500 0 0 0 0 5z M2.500 16c.4-2.500 2.500-4 5-4s4.600 1.500 5 4 M13 9.500a2.200 2.200 0 1 0-1-4.200 M14.500 12.200c1.700.5 2.700 1.900 3 3.800",
  key: "M7 13a3.500 3.500 0 1 1 3.200-5H17v3h-2v2h-3v-2h-1.800A3.500 3.500 0 0 1 7 13z",
  door: "M5 17V3h10v14 M3 17h14 M12 10v.5",
  gauge: "M4 15a7 7 0 1 1 12 0 M10 12l3-4",
  list: "M7 5h10 M7 10h10 M7 15h10 M3.500 5h.5 M3.500 10h.5 M3.500 15h.5",
  hook: "M7 8a3 3 0 1 1 4.500 2.500L9 15 M13 12a3 3 0 1 1-2.800 4H5.500",
  search: "M9 14A5 5 0 1 0 9 4a5 5 0 0 0 0 10z M12.700 12.700 17 17",
  link: "M8.500 11.500a3 3 0 0 0 4.300 0l2.700-2.700a3 3 0 1 0-4.300-4.300L10 5.700 M11.500 8.500a3 3 0 0 0-4.300 0l-2.700 2.700a3 3 0 1 0 4.300 4.300L10 14.300",
  copy: "M7 7h9v9H7z M4 13V4h9",
  mail: "M3 5h14v10H3z M3 5.500l7 5.500 7-5.500",
  trash: "M4 6h12 M8 6V4h4v2 M5.500 6l.8 10.500h7.400L14.500 6",
  lock: "M5 9h10v8H5z M7 9V6.500a3 3 0 0 1 6 0V9",
  clock: "M10 17a7 7 0 1 0 0-14 7 7 0 0 0 0 14z M10 6v4l2.500 2",
  file: "M5 2.500h6.500L15.500 6.500v11H5z M11.500 2.500v4h4",
  folder: "M2.500 4.500h5l2 2h8v9.500h-15z",
  down: "M10 3v10 M5.500 9 10 13.500 14.500 9 M4 17h12",
  eye: "M2 10c2-3.500 4.800-5 8-5s6 1.500 8 5c-2 3.500-4.800 5-8 5s-6-1.500-8-5z M10 12.300a2.300 2.300 0 1 0 0-4.600 2.300 2.300 0 0 0 0 4.600z",
  check: "M4 10.500 8 14.500 16 6",
  plus: "M10 4v12 M4 10h12",
  back: "M12 4l-6 6 6 6",
  close: "M5 5l10 10 M15 5 5 15",
  edit: "M4 16l.7-3.200L13 4.500l2.500 2.500-8.300 8.300z",
  out: "M8 4H4v12h4 M9 10h8 M14 7l3 3-3 3",
  star: "M10 3l2.200 4.500 5 .7-3.600 3.500.9 5L10 14.300 5.500 16.700l.9-5L2.800 8.200l5-.7z",
};

/** An icon, for the eye only. */
export const icon = (name) => {
  const image = document.createElementNS(SVG, "svg");
  image.setAttribute("class", "icon");
  image.setAttribute("viewBox", "0 0 20 20");
  image.setAttribute("aria-hidden", "true");
  for (const d of (PATHS[name] || PATHS.box).split(/ (?=M)/)) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", d);
    image.append(path);
  }
  return image;
};

const PROPERTIES = ["value", "checked", "selected", "disabled", "hidden", "indeterminate", "open"];

/** An element: its attributes, listeners (`onclick`) and children; `null` and `false` among these are left out. */
export const h = (tag, given, ...children) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(given || {})) {
    if (value === undefined || value === null) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (PROPERTIES.includes(name)) element[name] = value;
    else if (value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  // What a form goes back to when it is reset.
  if (given && given.checked) element.defaultChecked = true;
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
};

let fields = 0;

/** A labelled field. `control` gets an id; `hint` is read with it. */
export const field = (label, control, { hint, optional } = {}) => {
  fields += 1;
  control.id = control.id || `field-${fields}`;
  const about = hint ? h("p", { class: "hint", id: `${control.id}-hint` }, hint) : null;
  if (about) control.setAttribute("aria-describedby", about.id);
  return h("div", { class: "field" }, h("label", { for: control.id }, label, optional ? h("span", { class: "need" }, " (optional)") : null), control, about);
};

/** A choice among pairs of value and text. */
export const select = (options, chosen, more) =>
  h("select", more, options.map(([value, text]) => h("option", { value, selected: value === chosen }, text)));

/** A button with an icon. */
export const button = (text, name, onclick, more) =>
  h("button", { type: "button", class: "quiet", onclick, ...more }, name ? icon(name) : null, h("span", {}, text));

/** A link that looks like a button. */
export const anchor = (text, name, href, more) => h("a", { class: "button", href, ...more }, name ? icon(name) : null, h("span", {}, text));

/** A word in colour. `mood`: good, busy, warn, bad, plain. */
export const badge = (text, mood) => h("span", { class: `badge ${mood || "plain"}` }, text);

/** What stands where a list has nothing. */
export const nothing = (title, text, ...more) => h("div", { class: "nothing" }, h("p", { class: "large" }, title), text ? h("p", {}, text) : null, ...more);

let noted;

/** Says something that happened, to the eye and to screen readers. */
export const note = (text, mood = "good") => {
  const place = document.getElementById("notes");
  clearTimeout(noted);
  place.replaceChildren(h("p", { class: `note ${mood}` }, text));
  noted = setTimeout(() => place.replaceChildren(), 6000);
};

/** Does something that may fail and says so; the button is off meanwhile. */
export const attempt = async (work, control) => {
  if (control) control.disabled = true;
  try {
    return await work();
  } catch (error) {
    note(error.message, "bad");
    return undefined;
  } finally {
    if (control) control.disabled = false;
  }
};

/**
 * A dialog with a form. `work` gets the form when it is submitted; where it fails, the dialog stays and says why. Resolves to what
 * `work` returned, or to `null` if it was closed.
 */
export const dialog = (title, content, { action = "Save", danger = false, work = async () => true, cancel = "Cancel" } = {}) =>
  new Promise((resolve) => {
    const problem = h("p", { class: "problem", role: "alert" });
    const submit = action ? h("button", { type: "submit", class: danger ? "danger" : "" }, action) : null;
    let outcome = null;
    const form = h("form", { method: "dialog" }, h("h2", { id: "dialog-title" }, title), h("div", { class: "content" }, content), problem,
      h("div", { class: "actions" }, submit, h("button", { type: "button", class: "quiet", onclick: () => box.close() }, cancel)));
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      submit.disabled = true;
      problem.textContent = "";
      try {
        outcome = await work(form);
        box.close();
      } catch (error) {
        problem.textContent = error.message;
        submit.disabled = false;
      }
    });
    const box = h("dialog", { "aria-labelledby": "dialog-title" }, form);
    const before = document.activeElement;
    box.addEventListener("close", () => {
      box.remove();
      if (before && before.isConnected) before.focus();
      resolve(outcome);
    });
    document.body.append(box);
    box.showModal();
  });

/** Asks before something that cannot be undone. Resolves to whether it was done. */
export const confirm = (title, text, action, work) =>
  dialog(title, h("p", {}, text), { action, danger: true, work: async () => { await work(); return true; } });

/** Copies a text; where the browser does not allow it, it is shown, selected. */
export const copy = async (text, told) => {
  try {
    await navigator.clipboard.writeText(text);
    note(told || "Copied.");
  } catch {
    const shown = h("input", { value: text, readonly: true, "aria-label": "Text to copy" });
    const showing = dialog("Copy this", shown, { action: "", cancel: "Close" });
    shown.select();
    await showing;
  }
};
