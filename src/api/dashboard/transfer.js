// One transfer, in words: what it is doing, to whom it goes, how far it is.

import { element } from "./dom.js";
import { bytes, duration, number, plural, speed, time, until } from "./format.js";

// How a transfer is shown: a word, a symbol, a colour, and where it comes in the list.
export function look(transfer) {
  const { state, activity } = transfer;
  if (state === "error") return { word: "Failed", symbol: "alert", mood: "bad", rank: 0 };
  if (state === "idle") return { word: "Waiting to be finalized", symbol: "clock", mood: "warn", rank: 3 };
  if (state === "paused") return { word: "Paused", symbol: "pause", mood: "quiet", rank: 5 };
  if (state === "complete") return { word: "Complete", symbol: "check", mood: "good", rank: 6 };
  if (activity === "retrying") return { word: "Retrying", symbol: "retry", mood: "warn", rank: 1 };
  if (activity === "growing") return { word: "Being written", symbol: transfer.way, mood: "busy", rank: 2 };
  if (activity === "queued") return { word: "Queued", symbol: "clock", mood: "quiet", rank: 4 };
  const words = { creating: "Creating the package", opening: "Opening the link", sending: "Sending", receiving: "Receiving",
    verifying: "Verifying", finalizing: "Finalizing" };
  return { word: words[activity] ?? activity, symbol: transfer.way, mood: "busy", rank: 2 };
}

// Adds to a transfer of the API what the page needs.
export function read(transfer, way) {
  const order = transfer.state === "complete" ? -Date.parse(transfer.completed_at) : -transfer.priority;
  return { ...transfer, way, path: `/${way === "up" ? "uploads" : "downloads"}/${transfer.id}`, order,
    name: transfer.name ?? "Unnamed package", version: JSON.stringify(transfer) };
}

// The link to share.
export const linkOf = (transfer) => transfer.links?.[0]?.url;

// Whether it failed because files of it no longer exist.
export const lacksFiles = (transfer) => transfer.way === "up" && ["error", "paused"].includes(transfer.state)
  && (transfer.error?.code === "source_gone" || (transfer.files ?? []).some((file) => file.state === "gone"));

// To whom it goes.
export function to(transfer) {
  if (transfer.portal) return `portal ${transfer.portal.subdomain}`;
  if (transfer.recipients?.length) return transfer.recipients.join(", ");
  return transfer.way === "down" ? transfer.dst_folder ?? "" : "";
}

// The same, where there is little room.
export function briefly(transfer) {
  const [first, ...others] = transfer.recipients ?? [];
  if (!first) return transfer.way === "up" ? to(transfer) : "";
  return others.length ? `${first} +${others.length}` : first;
}

export function tail(transfer) {
  const parts = [];
  if (transfer.speed_bps > 0) parts.push(speed(transfer.speed_bps));
  if (transfer.eta_seconds !== null && transfer.activity !== "queued") parts.push(`${duration(transfer.eta_seconds)} left`);
  if (transfer.state === "complete") parts.push(time(transfer.completed_at));
  return parts.join(" · ");
}

// Why it does not go on; empty if it does.
export function reason(transfer) {
  const { error } = transfer;
  if (!error || !(transfer.state === "error" || ["retrying", "growing"].includes(transfer.activity))) return "";
  return error.message + (transfer.next_retry_at ? ` Next attempt in ${until(transfer.next_retry_at)}.` : "");
}

export function story(transfer, { word }) {
  const why = reason(transfer);
  if (why) return why;
  const parts = [word];
  const some = transfer.state !== "complete" && transfer.progress > 0;
  if (transfer.file_count > 1) {
    parts.push(some ? `${number(transfer.files_done)} of ${plural(transfer.file_count, "file")}` : plural(transfer.file_count, "file"));
  }
  parts.push(some ? `${bytes(transfer.progress)} of ${bytes(transfer.size)}` : bytes(transfer.size));
  if (transfer.state === "complete" && transfer.started_at) {
    parts.push(`took ${duration((Date.parse(transfer.completed_at) - Date.parse(transfer.started_at)) / 1000)}`);
  }
  return parts.join(" · ");
}

// The short form for narrow screens: the time left, or when it was completed.
export function shortly(transfer, shown) {
  const when = tail(transfer);
  if (!when || reason(transfer)) return story(transfer, shown);
  return `${when} · ${transfer.state === "complete" ? bytes(transfer.size) : `${bytes(transfer.size - transfer.progress)} left`}`;
}

// How much of something has arrived, and how much is in flight.
export function bar({ size, progress, in_flight: flight = 0, state }, label = "Progress") {
  const share = (count) => (size > 0 ? Math.min(100, (count / size) * 100) : 0);
  const done = state === "complete" ? 100 : share(progress);
  const made = element("div", { class: "progress", role: "progressbar", "aria-label": label, "aria-valuemin": 0,
    "aria-valuemax": 100, "aria-valuenow": Math.floor(done) }, element("i"), element("b"));
  made.children[0].style.width = `${share(progress + flight)}%`;
  made.children[1].style.width = `${done}%`;
  return made;
}
