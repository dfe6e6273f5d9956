// Small helpers. Text only ever enters the page as text.

export const byId = (id) => document.getElementById(id);

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (key === "class") made.className = value;
    else if (value === true) made.setAttribute(key, "");
    else made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== undefined && child !== null && child !== false && child !== ""));
  return made;
}

export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(space, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

// A button that is disabled while its action runs.
export function button(text, act, { symbol, label, kind } = {}) {
  const made = element("button", { type: "button", class: kind, "aria-label": label, title: label },
    symbol && icon(symbol), text && element("span", {}, text));
  made.addEventListener("click", async (event) => {
    event.stopPropagation();
    made.disabled = true;
    try {
      await act();
    } catch (error) {
      complain(error);
    } finally {
      made.disabled = false;
    }
  });
  return made;
}

export function say(text, kind = "") {
  const toast = element("p", { class: `toast ${kind}` }, text);
  // A dialog covers the rest of the page.
  (document.querySelector("dialog[open]:last-of-type") ?? document.body).append(byId("toasts"));
  byId("toasts").append(toast);
  setTimeout(() => toast.remove(), kind === "bad" ? 9000 : 3500);
}

export const complain = (error) => say([error.message, error.hint].filter(Boolean).join(". "), "bad");

// Asks before something that cannot be undone; the answer is whether it may be done.
export function ask({ title, text, yes = "Yes", no = "Cancel", bad = false }) {
  return new Promise((resolve) => {
    const dialog = element("dialog", { class: "ask", "aria-labelledby": "ask-title", "aria-describedby": "ask-text" },
      element("h2", { id: "ask-title" }, title), element("p", { id: "ask-text" }, text),
      element("div", { class: "actions end" },
        element("button", { type: "button", onclick: () => dialog.close("") }, no),
        element("button", { type: "button", class: bad ? "danger" : "main", autofocus: true, onclick: () => dialog.close("yes") }, yes)));
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
    const held = document.activeElement;
    dialog.addEventListener("close", () => held?.isConnected && held.focus());
    document.body.append(dialog);
    dialog.showModal();
  });
}

export const copy = (text) => copyText(text, "Link copied");

export async function copyText(text, done) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without a secure context (a LAN address over HTTP) only the old way works.
    const field = element("textarea", { class: "unseen", readonly: true });
    field.value = text;
    (document.querySelector("dialog[open]") ?? document.body).append(field);
    field.select();
    const copied = document.execCommand("copy");
    field.remove();
    if (!copied) throw new Error(`The browser blocked copying. The text is ${text}`);
  }
  say(done);
}
