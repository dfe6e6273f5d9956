// Everything known about one transfer: what went wrong and what to do, to whom it goes, links, files.

import * as api from "./api.js";
import { byId, button, copy, element, say } from "./dom.js";
import { bytes, plural, time } from "./format.js";
import { known, onChange } from "./known.js";
import { buttons } from "./orders.js";
import { picture } from "./qr.js";
import { bar, look, read, to } from "./transfer.js";

const FILES = 200;

const fact = (name, value) => (value ? [element("dt", {}, name), element("dd", {}, value)] : []);

function trouble({ error }) {
  return error && element("div", { class: "trouble", role: "alert" }, element("p", {}, error.message),
    error.hint && element("p", { class: "hint" }, error.hint), element("code", {}, error.code));
}

// The links whose codes are shown.
const codes = new Set();

const code = (url) => {
  const drawn = picture(url, "QR code of the link");
  return drawn && element("div", { class: "code" }, drawn);
};

// A link, with a code for the camera of a phone.
function link({ url, email }) {
  const item = element("li", {},
    element("a", { href: url, target: "_blank", rel: "noreferrer" }, url),
    email && element("span", { class: "tag" }, email),
    button("QR code", () => {
      if (codes.delete(url)) return item.querySelector(".code").remove();
      const drawn = code(url);
      if (!drawn) return say("The link is too long for a QR code", "bad");
      codes.add(url);
      item.append(drawn);
    }, { label: "Show the link as a QR code" }),
    button("Copy", () => copy(url), { label: "Copy this link" }),
    codes.has(url) && code(url));
  return item;
}

function file(one, transfer) {
  // The transfer's own reason stands above.
  const why = one.error && one.error.message !== transfer.error?.message && [one.error.message, one.error.hint].filter(Boolean).join(" — ");
  const going = one.progress !== undefined && one.progress < one.size && one.progress > 0 && transfer.state !== "complete";
  return element("li", { class: one.error ? "bad" : "" },
    element("span", { class: "name" }, one.path),
    why && element("span", { class: "trouble" }, why),
    element("span", { class: one.error ? "trouble" : "faint" }, one.state),
    element("span", { class: "faint size" }, going ? `${bytes(one.progress)} of ${bytes(one.size)}` : bytes(one.size)),
    going && bar(one, `Progress of ${one.path}`));
}

function files(transfer) {
  if (!transfer.files?.length) return undefined;
  const rest = transfer.file_count - transfer.files.length;
  return element("section", {}, element("h3", {}, plural(transfer.file_count, "file")),
    element("ul", { class: "files", tabindex: 0, "aria-label": "Files" }, ...transfer.files.map((one) => file(one, transfer))),
    rest > 0 && element("p", { class: "faint" }, `and ${plural(rest, "more file", "more files")}`));
}

function draw(dialog, transfer) {
  const shown = look(transfer);
  const again = async (change) => {
    await change();
    draw(dialog, read(await api.get(`${transfer.path}?files=true&limit=${FILES}`), transfer.way));
  };
  const order = (place) => button(place === "top" ? "Move to top" : "Move to end", () => again(() =>
    api.send("PATCH", transfer.path, { order: place })));
  const waits = transfer.way === "up" && transfer.state === "transferring";
  const more = transfer.way === "up" && transfer.package_id && transfer.kind !== "portal";
  const links = transfer.links ?? [];
  const kinds = { link: "by link", email: "by e-mail", portal: "into a portal" };
  dialog.replaceChildren(...[
    element("div", { class: "head" }, element("h2", { id: "details-title" }, transfer.name),
      button("", () => dialog.close(), { symbol: "close", label: "Close" })),
    element("p", { class: `standing ${shown.mood}` }, shown.word),
    transfer.state !== "complete" && bar(transfer), trouble(transfer),
    element("dl", {}, ...fact(transfer.way === "up" ? "To" : "Into", to(transfer)), ...fact("Sender", transfer.portal?.sender),
      element("dt", {}, transfer.way === "up" ? "Sent" : "Received"),
      element("dd", { class: "arrived" }, `${bytes(transfer.progress)} of ${bytes(transfer.size)}`),
      ...fact("Message", transfer.description), ...fact("Rule", transfer.rule), ...fact("Delivered", kinds[transfer.kind]),
      ...fact("From", transfer.source),
      ...fact("Priority", transfer.priority ? String(transfer.priority) : ""), ...fact("Ordered", time(transfer.created_at)),
      ...fact("Completed", time(transfer.completed_at)), ...fact("Package", transfer.package_id), ...fact("ID", transfer.id)),
    links.length > 0 && element("section", {}, element("h3", {}, links.length > 1 ? "Links" : "Link"),
      element("ul", { class: "links" }, ...links.map(link))),
    files(transfer),
    element("div", { class: "actions" },
      ...[...buttons(transfer, { words: true, gone: () => dialog.close() }).filter((made) => made && !made.classList.contains("copy")),
        waits && order("top"), waits && order("bottom"),
        more && button("New link", () => again(async () => {
          await api.send("POST", `${transfer.path}/links`, {});
          say("Link created");
        }))].filter(Boolean)),
  ].filter(Boolean));
}

let open;

// Keeps the details up to date: figures as they come, everything else when the state changes.
function follow() {
  const dialog = byId("details");
  const transfer = dialog.open && open && known.get(open.id);
  if (!transfer || transfer.version === open.version) return;
  const other = transfer.state !== open.state || (transfer.links ?? []).length !== (open.links ?? []).length;
  open = transfer;
  if (other) return void details(transfer).catch(() => {});
  const shown = look(transfer);
  dialog.querySelector(".standing").replaceWith(element("p", { class: `standing ${shown.mood}` }, shown.word));
  dialog.querySelector(":scope > .progress")?.replaceWith(bar(transfer));
  const arrived = dialog.querySelector("dd.arrived");
  if (arrived) arrived.textContent = `${bytes(transfer.progress)} of ${bytes(transfer.size)}`;
}

export const start = () => onChange(follow);

export async function details(transfer) {
  const dialog = byId("details");
  if (!dialog.open) codes.clear();
  open = transfer;
  draw(dialog, transfer);
  if (!dialog.open) dialog.showModal();
  dialog.onclick = (event) => event.target === dialog && dialog.close();
  try {
    const whole = await api.get(`${transfer.path}?files=true&limit=${FILES}`);
    if (dialog.open && open?.id === transfer.id) draw(dialog, read(whole, transfer.way));
  } catch (error) {
    if (error.status === 404) dialog.close();
    say(error.message, "bad");
  }
}
