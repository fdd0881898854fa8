// A click on the head of a column sorts the table by it.
"use strict";
for (const head of document.querySelectorAll("th[data-sort]")) {
  head.addEventListener("click", () => {
    const body = head.closest("table").tBodies[0];
    const sign = head.dataset.sort === "down" ? 1 : -1;
    head.dataset.sort = sign === 1 ? "up" : "down";
    const value = (row) => Number(row.cells[head.cellIndex].dataset.value);
    body.append(...[...body.rows].sort((a, b) => sign * (value(a) - value(b))));
  });
}
document.documentElement.dataset.steps = JSON.parse(document.getElementById("report").textContent).steps.length;
