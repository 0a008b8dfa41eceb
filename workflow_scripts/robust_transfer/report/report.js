"use strict";
// Tables sort by a click on a header and filter by words; without scripts they are plain tables.
for (const table of document.querySelectorAll("table[data-table]")) {
  const name = table.dataset.table;
  const body = table.tBodies[0];
  const rows = Array.from(body.rows);
  const headers = Array.from(table.tHead.rows[0].cells);
  const valueOf = (row, column) => {
    const cell = row.cells[column];
    return "v" in cell.dataset ? Number(cell.dataset.v) : cell.textContent;
  };
  const compare = (a, b) => typeof a === "number" ? a - b : a.localeCompare(b);
  headers.forEach((header, column) => {
    header.querySelector("button").addEventListener("click", () => {
      const upward = header.getAttribute("aria-sort") !== "ascending";
      headers.forEach((other) => other.removeAttribute("aria-sort"));
      header.setAttribute("aria-sort", upward ? "ascending" : "descending");
      const missing = (value) => Number.isNaN(value);
      rows.sort((one, two) => {
        const a = valueOf(one, column), b = valueOf(two, column);
        if (missing(a) || missing(b)) return missing(a) - missing(b); // always last
        return upward ? compare(a, b) : compare(b, a);
      });
      body.append(...rows);
    });
  });
  const filter = document.querySelector(`[data-filter="${name}"]`);
  const count = document.querySelector(`[data-count="${name}"]`);
  filter.addEventListener("input", () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      shown += row.hidden ? 0 : 1;
    }
    count.textContent = words.length ? `${shown} of ${rows.length} rows` : `${rows.length} rows`;
  });
}
