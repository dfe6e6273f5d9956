// What happened to a package: who opened and downloaded what, when, and from where.
"use strict";

import { call, ofTeam } from "./api.js";
import { h, icon, nothing } from "./dom.js";
import { count, moment, size } from "./format.js";

// Of how many activities the events are asked for.
const ASKED = 40;
const SHOWN = 100;

const LOOKS = {
  "package.created": ["plus", (who) => `Created${who ? ` by ${who}` : ""}`],
  "package.finalized": ["check", () => "Complete and sent"],
  "package.expired": ["clock", () => "Expired"],
  "package.deleted": ["trash", () => "Deleted"],
  "link.created": ["link", (who) => `Link made${who ? ` for ${who}` : ""}`],
  "package.opened": ["eye", (who) => `${who || "Somebody with the link"} opened it`],
  "package.download_started": ["down", (who) => `${who || "Somebody with the link"} began to download`],
  "package.downloaded": ["down", (who) => `${who || "Somebody with the link"} downloaded everything`],
};

/** How far a download came, where it is not complete. */
const partly = ({ files, total_files: all, bytes, file_names: names }) => {
  if (!files) return "no file is complete yet";
  const few = names.slice(0, 3).join(", ");
  return `${count(files, "file")} of ${all}, ${size(bytes)}${few ? `: ${few}${names.length > 3 ? ", …" : ""}` : ""}`;
};

/** The list of what happened, newest first. */
export const activity = async (one) => {
  const query = new URLSearchParams({ package_id: one.id, limit: ASKED });
  const [{ records }, downloads] = await Promise.all([call("GET", ofTeam(`/activities?${query}`, "v1.1")), call("GET", `/v1/packages/${one.id}/downloads`)]);
  const events = async ({ id, activity_type: type }) => {
    const all = await call("GET", ofTeam(`/activities/${id}/events`));
    // What was downloaded through a link is told by the download itself.
    return type === "link_generation" ? all.filter(({ event_type: event }) => event !== "package.downloaded") : all;
  };
  const steps = (await Promise.all(records.map(events))).flat();
  const known = new Map(downloads.map((download) => [download.id, download]));
  const told = steps.filter(({ event_type: event }) => LOOKS[event])
    .sort((a, b) => b.created_at.localeCompare(a.created_at) || Number(b.id) - Number(a.id)).slice(0, SHOWN);
  if (!told.length) return nothing("Nothing yet", "");
  return h("ol", { class: "timeline" }, told.map((step) => {
    const [name, say] = LOOKS[step.event_type];
    const download = step.event_type === "package.download_started" ? known.get(step.activity_id) : null;
    const open = download && download.state !== "complete" ? partly(download) : "";
    const agent = download && download.user_agent ? download.user_agent.split(" ")[0] : "";
    return h("li", {}, icon(name), h("div", {}, h("p", {}, say(step.actor)),
      h("small", {}, h("time", { datetime: step.created_at }, moment(step.created_at)), step.address ? ` · ${step.address}` : "", agent ? ` · ${agent}` : "", open ? ` · ${open}` : "")));
  }));
};
