// Runs the portal page's script outside a browser: just enough of one to fill in the form and send two files.
// Arguments: the script, the hub's address, the portal's id, the access code.
"use strict";
const fs = require("fs");
const vm = require("vm");
const [script, base, portal, code] = process.argv.slice(2);

const elements = {};
const element = (id) => {
  if (!elements[id]) {
    elements[id] = {
      value: "", textContent: "", hidden: true, disabled: false, dataset: {}, listeners: {},
      classList: { add() {}, remove() {} },
      addEventListener(event, listener) { this.listeners[event] = listener; },
    };
  }
  return elements[id];
};

class XMLHttpRequest {
  upload = {};
  open(method, url) { Object.assign(this, { method, url }); }
  async send(blob) {
    try {
      const answer = await fetch(this.url, { method: this.method, body: await blob.arrayBuffer() });
      this.status = answer.status;
      this.getResponseHeader = (name) => answer.headers.get(name);
      this.upload.onprogress({ loaded: blob.size });
      this.onload();
    } catch {
      this.onerror();
    }
  }
}

class DOMParser {
  parseFromString(text) {
    return { querySelector: (name) => ({ textContent: text.split(`<${name}>`)[1].split("<")[0] }) };
  }
}

const context = {
  XMLHttpRequest, DOMParser, setTimeout, console,
  fetch: (path, options) => fetch(new URL(path, base), options),
  document: { getElementById: element },
  window: { addEventListener() {} },
};
element("portal").dataset.portal = portal;
Object.assign(element("sender"), { value: "browser@example.com" });
Object.assign(element("name"), { value: "From a browser" });
Object.assign(element("code"), { value: code });
vm.runInNewContext(fs.readFileSync(script, "utf8"), context);

const file = (name, content, path) =>
  Object.assign(new File([content], name, { lastModified: 1700000000000 }), { webkitRelativePath: path });
element("folder").listeners.change({
  target: { files: [file("a.txt", "first", "shoot/day 1/a.txt"), file("empty.txt", "", "shoot/empty.txt")] },
});
element("portal").listeners.submit({ preventDefault() {} }).then(() => {
  console.log(JSON.stringify({ status: element("status").textContent, problem: element("problem").textContent }));
});
