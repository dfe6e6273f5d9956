// Notifications of the browser, for a page that nobody is looking at. They are asked for by a button, never unasked.

import { byId, say } from "./dom.js";

const WANTED = "masv-notices";

const there = () => "Notification" in window && window.isSecureContext;
export const on = () => there() && Notification.permission === "granted" && localStorage.getItem(WANTED) === "yes";

// Why there can be none; empty if there can.
export function hindrance() {
  if (!there()) return "This browser notifies only pages opened as localhost or over HTTPS.";
  return Notification.permission === "denied" ? "This browser was told not to notify for this page; allow it in its settings." : "";
}

export async function turn(wanted) {
  if (wanted && (await Notification.requestPermission()) !== "granted") throw new Error(hindrance() || "The browser did not allow it");
  localStorage.setItem(WANTED, wanted ? "yes" : "no");
  if (wanted) say("You are notified while this page is in the background");
}

// Says something where the page is not looked at. The same matter, by its name, is one notification.
export function notify(matter, title, body) {
  if (!on() || (document.visibilityState === "visible" && document.hasFocus())) return;
  const notice = new Notification(title, { body, tag: matter, icon: document.querySelector("link[rel=icon]").href });
  notice.onclick = () => {
    window.focus();
    byId("list").focus();
    notice.close();
  };
}
