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
  // Pointing at a name highlights its curves.
  document.querySelectorAll(".curves a").forEach((link) => {
    const line = document.getElementById(link.hash.slice(1));
    const light = (event) => line.classList.toggle("lit", /over|in$/.test(event.type));
    ["mouseover", "mouseout", "focusin", "focusout"].forEach((one) => link.addEventListener(one, light));
  });
})();
(() => {
  const table = document.getElementById("board");
  if (!table) return;
  const ids = ["controls", "filter", "reset", "all", "shown"];
  const [controls, filter, reset, all, shown] = ids.map((id) => document.getElementById(id));
  const rows = [...table.tBodies[0].rows];
  const headings = [...table.tHead.rows[0].cells];
  const letters = new Intl.Collator("en", { numeric: true });
  const asked = new URLSearchParams(location.search);
  let [key, direction] = (asked.get("sort") || "").split(",");

  const sorted = (heading) => {
    const sign = direction === "descending" ? -1 : 1;
    const value = (row) => row.cells[heading.cellIndex].dataset.value;
    const compare = heading.dataset.kind === "number" ? (a, b) => a - b : letters.compare;
    // An absent value is last whichever way the others go; equal ones keep the board's order.
    return [...rows].sort((one, other) => {
      const [a, b] = [value(one), value(other)];
      return (a === "") - (b === "") || (a === "" ? 0 : sign * compare(a, b));
    });
  };

  // Shows what is asked for, says so in the live region, and keeps it in the address for links.
  const show = () => {
    const heading = headings.find((one) => one.dataset.key === key);
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    rows.forEach((row) => {
      const cells = [...row.querySelectorAll(".words")];
      const text = cells.map((cell) => cell.textContent.toLowerCase()).join("\n");
      row.hidden = !words.every((word) => text.includes(word));
    });
    table.tBodies[0].append(...(heading ? sorted(heading) : rows));
    headings.forEach((one) => one.removeAttribute("aria-sort"));
    reset.hidden = !heading;
    const left = rows.filter((row) => !row.hidden).length;
    const of = left === rows.length ? "" : ` of ${rows.length}`;
    shown.textContent = `${left}${of} model${rows.length === 1 ? "" : "s"}`;
    const query = new URLSearchParams();
    if (heading) {
      direction = direction === "descending" ? direction : "ascending";
      heading.setAttribute("aria-sort", direction);
      shown.textContent += `, by ${heading.querySelector(".heading").textContent.toLowerCase()}, ${direction}`;
      query.set("sort", `${key},${direction}`);
    }
    if (filter.value) query.set("filter", filter.value);
    if (all.checked) query.set("columns", "all");
    const search = `${query}` && `?${query}`;
    if (search !== location.search) {
      history.replaceState(null, "", `${location.pathname}${search}${location.hash}`);
    }
  };

  headings.forEach((heading) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const opposite = { ascending: "descending", descending: "ascending" };
      direction = opposite[heading.getAttribute("aria-sort")] || heading.dataset.first;
      ({ key } = heading.dataset);
      show();
    });
  });

  reset.addEventListener("click", () => {
    key = "";
    filter.focus();
    show();
  });

  filter.addEventListener("input", show);
  all.addEventListener("change", show);
  filter.value = asked.get("filter") || "";
  all.checked = asked.get("columns") === "all";
  controls.hidden = false;
  show();
})();
