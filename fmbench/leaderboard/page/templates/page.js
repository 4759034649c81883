"use strict";
(() => {
  // A link to where a row comes from opens it.
  const open = () => {
    const target = document.getElementById(location.hash.slice(1));
    const box = target && target.closest("details");
    if (!box) return;
    box.open = true;
    target.scrollIntoView();
  };
  addEventListener("hashchange", open);
  open();
})();
(() => {
  const table = document.getElementById("board");
  if (!table) return;
  const body = table.tBodies[0];
  const headings = [...table.tHead.rows[0].cells];
  const boardOrder = [...body.rows];
  const controls = document.getElementById("controls");
  const filter = document.getElementById("filter");
  const reset = document.getElementById("reset");
  const shown = document.getElementById("shown");
  const letters = new Intl.Collator("en", { numeric: true });

  // What the live region says: how many rows are shown, and in which order.
  const tell = () => {
    const all = boardOrder.length;
    const left = boardOrder.filter((row) => !row.hidden).length;
    const count = left === all ? `${all} model${all === 1 ? "" : "s"}` : `${left} of ${all} models`;
    const sorted = headings.find((heading) => heading.hasAttribute("aria-sort"));
    const order = sorted
      ? `, by ${sorted.querySelector(".heading").textContent.toLowerCase()}, ${sorted.getAttribute("aria-sort")}`
      : "";
    shown.textContent = count + order;
  };

  const arrange = (rows) => body.append(...rows);

  const clearSort = () => headings.forEach((heading) => heading.removeAttribute("aria-sort"));

  const sortBy = (heading) => {
    const opposite = { ascending: "descending", descending: "ascending" };
    const direction = opposite[heading.getAttribute("aria-sort")] || heading.dataset.first;
    const sign = direction === "ascending" ? 1 : -1;
    const value = (row) => row.cells[heading.cellIndex].dataset.value;
    const compare =
      heading.dataset.kind === "number" ? (a, b) => Number(a) - Number(b) : letters.compare;
    // An absent value is last whichever way the others go; equal ones keep the board's order.
    arrange(
      [...boardOrder].sort((one, other) => {
        const [a, b] = [value(one), value(other)];
        return (a === "") - (b === "") || (a === "" ? 0 : sign * compare(a, b));
      }),
    );
    clearSort();
    heading.setAttribute("aria-sort", direction);
    reset.hidden = false;
    tell();
  };

  headings.forEach((heading) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => sortBy(heading));
  });

  reset.addEventListener("click", () => {
    arrange(boardOrder);
    clearSort();
    reset.hidden = true;
    filter.focus();
    tell();
  });

  filter.addEventListener("input", () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    boardOrder.forEach((row) => {
      const text = [...row.querySelectorAll(".words")]
        .map((cell) => cell.textContent.toLowerCase())
        .join("\n");
      row.hidden = !words.every((word) => text.includes(word));
    });
    tell();
  });

  controls.hidden = false;
  tell();
})();
