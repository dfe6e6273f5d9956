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
  const made = element("button", { type: "button", class: kind, "aria-label": label, title: symbol ? label : undefined },
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
  byId("toasts").append(toast);
  setTimeout(() => toast.remove(), kind === "bad" ? 9000 : 3500);
}

export const complain = (error) => say([error.message, error.hint].filter(Boolean).join(". "), "bad");

export async function copy(text) {
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
    if (!copied) throw new Error(`The browser blocked copying. The link is ${text}`);
  }
  say("Link copied");
}
