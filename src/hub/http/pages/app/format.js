// Numbers and times as people read them, in the language and the time zone of the browser.
"use strict";

const UNSET = "0001-01-01";

/** Whether a time of the protocol says a moment. */
export const isSet = (time) => Boolean(time) && !time.startsWith(UNSET);

export const size = (bytes) => {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let unit = 0;
  while (bytes >= 1000 && unit < units.length - 1) {
    bytes /= 1000;
    unit += 1;
  }
  return `${bytes.toFixed(unit ? 1 : 0)} ${units[unit]}`;
};

export const number = (value) => Number(value).toLocaleString("en");

export const count = (value, one, many = `${one}s`) => `${number(value)} ${value === 1 ? one : many}`;

export const duration = (seconds) => {
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min`;
};

const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });
const MOMENT = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" });

export const day = (time) => (isSet(time) ? DAY.format(new Date(time)) : "");

export const moment = (time) => (isSet(time) ? MOMENT.format(new Date(time)) : "");

/** How long until a time that is not far, or its day. */
export const until = (time, now = Date.now()) => {
  if (!isSet(time)) return "never";
  const days = (new Date(time).getTime() - now) / 86400000;
  if (days < 0) return `since ${day(time)}`;
  if (days < 1) return `in ${Math.max(1, Math.round(days * 24))} h`;
  if (days < 15) return `in ${count(Math.round(days), "day")}`;
  return day(time);
};

/** A time as a field of dates has it, and back: the end of that day. */
export const dayField = (time) => {
  if (!isSet(time)) return "";
  const local = new Date(time);
  const two = (value) => String(value).padStart(2, "0");
  return `${local.getFullYear()}-${two(local.getMonth() + 1)}-${two(local.getDate())}`;
};

export const endOfDay = (text) => new Date(`${text}T23:59:59`).toISOString();
