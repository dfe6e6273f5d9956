// The agent's REST API and its events: the same calls that any client makes.

import { byId } from "./dom.js";

const TOKEN = "masv-token";

// `masv open` passes the token after the #, which no server sees; it is then removed from the address.
const handed = window.location.hash.match(/^#token=(.+)$/);
if (handed) {
  sessionStorage.setItem(TOKEN, decodeURIComponent(handed[1]));
  window.history.replaceState(null, "", window.location.pathname);
}

export class ApiError extends Error {
  constructor(status, body) {
    super(body.message ?? `The agent responded with status ${status}`);
    this.status = status;
    this.hint = body.hint;
    this.fields = body.fields ?? {};
    this.body = body;
  }
}

export const hasToken = () => Boolean(sessionStorage.getItem(TOKEN));

// Forgets the token. Everything on the page was read with it, so the page begins anew.
export function signOut() {
  sessionStorage.removeItem(TOKEN);
  window.location.reload();
}

const headers = () => {
  const token = sessionStorage.getItem(TOKEN);
  return token ? { Authorization: `Bearer ${token}` } : {};
};

let asking;

// Asks for the token, once for all calls that wait for it.
function askForToken() {
  asking ??= new Promise((resolve) => {
    const dialog = byId("token");
    byId("token-trouble").textContent = sessionStorage.getItem(TOKEN) ? "Wrong token. Try again." : "";
    dialog.oncancel = (event) => event.preventDefault();
    dialog.onclose = () => {
      sessionStorage.setItem(TOKEN, byId("token-value").value.trim());
      byId("token-value").value = "";
      asking = undefined;
      resolve();
    };
    dialog.showModal();
  });
  return asking;
}

async function answered(path, options) {
  for (;;) {
    const used = headers();
    let answer;
    try {
      answer = await fetch(`api/v1${path}`, { ...options, headers: { ...options?.headers, ...used } });
    } catch {
      throw new ApiError(0, { message: "The agent is not responding" });
    }
    if (answer.ok) return answer;
    const body = await answer.json().catch(() => ({}));
    if (answer.status !== 401 || body.code !== 401) throw new ApiError(answer.status, body);
    // Another call may have been given the token meanwhile.
    if (used.Authorization === headers().Authorization) await askForToken();
  }
}

export async function get(path) {
  return (await answered(path)).json();
}

export async function send(method, path, body, headers = {}) {
  // The header proves that this page made the call; other sites cannot send it.
  const options = { method, headers: { "X-Masv": "dashboard", ...headers } };
  if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers["Content-Type"] = "application/json";
  }
  const answer = await answered(path, options);
  return answer.status === 204 || answer.status === 202 ? undefined : answer.json();
}

// A piece of a file.
export async function put(path, bytes, signal) {
  const headers = { "X-Masv": "dashboard", "Content-Type": "application/octet-stream" };
  return (await answered(path, { method: "PUT", headers, body: bytes, signal })).json();
}

// All pages of a list.
export async function all(path) {
  const found = [];
  let cursor = "";
  do {
    const page = await get(`${path}&limit=1000${cursor && `&cursor=${cursor}`}`);
    found.push(...page.transfers);
    cursor = page.cursor;
  } while (cursor);
  return found;
}

// Follows the events for as long as the page is open. After a lost connection everything is loaded again.
export async function follow({ opened, event, lost }) {
  let wait = 1000;
  let last;
  for (;;) {
    try {
      const answer = await answered("/events?progress=true", { headers: last ? { "Last-Event-ID": last } : {} });
      wait = 1000;
      opened();
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        const frames = (rest + value).split("\n\n");
        rest = frames.pop();
        for (const frame of frames) {
          const fields = {};
          for (const line of frame.split("\n")) {
            const at = line.indexOf(":");
            if (at > 0) fields[line.slice(0, at)] = line.slice(at + 1).trimStart();
          }
          if (fields.id) last = fields.id;
          if (fields.data) event(fields.event, JSON.parse(fields.data));
        }
      }
    } catch (error) {
      console.debug("events", error);
    }
    lost();
    await new Promise((resolve) => setTimeout(resolve, wait));
    wait = Math.min(wait * 2, 15000);
  }
}
