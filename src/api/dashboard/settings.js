// Limits and concurrency; facts about the agent, and problems that keep it from working.

import * as api from "./api.js";
import { byId, button, complain, element, say } from "./dom.js";
import { bytes, plural, time } from "./format.js";
import { documents } from "./keys.js";
import * as notices from "./notices.js";
import { learn } from "./trouble.js";

const DAYS = { mon: "Monday", tue: "Tuesday", wed: "Wednesday", thu: "Thursday", fri: "Friday", sat: "Saturday", sun: "Sunday" };

function field(label, attributes) {
  const input = element("input", attributes);
  return { input, node: element("label", { class: attributes.type === "checkbox" ? "check" : "" }, input, element("span", {}, label)) };
}

// A card with a form that is saved by one call.
function form(title, parts, save) {
  const made = element("form", { class: "card" }, element("h3", {}, title), ...parts,
    element("div", { class: "actions" }, element("button", { type: "submit" }, "Save")));
  made.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      await save();
      say("Saved");
    } catch (error) {
      complain(error);
    }
  });
  return made;
}

function limit(title, path, set) {
  const enabled = field("Limit", { type: "checkbox", checked: set.enabled });
  const rate = field("MB per second, in total", { type: "number", min: 0.1, step: 0.1, value: (set.rate_limit_bps || 10_000_000) / 1e6 });
  const scheduled = field("Only at these times", { type: "checkbox", checked: set.schedule_enabled });
  const days = Object.entries(DAYS).map(([key, name]) => {
    const span = set.schedule[key];
    const on = field(name, { type: "checkbox", checked: span.enabled });
    const start = element("input", { type: "time", value: span.start, "aria-label": `${name}, from` });
    const end = element("input", { type: "time", value: span.end, "aria-label": `${name}, until` });
    const read = () => ({ enabled: on.input.checked, start: start.value || "00:00", end: end.value || "00:00" });
    return { key, read, node: element("div", { class: "day" }, on.node, start, element("span", { class: "faint" }, "–"), end) };
  });
  const week = element("div", { class: "week", hidden: !set.schedule_enabled }, ...days.map(({ node }) => node));
  scheduled.input.addEventListener("change", () => { week.hidden = !scheduled.input.checked; });
  return form(title, [enabled.node, rate.node, scheduled.node, week], () => api.send("POST", path, {
    enabled: enabled.input.checked,
    rate_limit_bps: Math.round(Number(rate.input.value) * 1e6),
    schedule_enabled: scheduled.input.checked,
    schedule: Object.fromEntries(days.map(({ key, read }) => [key, read()])),
  }));
}

function atOnce(workers, fifo, open, readers) {
  const found = `as many as bring more (now ${workers.workers})`;
  const whole = (label, least, most, value, more = {}) => field(label, { type: "number", min: least, max: most, value, ...more });
  const parts = whole("Parts at once, over all uploads; empty: as many as bring more", 1, 256, workers.auto ? "" : workers.workers, { placeholder: found });
  const uploads = whole("Uploads at once; the others wait for their turn", 1, 1000, fifo.active_upload_count, { required: true });
  const files = whole("Files read at once, over all uploads", 1, 256, open.open_files, { required: true });
  const disk = whole("Parts read at once from each disk; 1 or 2 suit hard disks", 1, 256, readers.disk_readers, { required: true });
  return form("At once", [parts.node, uploads.node, files.node, disk.node], async () => {
    await api.send("POST", "/settings/workers", parts.input.value === "" ? { auto: true } : { workers: Number(parts.input.value) });
    await api.send("POST", "/settings/fifo_mode", { active_upload_count: Number(uploads.input.value) });
    await api.send("POST", "/settings/open_files", { open_files: Number(files.input.value) });
    await api.send("POST", "/settings/disk_readers", { disk_readers: Number(disk.input.value) });
  });
}

function told() {
  const why = notices.hindrance();
  return element("section", { class: "card" }, element("h3", {}, "Notifications"),
    element("p", { class: "faint" }, why || "While this page is in the background, the browser says what was completed, what failed, and what is wrong."),
    element("div", { class: "actions" }, !why && button(notices.on() ? "Turn off" : "Notify me", async () => {
      await notices.turn(!notices.on());
      await load();
    })));
}

function about(server) {
  const fact = (name, value) => (value ? [element("dt", {}, name), element("dd", {}, value)] : []);
  return element("section", { class: "card" }, element("h3", {}, "This agent"), element("dl", {},
    ...fact("Machine", server.host), ...fact("Version", server.version),
    ...fact("Running since", `${time(server.started_at)} (process ${server.pid})`),
    ...fact("Sends to", server.embedded_hub ? `${server.cloud} (its embedded hub)` : server.cloud),
    ...fact("Rules", server.rules_file ? `${plural(server.rules, "rule")} in ${server.rules_file}` : "none"),
    ...server.links.flatMap((link) => fact(link.direction === "upload" ? "Sending" : "Receiving", linkText(link))),
    ...fact("State in", server.data_dir),
    ...fact("Log", "on its standard error: where you started it, or, for the service, journalctl -u masv-agent")),
  element("h4", {}, "Documentation"), documents(),
  element("div", { class: "actions" }, api.hasToken() && button("Sign out", api.signOut, { label: "Sign out: this tab forgets the token" })));
}

const LIMITS = {
  search: "trying more", capacity: "more would bring nothing", workers: "as many as may be",
  throttling: "the cloud asks for fewer requests", losses: "connections break",
};

function linkText({ busy, workers, round_trip_ms, goodput_bps, limited_by }) {
  const told = [`${busy} of ${workers} parts at once`,
    round_trip_ms !== null && `round trip ${Math.round(round_trip_ms)} ms`,
    goodput_bps > 0 && `${bytes(goodput_bps)}/s`, LIMITS[limited_by]];
  return told.filter(Boolean).join(", ");
}

// The words of `masv doctor`.
const GRADES = { green: "ok", amber: "look", red: "wrong" };

function doctor() {
  const found = element("ul", { class: "checks" });
  const look = async () => {
    const { checks } = await api.get("/doctor");
    learn({ checks });
    found.replaceChildren(...checks.map((check) => element("li", { class: check.grade },
      element("strong", {}, check.name), element("span", { class: "grade" }, GRADES[check.grade]), element("span", {}, check.finding),
      check.todo && element("p", { class: "hint" }, check.todo))));
  };
  return element("section", { class: "card" }, element("h3", {}, "Doctor"),
    element("p", { class: "faint" }, "Checks for problems that keep the agent from working, and says how to fix them."), found,
    element("div", { class: "actions" }, button("Run checks", look)));
}

export async function load() {
  const [up, down, workers, fifo, open, readers, server] = await Promise.all(["/settings/upload_rate_limit", "/settings/download_rate_limit",
    "/settings/workers", "/settings/fifo_mode", "/settings/open_files", "/settings/disk_readers", "/server"].map((path) => api.get(path)));
  byId("settings-body").replaceChildren(limit("Upload limit", "/settings/upload_rate_limit", up),
    limit("Download limit", "/settings/download_rate_limit", down), atOnce(workers, fifo, open, readers), doctor(), told(), about(server));
}
