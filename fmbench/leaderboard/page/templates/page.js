"use strict";
(() => {
  const one = (id) => document.getElementById(id);
  const all = (selector) => [...document.querySelectorAll(selector)];
  const make = (tag, words = "", more = {}) =>
    Object.assign(document.createElement(tag), { textContent: words, ...more });
  const marked = (model) => all(`[data-model="${model}"]`);
  const asked = new URLSearchParams(location.search);
  // The address keeps what was asked for, so that a link to it shows the same.
  const keep = (key, ...values) => {
    const query = new URLSearchParams(location.search);
    query.delete(key);
    values.filter(Boolean).forEach((value) => query.append(key, value));
    const search = `${query}` && `?${query}`;
    if (search === location.search) return;
    history.replaceState(null, "", `${location.pathname}${search}${location.hash}`);
  };

  // A link to where a row comes from opens it.
  const open = () => {
    const target = one(location.hash.slice(1));
    const box = target && target.closest("details");
    if (!box) return;
    box.open = true;
    target.scrollIntoView();
  };
  addEventListener("hashchange", open);
  open();

  const costs = all(".choice input");
  const axis = () => keep("cost", ...costs.slice(1).filter((cost) => cost.checked).map((cost) => cost.value));
  costs.forEach((cost) => {
    if (cost.value === asked.get("cost")) cost.checked = true;
    cost.addEventListener("change", axis);
  });
  axis();

  const table = one("board");
  if (!table) return;
  const [controls, filter, reset, shown] = ["controls", "filter", "reset", "shown"].map(one);
  const rows = [...table.tBodies[0].rows];
  const headings = [...table.tHead.rows[0].cells];
  const letters = new Intl.Collator("en", { numeric: true });
  let [key, direction] = (asked.get("sort") || "").split(",");

  const sorted = (heading) => {
    const sign = direction === "descending" ? -1 : 1;
    const value = (row) => row.cells[heading.cellIndex].dataset.value;
    const compare = heading.dataset.kind === "number" ? (a, b) => a - b : letters.compare;
    // An absent value is last whichever way the others go; equal ones keep the board's order.
    return [...rows].sort((row, other) => {
      const [a, b] = [value(row), value(other)];
      return (a === "") - (b === "") || (a === "" ? 0 : sign * compare(a, b));
    });
  };

  // Shows what is asked for, and says so in the live region.
  const show = () => {
    const heading = headings.find((other) => other.dataset.key === key);
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    rows.forEach((row) => {
      const cells = [...row.querySelectorAll(".words")];
      const text = cells.map((cell) => cell.textContent.toLowerCase()).join("\n");
      row.hidden = !words.every((word) => text.includes(word));
    });
    table.tBodies[0].append(...(heading ? sorted(heading) : rows));
    headings.forEach((other) => other.removeAttribute("aria-sort"));
    reset.hidden = !heading;
    const left = rows.filter((row) => !row.hidden).length;
    const of = left === rows.length ? "" : ` of ${rows.length}`;
    shown.textContent = `${left}${of} model${rows.length === 1 ? "" : "s"}`;
    if (heading) {
      direction = direction === "descending" ? direction : "ascending";
      heading.setAttribute("aria-sort", direction);
      shown.textContent += `, by ${heading.querySelector(".heading").textContent.toLowerCase()}, ${direction}`;
    }
    keep("sort", heading && `${key},${direction}`);
    keep("filter", filter.value);
  };

  headings.forEach((heading) => {
    const button = make("button", "", { type: "button" });
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
  filter.value = asked.get("filter") || "";
  controls.hidden = false;
  show();

  // Without a choice, columns are those that the window has room for.
  const columns = all("#columns input");
  const usual = (box) => box.defaultChecked && innerWidth >= 16 * box.dataset.room;
  const arrange = () => {
    const names = (new URLSearchParams(location.search).get("columns") || "").split(",");
    const known = columns.some((box) => names.includes(box.value));
    columns.forEach((box) => { box.checked = known ? names.includes(box.value) : usual(box); });
    if (!known) keep("columns");
  };
  columns.forEach((box) => box.addEventListener("change", () => {
    keep("columns", columns.filter((other) => other.checked).map((other) => other.value).join(","));
  }));
  addEventListener("resize", arrange);
  arrange();

  // Models that are ticked are compared, and stand out in every drawing.
  const { labels, units, smallest, models, pairs } = JSON.parse(one("differences").textContent);
  const place = new Map(models.map(([id], number) => [id, number]));
  const points = (share) => ((100 * Math.abs(share)) / units).toFixed(2);
  const signed = (gap, half) => `${gap < 0 ? "−" : "+"}${points(gap)}\u00a0±\u00a0${points(half)}`;
  const halves = (a, b) => {
    const [i, j] = [Math.min(a, b), Math.max(a, b)];
    return pairs[(i * (2 * models.length - i - 1)) / 2 + j - i - 1];
  };
  const colours = ["p0", "p1", "p2", "p3"];
  const picks = rows.filter((row) => place.has(row.dataset.model)).map((row) => {
    const { model, name } = row.dataset;
    const box = make("input", "", { type: "checkbox", ariaLabel: `Compare ${name}`, autocomplete: "off" });
    box.checked = asked.getAll("compare").includes(name);
    box.addEventListener("change", () => compare());
    return { row, box, model, name, shares: models[place.get(model)].slice(1) };
  });
  if (picks.length > 1) {
    picks.forEach(({ row, box }) => row.querySelector("th").prepend(box));
  }
  one("clear").addEventListener("click", () => {
    picks.forEach(({ box }) => { box.checked = false; });
    filter.focus();
    compare();
  });
  const compare = () => {
    const picked = picks.filter(({ box }) => box.checked);
    // A model keeps its colour while it is ticked; there are four.
    picks.filter(({ box }) => !box.checked).forEach((pick) => { pick.colour = ""; });
    picked.filter(({ colour }) => !colour).forEach((pick) => {
      pick.colour = colours.find((free) => picked.every(({ colour }) => colour !== free)) || "";
    });
    all(".picked").forEach((mark) => mark.classList.remove("picked", ...colours));
    picked.filter(({ colour }) => colour).forEach(({ model, colour }) => {
      marked(model).forEach((mark) => mark.classList.add("picked", colour));
    });
    keep("compare", ...picked.map(({ name }) => name));
    one("ticked").hidden = !picked.length;
    one("count").textContent = `${picked.length} ticked`;
    const [first, ...others] = picked;
    one("compared").hidden = !others.length;
    const { beyond: said } = one("compared").dataset;
    const found = others.map(({ model, name, shares }) => {
      const half = halves(place.get(first.model), place.get(model));
      const gaps = shares.map((share, number) => share - first.shares[number]);
      const beyond = gaps.map((gap, number) => Math.abs(gap) > half[number]);
      return { name, half, gaps, beyond };
    });
    one("verdicts").replaceChildren(...found.map(({ name, half, gaps, beyond }) => {
      const item = make("li");
      const apart = labels.filter((_, number) => beyond[number + 1]);
      const tie = Math.abs(gaps[0]) < smallest ? "so little that it is a tie" : said;
      item.append(
        make("b", name, { className: "name" }), " − ", make("b", first.name, { className: "name" }),
        `: ${signed(gaps[0], half[0])} percentage points, `,
        `${beyond[0] ? tie : "which chance can explain"}. `,
        `Classes that separate them beyond chance: ${apart.join(", ") || "none"}.`,
      );
      return item;
    }));
    const [head] = one("compared").getElementsByTagName("thead");
    head.replaceChildren(make("tr"));
    if (!others.length) return;
    head.rows[0].append(
      make("th", "Images", { scope: "col" }), make("th", `${first.name}, %`, { scope: "col", className: "name" }),
      ...found.map(({ name }) => make("th", name, { scope: "col", className: "name" })),
    );
    const [body] = one("compared").getElementsByTagName("tbody");
    body.replaceChildren(...["All", ...labels].map((label, number) => {
      const row = make("tr");
      row.append(
        make("th", label, { scope: "row" }), make("td", points(first.shares[number])),
        ...found.map(({ half, gaps, beyond }) => make(
          "td", signed(gaps[number], half[number]),
          { className: beyond[number] ? "beyond" : "" },
        )),
      );
      return row;
    }));
  };
  compare();

  // Pointing at a model anywhere highlights it everywhere; beside a drawing a tip says more of it.
  const tip = make("div", "", { className: "tip", hidden: true, ariaHidden: true });
  document.body.append(tip);
  all("g > title").forEach((title) => title.remove());
  all(".curve path").forEach((path) => {
    const wide = path.cloneNode(); // easier to point at
    wide.classList.add("wide");
    path.before(wide);
  });
  const told = ["accuracy", "seeds", "train", "parameters", "flops", "memory", "inference"];
  const light = ({ target, clientX, clientY }) => {
    const mark = target.closest("[data-model]");
    all(".lit").forEach((other) => other.classList.remove("lit"));
    tip.hidden = true;
    if (!mark) return;
    marked(mark.dataset.model).forEach((other) => other.classList.add("lit"));
    const row = rows.find((other) => other.dataset.model === mark.dataset.model);
    if (clientX === undefined || !target.closest(".plot svg")) return;
    tip.replaceChildren(make("b", row.dataset.name), ...headings.flatMap((heading, number) => {
      const said = row.cells[number].textContent.trim();
      const name = [...heading.querySelectorAll("span")].map((part) => part.textContent).join(", ");
      return told.includes(heading.dataset.key) ? [make("span", name), make("span", said)] : [];
    }));
    tip.hidden = false;
    tip.style.left = `${Math.max(0, Math.min(clientX + 16, innerWidth - tip.offsetWidth - 8))}px`;
    tip.style.top = `${Math.max(0, Math.min(clientY + 16, innerHeight - tip.offsetHeight - 8))}px`;
  };
  ["pointerover", "focusin"].forEach((event) => document.addEventListener(event, light));
})();
