// Numbers and times as people read them.

const UNITS = ["B", "kB", "MB", "GB", "TB", "PB"];

export function bytes(count) {
  let unit = 0;
  let value = count;
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${UNITS[unit]}`;
}

export const speed = (count) => `${bytes(count)}/s`;

export const number = (count) => count.toLocaleString("en");

export const plural = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;

export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.round(whole / 60)} min`;
  const hours = Math.floor(whole / 3600);
  if (hours < 48) return `${hours} h ${Math.round((whole % 3600) / 60)} min`;
  return `${Math.round(hours / 24)} days`;
}

const clock = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const day = new Intl.DateTimeFormat([], {
  weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23",
});

// A time: just the clock for today, with the date for other days.
export function time(text) {
  if (!text) return "";
  // A rule's times carry their zone in brackets, which Date does not read.
  const at = new Date(text.replace(/\[.*\]$/, ""));
  return at.toDateString() === new Date().toDateString() ? clock.format(at) : day.format(at);
}

export const since = (text) => duration((Date.now() - Date.parse(text)) / 1000);
export const until = (text) => duration((Date.parse(text) - Date.now()) / 1000);
