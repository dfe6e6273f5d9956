// What can be ordered for a transfer, and the buttons for it.

import * as api from "./api.js";
import { ask, button, copy, say } from "./dom.js";
import { plural } from "./format.js";
import { drop, put } from "./known.js";
import { lacksFiles, linkOf } from "./transfer.js";

export async function act(transfer, what) {
  put(await api.send("POST", `${transfer.path}/${what}`), transfer.way);
}

export async function remove(transfer) {
  const complete = transfer.state === "complete";
  const sure = await ask(complete
    ? { title: `Remove ${transfer.name} from the list?`, text: "The package stays available to its recipients.", yes: "Remove" }
    : { title: `Cancel ${transfer.name}?`, yes: "Cancel it", no: "Keep it", bad: true,
      text: transfer.way === "up" ? "What has been sent of it is removed from the cloud. Local files are kept."
        : "Files that are complete are kept." });
  if (!sure) return false;
  await api.send("DELETE", transfer.path);
  drop(transfer.id);
  return true;
}

export const canPause = (transfer) => transfer.state === "transferring";
export const canResume = (transfer) => ["paused", "error"].includes(transfer.state);

// The same for several: those for which it makes no sense are left out. Each is tried.
export async function actAll(transfers, what, done) {
  const results = await Promise.allSettled(transfers.map((transfer) => act(transfer, what)));
  tellAll(results, done);
}

export async function removeAll(transfers) {
  const open = transfers.filter((transfer) => transfer.state !== "complete").length;
  const sure = await ask({ title: `Remove ${plural(transfers.length, "transfer")}?`, yes: "Remove", bad: open > 0,
    text: open ? `${plural(open, "of them is", "of them are")} not complete and cancelled: what has been sent is removed from the cloud. Local files are kept.`
      : "The packages stay available to their recipients." });
  if (!sure) return;
  const results = await Promise.allSettled(transfers.map(async (transfer) => {
    await api.send("DELETE", transfer.path);
    drop(transfer.id);
  }));
  tellAll(results, "removed");
}

function tellAll(results, done) {
  const failed = results.filter((result) => result.status === "rejected");
  say(`${plural(results.length - failed.length, "transfer")} ${done}`);
  if (failed.length) say(`${plural(failed.length, "transfer")} not: ${failed[0].reason.message}`, "bad");
}

// Symbols in the list, words in the details; `gone` is called once the transfer has been removed.
export function buttons(transfer, { words = false, gone = () => {} } = {}) {
  const { state, name } = transfer;
  const word = (text) => (words ? text : "");
  const link = linkOf(transfer);
  return [
    state === "idle" && button("Finalize", () => act(transfer, "finalize"), { kind: "main", label: `Finalize ${name}` }),
    lacksFiles(transfer) && button("Send without it", () => act(transfer, "resume_without_gone"),
      { kind: "main", label: `Send without it: ${name}, without the files that no longer exist` }),
    state === "error" && button("Try again", () => act(transfer, "resume"), { label: `Try again: ${name}` }),
    link && button("", () => copy(link), { symbol: "link", label: `Copy the link to ${name}`, kind: "copy" }),
    state === "transferring" && button(word("Pause"), () => act(transfer, "pause"), { symbol: "pause", label: `Pause ${name}` }),
    state === "paused" && button(word("Resume"), () => act(transfer, "resume"), { symbol: "play", label: `Resume ${name}` }),
    button(word("Remove"), async () => (await remove(transfer)) && gone(), { symbol: "close", label: `Remove ${name}` }),
  ];
}
