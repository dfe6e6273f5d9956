// The page of a link with many files: searching, and opening all folders. The page also works without it.
"use strict";

const element = (id) => document.getElementById(id);
const tree = element("tree");
const folders = [...tree.querySelectorAll("details")];
const isFile = (line) => !line.querySelector(":scope > details");
// Also those that the hub has lost, which lead nowhere.
const files = [...tree.querySelectorAll("li")].filter(isFile).map((line) => {
  const names = [line.querySelector(".name").textContent];
  for (let up = line.closest("details"); up; up = up.parentElement.closest("details")) {
    names.unshift(up.querySelector(":scope > summary .name").textContent);
  }
  return { line, path: names.join("/").toLowerCase() };
});
// As they were before the search.
let opened = null;

const allOpen = () => folders.every((folder) => folder.open);

const showExpand = () => {
  const open = allOpen();
  element("expand").textContent = open ? "Collapse all" : "Expand all";
  element("expand").setAttribute("aria-expanded", String(open));
};

const search = () => {
  const wanted = element("search").value.trim().toLowerCase();
  if (wanted && !opened) opened = folders.map((folder) => folder.open);
  const shown = new Set();
  let found = 0;
  for (const { line, path } of files) {
    const fits = path.includes(wanted);
    line.hidden = !fits;
    if (!fits) continue;
    found += 1;
    for (let up = line.parentElement.closest("details"); up && !shown.has(up); up = up.parentElement.closest("details")) shown.add(up);
  }
  folders.forEach((folder, index) => {
    folder.parentElement.hidden = !shown.has(folder);
    if (wanted) folder.open = shown.has(folder);
    else if (opened) folder.open = opened[index];
  });
  if (!wanted) opened = null;
  element("found").textContent = wanted ? `${found} of ${files.length} files` : "";
  showExpand();
};

element("search").addEventListener("input", search);
element("expand").addEventListener("click", () => {
  const open = !allOpen();
  for (const folder of folders) folder.open = open;
  showExpand();
});
// A folder that is opened by hand counts, too.
tree.addEventListener("toggle", showExpand, true);
element("expand").hidden = folders.length === 0;
element("tools").hidden = false;
showExpand();
