// Tables for other programs.

// A cell; one that a spreadsheet would take for a formula is marked as text.
function cell(value) {
  const text = typeof value === "number" ? String(value) : String(value).replace(/^(?=[=+\-@\t\r])/, "'");
  return /[",\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll("\"", "\"\"")}"` : text;
}

export const csv = (header, rows) => [header, ...rows].map((row) => `${row.map(cell).join(",")}\r\n`).join("");

// Hands a text to the browser as a file.
export function save(name, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" }));
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
