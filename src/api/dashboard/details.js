// Everything known about one transfer: what went wrong and what to do, links, files.

import * as api from "./api.js";
import { byId, button, copy, element, say } from "./dom.js";
import { bytes, plural, time } from "./format.js";
import { bar, buttons, look, read } from "./transfers.js";

const FILES = 200;

// The link to share.
export const linkOf = (transfer) => transfer.links?.[0]?.url;

const fact = (name, value) => (value ? [element("dt", {}, name), element("dd", {}, value)] : []);

function trouble({ error }) {
  return error && element("div", { class: "trouble", role: "alert" }, element("p", {}, error.message),
    error.hint && element("p", { class: "hint" }, error.hint), element("code", {}, error.code));
}

function links(transfer) {
  return (transfer.links ?? []).map((link) => element("li", {},
    element("a", { href: link.url, target: "_blank", rel: "noreferrer" }, link.url),
    link.email && element("span", { class: "tag" }, link.email),
    button("Copy", () => copy(link.url), { label: "Copy this link" })));
}

function files(transfer) {
  if (!transfer.files?.length) return undefined;
  const rest = transfer.file_count - transfer.files.length;
  return element("section", {}, element("h3", {}, plural(transfer.file_count, "file")),
    element("ul", { class: "files" }, ...transfer.files.map((file) => element("li", { class: file.error ? "bad" : "" },
      element("span", { class: "name" }, file.path),
      file.error && element("span", { class: "trouble" }, [file.error.message, file.error.hint].filter(Boolean).join(" — ")),
      element("span", { class: "faint" }, file.state), element("span", { class: "faint size" }, bytes(file.size))))),
    rest > 0 && element("p", { class: "faint" }, `and ${plural(rest, "more file", "more files")}`));
}

function draw(dialog, transfer) {
  const shown = look(transfer);
  const given = links(transfer);
  const again = async (change) => {
    await change();
    draw(dialog, read(await api.get(`${transfer.path}?files=true&limit=${FILES}`), transfer.way));
  };
  const order = (place) => button(place === "top" ? "Move to top" : "Move to end", () => again(() =>
    api.send("PATCH", transfer.path, { order: place })));
  const waits = transfer.way === "up" && transfer.state === "transferring";
  const more = transfer.way === "up" && transfer.package_id && transfer.kind !== "portal";
  dialog.replaceChildren(
    element("div", { class: "head" }, element("h2", { id: "details-title" }, transfer.name ?? "Unnamed package"),
      button("", () => dialog.close(), { symbol: "close", label: "Close" })),
    element("p", { class: `standing ${shown.mood}` }, shown.word),
    bar(transfer), trouble(transfer) ?? "",
    element("dl", {}, ...fact("Sent", `${bytes(transfer.progress)} of ${bytes(transfer.size)}`),
      ...fact("To", transfer.portal ? `portal ${transfer.portal.subdomain}` : transfer.recipients?.join(", ")),
      ...fact("Sender", transfer.portal?.sender), ...fact("Message", transfer.description), ...fact("Rule", transfer.rule), ...fact("Type", transfer.kind),
      ...fact("From", transfer.source), ...fact("Into", transfer.dst_folder),
      ...fact("Priority", transfer.priority ? String(transfer.priority) : ""), ...fact("Created", time(transfer.created_at)),
      ...fact("Completed", time(transfer.completed_at)), ...fact("Package", transfer.package_id), ...fact("ID", transfer.id)),
    given.length ? element("section", {}, element("h3", {}, given.length > 1 ? "Links" : "Link"),
      element("ul", { class: "links" }, ...given)) : "",
    files(transfer) ?? "",
    element("div", { class: "actions" },
      ...buttons(transfer, { words: true, gone: () => dialog.close() }).filter(Boolean).filter((made) => !made.classList.contains("copy")),
      waits && order("top"), waits && order("bottom"),
      more && button("New link", () => again(async () => {
        await api.send("POST", `${transfer.path}/links`, {});
        say("Link created");
      }))),
  );
}

export async function details(transfer) {
  const dialog = byId("details");
  draw(dialog, transfer);
  if (!dialog.open) dialog.showModal();
  dialog.onclick = (event) => event.target === dialog && dialog.close();
  try {
    const whole = await api.get(`${transfer.path}?files=true&limit=${FILES}`);
    if (dialog.open) draw(dialog, read(whole, transfer.way));
  } catch (error) {
    if (error.status === 404) dialog.close();
    say(error.message, "bad");
  }
}

